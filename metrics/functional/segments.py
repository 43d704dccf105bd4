"""Agreement of peaks and annotation, counted in segments of one second (paper section 3.4.2).

Frame k of a clip lies in the second of its time, ⌊k / frames_per_second⌋. A last part that is shorter than half a
second is not counted: its frames count neither for nor against, as in the published evaluation, where a clip of 401
frames at 40 frames per second has ten seconds. A segment is positive if it overlaps any annotated frame, and predicted
if it contains a peak.

All functions take peaks (..., T) and an annotation that broadcasts against them: (B, T) with (B, T), or
peaks of several percentiles (B, P, T) with ``annotation[:, None]``.
"""

from __future__ import annotations

import math
from fractions import Fraction
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

_SHORTEST_SECOND = Fraction(1, 2)

_LONGEST_HOP = 1_000_000
"""Samples; frame rates are quotients of a sample rate and a hop, both whole numbers."""


@lru_cache(maxsize=1024)
def segment_edges(n_frames: int, frames_per_second: float) -> tuple[int, ...]:
    """First frame of each second of a clip, and the first frame after the last second.

    Args:
        n_frames: Number of frames T of the clip.
        frames_per_second: Frame rate: sample rate / hop in samples. Treated as that exact quotient.

    Returns:
        S + 1 increasing frame numbers for S seconds: second s has the frames from edge s up to edge s + 1. The last
        edge is at most T; the frames after it are in no second. A clip that is shorter than half a second as a whole
        is one second, so that no clip is without.

    Raises:
        ValueError: If the frame rate is not a positive number.

    Example:
        >>> segment_edges(401, 40)[-2:]
        (360, 400)
        >>> segment_edges(312, 31.25)[:4], len(segment_edges(312, 31.25))
        ((0, 32, 63, 94), 11)
    """
    if not (math.isfinite(frames_per_second) and frames_per_second > 0):
        raise ValueError(f"frames_per_second: {frames_per_second} is not a positive number")
    rate = Fraction(frames_per_second).limit_denominator(_LONGEST_HOP)
    whole, rest = divmod(n_frames / rate, 1)
    n_seconds = max(1, int(whole) + (rest >= _SHORTEST_SECOND))
    # The last second may be cut short; frame numbers are rounded up, since frame k belongs to second s from s on.
    return tuple(min(math.ceil(second * rate), n_frames) for second in range(n_seconds + 1))


def hit_segments(frames: Tensor, frames_per_second: float = 40.0) -> Tensor:
    """Mark the seconds that contain a marked frame.

    Args:
        frames: Marked frames, bool, (..., T).
        frames_per_second: Frame rate.

    Returns:
        Hit seconds, bool, (..., S).

    Raises:
        ValueError: If the frame rate is not a positive number.

    Example:
        >>> hit_segments(torch.tensor([[True, False, False, False, True]]), frames_per_second=2)
        tensor([[ True, False,  True]])
    """
    edges = torch.tensor(segment_edges(frames.shape[-1], frames_per_second), device=frames.device)
    marked_before = F.pad(frames.cumsum(-1), (1, 0))
    return marked_before[..., edges[1:]] > marked_before[..., edges[:-1]]


def segment_counts(peaks: Tensor, annotation: Tensor, frames_per_second: float = 40.0) -> tuple[Tensor, Tensor, Tensor]:
    """Count true positive, false positive and false negative segments of each clip.

    Args:
        peaks: Peak frames, bool, (..., T).
        annotation: Annotated frames, bool, broadcastable to ``peaks``.
        frames_per_second: Frame rate.

    Returns:
        True positives, false positives and false negatives, int64, each (...).

    Raises:
        ValueError: If the numbers of frames differ or the frame rate is not a positive number.

    Example:
        >>> peaks = torch.tensor([[True, False, False, True, False, False]])
        >>> annotation = torch.tensor([[False, True, False, False, True, False]])
        >>> segment_counts(peaks, annotation, frames_per_second=2)
        (tensor([1]), tensor([1]), tensor([1]))
    """
    _check_frames(peaks, annotation)
    predicted = hit_segments(peaks, frames_per_second)
    positive = hit_segments(annotation, frames_per_second)
    return (
        (predicted & positive).sum(-1),
        (predicted & ~positive).sum(-1),
        (~predicted & positive).sum(-1),
    )


