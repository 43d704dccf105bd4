"""Tables of a data set: its clips, their formats, levels and annotations."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np

from datamodules.description import Findings, Measured, Survey, SurveyedClip
from datamodules.description.findings import FLAT_SECONDS, SILENT_DBFS
from experiments.commands.describe.kinds import (
    SOUND,
    SPECTROGRAMS,
    Kind,
    duration_text,
    format_of,
    kinds_of,
    media_of,
    medium_of,
)
from experiments.report.figures.style import readable
from experiments.report.tables import MISSING, Cell, Table

_SPREAD = (5, 50, 95)
"""Percentiles over clips that a table gives."""


_FLAT = f"Interrupted: {FLAT_SECONDS:g} s or more without any change."
_NOTES = {
    SOUND: "RMS and peak of the mix of all channels, or of --channel; a sine at full scale has −3 dBFS RMS. Silent: "
    f"RMS below −{abs(SILENT_DBFS):g} dBFS, or one value. {_FLAT} Clipped: three samples or more in a row at full "
    "scale.",
    SPECTROGRAMS: f"Mean over all values. Silent: one value all over. {_FLAT}",
}


def clips_table(survey: Survey) -> Table:
    """Counts and durations by split and type."""
    kinds = kinds_of(survey.clips)
    every = Kind("all", "", survey.clips)
    return Table(
        title="Clips",
        note="Durations of the clips that can be read; those of spectrograms follow from a hop of 25 ms.",
        header=("Split", "Type", "Clips", "Unusable", "Duration", "Shortest", "Longest", "Annotated"),
        groups=(tuple(_clips_row(kind) for kind in kinds), (_clips_row(every),)),
        names=2,
        brief=("Split", "Type", "Clips", "Unusable", "Duration", "Annotated"),
    )


def folders_table(survey: Survey) -> Table:
    """Counts and durations by folder."""
    folders = sorted({clip.folder for clip in survey.clips})
    rows = []
    for folder in folders:
        inside = Kind("", "", tuple(clip for clip in survey.clips if clip.folder == folder))
        rows.append((Cell(folder), _count(len(inside.clips)), _duration(inside)))
    return Table(
        title="Clips by folder",
        note="Relative to the folder of the data set.",
        header=("Folder", "Clips", "Duration"),
        groups=(tuple(rows),),
        names=1,
    )


def formats_table(survey: Survey) -> Table:
    """How many clips have which format, by split."""
    kinds = kinds_of(survey.clips)
    splits = list(dict.fromkeys(kind.split for kind in kinds))
    counts = {
        split: Counter(format_of(one) for kind in kinds if kind.split == split for one in kind.measured())
        for split in splits
    }
    formats = sorted({name for of_split in counts.values() for name in of_split})
    return Table(
        title="Formats",
        note="As the files' headers say.",
        header=("Format", *(split.capitalize() for split in splits)),
        groups=(tuple((Cell(name), *(_count(counts[split][name]) for split in splits)) for name in formats),),
        names=1,
    )


def level_tables(survey: Survey, findings: Findings) -> list[Table]:
    """Levels by split and type, one table for recordings and one for spectrograms."""
    return [_level_table(survey, findings, medium) for medium in media_of(survey)]


def channels_table(survey: Survey) -> Table | None:
    """Levels of each channel, of recordings that have as many; nothing where all are mono."""
    measured = [clip.measured for clip in survey.clips if clip.measured and len(clip.measured.channel_levels_db) > 1]
    groups = []
    for channels in sorted({len(one.channel_levels_db) for one in measured}):
        levels = np.array([one.channel_levels_db for one in measured if len(one.channel_levels_db) == channels])
        percentiles = np.percentile(levels, _SPREAD, axis=0).T
        groups.append(
            tuple(
                (Cell(f"{channel} of 0 to {channels - 1}"), _count(len(levels)), *map(_level, of_channel))
                for channel, of_channel in enumerate(percentiles)
            )
        )
    if not groups:
        return None
    return Table(
        title="Levels of channels (dBFS)",
        note="Percentiles over the clips with as many channels. The mean of all is trained on unless --data.channel "
        "takes one.",
        header=("Channel", "Clips", *(f"RMS {share} %" for share in _SPREAD)),
        groups=tuple(groups),
        names=1,
    )


def annotations_table(survey: Survey) -> Table | None:
    """How much of which type is annotated; nothing where nothing is."""
    kinds = [kind for kind in kinds_of(survey.clips) if _annotated(kind)]
    if not kinds:
        return None
    every = Kind("", "all", tuple(clip for kind in kinds for clip in kind.clips))
    return Table(
        title="Annotations",
        note="Means over the annotated clips: intervals in a clip, seconds inside an interval, and their share of the "
        "clip.",
        header=("Type", "Clips", "Annotated", "Intervals", "Seconds", "Share"),
        groups=(tuple(_annotations_row(kind) for kind in kinds), (_annotations_row(every),)),
        names=1,
    )


def annotated_seconds(clip: SurveyedClip) -> float:
    """Seconds of a clip inside an annotated interval, overlaps counted once."""
    total, reached = 0.0, 0.0
    for start, end in sorted(clip.clip.intervals):
        total += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return total


def _clips_row(kind: Kind) -> tuple[Cell, ...]:
    seconds = kind.values(lambda one: one.seconds)
    ends = [Cell(duration_text(end)) for end in (seconds.min(), seconds.max())] if seconds.size else [Cell(MISSING)] * 2
    counts = _count(len(kind.clips)), _count(sum(clip.measured is None for clip in kind.clips))
    annotated = _count(len(_annotated(kind)))
    return (Cell(kind.split), Cell(readable(kind.name)), *counts, _duration(kind), *ends, annotated)


def _level_table(survey: Survey, findings: Findings, medium: str) -> Table:
    kinds = [kind for kind in kinds_of(survey.clips) if kind.measured(medium)]
    flagged = [findings.silent, findings.interrupted, *([findings.clipped] if medium == SOUND else [])]
    rows = tuple(
        (
            Cell(kind.split),
            Cell(readable(kind.name)),
            *_spread(kind, lambda one: one.level_db, medium),
            *_spread(kind, lambda one: one.peak_db, medium)[1:],
            *(_count(_in_kind(clips, kind, medium)) for clips in flagged),
        )
        for kind in kinds
    )
    low, middle, high = _SPREAD
    level = "RMS" if medium == SOUND else "Mean"
    header = (
        *("Split", "Type", f"{level} {low} %", f"{level} {middle} %", f"{level} {high} %"),
        *(f"Peak {middle} %", f"Peak {high} %", "Silent", "Interrupted", "Clipped"),
    )[: 7 + len(flagged)]
    return Table(
        title=f"Levels of {medium} ({'dBFS' if medium == SOUND else 'dB'})",
        note=f"{low} %, {middle} %, {high} %: percentiles over clips. {_NOTES[medium]}",
        header=header,
        groups=(rows,),
        names=2,
        brief=tuple(name for name in header if name not in (header[2], header[4], header[6])),
    )


def _spread(kind: Kind, number: Callable[[Measured], float], medium: str) -> list[Cell]:
    percentiles = np.percentile(kind.values(number, medium), _SPREAD)
    return [_level(float(value)) for value in percentiles]


def _level(decibels: float) -> Cell:
    return Cell(f"{decibels:.1f}".replace("-", "−"), numbers=(("", float(decibels)),))


def _in_kind(clips: Sequence[SurveyedClip], kind: Kind, medium: str) -> int:
    return sum(
        (clip.split, clip.kind) == (kind.split, kind.name)
        and clip.measured is not None
        and medium_of(clip.measured) == medium
        for clip in clips
    )


def _annotations_row(kind: Kind) -> tuple[Cell, ...]:
    annotated = _annotated(kind)
    seconds = [annotated_seconds(clip) for clip in annotated]
    shares = [part / clip.measured.seconds for part, clip in zip(seconds, annotated, strict=True) if clip.measured]
    return (
        Cell(readable(kind.name)),
        _count(len(kind.clips)),
        _count(len(annotated)),
        Cell(f"{np.mean([len(clip.clip.intervals) for clip in annotated]):.1f}"),
        Cell(f"{np.mean(seconds):.1f}"),
        Cell(f"{100 * np.mean(shares):.0f} %" if shares else MISSING),
    )


def _annotated(kind: Kind) -> list[SurveyedClip]:
    return [clip for clip in kind.clips if clip.clip.intervals]


def _duration(kind: Kind) -> Cell:
    return Cell(duration_text(float(kind.values(lambda one: one.seconds).sum())))


def _count(number: int) -> Cell:
    return Cell(f"{number:,}", numbers=(("", number),))
