"""A labelled test set of clips from recordings of any length and the labels on them."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from rich.progress import Progress

from datamodules.annotations.joining import clip_of, clips_by_stem, raise_first, row_problems
from datamodules.annotations.reading import ANNOTATION_FILE, read_annotations, write_plain
from datamodules.annotations.rows import AnnotationRow, Interval
from datamodules.annotations.timelines import PlacedClip, pieces
from datamodules.audio import Channel, ChannelTally, SoundInfo, require_channel_index
from datamodules.errors import DataError, require
from datamodules.files import written_as_a_whole
from datamodules.layouts import Clip
from datamodules.progress import progress_console
from datamodules.recordings.cutting import FORMATS, clip_subtype, cut
from datamodules.recordings.manifest import MANIFEST_FILE, ManifestRow, file_sha256, write_manifest
from datamodules.recordings.plan import Recording, find_recordings, reject_same_names
from datamodules.recordings.windows import LEFT_OUT_S, window_starts
from lightning_modules.files import whole_file

TEST_FOLDER = "test"
NORMAL, ANOMALY = "normal", "anomaly"
"""Folders of the clips in the folder of the test set, as the audio-folder layout has them."""


class LabelledSet(NamedTuple):
    """What :func:`cut_testset` has written and left out.

    Attributes:
        normal: Number of normal clips.
        anomalous: Number of anomalous clips.
        near: Number of windows that are left out because a label is near.
        several_types: Number of clips with labels of several types.
        unlabelled: Recordings without labels, all of whose windows are normal.
        unplaced: Recordings that are left out because they are labelled as anomalous without saying when.
        shorter: Length in s of recordings that are left out because they are shorter than a clip.
        left_out: Files that are not recordings.
        mixed: Levels of the recordings that were mixed down.
    """

    normal: int
    anomalous: int
    near: int
    several_types: int
    unlabelled: list[str]
    unplaced: list[str]
    shorter: dict[str, float]
    left_out: list[Path]
    mixed: dict[Path, SoundInfo]


def cut_testset(
    recordings: Path,
    labels: Path,
    output: Path,
    clip_seconds: float = 10.0,
    hop: float | None = None,
    guard: float = 1.0,
    audio_format: str = "wav",
    channel: Channel = "mix",
) -> LabelledSet:
    """Cut recordings into normal and anomalous test clips by labels on the recordings.

    A window that overlaps a label is anomalous, one that is closer than the guard distance to a label is left out, and
    every other one is normal. Memory does not depend on the length of a recording, whose samples are kept as slicing
    keeps them. Nothing is left behind where a recording is damaged.

    Args:
        recordings: A recording, or a folder of them.
        labels: Annotations of the recordings in any format. A recording that they do not name, or only with an empty
            label track, is normal as a whole.
        output: Root of an audio folder, new or without test clips. Written are ``test/normal/`` and ``test/anomaly/``
            with clips named after recording and time, ``annotations.csv`` with the labels of the clips, and
            ``manifest.csv`` with the position of each clip in its recording.
        clip_seconds: Length of a clip in s.
        hop: Seconds from clip to clip, at most the length of one, so that no label is lost; by default that length.
        guard: Seconds from a label within which a window without it is neither normal nor anomalous.
        audio_format: ``wav`` or ``flac``.
        channel: Index of a channel from 0, or ``mix``.

    Raises:
        DataError: An option is out of range, a label is outside its recording or names none, no clip is normal or none
            anomalous, a recording is damaged, or ``output`` has test clips already or cannot be written.
    """
    hop = clip_seconds if hop is None else hop
    require(LEFT_OUT_S <= clip_seconds < math.inf, "the length of a clip", f"{clip_seconds:g} s", "at least 0.1 s")
    require(LEFT_OUT_S <= hop <= clip_seconds, "hop", f"{hop:g} s", f"from 0.1 s to the {clip_seconds:g} s of a clip")
    require(0 <= guard < math.inf, "guard", f"{guard:g} s", "at least 0")
    require(audio_format in FORMATS, "the format of clips", repr(audio_format), " or ".join(FORMATS))
    require_channel_index(channel)
    if recordings.is_dir() and output.resolve().is_relative_to(recordings.resolve()):
        raise DataError(f"the output {output} is inside {recordings}, where clips would be mistaken for recordings")
    for name in (TEST_FOLDER, ANNOTATION_FILE, MANIFEST_FILE):
        if (output / name).exists():
            raise DataError(f"{output / name} already exists; choose another output")
    found, left_out = find_recordings([recordings], channel)
    rows_of = _by_recording(read_annotations(labels), found, labels)
    unplaced = [
        recording.source
        for recording in found
        if any(row.anomaly_type and not row.intervals for row in rows_of.get(recording.source, ()))
    ]
    seconds = {recording.source: recording.frames / recording.sample_rate for recording in found}
    shorter = {
        recording.source: seconds[recording.source]
        for recording in found
        if recording.frames < round(clip_seconds * recording.sample_rate)
    }
    plans = [
        _Plan.of(recording, rows_of.get(recording.source, ()), clip_seconds, hop, guard, f".{audio_format}")
        for recording in found
        if recording.source not in (*unplaced, *shorter)
    ]
    reject_same_names((plan.recording, plan.clips) for plan in plans)
    folders = [PurePosixPath(clip).parent.name for plan in plans for clip in plan.clips]
    normal, anomalous = folders.count(NORMAL), folders.count(ANOMALY)
    if not normal or not anomalous:
        missing = "normal" if anomalous else "anomalous" if normal else "normal or anomalous"
        raise DataError(f"{labels} leaves no {missing} window of {clip_seconds:g} s; a test set needs both kinds")
    unlabelled = [plan.recording.source for plan in plans if not rows_of.get(plan.recording.source)]
    several, mixed = _write(plans, output, channel)
    near = sum(plan.near for plan in plans)
    return LabelledSet(normal, anomalous, near, several, unlabelled, unplaced, shorter, left_out, mixed)


@dataclass(frozen=True)
class _Plan:
    """A recording, the first sample and labels of its clips by name, and the number of windows near a label."""

    recording: Recording
    n_samples: int
    clips: Mapping[str, int]
    labels: Mapping[str, Sequence[AnnotationRow]]
    near: int

    @classmethod
    def of(
        cls,
        recording: Recording,
        rows: Sequence[AnnotationRow],
        clip_seconds: float,
        hop: float,
        guard: float,
        suffix: str,
    ) -> _Plan:
        """Sort the windows of a recording into normal ones, anomalous ones and those that are left out."""
        clip_subtype(recording, suffix)
        rate = recording.sample_rate
        n_samples = round(clip_seconds * rate)
        # A folder inside test/anomaly/ would name a type.
        stem = PurePosixPath(recording.source).with_suffix("").as_posix().replace("/", "_")
        starts = window_starts(recording.frames, n_samples, hop, rate)
        windows = [
            PlacedClip(f"{stem}_{start / rate:09.3f}s{suffix}", start / rate, (start + n_samples) / rate)
            for start in starts
        ]
        labels: dict[str, list[AnnotationRow]] = defaultdict(list)
        intervals: list[Interval] = []
        for row in rows:
            for bounds in row.intervals:
                # The last window may end up to 0.1 s before the recording.
                start, end = (min(bound, windows[-1].end) for bound in bounds)
                intervals.append((start, end))
                for clip, part in pieces((start, end), windows):
                    labels[clip.name].append(
                        row._replace(file=f"{TEST_FOLDER}/{ANOMALY}/{clip.name}", intervals=(part,))
                    )
        clips = {}
        near = 0
        for window, start in zip(windows, starts, strict=True):
            if window.name in labels:
                clips[f"{ANOMALY}/{window.name}"] = start
            elif any(window.start - guard < end and first < window.end + guard for first, end in intervals):
                near += 1
            else:
                clips[f"{NORMAL}/{window.name}"] = start
        return cls(recording, n_samples, clips, labels, near)


def _by_recording(
    rows: Sequence[AnnotationRow], recordings: Sequence[Recording], source: Path
) -> dict[str, list[AnnotationRow]]:
    """Rows by the recording that they name; raises for the first problem."""
    by_stem = clips_by_stem([Clip(recording.path, recording.source, 1) for recording in recordings])
    seconds = {recording.source: recording.frames / recording.sample_rate for recording in recordings}
    rows_of: dict[str, list[AnnotationRow]] = defaultdict(list)
    for row in rows:
        name = clip_of(row, by_stem, source, "recording").name
        raise_first(row_problems(row, name, 1, seconds[name], source, "recording"))
        rows_of[name].append(row)
    return rows_of


def _write(plans: Sequence[_Plan], output: Path, channel: Channel) -> tuple[int, dict[Path, SoundInfo]]:
    """Write clips, annotations and manifest; returns the clips of several types and the levels of what was mixed."""
    manifest: list[ManifestRow] = []
    annotations: list[AnnotationRow] = []
    mixed = {}
    several = 0
    progress = Progress(console=progress_console(), transient=True)
    with _whole_set(output) as (clips, manifest_file, annotation_file), progress:
        task = progress.add_task("Cutting", total=sum(len(plan.clips) for plan in plans))
        for plan in plans:
            recording = plan.recording
            tally = ChannelTally(recording.channels)
            checksum = file_sha256(recording.path)
            for row in cut(recording, plan.clips, plan.n_samples, checksum, clips, channel, tally):
                manifest.append(replace(row, clip=f"{TEST_FOLDER}/{row.clip}"))
                progress.advance(task)
            if channel == "mix":
                mixed[recording.path] = tally.info(recording.sample_rate)
            for rows in plan.labels.values():
                of_one_type = _with_one_type(rows)
                several += of_one_type != list(rows)
                annotations += of_one_type
        write_manifest(manifest_file, manifest)
        write_plain(annotation_file, annotations)
    return several, mixed


@contextmanager
def _whole_set(output: Path) -> Iterator[tuple[Path, Path, Path]]:
    """Temporary paths of test clips, manifest and annotations, which are put in place if the block ends well."""
    try:
        with (
            whole_file(output / ANNOTATION_FILE) as annotations,
            whole_file(output / MANIFEST_FILE) as manifest,
            written_as_a_whole(output / TEST_FOLDER) as clips,
        ):
            yield clips, manifest, annotations
    except OSError as error:
        raise DataError(f"{output} cannot be written: {error.strerror or error}") from None
    finally:
        with suppress(OSError):
            output.rmdir()  # removes it only if nothing was written


def _with_one_type(rows: Sequence[AnnotationRow]) -> list[AnnotationRow]:
    """The labels of a clip, without the types other than the one of most seconds: a clip has one type."""
    seconds: dict[str, float] = defaultdict(float)
    for row in rows:
        if row.anomaly_type:
            seconds[row.anomaly_type] += sum(end - start for start, end in row.intervals)
    kept = max(seconds, key=seconds.__getitem__, default="")
    return [row if row.anomaly_type == kept else row._replace(anomaly_type="") for row in rows]
