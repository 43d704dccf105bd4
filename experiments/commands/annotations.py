"""`faithful-aad annotations`: checks annotations, counts them as the paper's tables do, and converts them."""

from __future__ import annotations

import math
import sys
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from rich.console import Console

from datamodules.annotations import AnnotationRow, annotation_format, check_annotations, convert_annotations, frame_mask
from datamodules.annotations.rows import bare_name, by_clip
from datamodules.audio import sound_seconds
from datamodules.errors import DataError
from datamodules.layouts import UNNAMED_ANOMALY, Clip, scan_audio_folder, scan_files, scan_planer
from datamodules.spectrograms import clip_seconds
from experiments.report.table import Cell, Table, print_table
from lightning_modules.wording import counted
from metrics.functional.segments import hit_segments

_FRAMES_PER_SECOND = 40


def check(
    files: list[str],
    root: str | None = None,
    seconds: float | None = None,
    types: list[str] | None = None,
    recordings: str | None = None,
) -> None:
    """Print what is wrong with annotations, and how many clips or labels of each type there are.

    Exits with status 1 if anything is wrong.

    Args:
        files: CSVs of annotations, label tracks of Audacity, or folders of label tracks, each checked by itself.
        root: Folder of the data set, which must contain every clip that is named.
        seconds: Length of the clips in s, after which no interval may end; by default that of the files of the data
            set, and without those none.
        types: Valid types of anomaly, as in [bang,hiss]; by default the folders of the data set, or the paper's for
            the authors' CSV.
        recordings: A recording or a folder of recordings of any length, in place of root, if the annotations are about
            these; a recording may have labels of several types.

    Raises:
        DataError: A file or the data set cannot be read.
    """
    if seconds is not None and not 0 < seconds < math.inf:
        raise DataError(f"--seconds is {seconds:g}; it must be above 0")
    if root is not None and recordings is not None:
        raise DataError("--root and --recordings are both given; choose what the annotations are about")
    data = None if root is None else _DataSet.scan(Path(root), seconds)
    if recordings is not None:
        data = _DataSet.of_recordings(Path(recordings))
    console = Console(highlight=False)
    n_problems = 0
    for file in files:
        path = Path(file)
        if not path.exists():
            raise DataError(f"{path} does not exist; name a file of annotations or a folder of label tracks")
        known = types or _known_types(path, data)
        rows, problems = check_annotations(
            path,
            seconds or math.inf,
            known,
            data.test if data else None,
            data.seconds if data else None,
            "test clip" if recordings is None else "recording",
        )
        for problem in problems:
            print(problem)
        print(f"{path}: {counted(len(problems), 'problem')}")
        table = _table(rows, data) if recordings is None else _label_table(rows)
        if table.rows:
            print_table(console, table)
        n_problems += len(problems)
    if n_problems:
        sys.exit(1)


def convert(
    file: str,
    to: Literal["authors", "audacity", "csv"],
    output: str,
    seconds: float = 10.0,
    manifest: str | None = None,
    timeline: Literal["clips", "recordings"] = "clips",
) -> None:
    """Write annotations in another format: the planer authors' CSV, label tracks of Audacity, or a plain CSV.

    Args:
        file: CSV of annotations, label track of Audacity, or folder of label tracks.
        to: Format to write.
        output: File to write, or for Audacity a folder, with one label track per clip.
        seconds: Length of a clip, s; it determines the position in its minute of a clip named …_K.
        manifest: The manifest.csv of the clips that were cut from recordings, to go from one to the other.
        timeline: With a manifest, what the output is about: clips, at whose borders labels of recordings are cut, or
            recordings, to which labels of clips are joined.

    Raises:
        DataError: As `convert_annotations`.
    """
    listed = None if manifest is None else Path(manifest)
    intervals = convert_annotations(Path(file), to, Path(output), seconds, listed, timeline)
    print(f"{intervals:,} intervals in {output}")


