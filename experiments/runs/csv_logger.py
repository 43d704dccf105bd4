"""How a stage logs its scalars: into a ``metrics.csv`` that is never half-written, and into checkpoints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lightning.fabric.loggers.logger import rank_zero_experiment
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.loggers.csv_logs import ExperimentWriter

from experiments.runs.folder import read_scalars
from experiments.runs.scalars import PENDING, write_scalars


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
            write_scalars(Path(self.metrics_file_path), self.metrics)

    def _check_log_dir_exists(self) -> None:
        """Delete nothing: the stage's folder was cleared before, unless the stage is resumed."""


class CheckpointedScalars(Callback):
    """Puts an epoch's training scalars into its checkpoint, which is written before Lightning logs them.

    A training that is killed in between restores them from there.
    """

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Add the row that is not logged yet."""
        scalars = {name: value.item() for name, value in trainer.callback_metrics.items() if name.startswith("train/")}
        checkpoint[PENDING] = {"epoch": trainer.current_epoch, "step": trainer.global_step - 1, **scalars}
