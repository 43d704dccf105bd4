"""Typed reading of a run's folder: what `fit`, `test` and `predict` left there, and nothing else."""

from experiments.results.detection import ClipScores, read_clip_scores
from experiments.results.evidence import ClipNulls, SanityRow, read_clip_nulls, read_sanity
from experiments.results.explanations import ClipValues, read_clip_values, read_examples
from experiments.results.learning import LearningCurves, read_learning_curves
from experiments.results.membership import StudyMembership, read_membership
from experiments.results.reading import Floats
from experiments.results.run import Run, read_run

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
