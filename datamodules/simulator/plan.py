"""Which clips a simulated set has: folders, names, recordings, anomaly types and their intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import NamedTuple

import numpy as np

from datamodules.simulator.courses import Interval
from datamodules.simulator.machine import BOARD_SIZES

START_STOP = "machine_start_stop"
CLIPS_PER_RECORDING = 6  # a recording is a minute, cut into 10 s

# Shares of the published set: clips of each anomaly type, and how many of them are annotated.
_TYPE_CLIPS = {"broken_board": 4, "board_stuck": 29, "Uneven_thick_wood": 72}
_TYPE_ANNOTATED = {"broken_board": 2, "board_stuck": 10, "Uneven_thick_wood": 34}
_TRAINING_SHARES = {"2x3": 27, "2x4": 38, "2x6": 27, START_STOP: 8}
TRAINING_FOLDERS = tuple(_TRAINING_SHARES)
# Published annotations: of how many clips the intervals have these lengths, s; 3.4 s per clip on average.
_INTERVAL_SECONDS: dict[str, dict[tuple[int, ...], int]] = {
    "broken_board": {(4,): 1, (5,): 1},
    "board_stuck": {(2,): 1, (3,): 2, (4,): 3, (8,): 1, (9,): 2, (1, 3): 1},
    "Uneven_thick_wood": {
        **{(1,): 8, (2,): 2, (3,): 4, (4,): 4, (5,): 1},
        **{(1, 1): 2, (1, 2): 5, (2, 1): 3, (2, 2): 1, (3, 2): 1, (3, 3): 1, (1, 1, 1): 1, (3, 3, 1): 1},
    },
}
_FIRST_DAY = date(2019, 11, 25)
_TRAINING_DAYS, _EVALUATION_DAYS = 6, 3
_FIRST_MINUTE, _MINUTES_PER_DAY = 8 * 60, 10 * 60
_ANNOTATED_STRENGTH, _FAINT_STRENGTH = (0.4, 0.9), (0.2, 0.55)


class _Source(NamedTuple):
    """A number of clips of one kind; if `running` is "", each recording has its own board size."""

    folder: str
    running: str
    clips: int
    anomaly_type: str = ""


@dataclass(frozen=True)
class PlannedClip:
    """One clip to be rendered."""

    folder: str  # relative to the data root
    day: int  # since the first day of the set
    recording: int  # number within the day, from 1
    part: int  # which 10 s of the minute, from 1
    running: str  # board size, or START_STOP
    anomaly_type: str = ""
    annotated: bool = False  # whether the intervals are published
    intervals: tuple[Interval, ...] = ()  # seconds in which the anomaly lies
    strength: float = 0.0  # how clear the anomaly is, 0 to 1

    @property
    def name(self) -> str:
        """File name of the clip, without suffix."""
        day = _FIRST_DAY + timedelta(days=self.day)
        hour, minute = divmod(_FIRST_MINUTE + self.recording, 60)
        return f"MPD_{day:%y-%m-%d}_{hour:02}{minute:02}_{self.recording:05}_{self.part}"


def plan(train: int, normal: int, anomalies: int, duration: int, rng: np.random.Generator) -> list[PlannedClip]:
    """Plans a set of `train` training, `normal` normal test and `anomalies` anomalous test clips."""
    sources = [
        _Source(f"training/{running}", running, count) for running, count in apportion(train, _TRAINING_SHARES).items()
    ]
    clips = _record(sources, 0, _TRAINING_DAYS, rng)
    sources = [_Source("evaluation/normal", "", normal)]
    sources += [
        _Source(f"evaluation/anomalies/{name}", "", count, name)
        for name, count in apportion(anomalies, _TYPE_CLIPS).items()
    ]
    clips += _record(sources, clips[-1].day + 1, _EVALUATION_DAYS, rng)
    return _with_anomalies(clips, duration, rng)


def apportion(total: int, shares: dict[str, int]) -> dict[str, int]:
    """Splits a count in proportion to shares, by largest remainders, at least one each.

    Example:
        >>> apportion(105, {"broken_board": 4, "board_stuck": 29, "Uneven_thick_wood": 72})
        {'broken_board': 4, 'board_stuck': 29, 'Uneven_thick_wood': 72}
        >>> apportion(4, {"broken_board": 4, "board_stuck": 29, "Uneven_thick_wood": 72})
        {'broken_board': 1, 'board_stuck': 1, 'Uneven_thick_wood': 2}
    """
    whole = sum(shares.values())
    counts = {name: max(1, total * share // whole) for name, share in shares.items()}
    while sum(counts.values()) != total:
        step = 1 if sum(counts.values()) < total else -1
        owed = {name: step * (total * shares[name] / whole - counts[name]) for name in shares}
        counts[max((name for name in shares if counts[name] + step > 0), key=owed.__getitem__)] += step
    return counts


def deal_lengths(anomaly_type: str, count: int, rng: np.random.Generator) -> list[tuple[int, ...]]:
    """Lengths of the intervals of `count` clips, s: the published ones in random order, over and over.

    They are dealt like cards, so that a set of the published size has the published annotated seconds.
    """
    published = [lengths for lengths, clips in _INTERVAL_SECONDS[anomaly_type].items() for _ in range(clips)]
    decks = [rng.permutation(len(published)) for _ in range(math.ceil(count / len(published)))]
    return [published[place] for deck in decks for place in deck][:count]


def place_intervals(lengths: Sequence[int], duration: int, rng: np.random.Generator) -> tuple[Interval, ...]:
    """Whole seconds of a clip in which an anomaly lies, in order, at least a second apart.

    The lengths of the intervals, s, are those in a clip of 10 s and scaled to the duration.
    """
    lengths = [min(max(1, round(length * duration / 10)), duration - 1) for length in lengths]
    while sum(lengths) + len(lengths) - 1 > duration:
        lengths.pop()
    spare = duration - sum(lengths) - (len(lengths) - 1)
    pauses = rng.multinomial(spare, np.full(len(lengths) + 1, 1 / (len(lengths) + 1)))
    intervals, second = [], 0
    for length, pause in zip(lengths, pauses, strict=False):
        intervals.append((int(second + pause), int(second + pause + length)))
        second += int(pause) + length + 1
    return tuple(intervals)


def _record(sources: Sequence[_Source], first_day: int, days: int, rng: np.random.Generator) -> list[PlannedClip]:
    """Lays the clips out in minutes of one source each, spread over consecutive days in random order."""
    minutes = [
        (source, min(CLIPS_PER_RECORDING, source.clips - first))
        for source in sources
        for first in range(0, source.clips, CLIPS_PER_RECORDING)
    ]
    minutes_per_day = min(math.ceil(len(minutes) / days), _MINUTES_PER_DAY)
    clips = []
    for position, index in enumerate(rng.permutation(len(minutes))):
        source, parts = minutes[index]
        day, recording = divmod(position, minutes_per_day)
        running = source.running or str(rng.choice(BOARD_SIZES))
        clips += [
            PlannedClip(source.folder, first_day + day, recording + 1, part, running, source.anomaly_type)
            for part in range(1, parts + 1)
        ]
    return clips


def _with_anomalies(clips: Sequence[PlannedClip], duration: int, rng: np.random.Generator) -> list[PlannedClip]:
    """Draws the intervals and strengths of the anomalous clips; the faint ones are not annotated."""
    planned = list(clips)
    for name, of_type in _TYPE_CLIPS.items():
        places = [place for place, clip in enumerate(planned) if clip.anomaly_type == name]
        annotated = max(1, round(len(places) * _TYPE_ANNOTATED[name] / of_type))
        # Evenly spread strengths, so that every seed gives a set of about the same difficulty.
        strengths = [*_spread(*_ANNOTATED_STRENGTH, annotated), *_spread(*_FAINT_STRENGTH, len(places) - annotated)]
        lengths = deal_lengths(name, len(places), rng)
        for rank, place in enumerate(rng.permutation(places)):
            planned[place] = replace(
                planned[place],
                annotated=bool(rank < annotated),
                intervals=place_intervals(lengths[rank], duration, rng),
                strength=strengths[rank],
            )
    return planned


def _spread(low: float, high: float, count: int) -> list[float]:
    """Midpoints of `count` equal parts of a range."""
    return [low + (high - low) * (place + 0.5) / count for place in range(count)]
