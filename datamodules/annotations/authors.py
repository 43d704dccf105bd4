"""The planer authors' CSV: one row per clip, with intervals in seconds of the minute and in frames."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from datamodules.annotations.rows import NUMBER, AnnotationRow, Interval, bare_name, by_clip, decimal
from datamodules.annotations.table import Table
from datamodules.errors import DataError, quoted
from datamodules.files import TENSOR_SUFFIX

HEADER = (
    "Recording wav File",
    "Spectrogram File Name",
    "Spectrogram Number",
    "Spectrogram Time Range",
    "Board (Anomaly) Type",
    "Time Anomaly Labels\n[(t1,t2), ...,etc]",
    "Labels in Spectrogram",
)
FRAMES_PER_SECOND = 40.0

_RECORDING, FILE, _NUMBER, _RANGE, _TYPE, _SECONDS, _FRAMES = (" ".join(name.split()).lower() for name in HEADER)
REQUIRED = (FILE, _FRAMES)
"""Columns without which the file cannot be read, as :class:`~datamodules.annotations.table.Table` has them."""

_UNANNOTATED = "-"
_PAIR = re.compile(rf"\(\s*({NUMBER})\s*,\s*({NUMBER})\s*\)")
_PAIR_LIST = re.compile(rf"\[\s*{_PAIR.pattern}(?:\s*,\s*{_PAIR.pattern})*\s*\]")
_TIME_RANGE = re.compile(rf"({NUMBER})\s*-\s*({NUMBER}) seconds")
_CLIP_NAME = re.compile(r"(?P<recording>.+)_(?P<part>\d{1,3})")


def read(table: Table) -> Iterator[AnnotationRow | DataError]:
    """Read the rows of the file; the intervals are those in frames, the end exclusive, and ``-`` stands for none."""
    for number, cells in table.rows:
        text = cells.get(_FRAMES, "")
        pairs = _pairs(text)
        if not cells.get(FILE):
            yield DataError(f"{table.path} row {number} names no file")
        elif pairs is None:
            what = f"{quoted(text)} is not a list of intervals such as [(40,80), (120,160)], nor -"
            yield DataError(f"{table.path} row {number}: {what}")
        else:
            intervals = tuple((start / FRAMES_PER_SECOND, end / FRAMES_PER_SECOND) for start, end in pairs)
            yield AnnotationRow(number, cells[FILE], intervals, cells.get(_TYPE, ""))


def disagreements(table: Table) -> Iterator[str]:
    """Messages about columns of a row, or rows, that contradict each other.

    The end of an interval may be a frame away from its second: a clip's last frame is 399 or 400.
    """
    first_rows: dict[str, int] = {}
    for number, cells in table.rows:
        clip = bare_name(cells.get(FILE, ""))
        row = f"{table.path} row {number}: {clip}"
        first = first_rows.setdefault(clip, number)
        if first != number:
            yield f"{row} already has row {first}"
        yield from (f"{row} {what}" for what in _contradictions(clip, cells))


def write(path: Path, rows: Iterable[AnnotationRow], clip_seconds: float) -> None:
    """Write a file as the authors do, with one row per clip; raises a DataError for a clip with two types.

    The length of a clip places it in its minute: a clip named ``…_K`` is the K-th.
    """
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(HEADER)
        for clip, of_clip in by_clip(rows).items():
            types = sorted({row.anomaly_type for row in of_clip if row.anomaly_type})
            if len(types) > 1:
                raise DataError(f"{clip} is of types {' and '.join(types)}; the authors' format has one per clip")
            intervals = sorted(interval for row in of_clip for interval in row.intervals)
            recording, part = _recording(clip)
            begin = (part - 1) * clip_seconds
            writer.writerow(
                (
                    f"{recording}.wav",
                    of_clip[0].file if of_clip[0].file != clip else clip + TENSOR_SUFFIX,
                    part,
                    f"{decimal(begin)}-{decimal(begin + clip_seconds)} seconds",
                    "".join(types),
                    _list((begin + start, begin + _second(end, clip_seconds)) for start, end in intervals),
                    _list((start * FRAMES_PER_SECOND, end * FRAMES_PER_SECOND) for start, end in intervals),
                )
            )


def _pairs(text: str) -> list[Interval] | None:
    """The pairs in a cell; None if it holds something else."""
    if text == _UNANNOTATED:
        return []
    if not _PAIR_LIST.fullmatch(text):
        return None
    pairs = [(float(start), float(end)) for start, end in _PAIR.findall(text)]
    return pairs if np.isfinite(pairs).all() else None


def _list(intervals: Iterable[Interval]) -> str:
    pairs = [f"({decimal(start)},{decimal(end)})" for start, end in intervals]
    return f"[{', '.join(pairs)}]" if pairs else _UNANNOTATED


def _second(end: float, clip_seconds: float) -> float:
    """An interval's end in seconds: at the clip's end, the authors leave out the last frame only in frames."""
    return clip_seconds if end == clip_seconds - 1 / FRAMES_PER_SECOND else end


def _recording(clip: str) -> tuple[str, int]:
    """Name of a clip's recording, and the clip's part of the minute."""
    stem = PurePosixPath(clip).name
    match = _CLIP_NAME.fullmatch(stem)
    return (match["recording"], int(match["part"])) if match else (stem, 1)


def _contradictions(clip: str, cells: Mapping[str, str]) -> Iterator[str]:
    recording, part = _recording(clip)
    if cells.get(_RECORDING) and bare_name(cells[_RECORDING]) != recording:
        yield f"is from {recording} by its name, from {bare_name(cells[_RECORDING])} by its row"
    if cells.get(_NUMBER, str(part)) != str(part):
        yield f"is number {part} by its name, {cells[_NUMBER]} by its row"
    window = _TIME_RANGE.fullmatch(cells.get(_RANGE, ""))
    if window is None:
        return
    begin, end = float(window[1]), float(window[2])
    if begin != (part - 1) * (end - begin):
        yield f"is number {part}, which does not begin at {begin:.10g} s"
    seconds, frames = _pairs(cells.get(_SECONDS, "")), _pairs(cells.get(_FRAMES, ""))
    if seconds is None:
        yield f"has {quoted(cells.get(_SECONDS, ''))} where seconds are expected"
    elif frames is not None and not _agree([(a - begin, b - begin) for a, b in seconds], frames):
        yield f"has seconds {cells[_SECONDS]} that disagree with frames {cells[_FRAMES]}"


def _agree(seconds: Sequence[Interval], frames: Sequence[Interval]) -> bool:
    def close(second: float, frame: float, tolerance: float) -> bool:
        return abs(second * FRAMES_PER_SECOND - frame) <= tolerance + 1e-6

    return len(seconds) == len(frames) and all(
        close(start, first, 0.5) and close(end, last, 1)
        for (start, end), (first, last) in zip(seconds, frames, strict=True)
    )
