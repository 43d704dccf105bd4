"""Quality against training length: checkpoints spread over a training, and the table of what each of them reaches."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint
from torch import Tensor

from experiments.runs.checkpoints import read_checkpoint
from experiments.runs.folder import RunFolder
from experiments.runs.results import CURVE_COLUMNS, read_clips, read_explanations
from lightning_modules.errors import ConfigurationError
from metrics.measures import AREAS, SCORES

_FOLDER = "curve"
_FEWEST = 4
"""The best epoch, the last one, and a first and a newest one to thin between."""


def kept_epochs(done: int, n: int) -> list[int]:
    """The epochs whose weights are kept after so many, spread evenly on a logarithmic axis.

    How long a training is going to be is not known beforehand. The Fibonacci numbers are thinned as they come: where
    there are more than n, the inner one goes whose neighbours are closest. What is kept once an epoch is done was kept
    before or is that epoch, so that an interrupted training ends with the same files.

    Args:
        done: Epochs trained so far.
        n: Most epochs to keep, at least 2.

    Example:
        >>> kept_epochs(40, 6), kept_epochs(400, 6)
        ([1, 2, 5, 13, 21, 34], [1, 5, 13, 34, 144, 377])
    """
    kept: list[int] = []
    epoch, following = 1, 2
    while epoch <= done:
        kept.append(epoch)
        if len(kept) > n:
            del kept[min(range(1, n), key=lambda i: kept[i + 1] / kept[i - 1])]
        epoch, following = following, epoch + following
    return kept


class CurveCheckpoints(Checkpoint):
    """Keeps the weights of epochs spread over a training, for `faithful-aad curve`.

    The best epoch and the last one belong to the curve too; the run has them anyway. Lightning calls a `Checkpoint`
    once the module has stopped a training whose loss is not finite.

    Args:
        run: The run.
        n: Most checkpoints of the curve, at least 4.

    Raises:
        ConfigurationError: If there are fewer.
    """

    def __init__(self, run: RunFolder, n: int) -> None:
        if n < _FEWEST:
            raise ConfigurationError(f"--curve_checkpoints {n} is too few; give 0 for none, or at least {_FEWEST}")
        self._folder, self._n = _kept_in(run), n

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save the epoch if it is one to keep, and delete those that are not any more."""
        epochs = trainer.current_epoch + 1
        kept = [_path(self._folder, epoch) for epoch in kept_epochs(epochs, self._n - 2)]
        if _path(self._folder, epochs) in kept:
            trainer.save_checkpoint(_path(self._folder, epochs), weights_only=True)
        if trainer.is_global_zero:
            for path in set(self._folder.glob("*.ckpt")).difference(kept):
                path.unlink(missing_ok=True)


def curve_checkpoints(run: RunFolder) -> dict[int, Path]:
    """The checkpoints of a run's curve, the best and the last epoch included, by the number of epochs trained.

    Raises:
        ConfigurationError: If the training kept none, or its best or last checkpoint is missing or damaged.
    """
    kept = {int(path.stem.rpartition("_")[2]): path for path in _kept_in(run).glob("*.ckpt")}
    if not kept:
        raise ConfigurationError(
            f"the training in {run.path} kept no checkpoints for a curve; train with --curve_checkpoints 8"
        )
    for path in (run.checkpoint("best"), run.last_checkpoint):
        kept.setdefault(read_checkpoint(path)["epoch"] + 1, path)
    return dict(sorted(kept.items()))


def curve_rows(
    stage: Path, scalars: Mapping[str, Tensor], checkpoint: Mapping[str, int], n_validation: int
) -> pd.DataFrame:
    """The rows of ``curve.csv`` for one checkpoint, from what its evaluation logged and wrote.

    Args:
        stage: Folder with ``clips.csv`` and, where clips were explained, ``explanations.csv``.
        scalars: What was logged.
        checkpoint: Its "epoch", from 0, and "global_step".
        n_validation: Number of normal clips of the validation loss.
    """
    n_clips = {"loss": n_validation}
    n_clips |= dict.fromkeys((f"{area}{score.suffix}" for score in SCORES.values() for area in AREAS),
                             len(read_clips(stage)))  # fmt: skip
    detection = [
        {"measure": name, "explainer": "", "n_clips": n, "value": float(scalars[f"val/{name}"])}
        for name, n in n_clips.items()
        if f"val/{name}" in scalars
    ]
    by_curve = read_explanations(stage).groupby(["measure", "explainer", "percentile"], sort=False, as_index=False)
    # `GroupBy.mean` takes no `skipna` before pandas 3, which needs Python 3.11.
    means = by_curve[["value", "chance"]].agg(lambda of_clips: of_clips.mean(skipna=False))
    means["n_clips"] = by_curve.size()["size"]
    rows = pd.concat([pd.DataFrame(detection), means.dropna(subset="value")], ignore_index=True)
    rows = rows.assign(epochs=checkpoint["epoch"] + 1, steps=checkpoint["global_step"])
    return rows.reindex(columns=list(CURVE_COLUMNS))


def _kept_in(run: RunFolder) -> Path:
    return run.last_checkpoint.parent / _FOLDER


def _path(folder: Path, epochs: int) -> Path:
    return folder / f"epochs_{epochs}.ckpt"
