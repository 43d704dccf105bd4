"""Conformal p-values and alarm thresholds from the anomaly scores of normal recordings.

A new normal score that is exchangeable with n normal scores is equally likely to take each rank among them, whatever
their distribution. So it exceeds the threshold below with a probability of at most alpha, and its p-value is at most
alpha with at most that probability (Vovk, Gammerman & Shafer, 2005; Bates et al., Annals of Statistics 2023). n scores
say nothing about rates below 1 / (n + 1).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

_ROUNDING = 1e-9  # of alpha (n + 1), which is 28.999999999999996 for 0.29 · 100


def conformal_p_values(scores: ArrayLike, calibration: ArrayLike) -> NDArray[np.float64]:
    """Share of normal scores at least as high, with the new score counted among them.

    Args:
        scores: Anomaly scores, (N,), higher is more anomalous.
        calibration: Scores of normal recordings, (n,).

    Returns:
        (1 + number of calibration scores ≥ score) / (n + 1), (N,), from 1 / (n + 1) to 1.

    Example:
        >>> conformal_p_values([5.0, 2.0, 0.0], [1.0, 2.0, 3.0])
        array([0.25, 0.75, 1.  ])
    """
    ordered = np.sort(np.asarray(calibration, dtype=float))
    below = np.searchsorted(ordered, np.asarray(scores, dtype=float), side="left")
    return (1 + len(ordered) - below) / (len(ordered) + 1)


def conformal_threshold(calibration: ArrayLike, alpha: float) -> float:
    """The score that exactly those scores exceed whose conformal p-value is at most alpha.

    Args:
        calibration: Scores of normal recordings, (n,).
        alpha: Highest probability of a false alarm.

    Returns:
        The k-th highest calibration score, with k = ⌊alpha (n + 1)⌋; infinity if k is 0, minus infinity if it is n + 1.

    Example:
        >>> conformal_threshold([1.0, 2.0, 3.0], 0.5), conformal_threshold([1.0, 2.0, 3.0], 0.2)
        (2.0, inf)
    """
    ordered = np.sort(np.asarray(calibration, dtype=float))[::-1]
    rank = math.floor(alpha * (len(ordered) + 1) + _ROUNDING)
    if rank < 1:
        return math.inf
    return float(ordered[rank - 1]) if rank <= len(ordered) else -math.inf


def smallest_alpha(n: int) -> float:
    """The lowest probability of a false alarm that n calibration scores can promise.

    Example:
        >>> smallest_alpha(19)
        0.05
    """
    return 1 / (n + 1)


def needed_scores(alpha: float) -> int:
    """The number of calibration scores that a probability of a false alarm needs, at least.

    Example:
        >>> needed_scores(0.05), needed_scores(0.1), needed_scores(0.3)
        (19, 9, 3)
    """
    return max(1, math.ceil(1 / alpha - _ROUNDING) - 1)
