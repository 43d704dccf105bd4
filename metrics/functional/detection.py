"""Detection of anomalous clips from raw anomaly scores: ROC, areas and their bootstrap intervals."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from metrics.functional.uncertainty import Floats, Interval, resampling_blocks

_WEIGHTS_AT_ONCE = 2**20  # in memory, whatever the number of clips


def anomaly_roc(scores: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Receiver operating characteristic of anomaly scores, one point per distinct score.

    Args:
        scores: Anomaly scores of any range, (N,), higher is more anomalous.
        labels: 1 or True for anomalous, 0 or False for normal, (N,).

    Returns:
        False-positive rates and true-positive rates, float64, (points,), from (0, 0) to (1, 1).

    Raises:
        ValueError: If shapes differ, a score is NaN or a class is missing.

    Example:
        >>> fpr, tpr = anomaly_roc(torch.tensor([51.0, 48.0, 49.0, 49.0]), torch.tensor([1, 0, 1, 0]))
        >>> fpr.tolist(), tpr.tolist()
        ([0.0, 0.0, 0.5, 1.0], [0.0, 0.5, 1.0, 1.0])
    """
    if scores.ndim != 1 or scores.shape != labels.shape:
        raise ValueError(f"scores {tuple(scores.shape)} and labels {tuple(labels.shape)} must both be (N,)")
    if scores.isnan().any():
        raise ValueError("scores contain NaN, which cannot be ranked")
    ordered, order = scores.sort(descending=True)
    anomalous = labels[order] != 0
    n_anomalous = int(anomalous.sum())
    if n_anomalous in {0, len(anomalous)}:
        missing = "anomalous" if n_anomalous == 0 else "normal"
        raise ValueError(f"labels contain no {missing} clip: the ROC needs both classes")

    # Clips that share a score pass a threshold together: one point for each run of ties.
    last_of_tie = torch.ones_like(anomalous)
    last_of_tie[:-1] = ordered[1:] != ordered[:-1]
    true_positives = anomalous.cumsum(0)[last_of_tie].double()
    false_positives = (~anomalous).cumsum(0)[last_of_tie].double()
    origin = true_positives.new_zeros(1)
    return (
        torch.cat([origin, false_positives / false_positives[-1]]),
        torch.cat([origin, true_positives / true_positives[-1]]),
    )


def anomaly_auroc(scores: Tensor, labels: Tensor, max_fpr: float | None = None) -> Tensor:
    """Area under the ROC of raw anomaly scores: nothing squashes or bins them.

    The area is a trapezoidal sum, so tied scores count half, as average ranks do.

    Args:
        scores: Anomaly scores of any range, (N,), higher is more anomalous.
        labels: 1 or True for anomalous, 0 or False for normal, (N,).
        max_fpr: Largest false-positive rate of a partial area, in (0, 1]. The partial area is
            standardised so that chance is 0.5 and perfection 1 (McClish, Medical Decision Making 1989),
            as in ``sklearn.metrics.roc_auc_score``.

    Returns:
        Area, float64 scalar, in [0, 1], higher is better, 0.5 at chance.

    Raises:
        ValueError: If ``max_fpr`` is out of range, shapes differ, a score is NaN or a class is missing.

    Example:
        >>> anomaly_auroc(torch.tensor([51.0, 48.0, 49.0, 49.0]), torch.tensor([1, 0, 1, 0]))
        tensor(0.8750, dtype=torch.float64)
    """
    if max_fpr is not None and not 0 < max_fpr <= 1:
        raise ValueError(f"max_fpr: {max_fpr} is not in (0, 1]")
    fpr, tpr = anomaly_roc(scores, labels)
    if max_fpr is None or max_fpr == 1:
        return torch.trapezoid(tpr, fpr)
    partial = _area_up_to(fpr, tpr, max_fpr)
    chance = max_fpr**2 / 2
    return (1 + (partial - chance) / (max_fpr - chance)) / 2


