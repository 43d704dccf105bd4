"""Operations, bytes and seconds of a computation's operators, taken while it runs."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

from experiments.bench.timing import synchronise

_CPU = torch.device("cpu")
_ATEN = torch.ops.aten
_FORMULAS = {
    **flop_registry,
    # Attention on a CPU counts like that on a GPU, and torch has no formula for it.
    _ATEN._scaled_dot_product_flash_attention_for_cpu: flop_registry[_ATEN._scaled_dot_product_flash_attention],
    _ATEN._scaled_dot_product_flash_attention_for_cpu_backward: flop_registry[
        _ATEN._scaled_dot_product_flash_attention_backward
    ],
}

_MOVE_NOTHING = {"empty", "empty_like", "empty_strided", "new_empty", "detach"}
"""Operators that only reserve or share memory, beside the views."""


@dataclass(frozen=True)
class Work:
    """What a computation takes.

    Attributes:
        flops: Floating-point operations of its products and convolutions; a multiplication and an addition are two.
        bytes_moved: Bytes that its operators read and write, each from and to memory. An operator that finds its
            input in a cache moves fewer.
        seconds: Wall-clock time of its operators, on one thread of a CPU.
    """

    flops: float = 0
    bytes_moved: float = 0
    seconds: float = 0

    def __add__(self, other: Work) -> Work:
        return Work(self.flops + other.flops, self.bytes_moved + other.bytes_moved, self.seconds + other.seconds)

    def __truediv__(self, units: float) -> Work:
        return Work(self.flops / units, self.bytes_moved / units, self.seconds / units)


class _Counter(TorchDispatchMode):
    """Takes the time of operators, their operations by torch's own formulas, and the sizes of what they take and give.

    Args:
        device: Where they run.
    """

    def __init__(self, device: torch.device) -> None:
        super().__init__()
        self.work: dict[str, Work] = defaultdict(Work)
        self._device = device

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operator and count it, or those that it is made of where torch has no formula for the whole."""
        kwargs, operator = kwargs or {}, func.overloadpacket
        if operator not in _FORMULAS:
            with self:
                result = func.decompose(*args, **kwargs)
            if result is not NotImplemented:
                return result
        start = time.perf_counter()
        result = func(*args, **kwargs)
        synchronise(self._device)
        seconds = time.perf_counter() - start
        flops = _FORMULAS[operator](*args, **kwargs, out_val=result) if operator in _FORMULAS else 0
        moves = not func.is_view and operator.__name__ not in _MOVE_NOTHING
        tensors = (leaf for leaf in tree_leaves((args, kwargs, result)) if isinstance(leaf, Tensor))
        bytes_moved = sum(tensor.nbytes for tensor in tensors) if moves else 0
        self.work[operator.__name__] += Work(flops, bytes_moved, seconds)
        return result


def count_operators(run: Callable[[], Any], device: torch.device = _CPU) -> dict[str, Work]:
    """Run a computation and count what its operators take.

    `torch.utils.flop_counter.FlopCounterMode` itself does not run with `torch.autograd.grad`, which Captum calls. A
    mode sees its own thread alone, so what is computed is computed on one.

    Args:
        run: The computation.
        device: Where its operators run.

    Returns:
        The work of each operator, by its name in torch.

    Example:
        A product of 2 × 3 and 3 × 4 has 24 pairs to multiply and add, and 6 + 12 + 8 numbers of 4 bytes.

        >>> a, b = torch.ones(2, 3), torch.ones(3, 4)
        >>> work = count_operators(lambda: a @ b)["mm"]
        >>> work.flops, work.bytes_moved
        (48, 104)
    """
    with _single_operators(), _one_thread(), _Counter(device) as counter:
        run()
    return dict(counter.work)


def total(operators: dict[str, Work]) -> Work:
    """The work of all operators together."""
    return sum(operators.values(), start=Work())


@contextmanager
def _single_operators() -> Iterator[None]:
    """Without the transformers' fast path, one operator whose operations nobody counts."""
    enabled = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(enabled)


@contextmanager
def _one_thread() -> Iterator[None]:
    """On a single thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
