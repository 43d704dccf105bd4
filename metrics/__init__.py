"""Measures of detection and of explanations: the list of them, pure functions, metrics that keep state, callbacks."""

from metrics.clip_metric import ClipMetric
from metrics.detection import AnomalyAUROC
from metrics.explanations import DeletionInsertionScore, FaithfulnessScore, SegmentFScore
from metrics.measures import DEFAULT_PERCENTILES, MEASURES, Measure

__all__ = [
    "DEFAULT_PERCENTILES",
    "MEASURES",
    "AnomalyAUROC",
    "ClipMetric",
    "DeletionInsertionScore",
    "FaithfulnessScore",
    "Measure",
    "SegmentFScore",
]
