"""Alarms and events of a recording that has no end yet, as `predict` finds them in the whole, in constant memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from experiments.predictions.decisions import Decider
from experiments.predictions.events import EarlierEvents, Event, EventFinder
from experiments.predictions.scores import StreamedErrors
from metrics.functional import persistent


@dataclass(frozen=True)
class _Window:
    start: float
    scores: Mapping[str, float]
    p_value: float
    exceeds: bool


@dataclass(frozen=True)
class NumberedEvent:
    """An event, its number from 1, the earlier event most like it and their likeness, NaN without one."""

    number: int
    event: Event
    like: float
    likeness: float


class LiveDecider:
    """Decides about the windows of a recording one by one.

    Args:
        decider: What decides about whole recordings.
        frames_per_second: Frame rate of the spectrograms.
        band_edges: Frequencies in Hz at the borders of the bands, (F + 1,).
    """

    def __init__(self, decider: Decider, frames_per_second: float, band_edges: NDArray[np.float64]) -> None:
        self._decider, self._rate = decider, frames_per_second
        self._threshold = decider.threshold
        self._finder = EventFinder(decider, "", band_edges)
        self._errors: StreamedErrors | None = None
        self._earlier = EarlierEvents()
        self._tail: deque[_Window] = deque()
        self._end = 0.0  # of the last window
        self._n_settled = 0  # windows at the start of the tail that no later one changes

    def add(self, first: int, scores: Mapping[str, float], error: Tensor) -> tuple[float, bool]:
        """Take in the next window: its first frame, its scores and its error map (F, T).

        Returns:
            Its p-value, and whether it raises an alarm. With persistence, windows to come may still make it one.
        """
        if self._errors is None:
            self._errors = StreamedErrors(len(error), self._rate)
        self._errors.add(error, first)
        self._end = first / self._rate + self._decider.window_seconds
        score = scores[self._decider.settings.score]
        p_value = float(self._decider.p_values([score])[0])
        self._tail.append(_Window(first / self._rate, scores, p_value, score > self._threshold))
        n = self._decider.settings.windows_needed[1]
        flags = self._settle(n_later=n - 1)
        while self._n_settled > n - 1:
            self._tail.popleft()
            self._n_settled -= 1
        return p_value, flags[-1]

    def take(self, n_passed: int | None = None) -> Iterator[NumberedEvent]:
        """The events that are complete since the last call.

        Args:
            n_passed: Frames before which no window to come begins; None at the end of the recording.
        """
        if self._errors is None:
            return
        before = recorded = np.inf
        if n_passed is None:
            self._settle(n_later=0)
            recorded = self._end
            seconds = self._errors.take()
        else:
            waiting = [window.start for window in self._tail][self._n_settled :]
            before = min([*waiting, n_passed / self._rate])
            seconds = self._errors.take(int(before))
        self._finder.add_seconds(seconds)
        for event in self._finder.take(before, recorded):
            like, alike = self._earlier.add(event)
            yield NumberedEvent(self._earlier.n_events, event, like, alike)

    def _settle(self, n_later: int) -> list[bool]:
        """Pass flagged windows that have so many later ones on to the finder; returns the flags of the tail."""
        flags = persistent([window.exceeds for window in self._tail], *self._decider.settings.windows_needed).tolist()
        for window in [*self._tail][self._n_settled : max(0, len(self._tail) - n_later)]:
            if flags[self._n_settled]:
                self._finder.add_window(window.start, window.scores, window.p_value)
            self._n_settled += 1
        return flags
