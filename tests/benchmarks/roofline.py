"""How fast a device could run operators one after another at best: the roofline of its memory and its arithmetic.

Each operator takes at least the time in which its inputs and outputs move through the memory, and at least that of its
floating-point operations (Williams et al., "Roofline", CACM 2009). The two rates are measured on the device.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.benchmark import Timer
from torch.utils.flop_counter import flop_registry


@dataclass(frozen=True)
class Rates:
    """What a device reaches at best.

    Attributes:
        bytes: Bytes per second read or written by a copy.
        flops: Floating-point operations per second of a matrix product in the precision that PyTorch is set to.
    """

    bytes: float
    flops: float


def measure_rates(device: torch.device) -> Rates:
    """Measure a copy and a product of random matrices, large for the kind of device."""
    megabytes, width = (1024, 8192) if device.type == "cuda" else (128, 1024)
    source = torch.rand(megabytes * 2**18, device=device)
    target = torch.empty_like(source)
    a, b = torch.rand(2, width, width, device=device)
    copy = _seconds(lambda: target.copy_(source))
    product = _seconds(lambda: a @ b)
    return Rates(2 * source.nbytes / copy, 2 * width**3 / product)


def _seconds(run: Callable[[], Any]) -> float:
    timer = Timer("run()", globals={"run": run}, num_threads=torch.get_num_threads())
    return timer.blocked_autorange(min_run_time=0.2).median


class Roofline(TorchDispatchMode):
    """Sums the shortest possible time of every operator inside a ``with`` block.

    Views cost nothing. An operator that is fused from several would need less, so a program that fuses can be faster.

    Args:
        rates: The device's.

    Attributes:
        seconds: The sum so far.

    Example:
        >>> x = torch.ones(1000)
        >>> with Roofline(Rates(bytes=8000, flops=1e9)) as roofline:
        ...     y = x.view(10, 100) + 1
        >>> roofline.seconds
        1.0
    """

    def __init__(self, rates: Rates) -> None:
        super().__init__()
        self.rates = rates
        self.seconds = 0.0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operator and add its time."""
        result = func(*args, **(kwargs or {}))
        tensors = [leaf for leaf in tree_leaves((args, kwargs, result)) if isinstance(leaf, Tensor)]
        moved = 0 if func.is_view else sum(tensor.nbytes for tensor in tensors)
        count = flop_registry.get(func._overloadpacket)
        flops = 0 if count is None else count(*args, **(kwargs or {}), out_val=result)
        self.seconds += max(moved / self.rates.bytes, flops / self.rates.flops)
        return result
