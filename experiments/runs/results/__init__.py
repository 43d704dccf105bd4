"""Typed reading of a run's folder: what `fit`, `test` and `predict` left there, and nothing else."""

from experiments.runs.results.detection import ClipScores, read_clip_scores
from experiments.runs.results.evidence import ClipNulls, SanityRow, read_clip_nulls, read_sanity
from experiments.runs.results.explanations import ClipValues, read_clip_values, read_examples
from experiments.runs.results.learning import LearningCurves, read_learning_curves
from experiments.runs.results.membership import StudyMembership, read_membership
from experiments.runs.results.reading import Floats
from experiments.runs.results.run import Run, read_run

__all__ = [
    "ClipNulls",
    "ClipScores",
    "ClipValues",
    "Floats",
    "LearningCurves",
    "Run",
    "SanityRow",
    "StudyMembership",
    "read_clip_nulls",
    "read_clip_scores",
    "read_clip_values",
    "read_examples",
    "read_learning_curves",
    "read_membership",
    "read_run",
    "read_sanity",
]
