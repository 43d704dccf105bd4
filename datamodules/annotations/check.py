"""Everything that is wrong with a file of annotations, where reading it would stop at the first."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

from datamodules.annotations import authors
from datamodules.annotations.joining import clip_of, clips_by_stem, row_problems, type_problems
from datamodules.annotations.reading import annotation_format, read_annotations
from datamodules.annotations.rows import AnnotationRow, by_clip
from datamodules.annotations.table import read_table
from datamodules.errors import DataError, quoted
from datamodules.layouts import Clip


def check_annotations(
    path: Path,
    clip_seconds: float = 10.0,
    types: Collection[str] = (),
    clips: Sequence[Clip] | None = None,
    seconds: Mapping[str, float] | None = None,
) -> tuple[list[AnnotationRow], list[str]]:
    """Look for rows that cannot be read, contradict themselves or one another, or name what is not there.

    Args:
        path: Annotations of any format.
        clip_seconds: Length of the clips in seconds, where ``seconds`` does not say it.
        types: Types of anomaly that there are; any if empty.
        clips: Test clips that the rows may name; any if None.
        seconds: Length of each clip by name.

    Returns:
        The rows that can be read, and a line for each problem.

    Raises:
        DataError: The file cannot be read at all.
    """
    problems: list[str] = []
    rows = read_annotations(path, lambda error: problems.append(str(error)))
    if annotation_format(path) == "authors":
        problems += authors.disagreements(read_table(path))
    by_stem = None if clips is None else clips_by_stem(clips)
    for row in rows:
        name, label, length = row.file, 1, clip_seconds
        if by_stem is not None:
            try:
                clip = clip_of(row, by_stem, path)
            except DataError as error:
                problems.append(str(error))
            else:
                name, label, length = clip.name, clip.label, (seconds or {}).get(clip.name, clip_seconds)
        problems += row_problems(row, name, label, length, path)
        if types and row.anomaly_type and row.anomaly_type not in types:
            known = ", ".join(sorted(types))
            problems.append(
                f"{path} row {row.number}: {row.file} is of type {quoted(row.anomaly_type)}, not of {known}"
            )
    for name, of_clip in by_clip(rows).items():
        problems += type_problems(of_clip, name, path)
        problems += _overlaps(of_clip, path)
    return rows, problems


def _overlaps(rows: Sequence[AnnotationRow], path: Path) -> Iterator[str]:
    """Compare each interval of a clip with the one before it that reaches furthest."""
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
