"""Measures of detection and of explanations: pure functions, metrics that keep state, and callbacks."""

from metrics.chance import ClipNull, ReferenceValues
from metrics.clip_metric import DEFAULT_PERCENTILES, ClipMetric
from metrics.detection import AnomalyAUROC
from metrics.faithfulness import FaithfulnessScore
from metrics.fscore import SegmentFScore
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

__all__ = [
    "DEFAULT_PERCENTILES",
    "AnomalyAUROC",
    "ClipMetric",
    "ClipNull",
    "FaithfulnessScore",
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
