"""Chance levels of measures, their distance from chance, and permutation p-values."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from metrics.functional.peaks import n_peaks
from metrics.functional.references import REFERENCE_NAMES, reference_f1
from metrics.functional.shifts import circular_shift_f1

_SAME = 1e-6
"""Means closer than this differ by rounding only (null distributions are kept in float32), so they are ties."""


def permutation_p_value(null: Tensor, draws: int = 10_000, seed: int = 0) -> float:
    """Probability that chance alone brings the mean over clips to the observed value or above.

    Under the null hypothesis a curve is not tied to its clip's time axis, so a clip's values under its shifts are
    exchangeable and the observed one is any of them. One is picked of each clip, independently, and the mean taken;
    p = (1 + number of means at or above the observed) / (draws + 1). It is never 0, and p ≤ α has a probability of
    at most α under the hypothesis (Phipson & Smyth, 2010).

    Args:
        null: Values of N clips under S shifts, (N, S), the observed one at position 0.
        draws: How many means to draw.
        seed: Seed of the draws.

    Returns:
        A probability in [1 / (draws + 1), 1], NaN without clips or where a value is NaN.

    Raises:
        ValueError: If the null has not two dimensions, contains nothing but the observed values, or ``draws`` is not
            positive.

    Example:
        Of the four means that a pick from each of two clips can have, only the observed one reaches 1.

        >>> round(permutation_p_value(torch.tensor([[1.0, 0.0], [1.0, 0.0]])), 1)
        0.2
    """
    if null.ndim != 2 or null.shape[1] < 2:
        raise ValueError(f"null {tuple(null.shape)} does not contain an observed value and others of N clips, (N, S)")
    if draws < 1:
        raise ValueError(f"draws: {draws} is not a positive number")
    null = null.cpu().double()
    if len(null) == 0 or null.isnan().any():
        return float("nan")
    generator = torch.Generator().manual_seed(seed)
    picks = torch.randint(null.shape[1], (len(null), draws), generator=generator)
    means = null.gather(1, picks).mean(0)
    return (1 + int((means >= null[:, 0].mean() - _SAME).sum())) / (draws + 1)


def best_of_several_p_value(null: ArrayLike, draws: int = 10_000, seed: int = 0) -> float:
    """Permutation p-value of the highest of P means that accounts for choosing the highest.

    As `permutation_p_value` for one mean: under the null hypothesis the S values of a clip
    are exchangeable, so one is drawn for every clip, the same one at all P, and the highest of the P means over clips
    is compared with the observed one.

    Args:
        null: (N, P, S) values of N clips under S exchangeable arrangements, the observed one at position 0.
        draws: Random arrangements.
        seed: Of the draws.

    Returns:
        (1 + number of draws that reach the observed value) / (draws + 1); NaN where a value is NaN.

    Example:
        >>> best_of_several_p_value([[[0.9, 0.1], [0.5, 0.5]], [[0.9, 0.1], [0.5, 0.5]]], draws=10_000) > 0.2
        True
    """
    null = np.asarray(null, dtype=float)
    if np.isnan(null).any():
        return float("nan")
    n_clips, _, n_values = null.shape
    chosen = np.random.default_rng(seed).integers(n_values, size=(draws, n_clips))
    means = sum(null[i].T[chosen[:, i]] for i in range(n_clips)) / n_clips
    observed = null[..., 0].mean(axis=0).max()
    return float((1 + np.count_nonzero(means.max(axis=1) >= observed - _SAME)) / (draws + 1))


def chance_level(null: Tensor, all_shifts: bool) -> Tensor:
    """Mean value of each clip under circular shifts of its curve.

    Args:
        null: Values under S shifts, (..., S), the observed one at position 0.
        all_shifts: Whether the shifts are all there are, of which the observed one is part; otherwise they are a
            sample, in which it would weigh too much.

    Returns:
        (...), NaN where nothing was shifted.

    Example:
        >>> chance_level(torch.tensor([0.9, 0.3, 0.3]), all_shifts=True)
        tensor(0.5000)
        >>> chance_level(torch.tensor([0.9, 0.3, 0.3]), all_shifts=False)
        tensor(0.3000)
    """
    return (null if all_shifts else null[..., 1:]).mean(-1)


def chance_corrected(value: Tensor, chance: Tensor, oracle: Tensor) -> Tensor:
    """Share of the way from chance to the oracle: (value − chance) / (oracle − chance).

    Give it means over clips: a clip whose oracle hardly beats chance would dominate a mean of quotients.

    Args:
        value: Measured values, (...).
        chance: Values of chance, broadcastable to ``value``.
        oracle: Values of an oracle, broadcastable to ``value``.

    Returns:
        (...), 0 at chance, 1 at the oracle, negative below chance; NaN where the oracle is not above chance, so that
        the quotient is undefined. Above 1 where the value exceeds the oracle's, which is possible for faithfulness:
        its oracle is chosen using the annotation, not the model's error.

    Example:
        >>> chance_corrected(torch.tensor([0.75, 0.5]), chance=torch.tensor(0.5), oracle=torch.tensor([1.0, 0.5]))
        tensor([0.5000,    nan])
    """
    return torch.where(oracle > chance, (value - chance) / (oracle - chance), torch.nan)


def chance_levels(
    annotation: Tensor, percentiles: Sequence[float], frames_per_second: float = 40.0
) -> dict[str, Tensor]:
    """Chance-level F1 of annotated clips, mean over the clips, at each percentile. Needs annotations only.

    Args:
        annotation: Annotated frames, bool, (N, T).
        percentiles: P percentiles in [0, 100].
        frames_per_second: Frame rate.

    Returns:
        Values (P,), float64, of ``random_frames`` (expected value of frames drawn at random), ``random_run`` (of a
        single run of adjacent frames, over all its places, running on at the start where it leaves at the end),
        ``all_frames`` (every frame) and ``oracle`` (the best choice, knowing the annotation), each but ``all_frames``
        with as many frames as the percentile gives.

    Example:
        >>> annotation = torch.zeros(1, 400, dtype=torch.bool)
        >>> annotation[0, 160:320] = True
        >>> {name: round(value.item(), 3) for name, value in chance_levels(annotation, [98]).items()}
        {'random_frames': 0.468, 'random_run': 0.179, 'all_frames': 0.571, 'oracle': 1.0}
    """
    n_frames = annotation.shape[-1]
    counts = torch.tensor([n_peaks(percentile, n_frames) for percentile in percentiles])
    run = torch.arange(n_frames) < counts.unsqueeze(1)
    of_clips = circular_shift_f1(
        run.to(annotation.device).expand(len(annotation), -1, -1), annotation, frames_per_second
    )
    means = dict(zip(REFERENCE_NAMES, reference_f1(annotation, percentiles, frames_per_second).mean(0), strict=True))
    return {"random_frames": means["random_frames"], "random_run": of_clips.mean((0, 2)), **means}
