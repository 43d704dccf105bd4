"""Tables of what is wrong with a data set; each names the clips, and one without a row is left out."""

from __future__ import annotations

from collections.abc import Sequence

from datamodules.description import Duplicates, Findings, Shared, Survey, SurveyedClip
from datamodules.description.measure import FLOOR_DB
from experiments.commands.describe.confounds import Confound, confounds
from experiments.report.tables import Cell, Row, Table

MOST_ROWS = 50
"""Rows of a table; the CSV has every clip."""


def problem_tables(survey: Survey, findings: Findings) -> list[Table]:
    """What gives anomalies away, clips that cannot be used, duplicates, what both splits share, and odd sound."""
    tables = [
        _table(
            "Properties that give anomalous clips away",
            "AUC of the property alone over the test clips; in brackets the number of clips.",
            ("Property", "AUC", "Normal clips", "Anomalous clips"),
            [_confound_row(confound) for confound in confounds(survey) if confound.is_telling],
        ),
        _table("Unusable files", "Training stops at them.", ("Clip", "Reason"), _reasons(findings.unusable), names=2),
        _table(
            "Same samples",
            "Clips that hold the same samples, number by number, whatever their headers say.",
            ("Clips", "Files", "Splits"),
            [_duplicates_row(group) for group in _worst_first(findings.duplicates)],
            names=3,
        ),
        _table(
            "Recordings in both splits",
            "Parts of one recording are trained on and tested on.",
            ("Recording", "Training clips", "Test clips"),
            [_shared_row(shared) for shared in findings.recordings],
        ),
        _table(
            "Days in both splits",
            "A test on other days is harder, as machine, wood and microphone change; days are read off file names.",
            ("Day", "Training clips", "Test clips"),
            [_shared_row(shared) for shared in findings.days],
        ),
        _table(
            "Silent clips",
            f"−{abs(FLOOR_DB):g} dB stands for nothing but zeros.",
            ("Clip", "Level (dB)"),
            [_row(clip, "level_db") for clip in findings.silent],
        ),
        _table(
            "Interrupted clips",
            "Their longest stretch without any change.",
            ("Clip", "Seconds"),
            [_row(clip, "flat_seconds") for clip in findings.interrupted],
        ),
        _table(
            "Clipped clips",
            "Samples at full scale that follow two others there.",
            ("Clip", "Samples"),
            [_row(clip, "clipped") for clip in findings.clipped],
        ),
    ]
    return [table for table in tables if table.groups[0]]


def _table(title: str, note: str, header: tuple[str, ...], rows: Sequence[Row], names: int = 1) -> Table:
    left_out = len(rows) - MOST_ROWS
    if left_out > 0:
        note = f"{note} {left_out:,} more are not shown; the CSV has all.".strip()
    return Table(f"{title}: {len(rows):,}", note, header, (tuple(rows[:MOST_ROWS]),), names)


def _confound_row(confound: Confound) -> Row:
    name = confound.name.removeprefix("the ").capitalize()
    return Cell(name), Cell(f"{confound.auc:.3f}"), Cell(confound.normal), Cell(confound.anomalous)


def _reasons(clips: Sequence[SurveyedClip]) -> list[Row]:
    return [(Cell(clip.clip.name), Cell(_without_path(clip))) for clip in clips]


def _without_path(clip: SurveyedClip) -> str:
    """The reason alone: the first column names the clip."""
    return clip.problem.removeprefix(str(clip.clip.path)).strip(" :")


def _worst_first(duplicates: Sequence[Duplicates]) -> list[Duplicates]:
    return sorted(duplicates, key=lambda group: not group.across_splits)


def _duplicates_row(group: Duplicates) -> Row:
    files = "identical" if group.same_file else "headers differ"
    splits = "both" if group.across_splits else group.clips[0].split
    return Cell(", ".join(clip.clip.name for clip in group.clips)), Cell(files), Cell(splits)


def _shared_row(shared: Shared) -> Row:
    return Cell(shared.name), Cell(f"{len(shared.training):,}"), Cell(f"{len(shared.test):,}")


def _row(clip: SurveyedClip, number: str) -> Row:
    value = getattr(clip.measured, number)
    return Cell(clip.clip.name), Cell(f"{value:,}" if isinstance(value, int) else f"{value:.2f}".replace("-", "−"))
