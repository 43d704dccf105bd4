"""Which folders a report reads: those of runs, and of studies, and what to say of any other."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from experiments.runs.folder import STAGES, STUDY_FILE, RunFolder
from lightning_modules.errors import ConfigurationError

_STUDY = "study.yaml"
"""What makes a folder that of a study."""

_NAMED = 3
"""Folders that advice names."""


def runs_in(folders: Sequence[Path]) -> tuple[list[Path], list[Path]]:
    """Folders of runs to read, and those of studies' runs that aren't tested yet.

    Args:
        folders: Folders of runs and of studies.

    Raises:
        ConfigurationError: If no run of a study is tested yet, or a folder is plainly above or inside the one meant;
            the message names that.
    """
    chosen: list[Path] = []
    unfinished: list[Path] = []
    for folder in folders:
        if not _is_study(folder):
            _refuse_wrong_level(folder)
            chosen.append(folder)
            continue
        members = _members(folder)
        tested = [run for run in members if RunFolder(run).is_finished("test")]
        if not tested:
            raise ConfigurationError(f"no run of the study {folder} is tested yet; run faithful-aad study on it first")
        chosen += tested
        unfinished += [run for run in members if run not in tested]
    return chosen, unfinished


def _refuse_wrong_level(folder: Path) -> None:
    if _is_run(folder):
        return
    if folder.name in STAGES and _is_run(folder.parent):
        raise ConfigurationError(f"{folder} is the {folder.name} folder of a run; name the run, {folder.parent}")
    # `runs` of a study, or a variant's folder inside it: no run, but below a study's folder.
    study = next((parent for parent in folder.parents if _is_study(parent)), None)
    if study is not None and folder.is_dir() and (study / "runs") in (folder, *folder.parents):
        inside = f"; name the study, {study}, or single runs in it"
        if any(folder in run.parents for run in _members(study)):
            raise ConfigurationError(f"{folder} is a folder inside a study{inside}")
    below = [path for path in sorted(folder.glob("*")) if _is_study(path) or _is_run(path)]
    if below:
        names = " ".join(str(path) for path in below[:_NAMED])
        more = f", or others of the {len(below)} in it" if len(below) > _NAMED else ""
        raise ConfigurationError(f"{folder} is no run and no study but holds some; name these: {names}{more}")


def _is_study(folder: Path) -> bool:
    return (folder / _STUDY).is_file()


def _is_run(folder: Path) -> bool:
    """Whether a stage has ever worked in this folder; what a stage wrote may be gone."""
    return (folder / STUDY_FILE).is_file() or any((folder / stage / "config.yaml").is_file() for stage in STAGES)


def _members(study: Path) -> list[Path]:
    return sorted(path.parent for path in (study / "runs").rglob(STUDY_FILE))
