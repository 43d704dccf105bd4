"""Wall-clock time of runs that take turns."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import Any

import torch


@dataclass(frozen=True)
class Timing:
    """Seconds of the same work, done in two ways by turns, so that whatever else the machine does slows both.

    Attributes:
        yardstick: Seconds of each of the yardstick's runs.
        ours: Seconds of the runs that followed each.
    """

    yardstick: tuple[float, ...]
    ours: tuple[float, ...]

    @property
    def ratio(self) -> float:
        """How many times as fast ours is: the median over pairs of neighbouring runs, which share the load."""
        return median(slow / fast for slow, fast in zip(self.yardstick, self.ours, strict=True))


def seconds_of(run: Callable[[], Any], device: torch.device) -> float:
    """Wall-clock seconds of a call, all work of the device included."""
    synchronise(device)
    start = time.perf_counter()
    run()
    synchronise(device)
    return time.perf_counter() - start


def synchronise(device: torch.device) -> None:
    """Wait for the device; a CPU's work is done when a call returns."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
