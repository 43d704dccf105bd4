"""Clips of a data set by kind, what tables and sentences call their properties, and one row per clip as CSV."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import lazy_loader
import numpy as np
from numpy.typing import NDArray

from datamodules.description import Measured, Survey, SurveyedClip
from datamodules.description.findings import is_silent
from datamodules.description.survey import NORMAL, TRAINING
from experiments.report.figures.style import readable

pd = lazy_loader.load("pandas")

Array = NDArray[np.float64]

SOUND, SPECTROGRAMS = "recordings", "spectrograms"


@dataclass(frozen=True)
class Kind:
    """Clips of one split and one type.

    Attributes:
        split: "training" or "test".
        name: Type of the anomaly, or "normal".
        clips: All clips, unusable ones included.
    """

    split: str
    name: str
    clips: tuple[SurveyedClip, ...]

    @property
    def label(self) -> str:
        """Split and type, as tables and figures show them."""
        return f"{self.split}, {readable(self.name)}"

    def measured(self, medium: str | None = None) -> list[Measured]:
        """Measurements of the usable files, of one medium if given."""
        found = (clip.measured for clip in self.clips)
        return [one for one in found if one is not None and medium in (None, medium_of(one))]

    def audible(self, medium: str) -> list[Measured]:
        """Measurements of a medium's files that are not silent."""
        return [one for one in self.measured(medium) if not is_silent(one)]

    @property
    def annotated(self) -> list[SurveyedClip]:
        """The clips with annotated intervals."""
        return [clip for clip in self.clips if clip.clip.intervals]

    def values(self, number: Callable[[Measured], float], medium: str | None = None) -> Array:
        """A number of each usable clip."""
        return np.array([number(one) for one in self.measured(medium)], dtype=float)


def kinds_of(clips: Sequence[SurveyedClip]) -> list[Kind]:
    """Group clips by split and type, training before test and normal before anomalous."""
    places = {(clip.split, clip.kind) for clip in clips}
    order = sorted(places, key=lambda place: (place[0] != TRAINING, place[1] != NORMAL, place[1]))
    return [
        Kind(split, name, tuple(clip for clip in clips if (clip.split, clip.kind) == (split, name)))
        for split, name in order
    ]


def media_of(survey: Survey) -> list[str]:
    """Which of recordings and spectrograms the set has; their decibels are not comparable."""
    present = {medium_of(clip.measured) for clip in survey.clips if clip.measured is not None}
    return [medium for medium in (SOUND, SPECTROGRAMS) if medium in present]


def medium_of(measured: Measured) -> str:
    """Whether a clip is a recording or a spectrogram."""
    return SOUND if measured.sample_rate else SPECTROGRAMS


def format_of(measured: Measured) -> str:
    """Describe container, sample format, rate and channels.

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
    """Format a duration.

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


def annotated_seconds(clip: SurveyedClip) -> float:
    """Seconds of a clip inside an annotated interval, overlaps counted once."""
    total, reached = 0.0, 0.0
    for start, end in sorted(clip.clip.intervals):
        total += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return total


def clips_csv(survey: Survey, same_samples: Mapping[str, str], flags: Mapping[str, Sequence[str]]) -> str:
    """Write one CSV row per clip.

    Args:
        survey: The data set.
        same_samples: Name of a clip with the same samples, by the clip's name.
        flags: Words for what was found, by the clip's name.
    """
    rows = []
    for clip in survey.clips:
        name, found = clip.clip.name, clip.measured
        rows.append(
            {
                "name": name,
                "split": clip.split,
                "type": clip.kind,
                "format": found and format_of(found),
                "seconds": found and f"{found.seconds:.6g}",
                "sample_rate": found and (found.sample_rate or ""),
                "channels": found and (found.channels or ""),
                "level_db": found and f"{found.level_db:.2f}",
                "peak_db": found and f"{found.peak_db:.2f}",
                "clipped_samples": found and str(found.clipped),
                "flat_seconds": found and f"{found.flat_seconds:.6g}",
                "channel_levels_db": found and " ".join(f"{level:.2f}" for level in found.channel_levels_db),
                "intervals": len(clip.clip.intervals),
                "annotated_seconds": f"{annotated_seconds(clip):.6g}" if clip.clip.intervals else "",
                "same_samples_as": same_samples.get(name, ""),
                "findings": " ".join(flags.get(name, ())),
                "problem": clip.problem,
            }
        )
    return pd.DataFrame(rows, dtype=object).to_csv(index=False, lineterminator="\n")
