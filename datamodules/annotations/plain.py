"""The plain CSV: one row an interval, in seconds of the clip, with columns file, start, end and maybe type."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from pathlib import Path

from datamodules.annotations.rows import AnnotationRow, Complain, by_clip, decimal, parse_number
from datamodules.annotations.table import Table
from datamodules.errors import DataError, quoted

COLUMNS = ("file", "start", "end", "type")
REQUIRED = COLUMNS[:3]


def read(table: Table, complain: Complain) -> Iterator[AnnotationRow]:
    """Read the rows of the file; one that leaves both start and end empty names a clip that nobody annotated."""
    for number, cells in table.rows:
        file, *bounds = (cells.get(column, "") for column in REQUIRED)
        start, end = (parse_number(text, table.decimal_comma) for text in bounds)
        if not file:
            complain(DataError(f"{table.path} row {number} names no file"))
        elif not any(bounds):
            yield AnnotationRow(number, file, (), cells.get("type", ""))
        elif start is None or end is None:
            wrong = quoted(bounds[0] if start is None else bounds[1])
            complain(DataError(f"{table.path} row {number}: {wrong} is not a time in seconds"))
        else:
            yield AnnotationRow(number, file, ((start, end),), cells.get("type", ""))


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
