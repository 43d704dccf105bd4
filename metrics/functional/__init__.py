"""Pure functions on tensors: clips first, then (where there are several) percentiles, then frames."""

from metrics.functional.chance import chance_corrected, chance_level, chance_levels, permutation_p_value
from metrics.functional.detection import anomaly_auroc, anomaly_roc, oriented
from metrics.functional.peaks import frame_curve, n_peaks, select_peaks
from metrics.functional.references import (
    REFERENCE_NAMES,
    oracle_f1,
    random_frames_f1,
    reference_f1,
    reference_frames,
    spread_frames,
)
from metrics.functional.replacement import curve_area, deletion_insertion, faithfulness, peak_faithfulness
from metrics.functional.segments import (
    hit_segments,
    segment_counts,
    segment_f1,
    segment_mask,
    segment_precision,
    segment_recall,
    segment_scores,
)
from metrics.functional.shifts import circular_shift_f1, draw_shifts, shift_frames

__all__ = [
    "REFERENCE_NAMES",
    "anomaly_auroc",
    "anomaly_roc",
    "chance_corrected",
    "chance_level",
    "chance_levels",
    "circular_shift_f1",
    "curve_area",
    "deletion_insertion",
    "draw_shifts",
    "faithfulness",
    "frame_curve",
    "hit_segments",
    "n_peaks",
    "oracle_f1",
    "oriented",
    "peak_faithfulness",
    "permutation_p_value",
    "random_frames_f1",
    "reference_f1",
    "reference_frames",
    "segment_counts",
    "segment_f1",
    "segment_mask",
    "segment_precision",
    "segment_recall",
    "segment_scores",
    "select_peaks",
    "shift_frames",
    "spread_frames",
]
