"""Control tracks: the state of the machine over a clip, and the shapes that tracks are made of."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from datamodules.simulator.render import CONTROL_HZ, Array


@dataclass
class Course:
    """What happens over a clip, as control tracks of shape (C,) unless said otherwise.

    Attributes:
        cut: Chip load: 0 running empty, 1 normal cut, 2 far too much.
        feed: Strength of the feed rollers' pulses, 1 normal, 0 standing still.
        speed: Cutter speed relative to the setting.
        level: Level of the whole machine, dB (0 normal).
        extra: Level of noise beside the machine's, shape (C, 80), dB.
        squeal: Level of a squealing board, dB.
        squeal_hz: Its frequency, Hz.
    """

    cut: Array
    feed: Array
    speed: Array
    level: Array
    extra: Array
    squeal: Array
    squeal_hz: Array

    def add_noise(self, level: Array) -> None:
        """Adds noise of a band level (C, 80), dB, beside the machine's, power on power."""
        self.extra = (np.logaddexp2(self.extra / 3, level / 3) * 3).astype(np.float32)


def wander(size: int, period: float, deviation: float, rng: np.random.Generator) -> Array:
    """Slow random track (size,) around 0: a new value of the given deviation every `period` seconds."""
    step = period * CONTROL_HZ
    knots = rng.normal(0, deviation, int(size / step) + 3)
    return np.interp(np.arange(size) / step, np.arange(knots.size), knots).astype(np.float32)


def stretch(size: int, start: float, stop: float, fade: float = 0.05) -> Array:
    """Track (size,) that is 1 from `start` to `stop` (seconds), with linear edges of `fade` seconds."""
    seconds = np.arange(size, dtype=np.float32) / CONTROL_HZ
    return np.clip(np.minimum(seconds - start, stop - seconds) / fade + 1, 0, 1).astype(np.float32)
