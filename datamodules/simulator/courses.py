"""What happens over a clip: normal running with its harmless events, and anomalies.

The three types of anomaly are those of the planer data set; each is a function that edits a normal course within given
seconds. A strength of 1 is a clear case, one near 0 is hard to tell from normal running.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from datamodules.simulator.render import CONTROL_HZ, N_BANDS, Array


@dataclass
class Course:
    """What happens over a clip, as control tracks (C,); levels are in dB."""

    cut: Array  # chip load: 0 running empty, 1 normal cut, 2 far too much
    feed: Array  # strength of the feed rollers' pulses, 1 normal, 0 standing still
    speed: Array  # of the cutters, relative to the setting
    level: Array  # of the whole machine, 0 normal
    extra: Array  # noise beside the machine's, (C, 80)
    squeal: Array  # level of a squealing board
    squeal_hz: Array

    def add_noise(self, level: Array) -> None:
        """Adds noise of a band level (C, 80), dB, beside the machine's, power on power."""
        self.extra = (np.logaddexp2(self.extra / 3, level / 3) * 3).astype(np.float32)


def wander(size: int, period: float, deviation: float, rng: np.random.Generator) -> Array:
    """Slow random track (size,) around 0: a new value of a deviation every `period` seconds."""
    step = period * CONTROL_HZ
    knots = rng.normal(0, deviation, int(size / step) + 3)
    return np.interp(np.arange(size) / step, np.arange(knots.size), knots).astype(np.float32)


def stretch(size: int, start: float, stop: float, fade: float = 0.05) -> Array:
    """Track (size,) that is 1 from `start` to `stop` (seconds), with linear edges of `fade` seconds."""
    seconds = np.arange(size, dtype=np.float32) / CONTROL_HZ
    return np.clip(np.minimum(seconds - start, stop - seconds) / fade + 1, 0, 1).astype(np.float32)


def steady_course(duration: float, rng: np.random.Generator) -> Course:
    """Boards going through one after the other, `duration` seconds of it, and nothing else."""
    size = round(duration * CONTROL_HZ) + 1
    return Course(
        cut=(1 + wander(size, 0.8, 0.08, rng)).astype(np.float32),
        feed=(1 + wander(size, 2.0, 0.15, rng)).astype(np.float32),
        speed=(1 + wander(size, 1.5, 0.0015, rng)).astype(np.float32),
        level=wander(size, 3.0, 0.5, rng),
        extra=np.full((size, N_BANDS), -60, dtype=np.float32),
        squeal=np.full(size, -60, dtype=np.float32),
        squeal_hz=np.full(size, 3000, dtype=np.float32),
    )


def normal_course(duration: float, rng: np.random.Generator) -> Course:
    """Boards going through with the harmless events of a workshop."""
    course = steady_course(duration, rng)
    for happens, chance in ((_board_change, 0.35), (_knocks, 0.5), (_rumble, 0.15), (_hiss, 0.12)):
        if rng.random() < chance:
            happens(course, rng)
    return course


def start_stop_course(duration: float, rng: np.random.Generator) -> Course:
    """The machine runs up from standstill, or runs down to it, at some time of the clip."""
    course = normal_course(duration, rng)
    seconds = np.arange(course.cut.size) / CONTROL_HZ
    running = 1 / (1 + np.exp(-(seconds - rng.uniform(0.2, 0.8) * duration) / rng.uniform(0.15, 0.4)))
    if rng.random() < 0.5:
        running = running[::-1]
    course.level += (-14 * (1 - running)).astype(np.float32)
    course.speed *= (0.35 + 0.65 * running).astype(np.float32)
    # Boards go through at full speed only.
    course.cut *= running > 0.9
    course.feed *= running > 0.9
    return course


def _board_change(course: Course, rng: np.random.Generator) -> None:
    """A longer gap: no board for some tenths of a second, sometimes for seconds."""
    start = rng.uniform(0, course.cut.size / CONTROL_HZ)
    board = 1 - stretch(course.cut.size, start, start + min(0.15 + rng.exponential(0.5), 3.0))
    course.cut *= board
    course.feed *= board


def _knocks(course: Course, rng: np.random.Generator) -> None:
    """Boards dropped on a pile: broadband, gone after a few hundredths of a second."""
    seconds = np.arange(course.cut.size) / CONTROL_HZ
    colour = np.linspace(0, -rng.uniform(6, 16), N_BANDS)
    for _ in range(rng.integers(1, 4)):
        age = seconds - rng.uniform(0, seconds[-1])
        decay = np.where(age >= 0, rng.uniform(4, 12) - age / rng.uniform(0.01, 0.03), -60)
        course.add_noise(decay[:, None] + colour)


def _rumble(course: Course, rng: np.random.Generator) -> None:
    """A forklift passes: low bands, over some seconds."""
    course_seconds = course.cut.size / CONTROL_HZ
    near = stretch(course.cut.size, rng.uniform(-2, course_seconds), rng.uniform(1, course_seconds + 2), 2.0)
    colour = np.interp(np.arange(N_BANDS), (0, 10, 25), (rng.uniform(0, 6), rng.uniform(-4, 2), -30))
    course.add_noise((near[:, None] - 1) * 20 + colour)


