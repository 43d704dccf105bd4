r"""Audacity's label tracks: one text file per clip with lines start<TAB>end<TAB>label in seconds.

The end of a point label is its start. Lines that start with a backslash hold the frequencies of a spectral selection
and are skipped. A point label ``[unannotated] TYPE`` at 0, which :func:`write` produces, gives the type of a clip
without annotated intervals. The manual: https://manual.audacityteam.org/man/importing_and_exporting_labels.html
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

from datamodules.annotations.rows import AnnotationRow, by_clip, parse_number, some_of
from datamodules.annotations.table import read_text
from datamodules.errors import DataError, quoted
from datamodules.files import walk
from lightning_modules.wording import counted

SUFFIX = ".txt"
_LINE_ENDS = r"[\r\n]+"
_UNANNOTATED = "[unannotated]"


def read(path: Path) -> Iterator[AnnotationRow | DataError]:
    """Read a label track, or all in a folder at any depth; a clip has the name of its track, without suffix.

    Warns about other files in the folder, except hidden ones; raises a DataError for a folder without a label track.
    """
    if not path.is_dir():
        yield from _read_track(path, path.stem)
        return
    files = sorted(walk(path))
    tracks = [file for file in files if file.suffix.lower() == SUFFIX]
    if not tracks:
        raise DataError(f"{path} holds no label tracks (*{SUFFIX})")
    if others := [file.relative_to(path).as_posix() for file in files if file.suffix.lower() != SUFFIX]:
        count = counted(len(others), "file")
        warnings.warn(f"{path} holds {count} not read as a label track (*{SUFFIX}): {some_of(others)}", stacklevel=2)
    for track in tracks:
        yield from _read_track(track, track.relative_to(path).with_suffix("").as_posix())


def write(folder: Path, rows: Iterable[AnnotationRow]) -> None:
    """Write a label track per clip into a new folder; raises a DataError for a name that leads out of it."""
    folder.mkdir()
    for clip, of_clip in by_clip(rows).items():
        name = PurePosixPath(clip)
        if name.is_absolute() or ".." in name.parts or not name.name:
            raise DataError(
                f"{quoted(clip)} is not the name of a clip inside the data folder; write names without .. or a root"
            )
        track = folder / f"{clip}{SUFFIX}"
        track.parent.mkdir(parents=True, exist_ok=True)
        labels = [(*interval, row.anomaly_type) for row in of_clip for interval in row.intervals]
        if not labels and of_clip[0].anomaly_type:
            labels = [(0.0, 0.0, f"{_UNANNOTATED} {of_clip[0].anomaly_type}")]
        lines = (f"{start:.6f}\t{end:.6f}\t{' '.join(re.split(_LINE_ENDS, label))}\n" for start, end, label in labels)
        track.write_text("".join(lines), "utf-8")


def _read_track(path: Path, clip: str) -> Iterator[AnnotationRow | DataError]:
    try:
        clip.encode()
    except UnicodeEncodeError:
        raise DataError(f"{path} has a name that is not UTF-8; rename it and its clip") from None
    # str.splitlines would also split at characters that a label may hold.
    lines = io.StringIO(read_text(path, "a label track", "save it as UTF-8 text"), newline=None)
    n_labels = 0
    for number, line in enumerate(lines, start=1):
        if not line.strip() or line.startswith("\\"):
            continue
        n_labels += 1
        # Some versions of Audacity write decimal commas where the system's language does.
        first, second, label = (part.strip() for part in (*line.split("\t", 2), "", "")[:3])
        start, end = (parse_number(text, decimal_comma=True) for text in (first, second))
        unannotated = label.startswith(_UNANNOTATED)
        if start is None or end is None:
            what = f"{quoted(line.rstrip())} is not a label, which is start, end and text with tabs between"
            yield DataError(f"{path} line {number}: {what}")
        elif unannotated and (start or end):
            yield DataError(f"{path} line {number}: {_UNANNOTATED} describes the whole clip; put it at 0 s")
        elif unannotated:
            yield AnnotationRow(number, clip, (), label.removeprefix(_UNANNOTATED).strip())
        else:
            yield AnnotationRow(number, clip, ((start, end),), label)
    if not n_labels:
        yield AnnotationRow(1, clip, ())
