"""Clips computed side by side on the cores of a CPU."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch
from torch import Tensor

T = TypeVar("T")


def side_by_side(compute: Callable[[Tensor], T], clips: Sequence[Tensor], most: int) -> list[T]:
    """Compute something of each clip: on a CPU one clip a core, each on a single thread; on a GPU one after the other.

    Passes of one clip are too small to share out: two threads take as long as one. A clip that has a thread to itself
    also rounds alike whatever the cores of the machine and the clips beside it.

    Args:
        compute: Takes one of the clips. It must not draw from PyTorch's or NumPy's global random generators.
        clips: Tensors on one device.
        most: Clips that there is memory for at a time.

    Returns:
        What was computed, in the order of the clips.
    """
    threads = torch.get_num_threads()
    if clips[0].device.type != "cpu" or threads == 1:
        return [compute(clip) for clip in clips]
    try:
        workers = min(threads, len(clips), most)
        with ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            return list(pool.map(compute, clips))
    finally:
        torch.set_num_threads(threads)  # what a thread sets is the default of all threads to come
