"""`faithful-aad annotations`: checks annotations, counts them as the paper's tables do, and converts them."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from rich.console import Console

from datamodules.annotations import AnnotationRow, annotation_format, check_annotations, convert_annotations, frame_mask
from datamodules.annotations.rows import by_clip
from datamodules.audio import sound_seconds
from datamodules.errors import DataError
from datamodules.layouts import UNNAMED_ANOMALY, Clip, scan_audio_folder, scan_files, scan_planer
from datamodules.spectrograms import AUDIO_SUFFIXES
from experiments.report import published
from experiments.report.clips_table import ClipCounts, counts_table
from experiments.report.table import print_table
from lightning_modules.wording import counted
from metrics.functional.segments import hit_segments

_FRAMES_PER_SECOND = 40


def check(files: list[str], root: str | None = None, seconds: float = 10.0, types: list[str] | None = None) -> None:
    """Print what is wrong with annotations, and how many clips of each type they name and annotate.

    Exits with status 1 if anything is wrong.

    Args:
        files: CSVs of annotations, label tracks of Audacity, or folders of label tracks, each checked by itself.
        root: Folder of the data set, which must contain every clip that is named.
        seconds: Length of a clip without a sound file, s.
        types: Valid types of anomaly, as in [bang,hiss]; by default the folders of the data set, or the paper's for
            the authors' CSV.

    Raises:
        DataError: A file or the data set cannot be read.
    """
    if not 0 < seconds < math.inf:
        raise DataError(f"--seconds is {seconds:g}; it must be above 0")
    data = None if root is None else _DataSet.scan(Path(root), seconds)
    console = Console(highlight=False)
    n_problems = 0
    for file in files:
        path = Path(file)
        if not path.exists():
            raise DataError(f"{path} does not exist; name a file of annotations or a folder of label tracks")
        known = types or _known_types(path, data)
        if data is None:
            rows, problems = check_annotations(path, seconds, known)
        else:
            rows, problems = check_annotations(path, seconds, known, data.test, data.seconds)
        for problem in problems:
            print(problem)
        print(f"{path}: {counted(len(problems), 'problem')}")
        table = counts_table(_counts(rows, seconds, data))
        narrow = tuple(column for column in table.header if column != "Share")
        print_table(console, replace(table, brief=narrow))
        n_problems += len(problems)
    if n_problems:
        sys.exit(1)


def convert(
    file: str,
    to: Literal["authors", "audacity", "csv"],
    output: str,
    seconds: float = 10.0,
    manifest: str | None = None,
) -> None:
    """Write annotations in another format: the planer authors' CSV, label tracks of Audacity, or a plain CSV.

    Args:
        file: CSV of annotations, label track of Audacity, or folder of label tracks.
        to: Format to write.
        output: File to write, or for Audacity a folder, with one label track per clip.
        seconds: Length of a clip, s; it determines the position in its minute of a clip named …_K.
        manifest: The manifest.csv of sliced recordings, if the annotations are of whole recordings.

    Raises:
        DataError: As `convert_annotations`.
    """
    intervals = convert_annotations(
        Path(file), to, Path(output), seconds, None if manifest is None else Path(manifest)
    )  # fmt: skip
    print(f"{intervals:,} intervals in {output}")


@dataclass(frozen=True)
class _DataSet:
    """Clips of a data set.

    Attributes:
        test: Test clips.
        training: Number of training clips, None where the folders do not say.
        normal: Number of normal test clips, None where the folders do not say.
        seconds: Length of each test clip in seconds by its name.
    """

    test: Sequence[Clip]
    training: int | None
    normal: int | None
    seconds: dict[str, float]

    @classmethod
    def scan(cls, root: Path, clip_seconds: float) -> _DataSet:
        if not root.is_dir():
            raise DataError(f"--root {root} is not a folder; name the folder of the data set")
        if not (root / "evaluation").is_dir() and not (root / "test").is_dir():
            # No folder says which clips are normal, so any may be annotated.
            clips = [replace(clip, label=1, anomaly_type=UNNAMED_ANOMALY) for clip in scan_files(root).test]
            return cls(clips, None, None, _lengths(clips, clip_seconds))
        layout = scan_planer(root) if (root / "evaluation").is_dir() else scan_audio_folder(root)
        normal = sum(clip.label == 0 for clip in layout.test)
        return cls(layout.test, len(layout.training), normal, _lengths(layout.test, clip_seconds))


def _lengths(clips: Sequence[Clip], clip_seconds: float) -> dict[str, float]:
    return {
        clip.name: sound_seconds(clip.path) if clip.path.suffix.lower() in AUDIO_SUFFIXES else clip_seconds
        for clip in clips
        if clip.label
    }


def _known_types(path: Path, data: _DataSet | None) -> set[str]:
    """Types that annotations may have, empty for any."""
    named = {clip.anomaly_type for clip in data.test} - {"", UNNAMED_ANOMALY} if data else set()
    return named or (set(published.ANOMALOUS_CLIPS) if annotation_format(path) == "authors" else set())


def _counts(rows: Sequence[AnnotationRow], seconds: float, data: _DataSet | None) -> ClipCounts:
    """Count the clips that annotations name, and the normal ones of the data set."""
    anomalous: dict[str, int] = {}
    lengths: dict[str, list[tuple[float, float]]] = {}
    for of_clip in by_clip(rows).values():
        kind = next((row.anomaly_type for row in of_clip if row.anomaly_type), "")
        anomalous[kind] = anomalous.get(kind, 0) + 1
        intervals = [interval for row in of_clip for interval in row.intervals if 0 <= interval[0] <= interval[1]]
        if intervals:
            frames = frame_mask(intervals, round(seconds * _FRAMES_PER_SECOND), _FRAMES_PER_SECOND)
            hits = hit_segments(frames, _FRAMES_PER_SECOND)
            lengths.setdefault(kind, []).append((float(hits.sum()), float(hits.float().mean())))
    return ClipCounts(
        anomalous=anomalous,
        annotated={kind: len(of_kind) for kind, of_kind in lengths.items()},
        lengths=lengths,
        normal=None if data is None else data.normal,
        training=None if data is None else data.training,
        planer=bool(anomalous) and set(anomalous) <= set(published.ANOMALOUS_CLIPS),
    )
