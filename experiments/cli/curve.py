"""The stage `curve`: what the checkpoints of a training reach on the labelled validation clips."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
from lightning.pytorch import Callback, LightningDataModule, LightningModule, Trainer
from lightning.pytorch.callbacks import ProgressBar
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from datamodules import SpectrogramDataModule
from datamodules.provenance import PROVENANCE_FILE
from experiments.cli.errors import Stopped
from experiments.predictions.callback import Predictions
from experiments.runs.checkpoints import read_checkpoint
from experiments.runs.config import read_config
from experiments.runs.curve import curve_rows
from experiments.runs.folder import CAUTION_FILE, CONFIG_FILE, RunFolder, settings_of
from experiments.runs.results import CURVE_COLUMNS, CURVE_FILE, read_curve
from experiments.tracking.run_figures import RunFigures
from explainers import SanityChecks
from lightning_modules import ConfigurationError
from lightning_modules.files import write_table
from metrics.callbacks.deletion import DeletionInsertion

_STAGE = "curve"
_KEPT = (CURVE_FILE, CONFIG_FILE, CAUTION_FILE, PROVENANCE_FILE)
# Measures without a chance level and figures of single clips say nothing about a training's length.
_UNUSED = (DeletionInsertion, SanityChecks, Predictions, RunFigures, ProgressBar)
_OF_RESULTS = ("seed_everything", "data", "model", "trainer", "attributions", "detection", "fscore", "faithfulness")


class CurveTrainer(Trainer):
    """Lightning's trainer, with the stage `curve` beside its own."""

    def curve(
        self,
        model: LightningModule,
        datamodule: LightningDataModule,
        ckpt_path: str | None = None,
        weights_only: bool | None = None,
    ) -> None:
        """Evaluate the checkpoints that fit kept with --curve_checkpoints, on labelled validation clips.

        The command line takes its options from here; see `evaluate_checkpoints` for what it does.

        Args:
            model: The model.
            datamodule: Its data.
            ckpt_path: Not to be given: all checkpoints are evaluated.
            weights_only: Whether checkpoints may contain nothing but tensors and primitive types.
        """
        raise NotImplementedError


def require_labelled(data: SpectrogramDataModule) -> None:
    """Raise a ConfigurationError if no labelled clips are held out."""
    if not data.labelled_validation:
        raise ConfigurationError(
            "curve needs labelled clips that are not in the test set; hold out a share of them with "
            "--data.labelled_validation 0.3, in fit and test as well"
        )


def unused_callbacks(callbacks: Iterable[Callback]) -> list[Callback]:
    """The callbacks of an evaluation that the curve does without."""
    return [callback for callback in callbacks if isinstance(callback, _UNUSED)]


def rows_to_keep(run: RunFolder, config: Mapping[str, Any], checkpoints: Collection[int]) -> pd.DataFrame:
    """Rows that an earlier attempt has written with the same options.

    Args:
        run: The run.
        config: The stage's configuration.
        checkpoints: Numbers of epochs trained of the curve's checkpoints.
    """
    folder = run.path / _STAGE
    try:
        made = read_config(folder / CONFIG_FILE)
        curve = read_curve(folder)
    except (ConfigurationError, FileNotFoundError):  # damaged, or nothing was made
        curve = None
    if curve is None or settings_of(made, _OF_RESULTS) != settings_of(config, _OF_RESULTS):
        return pd.DataFrame(columns=list(CURVE_COLUMNS))
    return curve[curve["epochs"].isin(checkpoints)]


def evaluate_checkpoints(
    trainer: Trainer,
    model: LightningModule,
    datamodule: Any,
    run: RunFolder,
    checkpoints: Mapping[int, Path],
    curve: pd.DataFrame,
) -> pd.DataFrame:
    """Evaluate checkpoints one after another, and write ``curve.csv`` after each.

    Args:
        trainer: Logs into the stage's folder.
        model: Takes the weights.
        datamodule: Has the clips.
        run: The run.
        checkpoints: Files by the number of epochs trained.
        curve: Rows of those that are evaluated already.

    Returns:
        The rows of all checkpoints; on other processes than the first those of an earlier attempt.

    Raises:
        Stopped: After Ctrl-C or SIGTERM.
    """
    folder, is_first = run.path / _STAGE, trainer.is_global_zero
    done = set(curve["epochs"])
    todo = {epochs: path for epochs, path in checkpoints.items() if epochs not in done}
    if is_first:
        run.mark(_STAGE).unlink(missing_ok=True)
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    console = Console(stderr=True, highlight=False)
    progress = Progress(*columns, TextColumn("left"), TimeRemainingColumn(), console=console, disable=not is_first)
    with progress as bar, _each_warning_once():
        task = bar.add_task("checkpoints", total=len(checkpoints), completed=len(done))
        for epochs, path in todo.items():
            bar.update(task, description=f"checkpoints (epoch {epochs})")
            try:
                trainer.validate(model, datamodule=datamodule, ckpt_path=path, verbose=False)
            except (SystemExit, KeyboardInterrupt) as stop:  # Lightning makes the first of the second
                reached = f"after {len(done)} of {len(checkpoints)} checkpoints"
                raise Stopped(f" {reached}; the same command goes on from there") from stop
            done.add(epochs)
            if is_first:
                checkpoint = read_checkpoint(path)
                rows = curve_rows(folder, trainer.callback_metrics, checkpoint, len(datamodule.val_clips))
                curve = rows if curve.empty else pd.concat([curve, rows])
                curve = curve.sort_values("epochs", kind="stable")
                write_table(folder / CURVE_FILE, curve)
            bar.advance(task)
    if is_first:
        delete_single_results(folder)
    return curve


@contextmanager
def _each_warning_once() -> Iterator[None]:
    """Print no warning twice, as those of the data module, which is set up for each checkpoint."""
    printed: set[str] = set()
    with warnings.catch_warnings():
        show = warnings.showwarning

        def show_once(message: Warning | str, *details: Any, **further: Any) -> None:
            if str(message) not in printed:
                printed.add(str(message))
                show(message, *details, **further)

        warnings.showwarning = show_once
        yield


def delete_single_results(folder: Path) -> None:
    """Delete what the evaluation of a checkpoint has written of each clip."""
    for path in sorted(folder.rglob("*"), reverse=True):  # contents before their folder
        if path.is_dir():
            path.rmdir()
        elif path.name not in _KEPT:
            path.unlink()
