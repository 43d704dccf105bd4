"""Annotated intervals: reading CSV files, joining them to clips, and frame masks."""

from __future__ import annotations

import csv
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import torch
from torch import Tensor

from datamodules.errors import DataError
from datamodules.layouts import UNNAMED_ANOMALY, Clip

ANNOTATION_FILE = "annotations.csv"
"""Name of the annotation file that is looked for in the data root."""

_PUBLISHED_COLUMNS = ("spectrogram file name", "labels in spectrogram")
_SECONDS_COLUMNS = ("file", "start", "end")
_PUBLISHED_FRAMES_PER_SECOND = 40.0
_UNANNOTATED = "-"
_LONGEST_QUOTE = 80

_NUMBER = r"-?\d{1,9}(?:\.\d{1,9})?"
_PAIR = re.compile(rf"\(\s*({_NUMBER})\s*,\s*({_NUMBER})\s*\)")
_PAIR_LIST = re.compile(rf"\[\s*{_PAIR.pattern}(?:\s*,\s*{_PAIR.pattern})*\s*\]")


@dataclass(frozen=True)
class AnnotationRow:
    """One row of an annotation file.

    Attributes:
        number: Row as a spreadsheet counts it, the header being row 1.
        file: The clip's file name as written.
        intervals: (start, end) in seconds from the start of the clip; empty if the clip is marked
            unannotated.
        anomaly_type: Type of the anomaly, empty if the file gives none.
    """

    number: int
    file: str
    intervals: tuple[tuple[float, float], ...]
    anomaly_type: str = ""


