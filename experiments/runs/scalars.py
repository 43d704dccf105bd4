"""The scalars of a stage, ``metrics.csv``: written as a whole, read, and restored for a resumed training."""

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

from experiments.runs.folder import DAMAGED, read_scalars
from lightning_modules.files import write_rows
from lightning_modules.wording import counted

_PENDING = "scalars_due"


class RunCSVLogger(CSVLogger):
    """CSVLogger that appends to the file it finds, and whose file is never half-written."""

    @property
    @rank_zero_experiment
    def experiment(self) -> _WholeFileWriter:
        """The writer, created on first use."""
        if not isinstance(self._experiment, _WholeFileWriter):
            self._experiment = _WholeFileWriter(self.log_dir)
        return self._experiment


class _WholeFileWriter(ExperimentWriter):
    """Keeps all rows, a few per epoch, and writes them together."""

    def __init__(self, log_dir: str) -> None:
        super().__init__(log_dir)
        self.metrics: list[dict[str, Any]] = read_scalars(Path(self.metrics_file_path))

    def save(self) -> None:
        """Write the file anew."""
        if self.metrics:
            _write(Path(self.metrics_file_path), self.metrics)

    def _check_log_dir_exists(self) -> None:
        """Delete nothing: the stage's folder was cleared before, unless the stage is resumed."""


class CheckpointedScalars(Callback):
    """Puts an epoch's training scalars into its checkpoint, which is written before Lightning logs them.

    A training that is killed in between restores them from there.
    """

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Add the row that is not logged yet."""
        scalars = {name: value.item() for name, value in trainer.callback_metrics.items() if name.startswith("train/")}
        checkpoint[_PENDING] = {"epoch": trainer.current_epoch, "step": trainer.global_step - 1, **scalars}


def restore_scalars(path: Path, checkpoint: Mapping[str, Any]) -> None:
    """Restore a ``metrics.csv`` to the moment at which a checkpoint was written, for a training that resumes there.

    Later rows are dropped, and the checkpoint's pending row is added if it is missing. A damaged file is kept under
    another name. Missing epochs are reported on standard error.
    """
    aside = ""
    try:
        rows = read_scalars(path)
        kept = [row for row in rows if int(row["step"]) < checkpoint["global_step"]]
    except (ValueError, KeyError, TypeError, csv.Error):
        rows, kept = [], []
        aside = f"; what was there is damaged and kept as {path.replace(path.with_suffix(DAMAGED)).name}"
    pending = checkpoint.get(_PENDING, {})
    if pending and not any(row["step"] == str(pending["step"]) and all(map(row.get, pending)) for row in kept):
        kept.append(pending)
    logged = {str(row.get("epoch")) for row in kept}
    n_missing = sum(str(epoch) not in logged for epoch in range(checkpoint["epoch"]))
    if n_missing or aside:
        print(f"warning: {path} lacks {counted(n_missing, 'epoch')} before this one{aside}", file=sys.stderr)
    if kept != rows:
        _write(path, kept)


def _write(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    columns = sorted(set().union(*rows))
    write_rows(path, columns, ([row.get(column, "") for column in columns] for row in rows))
