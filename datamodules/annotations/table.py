"""CSV files as programs and spreadsheets write them."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from datamodules.errors import DataError, quoted

_SEPARATORS = (",", ";", "\t")
_SEPARATOR_LINE = re.compile(r'"?sep=([,;\t|])"?[,;\t ]*(?:\r\n|\r|\n|$)', re.IGNORECASE)
_BYTE_ORDER_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",  # begins with UTF-16's, so it comes first
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


class Table(NamedTuple):
    """A CSV file without its empty rows."""

    path: Path
    header: list[str]  # columns in lower case with single spaces
    header_row: int  # number of the row that names them
    rows: list[tuple[int, dict[str, str]]]  # number in the file, and stripped cells by column
    decimal_comma: bool  # whether numbers may contain a comma, because it does not separate columns
    malformed: list[DataError]  # errors of the rows that are missing from rows

    def require(self, columns: Sequence[str], expected: str) -> None:
        """Raise a DataError unless the file has some columns, each once."""
        if not any(self.header):
            raise DataError(f"{self.path} row 1 names no column; expected {expected}")
        row = f"{self.path} row {self.header_row}"
        if missing := [column for column in columns if column not in self.header]:
            found = quoted(", ".join(filter(None, self.header)))
            raise DataError(f"{row} lacks the column {', '.join(missing)}; expected {expected}, found {found}")
        if repeated := [column for column in columns if self.header.count(column) > 1]:
            raise DataError(f"{row} names the column {repeated[0]} more than once; remove one of them")


def read_table(path: Path) -> Table:
    """Read a CSV file: UTF-8, or UTF-16 with a byte order mark, separated by commas, semicolons or tabs.

    A first line such as ``sep=;`` names the separator; otherwise the one that gives the first row most columns is used.

    Raises:
        DataError: The file cannot be read.
    """
    text = read_text(path, "a CSV file", 'save it as "CSV UTF-8"')
    stated = _SEPARATOR_LINE.match(text)
    if stated:
        separator, text = stated[1], text[stated.end() :]
    else:
        separator = max(_SEPARATORS, key=lambda candidate: _n_columns(text, candidate))
    number, records = 0, []
    try:
        for number, cells in enumerate(_reader(text, separator), start=1):
            if any(record := [cell.strip() for cell in cells]):
                records.append((number, record))
    except csv.Error as error:
        problem = f"row {number + 1}, {error}; check its quotation marks"
        raise DataError(f"{path} cannot be read as a CSV file: {problem}") from None
    header_row, first = records[0] if records else (1, [])
    header = [" ".join(cell.split()).lower() for cell in first]
    rows, malformed = [], []
    for number, record in records[1:]:
        if any(record[len(header) :]) or (len(record) == 1 < len(header) and set(record[0]) & set(_SEPARATORS)):
            problem = f"{quoted(separator.join(record))} is not {len(header)} columns separated by {quoted(separator)}"
            advice = "put text and numbers that contain it in quotation marks"
            malformed.append(DataError(f"{path} row {number}: {problem}; {advice}"))
        else:
            rows.append((number, dict(zip(header, record, strict=False))))
    return Table(path, header, header_row, rows, separator != ",", malformed)


def read_text(path: Path, kind: str, advice: str) -> str:
    """Read a text file, UTF-8, or UTF-16 or UTF-32 with a byte order mark; other encodings raise an error."""
    try:
        content = path.read_bytes()
        encoding = next((name for mark, name in _BYTE_ORDER_MARKS.items() if content.startswith(mark)), "utf-8")
        text = content.decode(encoding)
    except OSError as error:
        raise DataError(f"{path} cannot be read as {kind}: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise DataError(f"{path} cannot be read as {kind}: it is not UTF-8 text; {advice}") from None
    if "\0" in text:
        raise DataError(f"{path} cannot be read as {kind}: it contains zero bytes; {advice}")
    return text


def _reader(text: str, separator: str) -> Iterator[list[str]]:
    """Strict, since an unclosed quotation mark would join all later rows into one cell."""
    return csv.reader(io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=True, strict=True)


def _n_columns(text: str, separator: str) -> int:
    """Number of columns in the first row with text if this character separates them."""
    try:
        return next((len(record) for record in _reader(text, separator) if any(cell.strip() for cell in record)), 0)
    except csv.Error:
        return 0
