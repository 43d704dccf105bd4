"""From what a study compares to the list of its runs, and what is still to do of each."""

from __future__ import annotations

import itertools
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments.runs.folder import (
    STAGES,
    STUDY_FILE,
    TRACKING_FOLDER,
    TRACKING_ID_FILE,
    TRAINING_FILE,
    RunFolder,
    allows_more,
)
from experiments.study.changes import MAX_EPOCHS, differing, max_epochs_of, options_of, study_of
from experiments.study.definition import Grid, Options, Variant
from experiments.study.process import FAILED_FILE, Step
from experiments.study.resources import SlurmSettings
from lightning_modules.errors import ConfigurationError
from lightning_modules.files import write_atomically

LOG_FILE = "log.txt"
_STEPS = ("fit", "curve", "test")

Point = dict[str, tuple[Any, Any]]
"""One point of a grid: label and value by option."""


@dataclass(frozen=True)
class RunPlan:
    """One run of a study.

    Attributes:
        root: Folder of the study.
        variant: What is compared, for example AE.
        settings: Labels of the run's values of the grid, by the last part of the option's name.
        fit_settings: Those of options of `fit`.
        seed: Seed of everything.
        folder: The run's folder.
        fitted_in: Folder of the run whose training is tested: the run's own, unless only options of `test` vary.
        fit: Command line of `fit`.
        curve: Command line of `curve`, empty where no curve is made.
        test: Command line of `test`.
        slurm: What its job requests from a cluster.
        discarded: Folders of runs whose training and results `record` deletes, for them to be made again.
    """

    root: Path
    variant: str
    settings: dict[str, Any]
    fit_settings: dict[str, Any]
    seed: int
    folder: Path
    fitted_in: Path
    fit: list[str]
    curve: list[str]
    test: list[str]
    slurm: SlurmSettings
    discarded: frozenset[Path] = frozenset()

    @property
    def study(self) -> str:
        """Name of the study: that of its folder."""
        return self.root.resolve().name

    @property
    def label(self) -> str:
        """What the run is called in the progress display and in errors."""
        settings = "".join(f" {name}={value}" for name, value in self.settings.items())
        return f"{self.variant}{settings} seed {self.seed}"

    @property
    def log(self) -> Path:
        """What `test` printed, and `fit` unless it has a folder of its own."""
        return self.folder / LOG_FILE

    @property
    def whole_test(self) -> list[str]:
        """Command line of `test`, with the options of the training where that has not begun."""
        return self._whole(self.test)

    @property
    def whole_curve(self) -> list[str]:
        """Command line of `curve`, likewise; empty where no curve is made."""
        return self._whole(self.curve) if self.curve else []

    def _whole(self, command: list[str]) -> list[str]:
        if self.fitted_in not in self.discarded and RunFolder(self.fitted_in).fit_config.is_file():
            return command
        of_training = _arguments(_trained(self.fitted_in))
        return [command[0], *self.fit[1:], *(argument for argument in command[1:] if argument not in of_training)]

    def change(self) -> str:
        """The first option of `fit` that differs from those that the run was made with; "" if none does.

        A higher `max_epochs` does not count as a change, since the training goes on.
        """
        made = self._read_record()
        # A run that failed before its first stage has nothing that the new options could be mixed with.
        begun = any((self.folder / stage).exists() for stage in ("fit", "test"))
        if not begun or made is None or self.fitted_in in self.discarded:
            return ""
        now = options_of(self.fit, self.root)
        changes = differing(made["fit"], now)
        new = max_epochs_of(now)
        if changes.keys() == {MAX_EPOCHS} and new is not None:
            _, bound = RunFolder(self.fitted_in).epochs()  # the options may leave it to the configuration
            if new == bound or allows_more(bound, new):
                return ""
        return next(iter(changes.values()), "")

    def goes_on(self) -> bool:
        """Whether the training has finished at the bound of its epochs, which the plan raises."""
        run = RunFolder(self.fitted_in)
        done, bound = run.epochs() if run.is_finished("fit") else (0, None)
        new = max_epochs_of(options_of(self.fit, self.root))
        return bound is not None and done == bound and new is not None and allows_more(bound, new)

    def is_fitted(self) -> bool:
        """Whether the training that the run tests has finished.

        Raises:
            ConfigurationError: If the run's folder was made with other options of training.
        """
        change = self.change()
        if change:
            raise ConfigurationError(
                f"{self.folder} was made with other options ({change}); discard it with --redo '{self.label}', or give "
                "the study another --output"
            )
        is_finished = self.fitted_in not in self.discarded and RunFolder(self.fitted_in).is_finished("fit")
        return is_finished and not self.goes_on()

    def is_tested(self) -> bool:
        """Whether the run has its results, made with the options that the plan has now."""
        made = self._read_record()
        is_same = made is not None and made["test"] == options_of(self.test, self.root)
        is_tested = is_same and RunFolder(self.folder).is_finished("test")
        return is_tested and self.folder not in self.discarded and not self.goes_on()

    def has_curve(self) -> bool:
        """Whether the training's checkpoints are evaluated with the options that the plan has now, or need not be."""
        made = self._read_record()
        is_same = made is not None and made["curve"] == options_of(self.curve, self.root)
        is_made = is_same and RunFolder(self.fitted_in).is_finished("curve")
        return not self.curve or (is_made and self.fitted_in not in self.discarded and not self.goes_on())

    def is_complete(self) -> bool:
        """Whether nothing is left to do."""
        return self.is_tested() and self.has_curve()

    def record(self) -> None:
        """Write into the run's folder which run of which study it is, and how it is made.

        What is discarded is deleted, and so are results that were made with other options, so that they are not taken
        for those of the plan.

        Raises:
            ConfigurationError: If another process is working on what is discarded.
        """
        for folder in self.discarded & {self.folder, self.fitted_in}:
            _delete(folder)
        if not self.is_tested():
            RunFolder(self.folder).clear("test")
        if not self.has_curve():
            RunFolder(self.fitted_in).mark("curve").unlink(missing_ok=True)
        contents = {key: getattr(self, key) for key in ("study", "variant", "settings", "seed", *_STEPS)}
        write_atomically(self.folder / STUDY_FILE, json.dumps(contents, indent=1).encode())
        if self.fitted_in != self.folder:
            of_training = {key: contents[key] for key in ("study", "variant", "seed")} | {"settings": self.fit_settings}
            write_atomically(self.fitted_in / TRAINING_FILE, json.dumps(of_training, indent=1).encode())

    def failure(self) -> str:
        """Why the last step that failed did so; "" if none did since it was started again."""
        for folder in (self.folder, self.fitted_in):
            path = folder / FAILED_FILE
            if path.is_file():
                return path.read_text(encoding="utf-8", errors="replace")
        return ""

    def forget_failure(self) -> None:
        """Delete what was recorded of a failure, once the run has its results, by whichever command."""
        for folder in (self.folder, self.fitted_in):
            (folder / FAILED_FILE).unlink(missing_ok=True)

    def _read_record(self) -> dict[str, dict[str, str]] | None:
        """The options of each step that the run was made with; None if nothing is recorded."""
        path = self.folder / STUDY_FILE
        try:
            made: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            study = study_of(made["test"], self.folder.relative_to(self.root))
            return {step: options_of(made.get(step, []) if step == "curve" else made[step], study) for step in _STEPS}
        except FileNotFoundError:
            return None
        # A UnicodeEncodeError is about the path, not about the file.
        except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError, AttributeError) as error:
            raise ConfigurationError(f"{path} is damaged ({error}); delete the folder") from error


