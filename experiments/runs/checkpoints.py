"""The checkpoints of a run, with which an interrupted training goes on: what is kept, written, read, and told of it."""

from __future__ import annotations

import errno
import os
import shutil
import sys
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint
from lightning.pytorch.plugins import TorchCheckpointIO

from experiments.runs.folder import RunFolder
from lightning_modules.base import is_finite
from lightning_modules.errors import ConfigurationError, first_line
from lightning_modules.files import whole_file

_NAMES = ("best", "last")


class RunCheckpoint(ModelCheckpoint):
    """Keeps ``best.ckpt``, by validation loss, or ``last.ckpt``, whatever other ModelCheckpoints keep beside them.

    Both are written when an epoch is over, so that a resumed training begins with the next one.

    Args:
        filename: `best` or `last`.
    """

    def __init__(self, filename: str) -> None:
        super().__init__(
            filename=filename,
            monitor="val/loss" if filename == "best" else None,
            save_on_train_epoch_end=True,
            enable_version_counter=False,
        )

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from the best so far, also in a folder that was moved; from nothing where its file is gone."""
        path = Path(str(self.dirpath)) / f"{self.filename}.ckpt"
        if not path.is_file():
            return
        scores = dict.fromkeys([str(path)], state_dict["best_model_score"]) if state_dict["best_k_models"] else {}
        here = {"dirpath": self.dirpath, "best_k_models": scores, "best_model_path": str(path)}
        super().load_state_dict(state_dict | here | {"kth_best_model_path": str(path) if scores else ""})


def run_checkpoints(others: Iterable[Any], folder: RunFolder) -> list[RunCheckpoint]:
    """What keeps the checkpoints of a run.

    Args:
        others: The trainer's own callbacks.
        folder: The run.

    Raises:
        ConfigurationError: If one of them monitors what is never logged, or would write over a checkpoint of the run.
    """
    kept = folder.last_checkpoint.parent.resolve()
    for other in others:
        of_trainer = f"the {type(other).__name__} of trainer.callbacks"
        if isinstance(other, ModelCheckpoint | EarlyStopping):
            monitor = str(other.monitor or "epoch")
            if monitor not in ("epoch", "step") and not monitor.startswith(("train/", "val/")):
                raise ConfigurationError(
                    f"{of_trainer} monitors {monitor}, which is not logged; train/loss and val/loss are"
                )
        if isinstance(other, ModelCheckpoint):
            names = {other.filename, other.CHECKPOINT_NAME_LAST if other.save_last else None}
            if names & set(_NAMES) and (other.dirpath is None or Path(other.dirpath).resolve() == kept):
                raise ConfigurationError(
                    f"{of_trainer} would write over best.ckpt or last.ckpt, which fit keeps; give it another filename "
                    "and no save_last, or a dirpath"
                )
    return [RunCheckpoint(name) for name in _NAMES]


def complete_best(folder: RunFolder) -> None:
    """Make the last checkpoint the best one of a training without a validation, and say so."""
    best, last = (folder.checkpoint(name) for name in _NAMES)
    if best.is_file() or not last.is_file():
        return
    with whole_file(best, alone=True) as temporary:
        shutil.copyfile(last, temporary)
    print(f"warning: there was no validation to tell the best epoch, so {best} is the last one", file=sys.stderr)


def unfinished_training(path: Path, checkpoint: Mapping[str, Any]) -> str:
    """That a checkpoint is of a training that has not ended, in words; "" where it has, or nothing is known of it."""
    fit = path.resolve().parent.parent
    run = RunFolder(fit.parent)
    if run.fit_config != fit / run.fit_config.name or not run.fit_config.is_file() or run.is_finished("fit"):
        return ""
    return f"training unfinished: epoch {checkpoint['epoch'] + 1}"


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes beside the file and renames.

    Lightning's own way goes through the machine's temporary folder, from where a file on another disk is copied:
    who is killed meanwhile leaves a part of it.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any | None = None) -> None:
        """Write a checkpoint; an older one stays until the new one is complete."""
        with whole_file(Path(path), alone=True) as temporary, temporary.open("wb") as file:
            try:
                torch.save(checkpoint, file)
            except RuntimeError as error:
                if isinstance(error.__context__, OSError):  # the reason, which torch leaves out of its message
                    raise error.__context__ from None
                raise
            file.flush()
            os.fsync(file.fileno())


def read_checkpoint(path: Path) -> Mapping[str, Any]:
    """Read a checkpoint of `fit`, without running anything it may hold.

    Raises:
        ConfigurationError: If it is missing, damaged or something else.
        OSError: If the system does not let it be read.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            # Torch itself reads weights without a look at their checksums.
            damaged = archive.testzip()
        if damaged is not None:
            raise zipfile.BadZipFile(f"{damaged} is damaged")
        checkpoint = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except IsADirectoryError:
        raise ConfigurationError(
            f"{path} is a folder; name a checkpoint, such as fit/checkpoints/best.ckpt of a run"
        ) from None
    except FileNotFoundError:
        raise ConfigurationError(
            f"{path} does not exist; run faithful-aad fit first, or name a checkpoint with --ckpt_path"
        ) from None
    except Exception as error:  # unpickling raises whatever it likes
        if isinstance(error, MemoryError) or getattr(error, "errno", None) not in (None, errno.EINVAL):
            raise  # the machine can't read it now, which says nothing of the file
        raise ConfigurationError(f"{path} is not a checkpoint of `fit`, or damaged ({first_line(error)})") from error
    if not isinstance(checkpoint, dict) or not {"hyper_parameters", "state_dict"} <= checkpoint.keys():
        raise ConfigurationError(f"{path} is not a checkpoint of `fit`: it holds no weights with their hyperparameters")
    if not is_finite(checkpoint["state_dict"].values()):
        raise ConfigurationError(f"{path} has weights that are NaN or infinite; name another checkpoint")
    return checkpoint


def intact(paths: Iterable[Path]) -> dict[Path, Mapping[str, Any]]:
    """Those of some checkpoints that can be used, and what they hold; the others are told on standard error."""
    found = {}
    for path in paths:
        try:
            found[path] = read_checkpoint(path)
        except ConfigurationError as error:  # noqa: PERF203  there are two
            print(f"warning: {error}", file=sys.stderr)
    return found


class StayStopped(Callback):
    """Trains no further epoch where early stopping ended a training that was killed before it was marked finished."""

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Look at what the checkpoint says of early stopping."""
        trainer.should_stop = any(
            callback.wait_count >= max(callback.patience, 1)
            for callback in trainer.early_stopping_callbacks
            if isinstance(callback, EarlyStopping)
        )
