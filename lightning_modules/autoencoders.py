"""The two training objectives, plain and masked, over one base that trains, evaluates and logs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from lightning.pytorch import Callback
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor, nn

from lightning_modules.backbones import BACKBONES, DEFAULT_BACKBONE, build_backbone
from lightning_modules.base import AnomalyDetector, StepOutputs, is_finite, require_number
from lightning_modules.cuda_graph import TrainingGraph, capture_training
from lightning_modules.distributed import mean_over_clips
from lightning_modules.errors import TrainingError
from lightning_modules.masking import PatchMasker, complementary_masks, patch_size_of
from lightning_modules.scores import masked_prediction, squared_error

RECIPE_HPARAMS = ("learning_rate", "min_learning_rate", "restart_epochs", "weight_decay")
"""Hyperparameters of the module's own optimiser and schedule, without effect where others are configured."""


class ReconstructionModule(AnomalyDetector):
    """Base of the objectives: a backbone that reconstructs spectrograms, trained with the paper's recipe.

    A subclass defines the loss. AdamW, a cosine schedule with warm restarts stepped once per epoch, early
    stopping and a checkpoint of the best validation loss follow paper section 4; the last two give way to an
    EarlyStopping or a monitoring ModelCheckpoint of the trainer's own.

    Args:
        n_mels: Mel bands F of the spectrograms.
        n_frames: Frames T of the spectrograms.
        backbone: Name in `BACKBONES`, class path, or a mapping of `class_path` and `init_args`; see `build_backbone`.
        learning_rate: Learning rate at each restart.
        min_learning_rate: Learning rate at the end of each cosine cycle.
        restart_epochs: Epochs of a cosine cycle.
        weight_decay: AdamW's decoupled weight decay.
        patience: Epochs without a better validation loss after which training stops.
        min_delta: What counts as better, dB².
        score_masks: Complementary masks of the masked score, the second anomaly score of test and prediction.
            Each costs a forward pass per clip, so 3 make scoring four times as long; 0 leaves the score out.

    Raises:
        ConfigurationError: If the backbone is unknown or does not fit the input, or another option is out of its range.
    """

    reconstructs = True
    monitor = "val/loss"
    architecture_hparams = ("backbone", "n_mels", "n_frames")

    def __init__(
        self,
        n_mels: int = 80,
        n_frames: int = 400,
        backbone: str | dict[str, Any] = DEFAULT_BACKBONE,
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
        require_number(
            "score_masks",
            score_masks,
            lambda n: n != 1 and n >= 0,
            "0 for none, or at least 2 to cover a clip",
            whole=True,
        )
        require_number("learning_rate", learning_rate, lambda rate: rate > 0, "above 0")
        require_number("restart_epochs", restart_epochs, lambda epochs: epochs >= 1, "at least 1", whole=True)
        require_number("patience", patience, lambda epochs: epochs >= 0, "at least 0", whole=True)
        for name, value in {
            "min_learning_rate": min_learning_rate,
            "weight_decay": weight_decay,
            "min_delta": min_delta,
        }.items():
            require_number(name, value, lambda value: value >= 0, "at least 0")
        self.backbone = build_backbone(backbone, n_mels, n_frames)
        self._seed = 0
        self._graph: TrainingGraph | None = None
        self._bad_step: Tensor | None = None  # the first step of the epoch whose loss is not finite, -1 for none
        self._val_losses: list[tuple[Tensor, Tensor]] = []

    def forward(self, x: Tensor) -> Tensor:
        """Reconstruct spectrograms (B, F, T) in dB."""
        if self._graph is not None and self.training and self._graph.fits(x):
            return self._graph(x)
        return self.backbone(x)

    @property  # type: ignore[misc]  # nothing sets it
    def example_input_array(self) -> Tensor:
        """What Lightning's summary runs the network on, (1, F, T), in the precision of the weights."""
        return torch.zeros(1, self.hparams["n_mels"], self.hparams["n_frames"], dtype=self.dtype)  # type: ignore[arg-type]

    @property
    def cam_layer(self) -> nn.Module | None:
        """The layer that Grad-CAM explains, None of a backbone that names none."""
        return getattr(self.backbone, "cam_layer", None)

    def training_loss(self, x: Tensor) -> Tensor:
        """The objective on a training batch (B, F, T), a scalar in dB²."""
        raise NotImplementedError

    def validation_loss(self, x: Tensor, index: Tensor, reconstruction: Tensor) -> Tensor:
        """The objective on each of the held-out clips (B, F, T) numbered `index` (B,): (B,), dB²."""
        raise NotImplementedError

    def evaluate(self, x: Tensor) -> StepOutputs:
        """Score and reconstruct clips (B, F, T) in one forward pass of the whole, unmasked input."""
        reconstruction = self(x)
        return {"score": squared_error(x, reconstruction).mean(dim=(1, 2)), "reconstruction": reconstruction}

    def evaluate_with_masked_score(self, x: Tensor) -> StepOutputs:
        """As `evaluate`, with the masked score: the error of every patch predicted from its context only."""
        outputs = self.evaluate(x)
        n_masks = self.hparams["score_masks"]
        if n_masks:
            masks = complementary_masks(x.shape[1], x.shape[2], patch_size_of(self), n_masks, x.device)
            predictions = masked_prediction(self, x, masks, batch_size=len(x))
            outputs["masked_score"] = squared_error(x, predictions).mean(dim=(1, 2))
        return outputs

    def on_fit_start(self) -> None:
        """Note the run's seed, from which each epoch's random numbers follow."""
        self._seed = torch.initial_seed()

    def on_train_epoch_start(self) -> None:
        """Log the epoch's learning rate."""
        rate = self.trainer.optimizers[0].param_groups[0]["lr"]
        self.log("train/learning_rate", float(rate), sync_dist=True)

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Begin each epoch with random numbers of its own, which a resumed training draws again."""
        if batch_idx == 0:
            if type(self.backbone) in BACKBONES.values():
                self._graph = capture_training(self.backbone, self.spectrograms(batch), self.trainer, self._graph)
            self._bad_step = torch.tensor(-1, device=self.device)
            entropy = (self._seed, self.current_epoch, self.global_rank)
            torch.manual_seed(int(np.random.SeedSequence(entropy).generate_state(1)[0]))

    def on_train_end(self) -> None:
        """Free the memory of the training's passes."""
        self._graph = None

    def training_step(self, batch: Mapping[str, Any], batch_idx: int) -> Tensor:
        """Log and return the loss of a batch of normal clips."""
        x = self.spectrograms(batch)
        loss = self.training_loss(x)
        if self._bad_step is not None:
            # Noted on the device and read when the epoch is over: reading every loss would make the device wait.
            is_first = ~loss.detach().isfinite() & (self._bad_step < 0)
            self._bad_step = torch.where(is_first, self.global_step, self._bad_step)
        self.log("train/loss", loss, on_step=False, on_epoch=True, prog_bar=True, batch_size=len(x), sync_dist=True)
        return loss

    def validation_step(self, batch: Mapping[str, Any], batch_idx: int, dataloader_idx: int = 0) -> StepOutputs:
        """Evaluate a batch; the first loader has the normal clips of the validation loss.

        The labelled clips of the second get both anomaly scores, except inside `fit`, which it would slow down.
        """
        x = self.spectrograms(batch)
        if dataloader_idx > 0 and self._trainer is not None and self.trainer.state.fn == TrainerFn.VALIDATING:
            return self.evaluate_with_masked_score(x)
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
            if self.trainer.state.fn == TrainerFn.FITTING:
                self._require_training(math.isfinite(loss), f"the validation loss is {loss}")

    def on_train_epoch_end(self) -> None:
        """Stop a training whose loss is not finite, before a checkpoint is written."""
        loss = self.trainer.callback_metrics.get("train/loss")
        if loss is not None:
            self._require_training(bool(loss.isfinite()), f"the training loss is {loss.item()}")

    def _require_training(self, condition: bool, otherwise: str) -> None:
        """Raise a TrainingError on all processes if a condition does not hold on one."""
        if self.trainer.strategy.reduce_boolean_decision(condition, all=True):
            return
        bad = -1 if self._bad_step is None else int(self._bad_step)
        since = f" (the training loss is not finite since step {bad + 1})" if bad >= 0 else ""
        group = self.trainer.optimizers[0].param_groups[0]
        rate, decay = group.get("initial_lr", group["lr"]), group.get("weight_decay", 0)
        advice = [f"a lower learning_rate (now {rate:g})"]
        if rate * decay >= 1:  # a step takes more off a weight than there is
            advice.append(f"a lower weight_decay (now {decay:g})")
        if self.trainer.precision not in ("32-true", "64-true"):
            advice.append(f"precision 32 (now {self.trainer.precision})")
        if self.trainer.gradient_clip_val is None:
            advice.append("gradient_clip_val 1")
        raise TrainingError(
            f"{otherwise} in epoch {self.current_epoch + 1}, after {self.global_step} steps{since}; try "
            f"{', '.join(advice)}, or a reference_level that makes the mean of the spectrograms 0"
        )

    def test_step(self, batch: Mapping[str, Any], batch_idx: int) -> StepOutputs:
        """Evaluate a batch of clips, with both anomaly scores."""
        return self.evaluate_with_masked_score(self.spectrograms(batch))

    def predict_step(self, batch: Mapping[str, Any], batch_idx: int, dataloader_idx: int = 0) -> StepOutputs:
        """Evaluate a batch of windows, with both anomaly scores; the second loader has those that calibrate."""
        return self.evaluate_with_masked_score(self.spectrograms(batch))

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """AdamW with cosine warm restarts, stepped once per epoch."""
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
                # Not strict, as an epoch may pass without a validation.
                EarlyStopping(
                    "val/loss", patience=self.hparams["patience"], min_delta=self.hparams["min_delta"], strict=False
                )
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
        """Note what the weights belong to.

        Raises:
            TrainingError: If a weight is not finite; an earlier checkpoint stays.
        """
        self._require_training(is_finite(checkpoint["state_dict"].values()), "weights are NaN or infinite")
        super().on_save_checkpoint(checkpoint)


class Autoencoder(ReconstructionModule):
    """Autoencoder (AE), trained on the mean squared error of the whole spectrogram (paper section 3.2.1).

    The arguments are those of `ReconstructionModule`.

    Example:
        >>> module = Autoencoder(n_mels=32, n_frames=48, backbone="cae")
        >>> module.hparams["learning_rate"]
        0.001
    """

    def training_loss(self, x: Tensor) -> Tensor:
        """Mean squared error of a batch (B, F, T), a scalar in dB²."""
        return squared_error(x, self(x)).mean()

    def validation_loss(self, x: Tensor, index: Tensor, reconstruction: Tensor) -> Tensor:
        """Mean squared error of each held-out clip, (B, F, T) to (B,), dB²."""
        return squared_error(x, reconstruction).mean(dim=(1, 2))


class MaskedAutoencoder(ReconstructionModule):
    """Masked autoencoder (MAE), trained on the error of hidden patches only (paper section 3.2.2).

    A hidden patch is set to 0 dB. Scoring, testing and explaining see the whole, unmasked clip; only the masked
    score and the masked error map hide patches again.

    Args:
        n_mels: Mel bands F of the spectrograms.
        n_frames: Frames T of the spectrograms.
        patch_size: Side of a patch in bands and frames; must divide `n_mels` and `n_frames`.
        mask_ratio: Fraction of the patches that is hidden.
        **settings: The remaining arguments of `ReconstructionModule`.

    Raises:
        ConfigurationError: If the patch does not divide the input.
    """

    def __init__(
        self,
        n_mels: int = 80,
        n_frames: int = 400,
        patch_size: int = 4,
        mask_ratio: float = 0.3,
        **settings: Any,
    ) -> None:
        super().__init__(n_mels=n_mels, n_frames=n_frames, **settings)
        self.masker = PatchMasker(n_mels, n_frames, patch_size, mask_ratio)

    def training_loss(self, x: Tensor) -> Tensor:
        """Mean squared error over the patches that fresh masks hide in a batch (B, F, T), dB²."""
        mask = self.masker.random(len(x), x.device)
        return self._hidden_error(x, mask).sum() / mask.sum()

    def validation_loss(self, x: Tensor, index: Tensor, reconstruction: Tensor) -> Tensor:
        """Mean squared error over the patches that each clip's own, unchanging mask hides, (B,), dB²."""
        mask = self.masker.fixed(index)
        return self._hidden_error(x, mask).sum(dim=(1, 2)) / mask.sum(dim=(1, 2))

    def _hidden_error(self, x: Tensor, mask: Tensor) -> Tensor:
        """Squared error of the cells that a mask hides, 0 elsewhere, (B, F, T), dB²."""
        return squared_error(x, self(x.masked_fill(mask, 0.0))) * mask