def _delete(folder: Path) -> None:
    """Delete the stages of a run, what is known of its failure, and what W&B has not uploaded of it."""
    run = RunFolder(folder)
    with ExitStack() as locks:
        for stage in STAGES:
            locks.enter_context(run.alone(stage))
        for stage in STAGES:
            run.clear(stage)
    for name in (STUDY_FILE, TRAINING_FILE, FAILED_FILE, TRACKING_ID_FILE):
        (folder / name).unlink(missing_ok=True)
    shutil.rmtree(folder / TRACKING_FOLDER, ignore_errors=True)


def plan_runs(variants: Sequence[Variant], folder: Path, overrides: Sequence[str] = ()) -> list[RunPlan]:
    """Work out the runs of a study.

    Args:
        variants: What it compares.
        folder: The study's folder, whose name is the study's.
        overrides: Arguments added to every `fit`; they win over those of the file.

    Returns:
        The runs, seed by seed, so that every variant has a result early.
    """
    plans = [plan for variant in variants for plan in _plans(variant, folder, overrides)]
    return sorted(plans, key=lambda plan: plan.seed)


def open_plans(plans: Sequence[RunPlan]) -> list[RunPlan]:
    """The runs that lack results, or that test a training which is repeated for another run."""
    found = []
    for _, group in itertools.groupby(plans, key=lambda plan: plan.fitted_in):
        runs = list(group)
        fitted = runs[0].is_fitted()
        incomplete = [run for run in runs if not run.is_complete()]
        found += incomplete if fitted or not incomplete else runs
    return found


