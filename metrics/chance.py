"""Chance levels over the clips of a run: null distributions of explainers, and values of references."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from metrics.clip_metric import ClipMetric
from metrics.functional.chance import chance_level, permutation_p_value
from metrics.functional.references import REFERENCE_NAMES


class ClipNull(ClipMetric):
    """Values of clips under circular shifts of their curves, of K measures at P percentiles.

    Gives the mean value under the shifts, which is the chance level, and the permutation p-value of the observed
    mean (see ``metrics.functional.permutation_p_value``).

    Args:
        measures: Number of measures K.
        percentiles: Number of percentiles P.
        all_shifts: Whether the shifts are all there are, so that the observed value is one of the null's; otherwise
            they are a sample, and the chance level is the mean over the sample alone.
        kwargs: Options of ``torchmetrics.Metric``.

    Example:
        >>> metric = ClipNull(measures=1, percentiles=1, all_shifts=True)
        >>> metric.update(torch.tensor([[[[1.0, 0.0, 0.5]]], [[[1.0, 0.5, 0.0]]]]))
        >>> {name: round(value.item(), 1) for name, value in metric.compute().items()}
        {'chance': 0.5, 'p_value': 0.1}
    """

    is_differentiable = False
    row_dtype = torch.float32  # a row holds thousands of values

    def __init__(self, measures: int, percentiles: int, all_shifts: bool, **kwargs: Any) -> None:
        super().__init__(row_shape=(measures, percentiles, 1), **kwargs)
        self.all_shifts = all_shifts

    def update(self, values: Tensor, index: Tensor | None = None) -> None:
        """Add clips.

        Args:
            values: Values under S shifts, (B, K, P, S), the observed one at position 0.
            index: Indices of the clips, (B,); counted from 0 if None.
        """
        self._add(values, index)

    def chance(self, values: Tensor) -> Tensor:
        """Chance level of each clip: rows (N, K, P, S) to float64 (N, K, P), NaN where nothing was shifted."""
        return chance_level(values.double(), self.all_shifts)

    def reduce(self, values: Tensor) -> dict[str, Tensor]:
        """Rows (N, K, P, S) to {"chance", "p_value"}, each (K, P); NaN where nothing was shifted."""
        _, measures, percentiles, shifts = values.shape
        p_values = values.new_full((measures, percentiles), torch.nan, dtype=torch.float64)
        if shifts > 1:
            for measure, percentile in np.ndindex(measures, percentiles):
                p_values[measure, percentile] = permutation_p_value(values[:, measure, percentile])
        return {"chance": self.chance(values).mean(0), "p_value": p_values}


class ReferenceValues(ClipMetric):
    """Values of the references (random frames, all frames, oracle) on clips, of K measures at P percentiles.

    Args:
        measures: Number of measures K.
        percentiles: Number of percentiles P.
        kwargs: Options of ``torchmetrics.Metric``.
    """

    is_differentiable = False

    def __init__(self, measures: int, percentiles: int, **kwargs: Any) -> None:
        super().__init__(row_shape=(len(REFERENCE_NAMES), measures, percentiles), **kwargs)

    def update(self, values: Tensor, index: Tensor | None = None) -> None:
        """Add clips.

        Args:
            values: (B, 3, K, P) in the order of ``metrics.functional.REFERENCE_NAMES``.
            index: Indices of the clips, (B,); counted from 0 if None.
        """
        self._add(values, index)

    def reduce(self, values: Tensor) -> dict[str, Tensor]:
        """Mean over clips: (N, 3, K, P) to (K, P) of each reference; NaN without clips."""
        return dict(zip(REFERENCE_NAMES, values.mean(0), strict=True))
