"""Whether new sound is like normal sound: how unusual it is, and whether most of it is.

The p-values are conformal: valid whatever the distribution, if new and normal values are exchangeable. Most of a
recording has to be unusual, so that a machine that is broken for seconds is no drift. What is said about most of it
holds however its parts depend on each other.
"""

from __future__ import annotations

import math

import numpy as np
import scipy  # imports its parts when they are first used
from numpy.typing import ArrayLike, NDArray


def unusualness_p_values(values: ArrayLike, normal: ArrayLike) -> NDArray[np.float64]:
    """Share of values at least as far from the mean of all, for a new value among the normal ones.

    The mean is over the normal values and the new one, so that none has a part in it that the others don't have
    (full conformal prediction: Vovk, Gammerman & Shafer, Algorithmic Learning in a Random World, 2005, section 2.2).
    Distances from the mean of the normal values alone would be greater for new ones: p-values would be too small.

    Args:
        values: New values, (N, D).
        normal: Normal values, (n, D).

    Returns:
        (1 + number of normal values at least as far) / (n + 1), (N,), from 1 / (n + 1) to 1; far is the mean absolute
        difference over the D components.

    Example:
        >>> unusualness_p_values([[9.0], [2.0]], [[1.0], [2.0], [3.0]])
        array([0.25, 1.  ])
    """
    values, normal = np.asarray(values, dtype=float), np.asarray(normal, dtype=float)
    n, total = len(normal), normal.sum(axis=0)
    as_far = np.empty(len(values))
    for row, value in enumerate(values):  # in turn, as memory for all (N, n, D) would be large
        mean = (total + value) / (n + 1)
        as_far[row] = (np.abs(normal - mean).mean(axis=1) >= np.abs(value - mean).mean()).sum()
    return (1 + as_far) / (n + 1)


def majority_p_value(p_values: ArrayLike) -> float:
    """One p-value for most of several, which may depend on each other in any way.

    More than half of K p-values are at most a with a probability of at most K a / k, where k is the least number that
    is more than half: their expected number is at most K a (Markov's inequality; Rüger, Metrika 1978; Vovk & Wang,
    Biometrika 2020).

    Args:
        p_values: K valid p-values, (K,).

    Returns:
        K / k times the k-th lowest, at most 1.

    Example:
        >>> majority_p_value([0.02]), majority_p_value([0.01, 0.5, 0.03, 0.75, 0.02])
        (0.02, 0.05)
    """
    ordered = np.sort(np.asarray(p_values, dtype=float))
    return min(1.0, majority_factor(len(ordered)) * float(ordered[len(ordered) // 2]))


def majority_factor(n: int) -> float:
    """What the p-value of a majority costs: n divided by the least number that is more than half of it, from 1 to 2.

    Example:
        >>> majority_factor(1), majority_factor(3), majority_factor(1000)
        (1.0, 1.5, 1.996007984031936)
    """
    return n / (n // 2 + 1)


def count_p_value(count: int, of: int, n: int, alpha: float) -> float:
    """Probability that as many of several new values are unusual, if they are exchangeable with the normal ones.

    All of them are compared with the same normal values, so that the number whose conformal p-value is at most
    r / (n + 1) has a beta-binomial distribution (Pólya's urn: Gazin, Blanchard & Roquain, AISTATS 2024).

    Args:
        count: New values whose p-value is at most alpha.
        of: New values, at least one.
        n: Normal values.
        alpha: Probability that a new value is unusual, 1 / (n + 1) at least and below 1.

    Returns:
        The probability of at least as many.

    Example:
        >>> round(count_p_value(2, of=2, n=3, alpha=0.25), 6)  # the two highest of five are new: 1 of 10 pairs
        0.1
    """
    rank = math.floor(alpha * (n + 1) + 1e-9)
    return min(1.0, float(scipy.stats.betabinom.pmf(np.arange(count, of + 1), of, rank, n + 1 - rank).sum()))
