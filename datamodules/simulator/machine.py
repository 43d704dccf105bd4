"""How a planer sounds: the samples of a course in a setting.

A `Setting` is the day, board size and microphone of a recording; a `Course` is what happens over a
clip. The level profiles follow the spectrograms published of the planer data set: cutter lines at
2.18 kHz and its harmonics, two slower shafts at 420 and 980 Hz, feed pulses at 2.7 Hz with their octave.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from datamodules.simulator import render
from datamodules.simulator.render import CONTROL_HZ, N_BANDS, Array, Tone
from datamodules.simulator.tracks import Course, wander

BOARD_SIZES = ("2x3", "2x4", "2x6")

# Band levels, dB at (band, level) corners: running empty, cutting, and cutting far too much.
_IDLE = ((0, -8), (3, -1), (10, -5), (15, -5), (19, -2), (24, -1), (28, -1), (35, -5), (39, -7), (43, -5),
         (46, -12), (57, -13), (67, -19), (79, -22))  # fmt: skip
_CUT = ((0, -8), (7, -1), (12, -3), (18, 0.5), (21, -2), (25, 1), (30, -1), (35, -4), (39, -1), (42, 5),
        (44, 1), (48, -8.5), (53, -10.5), (58, -6.5), (61, -6), (65, -11.5), (69, -9.5), (73, -11),
        (76, -10.5), (79, -12))  # fmt: skip
_HEAVY = ((0, -5), (4, 1), (12, 3), (20, 8), (24, 9), (30, 6), (41, 4), (50, 0), (60, -1), (79, -5))

_CUTTER_HZ, _SHAFTS_HZ = 2150.0, (425.0, 985.0)
# Line levels in dB, idle and cutting: of each harmonic of the cutters, and of each shaft.
_CUTTER_DB = ((4.5, -8.0, -13.0, -17.0), (17.5, -1.5, -8.0, -9.5))
_SHAFTS_DB = ((-4.0, 4.0), (-1.0, 3.0))
_SIZE_LEVEL_DB = {"2x3": -1.0, "2x4": 0.0, "2x6": 1.0}
_SIZE_FEED_HZ = {"2x3": 2.85, "2x4": 2.75, "2x6": 2.6}


@dataclass(frozen=True)
class Setting:
    """What stays the same through one recording.

    Attributes:
        feed_hz: Rate of the feed pulses, Hz.
        speed: Cutter speed relative to nominal.
        level_db: Level of the recording relative to nominal, dB.
        colour_db: Levels relative to nominal at 8 bands from the lowest to the highest, dB: the wood,
            the knives, and where the microphone hangs.
    """

    feed_hz: float = 2.75
    speed: float = 1.0
    level_db: float = 0.0
    colour_db: tuple[float, ...] = (0.0,) * 8


def draw_setting(size: str, day: np.random.Generator, recording: np.random.Generator) -> Setting:
    """Setting of a recording of boards of `size`; `day` is the same generator state for the whole day."""
    return Setting(
        feed_hz=_SIZE_FEED_HZ[size] + recording.normal(0, 0.05),
        speed=1 + day.normal(0, 0.004) + recording.normal(0, 0.002),
        level_db=_SIZE_LEVEL_DB[size] + day.normal(0, 0.7) + recording.normal(0, 0.5),
        colour_db=tuple(day.normal(0, 0.6, 8) + recording.normal(0, 1.0, 8)),
    )


def sound(course: Course, setting: Setting, rng: np.random.Generator) -> Array:
    """Samples of a course, shape ((C - 1) * HOP,), in [-1, 1] at nominal settings."""
    gap, knock = _feed_pulses(course.feed, setting.feed_hz, rng)
    cut = course.cut * (1 - 0.7 * gap)
    level = course.level + np.float32(setting.level_db)
    colour = _profile(tuple(zip(np.linspace(0, N_BANDS - 1, 8), setting.colour_db, strict=True)))
    bands = _between(cut, _profile(_IDLE), _profile(_CUT), _profile(_HEAVY))
    bands += knock[:, None] * _knock_shape() + _texture(bands.shape, rng)
    bands = np.logaddexp2((bands + level[:, None] + colour) / 3, course.extra / 3) * 3

    cutter = np.float32(_CUTTER_HZ * setting.speed) * course.speed
    idle, cutting = (np.array(db, dtype=np.float32)[:, None] for db in _CUTTER_DB)
    load = np.minimum(course.cut, 1.3) * (1 - np.sqrt(gap)) + wander(cut.size, 0.1, 0.12, rng)
    parts = [Tone(cutter, idle + (cutting - idle) * load + level)]
    for hz, low, high in zip(_SHAFTS_HZ, *_SHAFTS_DB, strict=True):
        drift = np.float32(hz) * (1 + wander(cut.size, 0.5, 0.004, rng))
        strength = low + (high - low) * course.cut + 12 * (knock - 0.4) + wander(cut.size, 0.1, 2.0, rng)
        parts.append(Tone(drift, (strength + level)[None].astype(np.float32)))
    if course.squeal.max() > -60:
        parts.append(Tone(course.squeal_hz, np.stack((course.squeal, course.squeal - 9))))
    return render.noise(bands, rng) + render.tones(parts, rng)


def _feed_pulses(feed: Array, rate: float, rng: np.random.Generator) -> tuple[Array, Array]:
    """Gaps where one board ends (0 to 1), and the knock of the next against the rollers, each (C,)."""
    cycles = np.cumsum(rate * (1 + wander(feed.size, 1.0, 0.03, rng))) / CONTROL_HZ + rng.random()
    turn, phase = np.divmod(cycles, 1)
    turn = turn.astype(int)
    depth, width = rng.beta(1.5, 1.3, turn[-1] + 1), rng.uniform(0.15, 0.32, turn[-1] + 1)
    gap = depth[turn] * (phase < width[turn])
    # The second roller strikes half a cycle later, more softly: the octave in the modulation.
    strike = rng.uniform(0.4, 1.1, turn[-1] + 1)
    late = np.where(phase < 0.5, strike[turn], 0.6 * strike[turn] * (depth[turn] > 0.35))
    knock = late * np.exp(-0.5 * ((phase % 0.5 - 0.2) / 0.09) ** 2)
    return np.clip(gap * feed, 0, 1).astype(np.float32), (knock * feed).astype(np.float32)


def _texture(shape: tuple[int, int], rng: np.random.Generator) -> Array:
    """Fluctuation of the cut, dB, alike in neighbouring bands and over some 50 ms."""
    grain = ndimage.uniform_filter(rng.standard_normal(shape, dtype=np.float32), (6, 4), mode="wrap")
    deviation = np.interp(np.arange(N_BANDS), (0, 15, 35, 45, 79), (2.2, 2.4, 2.2, 1.4, 1.2))
    return grain * (deviation * np.sqrt(24)).astype(np.float32)


def _between(cut: Array, idle: Array, normal: Array, heavy: Array) -> Array:
    """Band levels (C, 80) for a chip load: idle at 0, normal at 1, heavy at 2."""
    load = np.clip(cut, 0, 2.2)[:, None]
    return idle + np.minimum(load, 1) * (normal - idle) + np.maximum(load - 1, 0) * (heavy - normal)


def _profile(corners: tuple[tuple[float, float], ...]) -> Array:
    """Levels of the 80 bands, straight lines between corners."""
    at, level = np.array(corners, dtype=np.float32).T
    return np.interp(np.arange(N_BANDS), at, level).astype(np.float32)


def _knock_shape() -> Array:
    """What a full knock adds to the 80 bands, dB: the resonances around the two shafts."""
    return _profile(((0, 0), (10, 1), (13, 11), (16, 1), (21, 5), (24, 12), (26, 12), (29, 6), (35, 2), (38, 0)))
