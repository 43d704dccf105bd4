"""Deletion and insertion: the error while the explained frames are removed, and while only they remain."""

from collections.abc import Sequence
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor

from lightning_modules.callbacks import is_fitting
from metrics.callbacks.explanation import ExplainedClips, ExplanationCallback
from metrics.explanations import DEFAULT_DELETION_PERCENTILES, DeletionInsertionScore


class DeletionInsertion(ExplanationCallback):
    """Logs areas under the deletion and insertion curves of explanations, and writes the curves' values.

    Over all explained clips. Scalars: ``{val|test}/deletion/{explainer}``, lower is better, and
    ``/insertion/{explainer}``, higher is better; see ``metrics.DeletionInsertionScore``. With the default percentiles a
    clip costs at most 21 forward passes per explainer. In `validate` and `test` only, not in the validation
    inside `fit`.

    Args:
        percentiles: Percentiles of the frame curve at which the curves are taken, whole numbers from 0 to 100.
        batch_size: Most spectrograms per pass; on a CPU passes are smaller and run side by side.
    """

    def __init__(self, percentiles: Sequence[int] = DEFAULT_DELETION_PERCENTILES, batch_size: int = 64) -> None:
        super().__init__(DeletionInsertionScore(percentiles, batch_size))

    def counted(self, batch: dict[str, Any]) -> Tensor:
        """Every explained clip counts."""
        return torch.ones_like(batch["annotated"], dtype=torch.bool)

    def score(self, trainer: Trainer, pl_module: LightningModule, clips: ExplainedClips) -> None:
        """Replace frames of clips, in the numeric precision of the run."""
        if is_fitting(trainer):
            return
        with trainer.precision_plugin.forward_context():
            for explainer, curve in clips.curves.items():
                self.metrics[explainer].update(pl_module, clips.x, curve, clips.index, clips.reconstruction)

    def log_values(
        self, pl_module: LightningModule, stage: str, explainer: str, values: Tensor, suffix: str = ""
    ) -> None:
        """Log the mean areas over all clips."""
        if suffix:
            return
        for key, area in self.metric.reduce(values).items():
            if not area.isnan():
                pl_module.log(f"{stage}/{key}/{explainer}", area.item())
