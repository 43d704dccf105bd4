"""From what a study compares to the list of its runs."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments.runs.folder import RunFolder
from experiments.study.definition import Grid, Options, Variant

Point = dict[str, tuple[Any, Any]]
"""One point of a grid: label and value by option."""


@dataclass(frozen=True)
class RunPlan:
    """One run of a study.

    Attributes:
        study: Name of the study.
        variant: What is compared, for example AE.
        settings: Labels of the grid's values that the run has, by the last part of the option's name.
        seed: Seed of everything.
        folder: The run's folder.
        fitted_in: Folder of the run whose training is tested: the run's own, unless only options of `test` are
            varied. None for a reference detector, which is not trained by `fit`.
        fit: Command line of `fit`, or of `detect` for a detector.
        test: Command line of `test`, if there is one.
    """

    study: str
    variant: str
    settings: dict[str, Any]
    seed: int
    folder: Path
    fitted_in: Path | None
    fit: list[str]
    test: list[str]

    @property
    def label(self) -> str:
        """What the run is called in the progress display and in errors."""
        settings = "".join(f" {name}={value}" for name, value in self.settings.items())
        return f"{self.variant}{settings} seed {self.seed}"

    @property
    def untrained_test(self) -> list[str]:
        """Command line that says all that `test` will, as long as there is no training whose configuration it takes."""
        of_training = () if self.fitted_in is None else _arguments(_trained(self.fitted_in))
        return ["test", *self.fit[1:], *(argument for argument in self.test[1:] if argument not in of_training)]


def plan_runs(variants: Sequence[Variant], folder: Path, overrides: Sequence[str] = ()) -> list[RunPlan]:
    """Work out the runs of a study.

    Args:
        variants: What it compares.
        folder: The study's folder, whose name is the study's.
        overrides: Arguments added to every `fit`, those about data to every `detect`; they win over those of the file.

    Returns:
        The runs, seed by seed, so that every variant has a result early.
    """
    plans = [plan for variant in variants for plan in _plans(variant, folder, list(overrides))]
    return sorted(plans, key=lambda plan: plan.seed)


def _plans(variant: Variant, folder: Path, overrides: list[str]) -> Iterator[RunPlan]:
    root, name = folder / "runs" / variant.name, folder.resolve().name
    for seed, fitted, tested in itertools.product(variant.seeds, _points(variant.grid), _points(variant.test_grid)):
        place, trained = (root / _folder_name(point) / f"seed_{seed}" for point in (fitted | tested, fitted))
        tracking = {
            "wandb.group": name,
            "wandb.job_type": variant.name,
            "wandb.tags": [variant.name, f"seed-{seed}"],
        }
        fit = variant.fit | _values(fitted) | {"seed_everything": seed}
        plan = RunPlan(
            study=name,
            variant=variant.name,
            settings={key.rpartition(".")[2]: label for key, (label, _) in (fitted | tested).items()},
            seed=seed,
            folder=place,
            fitted_in=None if variant.detector else trained,
            fit=[],
            test=[],
        )
        if variant.detector:
            plan.fit.extend(["detect", *_arguments(fit | {"detector.name": variant.detector, "run": str(place)})])
            plan.fit.extend(_about_data(overrides))
        else:
            plan.fit.extend(["fit", *_arguments(fit | tracking | {"run": str(trained)}), *overrides])
            of_other = {} if place == trained else _trained(trained)
            plan.test.extend(["test", *_arguments(of_other | variant.test | _values(tested) | {"run": str(place)})])
        yield plan


def _about_data(overrides: list[str]) -> list[str]:
    """Those of the overrides that a reference detector, which has neither network nor trainer, understands.

    Example:
        >>> _about_data(["--data.root", "x", "--wandb.mode=disabled", "--data.n_frames=80"])
        ['--data.root', 'x', '--data.n_frames=80']
    """
    kept, keep = [], False
    for argument in overrides:
        if argument.startswith("--"):
            keep = argument.startswith("--data")
        if keep:
            kept.append(argument)
    return kept


def _trained(folder: Path) -> Options:
    """Options that test what another run trained."""
    run = RunFolder(folder)
    return {"config": str(run.fit_config), "ckpt_path": str(run.checkpoint("best"))}


def _points(grid: Grid) -> list[Point]:
    """Every combination of the grid's values; one, without any, of an empty grid."""
    return [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]


def _values(point: Point) -> Options:
    return {key: value for key, (_, value) in point.items()}


def _folder_name(point: Point) -> str:
    """Name of a point's folder; "", which leaves a path as it is, where nothing is varied."""
    return ",".join(f"{key.rpartition('.')[2]}={label}" for key, (label, _) in point.items()).replace("/", "_")


def _arguments(options: Mapping[str, Any]) -> list[str]:
    """Options as a command line has them.

    Example:
        >>> _arguments({"model": "Autoencoder", "trainer.max_epochs": 3, "wandb.tags": ["AE"]})
        ['--model=Autoencoder', '--trainer.max_epochs=3', '--wandb.tags=["AE"]']
    """
    return [f"--{key}={value if isinstance(value, str) else json.dumps(value)}" for key, value in options.items()]
