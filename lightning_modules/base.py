"""What both objectives share: the backbone, the optimiser, and the evaluation steps."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, TypedDict

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor, nn

from lightning_modules.backbones import build_backbone
from lightning_modules.distributed import mean_over_clips
from lightning_modules.errors import ConfigurationError
from lightning_modules.masked_prediction import complementary_masks, masked_prediction, patch_size_of

_SHAPING_SETTINGS = ("backbone", "n_mels", "n_frames", "num_heads")
_OBJECTIVE = "objective"  # key of the class's name in a checkpoint


class EvaluationOutputs(TypedDict):
    """What a validation, test or prediction step hands to the callbacks."""

    score: Tensor  # (B,) mean squared error, dB²
    reconstruction: Tensor  # (B, F, T), dB


class ScoringOutputs(EvaluationOutputs, total=False):
    """What a test or prediction step hands to the callbacks."""

    masked_score: Tensor  # (B,) mean squared error of masked predictions, dB²


def squared_error(x: Tensor, reconstruction: Tensor) -> Tensor:
    """The error map (B, F, T) in dB²; its mean over a clip is its anomaly score (paper section 3.2)."""
    return (reconstruction - x).square()


def check_checkpoint(checkpoint: Mapping[str, Any], module: LightningModule, source: str) -> None:
    """Refuse weights of another objective, or of a network of other dimensions.

    Args:
        checkpoint: What was saved.
        module: The module that is to take the weights.
        source: What the message calls the checkpoint, a path where there is one.

    Raises:
        ConfigurationError: If the objective or a setting that shapes the network differs.
    """
    objective = type(module).__name__
    if checkpoint.get(_OBJECTIVE, objective) != objective:
        raise ConfigurationError(f"{source} is of a {checkpoint[_OBJECTIVE]}, but the configuration says {objective}")
    saved, current = checkpoint.get("hyper_parameters", {}), module.hparams
    differing = [key for key in _SHAPING_SETTINGS if key in saved and saved[key] != current[key]]
    if differing:
        was = ", ".join(f"{key}={saved[key]}" for key in differing)
        now = ", ".join(f"{key}={current[key]}" for key in differing)
        raise ConfigurationError(f"{source} was trained with {was}, but the configuration says {now}")


class ReconstructionModule(LightningModule):
    """Base of the objectives: a backbone that reconstructs spectrograms, trained with the paper's recipe.

    A subclass says what its loss is. AdamW, a cosine schedule with warm restarts stepped once an epoch, early
    stopping and a checkpoint of the best validation loss follow paper section 4; the last two give way to an
    EarlyStopping or a monitoring ModelCheckpoint of the trainer's own.

    Args:
        n_mels: Mel bands F of the spectrograms.
        n_frames: Frames T of the spectrograms.
        num_heads: Attention heads of the backbone.
        backbone: Name in `BACKBONES`.
        learning_rate: Learning rate at each restart.
        min_learning_rate: Learning rate at the end of each cosine cycle.
        restart_epochs: Epochs of a cosine cycle.
        weight_decay: AdamW's decoupled weight decay.
        patience: Epochs without a better validation loss after which training stops.
        min_delta: What counts as better, dB².
        score_masks: Complementary masks of the masked score, the second anomaly score of test and prediction.
            Each costs a forward pass a clip, so 3 make scoring four times as long; 0 leaves the score out.

    Raises:
        ConfigurationError: If the backbone is unknown or does not fit the input, or `score_masks` is 1 or negative.
    """

    def __init__(
        self,
        n_mels: int = 80,
        n_frames: int = 400,
        num_heads: int = 10,
        backbone: str = "skip_cae_transformer",
        learning_rate: float = 1e-3,
        min_learning_rate: float = 1e-5,
        restart_epochs: int = 5,
        weight_decay: float = 0.01,
        patience: int = 30,
        min_delta: float = 1e-5,
        score_masks: int = 3,
    ) -> None:
        super().__init__()
        self.save_hyperparameters()
        if score_masks < 0 or score_masks == 1:
            raise ConfigurationError(
                f"score_masks={score_masks} masks don't cover a clip; set 0 for none, or at least 2"
            )
        self.backbone = build_backbone(backbone, n_mels, n_frames, num_heads)
        self.example_input_array = torch.zeros(1, n_mels, n_frames)
        self._seed = 0
        self._val_losses: list[tuple[Tensor, Tensor]] = []

    def forward(self, x: Tensor) -> Tensor:
        """Reconstruct spectrograms (B, F, T) in dB."""
        return self.backbone(x)

    @property
    def cam_layer(self) -> nn.Module:
        """The layer that Grad-CAM explains."""
        return self.backbone.cam_layer  # type: ignore[return-value]

    def training_loss(self, x: Tensor) -> Tensor:
        """The objective on a training batch (B, F, T), a scalar in dB²."""
        raise NotImplementedError

    def validation_loss(self, x: Tensor, index: Tensor, reconstruction: Tensor) -> Tensor:
        """The objective on each of the held-out clips (B, F, T) numbered `index` (B,): (B,), dB²."""
        raise NotImplementedError

    def evaluate(self, x: Tensor) -> EvaluationOutputs:
        """Score and reconstruct clips (B, F, T) in one forward pass of the whole, unmasked input."""
        reconstruction = self(x)
        return {"score": squared_error(x, reconstruction).mean(dim=(1, 2)), "reconstruction": reconstruction}

    def evaluate_twice(self, x: Tensor) -> ScoringOutputs:
        """As `evaluate`, with the masked score: the error of every patch predicted from its context only."""
        outputs = ScoringOutputs(**self.evaluate(x))
        n_masks = self.hparams["score_masks"]
        if n_masks:
            masks = complementary_masks(x.shape[1], x.shape[2], patch_size_of(self), n_masks, x.device)
            predictions = masked_prediction(self, x, masks, batch_size=len(x))
            outputs["masked_score"] = squared_error(x, predictions).mean(dim=(1, 2))
        return outputs

    def on_fit_start(self) -> None:
        """Note the run's seed, from which each epoch's random numbers follow."""
        self._seed = torch.initial_seed()

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Begin each epoch with random numbers of its own, which a resumed training draws again."""
        if batch_idx == 0:
            entropy = (self._seed, self.current_epoch, self.global_rank)
            torch.manual_seed(int(np.random.SeedSequence(entropy).generate_state(1)[0]))

    def training_step(self, batch: Mapping[str, Any], batch_idx: int) -> Tensor:
        """Log and return the loss of a batch of normal clips."""
        x = batch["spectrogram"]
        loss = self.training_loss(x)
        self.log("train/loss", loss, on_step=False, on_epoch=True, prog_bar=True, batch_size=len(x), sync_dist=True)
        return loss

    def validation_step(self, batch: Mapping[str, Any], batch_idx: int, dataloader_idx: int = 0) -> EvaluationOutputs:
        """Evaluate a batch; the first loader holds the normal clips that give the validation loss."""
        x = batch["spectrogram"]
        outputs = self.evaluate(x)
        if dataloader_idx == 0:
            index = batch["index"]
            self._val_losses.append((index, self.validation_loss(x, index, outputs["reconstruction"])))
        return outputs

    def on_validation_epoch_start(self) -> None:
        """Start with no clip."""
        self._val_losses.clear()

    def on_validation_epoch_end(self) -> None:
        """Log the mean loss over the held-out clips of all processes."""
        loss = mean_over_clips(self._val_losses)
        if not math.isnan(loss) or self._val_losses:
            self.log("val/loss", loss, prog_bar=True)

    def test_step(self, batch: Mapping[str, Any], batch_idx: int) -> ScoringOutputs:
        """Evaluate a batch of test clips, with both anomaly scores."""
        return self.evaluate_twice(batch["spectrogram"])

    def predict_step(self, batch: Mapping[str, Any], batch_idx: int) -> ScoringOutputs:
        """Evaluate a batch of unlabelled clips, with both anomaly scores."""
        return self.evaluate_twice(batch["spectrogram"])

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """AdamW with cosine warm restarts, stepped once an epoch."""
        optimizer = torch.optim.AdamW(
            self.parameters(),
            lr=self.hparams["learning_rate"],
            weight_decay=self.hparams["weight_decay"],
            fused=True,
        )
        scheduler = torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(
            optimizer, T_0=self.hparams["restart_epochs"], eta_min=self.hparams["min_learning_rate"]
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "epoch"}}

    def configure_callbacks(self) -> list[Callback]:
        """Early stopping and the best checkpoint, unless the trainer was given its own."""
        own = self.trainer.callbacks  # type: ignore[attr-defined]
        callbacks: list[Callback] = []
        if not any(isinstance(callback, EarlyStopping) for callback in own):
            callbacks.append(
                EarlyStopping("val/loss", patience=self.hparams["patience"], min_delta=self.hparams["min_delta"])
            )
        checkpoints = [callback for callback in own if isinstance(callback, ModelCheckpoint)]
        # The trainer's default checkpoint monitors nothing; without one, checkpointing was switched off.
        if checkpoints and all(callback.monitor is None for callback in checkpoints):
            # Saved when the epoch is over, so that a resumed training begins with the next one.
            callbacks.append(
                ModelCheckpoint(filename="best", monitor="val/loss", save_last=True, save_on_train_epoch_end=True)
            )
        return callbacks

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Note which objective the weights belong to; the networks are the same."""
        checkpoint[_OBJECTIVE] = type(self).__name__

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuse a checkpoint that does not fit in one line instead of a list of tensor shapes."""
        check_checkpoint(checkpoint, self, "the checkpoint")
