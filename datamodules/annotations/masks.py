"""Frames that annotated intervals mark."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def frame_mask(intervals: Sequence[tuple[float, float]], n_frames: int, frames_per_second: float) -> Tensor:
    """Mark the frames inside intervals.

    Args:
        intervals: (start, end) in seconds, the end exclusive.
        n_frames: Number of frames T; what lies behind them is cut off.
        frames_per_second: Frame rate.

    Returns:
        (T,) bool; each interval marks at least one frame, unless it lies behind the last.

    Example:
        >>> frame_mask([(0.05, 0.1)], n_frames=6, frames_per_second=40)
        tensor([False, False,  True,  True, False, False])
    """
    mask = torch.zeros(n_frames, dtype=torch.bool)
    for start, end in intervals:
        first = round(start * frames_per_second)
        mask[first : max(first + 1, round(end * frames_per_second))] = True
    return mask
