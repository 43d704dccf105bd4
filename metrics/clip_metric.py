"""State that every metric here keeps: one small row per clip, each clip once."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterable
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric

from lightning_modules.distributed import gather_rows, is_distributed


class ClipMetric(Metric):
    """A metric over clips that counts a clip once, by its index.

    A distributed sampler repeats clips to fill its last batch; a metric that averaged over all it has seen
    would change with the number of processes. So the state is one row for each clip with the clip's index, on
    the CPU whatever the device (a row is small, and some devices have no float64), and the result is computed
    from the rows sorted by index, without repeats.

    Subclasses define the row of a clip (``update`` ends with ``add``) and the result of rows (``reduce``).

    Args:
        row_shape: Shape of one clip's row.
        dtype: Type in which rows are kept.
        kwargs: Options of ``torchmetrics.Metric``.
    """

    full_state_update = True  # so that forward() goes on numbering clips where the last call stopped
    is_differentiable = False
    clip_index: list[Tensor]
    clip_values: list[Tensor]

    def __init__(self, row_shape: tuple[int, ...], dtype: torch.dtype = torch.float64, **kwargs: Any) -> None:
        super().__init__(**{"dist_sync_fn": gather_rows, **kwargs})
        self.row_shape = row_shape
        self.row_dtype = dtype
        self.add_state("clip_index", default=[], dist_reduce_fx="cat")
        self.add_state("clip_values", default=[], dist_reduce_fx="cat")

    @abstractmethod
    def reduce(self, values: Tensor) -> Any:
        """Compute the result from the rows of some clips, (N, *row_shape)."""

    def compute(self) -> Any:
        """Compute the result over all clips seen, on all processes.

        torchmetrics makes a scalar of a result that has one element, such as that of a single percentile;
        ``reduce`` keeps the dimension.
        """
        return self.reduce(self.per_clip()[1])

    def per_clip(self) -> tuple[Tensor, Tensor]:
        """Rows of all clips on all processes, each clip once; every process must call it.

        Returns:
            Indices in increasing order, int64 (N,), and their rows, (N, *row_shape) of ``dtype``, on the CPU.
        """
        with (
            nullcontext()  # compute() has synchronised already
            if self._is_synced
            else self.sync_context(dist_sync_fn=self.dist_sync_fn, should_sync=self._to_sync)
        ):
            index = _concatenate(self.clip_index, torch.empty(0, dtype=torch.int64))
            values = _concatenate(self.clip_values, torch.empty(0, *self.row_shape, dtype=self.row_dtype))
        index, order = index.sort(stable=True)
        first = torch.ones_like(index, dtype=torch.bool)
        first[1:] = index[1:] != index[:-1]
        return index[first], values[order][first]

    def add(self, values: Tensor, index: Tensor | None = None) -> None:
        """Keep the rows of clips, (B, *row_shape), and their indices (B,), counted from 0 if None.

        Raises:
            ValueError: If the numbers differ, or indices are missing in a distributed run.
        """
        if index is None:
            if is_distributed():
                raise ValueError("index: needed in a distributed run, where clips are repeated")
            seen = sum(len(part) for part in self.clip_index)
            index = torch.arange(seen, seen + len(values))
        if len(index) != len(values):
            raise ValueError(f"index: {len(index)} indices for {len(values)} clips")
        self.clip_index.append(index.detach().cpu().long())
        self.clip_values.append(values.detach().cpu().to(self.row_dtype))


class ClipMean(ClipMetric):
    """Values of clips and their mean."""

    def update(self, values: Tensor, index: Tensor | None = None) -> None:
        """Add the values of clips, see `ClipMetric.add`."""
        self.add(values, index)

    def reduce(self, values: Tensor) -> Tensor:
        """Mean over clips, (N, *row_shape) to row_shape; NaN without clips."""
        return values.mean(0)


def check_percentiles(percentiles: Iterable[int]) -> tuple[int, ...]:
    """Check the option ``percentiles``.

    Raises:
        ValueError: If there is none, one is given twice or one is not a whole number from 0 to 100.

    Example:
        >>> check_percentiles(range(97, 100))
        (97, 98, 99)
    """
    percentiles = tuple(percentiles)
    for percentile in percentiles:
        if percentile != int(percentile) or not 0 <= percentile <= 100:
            raise ValueError(f"percentiles: {percentile} is not a whole number from 0 to 100")
    if not percentiles or len(set(percentiles)) < len(percentiles):
        raise ValueError(f"percentiles: {list(percentiles)} must name at least one, and each once")
    return tuple(int(percentile) for percentile in percentiles)


def check_frame_rate(frames_per_second: float) -> float:
    """Raise a ValueError unless the option ``frames_per_second`` is a positive number; returns it."""
    if not 0 < frames_per_second < math.inf:
        raise ValueError(f"frames_per_second: {frames_per_second} is not a positive number")
    return frames_per_second


def _concatenate(state: list[Tensor] | Tensor, empty: Tensor) -> Tensor:
    # torchmetrics joins a list state into one tensor while it is synchronised.
    parts = [state] if isinstance(state, Tensor) else state
    parts = [part.to("cpu", empty.dtype) for part in parts if len(part)]
    return torch.cat(parts) if parts else empty
