"""Reading annotations of any format, and the plain CSV.

Its columns are file, start, end in seconds and, optionally, type and the frequencies low_hz, high_hz.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from pathlib import Path

from datamodules.annotations import audacity, authors
from datamodules.annotations.rows import AnnotationRow, by_clip, decimal, parse_band, parse_number
from datamodules.annotations.table import Table, read_table
from datamodules.errors import DataError, quoted

ANNOTATION_FILE = "annotations.csv"
"""Name of the annotation file in a data root."""

PLAIN_COLUMNS = ("file", "start", "end", "type")
BAND_COLUMNS = ("low_hz", "high_hz")
"""Further columns of the plain CSV where labels have frequencies."""

_REQUIRED = PLAIN_COLUMNS[:3]
_EXPECTED = f"{', '.join(_REQUIRED)}, or the columns of the published planer annotations"


def read_annotations(path: Path) -> list[AnnotationRow]:
    """Read annotations of any format.

    Args:
        path: The planer authors' CSV, a plain CSV, a label track of Audacity (``.txt``) or a folder of label tracks.

    Raises:
        DataError: The file cannot be read, lacks a column, or has text where an interval is expected.
    """
    rows = []
    for row in read_rows(path):
        if isinstance(row, DataError):
            raise row
        rows.append(row)
    return rows


def read_rows(path: Path) -> Iterator[AnnotationRow | DataError]:
    """As :func:`read_annotations`, but yields the error of a row that cannot be read and goes on with the next."""
    if _is_audacity(path):
        yield from audacity.read(path)
        return
    table = read_table(path)
    is_authors = authors.FILE in table.header
    table.require(authors.REQUIRED if is_authors else _REQUIRED, _EXPECTED)
    yield from table.malformed
    yield from authors.read(table) if is_authors else _read_plain(table)


def annotation_format(path: Path) -> str:
    """The format of annotations, ``audacity``, ``authors`` or ``csv``, by the path and the columns."""
    if _is_audacity(path):
        return "audacity"
    return "authors" if authors.FILE in read_table(path).header else "csv"


def _is_audacity(path: Path) -> bool:
    return path.is_dir() or path.suffix.lower() == audacity.SUFFIX


def _read_plain(table: Table) -> Iterator[AnnotationRow | DataError]:
    """Read the rows of the plain format; a clip without annotated intervals has a row with empty start and end."""
    for number, cells in table.rows:
        file, *bounds = (cells.get(column, "") for column in _REQUIRED)
        start, end = (parse_number(text, table.decimal_comma) for text in bounds)
        frequencies = [cells.get(column, "") for column in BAND_COLUMNS]
        band = parse_band(frequencies, table.decimal_comma)
        where = f"{table.path} row {number}"
        if not file:
            yield DataError(f"{where} names no file")
        elif not any(bounds):
            yield AnnotationRow(number, file, (), cells.get("type", ""))
        elif start is None or end is None:
            wrong = quoted(bounds[0] if start is None else bounds[1])
            yield DataError(f"{where}: {wrong} is not a time in seconds")
        elif band is None and any(frequencies):
            yield DataError(f"{where}: {quoted(' to '.join(frequencies))} are not frequencies in Hz, low and high")
        else:
            yield AnnotationRow(number, file, ((start, end),), cells.get("type", ""), band)


def write_plain(path: Path, rows: Iterable[AnnotationRow]) -> None:
    """Write a plain CSV, in the order of the clips; it has frequencies if a row has any."""
    clips = by_clip(rows)
    bands = BAND_COLUMNS if any(row.band for of_clip in clips.values() for row in of_clip) else ()
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow((*PLAIN_COLUMNS, *bands))
        for of_clip in clips.values():
            annotated = [row for row in of_clip if row.intervals]
            for row in annotated:
                band = [decimal(border) for border in row.band] if row.band else [""] * len(bands)
                for start, end in row.intervals:
                    writer.writerow((row.file, decimal(start), decimal(end), row.anomaly_type, *band))
            if not annotated:
                writer.writerow((of_clip[0].file, "", "", of_clip[0].anomaly_type, *[""] * len(bands)))
