"""Scalars of a stage as ``metrics.csv``, which a resumed training goes on writing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lightning.fabric.loggers.logger import rank_zero_experiment
from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.loggers.csv_logs import ExperimentWriter

from experiments.scalars import read_scalars
from metrics.callbacks.rows import write_rows


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
        columns = sorted(set().union(*self.metrics))
        if columns:
            rows = ([row.get(column, "") for column in columns] for row in self.metrics)
            write_rows(Path(self.metrics_file_path), columns, rows)

    def _check_log_dir_exists(self) -> None:
        """Delete nothing; a stage's folder is cleared before, unless the stage goes on with it."""


def forget_after(path: Path, step: int) -> None:
    """Drop the rows of a ``metrics.csv`` that were logged after an optimiser step (counted from 0)."""
    rows = read_scalars(path)
    kept = [list(row.values()) for row in rows if int(row["step"]) <= step]
    if len(kept) < len(rows):
        write_rows(path, list(rows[0]), kept)