def make_jobs(plans: Sequence[RunPlan]) -> list[list[Step]]:
    """The steps of some runs; runs that test one training are one job, whose steps run one after another."""
    jobs = []
    for trained, group in itertools.groupby(plans, key=lambda plan: plan.fitted_in):
        runs = list(group)
        fit = Step(f"{runs[0].label}: fit", runs[0].fit, RunFolder(trained).mark("fit"), trained / LOG_FILE)
        is_fitted = runs[0].is_fitted()
        tested = [run for run in runs if not (is_fitted and run.is_tested())]
        steps = [] if is_fitted else [fit]
        steps += [Step(f"{run.label}: test", run.test, RunFolder(run.folder).mark("test"), run.log) for run in tested]
        if not (is_fitted and runs[0].has_curve()) and runs[0].curve:
            curve = RunFolder(trained).mark("curve")
            steps.append(Step(f"{runs[0].label}: curve", runs[0].curve, curve, trained / LOG_FILE))
        jobs.append(steps)
    return jobs


def _plans(variant: Variant, folder: Path, overrides: Sequence[str]) -> Iterator[RunPlan]:
    root, name = folder / "runs" / variant.name, folder.resolve().name
    for seed, fitted, tested in itertools.product(variant.seeds, _points(variant.grid), _points(variant.test_grid)):
        place, trained = (root / _folder_name(point) / f"seed_{seed}" for point in (fitted | tested, fitted))
        tracking = {"wandb.group": name}
        fit = variant.fit | _values(fitted) | {"seed_everything": seed} | tracking | {"run": str(trained)}
        of_other = {} if place == trained else _trained(trained)
        test = of_other | variant.test | _values(tested) | {"run": str(place)}
        curve = None if variant.curve is None else variant.curve | {"run": str(trained)}
        yield RunPlan(
            root=folder,
            variant=variant.name,
            settings=_labels(fitted | tested),
            fit_settings=_labels(fitted),
            seed=seed,
            folder=place,
            fitted_in=trained,
            fit=["fit", *_arguments(fit), *overrides],
            curve=[] if curve is None else ["curve", *_arguments(curve)],
            test=["test", *_arguments(test)],
            slurm=variant.slurm,
        )


def _trained(folder: Path) -> Options:
    """Options of `test` for the training of another run."""
    run = RunFolder(folder)
    return {"config": str(run.fit_config), "ckpt_path": str(run.checkpoint("best"))}


def _points(grid: Grid) -> list[Point]:
    """Every combination of the grid's values; an empty grid has one, without any value."""
    return [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]


def _values(point: Point) -> Options:
    return {key: value for key, (_, value) in point.items()}


def _labels(point: Point) -> dict[str, Any]:
    return {key.rpartition(".")[2]: label for key, (label, _) in point.items()}


def _folder_name(point: Point) -> str:
    """Name of a point's folder; "", which leaves a path as it is, where nothing is varied."""
    return ",".join(f"{key.rpartition('.')[2]}={label}" for key, (label, _) in point.items()).replace("/", "_")


def _arguments(options: Mapping[str, Any]) -> list[str]:
    """Options as a command line.

    Example:
        >>> _arguments({"model": "Autoencoder", "trainer.max_epochs": 3, "wandb.tags": ["AE"]})
        ['--model=Autoencoder', '--trainer.max_epochs=3', '--wandb.tags=["AE"]']
    """
    return [f"--{key}={value if isinstance(value, str) else json.dumps(value)}" for key, value in options.items()]
