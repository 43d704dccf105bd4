"""Deletion and insertion curves over the clips of a run."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from metrics.clip_metric import ClipMetric, check_percentiles
from metrics.functional.deletion import curve_area, deletion_insertion

DEFAULT_DELETION_PERCENTILES: tuple[int, ...] = tuple(range(0, 101, 10))


class DeletionInsertionScore(ClipMetric):
    """Areas under the deletion and insertion curves, mean over clips.

    See ``metrics.functional.deletion_insertion`` for the curves. Both areas are relative errors, at least 0: of
    deletion lower is better, of insertion higher.

    Args:
        percentiles: Percentiles of the frame curve, whole numbers from 0 to 100, at least two.
        batch_size: Most spectrograms that the module runs at once.
        kwargs: Options of ``torchmetrics.Metric``.

    Example:
        >>> class Half(nn.Module):
        ...     def forward(self, x):
        ...         return x / 2
        >>> metric = DeletionInsertionScore(percentiles=[100, 0])
        >>> x = torch.tensor([[[1.0, 3.0]]])
        >>> metric.update(Half(), x, curves=x[:, 0])
        >>> {name: round(value.item(), 4) for name, value in metric.compute().items()}
        {'deletion': 0.2875, 'insertion': 0.9625}
    """

    is_differentiable = False
    higher_is_better = None  # of deletion lower is better, of insertion higher
    kinds = ("deletion", "insertion")

    def __init__(
        self, percentiles: Iterable[int] = DEFAULT_DELETION_PERCENTILES, batch_size: int = 64, **kwargs: Any
    ) -> None:
        percentiles = check_percentiles(percentiles)
        if len(percentiles) < 2:
            raise ValueError(f"percentiles: {list(percentiles)} span no area, name at least two")
        super().__init__(row_shape=(len(self.kinds), len(percentiles)), **kwargs)
        self.percentiles = percentiles
        self.batch_size = batch_size

    def update(
        self,
        module: nn.Module,
        x: Tensor,
        curves: Tensor,
        index: Tensor | None = None,
        reconstruction: Tensor | None = None,
    ) -> None:
        """Add clips.

        Args:
            module: The model, maps (N, F, T) to (N, F, T).
            x: Spectrograms in dB, (B, F, T).
            curves: Frame curves, (B, T).
            index: Indices of the clips, (B,); counted from 0 if None.
            reconstruction: The model's output for ``x`` where it is already known, (B, F, T).

        Raises:
            ValueError: If curves hold NaN or the numbers of frames differ.
        """
        curve_pair = deletion_insertion(module, x, curves, self.percentiles, reconstruction, self.batch_size)
        self._add(torch.stack(curve_pair, dim=1), index)

    def reduce(self, values: Tensor) -> dict[str, Tensor]:
        """Mean area over clips, (N, 2, P) to {"deletion", "insertion"}, scalars; NaN without clips."""
        return dict(zip(self.kinds, curve_area(values, self.percentiles).nanmean(0), strict=True))
