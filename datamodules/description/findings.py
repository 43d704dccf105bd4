"""Problems of a data set, and what makes its tests easier than they seem."""

from __future__ import annotations

import filecmp
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from pathlib import PurePosixPath
from typing import NamedTuple

from datamodules.description.measure import Measured
from datamodules.description.survey import TEST, TRAINING, Survey, SurveyedClip

SILENT_DBFS = -80.0
"""Root mean square below which sound counts as silent; rounding to 16 bits alone is at −101 dBFS."""

FLAT_SECONDS = 0.1
"""Shortest constant stretch of a clip that counts as interrupted."""

_RECORDING = re.compile(r"(?P<recording>.*?(?P<day>\d{2}-\d{2}-\d{2})_\d{4}_\d{5})_(?P<part>\d+)")
"""Name of a clip cut from a longer recording: day, time and number of the recording, and the part."""


class Duplicates(NamedTuple):
    """At least two clips with the same samples; ``same_file`` if their files are identical too."""

    clips: tuple[SurveyedClip, ...]
    same_file: bool

    @property
    def across_splits(self) -> bool:
        """Whether some are trained on and some tested on."""
        return len({clip.split for clip in self.clips}) > 1


class Shared(NamedTuple):
    """A recording, or a day, with clips in both splits."""

    name: str
    training: tuple[SurveyedClip, ...]
    test: tuple[SurveyedClip, ...]


class Findings(NamedTuple):
    """Problems found in a survey."""

    unusable: tuple[SurveyedClip, ...]  # unreadable, damaged or with non-finite values
    silent: tuple[SurveyedClip, ...]  # without sound, or constant
    interrupted: tuple[SurveyedClip, ...]  # other clips with a constant stretch
    clipped: tuple[SurveyedClip, ...]  # with samples cut off at full scale
    duplicates: tuple[Duplicates, ...]  # with the same samples, except silent ones
    recordings: tuple[Shared, ...]  # with clips in both splits
    days: tuple[Shared, ...]  # with clips in both splits
    dated: int  # number of clips whose names contain the recording and the day


def find(survey: Survey) -> Findings:
    """Find the problems in a survey; only files with the same samples are read again, to compare them."""
    clips = survey.clips
    silent = _where(clips, is_silent)
    names = {id(clip): match for clip in clips if (match := _RECORDING.fullmatch(PurePosixPath(clip.clip.name).stem))}
    dated = [clip for clip in clips if id(clip) in names]
    return Findings(
        unusable=tuple(clip for clip in clips if clip.measured is None),
        silent=silent,
        interrupted=_where(clips, lambda found: found.flat_seconds >= FLAT_SECONDS and not is_silent(found)),
        clipped=_where(clips, lambda found: found.clipped > 0),
        duplicates=_duplicates(_where(clips, lambda found: not is_silent(found))),
        recordings=_shared(dated, lambda clip: names[id(clip)]["recording"]),
        days=_shared(dated, lambda clip: names[id(clip)]["day"]),
        dated=len(dated),
    )


def is_silent(measured: Measured) -> bool:
    """Whether a file holds no sound: too faint or constant."""
    if measured.sample_rate:
        return measured.level_db < SILENT_DBFS or measured.flat_seconds >= measured.seconds
    return measured.level_db == measured.peak_db


def _where(clips: Iterable[SurveyedClip], holds: Callable[[Measured], bool]) -> tuple[SurveyedClip, ...]:
    return tuple(clip for clip in clips if clip.measured is not None and holds(clip.measured))


def _duplicates(clips: Sequence[SurveyedClip]) -> tuple[Duplicates, ...]:
    by_content = defaultdict(list)
    for clip in clips:
        if clip.measured is not None:
            by_content[clip.measured.content].append(clip)
    return tuple(Duplicates(tuple(same), _same_file(same)) for same in by_content.values() if len(same) > 1)


def _same_file(clips: Sequence[SurveyedClip]) -> bool:
    first, *others = (clip.clip.path for clip in clips)
    return all(filecmp.cmp(first, other, shallow=False) for other in others)


def _shared(clips: Sequence[SurveyedClip], origin: Callable[[SurveyedClip], str]) -> tuple[Shared, ...]:
    splits: dict[str, dict[str, list[SurveyedClip]]] = defaultdict(lambda: {TRAINING: [], TEST: []})
    for clip in clips:
        splits[origin(clip)][clip.split].append(clip)
    return tuple(
        Shared(name, tuple(of[TRAINING]), tuple(of[TEST]))
        for name, of in sorted(splits.items())
        if of[TRAINING] and of[TEST]
    )
