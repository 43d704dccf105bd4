"""Labels on the timeline of a recording, and on those of the clips that were cut from it, which may overlap."""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from datamodules.annotations.rows import AnnotationRow, Interval, bare_name, parse_number, some_of
from datamodules.annotations.table import read_table
from datamodules.errors import DataError, quoted
from datamodules.recordings.manifest import COLUMNS

_SAME_TIME_S = 1e-5  # files have microseconds


class PlacedClip(NamedTuple):
    """A clip's name, and its position in the recording in seconds."""

    name: str
    start: float
    end: float


def pieces(interval: Interval, clips: Sequence[PlacedClip]) -> list[tuple[PlacedClip, Interval]]:
    """The parts of an interval by clip, in seconds from the clip's start.

    Args:
        interval: (start, end) in seconds of the recording.
        clips: Clips of the recording by increasing start. A point on a border belongs to the clip that begins there,
            or at the end to the last clip.

    Example:
        >>> clips = [PlacedClip("a", 0.0, 10.0), PlacedClip("b", 5.0, 15.0), PlacedClip("c", 10.0, 20.0)]
        >>> [(clip.name, part) for clip, part in pieces((8.0, 10.0), clips)]
        [('a', (8.0, 10.0)), ('b', (3.0, 5.0))]
        >>> [(clip.name, part) for clip, part in pieces((10.0, 10.0), clips)]
        [('b', (5.0, 5.0)), ('c', (0.0, 0.0))]
    """
    start, end = interval
    if start == end:
        inside = [clip for clip in clips if clip.start <= start < clip.end or start == clip.end == clips[-1].end]
    else:
        inside = [clip for clip in clips if start < clip.end and clip.start < end]
    return [(clip, (max(start - clip.start, 0.0), min(end, clip.end) - clip.start)) for clip in inside]


def cut_at_clips(rows: Sequence[AnnotationRow], source: Path, manifest: Path) -> list[AnnotationRow]:
    """Cut the intervals of recordings at the clips' borders; rows of clips stay as they are.

    Warns about names that are not in the manifest, whose rows stay as they are, and about recordings without
    intervals, whose rows are left out because they do not say which clips are anomalous. A spreadsheet may have saved
    the manifest.

    Raises:
        DataError: The manifest cannot be read, a row's name is that of several recordings, or part of an interval
            lies in no clip.
    """
    placed = _Manifest.read(manifest)
    cut: list[AnnotationRow] = []
    unknown, unannotated = [], []
    for row in rows:
        recordings = placed.recordings.find(row.file)
        where = f"{source} row {row.number}"
        if placed.clips.has(row.file):
            cut.append(row)
        elif not recordings:
            cut.append(row)
            unknown.append(row.file)
        elif len(recordings) > 1:
            raise DataError(f"{where}: {quoted(row.file)} is the name of {len(recordings)} recordings, give its folder")
        elif not row.intervals:
            unannotated.append(bare_name(row.file))
        else:
            for interval in row.intervals:
                clips = placed.clips_of[recordings[0]]
                _require_clips(interval, clips, f"{where}: {bare_name(row.file)}", manifest)
                parts = pieces(interval, clips)
                cut += [row._replace(file=clip.name, intervals=(part,)) for clip, part in parts]
    _warn_of_unknown(unknown, manifest, "clips")
    if unannotated:
        names = some_of(dict.fromkeys(unannotated))
        warnings.warn(f"{source} has no intervals for {names}; left out", stacklevel=2)
    return cut