def segment_scores(peaks: Tensor, annotation: Tensor, frames_per_second: float = 40.0) -> Tensor:
    """F1, precision and recall of each clip from one count of its segments.

    Args:
        peaks: Peak frames, bool, (..., T).
        annotation: Annotated frames, bool, broadcastable to ``peaks``.
        frames_per_second: Frame rate.

    Returns:
        F1, precision and recall stacked as (3, ...), float64 in [0, 1], higher is better. Undefined values
        (no positive, or no predicted segment) are 0, as in the evaluation protocol.

    Raises:
        ValueError: As ``segment_counts``.

    Example:
        >>> peaks = torch.tensor([[True, False, False, True, False, False]])
        >>> annotation = torch.tensor([[False, True, False, False, False, False]])
        >>> segment_scores(peaks, annotation, frames_per_second=2).squeeze(-1)
        tensor([0.6667, 0.5000, 1.0000], dtype=torch.float64)
    """
    return torch.stack(scores_of_counts(*segment_counts(peaks, annotation, frames_per_second)))


def scores_of_counts(
    true_positives: Tensor, false_positives: Tensor, false_negatives: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """F1, precision and recall from counts of segments (...); float64, each (...), 0 where undefined.

    Example:
        >>> [value.item() for value in scores_of_counts(*torch.tensor([1, 1, 0]))]
        [0.6666666666666666, 0.5, 1.0]
    """
    precision = _ratio(true_positives, true_positives + false_positives)
    recall = _ratio(true_positives, true_positives + false_negatives)
    return _ratio(2 * precision * recall, precision + recall), precision, recall


def segment_f1(peaks: Tensor, annotation: Tensor, frames_per_second: float = 40.0) -> Tensor:
    """F1 of each clip's segments: harmonic mean of precision and recall.

    Args:
        peaks: Peak frames, bool, (..., T).
        annotation: Annotated frames, bool, broadcastable to ``peaks``.
        frames_per_second: Frame rate.

    Returns:
        F1, float64, (...), in [0, 1], higher is better, 0 where undefined.

    Raises:
        ValueError: As ``segment_counts``.

    Example:
        >>> peaks = torch.tensor([[True, False, False, True]])
        >>> annotation = torch.tensor([[False, True, False, False]])
        >>> segment_f1(peaks, annotation, frames_per_second=2)
        tensor([0.6667], dtype=torch.float64)
    """
    return segment_scores(peaks, annotation, frames_per_second)[0]


def segment_precision(peaks: Tensor, annotation: Tensor, frames_per_second: float = 40.0) -> Tensor:
    """Share of the predicted segments that are positive.

    Takes and returns what ``segment_f1`` does.

    Example:
        >>> peaks = torch.tensor([[True, False, False, True]])
        >>> annotation = torch.tensor([[False, True, False, False]])
        >>> segment_precision(peaks, annotation, frames_per_second=2)
        tensor([0.5000], dtype=torch.float64)
    """
    return segment_scores(peaks, annotation, frames_per_second)[1]


def segment_recall(peaks: Tensor, annotation: Tensor, frames_per_second: float = 40.0) -> Tensor:
    """Share of the positive segments that are predicted.

    Takes and returns what ``segment_f1`` does.

    Example:
        >>> peaks = torch.tensor([[True, False, False, False]])
        >>> annotation = torch.tensor([[False, True, False, True]])
        >>> segment_recall(peaks, annotation, frames_per_second=2)
        tensor([0.5000], dtype=torch.float64)
    """
    return segment_scores(peaks, annotation, frames_per_second)[2]


def segment_mask(peaks: Tensor, annotation: Tensor, frames_per_second: float = 40.0) -> Tensor:
    """Widen peaks to whole seconds, then cut to the annotated frames.

    These are the frames that segment-based faithfulness replaces.

    Args:
        peaks: Peak frames, bool, (..., T).
        annotation: Annotated frames, bool, broadcastable to ``peaks``.
        frames_per_second: Frame rate.

    Returns:
        Frames that are annotated and in a second that contains a peak, bool, (..., T).

    Raises:
        ValueError: As ``segment_counts``.

    Example:
        >>> peaks = torch.tensor([[True, False, False, False]])
        >>> annotation = torch.tensor([[False, True, True, False]])
        >>> segment_mask(peaks, annotation, frames_per_second=2)
        tensor([[False,  True, False, False]])
    """
    _check_frames(peaks, annotation)
    edges = torch.tensor(segment_edges(peaks.shape[-1], frames_per_second), device=peaks.device)
    widened = hit_segments(peaks, frames_per_second).repeat_interleave(edges.diff(), dim=-1)
    return F.pad(widened, (0, peaks.shape[-1] - widened.shape[-1])) & annotation


def _check_frames(peaks: Tensor, annotation: Tensor) -> None:
    if peaks.shape[-1] != annotation.shape[-1]:
        raise ValueError(f"peaks have {peaks.shape[-1]} frames but the annotation has {annotation.shape[-1]}")


def _ratio(numerator: Tensor, denominator: Tensor) -> Tensor:
    """Quotient in float64, 0 where the denominator is 0."""
    quotient = numerator.double() / denominator.double()
    return torch.where(denominator == 0, 0.0, quotient)
