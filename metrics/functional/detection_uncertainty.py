"""Uncertainty of areas under the ROC: percentile bootstrap, normal and anomalous clips resampled apart."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from metrics.functional.uncertainty import Floats, Interval, resampling_blocks

_WEIGHTS_AT_ONCE = 2**20
"""Weights of clips held at a time, whatever the number of clips."""


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
    normal = ~anomalous
    limits = np.asarray(max_fprs, dtype=float)

    def areas(weights: tuple[Floats, Floats]) -> Floats:
        """Mean over the runs, (draws, K)."""
        return np.mean([_weighted_areas(run[normal], run[anomalous], *weights, limits) for run in of_runs], axis=0)

    sizes = [int(normal.sum()), int(anomalous.sum())]
    at_once = max(1, _WEIGHTS_AT_ONCE // len(anomalous))
    streams = [resampling_blocks(size, draws, (seed, stream), at_once) for stream, size in enumerate(sizes)]
    resampled = np.concatenate([areas(weights) for weights in zip(*streams, strict=True)])
    (estimate,) = areas((np.full((1, sizes[0]), 1 / sizes[0]), np.full((1, sizes[1]), 1 / sizes[1])))
    tail = (1 - confidence) / 2
    low, high = np.quantile(resampled, [tail, 1 - tail], axis=0)
    return Interval(estimate, low, high)


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
