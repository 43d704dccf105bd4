"""The manifest of sliced clips: the recording and offset of each, and the checksums of both files."""

from __future__ import annotations

import csv
import os
from collections.abc import Collection, Iterable, Iterator
from dataclasses import astuple, dataclass, fields
from hashlib import sha256
from pathlib import Path

from datamodules.errors import DataError, quoted
from lightning_modules.files import whole_file


@dataclass(frozen=True)
class ManifestRow:
    """A clip, the recording that it was cut from, offset and duration in seconds, and checksums of both files."""

    clip: str
    source: str
    offset: int
    duration: int
    clip_sha256: str
    source_sha256: str
    channel: str = "mix"


_BLOCK_BYTES = 1 << 20

COLUMNS = tuple(field.name for field in fields(ManifestRow))
_OLD_COLUMNS = COLUMNS[:-1]
"""Columns of versions without a choice of channels."""


class Manifest:
    """A CSV file that grows by one recording at a time, so that slicing can be interrupted and resumed.

    A recording's rows are appended when all its clips are in place. An interrupted append leaves fewer rows than the
    recording has clips, or an incomplete row; both are recognised and removed.

    Args:
        path: The file; it need not exist.

    Raises:
        DataError: It was not written by slicing; after a spreadsheet has saved it, nothing can be appended.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._columns: tuple[str, ...] = COLUMNS
        if path.exists():
            self._columns = tuple(next(self._records(), ()))
            if self._columns not in (COLUMNS, _OLD_COLUMNS):
                raise DataError(f"{path} was not written by slicing; choose another output")

    def rows(self) -> Iterator[ManifestRow]:
        """Complete rows, one at a time, none if there is no file; raises if a row before the last is damaged."""
        if not self.path.exists():
            return
        records = self._records()
        next(records)
        for cells in records:
            row = _parse(cells, len(self._columns))
            if row is None:
                if next(records, None) is None and self.cut_off:
                    return
                raise DataError(f"{self.path} has a damaged row, {quoted(str(cells))}; slice into another output")
            yield row

    def _records(self) -> Iterator[list[str]]:
        try:
            with self.path.open(newline="", encoding="utf-8") as file:
                yield from csv.reader(file)
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            reason = getattr(error, "strerror", None) or error
            raise DataError(f"{self.path} cannot be read: {reason}; slice into another output") from None

    @property
    def cut_off(self) -> bool:
        """Whether the last line has no end, after an interrupted append."""
        if not self.path.exists():
            return False
        with self.path.open("rb") as file:
            file.seek(-1, os.SEEK_END)
            return file.read() != b"\n"

    def forget(self, sources: Collection[str]) -> None:
        """Remove the rows of some recordings, and a row that was cut off."""
        with whole_file(self.path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(COLUMNS)
            writer.writerows(astuple(row) for row in self.rows() if row.source not in sources)
        self._columns = COLUMNS

    def append(self, rows: Iterable[ManifestRow]) -> None:
        """Add rows at the end."""
        if not self.path.exists() or self._columns != COLUMNS:
            self.forget(())
        with self.path.open("a", newline="", encoding="utf-8") as file:
            csv.writer(file, lineterminator="\n").writerows(astuple(row) for row in rows)


def _parse(cells: list[str], columns: int) -> ManifestRow | None:
    try:
        clip, source, offset, duration, clip_sha256, source_sha256, *channel = cells
        row = ManifestRow(clip, source, int(offset), int(duration), clip_sha256, source_sha256, *channel)
    except (ValueError, TypeError):
        return None
    return row if len(cells) == columns and (row.channel == "mix" or row.channel.isdecimal()) else None


def file_sha256(path: Path) -> str:
    """SHA-256 of a file of any size, in hexadecimal digits."""
    digest = sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()
