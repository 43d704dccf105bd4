"""`faithful-aad chance`: the chance-level F1 of an annotation file."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import torch
from rich.console import Console
from torch import Tensor

from datamodules.annotations import annotate, frame_mask, read_annotations
from datamodules.description import default_front_end, find_layout, scan_layout
from datamodules.errors import DataError
from datamodules.frontend import FrontEndSettings
from datamodules.layouts import Clip
from datamodules.spectrograms import clip_seconds
from experiments.report.table import Cell, Table, print_table
from lightning_modules.wording import counted
from metrics.functional.chance import chance_levels
from metrics.measures import DEFAULT_PERCENTILES

_COLUMNS = {"random_frames": "Random frames", "random_run": "One run", "all_frames": "All frames", "oracle": "Oracle"}


def chance(
    annotations: str, root: str | None = None, seconds: float | None = None, frame_rate: float | None = None
) -> None:
    """Print the F1 that random frames, one random run, all frames and an oracle reach on annotated clips.

    Args:
        annotations: Annotations in any format.
        root: Folder of the data set, whose files say how long each annotated clip is; or give `seconds`.
        seconds: Length of a clip, s.
        frame_rate: Frames per second of the spectrograms; by default those of the data set's layout, 40 without one.

    Raises:
        DataError: If the annotations or the data set can't be read, no clip is annotated or an interval ends after
            its clip, neither `root` nor `seconds` is given or both are, or an option is out of range.
    """
    for option, value in {"seconds": seconds, "frame_rate": frame_rate}.items():
        if value is not None and not 0 < value < math.inf:
            raise DataError(f"--{option} is {value:g}; it must be above 0")
    if (root is None) == (seconds is None):
        raise DataError(
            "the length of the clips is needed: give --root, the folder of the data set, or --seconds (10 for the "
            "published planer clips), not both"
        )
    path = Path(annotations)
    if root is not None:
        layout = find_layout(Path(root))
        rate = frame_rate or default_front_end(layout).frames_per_second
        masks = _masks_of_data(path, scan_layout(Path(root), layout).test, rate)
    else:
        rate = frame_rate or FrontEndSettings().frames_per_second
        masks = _masks(path, float(seconds or 0), rate)
    if not masks:
        raise DataError(f"{path} marks no interval; name a file with annotated clips")
    print_table(Console(highlight=False), _table(masks, rate))


def _masks_of_data(path: Path, clips: Sequence[Clip], rate: float) -> list[Tensor]:
    """Frames (T,) inside intervals of each annotated clip of a data set."""
    # A spectrogram has one more: its first frame is centred on the start and its last one on the end.
    n_frames = {clip.name: max(1, round(clip_seconds(clip.path, rate) * rate)) if clip.label else 0 for clip in clips}
    lengths = {name: (number + 1) / rate for name, number in n_frames.items()}
    annotated = annotate(clips, read_annotations(path), lengths, path)
    return [frame_mask(clip.intervals, n_frames[clip.name], rate) for clip in annotated if clip.intervals]


def _masks(path: Path, seconds: float, rate: float) -> list[Tensor]:
    """Frames (T,) inside intervals of each annotated clip, all of one length."""
    intervals: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for row in read_annotations(path):
        if any(end > seconds for _, end in row.intervals):
            raise DataError(f"{path} row {row.number}: an interval ends after --seconds {seconds:g}, the clips' length")
        intervals[row.file].extend(row.intervals)
    return [frame_mask(of_clip, round(seconds * rate), rate) for of_clip in intervals.values() if of_clip]


def _table(masks: Sequence[Tensor], rate: float) -> Table:
    by_length: dict[int, list[Tensor]] = defaultdict(list)
    for mask in masks:
        by_length[len(mask)].append(mask)
    levels = {name: torch.zeros(len(DEFAULT_PERCENTILES), dtype=torch.float64) for name in _COLUMNS}
    for of_length in by_length.values():
        means = chance_levels(torch.stack(of_length), DEFAULT_PERCENTILES, rate)
        for name in levels:
            levels[name] += means[name] * len(of_length) / len(masks)
    lengths = list(dict.fromkeys(f"{n_frames / rate:.4g}" for n_frames in (min(by_length), max(by_length))))
    annotated = sum(int(mask.sum()) for mask in masks) / len(masks) / rate
    rows = tuple(
        (Cell(f"p{percentile}"), *(Cell(f"{levels[name][i]:.3f}") for name in _COLUMNS))
        for i, percentile in enumerate(DEFAULT_PERCENTILES)
    )
    return Table(
        title="F1 without a model",
        note=f"Mean over {counted(len(masks), 'annotated clip')} of {' to '.join(lengths)} s, of which "
        f"{annotated:.1f} s are annotated on average; {rate:g} frames per second. One run: adjacent frames that begin "
        "at random. Oracle: as many frames, chosen using the annotation.",
        header=("Percentile", *_COLUMNS.values()),
        groups=(rows,),
        names=1,
    )