def join_clips(rows: Sequence[AnnotationRow], source: Path, manifest: Path) -> list[AnnotationRow]:
    """Put the intervals of clips together to those of their recordings; rows of recordings stay as they are.

    The inverse of :func:`cut_at_clips`: parts of a label in neighbouring clips become one, as far as they meet at the
    border and have the same type, or only one has any. Where clips overlap, the same label in both counts once.

    Warns about clips that do not hold what other clips say about the same time, as after a correction in one of
    them, about names that are not in the manifest, whose rows stay as they are, and about clips without intervals,
    whose rows are left out.

    Raises:
        DataError: The manifest cannot be read, or a row's name is that of several clips.
    """
    placed = _Manifest.read(manifest)
    parts: dict[str, list[_Part]] = defaultdict(list)
    joined: list[AnnotationRow] = []
    unknown, unannotated = [], []
    for row in rows:
        names = placed.clips.find(row.file)
        if placed.recordings.has(row.file):
            joined.append(row)
        elif not names:
            joined.append(row)
            unknown.append(row.file)
        elif len(names) > 1:
            what = f"{quoted(row.file)} is the name of {len(names)} clips in {manifest}, give its folder"
            raise DataError(f"{source} row {row.number}: {what}")
        elif not row.intervals:
            unannotated.append(bare_name(row.file))
        else:
            recording, clip = placed.of_clip[names[0]]
            parts[recording] += [_Part(clip, clip.start + a, clip.start + b, row) for a, b in row.intervals]
    differing: list[str] = []
    for recording, of_recording in parts.items():
        labels = _join(of_recording)
        joined += [label.row._replace(file=recording, intervals=((label.start, label.end),)) for label in labels]
        differing += _differing(labels, of_recording, placed.clips_of[recording])
    _warn_of_unknown(unknown, manifest, "recordings")
    if unannotated:
        names = list(dict.fromkeys(unannotated))
        warnings.warn(f"{source} has no intervals for {some_of(names)}; left out", stacklevel=2)
    if differing:
        warnings.warn(
            f"{source} labels {some_of(differing)} otherwise than the clips that overlap them; every label is kept",
            stacklevel=2,
        )
    return joined


class _Part(NamedTuple):
    """What a clip holds of a label, in seconds of the recording."""

    clip: PlacedClip
    start: float
    end: float
    row: AnnotationRow


@dataclass
class _Label:
    """A label of a recording, and its part in the last clip so far."""

    start: float
    end: float
    row: AnnotationRow
    last: _Part


def _join(parts: Sequence[_Part]) -> list[_Label]:
    labels: list[_Label] = []
    recent: list[_Label] = []
    for part in sorted(parts, key=lambda part: (part.clip.start, part.start, part.end)):
        recent = [label for label in recent if label.last.clip.end + _SAME_TIME_S >= part.clip.start]
        label = next((label for label in recent if _continues(part, label)), None)
        if label is None:
            label = _Label(part.start, part.end, part.row, part)
            labels.append(label)
            recent.append(label)
        else:
            if label.end > label.last.clip.end - _SAME_TIME_S:  # cut at its border
                label.end = part.end
            label.last = part
            label.row = label.row if label.row.anomaly_type else part.row
    return sorted(labels, key=lambda label: (label.start, label.end))


def _continues(part: _Part, label: _Label) -> bool:
    """Whether a part and the last part of a label, in an earlier clip, are the same where their clips overlap."""
    last = label.last
    kinds = {row.anomaly_type for row in (label.row, part.row)} - {""}
    are_points = {one.start == one.end for one in (last, part)}
    if part.clip == last.clip or len(kinds) > 1 or len(are_points) > 1 or label.row.band != part.row.band:
        return False
    here = part.start, min(part.end, last.clip.end)
    there = max(last.start, part.clip.start), last.end
    return here[0] <= here[1] + _SAME_TIME_S and _are_same([here], [there])


def _differing(labels: Sequence[_Label], parts: Sequence[_Part], clips: Sequence[PlacedClip]) -> list[str]:
    """Names of clips of a recording whose labels are not the parts of the joined ones that lie in them."""
    expected: dict[str, list[Interval]] = defaultdict(list)
    found: dict[str, list[Interval]] = defaultdict(list)
    for label in labels:
        for clip, (start, end) in pieces((label.start, label.end), clips):
            if label.start == label.end or end - start > _SAME_TIME_S:
                expected[clip.name].append((start, end))
    for part in parts:
        found[part.clip.name].append((part.start - part.clip.start, part.end - part.clip.start))
    return [clip.name for clip in clips if not _are_same(sorted(found[clip.name]), sorted(expected[clip.name]))]


