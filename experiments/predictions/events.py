"""Events: neighbouring windows that raise an alarm, with the seconds and bands that carry their error."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from experiments.predictions.decisions import Decider, Decision
from experiments.predictions.scores import ScoredRecording
from metrics.functional import carrying_bands, likeness

COMPARED_EVENTS = 1000
"""Earlier events with which one is compared."""


@dataclass(frozen=True)
class Event:
    """A part of a recording that raised an alarm.

    Attributes:
        name: The recording.
        start: In seconds of the recording: of the first flagged second in the flagged windows, or of the first window.
        end: Likewise.
        peak: The middle of the second with the highest error, or of the window with the highest score.
        scores: Highest scores of its windows.
        p_value: Lowest p-value of its windows.
        low_hz: Lower edge of the bands that carry half of its error beyond the normal one; NaN if there is none.
        high_hz: Upper edge of these bands.
        spectrum: Its error in each band beyond the normal one, dB², (F,); (0,) without a reconstruction.
    """

    name: str
    start: float
    end: float
    peak: float
    scores: Mapping[str, float]
    p_value: float
    low_hz: float
    high_hz: float
    spectrum: NDArray[np.float64]


def find_events(
    decider: Decider, recording: ScoredRecording, decision: Decision, band_edges: NDArray[np.float64]
) -> list[Event]:
    """The events of a recording: flagged windows that overlap or touch.

    Args:
        decider: What has decided about the recording.
        recording: The recording.
        decision: What was decided.
        band_edges: Frequencies in Hz at the borders of the bands, (F + 1,).
    """
    finder = EventFinder(decider, recording.name, band_edges)
    for index in np.flatnonzero(decision.flagged):
        scores = {key: float(values[index]) for key, values in recording.scores.items()}
        finder.add_window(float(recording.starts[index]), scores, float(decision.p_values[index]))
    finder.add_seconds(recording.band_errors)
    return finder.take(recorded=float(recording.starts[-1]) + decider.window_seconds)


class EventFinder:
    """Finds the events of a recording from its flagged windows and its seconds, as they come, in constant memory.

    Args:
        decider: What decides about the recording.
        name: The recording.
        band_edges: Frequencies in Hz at the borders of the bands, (F + 1,).
    """

    def __init__(self, decider: Decider, name: str, band_edges: NDArray[np.float64]) -> None:
        self._decider, self._name, self._edges = decider, name, band_edges
        self._open: list[_OpenEvent] = []
        self._n_seconds = 0

    def add_window(self, start: float, scores: Mapping[str, float], p_value: float) -> None:
        """Take in the next flagged window: its start in s, its scores and p-value."""
        end = start + self._decider.window_seconds
        if not self._open or start > self._open[-1].end:
            self._open.append(_OpenEvent(start, end))
        self._open[-1].add_window(start, end, scores, p_value, self._decider.settings.score)

    def add_seconds(self, band_errors: NDArray[np.float32]) -> None:
        """Take in the mean errors (S, F), dB², of the next seconds, whose windows are all there if they are flagged."""
        if band_errors.shape[1]:
            second_errors = band_errors.mean(axis=1, dtype=np.float64)
            flagged = self._decider.flag_seconds(second_errors)
            for event in self._open:
                first = max(0, int(event.start) - self._n_seconds)
                after = max(first, int(np.ceil(event.end)) - self._n_seconds)
                for second in range(first, min(after, len(band_errors))):
                    event.add_second(
                        self._n_seconds + second, band_errors[second], float(second_errors[second]), flagged[second]
                    )
        self._n_seconds += len(band_errors)

    def take(self, before: float = np.inf, recorded: float = np.inf) -> list[Event]:
        """The events that are complete since the last call.

        Args:
            before: No flagged window to come begins before this time in s, and the whole seconds before it have been
                added; infinite at the end of the recording.
            recorded: Where the recording ends in s, perhaps within a second.
        """
        complete = [event for event in self._open if event.end < before and np.ceil(event.end) <= before]
        self._open = self._open[len(complete) :]
        return [
            event.closed(self._name, recorded, self._decider.calibration.spectrum, self._edges) for event in complete
        ]


@dataclass
class _OpenEvent:
    """An event that may go on, as sums over its windows and seconds.

    Attributes:
        start: Of its first window, s.
        end: Of its last window so far, s.
    """

    start: float
    end: float

    def __post_init__(self) -> None:
        self.scores: dict[str, float] = {}
        self.p_value = 1.0
        self._highest = -np.inf
        self._peak = 0.0  # the middle of the window with the highest score
        self._all, self._flagged = _Seconds(), _Seconds()

    def add_window(self, start: float, end: float, scores: Mapping[str, float], p_value: float, decides: str) -> None:
        self.end = end
        if scores[decides] > self._highest:
            self._highest, self._peak = scores[decides], (start + end) / 2
        self.scores = {key: max(score, self.scores.get(key, -np.inf)) for key, score in scores.items()}
        self.p_value = min(self.p_value, p_value)

    def add_second(self, second: int, band_errors: NDArray[np.float32], error: float, is_flagged: bool) -> None:
        self._all.add(second, band_errors, error)
        if is_flagged:
            self._flagged.add(second, band_errors, error)

    def closed(self, name: str, recorded: float, normal: NDArray[np.float64], band_edges: NDArray[np.float64]) -> Event:
        start, end, peak, spectrum, low, high = self.start, self.end, self._peak, np.zeros(0), np.nan, np.nan
        if self._flagged.n:
            start, end = float(self._flagged.first), min(float(self._flagged.last + 1), recorded)
        seconds = self._flagged if self._flagged.n else self._all
        if seconds.n:
            peak = seconds.worst + 0.5
            spectrum = (seconds.sums / seconds.n - normal).clip(0)
        if spectrum.any():
            first, after = carrying_bands(spectrum)
            low, high = float(band_edges[first]), float(band_edges[after])
        return Event(name, start, end, peak, self.scores, self.p_value, low, high, spectrum)


class _Seconds:
    """Sums over some seconds of a recording."""

    n = first = last = worst = 0
    highest_error = -np.inf

    def __init__(self) -> None:
        self.sums: NDArray[np.float64] = np.zeros(())

    def add(self, second: int, band_errors: NDArray[np.float32], error: float) -> None:
        self.first = self.first if self.n else second
        self.last, self.n, self.sums = second, self.n + 1, self.sums + band_errors
        if error > self.highest_error:
            self.highest_error, self.worst = error, second


class EarlierEvents:
    """The last events, `COMPARED_EVENTS` at most, with which a new one is compared."""

    def __init__(self) -> None:
        self._spectra: deque[NDArray[np.float64]] = deque(maxlen=COMPARED_EVENTS)
        self.n_events = 0

    def add(self, event: Event) -> tuple[float, float]:
        """The number, from 1, of the earlier event most like an event, and their likeness; NaN without one."""
        found = np.nan, np.nan
        if self._spectra and event.spectrum.size:
            alike = likeness(event.spectrum, np.array(self._spectra))
            found = self.n_events - len(self._spectra) + int(alike.argmax()) + 1, float(alike.max())
        self._spectra.append(event.spectrum)
        self.n_events += 1
        return found


def most_alike(events: Sequence[Event]) -> list[tuple[float, float]]:
    """For each event the number, from 1, of the earlier event most like it, and their likeness; NaN without one."""
    earlier = EarlierEvents()
    return [earlier.add(event) for event in events]
