"""Uncertainty of means over clips: intervals, paired tests and their correction for being several.

Numbers of clips are small (46 annotated ones in the paper) and explanations are measured on the same clips by every
seed and model, so clips are what is resampled: runs that differ by seed are averaged within a clip first, and two
models are compared clip by clip.

The interval of a mean is bias-corrected and accelerated (BCa; Efron, JASA 1987): values of clips are bounded and
skewed, where plain percentiles of the bootstrap are off to one side. Areas under a ROC have percentile intervals, with
normal and anomalous clips resampled apart.

Arrays are NumPy's, as SciPy's statistics take them.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats
from scipy.special import ndtr, ndtri

Floats = NDArray[np.float64]

_MOST_EXACT = 300
"""Differences up to which the signed-rank test is exact, within milliseconds."""

_SAME = 1e-6
"""Means closer than this are ties: null distributions are kept in float32."""

DRAWS = 10_000
"""Bootstrap samples of a mean."""


class Interval(NamedTuple):
    """An estimate and its confidence interval, arrays of one shape.

    Attributes:
        mean: The estimate.
        low: Lower end.
        high: Upper end.
    """

    mean: Floats
    low: Floats
    high: Floats


class PairedComparison(NamedTuple):
    """Paired differences of two models on N clips.

    Attributes:
        difference: Mean difference, second minus first.
        low: Lower end of its bootstrap interval.
        high: Upper end.
        p_value: Of Wilcoxon's signed-rank test, two-sided.
        n_clips: N.
    """

    difference: float
    low: float
    high: float
    p_value: float
    n_clips: int


def bootstrap_mean(values: ArrayLike, confidence: float = 0.95, draws: int = DRAWS, seed: int = 0) -> Interval:
    """BCa bootstrap interval of the mean over clips.

    Args:
        values: (N, ...): N clips, and any number of columns, which share the resampled clips. Runs that differ by
            seed are averaged before (`over_seeds`).
        confidence: Coverage of the interval, in (0, 1).
        draws: Bootstrap samples.
        seed: Of the resampling.

    Returns:
        Mean and interval, each (...). Where all clips have one value the interval is that value; where one is NaN or
        there is no clip, all three are NaN.

    Raises:
        ValueError: If ``confidence`` is not in (0, 1), ``draws`` is not positive or there is no axis of clips.

    Example:
        >>> mean, low, high = bootstrap_mean([0.2, 0.4, 0.4, 0.5, 0.9, 0.6])
        >>> float(mean), bool(0.3 < low < 0.4), bool(0.6 < high < 0.75)
        (0.5, True, True)
    """
    values = np.asarray(values, dtype=float)
    if values.ndim == 0:
        raise ValueError("values: a single number has no axis of clips")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence: {confidence} is not between 0 and 1")
    if draws < 1:
        raise ValueError(f"draws: {draws} is not a positive number of samples")
    n_clips, shape = len(values), values.shape[1:]
    if n_clips == 0:
        return Interval(*(np.full(shape, np.nan) for _ in range(3)))
    columns = values.reshape(n_clips, -1)
    mean = columns.mean(axis=0)
    # Differences to the mean, so that equal values give means that are equal to the last bit.
    deviations = columns - mean
    resampled = mean + _resampling_weights(n_clips, draws, seed) @ deviations
    spread = np.abs(deviations).max(axis=0) > 1e-12
    ends = np.broadcast_to(mean, (2, len(mean))).copy()
    for i in np.flatnonzero(spread & np.isfinite(mean)):
        ends[:, i] = np.quantile(resampled[:, i], _bca_levels(resampled[:, i], deviations[:, i], mean[i], confidence))
    return Interval(mean.reshape(shape), ends[0].reshape(shape), ends[1].reshape(shape))


def over_seeds(values: ArrayLike) -> Floats:
    """Average runs that differ by seed within each clip.

    Args:
        values: (R, N, ...): R runs on the same N clips.

    Returns:
        (N, ...).

    Example:
        >>> over_seeds([[0.25, 0.5], [0.75, 0.5]])
        array([0.5, 0.5])
    """
    return np.asarray(values, dtype=float).mean(axis=0)


def compare_paired(
    first: ArrayLike, second: ArrayLike, confidence: float = 0.95, draws: int = DRAWS, seed: int = 0
) -> PairedComparison:
    """Compare two models on the same clips.

    Args:
        first: Values of the first model, (N,), or (R, N) from runs that differ by seed.
        second: Values of the second model on the same clips; if its runs are paired with the first's by seed the
            mean over seeds of the paired differences is the difference of the means over seeds.
        confidence: Coverage of the interval.
        draws: Bootstrap samples.
        seed: Of the resampling.

    Raises:
        ValueError: If the numbers of clips differ.

    Example:
        >>> found = compare_paired([0.1, 0.2, 0.3, 0.4, 0.5, 0.6], [0.3, 0.5, 0.4, 0.8, 0.6, 0.9])
        >>> round(found.difference, 3), round(found.p_value, 3)
        (0.233, 0.031)
    """
    by_clip = [over_seeds(np.atleast_2d(np.asarray(values, dtype=float))) for values in (first, second)]
    if by_clip[0].shape != by_clip[1].shape:
        raise ValueError(f"{len(by_clip[0])} and {len(by_clip[1])} clips cannot be paired")
    differences = by_clip[1] - by_clip[0]
    mean, low, high = bootstrap_mean(differences, confidence, draws, seed)
    return PairedComparison(float(mean), float(low), float(high), signed_rank_p_value(differences), len(differences))


def signed_rank_p_value(differences: ArrayLike) -> float:
    """Two-sided p-value of Wilcoxon's signed-rank test that paired differences are symmetric about 0.

    Exact up to 300 differences, ties included, which are the rule where values of clips are ratios of a few seconds;
    SciPy's normal approximation beyond.

    Args:
        differences: (N,). Zeros are left out, as Wilcoxon has it.

    Returns:
        The p-value; 1 where no difference is left, NaN where one is NaN.

    Example:
        >>> signed_rank_p_value([1.0, 2.0, 3.0, 4.0, 5.0])
        0.0625
    """
    # What is a zero or a tie on paper may be off by the last bits after averaging.
    rounded = np.round(np.asarray(differences, dtype=float), 12)
    if np.isnan(rounded).any():
        return float("nan")
    rounded = rounded[rounded != 0]
    if len(rounded) == 0:
        return 1.0
    if len(rounded) > _MOST_EXACT:
        return float(stats.wilcoxon(rounded).pvalue)
    # Mean ranks of ties end in .5, so doubled ones are whole.
    ranks = np.round(2 * stats.rankdata(np.abs(rounded))).astype(int)
    # Probability of each sum of positive ranks when every sign is a fair coin.
    probability = np.zeros(ranks.sum() + 1)
    probability[0] = 1.0
    for rank in ranks:
        probability[rank:] = (probability[rank:] + probability[:-rank]) / 2
        probability[:rank] /= 2
    positive = ranks[rounded > 0].sum()
    tail = min(probability[: positive + 1].sum(), probability[positive:].sum())
    return float(min(1.0, 2 * tail))


def holm(p_values: ArrayLike) -> Floats:
    """P-values of a family of tests, adjusted by Holm's step-down procedure (Scandinavian J. of Statistics 1979).

    Args:
        p_values: (K,); NaNs are no members of the family and stay NaN.

    Returns:
        Adjusted p-values (K,): reject those up to α to keep the chance of any false rejection at α or below.

    Example:
        >>> holm([0.01, 0.04, 0.03])
        array([0.03, 0.06, 0.06])
    """
    p_values = np.asarray(p_values, dtype=float)
    adjusted = np.full(p_values.shape, np.nan)
    members = np.flatnonzero(~np.isnan(p_values))
    ordered = members[np.argsort(p_values[members], kind="stable")]
    factors = np.arange(len(ordered), 0, -1)
    adjusted[ordered] = np.minimum(1.0, np.maximum.accumulate(factors * p_values[ordered]))
    return adjusted


def bootstrap_auroc(
    scores: ArrayLike,
    labels: ArrayLike,
    max_fprs: Sequence[float] = (1.0,),
    confidence: float = 0.95,
    draws: int = 1000,
    seed: int = 0,
) -> Interval:
    """Percentile bootstrap intervals of areas under the ROC, normal and anomalous clips resampled apart.

    Args:
        scores: Anomaly scores (N,), or (R, N) of runs that differ by seed, whose areas are averaged; the clips drawn
            are the same for all of them.
        labels: (N,) 1 anomalous, 0 normal.
        max_fprs: Largest false-positive rates of K partial areas, each standardised so that chance is 0.5 (McClish
            1989); 1 for the whole area.
        confidence: Coverage of the intervals.
        draws: Bootstrap samples.
        seed: Of the resampling.

    Returns:
        Areas and intervals, each (K,).

    Raises:
        ValueError: If a class is missing.

    Example:
        >>> bootstrap_auroc([1.0, 2.0, 3.0, 4.0], [0, 0, 1, 1])
        Interval(mean=array([1.]), low=array([1.]), high=array([1.]))
    """
    of_runs, anomalous = np.atleast_2d(np.asarray(scores, dtype=float)), np.asarray(labels) != 0
    if anomalous.all() or not anomalous.any():
        raise ValueError("labels hold one class only: the ROC needs both")
    # Below the drawn samples stands one that counts every clip once: the estimate itself.
    normal_weights, anomalous_weights = (
        np.vstack(
            [
                _resampling_weights(int(of_class.sum()), draws, (seed, stream)),
                np.full(of_class.sum(), 1 / of_class.sum()),
            ]
        )
        for stream, of_class in enumerate((~anomalous, anomalous))
    )
    limits = np.asarray(max_fprs, dtype=float)
    areas = np.mean(
        [
            _weighted_areas(run[~anomalous], run[anomalous], normal_weights, anomalous_weights, limits)
            for run in of_runs
        ],
        axis=0,
    )
    tail = (1 - confidence) / 2
    low, high = np.quantile(areas[:-1], [tail, 1 - tail], axis=0)
    return Interval(areas[-1], low, high)


def best_of_several_p_value(null: ArrayLike, draws: int = 10_000, seed: int = 0) -> float:
    """Permutation p-value of the highest of P means, with the choice of the highest allowed for.

    As `metrics.functional.chance.permutation_p_value` for one mean: under the null hypothesis the S values of a clip
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


