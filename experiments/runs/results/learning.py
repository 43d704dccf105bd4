"""Losses by epoch, from the logger's ``metrics.csv``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from experiments.runs.results.reading import Floats, naming, read_rows


@dataclass(frozen=True)
class LearningCurves:
    """Losses by epoch, NaN where an epoch has none.

    Attributes:
        epochs: (E,) numbers from 0.
        train: (E,) training loss, dB².
        validation: (E,) validation loss, dB².
    """

    epochs: NDArray[np.int64]
    train: Floats
    validation: Floats


def read_learning_curves(stage: Path) -> LearningCurves | None:
    """Read the losses of every epoch from ``metrics.csv``, None where there are none.

    Raises:
        ConfigurationError: If the file is damaged.
    """
    path = stage / "metrics.csv"
    if not path.is_file():
        return None
    losses: dict[int, dict[str, float]] = {}
    rows = read_rows(path, ())
    with naming(path):
        for row in rows:
            # The logger writes training and validation values of an epoch to rows of their own.
            values = {key: float(row[key]) for key in ("train/loss", "val/loss") if row.get(key)}
            if values:
                losses.setdefault(int(float(row["epoch"])), {}).update(values)
    if not losses:
        return None
    epochs = sorted(losses)
    train, validation = (np.array([losses[e].get(key, np.nan) for e in epochs]) for key in ("train/loss", "val/loss"))
    return LearningCurves(np.array(epochs), train, validation)
