"""Writing a simulated planer set: WAVs in the published layout, and the annotation file."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from datamodules.errors import require
from datamodules.files import require_new_folder, write_recording, written_as_a_whole
from datamodules.progress import track_clips
from datamodules.provenance import Provenance, write_provenance
from datamodules.simulator.courses import ANOMALIES, normal_course, start_stop_course
from datamodules.simulator.machine import BOARD_SIZES, draw_setting, sound
from datamodules.simulator.plan import START_STOP, TRAINING_FOLDERS, PlannedClip, plan
from datamodules.simulator.render import SAMPLE_RATE, Array

_PLAN, _DAY, _RECORDING, _CLIP = range(4)  # what a random stream is for


def simulate(
    root: str | Path,
    *,
    train: int = 400,
    normal: int = 200,
    anomalies: int = 60,
    duration: int = 10,
    seed: int = 0,
    workers: int | None = None,
) -> Path:
    """Writes a simulated planer set.

    The folders, file names, annotation file, shares of the anomaly types and share of annotated clips
    are those of the published set, which has 4,327, 3,130 and 105 clips; the files are WAVs (20 kHz,
    16 bit, mono). The same seed and counts give the same bytes, whatever the number of workers.

    Args:
        root: Folder to make; it may exist only if it is empty.
        train: Normal training clips.
        normal: Normal test clips.
        anomalies: Anomalous test clips.
        duration: Length of a clip, s.
        seed: Seed of the whole set.
        workers: Clips rendered at a time, None for one per core.

    Returns:
        The folder written.

    Raises:
        DataError: An option is out of range, or `root` holds files or cannot be written.
    """
    root = Path(root)
    for option, value, least, reason in (
        ("train", train, len(TRAINING_FOLDERS), "one for each training folder"),
        ("normal", normal, 1, "to test against"),
        ("anomalies", anomalies, len(ANOMALIES), "one of each type"),
        ("seed", seed, 0, "as seeds are not negative"),
        ("workers", 1 if workers is None else workers, 1, "to render the clips"),
    ):
        require(value >= least, option, value, f"at least {least}, {reason}")
    require(duration in range(4, 11), "duration", duration, "a whole number of seconds from 4 to 10")
    require_new_folder(root, "the simulated set")
    with written_as_a_whole(root) as built:
        clips = plan(train, normal, anomalies, duration, _stream(seed, _PLAN))
        _write_clips(built, clips, duration, seed, workers or os.cpu_count() or 1)
        _write_annotations(built, [clip for clip in clips if clip.anomaly_type], duration)
        counts = {"train": train, "normal": normal, "anomalies": anomalies}
        settings = {**counts, "duration": duration, "seed": seed}
        write_provenance(built, Provenance("by simulation", "Sounds and annotations are computed.", settings))
    return root


def render_clip(clip: PlannedClip, duration: int, seed: int, index: int) -> Array:
    """Samples of one clip, at most 1 in magnitude, shape (duration * 20000,); `index` is its place in the plan."""
    rng = _stream(seed, _CLIP, index)
    running = clip.running if clip.running in BOARD_SIZES else str(rng.choice(BOARD_SIZES))
    recording = _stream(seed, _RECORDING, clip.day, clip.recording)
    setting = draw_setting(running, _stream(seed, _DAY, clip.day), recording)
    course = (start_stop_course if clip.running == START_STOP else normal_course)(duration, rng)
    if clip.anomaly_type:
        ANOMALIES[clip.anomaly_type](course, clip.intervals, clip.strength, rng)
    return np.clip(sound(course, setting, rng), -1, 1)


def published_plan(seed: int) -> list[PlannedClip]:
    """The plan of a simulated set of the published size: 4,327, 3,130 and 105 clips of 10 s."""
    return plan(4327, 3130, 105, 10, _stream(seed, _PLAN))


def _stream(seed: int, *purpose: int) -> np.random.Generator:
    """Random numbers that depend only on the seed and the purpose, so that clips can be rendered in any order."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=purpose))


def _write_clips(root: Path, clips: list[PlannedClip], duration: int, seed: int, workers: int) -> None:
    for folder in {clip.folder for clip in clips}:
        (root / folder).mkdir(parents=True)

    def write(index: int) -> None:
        clip = clips[index]
        write_recording(root / clip.folder / f"{clip.name}.wav", render_clip(clip, duration, seed, index), SAMPLE_RATE)

    # Threads suffice: NumPy releases the interpreter lock in every long operation here.
    with ThreadPoolExecutor(workers) as pool:
        for _ in track_clips(pool.map(write, range(len(clips))), "Simulating", len(clips)):
            pass


def _write_annotations(root: Path, clips: list[PlannedClip], duration: int) -> None:
    # Imported here, as the package loads torch, which takes seconds and renders nothing.
    from datamodules.annotations import ANNOTATION_FILE, AnnotationRow, authors  # noqa: PLC0415

    last = duration - 1 / authors.FRAMES_PER_SECOND  # the authors' end is the last frame, not the one after it
    rows = [
        AnnotationRow(
            number,
            f"{clip.name}.pt",
            tuple((start, min(stop, last)) for start, stop in clip.intervals) if clip.annotated else (),
            clip.anomaly_type,
        )
        for number, clip in enumerate(sorted(clips, key=lambda clip: clip.name), start=2)
    ]
    authors.write(root / ANNOTATION_FILE, rows, duration)
