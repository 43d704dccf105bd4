"""Read tested runs and studies to report on: which folders they are, and whether they can be compared."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from datamodules.splicing.dataset import CONTROL as SPLICED_CONTROL
from experiments.report.comparison import Comparison, EvaluationSet, Model, has_peaks, seed_of
from experiments.runs.config import channel_of, is_baseline
from experiments.runs.folder import STAGES, STUDY_FILE, RunFolder
from experiments.runs.results import Run, StudyMembership, read_membership, read_run
from lightning_modules.errors import ConfigurationError
from metrics.measures import MEASURES

_MACHINE = ("root", "machine", "section")
"""Settings of a study's grid that choose the recordings of a run."""

_PART = "part"
"""The setting that chooses one of several test sets of the same recordings."""

_SAME_LEVEL_DB = 0.01
"""Levels of the same recording differ by rounding only."""

_NAMED = 3
"""Folders that an error message names."""


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
    shown = explanations["percentile"].isin(percentiles) | ~explanations["measure"].map(has_peaks).astype(bool)
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
        label: Model(label, of_model[0].objective, _settings(of_model[0]), tuple(sorted(of_model, key=seed_of)))
        for label, of_model in zip(_labels([of_model[0] for of_model in ordered]), ordered, strict=True)
    }


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
        table(run).assign(model=label, run=i, seed=seed_of(run))[["model", "run", "seed", *table(run).columns]]
        for label, model in models.items()
        for i, run in enumerate(model.runs)
    ]
    return pd.concat([table for table in tables if len(table)] or tables[:1], ignore_index=True)


def _common_percentiles(runs: Sequence[Run]) -> set[int]:
    """Percentiles at which every measure of peaks of every run was measured."""
    found = [
        set(of_measure["percentile"])
        for run in runs
        for measure, of_measure in run.explanations.groupby("measure")
        if has_peaks(str(measure))
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
            if not has_peaks(measure) and set(rows["percentile"]) != set(found[0][1]["percentile"]):
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
