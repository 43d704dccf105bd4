"""Exchange between the processes of a distributed run."""

from __future__ import annotations

from typing import TypeVar

import torch.distributed as dist

T = TypeVar("T")


def gather_objects(value: T) -> list[T]:
    """Gather a picklable value from every process in the order of ranks; every process must call it."""
    if not (dist.is_available() and dist.is_initialized()):
        return [value]
    values = [value] * dist.get_world_size()
    dist.all_gather_object(values, value)
    return values
