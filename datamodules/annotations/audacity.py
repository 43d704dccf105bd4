r"""Audacity's label tracks: a text file a clip, each line start<TAB>end<TAB>label in seconds.

A label with a spectral selection is followed by a line of its frequencies that starts with a backslash; it is
skipped. A point label at 0 names the type of a clip that nobody annotated, a track without labels is a clip of
which nothing is known. The manual: https://manual.audacityteam.org/man/importing_and_exporting_labels.html
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

from datamodules.annotations.rows import NUMBER, AnnotationRow, Complain, by_clip
from datamodules.errors import DataError, quoted
from datamodules.files import find_files

SUFFIX = ".txt"


def read(path: Path, complain: Complain) -> Iterator[AnnotationRow]:
    """Read a label track, or all in a folder at any depth; a clip is called like its track, without suffix.

    Raises:
        DataError: The folder holds no label track, or a file cannot be read.
    """
    tracks = find_files(path, [SUFFIX])[0] if path.is_dir() else [path]
    if not tracks:
        raise DataError(f"{path} holds no label tracks (*{SUFFIX})")
    for track in tracks:
        name = PurePosixPath(track.relative_to(path).as_posix() if path.is_dir() else track.name)
        yield from _read_track(track, name.with_suffix("").as_posix(), complain)


def write(folder: Path, rows: Iterable[AnnotationRow]) -> None:
    """Write a label track for each clip, in the folders that the clips' names have.

    Args:
        folder: Folder to make.
        rows: What to write.

    Raises:
        DataError: A clip's name leads out of the folder.
    """
    folder.mkdir()
    for clip, of_clip in by_clip(rows).items():
        name = PurePosixPath(clip)
        if name.is_absolute() or ".." in name.parts or not name.name:
            raise DataError(
                f"{quoted(clip)} is no name of a clip inside the data's folder; write names without .. or a root"
            )
        track = folder / f"{clip}{SUFFIX}"
        track.parent.mkdir(parents=True, exist_ok=True)
        labels = [(*interval, row.anomaly_type) for row in of_clip for interval in row.intervals]
        if not labels and of_clip[0].anomaly_type:
            labels = [(0.0, 0.0, of_clip[0].anomaly_type)]
        track.write_text("".join(f"{start:.6f}\t{end:.6f}\t{label}\n" for start, end, label in labels), "utf-8")


def _read_track(path: Path, clip: str, complain: Complain) -> Iterator[AnnotationRow]:
    try:
        lines = path.read_text("utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read as a label track: {error}") from None
    n_labels = 0
    for number, line in enumerate(lines, start=1):
        if not line.strip() or line.startswith("\\"):
            continue
        n_labels += 1
        start, end, label = (*line.split("\t", 2), "", "")[:3]
        if not re.fullmatch(NUMBER, start) or not re.fullmatch(NUMBER, end):
            complain(
                DataError(f"{path} line {number}: {quoted(line)} is no label, which is start, end and text with tabs")
            )
            continue
        point = float(start) == float(end) == 0
        yield AnnotationRow(number, clip, () if point else ((float(start), float(end)),), label.strip())
    if not n_labels:
        yield AnnotationRow(1, clip, ())
