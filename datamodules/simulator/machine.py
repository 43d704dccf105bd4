"""How a planer sounds: the samples of a course in a setting.

A `Setting` is the day, board size and microphone of a recording; a `Course` is what happens over a clip. The levels of
the 80 bands are a few corners read from the published spectrograms: cutter lines at 2.18 kHz and its harmonics, two
slower shafts at 420 and 980 Hz, feed pulses at 2.7 Hz with their octave. Nothing of the recordings is included.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy import ndimage

from datamodules.simulator import render
from datamodules.simulator.courses import Course, wander
from datamodules.simulator.render import CONTROL_HZ, N_BANDS, Array, Tone

# Band levels, dB at (band, level) corners: running empty, cutting, and cutting far too much.
_IDLE = ((0, -8), (3, -1), (10, -5), (15, -5), (19, -2), (24, -1), (28, -1), (35, -5), (39, -7), (43, -5),
         (46, -12), (57, -13), (67, -19), (79, -22))  # fmt: skip
_CUT = ((0, -7), (3, -5), (6, -0.5), (12, -1), (15, 3), (18, 2), (21, 0), (25, 5.5), (30, 1), (35, -3.5), (37, -1.5),
        (39, 2.5), (41, 5), (43, 6), (46, -5.5), (48, -8.5), (53, -10.5), (58, -5), (61, -4.5), (63, -10), (66, -11.5),
        (68, -9), (71, -8), (74, -10.5), (77, -8.5), (79, -10))  # fmt: skip
_HEAVY = ((0, -5), (4, 1), (12, 3), (20, 8), (24, 9), (30, 6), (41, 4), (50, 0), (60, -1), (79, -5))

# The rollers' cycle, dB at (band, cos 1, sin 1, cos 2, sin 2) corners: Fourier coefficients of the first two orders,
# phase 0 in the middle of the gap between two boards.
_CYCLE = ((0, 0, 0, 0.5, 0), (3, 1.0, -0.6, -0.6, 0), (6, 2.4, -0.8, 0, -0.6), (9, 1.8, -1.0, 0, -0.7),
          (11, 1.5, -0.8, 0.4, -1.1), (13, 6.0, -2.9, 0, -0.7), (15, 1.6, 0, 0.3, 0), (18, 0.9, 1.0, 0.5, 0.4),
          (20, 5.0, -1.8, -0.6, 0.5), (22, 5.0, -0.5, -0.6, -1.0), (23, 4.4, 3.0, 0.8, -0.5), (25, 2.2, 4.8, 1.0, -0.5),
          (27, 3.0, 3.2, 0.7, -2.0), (29, 3.0, 0, 1.4, -1.6), (31, 3.4, 1.6, 1.0, -2.0), (35, 1.9, 0.2, 1.0, -1.3),
          (39, 1.5, 0.5, 0.8, 0), (40, 0, 0, 0, 0))  # fmt: skip

_Corners = Sequence[tuple[float, ...]]


def profile(corners: _Corners | Array) -> Array:
    """Levels of the 80 bands, straight lines between (band, level) corners."""
    at, level = np.array(corners, dtype=np.float32).T
    return np.interp(np.arange(N_BANDS), at, level).astype(np.float32)


@cache
def load_profiles() -> tuple[Array, Array, Array]:
    """Band levels (80,) at a chip load of 0, 1 and 2, dB."""
    return profile(_IDLE), profile(_CUT), profile(_HEAVY)


@cache
def cycle_orders() -> Array:
    """What the rollers' cycle adds to the bands, (4, 80) dB: times cos and sin of the phase and of its double."""
    corners = np.array(_CYCLE)
    return np.stack([profile(corners[:, [0, order]]) for order in range(1, 5)])


BOARD_SIZES = ("2x3", "2x4", "2x6")

_CUTTER_HZ = 2157.0
# Levels of the cutters' line and its harmonics, dB: running empty, cutting, and cutting far too much.
_CUTTER_DB = ((4.5, -8.0, -13.0, -17.0), (17.0, -3.5, -11.5, -14.0), (9.0, -4.0, -11.5, -14.0))
# Two slower shafts: frequency in Hz, the band that it lies in, level in dB running empty and cutting.
_SHAFTS = ((425.0, 13, -6.0, -2.0), (985.0, 25, -1.0, 3.0))
_SIZE_LEVEL_DB = {"2x3": -1.0, "2x4": 0.0, "2x6": 1.0}
# Wider boards ring lower, at 8 bands from the lowest to the highest.
_SIZE_COLOUR_DB = {
    "2x3": (-1.0, -1.0, -0.5, 0.0, 0.5, 0.5, 1.0, 1.0),
    "2x4": (0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0),
    "2x6": (1.0, 1.5, 1.0, 0.5, 0.0, -0.5, -1.0, -1.0),
}
_SIZE_FEED_HZ = {"2x3": 2.85, "2x4": 2.75, "2x6": 2.6}


