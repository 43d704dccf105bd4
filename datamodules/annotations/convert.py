"""Annotations from one format to another, and between recordings and the clips cut from them."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Literal

from datamodules.annotations import audacity, authors
from datamodules.annotations.joining import raise_first, row_problems
from datamodules.annotations.reading import read_annotations, write_plain
from datamodules.annotations.timelines import cut_at_clips, join_clips
from datamodules.errors import DataError, require
from datamodules.files import written_as_a_whole

FORMATS = ("authors", "audacity", "csv")


def convert_annotations(
    path: Path,
    to: str,
    output: Path,
    clip_seconds: float = 10.0,
    manifest: Path | None = None,
    timeline: Literal["clips", "recordings"] = "clips",
) -> int:
    """Write annotations in another format.

    Every format keeps clips, intervals to the microsecond, and types, also of clips without intervals. Label tracks
    lose the suffix of a clip's name, the authors' format the frequencies of labels.

    Args:
        path: Annotations of any format.
        to: ``authors``, ``audacity`` or ``csv``.
        output: File to write; for Audacity a folder, with a label track for each clip.
        clip_seconds: Length of a clip in s, which the authors' format needs to place a clip in its minute.
        manifest: Manifest of the clips of recordings, which says where in its recording a clip begins.
        timeline: With a manifest, whether the output is about clips, at whose borders the intervals of recordings are
            cut, or about recordings, to which the intervals of clips are joined.

    Returns:
        Number of intervals.

    Raises:
        DataError: The annotations cannot be read or written in that format, an interval is reversed or begins before
            0, or ``output`` exists or cannot be written.
    """
    if to not in FORMATS:
        raise DataError(f"{to!r} is not a format of annotations; choose one of {', '.join(FORMATS)}")
    if output.exists():
        raise DataError(f"{output} already exists; choose a new name")
    require(0 < clip_seconds < math.inf, "the length of a clip", f"{clip_seconds:g} s", "above 0")
    rows = read_annotations(path)
    for row in rows:
        raise_first(row_problems(row, row.file, 1, math.inf, path))
    if manifest is not None:
        rows = (join_clips if timeline == "recordings" else cut_at_clips)(rows, path, manifest)
    elif timeline == "recordings":
        raise DataError("timeline=recordings needs a manifest, which says where in its recording a clip begins")
    with written_as_a_whole(output) as built:
        if to == "authors":
            for row in rows:
                raise_first(row_problems(row, row.file, 1, clip_seconds, path))
            authors.write(built, rows, clip_seconds)
        elif to == "audacity":
            audacity.write(built, rows)
        else:
            write_plain(built, rows)
    return sum(len(row.intervals) for row in rows)
