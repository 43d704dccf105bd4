"""Tested runs and studies to report on: which folders they are, and what was measured on them side by side."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from datamodules.provenance import Provenance
from datamodules.splicing.dataset import CONTROL as SPLICED_CONTROL
from experiments.runs.config import channel_of, is_baseline
from experiments.runs.folder import STAGES, STUDY_FILE, RunFolder
from experiments.runs.results import Run, StudyMembership, has_roc, read_membership, read_run
from explainers.examples import Example
from lightning_modules.errors import ConfigurationError
from metrics.measures import HEADLINE_PERCENTILE, MEASURES, REFERENCES

NO_SEED = -1
"""Stands for the seed of runs outside studies, which is not known."""

_MACHINE = ("root", "machine", "section")
"""Settings of a study's grid that choose the recordings of a run."""

_PART = "part"
"""The setting that chooses one of several test sets of the same recordings."""

_SAME_LEVEL_DB = 0.01
"""Levels of the same recording differ by rounding only."""

_NAMED = 3
"""Folders that an error message names."""


class EvaluationSet(NamedTuple):
    """What the runs of a study that varies the data were tested on.

    Attributes:
        machine: Label of the recordings, "" where a study does not vary them.
        part: Which of several test sets of these recordings, "" where there is one.
    """

    machine: str = ""
    part: str = ""

    @property
    def label(self) -> str:
        """Both in a sentence."""
        return f"{self.machine} ({self.part})" if self.machine and self.part else self.machine or self.part

    @property
    def stem(self) -> str:
        """Both as the name of a file."""
        return "_".join(filter(None, self)).replace("/", "_")


@dataclass(frozen=True, eq=False)
class Model:
    """Runs that differ by their seed alone.

    Attributes:
        label: Its name in tables and figures.
        objective: AE, MAE, or the name of another class or of a baseline detector.
        settings: The study's settings that these runs share, empty for runs outside a study.
        runs: The runs by increasing seed.
    """

    label: str
    objective: str
    settings: dict[str, Any]
    runs: tuple[Run, ...]

    @property
    def seeds(self) -> tuple[int, ...]:
        """The runs' seeds, `NO_SEED` for a run outside a study."""
        return tuple(_seed(run) for run in self.runs)

    @property
    def is_baseline(self) -> bool:
        """Whether this is a baseline detector, which has no reconstruction to explain."""
        return is_baseline(self.runs[0].config)


