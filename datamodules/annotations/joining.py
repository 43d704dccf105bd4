"""Joining annotations to the clips of a data set."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from datamodules.annotations.rows import AnnotationRow, bare_name
from datamodules.errors import DataError, quoted
from datamodules.layouts import UNNAMED_ANOMALY, Clip


def annotate(
    clips: Sequence[Clip], rows: Sequence[AnnotationRow], seconds: Mapping[str, float], source: Path
) -> tuple[Clip, ...]:
    """Join annotations to clips.

    A row means the clip of that name, or else the one whose file name is the same but for folder and suffix.
    A type given in the rows replaces the type of clips whose data set names none.

    Args:
        clips: Clips of the test set.
        rows: What :func:`read_annotations` gave.
        seconds: Duration of each clip by name.
        source: The annotation file, for messages.

    Returns:
        The clips, in the same order, with their intervals.

    Raises:
        DataError: A row names no clip, several clips or a normal clip, has an interval that is reversed or
            reaches out of the clip, or contradicts another row's type.
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


def clip_of(row: AnnotationRow, by_stem: Mapping[str, Sequence[Clip]], source: Path) -> Clip:
    """The clip that a row means.

    Raises:
        DataError: There is none, or there are several.
    """
    name = bare_name(row.file)
    candidates = by_stem.get(PurePosixPath(name).name) or by_stem.get(PurePosixPath(name).stem, ())
    matches = [clip for clip in candidates if bare_name(clip.name) == name] or candidates
    if len(matches) != 1:
        problem = f"is the name of {len(matches)} clips, give its folder" if matches else "is not among the test clips"
        raise DataError(f"{source} row {row.number}: {quoted(row.file)} {problem}")
    return matches[0]


def row_problems(row: AnnotationRow, name: str, label: int, seconds: float, source: Path) -> Iterator[str]:
    """Tell what is wrong with the intervals of a row.

    Args:
        row: The row.
        name: The clip it means.
        label: 0 if that clip is normal, which cannot be annotated.
        seconds: Its length, infinite where that is not known.
        source: The annotation file.
    """
    if row.intervals and label == 0:
        yield f"{source} row {row.number}: {name} is a normal clip and cannot be annotated"
    for start, end in row.intervals:
        interval = f"{source} row {row.number}: the interval from {start:.10g} s to {end:.10g} s of {name}"
        if start > end:
            yield f"{interval} is reversed"
        if start < 0 or end > seconds:
            lasts = "" if math.isinf(seconds) else f"; the clip lasts {seconds:.10g} s"
            yield f"{interval} is out of range{lasts}"


def type_problems(rows: Sequence[AnnotationRow], name: str, source: Path) -> Iterator[str]:
    """Tell which rows of a clip are of another type than the first that gives one."""
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
    """Raise the first of some problems as a DataError, if there is any."""
    for problem in problems:
        raise DataError(problem)
