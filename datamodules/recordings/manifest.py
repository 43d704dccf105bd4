"""The manifest of clips cut from recordings: the recording and offset of each, and the checksums of both files."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from dataclasses import astuple, dataclass, fields
from hashlib import sha256
from pathlib import Path

from datamodules.errors import DataError, quoted
from lightning_modules.files import write_rows


@dataclass(frozen=True)
class ManifestRow:
    """A clip, the recording that it was cut from, offset and duration in seconds, and checksums of both files."""

    clip: str
    source: str
    offset: float
    duration: float
    clip_sha256: str
    source_sha256: str
    channel: str


_BLOCK_BYTES = 1 << 20

MANIFEST_FILE = "manifest.csv"

COLUMNS = tuple(field.name for field in fields(ManifestRow))


def read_manifest(path: Path) -> tuple[list[ManifestRow], bool]:
    """Read a manifest, to which slicing appends a recording's rows when all its clips are in place.

    Returns:
        The rows, none if there is no file, and whether the file ends within a row after an interrupted append.

    Raises:
        DataError: It was not written by slicing, or a spreadsheet has saved it.
    """
    if not path.exists():
        return [], False
    try:
        text = path.read_bytes().decode()
        header, *records = list(csv.reader(io.StringIO(text, newline=""))) or [[]]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"{path} cannot be read: {reason}; slice into another output") from None
    if tuple(header) != COLUMNS:
        raise DataError(f"{path} was not written by slicing; choose another output")
    is_cut_off = not text.endswith("\n")
    return [_parse(cells, path) for cells in (records[:-1] if is_cut_off else records)], is_cut_off


def write_manifest(path: Path, rows: Iterable[ManifestRow]) -> None:
    """Replace a manifest."""
    write_rows(path, COLUMNS, map(_cells, rows))


def append_to_manifest(path: Path, rows: Iterable[ManifestRow]) -> None:
    """Append the rows of a recording; the file is made where missing."""
    if not path.exists():
        write_manifest(path, ())
    with path.open("a", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows(map(_cells, rows))


def _cells(row: ManifestRow) -> list[str]:
    return [f"{value:.12g}" if isinstance(value, float) else str(value) for value in astuple(row)]


def _parse(cells: list[str], path: Path) -> ManifestRow:
    try:
        clip, source, offset, duration, clip_sha256, source_sha256, channel = cells
        return ManifestRow(clip, source, float(offset), float(duration), clip_sha256, source_sha256, channel)
    except ValueError:
        raise DataError(f"{path} has a damaged row, {quoted(str(cells))}; slice into another output") from None


def file_sha256(path: Path) -> str:
    """SHA-256 of a file of any size, in hexadecimal digits."""
    digest = sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()
