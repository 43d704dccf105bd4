"""Agreement of peaks and annotation, counted in segments (seconds of 40 frames in the paper).

A clip is cut into segments of ``frames_per_segment`` frames. A last segment that is shorter counts like any
other. A segment is positive if it overlaps any annotated frame, and predicted if it holds a peak.

All functions take peaks (..., T) and an annotation that broadcasts against them: (B, T) with (B, T), or
peaks of several percentiles (B, P, T) with ``annotation[:, None]``.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def hit_segments(frames: Tensor, frames_per_segment: int = 40) -> Tensor:
    """Mark the segments that hold a marked frame.

    Args:
        frames: Marked frames, bool, (..., T).
        frames_per_segment: Length of a segment in frames.

    Returns:
        Hit segments, bool, (..., S), S = T / frames_per_segment, rounded up.

    Raises:
        ValueError: If ``frames_per_segment`` is not positive.

    Example:
        >>> hit_segments(torch.tensor([[True, False, False, False, True]]), frames_per_segment=2)
        tensor([[ True, False,  True]])
    """
    if frames_per_segment < 1:
        raise ValueError(f"frames_per_segment: {frames_per_segment} is not a positive number of frames")
    missing = -frames.shape[-1] % frames_per_segment
    return F.pad(frames, (0, missing)).unflatten(-1, (-1, frames_per_segment)).any(-1)


def segment_counts(peaks: Tensor, annotation: Tensor, frames_per_segment: int = 40) -> tuple[Tensor, Tensor, Tensor]:
    """Count true positive, false positive and false negative segments of each clip.

    Args:
        peaks: Peak frames, bool, (..., T).
        annotation: Annotated frames, bool, broadcastable to ``peaks``.
        frames_per_segment: Length of a segment in frames.

    Returns:
        True positives, false positives and false negatives, int64, each (...).

    Raises:
        ValueError: If the numbers of frames differ or ``frames_per_segment`` is not positive.

    Example:
        >>> peaks = torch.tensor([[True, False, False, True, False, False]])
        >>> annotation = torch.tensor([[False, True, False, False, True, False]])
        >>> segment_counts(peaks, annotation, frames_per_segment=2)
        (tensor([1]), tensor([1]), tensor([1]))
    """
    _check_frames(peaks, annotation)
    predicted = hit_segments(peaks, frames_per_segment)
    positive = hit_segments(annotation, frames_per_segment)
    return (
        (predicted & positive).sum(-1),
        (predicted & ~positive).sum(-1),
        (~predicted & positive).sum(-1),
    )


def segment_scores(peaks: Tensor, annotation: Tensor, frames_per_segment: int = 40) -> Tensor:
    """F1, precision and recall of each clip from one count of its segments.

    Args:
        peaks: Peak frames, bool, (..., T).
        annotation: Annotated frames, bool, broadcastable to ``peaks``.
        frames_per_segment: Length of a segment in frames.

    Returns:
        F1, precision and recall stacked as (3, ...), float64 in [0, 1], higher is better. Undefined values
        (no positive, or no predicted segment) are 0, as in the evaluation protocol.

    Raises:
        ValueError: As ``segment_counts``.

    Example:
        >>> peaks = torch.tensor([[True, False, False, True, False, False]])
        >>> annotation = torch.tensor([[False, True, False, False, False, False]])
        >>> segment_scores(peaks, annotation, frames_per_segment=2).squeeze(-1)
        tensor([0.6667, 0.5000, 1.0000], dtype=torch.float64)
    """
    return torch.stack(scores_of_counts(*segment_counts(peaks, annotation, frames_per_segment)))


def scores_of_counts(
    true_positives: Tensor, false_positives: Tensor, false_negatives: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """F1, precision and recall from counts of segments.

    Args:
        true_positives: Predicted positive segments, (...).
        false_positives: Predicted negative segments, (...).
        false_negatives: Positive segments that are not predicted, (...).

    Returns:
        F1, precision and recall, float64, each (...), 0 where undefined.

    Example:
        >>> [value.item() for value in scores_of_counts(*torch.tensor([1, 1, 0]))]
        [0.6666666666666666, 0.5, 1.0]
    """
    precision = _ratio(true_positives, true_positives + false_positives)
    recall = _ratio(true_positives, true_positives + false_negatives)
    return _ratio(2 * precision * recall, precision + recall), precision, recall


def segment_f1(peaks: Tensor, annotation: Tensor, frames_per_segment: int = 40) -> Tensor:
    """F1 of each clip's segments: harmonic mean of precision and recall.

    Args:
        peaks: Peak frames, bool, (..., T).
        annotation: Annotated frames, bool, broadcastable to ``peaks``.
        frames_per_segment: Length of a segment in frames.

    Returns:
        F1, float64, (...), in [0, 1], higher is better, 0 where undefined.

    Raises:
        ValueError: As ``segment_counts``.

    Example:
        >>> peaks = torch.tensor([[True, False, False, True]])
        >>> annotation = torch.tensor([[False, True, False, False]])
        >>> segment_f1(peaks, annotation, frames_per_segment=2)
        tensor([0.6667], dtype=torch.float64)
    """
    return segment_scores(peaks, annotation, frames_per_segment)[0]


def segment_precision(peaks: Tensor, annotation: Tensor, frames_per_segment: int = 40) -> Tensor:
    """Share of the predicted segments that are positive.

    Args:
        peaks: Peak frames, bool, (..., T).
        annotation: Annotated frames, bool, broadcastable to ``peaks``.
        frames_per_segment: Length of a segment in frames.

    Returns:
        Precision, float64, (...), in [0, 1], higher is better, 0 where undefined.

    Raises:
        ValueError: As ``segment_counts``.

    Example:
        >>> peaks = torch.tensor([[True, False, False, True]])
        >>> annotation = torch.tensor([[False, True, False, False]])
        >>> segment_precision(peaks, annotation, frames_per_segment=2)
        tensor([0.5000], dtype=torch.float64)
    """
    return segment_scores(peaks, annotation, frames_per_segment)[1]


def segment_recall(peaks: Tensor, annotation: Tensor, frames_per_segment: int = 40) -> Tensor:
    """Share of the positive segments that are predicted.

    Args:
        peaks: Peak frames, bool, (..., T).
        annotation: Annotated frames, bool, broadcastable to ``peaks``.
        frames_per_segment: Length of a segment in frames.

    Returns:
        Recall, float64, (...), in [0, 1], higher is better, 0 where undefined.

    Raises:
        ValueError: As ``segment_counts``.

    Example:
        >>> peaks = torch.tensor([[True, False, False, False]])
        >>> annotation = torch.tensor([[False, True, False, True]])
        >>> segment_recall(peaks, annotation, frames_per_segment=2)
        tensor([0.5000], dtype=torch.float64)
    """
    return segment_scores(peaks, annotation, frames_per_segment)[2]


def segment_mask(peaks: Tensor, annotation: Tensor, frames_per_segment: int = 40) -> Tensor:
    """Widen peaks to whole segments, then cut to the annotated frames.

    These are the frames that segment-based faithfulness replaces.

    Args:
        peaks: Peak frames, bool, (..., T).
        annotation: Annotated frames, bool, broadcastable to ``peaks``.
        frames_per_segment: Length of a segment in frames.

    Returns:
        Frames that are annotated and in a segment that holds a peak, bool, (..., T).

    Raises:
        ValueError: As ``segment_counts``.

    Example:
        >>> peaks = torch.tensor([[True, False, False, False]])
        >>> annotation = torch.tensor([[False, True, True, False]])
        >>> segment_mask(peaks, annotation, frames_per_segment=2)
        tensor([[False,  True, False, False]])
    """
    _check_frames(peaks, annotation)
    segments = hit_segments(peaks, frames_per_segment)
    return segments.repeat_interleave(frames_per_segment, dim=-1)[..., : peaks.shape[-1]] & annotation


def _check_frames(peaks: Tensor, annotation: Tensor) -> None:
    if peaks.shape[-1] != annotation.shape[-1]:
        raise ValueError(f"peaks have {peaks.shape[-1]} frames but the annotation has {annotation.shape[-1]}")


def _ratio(numerator: Tensor, denominator: Tensor) -> Tensor:
    """Quotient in float64, 0 where the denominator is 0."""
    quotient = numerator.double() / denominator.double()
    return torch.where(denominator == 0, 0.0, quotient)
