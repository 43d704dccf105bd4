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
from experiments.predictions.conditions import ALL, Deciders
from experiments.predictions.decisions import Decision
from experiments.predictions.drift import compare, drift_warnings
from experiments.predictions.events import Event, most_alike
from experiments.predictions.scores import SCORES, ScoredRecording
from lightning_modules.errors import ConfigurationError
from lightning_modules.files import write_table
from lightning_modules.wording import counted, join

PREDICTIONS_FILE = "predictions.csv"
WINDOWS_FILE = "windows.csv"
TIMELINE_FILE = "timeline.csv"
EVENTS_FILE = "events.csv"
LABELS_FOLDER = "labels"
"""Label tracks of Audacity, one for each recording with an event."""

_DECIMALS = 3  # of seconds

_EDITED_S = 2.0
"""Seconds after the tables, which are written last, from which a label track counts as edited."""

_NO_CALIBRATION = (
    "No alarms: the scores of normal clips that these weights were not trained on are unknown. Give a folder of normal "
    "recordings with --calibrate"
)


def require_unedited(folder: Path) -> None:
    """Raise a ConfigurationError if a label track of an earlier prediction was edited, since a new one replaces it."""
    written = folder / PREDICTIONS_FILE
    for track in sorted((folder / LABELS_FOLDER).rglob("*.txt")) if written.is_file() else ():
        if track.stat().st_mtime > written.stat().st_mtime + _EDITED_S:
            raise ConfigurationError(
                f"{track} was edited after the prediction, which a new one would replace; move "
                f"{folder / LABELS_FOLDER} elsewhere first"
            )


def write_tables(
    folder: Path,
    recordings: Sequence[ScoredRecording],
    decisions: Sequence[Decision | None],
    events: Sequence[Event],
    deciders: Deciders,
    data: Any,
    frames_per_second: float,
) -> list[str]:
    """Write the tables and label tracks of a prediction.

    Args:
        folder: The folder of the stage.
        recordings: What was scored.
        decisions: What was decided about each; None without a calibration of its condition.
        events: The events of all recordings.
        deciders: What has decided.
        data: The DataModule, which knows the files and the front end; None where there is none.
        frames_per_second: Frame rate of the spectrograms.

    Returns:
        What they say in sentences.
    """
    comparisons = [compare(recording, deciders.of(recording.name)) for recording in recordings]
    window = 0.0 if data is None else data.n_frames / frames_per_second
    clocks = {} if data is None else recording_clocks(recordings, data)
    warnings: list[str] = []
    if deciders.by_condition:
        write_table(folder / EVENTS_FILE, _event_table(events, deciders, clocks))
        if events:
            with written_as_a_whole(folder / LABELS_FOLDER) as built:
                write_labels(built, _label_rows(events))
        compared = list(zip(recordings, comparisons, strict=True))
        for condition, decider in deciders.by_condition.items():
            of_condition = [pair for pair in compared if deciders.of(pair[0].name) is decider]
            warnings += [
                _of(condition, text) for text in drift_warnings(of_condition, decider, data.frontend.band_edges())
            ]
    known = list(zip(recordings, decisions, [clocks.get(recording.name) for recording in recordings], strict=True))
    n_events = {recording.name: sum(event.name == recording.name for event in events) for recording in recordings}
    rows = [
        _recording_row(*each, n_events[each[0].name])
        | {"relative_level": comparison.level, "drift_p_value": comparison.p_value, "drift": " ".join(comparison.drift)}
        | {"condition": deciders.conditions[each[0].name]}
        for each, comparison in zip(known, comparisons, strict=True)
    ]
    ranked = pd.DataFrame(rows).sort_values("score", ascending=False, kind="stable")
    write_table(folder / PREDICTIONS_FILE, ranked.astype({"alarm": "Int64", "events": "Int64"}))
    windows = pd.concat([_window_table(*each, window) for each in known])
    write_table(folder / WINDOWS_FILE, windows.astype({"alarm": "Int64"}))
    seconds = pd.concat([_second_table(*each, window) for each in known])
    write_table(folder / TIMELINE_FILE, seconds.astype({"alarm": "Int64", "flagged": "Int64"}))
    if not deciders.by_condition:
        return [_NO_CALIBRATION]
    alarms = [row for row in rows if row["alarm"] == 1]
    n_decided = sum(decision is not None for decision in decisions)
    found = f"{counted(len(events), 'event')} in {len(alarms):,} of {counted(n_decided, 'recording')}: {EVENTS_FILE}"
    if n_unlike := sum(row["drift"] != "" for row in alarms):
        found += f" ({n_unlike:,} of them unlike normal ones, see drift in {PREDICTIONS_FILE})"
    promises = [_of(condition, f"Promise: {each.promise}") for condition, each in deciders.by_condition.items()]
    return [*warnings, *_undecided(deciders), found, *promises]


def _of(condition: str, text: str) -> str:
    """A sentence about the recordings of a condition."""
    return text if condition == ALL else f"{condition}: {text}"


def _undecided(deciders: Deciders) -> list[str]:
    """Which recordings no alarm is decided about, as there is no normal sound of their condition."""
    names = [name for name in deciders.conditions if deciders.of(name) is None]
    if not names:
        return []
    conditions = join(sorted({deciders.conditions[name] or "no condition" for name in names}))
    return [
        f"No alarms for {counted(len(names), 'recording')} under conditions that the calibration lacks ({conditions}), "
        f"such as {names[0]}"
    ]


def recording_clocks(recordings: Sequence[ScoredRecording], data: Any) -> dict[str, datetime | None]:
    """When each recording began, by its name; None where neither file name nor header say it."""
    paths = {clip.name: clip.path for clip in data.predict_clips}
    window = data.n_frames / data.frames_per_second
    return {each.name: recording_start(paths[each.name], each.starts[-1] + window) for each in recordings}


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


def _event_table(events: Sequence[Event], deciders: Deciders, clocks: dict[str, datetime | None]) -> pd.DataFrame:
    columns = ["event", "name", "start", "end", "time", "peak", *SCORES, "p_value", "margin", "low_hz", "high_hz"]
    rows = []
    for number, (event, (like, alike)) in enumerate(zip(events, most_alike(events), strict=True), start=1):
        row = {"event": number, "time": _times(clocks.get(event.name), [event.start])[0], **vars(event)}
        row |= {key: event.scores.get(key, np.nan) for key in SCORES}
        decider = deciders.of(event.name)
        margin = np.nan if decider is None else event.scores[decider.settings.score] - decider.threshold
        row |= {"margin": margin, "like": like, "likeness": alike}
        rows.append(row)
    table = pd.DataFrame(rows, columns=[*columns, "like", "likeness"])
    table = table.round({"start": _DECIMALS, "end": _DECIMALS, "peak": _DECIMALS, "low_hz": 0, "high_hz": 0})
    return table.astype({"like": "Int64"})


def _label_rows(events: Sequence[Event]) -> list[AnnotationRow]:
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