@dataclass(frozen=True, eq=False)
class Comparison:
    """Models tested on the same clips.

    Attributes:
        models: By label: models that are explained first, then others, baseline detectors last.
        unfinished: Runs of the studies that have no test results yet.
        clips: `Run.clips` of all runs, with the columns model, run (its position in `Model.runs`) and seed first.
        explanations: `Run.explanations` of all runs, with the same columns first, at the percentiles that all runs
            have in common.
    """

    models: dict[str, Model]
    unfinished: tuple[Path, ...]
    clips: pd.DataFrame
    explanations: pd.DataFrame

    @property
    def runs(self) -> dict[str, Run]:
        """Every run, by its model's label and, where a model has several, its seed."""
        return {
            model.label if len(model.runs) == 1 else f"{model.label}, seed {_seed(run)}": run
            for model in self.models.values()
            for run in model.runs
        }

    @property
    def first(self) -> Run:
        """A run to ask for what all share."""
        return next(iter(self.models.values())).runs[0]

    @property
    def has_roc(self) -> bool:
        """Whether every run has an ROC."""
        return all(has_roc(run.clips) for run in self.runs.values())

    @cached_property
    def explained(self) -> dict[str, Model]:
        """The models whose explanations were measured."""
        labels = set(self.explanations["model"])
        return {label: model for label, model in self.models.items() if label in labels}

    @cached_property
    def explainers(self) -> tuple[str, ...]:
        """Explainers of any model, in the order of the files."""
        return tuple(name for name in self.explanations["explainer"].unique() if name not in REFERENCES)

    @cached_property
    def measures(self) -> tuple[str, ...]:
        """The measures that any clip has, in the order of `MEASURES`."""
        found = set(self.explanations.loc[self.explanations["value"].notna(), "measure"])
        return tuple(key for key in MEASURES if key in found)

    @property
    def headline(self) -> tuple[str, ...]:
        """Those of `measures` that overviews show."""
        return tuple(key for key in self.measures if MEASURES[key].headline)

    @cached_property
    def percentile(self) -> int | None:
        """The percentile at which tables show measures; None where no peaks were measured."""
        peaks = self.explanations["measure"].map(_over_peaks).astype(bool)
        percentiles = self.explanations.loc[peaks, "percentile"].unique().tolist()
        if not percentiles:
            return None
        return HEADLINE_PERCENTILE if HEADLINE_PERCENTILE in percentiles else max(percentiles)

    @property
    def provenance(self) -> Provenance | None:
        """How the test set was constructed, None for recordings as they are."""
        return next((run.provenance for run in self.runs.values() if run.provenance), None)

    @property
    def mark(self) -> str:
        """What notes and captions end with: that the test set is constructed, and cautions about the networks."""
        constructed = [self.provenance.mark] if self.provenance else []
        networks = [f"{label}: {run.caution}." for label, run in self.runs.items() if run.caution]
        return "".join(f" {sentence}" for sentence in [*constructed, *networks])

    @cached_property
    def anomaly_types(self) -> Counter[str]:
        """Number of test clips of each type of anomaly."""
        clips = self.first.clips
        return Counter(clips.loc[clips["label"] == 1, "anomaly_type"])

    def n_clips(self, measure: str) -> int:
        """Number of clips that a measure is over, 0 where no run has it."""
        return int(self.explanations.loc[self.explanations["measure"] == measure, "name"].nunique())

    def pairs(self) -> list[tuple[Model, Model]]:
        """The models to compare: each MAE with the AE of the same settings, or with the only AE.

        Without both objectives, two explained models are compared as they come.
        """
        explained = list(self.explained.values())
        autoencoders = [model for model in explained if model.objective == "AE"]
        found = []
        for model in explained:
            if model.objective == "MAE":
                partners = [other for other in autoencoders if other.settings == model.settings] or autoencoders
                found += [(partners[0], model)] if len(partners) == 1 else []
        return found or ([(explained[0], explained[1])] if len(explained) == 2 else [])

    def common_examples(self) -> list[dict[str, Example]]:
        """Clips kept by the first run of every model that kept any, by the model's label.

        One of each type of anomaly first, then a second of each, and so on.
        """
        kept = {
            label: {example.name: example for example in model.runs[0].examples}
            for label, model in self.models.items()
            if model.runs[0].examples
        }
        if not kept:
            return []
        common = set.intersection(*(set(examples) for examples in kept.values()))
        by_type: dict[str, list[str]] = defaultdict(list)
        for name, example in next(iter(kept.values())).items():
            if name in common:
                by_type[example.anomaly_type].append(name)
        ranked = sorted((rank, kind, name) for kind, names in by_type.items() for rank, name in enumerate(names))
        return [{label: examples[name] for label, examples in kept.items()} for _, _, name in ranked]


def load_comparison(folders: Sequence[Path]) -> Comparison:
    """Read runs and studies to compare.

    Args:
        folders: Folders of runs, which must be tested, and of studies, whose tested runs are taken.

    Raises:
        ConfigurationError: If no folder is given, one is given twice, a run is unfinished, no run of a study is
            finished, a folder is inside or above the one meant, or the runs were tested, or explained, on different
            clips or percentiles.
    """
    runs, unfinished = _read_runs(folders)
    return _compare(runs, unfinished)


def load_comparisons(folders: Sequence[Path]) -> tuple[dict[EvaluationSet, Comparison], tuple[Path, ...]]:
    """Read runs and studies to compare, of which those of each test set form a comparison of their own.

    Test sets are told apart by the settings of a study's grid: root, machine and section of the data, and part.

    Args:
        folders: As for `load_comparison`.

    Returns:
        The comparison of each test set, controls last, and the unfinished runs of test sets of which no run is tested.

    Raises:
        ConfigurationError: As `load_comparison`, or if only some of the runs have such settings.
    """
    runs, unfinished = _read_runs(folders)
    members: dict[EvaluationSet, list[Run]] = defaultdict(list)
    for run in runs:
        members[_evaluation_set(run.membership)].append(run)
    if len(members) > 1 and EvaluationSet() in members:
        raise ConfigurationError(
            f"{members[EvaluationSet()][0].folder} is of no study that varies the machine, and other runs are; "
            "report on them separately"
        )
    waiting: dict[EvaluationSet, list[Path]] = defaultdict(list)
    for folder in unfinished:
        waiting[_evaluation_set(read_membership(folder / STUDY_FILE))].append(folder)
    ordered = sorted(members, key=lambda found: (found.part == SPLICED_CONTROL, found))
    compared = {found: _compare(members[found], waiting.pop(found, [])) for found in ordered}
    return compared, tuple(folder for of_set in waiting.values() for folder in of_set)


