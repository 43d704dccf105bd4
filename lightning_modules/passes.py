"""Passes through a network, side by side where the cores of a CPU would otherwise share one."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import torch

A = TypeVar("A")
T = TypeVar("T")

CPU_ROWS = 13
"""Most spectrograms in one of the passes that run side by side on a CPU.

A core is about as fast with 8 as with 50 per pass. Fewer spread a clip's 25 or 50 rows evenly over more cores, and the
activations take less memory. The number is fixed because rounding depends on it.
"""


def rows_per_pass(device: torch.device, most: int) -> int:
    """How many spectrograms to pass at a time: on a CPU `CPU_ROWS`, on a GPU as many as fit.

    Args:
        device: Where the network runs.
        most: Most spectrograms that fit.
    """
    return min(most, CPU_ROWS) if device.type == "cpu" else most


def side_by_side(
    compute: Callable[[A], T], inputs: Iterable[A], device: torch.device, at_once: int | None = None
) -> Iterator[T]:
    """Compute something for each input: on a CPU one input per core, each on a single thread; on a GPU in turn.

    Two threads that share a small pass wait for each other, all the more where other processes use the cores. A pass
    that has a thread to itself also rounds alike whatever the number of cores.

    Args:
        compute: Takes an input, in the caller's gradient, inference and autocast modes. It must not draw from
            PyTorch's or NumPy's global random generators.
        inputs: Read by the caller's thread, a few ahead of what is computed.
        device: Where `compute` does its work.
        at_once: Most inputs that there is memory for at a time; None for as many as there are cores.

    Yields:
        What was computed, in the order of the inputs.
    """
    threads = torch.get_num_threads()
    if device.type != "cpu" or threads == 1:
        yield from map(compute, inputs)
        return
    compute = _in_present_modes(compute)
    workers = min(threads, at_once or threads)
    under_way: deque[Future[T]] = deque()
    try:
        with ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            for each in inputs:
                under_way.append(pool.submit(compute, each))
                if len(under_way) > 2 * workers:
                    yield under_way.popleft().result()
            while under_way:
                yield under_way.popleft().result()
    finally:
        torch.set_num_threads(threads)  # what a thread sets is the default of all threads to come


def _in_present_modes(compute: Callable[[A], T]) -> Callable[[A], T]:
    """The function in the modes of the present thread, as each thread has its own."""
    with_inference, with_gradients = torch.is_inference_mode_enabled(), torch.is_grad_enabled()
    with_autocast, dtype = torch.is_autocast_enabled("cpu"), torch.get_autocast_dtype("cpu")

    def in_modes(each: A) -> T:
        with (
            torch.inference_mode(with_inference),
            torch.set_grad_enabled(with_gradients),
            torch.autocast("cpu", dtype, enabled=with_autocast),
        ):
            return compute(each)

    return in_modes
