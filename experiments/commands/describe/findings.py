"""What to know of a data set: one list of findings, which terminal, page and CSV show."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from datamodules.audio import FLOOR_DB, cancelled
from datamodules.description import Duplicates, Findings, Shared, Survey, SurveyedClip, default_front_end
from datamodules.description.survey import NORMAL, TEST, TRAINING
from datamodules.files import left_out_text
from datamodules.frontend import LogMelFrontEnd
from experiments.commands.describe.clips import annotated_seconds, duration_text, format_of, kinds_of, media_of
from experiments.commands.describe.confounds import LEVEL, Confound, confounds
from experiments.commands.describe.tables import Row, level_text, text_table
from experiments.report.figures.style import readable
from experiments.report.html import Remark
from experiments.report.table import Table
from lightning_modules.wording import counted, join

_NAMED = 3
"""Clips that a sentence names."""

_MOST_ROWS = 50
"""Rows of a table; the CSV has every clip."""


@dataclass(frozen=True)
class Finding(Remark):
    """Something to know about a data set.

    Attributes:
        table: The clips or properties that it is about.
        flag: The word for it in the CSV of clips.
        clips: The clips that have the flag.
    """

    table: Table | None = None
    flag: str = ""
    clips: tuple[SurveyedClip, ...] = ()


def list_findings(survey: Survey, found: Findings) -> list[Finding]:
    """Counts and formats first, then problems with the most serious first, then levels and annotations."""
    training_silent = tuple(clip for clip in found.silent if clip.split == TRAINING)
    test_silent = tuple(clip for clip in found.silent if clip.split == TEST)
    properties = confounds(survey)
    problems = [
        *_unusable(survey, found),
        *_recordings(survey),
        *_leakage(found),
        *_duplicates(found),
        *_odd(found, test_silent),
    ]
    return [
        _counts(survey),
        *_formats(survey),
        *_silent_training(survey, training_silent),
        *_telling([confound for confound in properties if confound.is_telling]),
        *_one_class(survey),
        *(problems or ([] if training_silent else [_nothing_wrong(found)])),
        *(Finding("info", one.sentence) for one in properties if one.name == LEVEL and not one.is_telling),
        *_shift(survey),
        _annotations(survey),
    ]


def _counts(survey: Survey) -> Finding:
    total = sum(clip.measured.seconds for clip in survey.clips if clip.measured)
    training = sum(clip.split == TRAINING for clip in survey.clips)
    types = [f"{len(kind.clips):,} {readable(kind.name)}" for kind in kinds_of(survey.clips) if kind.split == TEST]
    return Finding(
        "info",
        f"{len(survey.clips):,} clips ({duration_text(total)}) in the {survey.layout} layout: {training:,} normal ones "
        f"to train on, {len(survey.clips) - training:,} to test on{f' ({join(types)})' if types else ''}.",
    )


def _formats(survey: Survey) -> Iterator[Finding]:
    measured = [clip.measured for clip in survey.clips if clip.measured]
    if not measured:
        return
    formats = Counter(format_of(one) for one in measured)
    shortest, longest = min(one.seconds for one in measured), max(one.seconds for one in measured)
    length = (
        f"each {duration_text(longest)} long"
        if longest - shortest < 0.0005
        else f"from {duration_text(shortest)} to {duration_text(longest)} long"
    )
    (most, count), *others = formats.most_common()
    if not others:
        yield Finding("info", f"All readable clips are {most}, {length}.")
        return
    rest = ", ".join(f"{number:,} {name}" for name, number in others[:_NAMED])
    more = f" and {len(others) - _NAMED} more formats" if len(others) > _NAMED else ""
    yield Finding("info", f"There are {len(formats)} formats: {count:,} {most}; {rest}{more}; {length}.")


def _silent_training(survey: Survey, silent: tuple[SurveyedClip, ...]) -> Iterator[Finding]:
    """Silent training clips, which teach a model that silence is normal."""
    if not silent:
        return
    if len(silent) == sum(clip.split == TRAINING for clip in survey.clips):
        level: Literal["warning", "error"] = "error"
        text = "All training clips are silent: there is nothing to learn from, and faithful-aad fit stops."
    else:
        level = "warning"
        are = "is a silent training clip" if len(silent) == 1 else "are silent training clips"
        text = f"{_clips(silent)} {are}: a model learns that silence is normal."
    yield Finding(level, text, _silent_table("Silent training clips", silent), "silent", silent)


def _telling(found: Sequence[Confound]) -> Iterator[Finding]:
    """Properties that separate the classes; the first one has the table of all."""
    table = _table(
        "Properties that give anomalous clips away",
        "AUC of the property alone over the test clips; number of clips in brackets.",
        ("Property", "AUC", "Normal clips", "Anomalous clips"),
        [
            (one.name.removeprefix("the ").capitalize(), f"{one.auc:.3f}", one.normal, one.anomalous)
            for one in found
        ],
    )  # fmt: skip
    for i, confound in enumerate(found):
        yield Finding("warning", confound.sentence, table if i == 0 else None)


def _one_class(survey: Survey) -> Iterator[Finding]:
    classes = {clip.clip.label for clip in survey.clips if clip.split == TEST}
    if len(classes) == 1:
        missing = "anomalous" if classes == {0} else "normal"
        yield Finding("error", f"The test set has no {missing} clips, so there can be no AUC.")


def _unusable(survey: Survey, found: Findings) -> Iterator[Finding]:
    if found.unusable:
        # The path is in the first column.
        rows = [(clip.clip.name, clip.problem.removeprefix(str(clip.clip.path)).strip(" :")) for clip in found.unusable]
        table = _table("Unusable files", "Training stops at them.", ("Clip", "Reason"), rows, names=2)
        text = f"{_clips(found.unusable)} cannot be used: training would stop there."
        yield Finding("error", text, table, "unusable", found.unusable)
    if survey.annotations_problem:
        yield Finding("error", f"The annotations cannot be used: {survey.annotations_problem}.")


def _recordings(survey: Survey) -> Iterator[Finding]:
    """Files left out, splits that cannot be tested, channels that cancel and low sample rates, as `fit` has them."""
    sounds = {clip.clip.path: clip.measured for clip in survey.clips if clip.measured and clip.measured.sample_rate}
    mixed = {path: sound.info for path, sound in sounds.items() if sound.info is not None}
    texts = (
        f"nothing can be tested: {survey.test_problem}" if survey.test_problem else "",
        left_out_text(survey.left_out),
        cancelled(mixed),
        LogMelFrontEnd(default_front_end(survey.layout)).upsampled([sound.sample_rate for sound in sounds.values()]),
    )
    for text in filter(None, texts):
        yield Finding("warning", f"{text[0].upper()}{text[1:]}.")


def _leakage(found: Findings) -> Iterator[Finding]:
    across = [group for group in found.duplicates if group.across_splits]
    if across:
        clips = tuple(clip for group in across for clip in group.clips)
        test = [clip for clip in clips if clip.split == TEST]
        contain = "contains" if len(test) == 1 else "contain"
        text = f"Leakage: {_clips(test)} of the test set {contain} the samples of a training clip."
        yield Finding("warning", text, None, "leak", clips)
    if found.recordings:
        clips = tuple(clip for shared in found.recordings for clip in (*shared.training, *shared.test))
        text = (
            f"Leakage: {counted(_n_test(found.recordings), 'test clip')} and training clips are parts of the same "
            f"{counted(len(found.recordings), 'recording')}."
        )
        note = "Parts of one recording are in the training and the test set."
        table = _shared_table("Recordings in both splits", note, "Recording", found.recordings)
        yield Finding("warning", text, table, "recording_in_both_splits", clips)
    if found.days:
        text = (
            f"{counted(_n_test(found.days), 'test clip')} and training clips were recorded on the same "
            f"{counted(len(found.days), 'day')}."
        )
        note = "Testing on other days is harder, as machine, wood and microphone change; file names give the days."
        yield Finding("warning", text, _shared_table("Days in both splits", note, "Day", found.days))


def _duplicates(found: Findings) -> Iterator[Finding]:
    groups = found.duplicates
    if not groups:
        return
    surplus = sum(len(group.clips) - 1 for group in groups)
    headers = sum(not group.same_file for group in groups)
    under = f"; {headers:,} of {counted(len(groups), 'group')} with another header or container" if headers else ""
    text = f"{counted(surplus, 'clip')} {'repeats' if surplus == 1 else 'repeat'} the samples of another{under}."

    def row(group: Duplicates) -> Row:
        files = "identical" if group.same_file else "headers differ"
        splits = "both" if group.across_splits else group.clips[0].split
        return ", ".join(clip.clip.name for clip in group.clips), files, splits

    table = _table(
        "Same samples",
        "Clips with identical samples, whatever their headers.",
        ("Clips", "Files", "Splits"),
        [row(group) for group in sorted(groups, key=lambda group: not group.across_splits)],
        names=3,
    )
    yield Finding("warning", text, table, "duplicate", tuple(clip for group in groups for clip in group.clips))


def _odd(found: Findings, silent: tuple[SurveyedClip, ...]) -> Iterator[Finding]:
    if silent:
        yield Finding("warning", _are(silent, "silent"), _silent_table("Silent test clips", silent), "silent", silent)
    if found.interrupted:
        rows = [(clip.clip.name, f"{clip.measured.flat_seconds:.2f}") for clip in found.interrupted if clip.measured]
        note = "Longest stretch without any change."
        table = _table("Interrupted clips", note, ("Clip", "Seconds"), rows)
        text = _are(found.interrupted, "interrupted by a stretch without any change")
        yield Finding("warning", text, table, "interrupted", found.interrupted)
    if found.clipped:
        clipped = [(clip.clip.name, clip.measured.clipped) for clip in found.clipped if clip.measured]
        note = "Samples at full scale that follow two others at full scale."
        table = _table("Clipped clips", note, ("Clip", "Samples"), clipped)
        yield Finding("warning", _are(found.clipped, "clipped"), table, "clipped", found.clipped)


def _nothing_wrong(found: Findings) -> Finding:
    named = (
        "no recording or day is in both splits"
        if found.dated
        else "these file names do not tell whether parts of one recording are in both splits"
    )
    return Finding(
        "info", f"Every file can be read; none is silent, interrupted or clipped, no two have the same samples, "
        f"and {named}.",
    )  # fmt: skip


def _shift(survey: Survey) -> Iterator[Finding]:
    """How far normal clips differ in level between the splits."""
    if len(media_of(survey)) != 1:
        return
    normal = {
        kind.split: kind.values(lambda one: one.level_db) for kind in kinds_of(survey.clips) if kind.name == NORMAL
    }
    if len(normal) < 2 or not all(levels.size for levels in normal.values()):
        return
    step = float(np.median(normal[TEST]) - np.median(normal[TRAINING]))
    yield Finding(
        "info",
        f"Normal test clips are {abs(step):.1f} dB {'louder' if step > 0 else 'quieter'} than training clips in the "
        f"median; the standard deviation of training clips is {normal[TRAINING].std():.1f} dB.",
    )


def _annotations(survey: Survey) -> Finding:
    anomalous = [clip for clip in survey.clips if clip.clip.label == 1]
    annotated = [clip for clip in anomalous if clip.clip.intervals]
    if not annotated:
        text = "No clip has annotated intervals, so F1 and segment-based faithfulness cannot be measured."
        return Finding("info", text)
    seconds = [annotated_seconds(clip) for clip in annotated]
    intervals = sum(len(clip.clip.intervals) for clip in annotated)
    return Finding(
        "info",
        f"{len(annotated):,} of {len(anomalous):,} anomalous clips are annotated, with {intervals:,} intervals that "
        f"cover {np.mean(seconds):.1f} s of a clip on average.",
    )


def _table(title: str, note: str, header: Sequence[str], rows: Sequence[Row], names: int = 1) -> Table:
    left_out = len(rows) - _MOST_ROWS
    if left_out > 0:
        note = f"{note} {left_out:,} more are not shown; the CSV has all.".strip()
    return text_table(f"{title}: {len(rows):,}", note, header, rows[:_MOST_ROWS], names=names)


def _silent_table(title: str, clips: Sequence[SurveyedClip]) -> Table:
    rows = [(clip.clip.name, level_text(clip.measured.level_db, 2)) for clip in clips if clip.measured]
    return _table(title, f"−{abs(FLOOR_DB):g} dB: all samples are zero.", ("Clip", "Level (dB)"), rows)


def _shared_table(title: str, note: str, what: str, shared: Sequence[Shared]) -> Table:
    rows = [(one.name, len(one.training), len(one.test)) for one in shared]
    return _table(title, note, (what, "Training clips", "Test clips"), rows)


def _n_test(shared: Sequence[Shared]) -> int:
    return sum(len(one.test) for one in shared)


def _are(clips: Sequence[SurveyedClip], what: str) -> str:
    return f"{_clips(clips)} {'is' if len(clips) == 1 else 'are'} {what}."


def _clips(clips: Sequence[SurveyedClip]) -> str:
    """How many clips, and the first by name."""
    names = [clip.clip.name for clip in clips[:_NAMED]]
    more = ["others"] if len(clips) > _NAMED else []
    return f"{counted(len(clips), 'clip')} ({join([*names, *more])})"
