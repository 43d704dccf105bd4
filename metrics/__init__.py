"""Measures of detection and of explanations: the list of them, pure functions, metrics that keep state, callbacks."""

from metrics.chance import ClipNull, ReferenceValues
from metrics.clip_metric import ClipMetric
from metrics.detection import AnomalyAUROC
from metrics.explanations import DeletionInsertionScore, FaithfulnessScore, SegmentFScore
from metrics.functional import (
    anomaly_auroc,
    anomaly_roc,
    chance_corrected,
    chance_levels,
    circular_shift_f1,
    faithfulness,
    frame_curve,
    permutation_p_value,
    segment_counts,
    segment_f1,
    segment_mask,
    segment_precision,
    segment_recall,
    segment_scores,
    select_peaks,
)
from metrics.measures import DEFAULT_PERCENTILES, MEASURES, Measure

__all__ = [
    "DEFAULT_PERCENTILES",
    "MEASURES",
    "AnomalyAUROC",
    "ClipMetric",
    "ClipNull",
    "DeletionInsertionScore",
    "FaithfulnessScore",
    "Measure",
    "ReferenceValues",
    "SegmentFScore",
    "anomaly_auroc",
    "anomaly_roc",
    "chance_corrected",
    "chance_levels",
    "circular_shift_f1",
    "faithfulness",
    "frame_curve",
    "permutation_p_value",
    "segment_counts",
    "segment_f1",
    "segment_mask",
    "segment_precision",
    "segment_recall",
    "segment_scores",
    "select_peaks",
]
