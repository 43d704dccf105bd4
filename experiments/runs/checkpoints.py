"""The checkpoints of a run: which are kept, how they are written and read, and where a training resumes."""

from __future__ import annotations

import errno
import os
import shutil
import sys
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint, Timer
from lightning.pytorch.plugins import TorchCheckpointIO
from torch import Tensor

from experiments.runs.folder import CAUTION_FILE, DAMAGED, STAGES, RunFolder
from experiments.runs.scalars import restore_scalars
from lightning_modules.base import is_finite
from lightning_modules.errors import ConfigurationError, first_line
from lightning_modules.files import whole_file, write_atomically

_NAMES = ("best", "last")


class RunCheckpoint(ModelCheckpoint):
    """Keeps ``best.ckpt``, by a metric, or ``last.ckpt``, independently of other ModelCheckpoints.

    Both are written at the end of an epoch, so that a resumed training begins with the next one.

    Args:
        filename: `best` or `last`.
        monitor: The metric whose minimum is kept, None for the last epoch.
    """

    def __init__(self, filename: str, monitor: str | None) -> None:
        super().__init__(
            filename=filename,
            monitor=monitor,
            save_on_train_epoch_end=True,
            enable_version_counter=False,
        )

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the best score so far, also in a folder that was moved; nothing where its file is gone."""
        path = Path(str(self.dirpath)) / f"{self.filename}.ckpt"
        if not path.is_file():
            return
        scores = {str(path): state_dict["best_model_score"]} if state_dict["best_k_models"] else {}
        here = {"dirpath": self.dirpath, "best_k_models": scores, "best_model_path": str(path)}
        super().load_state_dict(state_dict | here | {"kth_best_model_path": str(path) if scores else ""})


def run_checkpoints(others: Iterable[Any], folder: RunFolder, monitor: str | None) -> list[RunCheckpoint]:
    """The callbacks that keep the checkpoints of a run.

    Args:
        others: The trainer's own callbacks.
        folder: The run.
        monitor: The metric whose minimum defines the best epoch, None where that is the last one.

    Raises:
        ConfigurationError: If one of the others would overwrite a checkpoint.
    """
    kept = folder.last_checkpoint.parent.resolve()
    for other in others:
        if isinstance(other, ModelCheckpoint):
            names = {other.filename, other.CHECKPOINT_NAME_LAST if other.save_last else None}
            if names & set(_NAMES) and (other.dirpath is None or Path(other.dirpath).resolve() == kept):
                raise ConfigurationError(
                    f"the {type(other).__name__} of trainer.callbacks would overwrite best.ckpt or last.ckpt, which "
                    "fit keeps; give it another filename and no save_last, or a dirpath"
                )
    best = [RunCheckpoint("best", monitor)] if monitor else []
    return [*best, RunCheckpoint("last", None)]


def complete_best(folder: RunFolder, callbacks: Iterable[Callback]) -> None:
    """Copy the last checkpoint to ``best.ckpt`` where no metric was logged; warn if one should have been."""
    best, last = (folder.checkpoint(name) for name in _NAMES)
    by_metric = [each for each in callbacks if isinstance(each, RunCheckpoint) and each.monitor]
    if any(each.best_model_score is not None for each in by_metric) or not last.is_file():
        return
    with whole_file(best, alone=True) as temporary:
        shutil.copyfile(last, temporary)
    if by_metric:
        print(f"warning: without validation the best epoch is unknown, so {best} is the last one", file=sys.stderr)


def training_caution(path: Path, checkpoint: Mapping[str, Any]) -> str:
    """The caution that a checkpoint's training has not ended, or was cut short; "" where nothing of it is known."""
    fit = path.resolve().parent.parent
    run = RunFolder(fit.parent)
    if run.fit_config != fit / run.fit_config.name or not run.fit_config.is_file():
        return ""
    if not run.is_finished("fit"):
        return f"training unfinished: epoch {checkpoint['epoch'] + 1}"
    caution = fit / CAUTION_FILE
    return caution.read_text(encoding="utf-8").strip() if caution.is_file() else ""


