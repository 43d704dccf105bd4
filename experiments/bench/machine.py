"""What the machine can do, measured on the spot: arithmetic and memory traffic a second."""

from __future__ import annotations

import platform
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from experiments.bench.timing import seconds_of

_SECONDS = 1.0
"""How long a peak is looked for. Many short runs find a moment in which nothing else is at work."""

_MATRIX_SIDE = {"cpu": 1024, "cuda": 8192}
_IMAGES = {"cpu": (4, 64, 80, 100), "cuda": (64, 64, 160, 200)}
_COPIED_BYTES = 2**27  # larger than any cache


@dataclass(frozen=True)
class Machine:
    """A device and its peaks.

    Attributes:
        device: What it is called.
        threads: Threads that PyTorch computes with, on a CPU.
        matmul_flops: Floating-point operations a second of a product of large float32 matrices.
        convolution_flops: The same of a 3 × 3 convolution with many channels.
        bandwidth: Bytes a second that a copy of a large tensor reads and writes.
    """

    device: str
    threads: int
    matmul_flops: float
    convolution_flops: float
    bandwidth: float

    @property
    def peak_flops(self) -> float:
        """The higher of both rates of arithmetic."""
        return max(self.matmul_flops, self.convolution_flops)

    def least_seconds(self, flops: float, bytes_moved: float) -> float:
        """Time below which the machine can't do so many operations and move so many bytes."""
        return max(flops / self.peak_flops, bytes_moved / self.bandwidth)


def measure_machine(device: torch.device) -> Machine:
    """Measure the peaks of a device, in some seconds."""
    side, shape = _MATRIX_SIDE[device.type], _IMAGES[device.type]
    a, b = torch.rand(2, side, side, device=device)
    images = torch.rand(shape, device=device).contiguous(memory_format=torch.channels_last)
    convolution = nn.Conv2d(shape[1], shape[1], 3, padding=1, device=device)
    convolution.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    source = torch.rand(_COPIED_BYTES // 4, device=device)
    target = torch.empty_like(source)
    products = images.numel() * shape[1] * 9
    with torch.no_grad():
        return Machine(
            device=device_name(device),
            threads=torch.get_num_threads(),
            matmul_flops=2 * side**3 / _fastest(lambda: a @ b, device),
            convolution_flops=2 * products / _fastest(lambda: convolution(images), device),
            bandwidth=2 * _COPIED_BYTES / _fastest(lambda: target.copy_(source), device),
        )


def device_name(device: torch.device) -> str:
    """What the maker calls the GPU or the processor."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()


def _fastest(run: Callable[[], Tensor], device: torch.device) -> float:
    """Seconds of the fastest run, after one that warms up."""
    run()
    seconds = [seconds_of(run, device)]
    while sum(seconds) < _SECONDS:
        seconds.append(seconds_of(run, device))
    return min(seconds)
