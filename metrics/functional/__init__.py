"""Pure functions on tensors: clips first, then (where there are several) percentiles, then frames."""

from metrics.functional.detection import anomaly_auroc, anomaly_roc
from metrics.functional.peaks import frame_curve, select_peaks
from metrics.functional.replacement import faithfulness
from metrics.functional.segments import (
    segment_counts,
    segment_f1,
    segment_mask,
    segment_precision,
    segment_recall,
    segment_scores,
)

__all__ = [
    "anomaly_auroc",
    "anomaly_roc",
    "faithfulness",
    "frame_curve",
    "segment_counts",
    "segment_f1",
    "segment_mask",
    "segment_precision",
    "segment_recall",
    "segment_scores",
    "select_peaks",
]
