"""Runs and studies read side by side, after a check that they can be compared."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from datamodules.provenance import Provenance
from experiments.report.folders import runs_in
from experiments.report.groups import Group
from experiments.runs.config import channel_of
from experiments.runs.results import Run, read_run
from lightning_modules.errors import ConfigurationError

T = TypeVar("T")

_PERCENTILE = 98

_SAME_LEVEL_DB = 0.01
"""Levels of the same recording differ by rounding only."""
"""The percentile that tables show (paper section 3.4.2), where the runs have it."""


@dataclass(frozen=True, eq=False)
class Comparison:
    """Groups of runs tested on the same clips.

    Attributes:
        groups: By label: models that are explained first, then others, reference detectors last.
        unfinished: Runs of the studies that have no test results yet.
    """

    groups: dict[str, Group]
    unfinished: tuple[Path, ...] = ()
    _cache: dict[tuple[Any, ...], Any] = field(default_factory=dict, repr=False)

    @property
    def runs(self) -> dict[str, Run]:
        """Every run, by its group's label and, where a group has several, its seed."""
        return {_run_label(group, run): run for group in self.groups.values() for run in group.runs}

    @property
    def first(self) -> Run:
        """A run to ask what all share."""
        return next(iter(self.groups.values())).runs[0]

    @property
    def explained(self) -> dict[str, Group]:
        """The groups whose explanations were measured."""
        return {label: group for label, group in self.groups.items() if group.explainers}

    @property
    def detectors(self) -> dict[str, Group]:
        """The reference detectors."""
        return {label: group for label, group in self.groups.items() if group.is_reference}

    @property
    def explainers(self) -> tuple[str, ...]:
        """Explainers of any group, in the order of the files."""
        return tuple(dict.fromkeys(name for group in self.groups.values() for name in group.explainers))

    @property
    def percentiles(self) -> tuple[int, ...]:
        """The percentiles that all explained runs were measured at, in rising order."""
        return self.first_explained.percentiles if self.explained else ()

    @property
    def percentile(self) -> int | None:
        """The percentile at which tables show measures; None where nothing was explained."""
        if not self.percentiles:
            return None
        return _PERCENTILE if _PERCENTILE in self.percentiles else max(self.percentiles)

    @property
    def at(self) -> int:
        """Position of `percentile` in `percentiles`."""
        assert self.percentile is not None
        return self.percentiles.index(self.percentile)

    @property
    def first_explained(self) -> Group:
        """An explained group to ask what all share."""
        return next(iter(self.explained.values()))

    @property
    def provenance(self) -> Provenance | None:
        """How the test set was constructed, None if it was recorded as it is."""
        return next((run.provenance for run in self.runs.values() if run.provenance), None)

    @property
    def mark(self) -> str:
        """What notes and captions end on: that the test set is constructed, and what is to be known of networks."""
        constructed = [self.provenance.mark] if self.provenance else []
        networks = [f"{label}: {run.caution}." for label, run in self.runs.items() if run.caution]
        return "".join(f" {sentence}" for sentence in [*constructed, *networks])

    @property
    def anomaly_types(self) -> Counter[str]:
        """Number of test clips of each type of anomaly."""
        clips = self.first.clips
        return Counter(kind for kind, label in zip(clips.anomaly_types, clips.labels, strict=True) if label)

    def once(self, key: tuple[Any, ...], compute: Callable[[], T]) -> T:
        """What was computed under a key, or compute it: tables and sentences ask for the same tests."""
        if key not in self._cache:
            self._cache[key] = compute()
        found: T = self._cache[key]
        return found

    def measured(self, measure: str) -> dict[str, Group]:
        """The groups in which any clip has a measure."""
        return {label: group for label, group in self.explained.items() if group.measured(measure)}


def load_comparison(folders: Sequence[Path]) -> Comparison:
    """Read runs and studies to compare.

    Args:
        folders: Folders of runs, which must be tested, and of studies, whose tested runs are taken.

    Raises:
        ConfigurationError: If none is given, one is given twice, a run is unfinished, no run of a study is finished,
            a folder is inside or above the one meant, or they were tested, or explained, on different clips or
            percentiles.
    """
    if not folders:
        raise ConfigurationError("report needs the folder of at least one run or study")
    chosen, unfinished = runs_in(folders)
    repeated = [folder for folder, count in Counter(folder.resolve() for folder in chosen).items() if count > 1]
    if repeated:
        raise ConfigurationError(f"{repeated[0]} is given twice; name each run once")
    runs = [read_run(folder) for folder in chosen]
    _check_same_clips(runs)
    return Comparison(_group(runs, _common_percentiles(runs)), tuple(unfinished))


