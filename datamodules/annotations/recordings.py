"""Annotations of whole recordings as annotations of the clips that were cut from them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

from datamodules.annotations.rows import AnnotationRow, bare_name, decimal
from datamodules.errors import DataError
from datamodules.recordings.manifest import Manifest, ManifestRow


def cut_at_clips(rows: Iterable[AnnotationRow], manifest: Path) -> Iterator[AnnotationRow]:
    """Cut the intervals of recordings at the clips' borders; rows of clips go through as they are.

    Args:
        rows: Rows of recordings, in seconds from each one's start, and of clips.
        manifest: What slicing wrote (:func:`~datamodules.recordings.slice_recordings`).

    Raises:
        DataError: The manifest cannot be read, or an interval reaches behind the recording's last clip.
    """
    if not manifest.is_file():
        raise DataError(f"--manifest {manifest} is not a file; name the manifest.csv of sliced recordings")
    rows = list(rows)
    wanted = {bare_name(row.file) for row in rows}
    clips_of: dict[str, list[ManifestRow]] = defaultdict(list)
    for clip in Manifest(manifest).rows():
        if bare_name(clip.source) in wanted:
            clips_of[bare_name(clip.source)].append(clip)
    for row in rows:
        clips = clips_of.get(bare_name(row.file))
        if clips is None:
            yield row
            continue
        for start, end in row.intervals:
            if end > max(clip.offset + clip.duration for clip in clips):
                raise DataError(f"{decimal(start)} s to {decimal(end)} s of {row.file} lie behind its last clip")
            for clip in clips:
                inside = max(start - clip.offset, 0.0), min(end - clip.offset, float(clip.duration))
                if inside[0] < inside[1]:
                    yield AnnotationRow(row.number, clip.clip, (inside,), row.anomaly_type)
