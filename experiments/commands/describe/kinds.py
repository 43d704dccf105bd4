"""The kinds of clips that a data set is described by, and the numbers of each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from datamodules.description import Measured, Survey, SurveyedClip
from datamodules.description.findings import is_silent
from datamodules.description.survey import NORMAL, TRAINING
from experiments.report.figures.style import readable

Array = NDArray[np.float64]

SOUND, SPECTROGRAMS = "recordings", "spectrograms"


@dataclass(frozen=True)
class Kind:
    """Clips of one split and one type.

    Attributes:
        split: "training" or "test".
        name: Type of the anomaly, or "normal".
        clips: All of them, those that cannot be used included.
    """

    split: str
    name: str
    clips: tuple[SurveyedClip, ...]

    @property
    def label(self) -> str:
        """What tables and figures call it."""
        return f"{self.split}, {readable(self.name)}"

    def measured(self, medium: str | None = None) -> list[Measured]:
        """What the files hold that can be used: all, or those of one medium."""
        found = (clip.measured for clip in self.clips)
        return [one for one in found if one is not None and medium in (None, medium_of(one))]

    def audible(self, medium: str) -> list[Measured]:
        """What the files of a medium hold that are not silent."""
        return [one for one in self.measured(medium) if not is_silent(one)]

    def values(self, number: Callable[[Measured], float], medium: str | None = None) -> Array:
        """A number of each clip that can be used."""
        return np.array([number(one) for one in self.measured(medium)], dtype=float)


def kinds_of(clips: Sequence[SurveyedClip]) -> list[Kind]:
    """Training before test, normal before anomalous."""
    places = {(clip.split, clip.kind) for clip in clips}
    order = sorted(places, key=lambda place: (place[0] != TRAINING, place[1] != NORMAL, place[1]))
    return [
        Kind(split, name, tuple(clip for clip in clips if (clip.split, clip.kind) == (split, name)))
        for split, name in order
    ]


def media_of(survey: Survey) -> list[str]:
    """Which of recordings and spectrograms the set has; their decibels do not compare."""
    present = {medium_of(clip.measured) for clip in survey.clips if clip.measured is not None}
    return [medium for medium in (SOUND, SPECTROGRAMS) if medium in present]


def medium_of(measured: Measured) -> str:
    """Whether a clip is a recording or a spectrogram."""
    return SOUND if measured.sample_rate else SPECTROGRAMS


def format_of(measured: Measured) -> str:
    """Container, samples, rate and channels in words.

    Example:
        >>> from datamodules.description import Measured
        >>> import numpy as np
        >>> format_of(Measured("WAV PCM_16", 10.0, 16_000, 1, -30.0, -3.0, 0, 0.0, "", np.empty(0)))
        'WAV 16 bit, 16 kHz, mono'
    """
    if not measured.sample_rate:
        return measured.form
    container, _, samples = measured.form.partition(" ")
    samples = f"{samples[4:]} bit" if samples.startswith("PCM_") else samples.lower().replace("_", " ")
    channels = {1: "mono", 2: "stereo"}.get(measured.channels, f"{measured.channels} channels")
    return f"{container} {samples}, {measured.sample_rate / 1000:g} kHz, {channels}"


def duration_text(seconds: float) -> str:
    """A duration as it is read.

    Example:
        >>> duration_text(9.975), duration_text(2640), duration_text(43_270)
        ('9.975 s', '44 min 0 s', '12 h 1 min')
    """
    if seconds < 60:
        return f"{seconds:.4g} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"
