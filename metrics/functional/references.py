"""References that need no explanation: random frames, all frames, and an oracle chosen using the annotation."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import accumulate, compress, pairwise

import numpy as np
import scipy  # imports its parts when they are first used
import torch
from numpy.typing import NDArray
from torch import Tensor

from metrics.functional.peaks import n_peaks, select_peaks
from metrics.functional.segments import hit_segments, segment_edges, segment_f1
from metrics.functional.shifts import draw_curves

REFERENCE_NAMES = ("random_frames", "all_frames", "oracle")
"""Names of the references, in the order in which functions return them."""


def reference_f1(annotation: Tensor, percentiles: Sequence[float], frames_per_second: float = 40.0) -> Tensor:
    """F1 of random frames, of all frames and of an oracle, each with as many frames as a percentile gives.

    Args:
        annotation: Annotated frames, bool, (B, T).
        percentiles: P percentiles in [0, 100].
        frames_per_second: Frame rate.

    Returns:
        float64 (B, 3, P) in the order of ``REFERENCE_NAMES``.

    Raises:
        ValueError: If a percentile is out of range or the frame rate is not a positive number.
    """
    counts = [n_peaks(percentile, annotation.shape[-1]) for percentile in percentiles]
    everything = segment_f1(torch.ones_like(annotation), annotation, frames_per_second)
    return torch.stack(
        [
            random_frames_f1(annotation, counts, frames_per_second),
            everything.unsqueeze(-1).expand(-1, len(counts)),
            oracle_f1(annotation, counts, frames_per_second),
        ],
        dim=1,
    )


def reference_frames(annotation: Tensor, percentiles: Sequence[float], index: Tensor, seed: int = 0) -> Tensor:
    """Frames of the references, as many as each percentile gives: what they are to replace in a clip.

    Args:
        annotation: Annotated frames, bool, (B, T).
        percentiles: P percentiles in [0, 100].
        index: Indices of the clips, none negative, (B,).
        seed: Seed of the random frames, not negative; they depend on it and on the index only.

    Returns:
        bool (B, 3, P, T) in the order of ``REFERENCE_NAMES``. The oracle's frames are spread evenly over the annotated
        ones (``spread_frames``).

    Raises:
        ValueError: If a percentile is out of range.
    """
    n_frames = annotation.shape[-1]
    random = select_peaks(draw_curves(index, n_frames, seed).to(annotation.device), percentiles)
    oracle = spread_frames(annotation, [n_peaks(percentile, n_frames) for percentile in percentiles])
    return torch.stack([random, torch.ones_like(random), oracle], dim=1)


def random_frames_f1(annotation: Tensor, counts: Sequence[int], frames_per_second: float = 40.0) -> Tensor:
    """Expected F1 of frames drawn at random without replacement; exact, nothing is sampled.

    Args:
        annotation: Annotated frames, bool, (B, T).
        counts: Numbers of frames to draw, K of them, each from 1 to T.
        frames_per_second: Frame rate.

    Returns:
        float64 (B, K).

    Example:
        Two of four frames: a draw within the first segment, of which there is one in six, scores 1; one within
        the second 0; the other four hit both, with a precision of a half.

        >>> random_frames_f1(torch.tensor([[True, False, False, False]]), [2], frames_per_second=2)
        tensor([[0.6111]], dtype=torch.float64)
    """
    lengths, uncounted = _lengths(annotation.shape[-1], frames_per_second)
    rows = [
        _expected_f1(*_split(lengths, positive), uncounted, tuple(counts))
        for positive in hit_segments(annotation, frames_per_second).tolist()
    ]
    return torch.tensor(rows, dtype=torch.float64, device=annotation.device).reshape(len(annotation), len(counts))


def oracle_f1(annotation: Tensor, counts: Sequence[int], frames_per_second: float = 40.0) -> Tensor:
    """Best F1 that a number of frames can reach, chosen using the annotation.

    One frame hits a segment, so the best choice gives each positive segment a frame while there are frames, then
    fills the positive segments and the frames at the end of the clip that are in no second, and only what these
    cannot hold goes to negative segments, the longest first. With x positive segments hit of a, and y negative ones,
    F1 = 2x / (x + y + a): it increases with x and decreases with y, and no choice has a greater x or a smaller y.
    Below 1 there are either too few frames for all positive segments, or more than fit into them.

    Args:
        annotation: Annotated frames, bool, (B, T).
        counts: Numbers of frames, K of them, each from 1 to T.
        frames_per_second: Frame rate.

    Returns:
        float64 (B, K).

    Example:
        >>> annotation = torch.tensor([[True, False, True, False, False, False]])
        >>> oracle_f1(annotation, [1, 2, 5], frames_per_second=2)
        tensor([[0.6667, 1.0000, 0.8000]], dtype=torch.float64)
    """
    lengths, uncounted = _lengths(annotation.shape[-1], frames_per_second)
    rows = [
        [_best_f1(*_split(lengths, positive), uncounted, count) for count in counts]
        for positive in hit_segments(annotation, frames_per_second).tolist()
    ]
    return torch.tensor(rows, dtype=torch.float64, device=annotation.device).reshape(len(annotation), len(counts))


def spread_frames(annotation: Tensor, counts: Sequence[int]) -> Tensor:
    """Mark frames spread evenly over the annotated ones; where there are more, all of these and evenly over the rest.

    Args:
        annotation: Annotated frames, bool, (B, T).
        counts: Numbers of frames to mark, K of them, each from 0 to T.

    Returns:
        bool (B, K, T).

    Example:
        >>> spread_frames(torch.tensor([[False, True, True, True, False]]), [1, 2, 4]).int()
        tensor([[[0, 0, 1, 0, 0],
                 [0, 1, 0, 1, 0],
                 [0, 1, 1, 1, 1]]], dtype=torch.int32)
    """
    marked = annotation.new_zeros(len(annotation), len(counts), annotation.shape[-1])
    for clip, of_clip in enumerate(annotation):
        inside, outside = of_clip.nonzero().squeeze(1), (~of_clip).nonzero().squeeze(1)
        for k, count in enumerate(counts):
            within = min(count, len(inside))
            marked[clip, k, _evenly(inside, within)] = True
            marked[clip, k, _evenly(outside, count - within)] = True
    return marked


def _evenly(frames: Tensor, count: int) -> Tensor:
    """Pick frames in the middles of as many equal parts."""
    return frames[torch.arange(count, device=frames.device).mul(2).add(1).mul(len(frames)) // max(2 * count, 1)]


def _lengths(n_frames: int, frames_per_second: float) -> tuple[list[int], int]:
    """Frames in each segment, (S,), and the number of frames in none."""
    edges = segment_edges(n_frames, frames_per_second)
    return [end - start for start, end in pairwise(edges)], n_frames - edges[-1]


def _split(lengths: Sequence[int], positive: Sequence[bool]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Lengths of the positive and of the negative segments, longest first: nothing else of a clip matters."""
    negative = [not is_positive for is_positive in positive]
    chosen, others = (tuple(sorted(compress(lengths, which), reverse=True)) for which in (positive, negative))
    return chosen, others


