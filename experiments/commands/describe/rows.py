"""Every clip as a row of a CSV file."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping

from datamodules.description import Findings, Survey, SurveyedClip
from experiments.commands.describe.kinds import format_of
from experiments.commands.describe.tables import annotated_seconds

_HEADER = (
    "name", "split", "type", "format", "seconds", "sample_rate", "channels", "level_db", "peak_db", "clipped_samples",
    "flat_seconds", "channel_levels_db", "intervals", "annotated_seconds", "same_samples_as", "findings", "problem",
)  # fmt: skip


def to_csv(survey: Survey, findings: Findings) -> str:
    """All clips in their order, each with what was found of it."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(_HEADER)
    notes = _notes(findings)
    twins = {
        clip.clip.name: next(other.clip.name for other in group.clips if other is not clip)
        for group in findings.duplicates
        for clip in group.clips
    }
    for clip in survey.clips:
        writer.writerow(_row(clip, twins, notes))
    return file.getvalue()


def _row(clip: SurveyedClip, twins: Mapping[str, str], notes: Mapping[str, list[str]]) -> list[object]:
    found, name = clip.measured, clip.clip.name
    measured: list[object] = [""] * 9
    if found is not None:
        levels = [f"{number:.2f}" for number in (found.level_db, found.peak_db)]
        rate = [found.sample_rate or "", found.channels or ""]
        flat = f"{found.flat_seconds:.6g}"
        of_channels = " ".join(f"{level:.2f}" for level in found.channel_levels_db)
        measured = [format_of(found), f"{found.seconds:.6g}", *rate, *levels, found.clipped, flat, of_channels]
    marked = [len(clip.clip.intervals), f"{annotated_seconds(clip):.6g}" if clip.clip.intervals else ""]
    return [
        name, clip.split, clip.kind, *measured, *marked, twins.get(name, ""), " ".join(notes.get(name, [])),
        clip.problem,
    ]  # fmt: skip


def _notes(findings: Findings) -> dict[str, list[str]]:
    """Words by the clip's name."""
    flagged = {
        "unusable": findings.unusable,
        "silent": findings.silent,
        "interrupted": findings.interrupted,
        "clipped": findings.clipped,
        "duplicate": [clip for group in findings.duplicates for clip in group.clips],
        "leak": [clip for group in findings.duplicates if group.across_splits for clip in group.clips],
        "recording_in_both_splits": [clip for of in findings.recordings for clip in (*of.training, *of.test)],
    }
    notes: dict[str, list[str]] = {}
    for word, clips in flagged.items():
        for clip in clips:
            notes.setdefault(clip.clip.name, []).append(word)
    return notes
