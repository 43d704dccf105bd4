"""Tables of a data set: its clips, their formats, levels and annotations."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np

from datamodules.description import Findings, Measured, Survey
from datamodules.description.findings import FLAT_SECONDS, SILENT_DBFS
from experiments.commands.describe.clips import (
    SOUND,
    SPECTROGRAMS,
    Kind,
    annotated_seconds,
    duration_text,
    format_of,
    kinds_of,
    media_of,
    medium_of,
)
from experiments.report.figures.style import readable
from experiments.report.table import MISSING, Cell, Table

Row = Sequence[str | int]

_SPREAD = (5, 50, 95)
"""Percentiles over clips that a table gives."""

_FLAT = f"Interrupted: {FLAT_SECONDS:g} s or more without any change."
_NOTES = {
    SOUND: "RMS and peak of the mix of all channels, or of --channel; a sine at full scale has −3 dBFS RMS. Silent: "
    f"RMS below −{abs(SILENT_DBFS):g} dBFS, or a constant signal. {_FLAT} Clipped: three samples or more in a row at "
    "full scale.",
    SPECTROGRAMS: f"Mean over all values. Silent: all values are the same. {_FLAT}",
}


def text_table(
    title: str,
    note: str,
    header: Sequence[str],
    *groups: Sequence[Row],
    names: int = 1,
    terminal: Sequence[str] = (),
) -> Table:
    """Build a table from texts and counts; see `Table` for the arguments."""
    cells = tuple(
        tuple(tuple(Cell(f"{value:,}" if isinstance(value, int) else value) for value in row) for row in group)
        for group in groups
    )
    return Table(title, note, tuple(header), cells, names, terminal=tuple(terminal))


def level_text(decibels: float, digits: int = 1) -> str:
    """Format a level with a minus sign."""
    return f"{decibels:.{digits}f}".replace("-", "−")


def clips_table(survey: Survey) -> Table:
    """Counts and durations by split and type."""

    def row(kind: Kind) -> Row:
        seconds = kind.values(lambda one: one.seconds)
        ends = [duration_text(seconds.min()), duration_text(seconds.max())] if seconds.size else [MISSING] * 2
        unusable = sum(clip.measured is None for clip in kind.clips)
        names = kind.split, readable(kind.name)
        return (*names, len(kind.clips), unusable, duration_text(seconds.sum()), *ends, len(kind.annotated))

    return text_table(
        "Clips",
        "Durations of the clips that can be read; those of spectrograms follow from a hop of 25 ms.",
        ("Split", "Type", "Clips", "Unusable", "Duration", "Shortest", "Longest", "Annotated"),
        [row(kind) for kind in kinds_of(survey.clips)],
        [row(Kind("all", "", survey.clips))],
        names=2,
        terminal=("Split", "Type", "Clips", "Unusable", "Duration", "Annotated"),
    )


def folders_table(survey: Survey) -> Table:
    """Counts and durations by folder."""
    rows = []
    for folder in sorted({clip.folder for clip in survey.clips}):
        inside = Kind("", "", tuple(clip for clip in survey.clips if clip.folder == folder))
        rows.append((folder, len(inside.clips), duration_text(inside.values(lambda one: one.seconds).sum())))
    return text_table(
        "Clips by folder", "Relative to the folder of the data set.", ("Folder", "Clips", "Duration"), rows
    )


def formats_table(survey: Survey) -> Table:
    """How many clips have which format, by split."""
    counts = Counter((format_of(clip.measured), clip.split) for clip in survey.clips if clip.measured)
    splits = list(dict.fromkeys(kind.split for kind in kinds_of(survey.clips)))
    formats = sorted({name for name, _ in counts})
    header = ("Format", *(split.capitalize() for split in splits))
    rows: list[Row] = [(name, *(counts[name, split] for split in splits)) for name in formats]
    return text_table("Formats", "According to the files' headers.", header, rows)


def level_tables(survey: Survey, findings: Findings) -> list[Table]:
    """Levels by split and type, one table for recordings and one for spectrograms."""
    return [_level_table(survey, findings, medium) for medium in media_of(survey)]


def channels_table(survey: Survey) -> Table | None:
    """Levels of each channel, one group of rows per number of channels; None if all recordings are mono."""
    measured = [clip.measured for clip in survey.clips if clip.measured and len(clip.measured.channel_levels_db) > 1]
    groups: list[list[Row]] = []
    for channels in sorted({len(one.channel_levels_db) for one in measured}):
        levels = np.array([one.channel_levels_db for one in measured if len(one.channel_levels_db) == channels])
        percentiles = np.percentile(levels, _SPREAD, axis=0).T
        groups.append(
            [
                (f"{channel} of 0 to {channels - 1}", len(levels), *map(level_text, of_channel))
                for channel, of_channel in enumerate(percentiles)
            ]
        )
    if not groups:
        return None
    return text_table(
        "Levels of channels (dBFS)",
        "Percentiles over the clips with this number of channels. Training uses the mean of all channels unless "
        "--data.channel selects one.",
        ("Channel", "Clips", *(f"RMS {share} %" for share in _SPREAD)),
        *groups,
    )


def annotations_table(survey: Survey) -> Table | None:
    """Counts and lengths of annotated intervals by type; None if nothing is annotated."""

    def row(kind: Kind) -> Row:
        seconds = [annotated_seconds(clip) for clip in kind.annotated]
        measured = zip(seconds, kind.annotated, strict=True)
        shares = [part / clip.measured.seconds for part, clip in measured if clip.measured]
        return (
            readable(kind.name),
            len(kind.clips),
            len(kind.annotated),
            f"{np.mean([len(clip.clip.intervals) for clip in kind.annotated]):.1f}",
            f"{np.mean(seconds):.1f}",
            f"{100 * np.mean(shares):.0f} %" if shares else MISSING,
        )

    kinds = [kind for kind in kinds_of(survey.clips) if kind.annotated]
    if not kinds:
        return None
    return text_table(
        "Annotations",
        "Means over annotated clips: intervals per clip, seconds inside an interval, and their share of the recording.",
        ("Type", "Clips", "Annotated", "Intervals", "Seconds", "Share"),
        [row(kind) for kind in kinds],
        [row(Kind("", "all", tuple(clip for kind in kinds for clip in kind.clips)))],
    )


def _level_table(survey: Survey, findings: Findings, medium: str) -> Table:
    flagged = {"Silent": findings.silent, "Interrupted": findings.interrupted}
    if medium == SOUND:
        flagged["Clipped"] = findings.clipped

    def spread(kind: Kind, number: Callable[[Measured], float]) -> list[str]:
        return [level_text(level) for level in np.percentile(kind.values(number, medium), _SPREAD)]

    def row(kind: Kind) -> Row:
        levels = spread(kind, lambda one: one.level_db), spread(kind, lambda one: one.peak_db)[1:]
        inside = {id(clip) for clip in kind.clips if clip.measured and medium_of(clip.measured) == medium}
        counts = [sum(id(clip) in inside for clip in clips) for clips in flagged.values()]
        return (kind.split, readable(kind.name), *levels[0], *levels[1], *counts)

    level = "RMS" if medium == SOUND else "Mean"
    low, middle, high = _SPREAD
    levels = [f"{level} {share} %" for share in _SPREAD]
    peaks = [f"Peak {middle} %", f"Peak {high} %"]
    return text_table(
        f"Levels of {medium} ({'dBFS' if medium == SOUND else 'dB'})",
        f"{low} %, {middle} %, {high} %: percentiles over clips. {_NOTES[medium]}",
        ("Split", "Type", *levels, *peaks, *flagged),
        [row(kind) for kind in kinds_of(survey.clips) if kind.measured(medium)],
        names=2,
        terminal=("Split", "Type", levels[1], peaks[0], *flagged),
    )
