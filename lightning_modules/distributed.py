"""Exchange between the processes of a distributed run."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

import torch.distributed as dist
from torch import Tensor

T = TypeVar("T")


def gather_objects(value: T) -> list[T]:
    """Gather a picklable value from every process in the order of ranks; every process must call it."""
    if not (dist.is_available() and dist.is_initialized()):
        return [value]
    values = [value] * dist.get_world_size()
    dist.all_gather_object(values, value)
    return values


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