def _hiss(course: Course, rng: np.random.Generator) -> None:
    """Compressed air: upper bands, up to two seconds."""
    start = rng.uniform(0, course.cut.size / CONTROL_HZ)
    open_valve = stretch(course.cut.size, start, start + rng.uniform(0.3, 2.0))
    colour = np.interp(np.arange(N_BANDS), (40, 60, 79), (-25, rng.uniform(-12, -6), rng.uniform(-10, -5)))
    course.add_noise((open_valve[:, None] - 1) * 40 + colour)


Interval = tuple[int, int]

_FRAME = 0.025  # s


def broken_board(course: Course, intervals: Sequence[Interval], strength: float, rng: np.random.Generator) -> None:
    """A board breaks: its pieces rattle through, the cutters sag, then the machine runs empty."""
    for start, stop in intervals:
        bite = _bites(course, start, stop, (5, 20), (2, 8), (0.7, 1.3), rng)
        rattling = stretch(bite.size, start, stop)
        course.cut += (strength * rattling * (2.0 * bite - 1)).astype(np.float32)
        course.feed *= 1 - np.float32(strength) * rattling
        # The cutters slow down within a second, come back over some 100 frames, and run a little too fast for a while.
        slowest = stop - rng.uniform(0.2, 0.5) * (stop - start)
        turns = slowest + np.array((-1.5, -0.2, 0.4, 2.4, 3.0, 5.0))
        sag = np.interp(_seconds(course), turns, (0, 1, 1, -0.2, -0.2, 0))
        course.speed *= (1 - 0.2 * strength * sag).astype(np.float32)
        empty = stretch(bite.size, stop + 0.3, stop + rng.uniform(3, 8))
        course.cut *= 1 - empty
        course.feed *= 1 - empty


def board_stuck(course: Course, intervals: Sequence[Interval], strength: float, rng: np.random.Generator) -> None:
    """A board stops moving: the feed falls silent, the cutters labour, chatter and squeal on one spot."""
    for start, stop in intervals:
        size = course.cut.size
        stuck = stretch(size, start, stop, 0.1)
        course.feed *= 1 - np.float32(strength) * stuck
        labour = np.interp(_seconds(course), (start, stop), (0.4, 1))
        course.speed *= (1 - rng.uniform(0.03, 0.10) * strength * stuck * labour).astype(np.float32)
        chatter = _bites(course, start, stop, (1, 5), (1, 6), (0.4, 1.4), rng)
        course.cut += np.float32(strength) * stuck * (1.7 * chatter - 0.6)
        squeal = -10 + 26 * strength * labour + wander(size, 0.12, 4, rng)
        course.squeal = np.where(stuck > 0, squeal, course.squeal).astype(np.float32)
        climb = rng.uniform(1.02, 1.25) ** labour * (1 + wander(size, 0.2, 0.01, rng))
        squeal_hz = rng.uniform(1200, 4200) * climb
        course.squeal_hz = np.where(stuck > 0, squeal_hz, course.squeal_hz).astype(np.float32)


def uneven_thick_wood(course: Course, intervals: Sequence[Interval], strength: float, rng: np.random.Generator) -> None:
    """Wood thicker than the setting, or uneven: the cutters bite deeper, and irregularly."""
    for start, stop in intervals:
        size = course.cut.size
        thick = stretch(size, start, stop, 0.1)
        bite = _bites(course, start, stop, (1, 7), (1, 10), (0.3, 1.5), rng)
        course.cut += np.float32(strength) * thick * (1.8 * bite - 0.35)
        course.level += np.float32(1.5 * strength) * thick * (1 + wander(size, 0.1, 0.8, rng))
        course.speed *= 1 - np.float32(0.01 * strength) * thick * (1 + wander(size, 0.2, 0.5, rng))


ANOMALIES: dict[str, Callable[[Course, Sequence[Interval], float, np.random.Generator], None]] = {
    "broken_board": broken_board,
    "board_stuck": board_stuck,
    "Uneven_thick_wood": uneven_thick_wood,
}


def _seconds(course: Course) -> Array:
    return np.arange(course.cut.size, dtype=np.float32) / CONTROL_HZ


def _bites(
    course: Course,
    start: float,
    stop: float,
    on: tuple[int, int],
    off: tuple[int, int],
    strength: tuple[float, float],
    rng: np.random.Generator,
) -> Array:
    """Bursts (C,) from `start` to `stop` (seconds); lengths, pauses (both in frames) and strengths are from ranges."""
    track = np.zeros_like(course.cut)
    begin = start + _FRAME * rng.uniform(*off)
    while begin < stop:
        end = begin + _FRAME * rng.uniform(*on)
        track += stretch(track.size, begin, min(end, stop), 0.01) * np.float32(rng.uniform(*strength))
        begin = end + _FRAME * rng.uniform(*off)
    return track