def read_annotations(path: Path) -> list[AnnotationRow]:
    """Read the planer authors' CSV as published, or a plain one with columns file, start, end and maybe type.

    The authors' file has one row a clip, with intervals in frames (40 a second, the end exclusive) or ``-``
    for a clip that nobody annotated. The plain file has one row an interval, in seconds of the clip.

    Args:
        path: The CSV file, UTF-8.

    Raises:
        DataError: The file cannot be read, lacks a column, or has text where an interval should stand.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            records = list(csv.reader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} cannot be read as a CSV file: {error}") from None
    header = [" ".join(cell.split()).lower() for cell in records[0]] if records else []
    numbered = [
        (number, dict(zip(header, (cell.strip() for cell in record), strict=False)))
        for number, record in enumerate(records[1:], start=2)
        if any(cell.strip() for cell in record)
    ]
    if _PUBLISHED_COLUMNS[0] in header:
        _require_columns(path, header, _PUBLISHED_COLUMNS)
        return [_published_row(path, number, cells) for number, cells in numbered]
    _require_columns(path, header, _SECONDS_COLUMNS)
    return [_seconds_row(path, number, cells) for number, cells in numbered]


def annotate(
    clips: Sequence[Clip], rows: Sequence[AnnotationRow], seconds: Mapping[str, float], source: Path
) -> tuple[Clip, ...]:
    """Join annotations to clips.

    A row means the clip of that name, or else the one whose file name is the same but for folder and suffix.
    A type given in the rows replaces the type of clips whose data set names none.

    Args:
        clips: Clips of the test set.
        rows: What :func:`read_annotations` gave.
        seconds: Duration of each clip by name.
        source: The annotation file, for messages.

    Returns:
        The clips, in the same order, with their intervals.

    Raises:
        DataError: A row names no clip, several clips or a normal clip, has an interval that is reversed or
            reaches out of the clip, or contradicts another row's type.
    """
    by_stem = defaultdict(list)
    for clip in clips:
        by_stem[clip.path.stem].append(clip)
    rows_of = defaultdict(list)
    for row in rows:
        clip = _clip_of(row, by_stem, source)
        _check_row(row, clip, seconds[clip.name], source)
        rows_of[clip.name].append(row)
    return tuple(_with_rows(clip, rows_of[clip.name], source) for clip in clips)


def frame_mask(intervals: Sequence[tuple[float, float]], n_frames: int, frames_per_second: float) -> Tensor:
    """Mark the frames inside intervals.

    Args:
        intervals: (start, end) in seconds, the end exclusive.
        n_frames: Number of frames T; what lies behind them is cut off.
        frames_per_second: Frame rate.

    Returns:
        (T,) bool; each interval marks at least one frame, unless it lies behind the last.

    Example:
        >>> frame_mask([(0.05, 0.1)], n_frames=6, frames_per_second=40)
        tensor([False, False,  True,  True, False, False])
    """
    mask = torch.zeros(n_frames, dtype=torch.bool)
    for start, end in intervals:
        first = round(start * frames_per_second)
        mask[first : max(first + 1, round(end * frames_per_second))] = True
    return mask


def _require_columns(path: Path, header: Sequence[str], columns: Sequence[str]) -> None:
    missing = [column for column in columns if column not in header]
    if missing:
        raise DataError(
            f"{path} row 1 lacks the column {', '.join(missing)}; expected {', '.join(_SECONDS_COLUMNS)}, "
            "or the columns of the published planer annotations"
        )


def _published_row(path: Path, number: int, cells: Mapping[str, str]) -> AnnotationRow:
    file, text = (cells.get(column, "") for column in _PUBLISHED_COLUMNS)
    if text == _UNANNOTATED:
        return AnnotationRow(number, file, ())
    if not _PAIR_LIST.fullmatch(text):
        raise DataError(
            f"{path} row {number}: {_quoted(text)} is no list of intervals such as [(40,80), (120,160)], nor -"
        )
    rate = _PUBLISHED_FRAMES_PER_SECOND
    return AnnotationRow(number, file, tuple((float(a) / rate, float(b) / rate) for a, b in _PAIR.findall(text)))


def _seconds_row(path: Path, number: int, cells: Mapping[str, str]) -> AnnotationRow:
    file, *bounds = (cells.get(column, "") for column in _SECONDS_COLUMNS)
    for text in bounds:
        if not re.fullmatch(_NUMBER, text):
            raise DataError(f"{path} row {number}: {_quoted(text)} is not a time in seconds")
    start, end = map(float, bounds)
    return AnnotationRow(number, file, ((start, end),), cells.get("type", ""))


def _quoted(text: str) -> str:
    """A cell as a message can show it: on one line, its end left out if it is long."""
    return repr(text if len(text) <= _LONGEST_QUOTE else f"{text[:_LONGEST_QUOTE]}…")


def _clip_of(row: AnnotationRow, by_stem: Mapping[str, Sequence[Clip]], source: Path) -> Clip:
    candidates = by_stem.get(PurePosixPath(row.file).stem, ())
    matches = [clip for clip in candidates if clip.name == row.file] or candidates
    if len(matches) != 1:
        problem = f"is the name of {len(matches)} clips, give its folder" if matches else "is not among the test clips"
        raise DataError(f"{source} row {row.number}: {_quoted(row.file)} {problem}")
    return matches[0]


def _check_row(row: AnnotationRow, clip: Clip, seconds: float, source: Path) -> None:
    if row.intervals and clip.label == 0:
        raise DataError(f"{source} row {row.number}: {clip.name} is a normal clip and cannot be annotated")
    for start, end in row.intervals:
        interval = f"{source} row {row.number}: the interval from {start:g} s to {end:g} s of {clip.name}"
        if start >= end:
            raise DataError(f"{interval} is reversed or empty")
        if start < 0 or end > seconds:
            raise DataError(f"{interval} is out of range; the clip lasts {seconds:g} s")


def _with_rows(clip: Clip, rows: Sequence[AnnotationRow], source: Path) -> Clip:
    intervals = tuple(sorted(interval for row in rows for interval in row.intervals))
    typed = [row for row in rows if row.anomaly_type]
    for row in typed:
        if row.anomaly_type != typed[0].anomaly_type:
            raise DataError(
                f"{source} row {row.number}: {clip.name} is of type {_quoted(row.anomaly_type)} here "
                f"and {_quoted(typed[0].anomaly_type)} in row {typed[0].number}"
            )
    if typed and clip.anomaly_type == UNNAMED_ANOMALY:
        return replace(clip, intervals=intervals, anomaly_type=typed[0].anomaly_type)
    return replace(clip, intervals=intervals)
