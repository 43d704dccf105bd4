"""Rows of annotations, which every format is read into, and what the formats share."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Collection, Iterable, Sequence
from pathlib import PurePosixPath
from typing import NamedTuple

from datamodules.files import AUDIO_SUFFIXES, TENSOR_SUFFIX

NUMBER = r"-?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?"
"""Pattern of a time; Python's ``float`` also accepts ``nan``, ``1_000`` and digits of other scripts."""

Interval = tuple[float, float]


class AnnotationRow(NamedTuple):
    """A row of an annotation file, or a label of a track, with its number in the file.

    ``intervals`` are (start, end) in seconds from the start of the clip, equal for a point; empty if not annotated.
    ``band`` is (low, high) in Hz where frequencies were selected too, -1 for a border that was not.
    """

    number: int
    file: str
    intervals: tuple[Interval, ...]
    anomaly_type: str = ""
    band: tuple[float, float] | None = None


def parse_number(text: str, decimal_comma: bool = False) -> float | None:
    """A time or a frame as files write it; None if the text is not a finite number.

    Example:
        >>> parse_number("1e-05"), parse_number(".8"), parse_number("1,5", decimal_comma=True), parse_number("1_000")
        (1e-05, 0.8, 1.5, None)
    """
    if decimal_comma:
        text = text.replace(",", ".", 1)
    number = float(text) if re.fullmatch(NUMBER, text) else math.inf
    return number if math.isfinite(number) else None


def parse_band(cells: Sequence[str], decimal_comma: bool = False) -> tuple[float, float] | None:
    """Frequencies (low, high) in Hz as files write them, -1 for none; None if the cells are not two numbers in order.

    Example:
        >>> parse_band(["400", "8000.5"]), parse_band(["-1", "900"]), parse_band(["900", "400"]), parse_band(["400"])
        ((400.0, 8000.5), (-1.0, 900.0), None, None)
    """
    numbers = [number for cell in cells if (number := parse_number(cell, decimal_comma)) is not None]
    if len(numbers) != 2 or len(cells) != 2 or numbers[0] > numbers[1] >= 0:
        return None
    return numbers[0], numbers[1]


def bare_name(file: str) -> str:
    r"""A clip's file name without suffix, spelled as names are compared: forward slashes and composed accents.

    Example:
        >>> bare_name(r"test\a.wav"), bare_name("take.2")
        ('test/a', 'take.2')
    """
    path = PurePosixPath(unicodedata.normalize("NFC", file).replace("\\", "/"))
    known = path.suffix.lower() in (TENSOR_SUFFIX, *AUDIO_SUFFIXES)
    return (path.with_suffix("") if known else path).as_posix()


def by_clip(rows: Iterable[AnnotationRow]) -> dict[str, list[AnnotationRow]]:
    """Rows by the clip's name without suffix, in the order of the clips' first rows."""
    found: dict[str, list[AnnotationRow]] = {}
    for row in rows:
        found.setdefault(bare_name(row.file), []).append(row)
    return found


def some_of(names: Collection[str], most: int = 3) -> str:
    """The first names and the number of the others.

    Example:
        >>> some_of(["a", "b", "c", "d", "e"]), some_of(["a"])
        ('a, b, c and 2 more', 'a')
    """
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(list(names)[:most]) + more


def decimal(number: float) -> str:
    """A time as formats write it, to the microsecond.

    Example:
        >>> decimal(40.0), decimal(12.3 - 10), decimal(1e-7)
        ('40', '2.3', '0')
    """
    return f"{number:.6f}".rstrip("0").rstrip(".")
