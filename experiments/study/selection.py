"""Which runs of a study a command is about: those of some variants, and those to be made again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from experiments.runs.folder import STAGES, TRACKING_FOLDER
from experiments.study.plan import RunPlan
from lightning_modules.errors import ConfigurationError
from lightning_modules.wording import join


def select(plans: Sequence[RunPlan], variants: Sequence[str]) -> list[RunPlan]:
    """The runs of some variants.

    Raises:
        ConfigurationError: If a name is not a variant's.
    """
    names = list(dict.fromkeys(plan.variant for plan in plans))
    for variant in variants:
        if variant not in names:
            raise ConfigurationError(f"--only {variant} is not a variant; choose from {', '.join(names)}")
    return [plan for plan in plans if plan.variant in variants]


def discard(plans: Sequence[RunPlan], names: Sequence[str]) -> list[RunPlan]:
    """The runs of a study, some of which are to be made again.

    Args:
        plans: The runs.
        names: Labels of runs, as `study --status` lists them, or folders. Of a run that only tests the training of
            another folder, the test is made again; the name of that folder is about the training and all its tests.

    Raises:
        ConfigurationError: If a name is not that of a run.
    """
    folders: set[Path] = set()
    for name in names:
        place = Path(name).resolve()
        found = {plan.folder for plan in plans if plan.label == name or place in _places(plan)}
        found |= {plan.fitted_in for plan in plans if plan.fitted_in.resolve() == place}
        if not found:
            raise ConfigurationError(
                f"--redo {name} is not a run; choose from {', '.join(plan.label for plan in plans)}, or name its folder"
            )
        folders |= found
    return [replace(plan, discarded=frozenset(folders)) for plan in plans]


def deletions(plans: Sequence[RunPlan]) -> list[str]:
    """What is deleted of runs that are made again: a line per folder that has something."""
    folders = sorted({folder for plan in plans for folder in plan.discarded})
    parts = {folder: [part for part in (*STAGES, TRACKING_FOLDER) if (folder / part).exists()] for folder in folders}
    return [f"deletes {join(found)} of {folder}" for folder, found in parts.items() if found]


def _places(plan: RunPlan) -> set[Path]:
    return {plan.folder.resolve(), plan.fitted_in.resolve()}
