"""Training by Lightning, timed from its first batch to its last."""

from __future__ import annotations

import time
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from experiments.bench.subjects import Subjects
from experiments.bench.timing import synchronise
from lightning_modules import ReconstructionModule


class TimedTraining:
    """Trains a module by turns, each through a Trainer of its own, as `faithful-aad fit` does.

    Args:
        subjects: The clips and the settings.
        module: What is trained.
    """

    def __init__(self, subjects: Subjects, module: ReconstructionModule) -> None:
        self._subjects = subjects
        self._module = module

    def run(self) -> float:
        """Train a turn's steps; returns seconds from where the first batch is loaded to the end of the last step."""
        settings, stopwatch = self._subjects.settings, _Stopwatch()
        device = self._subjects.device
        trainer = Trainer(
            accelerator=device.type,
            devices=[device.index or 0] if device.type == "cuda" else 1,
            max_epochs=1,
            limit_train_batches=settings.training_steps,
            limit_val_batches=1,
            num_sanity_val_steps=0,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            callbacks=[stopwatch],
        )
        self._module.train()
        trainer.fit(self._module, datamodule=self._subjects.data)
        self._module.to(device)  # a Trainer leaves it on the CPU
        return stopwatch.seconds

    def one_step(self) -> None:
        """A step of training without a Trainer, of which operations and bytes are counted."""
        optimizer = torch.optim.AdamW(self._module.parameters(), fused=True)
        x = next(iter(self._subjects.data.train_dataloader()))["spectrogram"].to(self._subjects.device)
        self._module.training_loss(x).backward()
        optimizer.step()


class _Stopwatch(Callback):
    """Takes the time of the training batches of an epoch."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._started = 0.0

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start before the first batch is loaded."""
        synchronise(pl_module.device)
        self._started = time.perf_counter()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Stop after the last batch; in between nothing waits for the device."""
        if batch_idx + 1 == trainer.num_training_batches:
            synchronise(pl_module.device)
            self.seconds = time.perf_counter() - self._started