def time_caution(trainer: Trainer) -> str:
    """The caution that a limit of time has ended a training; "" where none has."""
    remaining = [each.time_remaining() for each in trainer.callbacks if isinstance(each, Timer)]  # type: ignore[attr-defined]
    is_short = any(seconds is not None and seconds <= 0 for seconds in remaining)
    bound = trainer.max_epochs if (trainer.max_epochs or 0) > 0 else None
    has_all_epochs = bound is not None and trainer.current_epoch >= bound and trainer.is_last_batch
    has_all_steps = 0 < trainer.max_steps <= trainer.global_step
    if not is_short or has_all_epochs or has_all_steps or _is_out_of_patience(trainer):
        return ""
    of_all = "" if bound is None else f" of {bound}"
    return f"the limit of time (--trainer.max_time) ended it in epoch {trainer.current_epoch}{of_all}"


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes next to the file and renames.

    Lightning writes to the machine's temporary folder and copies from there to another disk: a killed process leaves a
    truncated file.
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
    """Read a checkpoint of `fit` without executing any code it may contain.

    Raises:
        ConfigurationError: If it is missing, damaged or something else.
        OSError: If the system can't read it now.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            # Torch reads weights without checking their checksums.
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
            f"{path} does not exist; run faithful-aad fit, again if it was interrupted, or name another --ckpt_path"
        ) from None
    except Exception as error:  # unpickling raises exceptions of any type
        if isinstance(error, MemoryError) or getattr(error, "errno", None) not in (None, errno.EINVAL):
            raise  # the machine can't read it now, whatever it contains
        raise ConfigurationError(f"{path} is not a checkpoint of `fit`, or damaged ({first_line(error)})") from error
    if not isinstance(checkpoint, dict) or not {"hyper_parameters", "state_dict"} <= checkpoint.keys():
        raise ConfigurationError(f"{path} is not a checkpoint of `fit`: it lacks weights or hyperparameters")
    if not is_finite(checkpoint["state_dict"].values()):
        raise ConfigurationError(f"{path} has weights that are NaN or infinite; name another checkpoint")
    return checkpoint


@dataclass(frozen=True)
class ResumePoint:
    """Where a training begins.

    Attributes:
        path: The checkpoint from which the training resumes; None for a new training.
        checkpoint: Its contents.
        damaged: Checkpoints that can't be used.
        was_finished: Whether the training had reached its last epoch, and now goes on to a higher one.
    """

    path: Path | None = None
    checkpoint: Mapping[str, Any] | None = None
    damaged: list[Path] = field(default_factory=list)
    was_finished: bool = False

    def prepare(self, run: RunFolder) -> None:
        """Restore the log of the run's training to this point, and keep damaged checkpoints under another name.

        Results of a training that goes on remain, with a caution.

        Raises:
            ConfigurationError: If another process has finished the training meanwhile.
        """
        if run.is_finished("fit") and not self.was_finished:
            raise ConfigurationError(f"another process has finished the training in {run.path}; give another --run")
        for path in self.damaged:
            path.replace(path.with_suffix(DAMAGED))
        if self.checkpoint is not None:
            if self.was_finished:
                self._reopen(run)
            restore_scalars(run.path / "fit" / "metrics.csv", self.checkpoint)
            if self.damaged:
                print(f"resuming from {self.path}", file=sys.stderr)
        elif run.fit_config.is_file():
            kept = f", kept as *{DAMAGED}" if self.damaged else ""
            print(
                f"warning: the training in {run.path} begins again with its first epoch, since it has no usable "
                f"checkpoint{kept}",
                file=sys.stderr,
            )

    def _reopen(self, run: RunFolder) -> None:
        assert self.checkpoint is not None
        caution = f"made after epoch {self.checkpoint['epoch'] + 1} of a training that went on"
        for stage in STAGES[1:]:
            folder = run.path / stage
            if folder.is_dir():
                write_atomically(folder / CAUTION_FILE, f"{caution}\n".encode())
        run.mark("fit").unlink()
        print(f"{run.path} goes on after epoch {self.checkpoint['epoch'] + 1}", file=sys.stderr)


def find_resume_point(run: RunFolder, config: Mapping[str, Any]) -> ResumePoint:
    """Find where a training resumes: from its last checkpoint or, where that is damaged, from its best.

    Either leads to the same end, as does a new training where neither can be used. Damaged checkpoints are reported on
    standard error. A finished training resumes from its last checkpoint only, where it had stopped at the bound of its
    epochs and the configuration raises that.

    Raises:
        ConfigurationError: If the training has finished otherwise, or began with another configuration than this one.
    """
    was_finished = run.is_finished("fit")
    saved = [path for path in (run.last_checkpoint, run.checkpoint("best")) if path.is_file()]
    if saved or was_finished:
        run.require_same_fit(config)
    if was_finished:
        run.require_unfinished_fit(config, run.epochs()[0])
        return ResumePoint(run.last_checkpoint, read_checkpoint(run.last_checkpoint), was_finished=True)
    usable: dict[Path, Mapping[str, Any]] = {}
    damaged = []
    for path in saved:
        try:
            usable[path] = read_checkpoint(path)
        except ConfigurationError as error:  # noqa: PERF203  there are two
            print(f"warning: {error}", file=sys.stderr)
            damaged.append(path)
    chosen = next(iter(usable), None)
    return ResumePoint(chosen, usable[chosen] if chosen else None, damaged)


class StayStopped(Callback):
    """Trains no further epoch after early stopping, when a training was killed before it was marked as finished."""

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop if early stopping, restored from the checkpoint, has run out of patience."""
        trainer.should_stop = _is_out_of_patience(trainer)


def _is_out_of_patience(trainer: Trainer) -> bool:
    return any(
        callback.wait_count >= max(callback.patience, 1)
        for callback in trainer.early_stopping_callbacks
        if isinstance(callback, EarlyStopping)
    )


class PlateauSteps(Callback):
    """Takes the steps of ReduceLROnPlateau schedulers that a checkpoint lacks.

    Lightning takes them at the very end of an epoch, after all callbacks, hence after its checkpoints are written, and
    no longer knows the monitored values when a training resumes.
    """

    _KEY = "plateau_values"

    def __init__(self) -> None:
        self._values: list[Tensor | None] = []

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Note the value, of each scheduler, that its pending step takes; None for those without one."""
        is_pending = trainer.is_last_batch and pl_module.automatic_optimization
        checkpoint[self._KEY] = [
            trainer.callback_metrics.get(str(config.monitor))
            if is_pending
            and config.reduce_on_plateau
            and config.interval == "epoch"
            and (trainer.current_epoch + 1) % config.frequency == 0
            else None
            for config in trainer.lr_scheduler_configs
        ]

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Read the values."""
        self._values = checkpoint.get(self._KEY, [])

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take the pending steps of the checkpoint that the training resumes from."""
        for config, value in zip(trainer.lr_scheduler_configs, self._values, strict=False):
            if value is not None:
                pl_module.lr_scheduler_step(config.scheduler, value)
