"""What a prediction has found, and which of its moments are worth to be explained and shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from experiments.predictions.conditions import Deciders
from experiments.predictions.decisions import Decision
from experiments.predictions.events import Event
from experiments.predictions.scores import ScoredRecording
from explainers.examples import Example


@dataclass(frozen=True)
class Moment:
    """A part of a recording to explain: an event, or else a window with a high score.

    Attributes:
        name: The recording.
        start: Where it begins, in s.
        end: Where it ends, in s.
        peak: The middle of the window to explain, in s.
        score: Its highest score.
        number: Number of the event in ``events.csv``, or the rank of the window, from 1.
        event: The event; None for a window.
    """

    name: str
    start: float
    end: float
    peak: float
    score: float
    number: int
    event: Event | None = None

    def first_frame(self, n_recorded: int, n_frames: int, frames_per_second: float) -> int:
        """First frame of the window of ``n_frames`` around the peak that lies in a recording of ``n_recorded``."""
        return int(np.clip(round(self.peak * frames_per_second - n_frames / 2), 0, n_recorded - n_frames))


@dataclass(frozen=True)
class Outcome:
    """What a prediction has found.

    Attributes:
        recordings: What was scored.
        decisions: What was decided about each recording; None without a calibration of its condition.
        events: All events, in the order of their numbers.
        deciders: What has decided.
        score: The score that raises alarms, or would.
        normal: Recordings to calibrate with, if any were scored.
        explained: Moments with the highest scores, decreasing, each with its maps if the model has a reconstruction.
        summary: What the tables say in sentences.
    """

    recordings: Sequence[ScoredRecording]
    decisions: Sequence[Decision | None]
    events: Sequence[Event]
    deciders: Deciders
    score: str
    normal: Sequence[ScoredRecording]
    explained: Sequence[tuple[Moment, Example | None]]
    summary: Sequence[str]


def highest_moments(
    recordings: Sequence[ScoredRecording], events: Sequence[Event], score: str, window_seconds: float, n: int
) -> list[Moment]:
    """The n events with the highest scores or, where there is no event, the n windows, by decreasing score."""
    if events:
        moments = [
            Moment(event.name, event.start, event.end, event.peak, event.scores[score], number, event)
            for number, event in enumerate(events, start=1)
        ]
        return sorted(moments, key=lambda moment: -moment.score)[:n]
    windows = [
        (value, start, recording.name)
        for recording in recordings
        for start, value in zip(recording.starts.tolist(), recording.scores[score].tolist(), strict=True)
    ]
    windows.sort(key=lambda window: -window[0])
    return [
        Moment(name, start, start + window_seconds, start + window_seconds / 2, value, rank)
        for rank, (value, start, name) in enumerate(windows[:n], start=1)
    ]
