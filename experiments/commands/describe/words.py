"""What a data set is, and what to beware of, in sentences."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from datamodules.audio import cancelled
from datamodules.description import Findings, Survey, SurveyedClip
from datamodules.description.survey import NORMAL, TEST, TRAINING
from datamodules.files import left_out_text
from datamodules.frontend import DCASE_FRONT_END, FrontEndSettings, LogMelFrontEnd
from experiments.commands.describe.confounds import LEVEL, confounds
from experiments.commands.describe.kinds import duration_text, format_of, kinds_of, media_of
from experiments.commands.describe.tables import annotated_seconds
from experiments.report.figures.style import readable
from lightning_modules.wording import counted, join

_NAMED = 3
"""Clips that a sentence names."""


def summarise(survey: Survey, findings: Findings) -> list[str]:
    """Counts and formats, then what is wrong, the worst first, then what to know."""
    training = [clip for clip in findings.silent if clip.split == TRAINING]
    test = [clip for clip in findings.silent if clip.split == TEST]
    of_files = confounds(survey)
    problems = [
        *_unusable(survey, findings),
        *_recordings(survey),
        *_shared(findings),
        *_duplicates(findings),
        *_odd(findings, test),
    ]
    return [
        _counts(survey),
        *_formats(survey),
        *_silent_training(survey, training),
        *(one.sentence for one in of_files if one.is_telling),
        *_one_class(survey),
        *(problems or ([] if training else [_sound(findings)])),
        *(one.sentence for one in of_files if one.name == LEVEL and not one.is_telling),
        *_shift(survey),
        _annotations(survey),
    ]


def _counts(survey: Survey) -> str:
    total = sum(clip.measured.seconds for clip in survey.clips if clip.measured)
    training = sum(clip.split == TRAINING for clip in survey.clips)
    types = [f"{len(kind.clips):,} {readable(kind.name)}" for kind in kinds_of(survey.clips) if kind.split == TEST]
    return (
        f"{len(survey.clips):,} clips ({duration_text(total)}) in the {survey.layout} layout: {training:,} normal ones "
        f"to train on, {len(survey.clips) - training:,} to test on{f' ({join(types)})' if types else ''}."
    )


def _formats(survey: Survey) -> list[str]:
    measured = [clip.measured for clip in survey.clips if clip.measured]
    if not measured:
        return []
    formats = Counter(format_of(one) for one in measured)
    shortest, longest = min(one.seconds for one in measured), max(one.seconds for one in measured)
    length = (
        f"each {duration_text(longest)} long"
        if longest - shortest < 0.0005
        else f"from {duration_text(shortest)} to {duration_text(longest)} long"
    )
    if len(formats) == 1:
        return [f"All that can be read are {next(iter(formats))}, {length}."]
    (most, count), *others = formats.most_common()
    rest = ", ".join(f"{number:,} {name}" for name, number in others[:_NAMED])
    more = f" and {len(others) - _NAMED} more formats" if len(others) > _NAMED else ""
    return [f"They are of {len(formats)} formats: {count:,} {most}; {rest}{more}; {length}."]


def _unusable(survey: Survey, findings: Findings) -> list[str]:
    sentences = []
    if findings.unusable:
        sentences.append(f"{_clips(findings.unusable)} cannot be used: training would stop there.")
    if survey.annotations_problem:
        sentences.append(f"The annotations cannot be used: {survey.annotations_problem}.")
    return sentences


def _recordings(survey: Survey) -> list[str]:
    """What is left out, cannot be tested, is mixed away or sampled too slowly, in the words of `fit`."""
    sounds = {clip.clip.path: clip.measured for clip in survey.clips if clip.measured and clip.measured.sample_rate}
    mixed = {path: sound.info for path, sound in sounds.items() if sound.info is not None}
    front_end = DCASE_FRONT_END if survey.layout in ("dcase", "mimii") else FrontEndSettings()
    texts = (
        f"nothing can be tested: {survey.test_problem}" if survey.test_problem else "",
        left_out_text(survey.left_out),
        cancelled(mixed),
        LogMelFrontEnd(front_end).upsampled([sound.sample_rate for sound in sounds.values()]),
    )
    return [f"{text[0].upper()}{text[1:]}." for text in texts if text]


def _shared(findings: Findings) -> list[str]:
    sentences = []
    across = [group for group in findings.duplicates if group.across_splits]
    if across:
        clips = [clip for group in across for clip in group.clips if clip.split == TEST]
        hold = "holds" if len(clips) == 1 else "hold"
        sentences.append(f"Leakage: {_clips(clips)} of the test set {hold} the samples of a training clip.")
    if findings.recordings:
        parts = sum(len(shared.test) for shared in findings.recordings)
        sentences.append(
            f"Leakage: {counted(parts, 'test clip')} and training clips are parts of the same "
            f"{counted(len(findings.recordings), 'recording')}."
        )
    if findings.days:
        parts = sum(len(shared.test) for shared in findings.days)
        sentences.append(
            f"{counted(parts, 'test clip')} and training clips were recorded on the same "
            f"{counted(len(findings.days), 'day')}."
        )
    return sentences


def _duplicates(findings: Findings) -> list[str]:
    groups = findings.duplicates
    if not groups:
        return []
    surplus = sum(len(group.clips) - 1 for group in groups)
    headers = sum(not group.same_file for group in groups)
    under = f"; {headers:,} of {counted(len(groups), 'group')} under another header or container" if headers else ""
    return [f"{counted(surplus, 'clip')} {'repeats' if surplus == 1 else 'repeat'} the samples of another{under}."]


def _silent_training(survey: Survey, silent: Sequence[SurveyedClip]) -> list[str]:
    """Training clips without sound, of which a model learns that silence is normal."""
    if not silent:
        return []
    if len(silent) == sum(clip.split == TRAINING for clip in survey.clips):
        return ["All training clips are silent: there is nothing to learn from, and faithful-aad fit stops."]
    return [
        f"{_clips(silent)} {'is a silent training clip' if len(silent) == 1 else 'are silent training clips'}: a model "
        "learns that silence is normal."
    ]


def _one_class(survey: Survey) -> list[str]:
    classes = {clip.clip.label for clip in survey.clips if clip.split == TEST}
    if len(classes) != 1:
        return []
    return [f"The test set has no {'anomalous' if classes == {0} else 'normal'} clips, so there can be no AUC."]


def _odd(findings: Findings, silent: Sequence[SurveyedClip]) -> list[str]:
    flagged = (
        (silent, "silent"),
        (findings.interrupted, "interrupted by a stretch without any change"),
        (findings.clipped, "clipped"),
    )
    return [f"{_clips(clips)} {'is' if len(clips) == 1 else 'are'} {what}." for clips, what in flagged if clips]


def _sound(findings: Findings) -> str:
    named = (
        "no recording or day is in both splits"
        if findings.dated
        else "whether parts of one recording are in both splits cannot be told from these file names"
    )
    return (
        "Every file can be read; none is silent, interrupted or clipped, no two hold the same samples, "
        f"and {named}."
    )  # fmt: skip


def _shift(survey: Survey) -> list[str]:
    """How far normal clips differ in level between the splits."""
    if len(media_of(survey)) != 1:
        return []
    normal = {
        kind.split: kind.values(lambda one: one.level_db) for kind in kinds_of(survey.clips) if kind.name == NORMAL
    }
    if len(normal) < 2 or not all(levels.size for levels in normal.values()):
        return []
    step = float(np.median(normal[TEST]) - np.median(normal[TRAINING]))
    spread = float(normal[TRAINING].std())
    return [
        f"Normal test clips are {abs(step):.1f} dB {'louder' if step > 0 else 'quieter'} than training clips in the "
        f"median, where training clips spread by {spread:.1f} dB (standard deviation)."
    ]


def _annotations(survey: Survey) -> str:
    anomalous = [clip for clip in survey.clips if clip.clip.label == 1]
    annotated = [clip for clip in anomalous if clip.clip.intervals]
    if not annotated:
        return "No clip is annotated in time, so F-score and segment-based faithfulness cannot be measured."
    seconds = [annotated_seconds(clip) for clip in annotated]
    intervals = sum(len(clip.clip.intervals) for clip in annotated)
    return (
        f"{len(annotated):,} of {len(anomalous):,} anomalous clips are annotated, with {intervals:,} intervals that "
        f"last {np.mean(seconds):.1f} s of a clip on average."
    )


def _clips(clips: Sequence[SurveyedClip]) -> str:
    """How many clips, and the first by name."""
    names = [clip.clip.name for clip in clips[:_NAMED]]
    more = ["others"] if len(clips) > _NAMED else []
    return f"{counted(len(clips), 'clip')} ({join([*names, *more])})"
