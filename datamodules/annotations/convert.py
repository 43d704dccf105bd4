"""Annotations from one format to another, and from whole recordings to the clips cut from them."""

from __future__ import annotations

import math
import warnings
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from datamodules.annotations import audacity, authors
from datamodules.annotations.joining import raise_first, row_problems
from datamodules.annotations.reading import read_annotations, write_plain
from datamodules.annotations.rows import AnnotationRow, Interval, bare_name, parse_number, some_of
from datamodules.annotations.table import read_table
from datamodules.errors import DataError, quoted, require
from datamodules.files import written_as_a_whole
from datamodules.recordings.manifest import COLUMNS

FORMATS = ("authors", "audacity", "csv")


def convert_annotations(
    path: Path, to: str, output: Path, clip_seconds: float = 10.0, manifest: Path | None = None
) -> int:
    """Write annotations in another format.

    Every format keeps clips, intervals to the microsecond, and types, also of clips without intervals. Label tracks
    lose the suffix of a clip's name.

    Args:
        path: Annotations of any format.
        to: ``authors``, ``audacity`` or ``csv``.
        output: File to write; for Audacity a folder, with a label track for each clip.
        clip_seconds: Length of a clip in s, which the authors' format needs to place a clip in its minute.
        manifest: Manifest of sliced recordings, for annotations of whole recordings.

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
        rows = cut_at_clips(rows, path, manifest)
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


class _Clip(NamedTuple):
    """A clip's name in the manifest, and its position in the recording in seconds."""

    name: str
    start: float
    end: float


def cut_at_clips(rows: Sequence[AnnotationRow], source: Path, manifest: Path) -> list[AnnotationRow]:
    """Cut the intervals of recordings at the clips' borders; rows of clips stay as they are.

    A point on a border belongs to the clip that begins there, or at the end to the last clip. Warns about names that
    are not in the manifest, whose rows stay as they are, and about recordings without intervals, whose rows are left
    out because they do not say which clips are anomalous. A spreadsheet may have saved the manifest.

    Raises:
        DataError: The manifest cannot be read, a row's name is that of several recordings, or part of an interval
            lies in no clip.
    """
    clips_of = _read_manifest(manifest)
    clips = {bare_name(clip.name) for of_recording in clips_of.values() for clip in of_recording}
    by_stem = defaultdict(list)
    for recording in clips_of:
        by_stem[PurePosixPath(recording).name].append(recording)
    cut: list[AnnotationRow] = []
    unknown, unannotated = [], []
    for row in rows:
        name = bare_name(row.file)
        recordings = [name] if name in clips_of else by_stem[PurePosixPath(name).name]
        where = f"{source} row {row.number}"
        if name in clips:
            cut.append(row)
        elif not recordings:
            cut.append(row)
            unknown.append(name)
        elif len(recordings) > 1:
            raise DataError(f"{where}: {quoted(row.file)} is the name of {len(recordings)} recordings, give its folder")
        elif not row.intervals:
            unannotated.append(name)
        else:
            for start, end in row.intervals:
                for clip, interval in _pieces(start, end, clips_of[recordings[0]], f"{where}: {name}", manifest):
                    cut.append(AnnotationRow(row.number, clip, (interval,), row.anomaly_type))
    if unknown:
        names = some_of(dict.fromkeys(unknown))
        warnings.warn(f"{manifest} has no recording or clip called {names}; kept as clips", stacklevel=2)
    if unannotated:
        names = some_of(dict.fromkeys(unannotated))
        warnings.warn(f"{source} has no intervals for {names}; left out", stacklevel=2)
    return cut


def _pieces(
    start: float, end: float, clips: Sequence[_Clip], what: str, manifest: Path
) -> Iterator[tuple[str, Interval]]:
    """The parts of an interval by clip, in seconds from the clip's start; raises if part of it lies in no clip."""
    if start == end:
        inside = [clip for clip in clips if clip.start <= start < clip.end or start == clip.end == clips[-1].end][:1]
        gap = None if inside else (start, end)
    else:
        inside = [clip for clip in clips if start < clip.end and clip.start < end]
        borders = [start, *(border for clip in inside for border in (clip.start, clip.end)), end]
        gap = next(((one, other) for one, other in zip(borders[::2], borders[1::2], strict=True) if one < other), None)
    if gap:
        missing = f"at {gap[0]:.10g} s" if start == end else f"from {gap[0]:.10g} s to {gap[1]:.10g} s"
        raise DataError(
            f"{what} has a label from {start:.10g} s to {end:.10g} s, but no clip {missing} in {manifest}; "
            "shorten or remove the label"
        )
    for clip in inside:
        yield clip.name, (max(start - clip.start, 0.0), min(end, clip.end) - clip.start)


def _read_manifest(path: Path) -> dict[str, list[_Clip]]:
    """Clips by the bare name of their recording, in order of time."""
    if not path.is_file():
        raise DataError(f"{path} is not a file; name the manifest.csv of sliced recordings")
    table = read_table(path)
    table.require(COLUMNS, "the columns that slicing writes")
    for error in table.malformed:
        raise error
    clips_of: dict[str, dict[str, _Clip]] = defaultdict(dict)
    for number, cells in table.rows:
        offset, duration = (parse_number(cells.get(key, ""), table.decimal_comma) for key in ("offset", "duration"))
        clip, recording = cells["clip"], bare_name(cells.get("source", ""))
        if offset is None or duration is None or offset < 0 or duration <= 0 or not cells.get("source_sha256"):
            raise DataError(f"{path} row {number} is incomplete; slice the recordings again to complete it")
        if clips_of[recording].setdefault(clip, new := _Clip(clip, offset, offset + duration)) is not new:
            raise DataError(f"{path} row {number}: {quoted(clip)} is listed twice; remove one of the rows")
    return {recording: sorted(clips.values(), key=lambda clip: clip.start) for recording, clips in clips_of.items()}
