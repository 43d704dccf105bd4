"""The plain CSV: one row an interval, in seconds of the clip, with columns file, start, end and maybe type."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from datamodules.annotations.rows import NUMBER, AnnotationRow, Complain, by_clip, decimal
from datamodules.annotations.table import NumberedCells
from datamodules.errors import DataError, quoted

COLUMNS = ("file", "start", "end", "type")
REQUIRED = COLUMNS[:3]


def read(path: Path, table: NumberedCells, complain: Complain) -> Iterator[AnnotationRow]:
    """Read the rows of the file; one that leaves both start and end empty names a clip that nobody annotated."""
    for number, cells in table:
        file, *bounds = (cells.get(column, "") for column in REQUIRED)
        if not file:
            complain(DataError(f"{path} row {number} names no file"))
            continue
        wrong = [text for text in bounds if not re.fullmatch(NUMBER, text)] if any(bounds) else []
        if wrong:
            complain(DataError(f"{path} row {number}: {quoted(wrong[0])} is not a time in seconds"))
            continue
        intervals = ((float(bounds[0]), float(bounds[1])),) if any(bounds) else ()
        yield AnnotationRow(number, file, intervals, cells.get("type", ""))


def write(path: Path, rows: Iterable[AnnotationRow]) -> None:
    """Write the rows, in order of clips."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for of_clip in by_clip(rows).values():
            annotated = [row for row in of_clip if row.intervals]
            for row in annotated:
                for start, end in row.intervals:
                    writer.writerow((row.file, decimal(start), decimal(end), row.anomaly_type))
            if not annotated:
                writer.writerow((of_clip[0].file, "", "", of_clip[0].anomaly_type))
