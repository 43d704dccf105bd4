"""Runs read side by side, after a check that they can be compared."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from experiments.results import ClipValues, Run, read_run
from lightning_modules.errors import ConfigurationError

_PERCENTILE = 98
"""The percentile that tables show (paper section 3.4.2), where the runs have it."""


@dataclass(frozen=True)
class Comparison:
    """Runs tested on the same clips.

    Attributes:
        runs: By label: the objective where it is unique, otherwise with the folder.
    """

    runs: dict[str, Run]

    @property
    def first(self) -> Run:
        """A run to ask what all share."""
        return next(iter(self.runs.values()))

    @property
    def f1(self) -> dict[str, ClipValues]:
        """Agreement with the annotation, of the runs that measured it."""
        return {label: run.f1 for label, run in self.runs.items() if run.f1 is not None}

    @property
    def faithfulness(self) -> dict[str, ClipValues]:
        """Faithfulness, of the runs that measured it."""
        return {label: run.faithfulness for label, run in self.runs.items() if run.faithfulness is not None}

    @property
    def measures(self) -> list[ClipValues]:
        """Everything measured of explanations."""
        return [*self.f1.values(), *self.faithfulness.values()]

    @property
    def explainers(self) -> list[str]:
        """Explainers of any run, in the order of the files."""
        return list(dict.fromkeys(name for values in self.measures for name in values.explainers))

    @property
    def anomaly_types(self) -> Counter[str]:
        """Number of test clips of each type of anomaly."""
        clips = self.first.clips
        return Counter(kind for kind, label in zip(clips.anomaly_types, clips.labels, strict=True) if label)

    @property
    def percentile(self) -> int | None:
        """The percentile at which tables show measures; None where nothing was explained."""
        if not self.measures:
            return None
        common = set.intersection(*(set(values.percentiles) for values in self.measures))
        return _PERCENTILE if _PERCENTILE in common else max(common)


def load_comparison(folders: Sequence[Path]) -> Comparison:
    """Read runs to compare.

    Raises:
        ConfigurationError: If none is given, one is given twice or unfinished, or they were tested, or explained, on
            different clips or percentiles.
    """
    if not folders:
        raise ConfigurationError("report needs the folder of at least one run")
    repeated = [folder for folder, count in Counter(folder.resolve() for folder in folders).items() if count > 1]
    if repeated:
        raise ConfigurationError(f"{repeated[0]} is given twice; name each run once")
    comparison = Comparison(_label([read_run(folder) for folder in folders]))
    _check_same_clips(comparison)
    return comparison


def _label(runs: Sequence[Run]) -> dict[str, Run]:
    """Name runs by objective, with the folder's name or its whole path added until all differ."""
    names = (
        [run.objective for run in runs],
        [f"{run.objective} ({run.folder.name})" for run in runs],
        [f"{run.objective} ({run.folder})" for run in runs],
    )
    chosen = next((labels for labels in names if len(set(labels)) == len(runs)), names[-1])
    return dict(zip(chosen, runs, strict=True))


def _check_same_clips(comparison: Comparison) -> None:
    first, *others = comparison.runs.values()
    for other in others:
        tested = [set(zip(run.clips.names, run.clips.labels.tolist(), strict=True)) for run in (first, other)]
        _require_same(first.folder, other.folder, "tested", tested[0] ^ tested[1])
    kinds: tuple[Literal["f1", "faithfulness"], ...] = ("f1", "faithfulness")
    for kind in kinds:
        measured = [(comparison.runs[label], values) for label, values in getattr(comparison, kind).items()]
        for run, values in measured[1:]:
            explained = set(measured[0][1].names) ^ set(values.names)
            _require_same(measured[0][0].folder, run.folder, "explained", explained)
    if comparison.measures and not set.intersection(*(set(values.percentiles) for values in comparison.measures)):
        raise ConfigurationError("the runs have no percentile in common; test them with the same percentiles")


def _require_same(first: Path, other: Path, done: str, differing: set[object]) -> None:
    if differing:
        raise ConfigurationError(
            f"{first} and {other} were {done} on different clips ({len(differing)} are in one only); "
            f"compare runs that were {done} on the same ones"
        )
