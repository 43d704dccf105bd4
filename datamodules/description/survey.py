"""Every clip of a data set, measured."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Literal

from rich.progress import track

from datamodules.annotations import ANNOTATION_FILE, annotate, read_annotations
from datamodules.audio import Channel
from datamodules.description.measure import Measured, measure
from datamodules.errors import DataError
from datamodules.layouts import (
    Clip,
    Layout,
    looks_like_dcase,
    mimii_sections,
    scan_audio_folder,
    scan_dcase,
    scan_mimii,
    scan_planer,
)
from datamodules.progress import progress_console

LayoutName = Literal["planer", "dcase", "folder", "mimii"]

TRAINING, TEST = "training", "test"
NORMAL = "normal"


@dataclass(frozen=True)
class SurveyedClip:
    """A clip and what is known of it.

    Attributes:
        clip: The clip, with its annotated intervals.
        split: "training" or "test".
        measured: What its file holds; ``None`` if it cannot be used.
        problem: Why it cannot be used, else "".
    """

    clip: Clip
    split: str
    measured: Measured | None
    problem: str = ""

    @property
    def kind(self) -> str:
        """Type of the anomaly, or "normal"."""
        return self.clip.anomaly_type or NORMAL

    @property
    def folder(self) -> str:
        """Where it lies, relative to the root."""
        return PurePosixPath(self.clip.name).parent.as_posix()


@dataclass(frozen=True)
class Survey:
    """A data set as it lies on disk.

    Attributes:
        root: Its folder.
        layout: How its clips are laid out.
        clips: All of them, training before test.
        annotations_problem: Why the annotation file cannot be used, else "".
        test_problem: Why nothing can be tested, else "".
        left_out: Files in the folders of clips that cannot be read as clips.
        channel: Channel of the recordings that was measured.
    """

    root: Path
    layout: LayoutName
    clips: tuple[SurveyedClip, ...]
    annotations_problem: str = ""
    test_problem: str = ""
    left_out: tuple[Path, ...] = ()
    channel: Channel = "mix"


def survey(
    root: Path,
    layout: LayoutName | None = None,
    annotations: Path | None = None,
    workers: int | None = None,
    channel: Channel = "mix",
) -> Survey:
    """Measure every clip of a data set, several at a time.

    A clip that cannot be used is part of the result; what stays in memory of one that can is a hundred numbers.

    Args:
        root: Folder of the data set; of DCASE and MIMII the folder of all machines, or of one.
        layout: How the clips lie there; found out by default.
        annotations: CSV of annotated intervals, ``annotations.csv`` in the root by default, if there.
        workers: Clips read at a time, one per core by default.
        channel: Which channel of the recordings is trained on.

    Raises:
        DataError: The root has none of the layouts or not the one that is named, or a number is out of range.
    """
    if channel != "mix" and channel < 0:
        raise DataError(f"--channel is {channel}; it must be the index of a channel from 0, or mix")
    if workers is not None and workers < 1:
        raise DataError(f"--workers is {workers}; it must be at least 1, to read the clips")
    layout = layout or find_layout(root)
    scanned = _scan(root, layout)
    placed = [(TRAINING, clip) for clip in scanned.training] + [(TEST, clip) for clip in scanned.labelled]
    with ThreadPoolExecutor(workers or os.cpu_count() or 1) as pool:
        surveyed = pool.map(partial(_survey_clip, channel=channel), placed)
        clips = list(track(surveyed, "Reading clips", len(placed), console=progress_console(), transient=True))
    annotated, problem = _annotated(clips, annotations, root)
    return Survey(root, layout, tuple(annotated), problem, scanned.test_problem, scanned.left_out, channel)


def find_layout(root: Path) -> LayoutName:
    """Which layout a folder has, by the folders inside.

    Raises:
        DataError: None of them.
    """
    if not root.is_dir():
        raise DataError(f"{root} is not a folder; name the folder of a data set")
    if (root / "training").is_dir() or (root / "evaluation").is_dir():
        return "planer"
    if (root / "test" / "normal").is_dir() or (root / "test" / "anomaly").is_dir():
        return "folder"
    if _is_machine(root):
        return "dcase" if looks_like_dcase(root / "train") else "folder"
    if _machines(root):
        return "dcase"
    if mimii_sections(root) or _mimii_machines(root):
        return "mimii"
    raise DataError(
        f"{root} has none of the layouts: planer (training/, evaluation/), dcase (MACHINE/train/, MACHINE/test/), "
        f"folder (train/, test/normal/, test/anomaly/), mimii (MACHINE/ID/normal/, MACHINE/ID/abnormal/)"
    )


def _scan(root: Path, layout: LayoutName) -> Layout:
    if layout in ("planer", "folder"):
        return scan_planer(root) if layout == "planer" else scan_audio_folder(root)
    scan, is_machine, names = (
        (scan_dcase, _is_machine, _machines) if layout == "dcase" else (scan_mimii, mimii_sections, _mimii_machines)
    )
    if is_machine(root):
        root = root.absolute()
        return scan(root.parent, root.name)
    machines = [scan(root, machine) for machine in names(root)]
    if not machines:
        inside = "a train/" if layout == "dcase" else "an id_00/normal/"
        raise DataError(f"{root} does not have the {layout.upper()} layout: no folder there has {inside} inside")
    return Layout(
        training=tuple(clip for machine in machines for clip in machine.training),
        labelled=tuple(clip for machine in machines for clip in machine.labelled),
        test_problem=next((machine.test_problem for machine in machines if machine.test_problem), ""),
        left_out=tuple(path for machine in machines for path in machine.left_out),
    )


def _is_machine(folder: Path) -> bool:
    return (folder / "train").is_dir()


def _machines(root: Path) -> list[str]:
    return sorted(folder.name for folder in root.iterdir() if _is_machine(folder)) if root.is_dir() else []


def _mimii_machines(root: Path) -> list[str]:
    return sorted(folder.name for folder in root.iterdir() if mimii_sections(folder)) if root.is_dir() else []


def _survey_clip(placed: tuple[str, Clip], channel: Channel) -> SurveyedClip:
    split, clip = placed
    try:
        return SurveyedClip(clip, split, measure(clip.path, channel))
    except DataError as error:
        return SurveyedClip(clip, split, None, str(error).replace("--data.", "--"))


def _annotated(
    clips: Sequence[SurveyedClip], annotations: Path | None, root: Path
) -> tuple[Iterable[SurveyedClip], str]:
    """The clips with their intervals; those of a file that does not fit are left out and the reason given."""
    path = annotations or root / ANNOTATION_FILE
    if annotations is None and not path.exists():
        return clips, ""
    test = [clip for clip in clips if clip.split == TEST]
    seconds = {clip.clip.name: clip.measured.seconds if clip.measured else math.inf for clip in test}
    try:
        annotated = annotate([clip.clip for clip in test], read_annotations(path), seconds, path)
    except DataError as error:
        return clips, str(error)
    by_name = {clip.name: clip for clip in annotated}
    return [replace(clip, clip=by_name.get(clip.clip.name, clip.clip)) for clip in clips], ""
