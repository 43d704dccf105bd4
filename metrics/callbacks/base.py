"""What the metric callbacks share: which batches they see, when they log and where they write."""

from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor

from lightning_modules.distributed import gather_objects
from lightning_modules.files import write_rows

LABELLED_DATALOADER = {"val": 1, "test": 0, "predict": 0}
"""Position of the dataloader with the clips to score; validation's first has normal clips for the loss."""


class Clip(NamedTuple):
    """What a per-clip row says about its clip."""

    name: str
    label: int
    anomaly_type: str
    annotated: bool


class EvaluationCallback(Callback):
    """Feeds metrics with the labelled clips of validation and test, by one code path.

    At the end of an epoch scalars are logged through the module as ``{val|test}/...``. ``validate`` and
    ``test``, but not the validation inside ``fit``, also write a row for each clip to ``filename`` in the
    trainer's ``log_dir``, sorted by index, on the first process. Lightning's sanity check is skipped.

    A batch has ``label`` (B,), ``index`` (B,), ``annotated`` (B,), ``name`` and ``anomaly_type``
    (lists of str); subclasses document what else they read.
    """

    filename: ClassVar[str]

    def __init__(self) -> None:
        self._clips: dict[int, Clip] = {}

    @property
    @abstractmethod
    def columns(self) -> tuple[str, ...]:
        """Header of the per-clip rows."""

    @abstractmethod
    def reset(self) -> None:
        """Forget the clips of the last epoch."""

    @abstractmethod
    def update(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Mapping[str, Any],
        batch: Mapping[str, Any],
    ) -> None:
        """Take in a batch of labelled clips and what the module's step returned for it."""

    @abstractmethod
    def finish(self, pl_module: LightningModule, stage: str) -> list[tuple[Any, ...]]:
        """Log the scalars of a stage ("val" or "test") and return the per-clip rows, index first.

        Runs on every process and returns the same on each.
        """

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start with no clip."""
        self._start()

    def on_test_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start with no clip."""
        self._start()

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Take in a batch of the labelled split."""
        if dataloader_idx == LABELLED_DATALOADER["val"] and not trainer.sanity_checking:
            self.update(trainer, pl_module, outputs, batch)

    def on_test_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Take in a batch of the test split."""
        if dataloader_idx == LABELLED_DATALOADER["test"]:
            self.update(trainer, pl_module, outputs, batch)

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log, and write rows where ``validate`` runs."""
        self._end(trainer, pl_module, "val")

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log and write rows."""
        self._end(trainer, pl_module, "test")

    def remember(self, batch: Mapping[str, Any], positions: Iterable[int]) -> None:
        """Keep the names of the clips at these positions of a batch."""
        index, label = batch["index"].tolist(), batch["label"].tolist()
        annotated = batch["annotated"].tolist()
        for i in positions:
            self._clips[index[i]] = Clip(batch["name"][i], label[i], batch["anomaly_type"][i], annotated[i])

    def gather_clips(self) -> dict[int, Clip]:
        """Collect the clips that any process has seen, by index; every process must call it."""
        clips: dict[int, Clip] = {}
        for part in gather_objects(self._clips):
            clips.update(part)
        return clips

    def write(self, folder: Path, rows: Sequence[tuple[Any, ...]]) -> None:
        """Write the per-clip rows, sorted by index; runs on the first process only."""
        write_rows(folder / self.filename, self.columns, rows)

    def _start(self) -> None:
        self._clips = {}
        self.reset()

    def _end(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        rows = self.finish(pl_module, stage)
        if not rows or not writes_files(trainer):
            return
        folder = trainer.log_dir  # asks all processes, so it stands before the question for the first
        if trainer.is_global_zero:
            rows.sort(key=lambda row: row[0])
            self.write(Path(folder or trainer.default_root_dir), rows)


def writes_files(trainer: Trainer) -> bool:
    """Whether the trainer runs ``validate`` or ``test``, whose results are kept; not the validation inside ``fit``."""
    return trainer.state.fn in {TrainerFn.VALIDATING, TrainerFn.TESTING}


def positions_by_type(index: Tensor, clips: Mapping[int, Clip]) -> dict[str, list[int]]:
    """Group rows by the anomaly type of their clip, normal clips left out.

    Args:
        index: Indices of the clips, (N,).
        clips: Clips by index.

    Returns:
        Positions in ``index`` of each anomaly type, types in alphabetical order.

    Example:
        >>> import torch
        >>> clips = {4: Clip("a.wav", 1, "stuck", True), 7: Clip("b.wav", 0, "", False)}
        >>> positions_by_type(torch.tensor([4, 7]), clips)
        {'stuck': [0]}
    """
    groups: dict[str, list[int]] = {}
    for position, clip_index in enumerate(index.tolist()):
        groups.setdefault(clips[clip_index].anomaly_type, []).append(position)
    return {name: groups[name] for name in sorted(groups) if name}
