"""The files of `predict`: recordings, windows, seconds and events as tables, and events as label tracks."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from datamodules.annotations import AnnotationRow
from datamodules.annotations.audacity import write as write_labels
from datamodules.files import written_as_a_whole
from datamodules.layouts import UNNAMED_ANOMALY
from datamodules.recordings.windows import recording_start
from experiments.runs.decisions import Decider, Decision, Event, most_alike
from experiments.runs.recordings import SCORES, ScoredRecording
from lightning_modules.files import write_table
from lightning_modules.wording import counted

PREDICTIONS_FILE = "predictions.csv"
WINDOWS_FILE = "windows.csv"
TIMELINE_FILE = "timeline.csv"
EVENTS_FILE = "events.csv"
LABELS_FOLDER = "labels"
"""Label tracks of Audacity, one for each recording with an event."""

_DECIMALS = 3  # of seconds

_NO_CALIBRATION = (
    "No alarms: the scores of normal clips that these weights were not trained on are unknown. Give a folder of normal "
    "recordings with --calibrate"
)


def write_tables(
    folder: Path,
    recordings: Sequence[ScoredRecording],
    decider: Decider | None,
    data: Any,
    frames_per_second: float,
) -> list[str]:
    """Write the tables and label tracks of a prediction.

    Args:
        folder: The folder of the stage.
        recordings: What was scored.
        decider: Decides about alarms; None without a calibration.
        data: The DataModule, which knows the files and the front end; None where there is none.
        frames_per_second: Frame rate of the spectrograms.

    Returns:
        What they say in sentences.
    """
    decisions = [None if decider is None else decider.decide(recording) for recording in recordings]
    window = 0.0 if data is None else data.n_frames / frames_per_second
    paths = {} if data is None else {clip.name: clip.path for clip in data.predict_clips}
    clocks = {
        recording.name: recording_start(paths[recording.name], recording.starts[-1] + window)
        for recording in recordings
        if recording.name in paths
    }
    events: list[Event] = []
    if decider is not None:
        edges = data.frontend.band_edges()
        for recording, decision in zip(recordings, decisions, strict=True):
            if decision is not None:
                events += decider.events(recording, decision, edges)
        write_table(folder / EVENTS_FILE, _event_table(events, decider, clocks))
        if events:
            with written_as_a_whole(folder / LABELS_FOLDER) as built:
                write_labels(built, _label_rows(events))
    known = list(zip(recordings, decisions, [clocks.get(recording.name) for recording in recordings], strict=True))
    n_events = {recording.name: sum(event.name == recording.name for event in events) for recording in recordings}
    rows = [_recording_row(*each, n_events[each[0].name]) for each in known]
    ranked = pd.DataFrame(rows).sort_values("score", ascending=False, kind="stable")
    write_table(folder / PREDICTIONS_FILE, ranked)
    write_table(folder / WINDOWS_FILE, pd.concat([_window_table(*each, window) for each in known]))
    write_table(folder / TIMELINE_FILE, pd.concat([_second_table(*each, window) for each in known]))
    if decider is None:
        return [_NO_CALIBRATION]
    n_alarms = sum(row["alarm"] for row in rows)
    found = f"{counted(len(events), 'event')} in {n_alarms:,} of {counted(len(rows), 'recording')}"
    return [f"{found}: {EVENTS_FILE}", f"Promise: {decider.promise}"]


def _recording_row(
    recording: ScoredRecording, decision: Decision | None, clock: datetime | None, n_events: int
) -> dict[str, Any]:
    row: dict[str, Any] = {"name": recording.name, "time": _times(clock, [0.0])[0]}
    row |= {key: recording.scores[key].max() if key in recording.scores else np.nan for key in SCORES}
    if decision is None:
        return row | {"p_value": np.nan, "alarm": np.nan, "margin": np.nan, "events": np.nan, "seconds": ""}
    return row | {
        "p_value": decision.p_values.min(),
        "alarm": int(decision.flagged.any()),
        "margin": decision.margin,
        "events": n_events,
        "seconds": runs(decision.flagged_seconds),
    }


def _window_table(
    recording: ScoredRecording, decision: Decision | None, clock: datetime | None, window: float
) -> pd.DataFrame:
    starts = recording.starts
    table = pd.DataFrame({"name": recording.name, "start": starts, "end": starts + window}).round(_DECIMALS)
    table["time"] = _times(clock, starts)
    for key in SCORES:
        table[key] = recording.scores.get(key, np.nan)
    table["p_value"] = np.nan if decision is None else decision.p_values
    table["alarm"] = np.nan if decision is None else decision.flagged.astype(int)
    return table


def _second_table(
    recording: ScoredRecording, decision: Decision | None, clock: datetime | None, window: float
) -> pd.DataFrame:
    """Seconds, each with its error and the highest scores of the windows that cover it."""
    seconds = np.arange(len(recording.band_errors))
    table = pd.DataFrame({"name": recording.name, "second": seconds, "time": _times(clock, seconds)})
    table["error"] = recording.second_errors
    covered = [slice(int(start), max(int(start) + 1, int(np.ceil(start + window)))) for start in recording.starts]
    for key in SCORES:
        table[key] = _highest(recording.scores[key], covered, len(seconds)) if key in recording.scores else np.nan
    table["flagged"] = np.nan if decision is None else decision.flagged_seconds.astype(int)
    flags = None if decision is None else decision.flagged.astype(float)
    table["alarm"] = np.nan if flags is None else _highest(flags, covered, len(seconds)).astype(int)
    return table


def _highest(values: NDArray[np.float64], covered: Sequence[slice], n_seconds: int) -> NDArray[np.float64]:
    """The highest value of the windows that cover each second."""
    highest = np.full(n_seconds, -np.inf)
    for value, seconds in zip(values, covered, strict=True):
        highest[seconds] = np.maximum(highest[seconds], value)
    return highest


def _event_table(events: list[Event], decider: Decider, clocks: dict[str, datetime | None]) -> pd.DataFrame:
    columns = ["event", "name", "start", "end", "time", "peak", *SCORES, "p_value", "margin", "low_hz", "high_hz"]
    rows = []
    for number, (event, (like, alike)) in enumerate(zip(events, most_alike(events), strict=True), start=1):
        row = {"event": number, "time": _times(clocks.get(event.name), [event.start])[0], **vars(event)}
        row |= {key: event.scores.get(key, np.nan) for key in SCORES}
        row |= {"margin": event.scores[decider.settings.score] - decider.threshold, "like": like, "likeness": alike}
        rows.append(row)
    table = pd.DataFrame(rows, columns=[*columns, "like", "likeness"])
    table = table.round({"start": _DECIMALS, "end": _DECIMALS, "peak": _DECIMALS, "low_hz": 0, "high_hz": 0})
    return table.astype({"like": "Int64"})


def _label_rows(events: list[Event]) -> list[AnnotationRow]:
    """An annotation per event, with the bands that carry its error where they are known."""
    return [
        AnnotationRow(
            number,
            event.name,
            ((event.start, event.end),),
            UNNAMED_ANOMALY,
            None if np.isnan(event.low_hz) else (event.low_hz, event.high_hz),
        )
        for number, event in enumerate(events, start=1)
    ]


def _times(clock: datetime | None, seconds: ArrayLike) -> list[str]:
    """Clock times, to the second, of times in s after a recording began; empty where that is unknown."""
    offsets = np.asarray(seconds, dtype=float).tolist()
    if clock is None:
        return [""] * len(offsets)
    return [(clock + timedelta(seconds=offset + 0.5)).isoformat(" ", "seconds") for offset in offsets]  # truncates


def runs(flagged: NDArray[np.bool_]) -> str:
    """Flagged seconds as text, neighbours together.

    Example:
        >>> runs(np.array([False, True, False, True, True, True]))
        '1 3-5'
    """
    borders = np.flatnonzero(np.diff(flagged.astype(int), prepend=0, append=0)).reshape(-1, 2)
    return " ".join(f"{first}-{after - 1}" if after - first > 1 else f"{first}" for first, after in borders)
