"""From the scores of a recording to alarms and events, by the scores of normal recordings."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from experiments.runs.calibration import Calibration
from experiments.runs.recordings import ScoredRecording
from lightning_modules.base import require_number
from lightning_modules.errors import ConfigurationError
from lightning_modules.wording import counted
from metrics.functional import (
    carrying_bands,
    conformal_p_values,
    conformal_threshold,
    likeness,
    needed_scores,
    persistent,
    smallest_alpha,
)

DEFAULT_ALPHA = 0.05
"""Highest probability of a false alarm where none is asked for and there is enough to calibrate with."""

COMPARED_EVENTS = 1000
"""Earlier events with which one is compared."""

_SECONDS_PER_DAY = 86_400


@dataclass(frozen=True)
class AlarmSettings:
    """What raises an alarm.

    Attributes:
        alpha: Highest probability of a false alarm per stretch of normal sound as long as those of the calibration.
        false_alarms_per_day: Highest expected number of such stretches per day, in place of alpha.
        persistence: k/n, where a window above the threshold counts if k of n consecutive ones are above it.
        score: The score that decides.

    Raises:
        ConfigurationError: A value is out of its range, or both rates are given.
    """

    alpha: float | None = None
    false_alarms_per_day: float | None = None
    persistence: str = "1/1"
    score: Literal["score", "masked_score"] = "score"

    def __post_init__(self) -> None:
        if self.alpha is not None:
            require_number("alpha", self.alpha, lambda alpha: 0 < alpha < 1, "above 0 and below 1")
        if self.false_alarms_per_day is not None:
            require_number("false_alarms_per_day", self.false_alarms_per_day, lambda rate: rate > 0, "above 0")
            if self.alpha is not None:
                raise ConfigurationError(
                    "alpha and false_alarms_per_day are two ways to say the same; give one of them"
                )
        match = re.fullmatch(r"(\d+)/(\d+)", self.persistence)
        if match is None or not 1 <= int(match[1]) <= int(match[2]):
            raise ConfigurationError(
                f"persistence={self.persistence} is not valid; it must be k/n, such as 2/3 for 2 of 3 windows"
            )

    @property
    def windows_needed(self) -> tuple[int, int]:
        """How many windows above the threshold persistence asks for, k, and among how many, n."""
        k, n = self.persistence.split("/")
        return int(k), int(n)

    def alpha_of(self, n: int, stretch_seconds: float, of: str = "") -> float:
        """The probability of a false alarm to promise with n stretches of normal sound.

        Args:
            n: Stretches of the calibration.
            stretch_seconds: Seconds of a recording in which as many windows begin as a stretch has.
            of: What they are of, for messages, such as " in the condition fast".

        Raises:
            ConfigurationError: There are too few stretches; the message says how many are needed.
        """
        rate, lowest = self.false_alarms_per_day, smallest_alpha(n)
        if rate is None and self.alpha is None:
            return max(DEFAULT_ALPHA, lowest)
        per_day = _SECONDS_PER_DAY / stretch_seconds
        alpha = self.alpha if rate is None else rate / per_day
        option = f"--alpha {self.alpha:g}" if rate is None else f"--false_alarms_per_day {rate:g}"
        assert alpha is not None
        if alpha >= 1:
            raise ConfigurationError(f"{option} is more than the {per_day:,.0f} stretches of a day; give fewer")
        if n < needed_scores(alpha):
            possible = f"{lowest:.3g}" if rate is None else f"{lowest * per_day:.3g}"
            raise ConfigurationError(
                f"{option} needs {counted(needed_scores(alpha), 'normal clip')} or recordings to calibrate with{of}, "
                f"but there are {n}, which allow {option.partition(' ')[0]} {possible}; give that, or more normal "
                "recordings with --calibrate"
            )
        return alpha


@dataclass(frozen=True)
class Decision:
    """What a calibration says about the N windows and S seconds of a recording.

    Attributes:
        p_values: Conformal p-value of each window, (N,).
        flagged: Windows that raise an alarm, (N,).
        flagged_seconds: Seconds with a higher error than normal stretches reach, (S,).
        margin: Highest score minus the threshold.
    """

    p_values: NDArray[np.float64]
    flagged: NDArray[np.bool_]
    flagged_seconds: NDArray[np.bool_]
    margin: float


@dataclass(frozen=True)
class Decider:
    """Decides about recordings with one calibration.

    Attributes:
        calibration: Scores of normal stretches.
        settings: What raises an alarm.
        window_seconds: Length of a window in s.
        hop_seconds: Step from window to window in s.
    """

    calibration: Calibration
    settings: AlarmSettings
    window_seconds: float
    hop_seconds: float

    @property
    def alpha(self) -> float:
        """Highest probability of a false alarm per stretch; raises a ConfigurationError if it can't be promised."""
        return self.settings.alpha_of(len(self.calibration), self._stretch_seconds)

    @property
    def threshold(self) -> float:
        """The score that windows above the threshold exceed."""
        return conformal_threshold(self._normal_scores, self.alpha)

    @property
    def promise(self) -> str:
        """The promise in a sentence."""
        per_stretch = self.calibration.windows_per_stretch
        what = "window" if per_stretch == 1 else f"stretch of {self._stretch_seconds:g} s"
        per_day = self.alpha * _SECONDS_PER_DAY / self._stretch_seconds
        n = len(self.calibration)
        return (
            f"with alpha = {self.alpha:.3g} a normal {what} raises an alarm with a probability of at most "
            f"{self.alpha:.3g}, that is {per_day:,.1f} false alarms per day on average, if it is like the {n} normal "
            f"ones that calibrate; so few allow no alpha below {smallest_alpha(n):.3g}"
        )

    def decide(self, recording: ScoredRecording) -> Decision:
        """Decide about a recording, whose scores the settings name."""
        scores = recording.scores[self.settings.score]
        return Decision(
            p_values=self.p_values(scores),
            flagged=persistent(scores > self.threshold, *self.settings.windows_needed),
            flagged_seconds=self.flag_seconds(recording.second_errors),
            margin=float(scores.max() - self.threshold),
        )

    def p_values(self, scores: ArrayLike) -> NDArray[np.float64]:
        """Conformal p-values of the scores (N,) of windows."""
        return conformal_p_values(scores, self._normal_scores)

    def flag_seconds(self, errors: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Which seconds have a higher error (S,), dB², than normal stretches reach."""
        return errors > conformal_threshold(self.calibration.second_error, self.alpha)  # NaN is not

    def events(self, recording: ScoredRecording, decision: Decision, band_edges: NDArray[np.float64]) -> list[Event]:
        """The events of a recording: flagged windows that overlap or touch.

        Args:
            recording: The recording.
            decision: What was decided about it.
            band_edges: Frequencies in Hz at the borders of the bands, (F + 1,).
        """
        finder = EventFinder(self, recording.name, band_edges)
        for index in np.flatnonzero(decision.flagged):
            scores = {key: float(values[index]) for key, values in recording.scores.items()}
            finder.add_window(float(recording.starts[index]), scores, float(decision.p_values[index]))
        finder.add_seconds(recording.band_errors)
        return finder.take(recorded=float(recording.starts[-1]) + self.window_seconds)

    @property
    def _normal_scores(self) -> NDArray[np.float64]:
        scores: NDArray[np.float64] = getattr(self.calibration, self.settings.score)
        return scores

    @property
    def _stretch_seconds(self) -> float:
        return self.calibration.windows_per_stretch * self.hop_seconds


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
