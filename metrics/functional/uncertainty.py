"""Uncertainty of means over clips: intervals, paired tests and their correction for being several.

Numbers of clips are small (46 annotated ones in the paper) and explanations are measured on the same clips by every
seed and model, so clips are what is resampled: runs that differ by seed are averaged within a clip first, and two
models are compared clip by clip.

The interval of a mean is bias-corrected and accelerated (BCa; Efron, JASA 1987): values of clips are bounded and
skewed, where plain percentiles of the bootstrap are off to one side.

Arrays are NumPy's, as SciPy's statistics take them.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import scipy  # imports its parts when they are first used
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

_MOST_EXACT = 300
"""Differences up to which the signed-rank test is exact, within milliseconds."""

DRAWS = 10_000
"""Bootstrap samples of a mean."""

LEAST_MACHINES = 3
"""Machines from which on differences are summarised."""


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


class RandomEffects(NamedTuple):
    """A difference over several machines, each of which has its own.

    Attributes:
        mean: Mean of the distribution of differences.
        low: Lower end of its confidence interval.
        high: Upper end.
        spread: Standard deviation of the differences between machines, beyond what their own uncertainty explains.
    """

    mean: float
    low: float
    high: float
    spread: float


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
    resampled = mean + resampling_weights(n_clips, draws, seed) @ deviations
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
        return float(scipy.stats.wilcoxon(rounded).pvalue)
    # Mean ranks of ties end in .5, so doubled ones are whole.
    ranks = np.round(2 * scipy.stats.rankdata(np.abs(rounded))).astype(int)
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
        p_values: (K,); NaNs do not count and stay NaN.

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


def random_effects(differences: ArrayLike, standard_errors: ArrayLike, confidence: float = 0.95) -> RandomEffects:
    """Summarise the differences of several machines by a random-effects meta-analysis.

    The variance between machines is Paule and Mandel's estimate (J. of Research of the National Bureau of Standards
    1982), and the interval that of Hartung and Knapp (Statistics in Medicine 2001) with a t-distribution, which keeps
    its coverage with few machines. It is never narrower than without their correction of the standard error (Röver et
    al., BMC Medical Research Methodology 2015).

    Args:
        differences: (M,) one per machine.
        standard_errors: (M,) their standard errors, positive.
        confidence: Coverage of the interval.

    Raises:
        ValueError: If there are fewer than three machines, from which a variance between machines can't be judged, or a
            standard error is not positive.

    Example:
        >>> found = random_effects([0.0, 0.1, 0.2], [0.01, 0.01, 0.01])
        >>> round(found.mean, 3), round(found.spread, 3)
        (0.1, 0.099)
    """
    effects, errors = np.asarray(differences, dtype=float), np.asarray(standard_errors, dtype=float)
    if len(effects) < LEAST_MACHINES:
        raise ValueError(f"{len(effects)} machines are fewer than {LEAST_MACHINES}")
    if not (errors > 0).all():
        raise ValueError("standard_errors: not all are positive")
    from statsmodels.stats.meta_analysis import combine_effects  # noqa: PLC0415  takes a second

    # "dl", DerSimonian and Laird's estimate, may be negative there.
    found = combine_effects(effects, errors**2, method_re="iterated")
    error = max(found.sd_eff_w_re, found.sd_eff_w_re_hksj)
    half = scipy.stats.t.ppf((1 + confidence) / 2, len(effects) - 1) * error
    mean = float(found.mean_effect_re)
    return RandomEffects(mean, mean - float(half), mean + float(half), float(np.sqrt(found.tau2)))


@lru_cache(maxsize=8)
def resampling_weights(n_clips: int, draws: int, seed: int | tuple[int, int]) -> Floats:
    """Share of each clip in each sample drawn with replacement, (draws, N), not to be written to."""
    (weights,) = resampling_blocks(n_clips, draws, seed, draws)
    weights.flags.writeable = False
    return weights


def resampling_blocks(n_clips: int, draws: int, seed: int | tuple[int, int], at_once: int) -> Iterator[Floats]:
    """Rows of :func:`resampling_weights`, so many at a time, the same whatever their number."""
    generator, evenly = np.random.default_rng(seed), np.full(n_clips, 1 / n_clips)
    for first in range(0, draws, at_once):
        yield generator.multinomial(n_clips, evenly, size=min(at_once, draws - first)) / n_clips


def _bca_levels(resampled: Floats, deviations: Floats, mean: float, confidence: float) -> Floats:
    """Levels (2,) at which the bootstrap distribution of one mean is cut."""
    below, above = (resampled < mean - 1e-12).mean(), (resampled <= mean + 1e-12).mean()
    bias = scipy.special.ndtri((below + above) / 2)
    # For a mean the jackknife's differences are the clips' own, up to a factor that cancels.
    acceleration = (deviations**3).sum() / (6 * (deviations**2).sum() ** 1.5)
    tail = scipy.special.ndtri((1 - confidence) / 2)
    z = bias + np.array([tail, -tail])
    levels: Floats = scipy.special.ndtr(bias + z / (1 - acceleration * z))
    return levels