def _evaluation_set(member: StudyMembership | None) -> EvaluationSet:
    settings = {} if member is None else member.settings
    return EvaluationSet(
        ", ".join(str(settings[key]) for key in _MACHINE if key in settings), str(settings.get(_PART, ""))
    )


def _read_runs(folders: Sequence[Path]) -> tuple[list[Run], list[Path]]:
    """The tested runs in some folders, and the folders of studies' runs that are not tested yet."""
    if not folders:
        raise ConfigurationError("report needs the folder of at least one run or study")
    chosen, unfinished = _run_folders(folders)
    repeated = [folder for folder, count in Counter(folder.resolve() for folder in chosen).items() if count > 1]
    if repeated:
        raise ConfigurationError(f"{repeated[0]} is given twice; name each run once")
    return [read_run(folder) for folder in chosen], unfinished


def _compare(runs: Sequence[Run], unfinished: Sequence[Path]) -> Comparison:
    """Compare runs that were tested on the same clips."""
    _require_same_clips(runs)
    models = _models(runs)
    explanations = _all_runs(models, lambda run: run.explanations)
    percentiles = _common_percentiles(runs)
    shown = explanations["percentile"].isin(percentiles) | ~explanations["measure"].map(_over_peaks).astype(bool)
    clips = _all_runs(models, lambda run: run.clips)
    return Comparison(models, tuple(unfinished), clips, explanations[shown].reset_index(drop=True))


def _run_folders(folders: Sequence[Path]) -> tuple[list[Path], list[Path]]:
    """Folders of runs to read, and those of studies' runs that are not tested yet."""
    chosen: list[Path] = []
    unfinished: list[Path] = []
    for folder in folders:
        if not _is_study(folder):
            _require_run_folder(folder)
            chosen.append(folder)
            continue
        members = _members(folder)
        tested = [run for run in members if RunFolder(run).is_finished("test")]
        if not tested:
            raise ConfigurationError(f"no run of the study {folder} is tested yet; run faithful-aad study on it first")
        chosen += tested
        unfinished += [run for run in members if run not in tested]
    return chosen, unfinished


def _require_run_folder(folder: Path) -> None:
    """Reject a folder that is plainly above or inside the one meant."""
    if _is_run(folder):
        return
    if folder.name in STAGES and _is_run(folder.parent):
        raise ConfigurationError(f"{folder} is the {folder.name} folder of a run; pass the run, {folder.parent}")
    study = next((parent for parent in folder.parents if _is_study(parent)), None)
    if study is not None and any(folder in run.parents for run in _members(study)):
        raise ConfigurationError(f"{folder} is a folder inside a study; pass the study, {study}, or single runs in it")
    below = [path for path in sorted(folder.glob("*")) if _is_study(path) or _is_run(path)]
    if below:
        names = " ".join(str(path) for path in below[:_NAMED])
        more = f", or others of the {len(below)} in it" if len(below) > _NAMED else ""
        raise ConfigurationError(f"{folder} is a folder that contains runs or studies; pass one of them: {names}{more}")


def _is_study(folder: Path) -> bool:
    return (folder / "study.yaml").is_file()


def _is_run(folder: Path) -> bool:
    """Whether a stage has ever worked in this folder; its results may be gone."""
    return (folder / STUDY_FILE).is_file() or any((folder / stage / "config.yaml").is_file() for stage in STAGES)


def _members(study: Path) -> list[Path]:
    return sorted(path.parent for path in (study / "runs").rglob(STUDY_FILE))


def _models(runs: Sequence[Run]) -> dict[str, Model]:
    """Put runs that differ by seed alone together; a run outside a study stays alone."""
    members: dict[str, list[Run]] = {}
    for i, run in enumerate(runs):
        of = run.membership
        key = json.dumps([of.study, of.variant, of.settings], sort_keys=True, default=str) if of else str(i)
        members.setdefault(key, []).append(run)
    ordered = sorted(
        members.values(), key=lambda runs: (is_baseline(runs[0].config), all(run.explanations.empty for run in runs))
    )
    return {
        label: Model(label, of_model[0].objective, _settings(of_model[0]), tuple(sorted(of_model, key=_seed)))
        for label, of_model in zip(_labels([of_model[0] for of_model in ordered]), ordered, strict=True)
    }