@lru_cache(maxsize=8)
def _resampling_weights(n_clips: int, draws: int, seed: int | tuple[int, int]) -> Floats:
    """Share of each clip in each sample drawn with replacement, (draws, N)."""
    generator = np.random.default_rng(seed)
    weights = generator.multinomial(n_clips, np.full(n_clips, 1 / n_clips), size=draws) / n_clips
    weights.flags.writeable = False
    return weights


def _bca_levels(resampled: Floats, deviations: Floats, mean: float, confidence: float) -> Floats:
    """Levels (2,) at which the bootstrap distribution of one mean is cut."""
    below, above = (resampled < mean - 1e-12).mean(), (resampled <= mean + 1e-12).mean()
    bias = ndtri((below + above) / 2)
    # For a mean the jackknife's differences are the clips' own, up to a factor that cancels.
    acceleration = (deviations**3).sum() / (6 * (deviations**2).sum() ** 1.5)
    tail = ndtri((1 - confidence) / 2)
    z = bias + np.array([tail, -tail])
    levels: Floats = ndtr(bias + z / (1 - acceleration * z))
    return levels


def _weighted_areas(
    normal: Floats, anomalous: Floats, normal_weights: Floats, anomalous_weights: Floats, limits: Floats
) -> Floats:
    """Areas under the ROC of samples given as weights of the clips, which sum to 1 in each class.

    An anomalous clip lifts the true-positive rate at the false-positive rate u of its score, and so adds the width
    limit − u to the area left of the limit; one that is tied with normal clips lifts it evenly over their stretch.

    Args:
        normal: Scores (N0,).
        anomalous: Scores (N1,).
        normal_weights: (draws, N0).
        anomalous_weights: (draws, N1).
        limits: (K,) largest false-positive rates.

    Returns:
        (draws, K).
    """
    above = normal_weights @ (normal[:, None] > anomalous).astype(float)
    ties = normal[:, None] == anomalous
    stretch = normal_weights @ ties.astype(float) if ties.any() else np.zeros_like(above)
    areas = []
    for limit in limits:
        widest, narrowest = np.maximum(limit - above, 0), np.maximum(limit - above - stretch, 0)
        with np.errstate(invalid="ignore", divide="ignore"):
            width = np.where(stretch > 0, (widest**2 - narrowest**2) / (2 * stretch), widest)
        area = (anomalous_weights * width).sum(axis=1)
        chance = limit**2 / 2
        areas.append(area if limit == 1 else (1 + (area - chance) / (limit - chance)) / 2)
    return np.stack(areas, axis=1)
