"""The scores of a recording over time as a drawing of a page, whatever its length."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from experiments.report.player import Span, Tick, time_text, time_ticks

WIDTH, HEIGHT = 1000, 100
"""Units of the drawing, which is stretched to the width of the page."""

_MOST_POINTS = 1000
_MARKER_PERCENT = 2.6
"""Width of an event's number in percent of the page."""


@dataclass(frozen=True)
class Marker:
    """An event that has a player.

    Attributes:
        text: Its number.
        target: Id of the player.
        label: What a screen reader says.
        percent: Where it is, in percent of the recording.
        row: Row of the marker, from 0, so that neighbours don't overlap.
    """

    text: str
    target: str
    label: str
    percent: float
    row: int = 0


@dataclass(frozen=True)
class Timeline:
    """Scores of a recording against the threshold, its flagged seconds, and its events.

    Attributes:
        name: Id on the page.
        title: The recording.
        sentence: What is to be seen.
        seconds: Length of the recording in s.
        line: Path of the scores.
        threshold: Height of the threshold, in units from the top; None without one.
        flagged: Flagged seconds.
        events: All events.
        markers: Those with a player.
        scores: Ticks of the score.
        times: Ticks of time.
    """

    name: str
    title: str
    sentence: str
    seconds: float
    line: str
    threshold: float | None
    flagged: Sequence[Span]
    events: Sequence[Span]
    markers: Sequence[Marker]
    scores: Sequence[Tick]
    times: Sequence[Tick]

    @property
    def rows(self) -> int:
        """Rows of markers."""
        return 1 + max((marker.row for marker in self.markers), default=-1)


def draw_timeline(
    name: str,
    title: str,
    sentence: str,
    starts: NDArray[np.float64],
    scores: NDArray[np.float64],
    window_seconds: float,
    threshold: float | None,
    flagged: NDArray[np.bool_],
    events: Sequence[tuple[float, float]],
    markers: Sequence[tuple[float, str, str, str]],
) -> Timeline:
    """Draw a timeline.

    Args:
        name: Id on the page.
        title: The recording.
        sentence: What is to be seen.
        starts: Start of each window in s, (N,).
        scores: Score of each window, (N,).
        window_seconds: Length of a window.
        threshold: Scores above it raise an alarm; None without one.
        flagged: Flagged seconds, (S,).
        events: Start and end of each event in s.
        markers: Time in s, text, target and label of each event that has a player.
    """
    seconds = float(starts[-1] + window_seconds)
    times = np.concatenate([[0.0], starts + window_seconds / 2, [seconds]])
    kept = thinned(values := np.concatenate([scores[:1], scores, scores[-1:]]), _MOST_POINTS)
    lowest, highest = float(scores.min()), float(scores.max())
    if threshold is not None:
        lowest, highest = min(lowest, threshold), max(highest, threshold)
    room = 0.08 * (highest - lowest) or 1.0

    def height(score: float) -> float:
        return (highest + room - score) / (highest - lowest + 2 * room)

    points = [f"{WIDTH * times[i] / seconds:.1f} {HEIGHT * height(float(values[i])):.1f}" for i in kept]
    ticks = [Tick(f"{score:.3g}", 100 * (1 - height(score))) for score in (lowest, highest)]
    if threshold is not None:
        place = 100 * (1 - height(threshold))
        ticks = [tick for tick in ticks if abs(tick.percent - place) > 12]
        ticks.append(Tick(f"alarm above {threshold:.3g}", place))
    borders = np.flatnonzero(np.diff(flagged.astype(int), prepend=0, append=0)).reshape(-1, 2)
    return Timeline(
        name,
        title,
        sentence,
        seconds,
        "M" + " L".join(points),
        None if threshold is None else HEIGHT * height(threshold),
        _merged([(float(first), float(after)) for first, after in borders], seconds),
        _merged(events, seconds),
        _in_rows([Marker(text, target, label, 100 * time / seconds) for time, text, target, label in sorted(markers)]),
        ticks,
        time_ticks(0.0, seconds, seconds, most=12),
    )


def thinned(values: NDArray[np.float64], most: int) -> list[int]:
    """Indices of about ``most`` values, the lowest and the highest of each stretch, so that no peak is lost.

    Example:
        >>> thinned(np.array([0.0, 5.0, 1.0, 2.0, 2.0, 9.0, 1.0, 3.0]), most=4)
        [0, 1, 5, 6]
    """
    if len(values) <= most:
        return list(range(len(values)))
    stretches = np.array_split(np.arange(len(values)), most // 2)
    return [int(i) for each in stretches for i in sorted({each[values[each].argmin()], each[values[each].argmax()]})]


def _merged(spans: Sequence[tuple[float, float]], seconds: float) -> list[Span]:
    """Increasing spans in units of the drawing, at least one unit wide, overlapping ones together."""
    merged: list[Span] = []
    for start, end in spans:
        left, right = WIDTH * start / seconds, WIDTH * min(end, seconds) / seconds
        right = max(right, left + 1)
        if merged and left <= merged[-1].start + merged[-1].width:
            left = merged.pop().start
        merged.append(Span(round(left, 1), round(right - left, 1)))
    return merged


def _in_rows(markers: Sequence[Marker]) -> list[Marker]:
    """Put each marker into the first row in which it doesn't overlap the one before."""
    ends: list[float] = []
    placed = []
    for marker in markers:
        row = next((row for row, end in enumerate(ends) if marker.percent >= end), len(ends))
        ends[row : row + 1] = [marker.percent + _MARKER_PERCENT]
        placed.append(Marker(marker.text, marker.target, marker.label, marker.percent, row))
    return placed


def span_text(start: float, end: float, longest: float) -> str:
    """Start and end of a part of a recording.

    Example:
        >>> span_text(12.4, 15.13, 60), span_text(725, 730, 3600)
        ('12.4–15.1 s', '12:05–12:10')
    """
    return f"{time_text(start, longest)}–{time_text(end, longest)}{' s' if longest < 120 else ''}"
