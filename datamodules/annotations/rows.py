"""What every format of annotations is read into, and what the formats share."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath

from datamodules.errors import DataError
from datamodules.spectrograms import AUDIO_SUFFIXES, TENSOR_SUFFIX

NUMBER = r"-?\d{1,9}(?:\.\d{1,9})?"
"""Pattern of a time; every format's numbers are plain decimals."""

Interval = tuple[float, float]

Complain = Callable[[DataError], None]
"""What to do about a row that cannot be read; if it returns, reading goes on with the next."""


@dataclass(frozen=True)
class AnnotationRow:
    """One row of an annotation file.

    Attributes:
        number: Row as a spreadsheet counts it, the header being row 1; line of a label track.
        file: The clip's file name as written; without suffix in a label track.
        intervals: (start, end) in seconds from the start of the clip; empty if the clip is marked
            unannotated.
        anomaly_type: Type of the anomaly, empty if the file gives none.
    """

    number: int
    file: str
    intervals: tuple[Interval, ...]
    anomaly_type: str = ""


def refuse(error: DataError) -> None:
    """Complain by raising."""
    raise error


def bare_name(file: str) -> str:
    """A clip's file name without the suffix of a clip.

    Example:
        >>> bare_name("test/a.wav"), bare_name("take.2")
        ('test/a', 'take.2')
    """
    path = PurePosixPath(file)
    known = path.suffix.lower() in (TENSOR_SUFFIX, *AUDIO_SUFFIXES)
    return (path.with_suffix("") if known else path).as_posix()


def by_clip(rows: Iterable[AnnotationRow]) -> dict[str, list[AnnotationRow]]:
    """Rows by the clip's name without suffix, in the order in which the clips come up."""
    found: dict[str, list[AnnotationRow]] = {}
    for row in rows:
        found.setdefault(bare_name(row.file), []).append(row)
    return found


def decimal(number: float) -> str:
    """A time as formats write it, to the microsecond.

    Example:
        >>> decimal(40.0), decimal(12.3 - 10), decimal(1e-7)
        ('40', '2.3', '0')
    """
    return f"{number:.6f}".rstrip("0").rstrip(".")
