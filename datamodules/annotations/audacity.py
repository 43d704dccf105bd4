r"""Audacity's label tracks: one text file per clip or recording with lines start<TAB>end<TAB>label in seconds.

The end of a point label is its start. A line \<TAB>low<TAB>high after a label holds the frequencies of a spectral
selection in Hz, -1 for a border that was not selected. A point label ``[unannotated] TYPE`` at 0, which :func:`write`
produces, gives the type of a clip without annotated intervals. The manual: https://manual.audacityteam.org/man/importing_and_exporting_labels.html
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

from datamodules.annotations.rows import AnnotationRow, by_clip, parse_band, parse_number, some_of
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
        labels = [(*interval, row.anomaly_type, row.band) for row in of_clip for interval in row.intervals]
        if not labels and of_clip[0].anomaly_type:
            labels = [(0.0, 0.0, f"{_UNANNOTATED} {of_clip[0].anomaly_type}", None)]
        track.write_text("".join(_lines(*label) for label in labels), "utf-8")


def _lines(start: float, end: float, text: str, band: tuple[float, float] | None) -> str:
    frequencies = "" if band is None else f"\\\t{band[0]:.6f}\t{band[1]:.6f}\n"
    return f"{start:.6f}\t{end:.6f}\t{' '.join(re.split(_LINE_ENDS, text))}\n{frequencies}"


def _read_track(path: Path, clip: str) -> Iterator[AnnotationRow | DataError]:
    try:
        clip.encode()
    except UnicodeEncodeError:
        raise DataError(f"{path} has a name that is not UTF-8; rename it and its clip") from None
    # str.splitlines would also split at characters that a label may hold.
    lines = io.StringIO(read_text(path, "a label track", "save it as UTF-8 text"), newline=None)
    label: AnnotationRow | DataError | None = None
    for number, line in enumerate(lines, start=1):
        if line.startswith("\\"):
            label = _with_band(label, line, f"{path} line {number}")
        elif line.strip():
            if label is not None:
                yield label
            label = _parse_label(line, number, path, clip)
    yield AnnotationRow(1, clip, ()) if label is None else label


def _parse_label(line: str, number: int, path: Path, clip: str) -> AnnotationRow | DataError:
    # Some versions of Audacity write decimal commas where the system's language does.
    first, second, label = (part.strip() for part in (*line.split("\t", 2), "", "")[:3])
    start, end = (parse_number(text, decimal_comma=True) for text in (first, second))
    unannotated = label.startswith(_UNANNOTATED)
    if start is None or end is None:
        what = f"{quoted(line.rstrip())} is not a label, which is start, end and text with tabs between"
        return DataError(f"{path} line {number}: {what}")
    if unannotated and (start or end):
        return DataError(f"{path} line {number}: {_UNANNOTATED} describes the whole clip; put it at 0 s")
    if unannotated:
        return AnnotationRow(number, clip, (), label.removeprefix(_UNANNOTATED).strip())
    return AnnotationRow(number, clip, ((start, end),), label)


def _with_band(label: AnnotationRow | DataError | None, line: str, where: str) -> AnnotationRow | DataError:
    """A label with the frequencies in the line after it."""
    if isinstance(label, DataError):
        return label
    band = parse_band([cell.strip() for cell in line.split("\t")[1:]], decimal_comma=True)
    if label is None or band is None:
        what = f"{quoted(line.rstrip())} is not a line of frequencies after a label, which is \\, low and high in Hz"
        return DataError(f"{where}: {what} with tabs between")
    return label._replace(band=band)
