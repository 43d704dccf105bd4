"""`faithful-aad data testset`: a labelled test set from recordings and labels on them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Literal

from datamodules.annotations import ANNOTATION_FILE
from datamodules.annotations.rows import some_of
from datamodules.audio import cancelled
from datamodules.files import left_out_text
from datamodules.recordings import MANIFEST_FILE
from datamodules.testset import TEST_FOLDER, cut_testset
from lightning_modules.wording import counted


def data_testset(
    recordings: str,
    labels: str,
    output: str,
    seconds: float = 10.0,
    hop: float | None = None,
    guard: float = 1.0,
    format: Literal["wav", "flac"] = "wav",
    channel: int | Literal["mix"] = "mix",
) -> None:
    """Cut recordings of any length into normal and anomalous test clips, by labels on the recordings.

    Args:
        recordings: A recording, or a folder of recordings at any depth.
        labels: Labels on the recordings: a CSV in seconds, a label track of Audacity, or a folder of label tracks.
        output: Root of an audio folder, new or with train/ only, to which test/, annotations.csv and manifest.csv are
            written.
        seconds: Length of a clip, s.
        hop: Step from clip to clip, s; by default the length of a clip, so that clips don't overlap.
        guard: Windows closer than this to a label, but without one, are left out, s.
        format: Format of the clips; sample rate and sample format stay those of the recording.
        channel: Which channel to take: its index from 0, or mix, the mean of all channels.

    Raises:
        DataError: As `cut_testset`.
    """
    root = Path(output)
    made = cut_testset(Path(recordings), Path(labels), root, seconds, hop, guard, format, channel)
    print(
        f"{made.normal:,} normal and {made.anomalous:,} anomalous clips of {seconds:g} s in {root / TEST_FOLDER}, "
        f"labels in {ANNOTATION_FILE}, positions in {MANIFEST_FILE}"
    )
    if made.near:
        print(f"left out: {counted(made.near, 'window')} without a label but closer than {guard:g} s to one")
    if made.unlabelled:
        print(f"taken as normal, since no label names them: {some_of(made.unlabelled)}")
    if made.several_types:
        print(f"{counted(made.several_types, 'clip')} with labels of several types: each has the one of most seconds")
    if not (root / "train").is_dir():
        print(f"put or link normal clips into {root / 'train'}, which an audio folder needs")
    for names, reason in (
        (made.unplaced, "labelled as anomalous without a time"),
        ([f"{name} {length:.2f} s" for name, length in made.shorter.items()], f"shorter than {seconds:g} s"),
    ):
        if names:
            print(f"warning: left out {counted(len(names), 'recording')}, {reason}: {some_of(names)}", file=sys.stderr)
    for text in (left_out_text(made.left_out), cancelled(made.mixed)):
        if text:
            print(f"warning: {text}", file=sys.stderr)