def _are_same(some: Sequence[Interval], others: Sequence[Interval]) -> bool:
    return len(some) == len(others) and all(
        abs(one - other) <= _SAME_TIME_S
        for pair in zip(some, others, strict=True)
        for one, other in zip(*pair, strict=True)
    )


def _require_clips(interval: Interval, clips: Sequence[PlacedClip], what: str, manifest: Path) -> None:
    """Raise a DataError if part of an interval lies in no clip."""
    start, end = interval
    inside = [clip for clip, _ in pieces(interval, clips)]
    if start == end:
        missing = "" if inside else f"at {start:.10g} s"
    else:
        borders = [start, *(border for clip in inside for border in (clip.start, clip.end)), end]
        gaps = ((one, other) for one, other in zip(borders[::2], borders[1::2], strict=True) if one < other)
        missing = next((f"from {one:.10g} s to {other:.10g} s" for one, other in gaps), "")
    if missing:
        raise DataError(
            f"{what} has a label from {start:.10g} s to {end:.10g} s, but no clip {missing} in {manifest}; "
            "shorten or remove the label"
        )


def _warn_of_unknown(names: Iterable[str], manifest: Path, kept_as: str) -> None:
    if listed := some_of(list(dict.fromkeys(map(bare_name, names)))):
        warnings.warn(f"{manifest} has no recording or clip called {listed}; kept as {kept_as}", stacklevel=3)


class _Names:
    """Names of files, found by name with the folder or else without it, suffixes aside."""

    def __init__(self, names: Iterable[str]) -> None:
        self._whole: dict[str, list[str]] = defaultdict(list)
        self._last: dict[str, list[str]] = defaultdict(list)
        for name in names:
            bare = bare_name(name)
            self._whole[bare].append(name)
            self._last[PurePosixPath(bare).name].append(name)

    def has(self, file: str) -> bool:
        return bare_name(file) in self._whole

    def find(self, file: str) -> list[str]:
        bare = bare_name(file)
        return self._whole.get(bare) or self._last.get(PurePosixPath(bare).name, [])


class _Manifest:
    """The clips of each recording by its name, in order of time, and recording and position of each clip."""

    def __init__(self, clips_of: Mapping[str, Sequence[PlacedClip]]) -> None:
        self.clips_of = clips_of
        self.of_clip = {clip.name: (recording, clip) for recording, clips in clips_of.items() for clip in clips}
        self.recordings = _Names(clips_of)
        self.clips = _Names(self.of_clip)

    @classmethod
    def read(cls, path: Path) -> _Manifest:
        if not path.is_file():
            raise DataError(f"{path} is not a file; name the manifest.csv of sliced recordings")
        table = read_table(path)
        table.require(COLUMNS, "the columns that slicing writes")
        for error in table.malformed:
            raise error
        clips_of: dict[str, dict[str, PlacedClip]] = defaultdict(dict)
        for number, cells in table.rows:
            offset, duration = (parse_number(cells.get(key, ""), table.decimal_comma) for key in ("offset", "duration"))
            clip, recording = cells["clip"], cells.get("source", "")
            if offset is None or duration is None or offset < 0 or duration <= 0 or not cells.get("source_sha256"):
                raise DataError(f"{path} row {number} is incomplete; slice the recordings again to complete it")
            placed = PlacedClip(clip, offset, offset + duration)
            if clips_of[recording].setdefault(clip, placed) is not placed:
                raise DataError(f"{path} row {number}: {quoted(clip)} is listed twice; remove one of the rows")
        return cls({name: sorted(clips.values(), key=lambda clip: clip.start) for name, clips in clips_of.items()})