def _group(runs: Sequence[Run], percentiles: tuple[int, ...]) -> dict[str, Group]:
    """Put runs that differ by seed alone together; a run outside a study stays alone."""
    members: dict[str, list[Run]] = {}
    for i, run in enumerate(runs):
        of = run.membership
        key = json.dumps([of.study, of.variant, of.settings], sort_keys=True, default=str) if of else str(i)
        members.setdefault(key, []).append(run)
    groups = [_new_group(sorted(of_group, key=_seed), percentiles) for of_group in members.values()]
    groups.sort(key=lambda group: (group.is_reference, not group.explainers))
    return {label: replace(group, label=label) for label, group in zip(_labels(groups), groups, strict=True)}


def _new_group(runs: Sequence[Run], percentiles: tuple[int, ...]) -> Group:
    first = runs[0]
    settings: dict[str, Any] = dict(first.membership.settings) if first.membership else {}
    return Group("", first.objective, settings, tuple(runs), percentiles)


def _seed(run: Run) -> int:
    return run.membership.seed if run.membership else 0


def _labels(groups: Sequence[Group]) -> list[str]:
    """Names as short as tell all groups apart: variant, settings, study, folder."""

    def named(group: Group, *details: str) -> str:
        membership = group.runs[0].membership
        name = membership.variant if membership else group.objective
        found = ", ".join(filter(None, details))
        return f"{name} ({found})" if found else name

    def settings(group: Group) -> str:
        return ", ".join(f"{key.rpartition('.')[2]} {value}" for key, value in group.settings.items())

    def study(group: Group) -> str:
        membership = group.runs[0].membership
        return membership.study if membership else group.runs[0].folder.name

    ladder = (
        [named(group) for group in groups],
        [named(group, settings(group)) for group in groups],
        [named(group, settings(group), study(group)) for group in groups],
        [named(group, settings(group), str(group.runs[0].folder)) for group in groups],
    )
    return next((labels for labels in ladder if len(set(labels)) == len(groups)), ladder[-1])


def _run_label(group: Group, run: Run) -> str:
    return group.label if len(group.runs) == 1 else f"{group.label}, seed {_seed(run)}"


def _common_percentiles(runs: Sequence[Run]) -> tuple[int, ...]:
    found = [set(values.percentiles) for run in runs for values in (run.f1, run.faithfulness) if values is not None]
    if not found:
        return ()
    common = set.intersection(*found)
    if not common:
        raise ConfigurationError("the runs have no percentile in common; test them with the same percentiles")
    return tuple(sorted(common))


def _check_same_clips(runs: Sequence[Run]) -> None:
    first, *others = runs
    tested = set(zip(first.clips.names, first.clips.labels.tolist(), strict=True))
    for other in others:
        differing = tested ^ set(zip(other.clips.names, other.clips.labels.tolist(), strict=True))
        _require_same(first.folder, other.folder, "tested", differing)
        _require_same_recordings(first, other)
    for kind in ("f1", "faithfulness", "deletion"):
        found = [(run.folder, getattr(run, kind)) for run in runs if getattr(run, kind) is not None]
        for folder, values in found[1:]:
            _require_same(found[0][0], folder, "explained", set(found[0][1].names) ^ set(values.names))
            if kind == "deletion" and values.percentiles != found[0][1].percentiles:
                raise ConfigurationError(
                    f"{found[0][0]} and {folder} have deletion curves at different percentiles; test them with the same"
                )


def _require_same_recordings(first: Run, other: Run) -> None:
    """Check the levels of clips of one name, where both runs have them, and of the same channel."""
    if first.clips.levels is None or other.clips.levels is None or channel_of(first.config) != channel_of(other.config):
        return
    level = dict(zip(first.clips.names, first.clips.levels.tolist(), strict=True))
    for name, found in zip(other.clips.names, other.clips.levels.tolist(), strict=True):
        if abs(found - level[name]) > _SAME_LEVEL_DB:
            raise ConfigurationError(
                f"{first.folder} and {other.folder} were tested on different recordings: {name} has a level of "
                f"{level[name]:.1f} dB in one and {found:.1f} dB in the other; compare runs tested on the same"
            )


def _require_same(first: Path, other: Path, done: str, differing: set[Any]) -> None:
    if differing:
        raise ConfigurationError(
            f"{first} and {other} were {done} on different clips ({len(differing)} are in one only); "
            f"compare runs that were {done} on the same ones"
        )
