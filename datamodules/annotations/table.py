"""CSV files as rows with named cells."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from datamodules.errors import DataError

NumberedCells = list[tuple[int, dict[str, str]]]
"""Number of each row as a spreadsheet counts it, and its cells by column."""


def read_table(path: Path) -> tuple[list[str], NumberedCells]:
    """Read a CSV file, UTF-8 with or without a byte order mark.

    Returns:
        The header in lower case with single spaces, and the rows that are not empty, their cells stripped.

    Raises:
        DataError: The file cannot be read.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            records = list(csv.reader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} cannot be read as a CSV file: {error}") from None
    header = [" ".join(cell.split()).lower() for cell in records[0]] if records else []
    return header, [
        (number, dict(zip(header, (cell.strip() for cell in record), strict=False)))
        for number, record in enumerate(records[1:], start=2)
        if any(cell.strip() for cell in record)
    ]


def require_columns(path: Path, header: Sequence[str], columns: Sequence[str], expected: str) -> None:
    """Refuse a table that lacks a column.

    Raises:
        DataError: It does; the message says what was expected.
    """
    if not header:
        raise DataError(f"{path} row 1 names no column; expected {expected}")
    missing = [column for column in columns if column not in header]
    if missing and len(header) == 1 and ";" in header[0]:
        raise DataError(f"{path} separates its columns with semicolons; save it with commas")
    if missing:
        raise DataError(f"{path} row 1 lacks the column {', '.join(missing)}; expected {expected}")
