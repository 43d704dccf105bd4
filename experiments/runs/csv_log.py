"""Scalars of a stage as ``metrics.csv``, which a resumed training goes on writing."""

from __future__ import annotations

import csv
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lightning.fabric.loggers.logger import rank_zero_experiment
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.loggers.csv_logs import ExperimentWriter

from experiments.runs.folder import DAMAGED
from experiments.runs.scalars import read_scalars
from lightning_modules.wording import counted
from lightning_modules.files import write_rows

_DUE = "scalars_due"


class RunCSVLogger(CSVLogger):
    """CSVLogger that adds to the file it finds, and whose file is complete at any moment."""

    @property
    @rank_zero_experiment
    def experiment(self) -> _WholeFileWriter:
        """The writer, made at the first use."""
        if not isinstance(self._experiment, _WholeFileWriter):
            self._experiment = _WholeFileWriter(self.log_dir)
        return self._experiment


class _WholeFileWriter(ExperimentWriter):
    """Keeps all rows, a few an epoch, and writes them together."""

    def __init__(self, log_dir: str) -> None:
        super().__init__(log_dir)
        self.metrics: list[dict[str, Any]] = read_scalars(Path(self.metrics_file_path))

    def save(self) -> None:
        """Write the file anew."""
        if self.metrics:
            _write(Path(self.metrics_file_path), self.metrics)

    def _check_log_dir_exists(self) -> None:
        """Delete nothing; a stage's folder is cleared before, unless the stage goes on with it."""


class CheckpointedScalars(Callback):
    """Puts an epoch's training scalars into its checkpoint, which is written before Lightning logs them.

    Who is killed in between finds them there.
    """

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Add the row that is due."""
        scalars = {name: value.item() for name, value in trainer.callback_metrics.items() if name.startswith("train/")}
        checkpoint[_DUE] = {"epoch": trainer.current_epoch, "step": trainer.global_step - 1, **scalars}


def take_up(path: Path, checkpoint: Mapping[str, Any]) -> None:
    """Make a ``metrics.csv`` that of the moment when a checkpoint was written, to go on from there.

    Args:
        path: The file; later rows are dropped, and the row that was due is added if it is not there yet. One that is
            damaged is put aside. Epochs that are missing are told on standard error.
        checkpoint: The checkpoint's contents.
    """
    aside = ""
    try:
        rows = read_scalars(path)
        kept = [row for row in rows if int(row["step"]) < checkpoint["global_step"]]
    except (ValueError, KeyError, TypeError, csv.Error):
        rows, kept = [], []
        aside = f"; what was there is damaged and kept as {path.replace(path.with_suffix(DAMAGED)).name}"
    due = checkpoint.get(_DUE, {})
    if due and not any(row["step"] == str(due["step"]) and all(row.get(name) for name in due) for row in kept):
        kept.append(due)
    logged = {str(row.get("epoch")) for row in kept}
    n_missing = sum(str(epoch) not in logged for epoch in range(checkpoint["epoch"]))
    if n_missing or aside:
        print(f"warning: {path} lacks {counted(n_missing, 'epoch')} before this one{aside}", file=sys.stderr)
    if kept != rows:
        _write(path, kept)


def _write(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows with all of their columns."""
    columns = sorted(set().union(*rows))
    write_rows(path, columns, ([row.get(column, "") for column in columns] for row in rows))
