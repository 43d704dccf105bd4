"""Annotations and the clips that they belong to: joining, frame masks, and all problems of a file."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Literal

import torch
from torch import Tensor

from datamodules.annotations import authors
from datamodules.annotations.reading import annotation_format, read_rows
from datamodules.annotations.rows import AnnotationRow, bare_name, by_clip
from datamodules.annotations.table import read_table
from datamodules.errors import DataError, quoted
from datamodules.layouts import UNNAMED_ANOMALY, Clip
from datamodules.recordings.windows import LEFT_OUT_S

Kind = Literal["test clip", "recording"]
"""What annotations are about: clips of a data set, or recordings of any length."""


def annotate(
    clips: Sequence[Clip], rows: Sequence[AnnotationRow], seconds: Mapping[str, float], source: Path
) -> tuple[Clip, ...]:
    """Join annotations to test clips, whose durations in seconds are given by name; ``source`` is for messages.

    A row belongs to the clip of that name, or else to the one whose name differs only in folder and suffix. A type in
    the rows replaces the type of clips whose data set names none.

    Returns:
        The clips, in the same order, with their intervals.

    Raises:
        DataError: A row names no clip, several clips or a normal clip, has an interval that is reversed or outside
            the clip, or another type than an earlier row of the clip.
    """
    by_stem = clips_by_stem(clips)
    rows_of = defaultdict(list)
    for row in rows:
        clip = clip_of(row, by_stem, source)
        raise_first(row_problems(row, clip.name, clip.label, seconds[clip.name], source))
        rows_of[clip.name].append(row)
    return tuple(_with_rows(clip, rows_of[clip.name], source) for clip in clips)


def clips_by_stem(clips: Sequence[Clip]) -> dict[str, list[Clip]]:
    """Clips by file name without folder and suffix."""
    by_stem = defaultdict(list)
    for clip in clips:
        by_stem[PurePosixPath(bare_name(clip.name)).name].append(clip)
    return by_stem


def clip_of(row: AnnotationRow, by_stem: Mapping[str, Sequence[Clip]], source: Path, kind: Kind = "test clip") -> Clip:
    """The clip or recording that a row belongs to; raises a DataError unless there is exactly one."""
    name = bare_name(row.file)
    candidates = by_stem.get(PurePosixPath(name).name) or by_stem.get(PurePosixPath(name).stem, ())
    matches = [clip for clip in candidates if bare_name(clip.name) == name] or candidates
    if len(matches) != 1:
        several = f"is the name of {len(matches)} {kind.split()[-1]}s, give its folder"
        problem = several if matches else f"is not among the {kind}s"
        raise DataError(f"{source} row {row.number}: {quoted(row.file)} {problem}")
    return matches[0]


def row_problems(
    row: AnnotationRow, name: str, label: int, seconds: float, source: Path, kind: Kind = "test clip"
) -> Iterator[str]:
    """Problems of the intervals of a row of a clip or recording, whose length is infinite if unknown.

    An interval of a recording may end up to 0.1 s after it, where times were counted in frames.
    """
    latest = seconds + LEFT_OUT_S * (kind == "recording")
    if row.intervals and label == 0:
        yield f"{source} row {row.number}: {name} is a normal clip and cannot be annotated"
    for start, end in row.intervals:
        interval = f"{source} row {row.number}: the interval from {start:.10g} s to {end:.10g} s of {name}"
        if start > end:
            yield f"{interval} is reversed"
        if start < 0 or end > latest:
            lasts = "" if math.isinf(seconds) else f"; the {kind.split()[-1]} lasts {seconds:.10g} s"
            yield f"{interval} is out of range{lasts}"


def type_problems(rows: Sequence[AnnotationRow], name: str, source: Path) -> Iterator[str]:
    """Rows of a clip whose type is not that of the first row with a type."""
    typed = [row for row in rows if row.anomaly_type]
    for row in typed:
        if row.anomaly_type != typed[0].anomaly_type:
            yield (
                f"{source} row {row.number}: {name} is of type {quoted(row.anomaly_type)} here "
                f"and {quoted(typed[0].anomaly_type)} in row {typed[0].number}"
            )


def _with_rows(clip: Clip, rows: Sequence[AnnotationRow], source: Path) -> Clip:
    raise_first(type_problems(rows, clip.name, source))
    intervals = tuple(sorted(interval for row in rows for interval in row.intervals))
    anomaly_type = next((row.anomaly_type for row in rows if row.anomaly_type), "")
    if anomaly_type and clip.anomaly_type == UNNAMED_ANOMALY:
        return replace(clip, intervals=intervals, anomaly_type=anomaly_type)
    return replace(clip, intervals=intervals)


def raise_first(problems: Iterator[str]) -> None:
    """Raise the first problem, if any, as a DataError."""
    for problem in problems:
        raise DataError(problem)


_ROUNDING = 1e-6  # Frames by which rounding may move a point at the end of a clip beyond it


def frame_mask(intervals: Sequence[tuple[float, float]], n_frames: int, frames_per_second: float) -> Tensor:
    """Mark the frames inside intervals.

    Args:
        intervals: (start, end) in seconds, the end exclusive.
        n_frames: Number of frames T; later parts are cut off.
        frames_per_second: Frame rate.

    Returns:
        (T,) bool. Each interval that begins before the end marks at least one frame; a point marks the frame of its
        time, and a point at the very end the last frame.

    Example:
        >>> frame_mask([(0.05, 0.1)], n_frames=6, frames_per_second=40)
        tensor([False, False,  True,  True, False, False])
    """
    mask = torch.zeros(n_frames, dtype=torch.bool)
    for start, end in intervals:
        first, stop = (min(time * frames_per_second, n_frames) for time in (start, end))
        if first < n_frames or start == end <= (n_frames + _ROUNDING) / frames_per_second:
            first_frame = min(round(first), n_frames - 1)
            mask[first_frame : max(first_frame + 1, round(stop))] = True
    return mask


def check_annotations(
    path: Path,
    clip_seconds: float = 10.0,
    types: Collection[str] = (),
    clips: Sequence[Clip] | None = None,
    seconds: Mapping[str, float] | None = None,
    kind: Kind = "test clip",
) -> tuple[list[AnnotationRow], list[str]]:
    """Find all problems of an annotation file, where reading it would stop at the first.

    Args:
        path: Annotations of any format.
        clip_seconds: Length of clips that are not in ``seconds``.
        types: Valid types of anomaly; any if empty.
        clips: Test clips that the rows may name; any if None.
        seconds: Length of each clip by name.
        kind: What the rows name; a recording may have labels of several types, also at the same time.

    Returns:
        The rows that can be read, and a line for each problem.
    """
    found = list(read_rows(path))
    rows = [row for row in found if isinstance(row, AnnotationRow)]
    problems = [str(error) for error in found if isinstance(error, DataError)]
    if annotation_format(path) == "authors":
        problems += authors.disagreements(read_table(path))
    by_stem = None if clips is None else clips_by_stem(clips)
    for row in rows:
        name, label, length = row.file, 1, clip_seconds
        if by_stem is not None:
            try:
                clip = clip_of(row, by_stem, path, kind)
            except DataError as error:
                problems.append(str(error))
            else:
                name, label, length = clip.name, clip.label, (seconds or {}).get(clip.name, clip_seconds)
        problems += row_problems(row, name, label, length, path, kind)
        if types and row.anomaly_type and row.anomaly_type not in types:
            known = ", ".join(sorted(types))
            problems.append(
                f"{path} row {row.number}: {row.file} is of type {quoted(row.anomaly_type)}, not of {known}"
            )
    for name, of_clip in by_clip(rows).items():
        if kind == "test clip":
            problems += [*type_problems(of_clip, name, path), *_overlaps(of_clip, path)]
            continue
        for anomaly_type in dict.fromkeys(row.anomaly_type for row in of_clip):
            problems += _overlaps([row for row in of_clip if row.anomaly_type == anomaly_type], path)
    return rows, problems


def _overlaps(rows: Sequence[AnnotationRow], path: Path) -> Iterator[str]:
    """Compare each interval of a clip with the earlier one that ends last."""
    placed = sorted((interval, row.number) for row in rows for interval in row.intervals if interval[0] <= interval[1])
    if not placed:
        return
    (before, _), *others = placed
    for interval, number in others:
        start, end = (f"{bound:.10g}" for bound in interval)
        if interval == before:
            yield f"{path} row {number}: {rows[0].file} has the interval from {start} s to {end} s twice"
        elif interval[0] < before[1]:
            other = f"{before[0]:.10g} s to {before[1]:.10g} s"
            yield f"{path} row {number}: {rows[0].file} has {start} s to {end} s overlap {other}"
        before = max(before, interval, key=lambda bounds: bounds[1])
