"""Frames that annotated intervals mark."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

_ROUNDING = 1e-6
"""Frames by which a point at the end may lie after it, since few frame rates divide a time exactly."""


def frame_mask(intervals: Sequence[tuple[float, float]], n_frames: int, frames_per_second: float) -> Tensor:
    """Mark the frames inside intervals.

    Args:
        intervals: (start, end) in seconds, the end exclusive.
        n_frames: Number of frames T; what lies after them is cut off.
        frames_per_second: Frame rate.

    Returns:
        (T,) bool; each interval marks at least one frame, a point that of its time, unless it lies after the last. A
        point at the very end marks the last frame.

    Example:
        >>> frame_mask([(0.05, 0.1)], n_frames=6, frames_per_second=40)
        tensor([False, False,  True,  True, False, False])
    """
    mask = torch.zeros(n_frames, dtype=torch.bool)
    for start, end in intervals:
        first, stop = (min(time * frames_per_second, n_frames) for time in (start, end))
        if first < n_frames or start == end <= (n_frames + _ROUNDING) / frames_per_second:
            first_frame = min(round(first), n_frames - 1)
            mask[first_frame : max(first_frame + 1, round(stop))] = True
    return mask
