"""The hooks that callbacks of an evaluation share."""

from pathlib import Path
from typing import Any, ClassVar

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.trainer.states import RunningStage, TrainerFn

from lightning_modules.base import StepOutputs

_STAGES = {RunningStage.VALIDATING: "val", RunningStage.TESTING: "test", RunningStage.PREDICTING: "predict"}


class EvaluationHooks(Callback):
    """Lightning's hooks of validation, test and prediction as three methods: `start`, `update` and `finish`.

    Of a validation's two dataloaders only the second is passed on, which has the labelled clips; the first has the
    normal clips of the validation loss. Lightning's sanity check before a training is skipped.
    """

    stages: ClassVar[tuple[str, ...]] = ("val", "test")
    """The stages in which the methods are called, of "val", "test" and "predict"."""

    def start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin an epoch without clips."""

    def update(self, trainer: Trainer, pl_module: LightningModule, outputs: StepOutputs, batch: dict[str, Any]) -> None:
        """Take in a batch of labelled clips, or of clips to predict, and what the module's step returned for it."""

    def finish(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Log and write what the epoch gave; called on every process."""

    def _stage(self, trainer: Trainer) -> str | None:
        stage = _STAGES.get(trainer.state.stage)  # type: ignore[arg-type]
        return stage if stage in self.stages else None

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Call `start`."""
        if self._stage(trainer):
            self.start(trainer, pl_module)

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Call `update` for a batch of the dataloader that is evaluated."""
        stage = self._stage(trainer)
        if stage and dataloader_idx == (1 if stage == "val" else 0):
            self.update(trainer, pl_module, outputs, batch)

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Call `finish`."""
        stage = self._stage(trainer)
        if stage:
            self.finish(trainer, pl_module, stage)

    on_test_epoch_start = on_predict_epoch_start = on_validation_epoch_start
    on_test_batch_end = on_predict_batch_end = on_validation_batch_end
    on_test_epoch_end = on_predict_epoch_end = on_validation_epoch_end


def is_fitting(trainer: Trainer) -> bool:
    """Whether an evaluation is a validation inside `fit`, of which no files are kept."""
    return trainer.state.fn == TrainerFn.FITTING


def run_folder(trainer: Trainer) -> Path:
    """The folder for the trainer's files; every process must call it, as the processes agree on it."""
    return Path(trainer.log_dir or trainer.default_root_dir)
