"""Annotations of whole recordings as annotations of the clips that were cut from them."""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from datamodules.annotations.rows import AnnotationRow, Interval, bare_name, parse_number, some_of
from datamodules.annotations.table import read_table
from datamodules.errors import DataError, quoted
from datamodules.recordings.manifest import COLUMNS


@dataclass(frozen=True)
class _Clip:
    """A clip's name as the manifest has it, and where it lies in its recording, in seconds."""

    name: str
    start: float
    end: float


def cut_at_clips(rows: Sequence[AnnotationRow], source: Path, manifest: Path) -> list[AnnotationRow]:
    """Cut the intervals of recordings at the clips' borders; rows of clips go through as they are.

    A point on a border belongs to the clip that begins there, or at the end to the last clip. Warns of names that are
    not in the manifest, whose rows go through too, and of recordings without intervals, whose rows say of no clip
    whether it is anomalous.

    Args:
        rows: Rows of recordings, in seconds from each one's start, and of clips.
        source: The annotation file, for messages.
        manifest: What slicing wrote (:func:`~datamodules.recordings.slice_recordings`); a spreadsheet may have
            saved it since.

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
    unknown: dict[str, None] = {}
    unannotated: dict[str, None] = {}
    for row in rows:
        name = bare_name(row.file)
        recordings = [name] if name in clips_of else by_stem[PurePosixPath(name).name]
        where = f"{source} row {row.number}"
        if name in clips or not recordings:
            cut.append(row)
            unknown |= {} if name in clips else {name: None}
        elif len(recordings) > 1:
            raise DataError(f"{where}: {quoted(row.file)} is the name of {len(recordings)} recordings, give its folder")
        elif not row.intervals:
            unannotated[name] = None
        for start, end in row.intervals if len(recordings) == 1 and name not in clips else ():
            for clip, interval in _pieces(start, end, clips_of[recordings[0]], f"{where}: {name}", manifest):
                cut.append(AnnotationRow(row.number, clip, (interval,), row.anomaly_type))
    if unknown:
        warnings.warn(f"{manifest} has no recording or clip called {some_of(unknown)}; kept as clips", stacklevel=2)
    if unannotated:
        warnings.warn(f"{source} has no intervals for {some_of(unannotated)}; left out", stacklevel=2)
    return cut


def _pieces(
    start: float, end: float, clips: Sequence[_Clip], what: str, manifest: Path
) -> Iterator[tuple[str, Interval]]:
    """The parts of an interval by clip, in seconds from the clip's start; the clips are in their order.

    Raises:
        DataError: Part of it lies in no clip.
    """
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
    """Clips in their order by the bare name of their recording."""
    if not path.is_file():
        raise DataError(f"--manifest {path} is not a file; name the manifest.csv of sliced recordings")
    table = read_table(path)
    table.require(COLUMNS, "the columns that slicing writes")
    for error in table.malformed:
        raise error
    clips_of: dict[str, dict[str, _Clip]] = defaultdict(dict)
    for number, cells in table.rows:
        offset, duration = (parse_number(cells.get(key, ""), table.decimal_comma) for key in ("offset", "duration"))
        clip, recording = cells["clip"], bare_name(cells.get("source", ""))
        if offset is None or duration is None or offset < 0 or duration <= 0 or not cells.get("source_sha256"):
            raise DataError(f"{path} row {number} is not whole; slice the recordings again to complete it")
        if clips_of[recording].setdefault(clip, new := _Clip(clip, offset, offset + duration)) is not new:
            raise DataError(f"{path} row {number}: {quoted(clip)} is listed twice; remove one of the rows")
    return {recording: sorted(clips.values(), key=lambda clip: clip.start) for recording, clips in clips_of.items()}
