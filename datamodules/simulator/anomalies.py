"""What goes wrong in a planer: each function edits a normal course within given seconds.

The three types are those of the planer data set. A strength of 1 is a plain case, one near 0 is
hard to tell from normal running.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from datamodules.simulator.render import CONTROL_HZ, Array
from datamodules.simulator.tracks import Course, stretch, wander

Interval = tuple[int, int]

_FRAME = 0.025  # s


def broken_board(course: Course, intervals: Sequence[Interval], strength: float, rng: np.random.Generator) -> None:
    """A board breaks: its pieces rattle through, the cutters sag, then the machine runs empty."""
    for start, stop in intervals:
        inside = _seconds(course)
        bite = np.zeros_like(course.cut)
        for begin, end in _bursts(start, stop, (5, 20), (2, 8), rng):
            bite += stretch(bite.size, begin, end, 0.01) * np.float32(rng.uniform(0.7, 1.3))
        rattling = stretch(bite.size, start, stop)
        course.cut += (strength * rattling * (2.0 * bite - 1)).astype(np.float32)
        course.feed *= 1 - np.float32(strength) * rattling
        # The cutters slow down within a second, come back over some 100 frames, and run a little too fast for a while.
        slowest = stop - rng.uniform(0.2, 0.5) * (stop - start)
        turns = slowest + np.array((-1.5, -0.2, 0.4, 2.4, 3.0, 5.0))
        sag = np.interp(inside, turns, (0, 1, 1, -0.2, -0.2, 0))
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
        chatter = np.zeros_like(course.cut)
        for begin, end in _bursts(start, stop, (1, 5), (1, 6), rng):
            chatter += stretch(size, begin, end, 0.01) * np.float32(rng.uniform(0.4, 1.4))
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
        bite = np.zeros_like(course.cut)
        for begin, end in _bursts(start, stop, (1, 7), (1, 10), rng):
            bite += stretch(size, begin, end, 0.01) * np.float32(rng.uniform(0.3, 1.5))
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


def _bursts(
    start: float, stop: float, on: tuple[int, int], off: tuple[int, int], rng: np.random.Generator
) -> Iterator[tuple[float, float]]:
    """Bursts from `start` to `stop` (seconds), with lengths and pauses drawn from ranges in frames."""
    begin = start + _FRAME * rng.uniform(*off)
    while begin < stop:
        end = begin + _FRAME * rng.uniform(*on)
        yield begin, min(end, stop)
        begin = end + _FRAME * rng.uniform(*off)
