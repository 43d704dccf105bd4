"""Annotations from one format to another."""

from __future__ import annotations

import math
import tempfile
from pathlib import Path

from datamodules.annotations import audacity, authors, plain
from datamodules.annotations.joining import raise_first, row_problems
from datamodules.annotations.reading import read_annotations
from datamodules.annotations.recordings import cut_at_clips
from datamodules.errors import DataError

FORMATS = ("authors", "audacity", "csv")


def convert_annotations(
    path: Path, to: str, output: Path, clip_seconds: float = 10.0, manifest: Path | None = None
) -> int:
    """Write annotations in another format.

    Every format keeps clips, intervals to the microsecond and types, of clips that nobody annotated too. Label
    tracks lose the suffix of a clip's name, by which nothing is told apart.

    Args:
        path: Annotations of any format.
        to: ``authors``, ``audacity`` or ``csv``.
        output: File to write; for Audacity a folder, with a label track for each clip.
        clip_seconds: Length of a clip, s; the authors' format says where in its minute a clip lies.
        manifest: Manifest of sliced recordings, for annotations of whole recordings.

    Returns:
        Number of intervals.

    Raises:
        DataError: The annotations cannot be read or said in that format, an interval is reversed or begins before
            0, or ``output`` exists or cannot be written.
    """
    if to not in FORMATS:
        raise DataError(f"--to is {to}; choose one of {', '.join(FORMATS)}")
    if output.exists():
        raise DataError(f"--output {output} already exists; choose a new name")
    if not 0 < clip_seconds < math.inf:
        raise DataError(f"--seconds is {clip_seconds:g}; it must be above 0")
    rows = read_annotations(path)
    for row in rows:
        raise_first(row_problems(row, row.file, 1, math.inf, path))
    if manifest is not None:
        rows = cut_at_clips(rows, path, manifest)
    try:
        output.absolute().parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=output.absolute().parent, prefix=f".{output.name}-") as scratch:
            written = Path(scratch) / "annotations"
            if to == "authors":
                for row in rows:
                    raise_first(row_problems(row, row.file, 1, clip_seconds, path))
                authors.write(written, rows, clip_seconds)
            elif to == "audacity":
                audacity.write(written, rows)
            else:
                plain.write(written, rows)
            written.replace(output)
    except OSError as error:
        raise DataError(f"--output {output} cannot be written: {error.strerror or error}") from None
    return sum(len(row.intervals) for row in rows)
