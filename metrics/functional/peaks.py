"""From an attribution map to the frames it points at."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor


def frame_curve(attributions: Tensor) -> Tensor:
    """Sum attributions over frequency: how much each frame contributes.

    Signed maps are summed with their signs, as in the evaluation protocol.

    Args:
        attributions: Maps, (..., F, T).

    Returns:
        Curves, (..., T).

    Example:
        >>> import torch
        >>> frame_curve(torch.tensor([[1.0, 2.0], [3.0, -4.0]]))
        tensor([ 4., -2.])
    """
    return attributions.sum(dim=-2)


def select_peaks(curves: Tensor, percentile: float | Sequence[float]) -> Tensor:
    """Mark the frames at or above the curve's p-th percentile (linear interpolation, as numpy's default).

    A value is at or above the interpolated percentile exactly when it is at or above the next order
    statistic, so that statistic is the threshold and nothing is interpolated: the result depends neither
    on rounding nor on the floating-point type. Frames tied with the threshold are all peaks, hence every
    frame of a constant curve is.

    Args:
        curves: Frame curves, (..., T). Only ranks matter, so a z-score changes nothing.
        percentile: One percentile in [0, 100], or several.

    Returns:
        Peak frames, bool, (..., T) for one percentile and (..., P, T) for several.

    Raises:
        ValueError: If a percentile is out of range, the curves have no frame or contain NaN.

    Example:
        >>> import torch
        >>> select_peaks(torch.tensor([[0.0, 3.0, 1.0, 2.0, 4.0]]), 75)
        tensor([[False,  True, False, False,  True]])
        >>> select_peaks(torch.rand(2, 400), [90, 98]).sum(-1)
        tensor([[40,  8],
                [40,  8]])
    """
    if isinstance(percentile, Sequence):
        return _at_or_above(curves, percentile)
    return _at_or_above(curves, [percentile]).squeeze(-2)


def pointing_accuracy(peaks: Tensor, annotation: Tensor, frames_per_second: float = 40.0) -> Tensor:
    """Share of the peak frames that are annotated.

    The pointing game (Zhang et al., IJCV 2018) takes the highest frame alone. Under circular shifts of the peaks the
    mean is the annotated share of the clip.

    Args:
        peaks: Peak frames, bool, (..., T).
        annotation: Annotated frames, bool, broadcastable to ``peaks``.
        frames_per_second: Not used; measures of peaks share one signature.

    Returns:
        float64 (...), in [0, 1], higher is better, NaN without peaks.

    Example:
        >>> import torch
        >>> peaks = torch.tensor([[True, False, True, True]])
        >>> pointing_accuracy(peaks, torch.tensor([[True, True, False, False]]))
        tensor([0.3333], dtype=torch.float64)
    """
    return (peaks & annotation).sum(-1).double() / peaks.sum(-1)


def n_peaks(percentile: float, n_frames: int) -> int:
    """How many peaks a percentile gives in a curve without ties.

    Args:
        percentile: Percentile in [0, 100].
        n_frames: Number of frames T.

    Returns:
        A number from 1 to T.

    Raises:
        ValueError: If the percentile is out of range or there is no frame.

    Example:
        >>> [n_peaks(percentile, 400) for percentile in (90, 98, 99)]
        [40, 8, 4]
    """
    if n_frames < 1:
        raise ValueError(f"n_frames: {n_frames} is not a positive number of frames")
    return n_frames - _rank(percentile, n_frames)


def _at_or_above(curves: Tensor, percentiles: Sequence[float]) -> Tensor:
    n_frames = curves.shape[-1]
    if n_frames == 0:
        raise ValueError("curves have no frame to select peaks from")
    if curves.isnan().any():
        raise ValueError("curves contain NaN: their percentiles are undefined")
    ranks = [_rank(p, n_frames) for p in percentiles]
    thresholds = curves.sort(dim=-1).values[..., ranks]
    return curves.unsqueeze(-2) >= thresholds.unsqueeze(-1)


def _rank(percentile: float, n_frames: int) -> int:
    """Rank, from 0, of the smallest value at or above the percentile."""
    if not 0 <= percentile <= 100:
        raise ValueError(f"percentile: {percentile} is not between 0 and 100")
    # Rounded, so that a decimal percentile such as 99.9 does not land just above a whole rank.
    return math.ceil(round((n_frames - 1) * percentile / 100, 9))
