"""Gathering from all processes, whatever the backend."""

from __future__ import annotations

from typing import Any, TypeVar

import torch.distributed as dist
from torch import Tensor

T = TypeVar("T")


def is_distributed() -> bool:
    """Whether this process is one of several."""
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def gather_objects(value: T, group: Any | None = None) -> list[T]:
    """Gather a picklable value from every process, in the order of their ranks.

    Every process of the group must call it.

    Args:
        value: This process's value.
        group: Process group, all processes by default.

    Returns:
        The values of all ranks, the same on each; a list of one outside distributed runs.

    Example:
        >>> gather_objects({"clip": 3})
        [{'clip': 3}]
    """
    if not is_distributed():
        return [value]
    values: list[Any] = [None] * dist.get_world_size(group)
    dist.all_gather_object(values, value, group=group)
    return values


def gather_rows(rows: Tensor, group: Any | None = None) -> list[Tensor]:
    """Gather CPU tensors of differing lengths from every process: a torchmetrics ``dist_sync_fn``.

    torchmetrics' own gathering sends CPU tensors through the backend, which NCCL refuses.

    Args:
        rows: This process's rows, (N, ...), N may differ between processes.
        group: Process group, all processes by default.

    Returns:
        The tensors of the ranks that have rows. Empty ones are left out, because torchmetrics makes them
        up without a column, and in its default type.
    """
    gathered = gather_objects(rows, group)
    return [part for part in gathered if len(part)] or [rows]
