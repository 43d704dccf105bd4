"""Circular shifts of frame curves: what an explanation would score if it pointed at other moments of its clip.

A shifted curve keeps everything of its curve but the place: as many peaks, as much in bursts. Percentiles do not
depend on the order of frames, so a shift of a curve shifts its peaks, and nothing is selected anew.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from metrics.functional.segments import hit_segments, scores_of_counts, segment_edges

_SHIFTS, _CURVES = range(2)


def circular_shift_f1(peaks: Tensor, annotation: Tensor, frames_per_second: float = 40.0) -> Tensor:
    """F1 of the segments under every circular shift of the peaks: the exact null distribution of a clip.

    Args:
        peaks: Peak frames, bool, (B, P, T).
        annotation: Annotated frames, bool, (B, T).
        frames_per_second: Frame rate.

    Returns:
        float64 (B, P, T), in [0, 1]: value s belongs to the peaks moved s frames later, those that leave at the end
        coming in at the start. Value 0 is the F1 of the peaks as they are.

    Raises:
        ValueError: If the shapes do not fit or the frame rate is not a positive number.

    Example:
        >>> peaks = torch.tensor([[[True, False, False, False]]])
        >>> circular_shift_f1(peaks, torch.tensor([[False, False, True, False]]), frames_per_second=2)
        tensor([[[0., 0., 1., 1.]]], dtype=torch.float64)
    """
    if peaks.ndim != 3 or annotation.shape != (peaks.shape[0], peaks.shape[2]):
        raise ValueError(f"peaks {tuple(peaks.shape)} and annotation {tuple(annotation.shape)} do not fit together")
    positive = hit_segments(annotation, frames_per_second)
    # A clip at a time: all clips at once would take (B, P, T, S) values.
    of_clips = [_shifted_f1(one, of_one, frames_per_second) for one, of_one in zip(peaks, positive, strict=True)]
    return torch.stack(of_clips) if of_clips else peaks.new_zeros(peaks.shape, dtype=torch.float64)


def values_under_shifts(
    compute: Callable[[Tensor, Tensor, float], Tensor],
    peaks: Tensor,
    annotation: Tensor,
    frames_per_second: float = 40.0,
) -> Tensor:
    """Any measure of peaks under every circular shift of them: the exact null distribution of a clip.

    Args:
        compute: From peaks (..., T), an annotation that broadcasts against them and the frame rate to values (...).
        peaks: Peak frames, bool, (B, P, T).
        annotation: Annotated frames, bool, (B, T).
        frames_per_second: Frame rate.

    Returns:
        (B, P, T): value s belongs to the peaks moved s frames later, value 0 to the peaks as they are.
    """
    every = torch.arange(peaks.shape[-1], device=peaks.device).unsqueeze(0)
    # One clip at a time: all clips at once would take (B, T, P, T) frames.
    clips = [
        compute(shift_frames(one.unsqueeze(0), every), of_one, frames_per_second).squeeze(0).movedim(0, -1)
        for one, of_one in zip(peaks, annotation, strict=True)
    ]
    return torch.stack(clips) if clips else peaks.new_zeros(peaks.shape, dtype=torch.float64)


def _shifted_f1(peaks: Tensor, positive: Tensor, frames_per_second: float) -> Tensor:
    """F1 of one clip under every shift, from peaks (P, T) and positive segments (S,)."""
    n_frames = peaks.shape[-1]
    # A shift by s brings frames start - s to end - s into the segment, so with the clip written twice in a row, a
    # difference of running sums counts its peaks.
    twice = torch.cat([peaks, peaks], dim=-1).cumsum(-1)
    running = F.pad(twice, (1, 0))
    edges = torch.tensor(segment_edges(n_frames, frames_per_second), device=peaks.device)
    starts, lengths = edges[:-1], edges.diff()
    shifts = torch.arange(n_frames, device=peaks.device)
    first = (starts - shifts.unsqueeze(1)) % n_frames
    predicted = running[:, first + lengths] > running[:, first]
    f1, _, _ = scores_of_counts(
        (predicted & positive).sum(-1), (predicted & ~positive).sum(-1), (~predicted & positive).sum(-1)
    )
    return f1


def check_shifts(shifts: int, n_frames: int) -> None:
    """Raise a ValueError if `n_frames` frames have fewer circular shifts than are to be drawn."""
    if not 0 <= shifts < n_frames:
        raise ValueError(f"shifts: {shifts} of {n_frames} frames can't be drawn; choose from 0 to {n_frames - 1}")


def draw_shifts(index: Tensor, n_frames: int, shifts: int, seed: int = 0) -> Tensor:
    """Draw circular shifts of clips, each clip's without repeats and none of them 0.

    They depend on the seed and the clip's index only, so that explainers, percentiles and runs are all compared
    under the same ones.

    Args:
        index: Indices of the clips, none negative, (B,).
        n_frames: Number of frames T.
        shifts: How many to draw, fewer than T.
        seed: Seed of the draw, not negative.

    Returns:
        Frames by which to shift, from 1 to T − 1, int64 (B, shifts), on the device of ``index``.

    Raises:
        ValueError: If T frames have fewer shifts.

    Example:
        >>> draw_shifts(torch.tensor([3, 4, 3]), n_frames=400, shifts=2)
        tensor([[201, 358],
                [353, 180],
                [201, 358]])
    """
    check_shifts(shifts, n_frames)
    drawn = [1 + _generator(seed, i, _SHIFTS).choice(n_frames - 1, shifts, replace=False) for i in index.tolist()]
    return torch.tensor(np.array(drawn).reshape(len(index), shifts), device=index.device)


def draw_curves(index: Tensor, n_frames: int, seed: int = 0) -> Tensor:
    """Draw a curve of each clip that puts its frames in random order, so that its peaks are random frames.

    Args:
        index: Indices of the clips, none negative, (B,).
        n_frames: Number of frames T.
        seed: Seed of the draw, not negative.

    Returns:
        Ranks from 0 to T − 1, int64 (B, T), on the device of ``index``; they depend on seed and index only.
    """
    drawn = [_generator(seed, i, _CURVES).permutation(n_frames) for i in index.tolist()]
    return torch.tensor(np.array(drawn).reshape(len(index), n_frames), device=index.device)


def shift_frames(frames: Tensor, shifts: Tensor) -> Tensor:
    """Move frames later, those that leave at the end coming in at the start.

    Args:
        frames: Values or marks of frames, (B, ..., T).
        shifts: Frames by which to move, (B, S).

    Returns:
        (B, S, ..., T).

    Example:
        >>> shift_frames(torch.tensor([[1, 2, 3]]), torch.tensor([[1, 2]]))
        tensor([[[3, 1, 2],
                 [2, 3, 1]]])
    """
    n_frames = frames.shape[-1]
    source = (torch.arange(n_frames, device=frames.device) - shifts.unsqueeze(-1)) % n_frames
    between = frames.ndim - 2
    shape = (*shifts.shape, *frames.shape[1:])
    source = source[(..., *[None] * between, slice(None))].expand(shape)
    return frames.unsqueeze(1).expand(shape).gather(-1, source)


def _generator(seed: int, index: int, purpose: int) -> np.random.Generator:
    """A clip's own stream of random numbers for a purpose."""
    return np.random.default_rng((seed, index, purpose))
