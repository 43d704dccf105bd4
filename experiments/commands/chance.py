"""`faithful-aad chance`: the chance-level F1 of an annotation file."""

from __future__ import annotations

import math
from pathlib import Path

import torch
from rich.console import Console

from datamodules.annotations import frame_mask, read_annotations
from datamodules.errors import DataError
from experiments.report.table import Cell, Table, print_table
from lightning_modules.wording import counted
from metrics.functional.chance import chance_levels
from metrics.measures import DEFAULT_PERCENTILES

_COLUMNS = {"random_frames": "Random frames", "random_run": "One run", "all_frames": "All frames", "oracle": "Oracle"}


def chance(annotations: str, seconds: float = 10.0, frame_rate: float = 40.0) -> None:
    """Print the F1 that random frames, one random run, all frames and an oracle reach on annotated clips.

    Args:
        annotations: CSV of annotations, the planer authors' or a plain one.
        seconds: Length of a clip, s.
        frame_rate: Frames per second of the spectrograms.

    Raises:
        DataError: If the file can't be read, no clip in it is annotated or an interval ends after the clip, or an
            option is out of range.
    """
    for option, value in {"seconds": seconds, "frame_rate": frame_rate}.items():
        if not 0 < value < math.inf:
            raise DataError(f"--{option} is {value:g}; it must be above 0")
    path = Path(annotations)
    intervals: dict[str, list[tuple[float, float]]] = {}
    for row in read_annotations(path):
        if any(end > seconds for _, end in row.intervals):
            raise DataError(f"{path} row {row.number}: an interval ends after --seconds {seconds:g}, the clips' length")
        intervals.setdefault(row.file, []).extend(row.intervals)
    n_frames = round(seconds * frame_rate)
    masks = [frame_mask(of_clip, n_frames, frame_rate) for of_clip in intervals.values() if of_clip]
    if not masks:
        raise DataError(f"{path} marks no interval; name a file with annotated clips")
    annotation = torch.stack(masks)
    levels = chance_levels(annotation, DEFAULT_PERCENTILES, frame_rate)
    table = Table(
        title="F1 without a model",
        note=f"Mean over {counted(len(masks), 'annotated clip')} of {seconds:g} s, of which "
        f"{annotation.sum(1).double().mean() / frame_rate:.1f} s are annotated on average. One run: adjacent frames "
        f"that begin at random. Oracle: as many frames, chosen using the annotation.",
        header=("Percentile", *_COLUMNS.values()),
        groups=(
            tuple(
                (Cell(f"p{percentile}"), *(Cell(f"{levels[column][i]:.3f}") for column in _COLUMNS))
                for i, percentile in enumerate(DEFAULT_PERCENTILES)
            ),
        ),
        names=1,
    )
    print_table(Console(highlight=False), table)