def oriented(values: Tensor, labels: Tensor) -> Tensor:
    """A property of clips as an anomaly score, its sign chosen so that the AUC is at least 0.5.

    For baselines such as the level of a clip, which may tell the classes apart in either direction. The sign is chosen
    with the labels, so that even a property that says nothing has an AUC slightly above 0.5.

    Args:
        values: The property, (N,), such as the level in dB.
        labels: 1 or True for anomalous, 0 or False for normal, (N,).

    Returns:
        The values, or their negatives where anomalous clips have the lower ones, (N,).

    Raises:
        ValueError: If shapes differ, a value is NaN or a class is missing.

    Example:
        >>> oriented(torch.tensor([-30.0, -20.0]), torch.tensor([1, 0]))
        tensor([30., 20.])
    """
    return values if anomaly_auroc(values, labels) >= 0.5 else -values


def bootstrap_auroc(
    scores: ArrayLike,
    labels: ArrayLike,
    max_fprs: Sequence[float] = (1.0,),
    confidence: float = 0.95,
    draws: int = 1000,
    seed: int = 0,
) -> Interval:
    """Percentile bootstrap intervals of areas under the ROC, normal and anomalous clips resampled separately.

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
    estimate, resampled = _resampled_areas(scores, labels, max_fprs, draws, seed)
    return _percentile_interval(estimate, resampled, confidence)


def bootstrap_auroc_difference(
    first: ArrayLike, second: ArrayLike, labels: ArrayLike, confidence: float = 0.95, draws: int = 1000, seed: int = 0
) -> Interval:
    """Percentile bootstrap interval of the difference of two models' areas under the ROC on the same clips.

    Normal and anomalous clips are resampled separately, and the clips drawn are the same for both models.

    Args:
        first: Anomaly scores of the first model, (N,), or (R, N) of runs that differ by seed, whose areas are averaged.
        second: Of the second model, likewise.
        labels: (N,) 1 anomalous, 0 normal.
        confidence: Coverage of the interval.
        draws: Bootstrap samples.
        seed: Of the resampling.

    Returns:
        Area of the second minus that of the first, with its interval; scalars.

    Raises:
        ValueError: If a class is missing.

    Example:
        >>> float(bootstrap_auroc_difference([4.0, 2.0, 3.0, 1.0], [1.0, 2.0, 3.0, 4.0], [0, 0, 1, 1]).mean)
        0.75
    """
    areas = [_resampled_areas(scores, labels, (1.0,), draws, seed) for scores in (first, second)]
    estimate, resampled = (after[..., 0] - before[..., 0] for before, after in zip(*areas, strict=True))
    return _percentile_interval(estimate, resampled, confidence)


def _resampled_areas(
    scores: ArrayLike, labels: ArrayLike, max_fprs: Sequence[float], draws: int, seed: int
) -> tuple[Floats, Floats]:
    """Areas (K,), mean over runs, and those of bootstrap samples, (draws, K)."""
    of_runs, anomalous = np.atleast_2d(np.asarray(scores, dtype=float)), np.asarray(labels) != 0
    if anomalous.all() or not anomalous.any():
        raise ValueError("labels contain one class only: the ROC needs both")
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
    return estimate, resampled


def _percentile_interval(estimate: Floats, resampled: Floats, confidence: float) -> Interval:
    tail = (1 - confidence) / 2
    low, high = np.quantile(resampled, [tail, 1 - tail], axis=0)
    return Interval(estimate, low, high)


def _area_up_to(fpr: Tensor, tpr: Tensor, max_fpr: float) -> Tensor:
    """Area under the curve left of ``max_fpr``, which cuts the segment it falls into."""
    stop = int((fpr <= max_fpr).sum())
    step = (max_fpr - fpr[stop - 1]) / (fpr[stop] - fpr[stop - 1])
    edge = tpr[stop - 1] + step * (tpr[stop] - tpr[stop - 1])
    return torch.trapezoid(
        torch.cat([tpr[:stop], edge.reshape(1)]),
        torch.cat([fpr[:stop], fpr.new_tensor([max_fpr])]),
    )


def _weighted_areas(
    normal: Floats, anomalous: Floats, normal_weights: Floats, anomalous_weights: Floats, limits: Floats
) -> Floats:
    """Areas under the ROC of samples given as weights of the clips, which sum to 1 in each class.

    An anomalous clip lifts the true-positive rate at the false-positive rate u of its score, and so adds the width
    limit − u to the area left of the limit; one that is tied with normal clips lifts it evenly over their stretch.
    Weights are (draws, clips) and limits, the largest false-positive rates, (K,); the result is (draws, K).
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