def _seed(run: Run) -> int:
    return run.membership.seed if run.membership else NO_SEED


def _settings(run: Run) -> dict[str, Any]:
    return run.membership.settings if run.membership else {}


def _labels(runs: Sequence[Run]) -> list[str]:
    """The shortest names that tell models apart, each by a run of it: variant, settings, study, folder."""

    def names(run: Run) -> list[str]:
        name = run.membership.variant if run.membership else run.objective
        own = {key: value for key, value in _settings(run).items() if key not in (*_MACHINE, _PART)}
        settings = ", ".join(f"{key.rpartition('.')[2]} {value}" for key, value in own.items())
        study = run.membership.study if run.membership else run.folder.name
        details = [[], [settings], [settings, study], [settings, str(run.folder)]]
        return [f"{name} ({', '.join(filter(None, of))})" if any(of) else name for of in details]

    by_length = list(zip(*map(names, runs), strict=True))
    return list(next((labels for labels in by_length if len(set(labels)) == len(runs)), by_length[-1]))


def _all_runs(models: dict[str, Model], table: Callable[[Run], pd.DataFrame]) -> pd.DataFrame:
    """The tables of all runs one after another, with the model, run and seed of each row."""
    tables = [
        table(run).assign(model=label, run=i, seed=_seed(run))[["model", "run", "seed", *table(run).columns]]
        for label, model in models.items()
        for i, run in enumerate(model.runs)
    ]
    return pd.concat([table for table in tables if len(table)] or tables[:1], ignore_index=True)


def _over_peaks(measure: str) -> bool:
    """Whether a measure's percentiles make peaks; deletion and insertion go from few frames to all."""
    return MEASURES[measure].family != "deletion"


def _common_percentiles(runs: Sequence[Run]) -> set[int]:
    """Percentiles at which every measure of peaks of every run was measured."""
    found = [
        set(of_measure["percentile"])
        for run in runs
        for measure, of_measure in run.explanations.groupby("measure")
        if _over_peaks(str(measure))
    ]
    common = set.intersection(*found) if found else set()
    if found and not common:
        raise ConfigurationError("the runs have no percentile in common; test them with the same percentiles")
    return common


def _require_same_clips(runs: Sequence[Run]) -> None:
    first, *others = runs
    tested = set(zip(first.clips["name"], first.clips["label"], strict=True))
    for other in others:
        differing = tested ^ set(zip(other.clips["name"], other.clips["label"], strict=True))
        _require_none_differ(first.folder, other.folder, "tested", len(differing))
        _require_same_levels(first, other)
    for measure in MEASURES:
        found = [(run.folder, run.explanations[run.explanations["measure"] == measure]) for run in runs]
        found = [(folder, rows) for folder, rows in found if not rows.empty]
        for folder, rows in found[1:]:
            differing = set(rows["name"]) ^ set(found[0][1]["name"])
            _require_none_differ(found[0][0], folder, "explained", len(differing))
            if not _over_peaks(measure) and set(rows["percentile"]) != set(found[0][1]["percentile"]):
                raise ConfigurationError(
                    f"{found[0][0]} and {folder} have {measure} curves at different percentiles; test them with the "
                    "same"
                )


def _require_same_levels(first: Run, other: Run) -> None:
    """Compare the levels of clips of one name, where both runs have them and use the same channel."""
    if not all("level" in run.clips for run in (first, other)) or channel_of(first.config) != channel_of(other.config):
        return
    levels = first.clips.merge(other.clips, on="name")
    different = levels[np.abs(levels["level_x"] - levels["level_y"]) > _SAME_LEVEL_DB]
    for clip in different.head(1).itertuples():
        raise ConfigurationError(
            f"{first.folder} and {other.folder} were tested on different recordings: {clip.name} has a level of "
            f"{clip.level_x:.1f} dB in one and {clip.level_y:.1f} dB in the other; compare runs tested on the same"
        )


def _require_none_differ(first: Path, other: Path, done: str, differing: int) -> None:
    if differing:
        raise ConfigurationError(
            f"{first} and {other} were {done} on different clips ({differing} are in one only); "
            f"compare runs that were {done} on the same ones"
        )