@dataclass(frozen=True)
class Setting:
    """What stays the same through one recording; speed and levels are relative to nominal.

    The colour, levels at 8 bands from the lowest to the highest, comes from the wood, the knives, and where the
    microphone hangs.
    """

    feed_hz: float = 2.75  # rate of the feed pulses
    speed: float = 1.0  # of the cutters
    level_db: float = 0.0
    colour_db: tuple[float, ...] = (0.0,) * 8


def draw_setting(size: str, day: np.random.Generator, recording: np.random.Generator) -> Setting:
    """Setting of a recording of boards of `size`; `day` is the same generator state for the whole day."""
    return Setting(
        feed_hz=_SIZE_FEED_HZ[size] + recording.normal(0, 0.05),
        speed=1 + day.normal(0, 0.004) + recording.normal(0, 0.002),
        level_db=_SIZE_LEVEL_DB[size] + day.normal(0, 1.0) + recording.normal(0, 1.2),
        colour_db=tuple(_SIZE_COLOUR_DB[size] + day.normal(0, 0.8, 8) + recording.normal(0, 1.6, 8)),
    )


def sound(course: Course, setting: Setting, rng: np.random.Generator) -> Array:
    """Samples of a course, shape ((C - 1) * HOP,), in [-1, 1] at nominal settings."""
    gap, cycle = _feed_cycle(course.feed, setting.feed_hz, rng)
    level = course.level + np.float32(setting.level_db)
    colour = profile(tuple(zip(np.linspace(0, N_BANDS - 1, 8), setting.colour_db, strict=True)))
    bands = _at_load(course.cut * (1 - gap), *load_profiles())
    bands += cycle + _texture(bands.shape, rng)
    bands = np.logaddexp2((bands + level[:, None] + colour) / 3, course.extra / 3) * 3

    cutter = np.float32(_CUTTER_HZ * setting.speed) * course.speed
    strain = wander(gap.size, 0.25, 2.4, rng) + wander(gap.size, 0.1, 1.2, rng)
    lines = _at_load(course.cut * (1 - np.sqrt(gap)), *np.array(_CUTTER_DB, dtype=np.float32)).T
    parts = [Tone(cutter, lines + level + strain)]
    for hz, band, low, high in _SHAFTS:
        drift = np.float32(hz) * (1 + wander(gap.size, 0.5, 0.004, rng))
        strength = low + (high - low) * np.minimum(course.cut, 1) + cycle[:, band] + wander(gap.size, 0.1, 2.0, rng)
        parts.append(Tone(drift, (strength + level)[None].astype(np.float32)))
    if course.squeal.max() > -60:
        parts.append(Tone(course.squeal_hz, np.stack((course.squeal, course.squeal - 9))))
    return render.noise(bands, rng) + render.tones(parts, rng)


def _feed_cycle(feed: Array, rate: float, rng: np.random.Generator) -> tuple[Array, Array]:
    """The rollers' cycle: gaps between boards (C,), 0 to 1, and what it adds to the bands (C, 80), dB."""
    cycles = np.cumsum(rate * (1 + wander(feed.size, 0.6, 0.05, rng))) / CONTROL_HZ + rng.random()
    turn = np.round(cycles).astype(int)
    depth, width = rng.uniform(0.3, 0.9, turn[-1] + 1), rng.uniform(0.16, 0.3, turn[-1] + 1)
    edges = np.clip((width[turn] / 2 - np.abs(cycles - turn)) / 0.05 + 0.5, 0, 1)
    strike = np.interp(cycles, np.arange(turn[-1] + 2), rng.uniform(0.6, 1.4, turn[-1] + 2))
    angle = 2 * np.pi * cycles
    orders = np.stack((np.cos(angle), np.sin(angle), np.cos(2 * angle), np.sin(2 * angle)), axis=1)
    added = (orders * (strike * feed)[:, None]).astype(np.float32) @ cycle_orders()
    return np.clip(depth[turn] * edges * feed, 0, 1).astype(np.float32), added


def _texture(shape: tuple[int, int], rng: np.random.Generator) -> Array:
    """Fluctuation of the cut, dB, alike in neighbouring bands and over some 50 ms."""
    grain = ndimage.uniform_filter(rng.standard_normal(shape, dtype=np.float32), (6, 4), mode="wrap")
    deviation = np.interp(np.arange(N_BANDS), (0, 15, 25, 35, 45, 79), (0.4, 0.7, 1.6, 1.0, 0.6, 0.5))
    return grain * (deviation * np.sqrt(24)).astype(np.float32)


def _at_load(cut: Array, idle: Array, normal: Array, heavy: Array) -> Array:
    """Levels (C, N) at a chip load (C,): idle at 0, normal at 1, heavy at 2, each (N,)."""
    load = np.clip(cut, 0, 2.2)[:, None]
    return idle + np.minimum(load, 1) * (normal - idle) + np.maximum(load - 1, 0) * (heavy - normal)
