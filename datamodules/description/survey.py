"""Every clip of a data set, measured."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Literal

from datamodules.annotations import ANNOTATION_FILE, annotate, read_annotations
from datamodules.audio import Channel, require_channel_index
from datamodules.description.measure import Measured, measure
from datamodules.errors import DataError, require
from datamodules.frontend import DCASE_FRONT_END, FrontEndSettings
from datamodules.layouts import (
    Clip,
    Layout,
    folders_with,
    is_dcase_machine,
    looks_like_dcase,
    mimii_sections,
    require_folder,
    scan_audio_folder,
    scan_dcase,
    scan_mimii,
    scan_planer,
)
from datamodules.progress import track_clips

LayoutName = Literal["planer", "dcase", "folder", "mimii"]

TRAINING, TEST = "training", "test"
NORMAL = "normal"


@dataclass(frozen=True)
class SurveyedClip:
    """A clip of a split and its measurements, or the problem for which it cannot be used."""

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
        """Its folder relative to the root."""
        return PurePosixPath(self.clip.name).parent.as_posix()


@dataclass(frozen=True)
class Survey:
    """A data set on disk."""

    root: Path
    layout: LayoutName
    clips: tuple[SurveyedClip, ...]  # training before test
    annotations_problem: str = ""  # why the annotation file cannot be used
    test_problem: str = ""  # why nothing can be tested
    left_out: tuple[Path, ...] = ()  # files that cannot be read as clips
    channel: Channel = "mix"  # that was measured


def survey(
    root: Path,
    layout: LayoutName | None = None,
    annotations: Path | None = None,
    workers: int | None = None,
    channel: Channel = "mix",
) -> Survey:
    """Measure every clip of a data set; clips that cannot be used are part of the result.

    The root of DCASE and MIMII data is the folder of all machines, or of one. The layout is detected by default, and
    the annotations are ``annotations.csv`` in the root, if there. One clip per core is read at a time by default.

    Raises:
        DataError: The root does not have the layout, or any layout, or a number is out of range.
    """
    require_channel_index(channel)
    require(workers is None or workers >= 1, "workers", workers or 0, "at least 1")
    layout = layout or find_layout(root)
    scanned = scan_layout(root, layout)
    placed = [(TRAINING, clip) for clip in scanned.training] + [(TEST, clip) for clip in scanned.labelled]
    with ThreadPoolExecutor(workers or os.cpu_count() or 1) as pool:
        surveyed = pool.map(partial(_survey_clip, channel=channel), placed)
        clips = list(track_clips(surveyed, "Reading clips", len(placed)))
    annotated, problem = _annotated(clips, annotations, root)
    return Survey(root, layout, tuple(annotated), problem, scanned.test_problem, scanned.left_out, channel)


def find_layout(root: Path) -> LayoutName:
    """Detect the layout of a folder by the folders inside; raises a DataError if it has none of the layouts."""
    require_folder(root)
    if (root / "training").is_dir() or (root / "evaluation").is_dir():
        return "planer"
    if (root / "test" / "normal").is_dir() or (root / "test" / "anomaly").is_dir():
        return "folder"
    if is_dcase_machine(root):
        return "dcase" if looks_like_dcase(root / "train") else "folder"
    if folders_with(root, is_dcase_machine):
        return "dcase"
    if mimii_sections(root) or folders_with(root, mimii_sections):
        return "mimii"
    raise DataError(
        f"{root} has none of the layouts: planer (training/, evaluation/), dcase (MACHINE/train/, MACHINE/test/), "
        f"folder (train/, test/normal/, test/anomaly/), mimii (MACHINE/ID/normal/, MACHINE/ID/abnormal/)"
    )


def default_front_end(layout: LayoutName) -> FrontEndSettings:
    """The front end that the DataModule of a layout has by default."""
    return DCASE_FRONT_END if layout in ("dcase", "mimii") else FrontEndSettings()


def scan_layout(root: Path, layout: LayoutName) -> Layout:
    """List the clips of a data set, of DCASE and MIMII data those of all machines or of the one that the root is.

    Raises:
        DataError: The root does not have the layout.
    """
    if layout in ("planer", "folder"):
        return scan_planer(root) if layout == "planer" else scan_audio_folder(root)
    scan: Callable[[Path, str], Layout] = scan_dcase if layout == "dcase" else scan_mimii
    is_machine: Callable[[Path], object] = is_dcase_machine if layout == "dcase" else mimii_sections
    if is_machine(root):
        root = root.absolute()
        return scan(root.parent, root.name)
    machines = [scan(root, machine) for machine in folders_with(root, is_machine)]
    if not machines:
        inside = "a train/" if layout == "dcase" else "an id_00/normal/"
        raise DataError(f"{root} does not have the {layout.upper()} layout: no folder there has {inside} inside")
    return Layout(
        training=tuple(clip for machine in machines for clip in machine.training),
        labelled=tuple(clip for machine in machines for clip in machine.labelled),
        test_problem=next((machine.test_problem for machine in machines if machine.test_problem), ""),
        left_out=tuple(path for machine in machines for path in machine.left_out),
    )


def _survey_clip(placed: tuple[str, Clip], channel: Channel) -> SurveyedClip:
    split, clip = placed
    try:
        return SurveyedClip(clip, split, measure(clip.path, channel))
    except DataError as error:
        return SurveyedClip(clip, split, None, str(error))


def _annotated(
    clips: Sequence[SurveyedClip], annotations: Path | None, root: Path
) -> tuple[Iterable[SurveyedClip], str]:
    """The clips with their intervals, and why the annotation file cannot be used, if so."""
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
