r"""Audacity's label tracks: a text file per clip, each line start<TAB>end<TAB>label in seconds.

A point label has its start as end. A label with a spectral selection is followed by a line of its frequencies that
starts with a backslash; it is skipped. A point label ``[unannotated] TYPE`` at 0, as :func:`write` makes it, names the
type of a clip that nobody annotated; a track without labels is a clip of which nothing is known. The manual:
https://manual.audacityteam.org/man/importing_and_exporting_labels.html
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

from datamodules.annotations.rows import AnnotationRow, Complain, by_clip, parse_number, some_of
from datamodules.annotations.table import read_text
from datamodules.errors import DataError, quoted
from datamodules.files import walk

SUFFIX = ".txt"
_LINE_ENDS = r"[\r\n]+"
_UNANNOTATED = "[unannotated]"


def read(path: Path, complain: Complain) -> Iterator[AnnotationRow]:
    """Read a label track, or all in a folder at any depth; a clip is called like its track, without suffix.

    Warns of other files in the folder, hidden ones aside.

    Raises:
        DataError: The folder holds no label track, or a file or folder cannot be read.
    """
    if not path.is_dir():
        yield from _read_track(path, path.stem, complain)
        return
    files = sorted(walk(path))
    tracks = [file for file in files if file.suffix.lower() == SUFFIX]
    if not tracks:
        raise DataError(f"{path} holds no label tracks (*{SUFFIX})")
    if others := [file.relative_to(path).as_posix() for file in files if file.suffix.lower() != SUFFIX]:
        count = f"{len(others):,} file{'s' * (len(others) > 1)}"
        warnings.warn(f"{path} holds {count} not read as a label track (*{SUFFIX}): {some_of(others)}", stacklevel=2)
    for track in tracks:
        yield from _read_track(track, track.relative_to(path).with_suffix("").as_posix(), complain)


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
                f"{quoted(clip)} is not the name of a clip inside the data's folder; write names without .. or a root"
            )
        track = folder / f"{clip}{SUFFIX}"
        track.parent.mkdir(parents=True, exist_ok=True)
        labels = [(*interval, row.anomaly_type) for row in of_clip for interval in row.intervals]
        if not labels and of_clip[0].anomaly_type:
            labels = [(0.0, 0.0, f"{_UNANNOTATED} {of_clip[0].anomaly_type}")]
        lines = (f"{start:.6f}\t{end:.6f}\t{' '.join(re.split(_LINE_ENDS, label))}\n" for start, end, label in labels)
        track.write_text("".join(lines), "utf-8")


def _read_track(path: Path, clip: str, complain: Complain) -> Iterator[AnnotationRow]:
    try:
        clip.encode()
    except UnicodeEncodeError:
        raise DataError(f"{path} has a name that is not UTF-8; rename it and its clip") from None
    # Not str.splitlines, which also splits at characters that a label may hold.
    lines = io.StringIO(read_text(path, "a label track", "save it as UTF-8 text"), newline=None)
    n_labels = 0
    for number, line in enumerate(lines, start=1):
        if not line.strip() or line.startswith("\\"):
            continue
        n_labels += 1
        # Where the system's language writes numbers with commas, so do some versions of Audacity.
        first, second, label = (part.strip() for part in (*line.split("\t", 2), "", "")[:3])
        start, end = (parse_number(text, decimal_comma=True) for text in (first, second))
        unannotated = label.startswith(_UNANNOTATED)
        if start is None or end is None:
            what = f"{quoted(line.rstrip())} is not a label, which is start, end and text with tabs between"
            complain(DataError(f"{path} line {number}: {what}"))
        elif unannotated and (start or end):
            complain(DataError(f"{path} line {number}: {_UNANNOTATED} is about the whole clip and belongs at 0 s"))
        elif unannotated:
            yield AnnotationRow(number, clip, (), label.removeprefix(_UNANNOTATED).strip())
        else:
            yield AnnotationRow(number, clip, ((start, end),), label)
    if not n_labels:
        yield AnnotationRow(1, clip, ())