def _best_f1(positive: tuple[int, ...], negative: tuple[int, ...], uncounted: int, count: int) -> float:
    if not positive:
        return 0.0
    hit, left = min(count, len(positive)), count - sum(positive) - uncounted
    spilled = sum(filled < left for filled in accumulate(negative, initial=0))
    return 2 * hit / (hit + spilled + len(positive))


@lru_cache(maxsize=1024)
def _expected_f1(
    positive: tuple[int, ...], negative: tuple[int, ...], uncounted: int, counts: tuple[int, ...]
) -> tuple[float, ...]:
    """Expected F1 when frames are drawn from segments of these lengths and from frames in no segment.

    How many of the frames fall into segments, and how many of those into positive ones, is hypergeometric; given that,
    what is hit among the positive segments and among the negative ones is independent.
    """
    if not positive:
        return (0.0,) * len(counts)
    in_positive, in_segments = sum(positive), sum(positive) + sum(negative)
    hits, false_hits = (_hit_probabilities(lengths, max(counts)) for lengths in (positive, negative))
    x, y = np.ix_(np.arange(len(positive) + 1), np.arange(len(negative) + 1))
    f1 = 2 * x / (x + y + len(positive))

    def expected(count: int) -> float:
        inside = np.arange(count + 1)
        share = scipy.stats.hypergeom.pmf(inside, in_segments, in_positive, count)
        return float(np.einsum("j,jx,jy,xy", share, hits[inside], false_hits[count - inside], f1))

    values = []
    for count in counts:
        counted = np.arange(max(0, count - uncounted), min(count, in_segments) + 1)
        share = scipy.stats.hypergeom.pmf(counted, in_segments + uncounted, in_segments, count)
        values.append(float(share @ [expected(number) for number in counted.tolist()]))
    return tuple(values)


def _hit_probabilities(lengths: Sequence[int], most: int) -> NDArray[np.float64]:
    """Probability that j frames drawn from segments of these lengths hit exactly x of the segments.

    Segments are added one by one: of j frames drawn from all so far, the number that falls into the new one is
    hypergeometric. All terms are probabilities, so nothing cancels or overflows, as binomial coefficients would. The
    result is (most + 1, segments + 1) for j from 0 to `most`; rows with more frames than there are mean nothing.
    """
    table = np.eye(most + 1, 1)
    total = 0
    for length in lengths:
        total += length
        drawn, new = np.ix_(np.arange(most + 1), np.arange(min(length, most) + 1))
        share = scipy.stats.hypergeom.pmf(new, total, length, np.minimum(drawn, total))
        before = table[np.maximum(drawn - new, 0)]
        missed = np.pad(share[:, :1] * table, ((0, 0), (0, 1)))
        hit = np.pad(np.einsum("ji,jix->jx", share[:, 1:], before[:, 1:]), ((0, 0), (1, 0)))
        table = missed + hit
    return table
