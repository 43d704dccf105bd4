"""Area under the ROC over the clips of a run."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from metrics.clip_metric import ClipMetric
from metrics.functional.detection import anomaly_auroc


class AnomalyAUROC(ClipMetric):
    """Area under the ROC of raw anomaly scores, in [0, 1], higher is better.

    Scores are ranked as they are. (``torchmetrics.AUROC`` sends scores outside [0, 1] through a sigmoid,
    batch by batch, and loses the ranks of squared errors.) See ``metrics.functional.anomaly_auroc``.

    Args:
        max_fpr: Largest false-positive rate of a standardised partial area, in (0, 1]; None for the whole
            area.
        kwargs: Options of ``torchmetrics.Metric``.

    Example:
        >>> metric = AnomalyAUROC()
        >>> metric.update(torch.tensor([51.0, 48.0]), torch.tensor([1, 0]))
        >>> metric.update(torch.tensor([49.0, 49.0]), torch.tensor([1, 0]))
        >>> metric.compute()
        tensor(0.8750, dtype=torch.float64)
    """

    higher_is_better = True

    def __init__(self, max_fpr: float | None = None, **kwargs: Any) -> None:
        super().__init__(row_shape=(2,), **kwargs)
        if max_fpr is not None and not 0 < max_fpr <= 1:
            raise ValueError(f"max_fpr: {max_fpr} is not in (0, 1]")
        self.max_fpr = max_fpr

    def update(self, scores: Tensor, labels: Tensor, index: Tensor | None = None) -> None:
        """Add clips.

        Args:
            scores: Anomaly scores, (B,), higher is more anomalous.
            labels: 1 for anomalous, 0 for normal, (B,).
            index: Indices of the clips, (B,); counted from 0 if None.
        """
        self.add(torch.stack([scores.cpu().double(), labels.cpu().double()], dim=1), index)

    def reduce(self, values: Tensor) -> Tensor:
        """Area from rows of score and label, (N, 2).

        Raises:
            ValueError: If a score is NaN or a class is missing.
        """
        return anomaly_auroc(values[:, 0], values[:, 1], self.max_fpr)
