"""Detection of anomalous clips from raw anomaly scores."""

from __future__ import annotations

import torch
from torch import Tensor


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
        raise ValueError("scores hold NaN: they cannot be ranked")
    ordered, order = scores.sort(descending=True)
    anomalous = labels[order] != 0
    n_anomalous = int(anomalous.sum())
    if n_anomalous in {0, len(anomalous)}:
        missing = "anomalous" if n_anomalous == 0 else "normal"
        raise ValueError(f"labels hold no {missing} clip: the ROC needs both classes")

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


def _area_up_to(fpr: Tensor, tpr: Tensor, max_fpr: float) -> Tensor:
    """Area under the curve left of ``max_fpr``, which cuts the segment it falls into."""
    stop = int((fpr <= max_fpr).sum())
    step = (max_fpr - fpr[stop - 1]) / (fpr[stop] - fpr[stop - 1])
    edge = tpr[stop - 1] + step * (tpr[stop] - tpr[stop - 1])
    return torch.trapezoid(
        torch.cat([tpr[:stop], edge.reshape(1)]),
        torch.cat([fpr[:stop], fpr.new_tensor([max_fpr])]),
    )
