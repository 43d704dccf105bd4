"""Properties of the files that separate anomalous from normal test clips without any model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from datamodules.description import Measured, Survey
from datamodules.description.survey import TEST
from experiments.commands.describe.clips import media_of
from lightning_modules.wording import counted, join
from metrics.functional import anomaly_auroc, oriented

LEVEL = "the level"

_TELLING_AUC = 0.7
"""AUC from which on a property is a finding."""

_FEWEST = 5
"""Test clips of each class from which on their levels are compared; those of fewer clips differ by chance."""

_MOST_VALUES = 3
"""Different values that a sentence names."""


@dataclass(frozen=True)
class Confound:
    """A property of the files by which test clips could be sorted.

    Attributes:
        name: What it is called, as in "the sampling rate".
        auc: AUC of the property alone as an anomaly score, at least 0.5.
        difference: How the classes differ, as the beginning of a sentence.
        normal: Its values in normal test clips, in words.
        anomalous: The same of anomalous ones.
    """

    name: str
    auc: float
    difference: str
    normal: str
    anomalous: str

    @property
    def is_telling(self) -> bool:
        """Whether it tells the classes apart well enough to be a finding."""
        return self.auc >= _TELLING_AUC

    @property
    def sentence(self) -> str:
        """How the classes differ, and what the difference alone detects."""
        verdict = (
            "which any detector should be compared with" if self.is_telling else f"a finding from {_TELLING_AUC:g} on"
        )
        return f"{self.difference}; {self.name} alone tells them apart with an AUC of {self.auc:.3f}, {verdict}."


def confounds(survey: Survey) -> list[Confound]:
    """What properties of the test clips' files reveal of their label, the most telling first; empty for one class.

    A sampling rate, a format or a number of channels counts as more anomalous the larger the share of anomalous clips
    that have it. Durations and levels are ranked, in the direction that gives the higher AUC; levels are left out where
    clips are few. Of recordings mixed with spectrograms only format and duration are compared. A property that all
    clips share is left out.
    """
    test = [(clip.measured, clip.clip.label) for clip in survey.clips if clip.split == TEST and clip.measured]
    found = [measured for measured, _ in test]
    labels = torch.tensor([label for _, label in test])
    counts = [int((labels == label).sum()) for label in (0, 1)]
    if not min(counts):
        return []
    properties = [
        _by_value("the file format", found, labels, lambda one: one.form.replace("_", " ")),
        _by_rank("the duration", ("longer", "shorter"), "{:.4g} s", found, labels, lambda one: one.seconds),
    ]
    if len(media_of(survey)) == 1:
        properties += [
            _by_value("the sampling rate", found, labels, lambda one: f"{one.sample_rate / 1000:g} kHz"),
            _by_value("the number of channels", found, labels, lambda one: counted(one.channels, "channel")),
        ]
        if min(counts) >= _FEWEST:
            level = _by_rank(LEVEL, ("louder", "quieter"), "{:.1f} dB", found, labels, lambda one: one.level_db)
            properties.append(level)
    return sorted((one for one in properties if one is not None), key=lambda one: -one.auc)


def _by_value(
    name: str, found: Sequence[Measured], labels: Tensor, value: Callable[[Measured], str]
) -> Confound | None:
    values = [value(one) for one in found]
    if len(set(values)) == 1:
        return None
    anomalous = Counter(v for v, label in zip(values, labels.tolist(), strict=True) if label)
    normal = Counter(v for v, label in zip(values, labels.tolist(), strict=True) if not label)
    scores = torch.tensor([anomalous[v] / (anomalous[v] + normal[v]) for v in values], dtype=torch.float64)
    of_normal, of_anomalous = _values_text(normal), _values_text(anomalous)
    difference = f"Normal test clips have {of_normal}, anomalous ones {of_anomalous}"
    return Confound(name, float(anomaly_auroc(scores, labels)), difference, of_normal, of_anomalous)


def _by_rank(
    name: str,
    sides: tuple[str, str],
    text: str,
    found: Sequence[Measured],
    labels: Tensor,
    number: Callable[[Measured], float],
) -> Confound | None:
    numbers = torch.tensor([number(one) for one in found], dtype=torch.float64)
    if len(numbers.unique()) == 1:
        return None
    scores = oriented(numbers, labels)
    side = sides[scores is not numbers]
    normal, anomalous = (float(np.median(numbers[labels == label])) for label in (0, 1))
    step = text.format(abs(anomalous - normal))
    return Confound(
        name,
        float(anomaly_auroc(scores, labels)),
        f"Anomalous test clips are {side} than normal ones by {step} in the median",
        *(f"{text.format(value)} in the median".replace("-", "−") for value in (normal, anomalous)),
    )


def _values_text(counts: Counter[str]) -> str:
    """Values, the most frequent first, each with its number of clips."""
    shown = [f"{value} ({number:,})" for value, number in counts.most_common(_MOST_VALUES)]
    more = [f"{len(counts) - _MOST_VALUES} more"] if len(counts) > _MOST_VALUES else []
    return join([*shown, *more])
