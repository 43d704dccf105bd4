"""Exchange between the processes of a distributed run."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeVar

import torch.distributed as dist
from torch import Tensor

T = TypeVar("T")


def is_distributed() -> bool:
    """Whether this process is one of several."""
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def gather_objects(value: T, group: Any | None = None) -> list[T]:
    """Gather a picklable value from every process in the order of ranks; every process must call it.

    Args:
        value: This process's value.
        group: Process group, all processes by default.

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

    torchmetrics' own gathering sends CPU tensors through the backend, which NCCL rejects.

    Args:
        rows: This process's rows, (N, ...); N may differ between processes.
        group: Process group, all processes by default.

    Returns:
        The tensors of the ranks that have rows. Empty ones are left out, because torchmetrics makes them without
        further dimensions and in its default type.
    """
    return [part for part in gather_objects(rows, group) if len(part)] or [rows]


def mean_over_clips(batches: Iterable[tuple[Tensor, Tensor]]) -> float:
    """Mean over the clips that any process has seen, each counted once; every process must call it.

    A distributed sampler repeats clips so that all processes have as many, and a mean of batches depends on how clips
    are dealt to them.

    Args:
        batches: Indices of clips (B,) and their values (B,).

    Returns:
        The mean, NaN without clips.

    Example:
        >>> import torch
        >>> first, repeated = torch.tensor([0, 1]), torch.tensor([0])
        >>> mean_over_clips([(first, torch.tensor([1.0, 3.0])), (repeated, torch.tensor([1.0]))])
        2.0
    """
    own = [clip for index, values in batches for clip in zip(index.tolist(), values.tolist(), strict=True)]
    of_clips = {clip: value for part in gather_objects(own) for clip, value in part}
    return sum(of_clips[clip] for clip in sorted(of_clips)) / len(of_clips) if of_clips else float("nan")