@dataclass(frozen=True)
class _DataSet:
    """Clips of a data set.

    Attributes:
        test: Test clips.
        training: Number of training clips, NaN where the folders do not say.
        normal: Number of normal test clips, NaN where the folders do not say.
        seconds: Length of each test clip in seconds by its name.
    """

    test: Sequence[Clip]
    training: float
    normal: float
    seconds: dict[str, float]

    @classmethod
    def scan(cls, root: Path, seconds: float | None) -> _DataSet:
        if not root.is_dir():
            raise DataError(f"--root {root} is not a folder; name the folder of the data set")
        if not (root / "evaluation").is_dir() and not (root / "test").is_dir():
            # No folder says which clips are normal, so any may be annotated.
            clips = [replace(clip, label=1, anomaly_type=UNNAMED_ANOMALY) for clip in scan_files(root).test]
            return cls(clips, math.nan, math.nan, _lengths(clips, seconds))
        layout = scan_planer(root) if (root / "evaluation").is_dir() else scan_audio_folder(root)
        normal = sum(clip.label == 0 for clip in layout.test)
        return cls(layout.test, len(layout.training), normal, _lengths(layout.test, seconds))

    @classmethod
    def of_recordings(cls, path: Path) -> _DataSet:
        clips = [replace(clip, label=1, anomaly_type=UNNAMED_ANOMALY) for clip in scan_files(path).test]
        return cls(clips, math.nan, math.nan, {clip.name: sound_seconds(clip.path) for clip in clips})


def _lengths(clips: Sequence[Clip], seconds: float | None) -> dict[str, float]:
    return {clip.name: seconds or clip_seconds(clip.path, _FRAMES_PER_SECOND) for clip in clips if clip.label}


def _known_types(path: Path, data: _DataSet | None) -> set[str]:
    """Types that annotations may have, empty for any."""
    from experiments.report import published  # noqa: PLC0415  loads pandas, which takes half a second

    named = {clip.anomaly_type for clip in data.test} - {"", UNNAMED_ANOMALY} if data else set()
    return named or (set(published.ANOMALOUS_CLIPS) if annotation_format(path) == "authors" else set())


def _label_table(rows: Sequence[AnnotationRow]) -> Table:
    """Count the labels of recordings by type."""
    labels: dict[str, list[tuple[str, float]]] = defaultdict(list)
    for row in rows:
        labels[row.anomaly_type] += [(bare_name(row.file), max(end - start, 0.0)) for start, end in row.intervals]
    body = [
        (
            Cell(kind or "unnamed"),
            Cell(f"{len({name for name, _ in of_kind}):,}"),
            Cell(f"{len(of_kind):,}"),
            Cell(f"{sum(seconds for _, seconds in of_kind):.1f}"),
        )
        for kind, of_kind in sorted(labels.items())
        if of_kind
    ]
    return Table("Labels of recordings", "", ("Type", "Recordings", "Labels", "Seconds"), (tuple(body),), names=1)


def _table(rows: Sequence[AnnotationRow], data: _DataSet | None) -> Table:
    """Count the clips that annotations name, and the normal ones of the data set."""
    import pandas as pd  # noqa: PLC0415  takes half a second

    from experiments.report import published  # noqa: PLC0415
    from experiments.report.clips_table import counts_table  # noqa: PLC0415

    clips = []
    for of_clip in by_clip(rows).values():
        kind = next((row.anomaly_type for row in of_clip if row.anomaly_type), "")
        intervals = [interval for row in of_clip for interval in row.intervals if 0 <= interval[0] <= interval[1]]
        n_seconds = math.ceil(max((end for _, end in intervals), default=0)) + 1  # a point annotates a second too
        frames = frame_mask(intervals, n_seconds * _FRAMES_PER_SECOND, _FRAMES_PER_SECOND)
        seconds = float(hit_segments(frames, _FRAMES_PER_SECOND).sum()) if intervals else math.nan
        clips.append((kind, bool(intervals), seconds, math.nan))
    anomalous = pd.DataFrame(clips, columns=["anomaly_type", "annotated", "seconds", "share"])
    types = set(anomalous["anomaly_type"])
    table = counts_table(
        anomalous,
        math.nan if data is None else data.normal,
        math.nan if data is None else data.training,
        planer=bool(types) and types <= set(published.ANOMALOUS_CLIPS),
    )
    return replace(table, is_detail=False)
