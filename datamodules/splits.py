"""Seeded draws that hold clips out of a split."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import torch

from datamodules.errors import DataError
from datamodules.layouts import Clip

Halves = tuple[tuple[Clip, ...], tuple[Clip, ...]]


def hold_out(clips: Sequence[Clip], fraction: float, seed: int) -> Halves:
    """Draw a share of clips at random: rounded to whole clips, at least one.

    Returns:
        The remaining clips and those held out, each in their given order; raises a DataError if none would remain.
    """
    drawn = _draw(range(len(clips)), fraction, torch.Generator().manual_seed(seed))
    if len(drawn) >= len(clips):
        raise DataError(f"val_fraction={fraction} leaves no clip to train on: there are {len(clips)} in all")
    return _separate(clips, drawn)


def hold_out_stratified(clips: Sequence[Clip], fraction: float, seed: int) -> Halves:
    """Draw the same share of every stratum: clips with the same label and type, and either annotations or none.

    If a stratum has two clips or more, each part gets at least one; a single clip is not held out.

    Returns:
        The remaining clips and those held out, each in their given order.

    Raises:
        DataError: There are too few clips for normal and anomalous ones in both parts.
    """
    strata = defaultdict(list)
    for position, clip in enumerate(clips):
        strata[clip.label, clip.anomaly_type, bool(clip.intervals)].append(position)
    generator = torch.Generator().manual_seed(seed)
    drawn: set[int] = set()
    for _, positions in sorted(strata.items()):
        if len(positions) > 1:
            drawn |= _draw(positions, fraction, generator)
    remaining, held_out = _separate(clips, drawn)
    if any({clip.label for clip in half} != {0, 1} for half in (remaining, held_out)):
        raise DataError(
            f"labelled_validation={fraction} needs at least two normal and two anomalous test clips of one kind"
        )
    return remaining, held_out


def _draw(positions: Sequence[int], fraction: float, generator: torch.Generator) -> set[int]:
    count = min(max(round(fraction * len(positions)), 1), max(len(positions) - 1, 1))
    order = torch.randperm(len(positions), generator=generator)
    return {positions[i] for i in order[:count].tolist()}


def _separate(clips: Sequence[Clip], drawn: set[int]) -> Halves:
    return (
        tuple(clip for position, clip in enumerate(clips) if position not in drawn),
        tuple(clip for position, clip in enumerate(clips) if position in drawn),
    )
