"""Deletion and insertion: the error while the explained frames are removed, and while only they remain."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor

from metrics.callbacks.base import writes_files
from metrics.callbacks.explanation import ExplanationCallback
from metrics.explanations import DEFAULT_DELETION_PERCENTILES, DeletionInsertionScore
from metrics.functional.replacement import curve_area
from metrics.measures import measures_of


class DeletionInsertion(ExplanationCallback):
    """Logs areas under the deletion and insertion curves of explanations, and writes the curves' values.

    Over all explained clips. Scalars: ``{val|test}/deletion/{explainer}``, lower is better, and
    ``/insertion/{explainer}``, higher is better; see ``metrics.DeletionInsertionScore``. With the default percentiles a
    clip costs at most 21 forward passes per explainer. In `validate` and `test` only: validation inside `fit` is passed
    over.

    Args:
        percentiles: Percentiles of the frame curve at which the curves are taken, whole numbers from 0 to 100.
        batch_size: Most spectrograms that the module runs at once.
    """

    measures = measures_of("deletion")

    def __init__(self, percentiles: Sequence[int] = DEFAULT_DELETION_PERCENTILES, batch_size: int = 64) -> None:
        super().__init__(percentiles)
        if batch_size < 1:
            raise ValueError(f"batch_size: {batch_size} is not a positive number of spectrograms")
        self.batch_size = batch_size
        self.new_metric()  # checks the percentiles

    def new_metric(self) -> DeletionInsertionScore:
        """Make an empty metric for one explainer."""
        return DeletionInsertionScore(self.percentiles, self.batch_size)

    def counted(self, batch: Mapping[str, Any]) -> Tensor:
        """Every explained clip counts."""
        return torch.ones_like(batch["annotated"], dtype=torch.bool)

    def score(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        curves: Mapping[str, Tensor],
        outputs: Mapping[str, Any],
        batch: Mapping[str, Any],
        rows: Tensor,
    ) -> None:
        """Replace frames of clips, in the numeric precision of the run."""
        if not writes_files(trainer):
            return
        x, index, reconstruction = batch["spectrogram"][rows], batch["index"][rows], outputs["reconstruction"][rows]
        with trainer.precision_plugin.forward_context():
            for explainer, curve in curves.items():
                self.metric(explainer).update(pl_module, x, curve, index, reconstruction)

    def log_values(
        self, pl_module: LightningModule, stage: str, explainer: str, values: Tensor, suffix: str = ""
    ) -> None:
        """Log the mean areas over all clips."""
        if suffix:
            return
        areas = curve_area(values, self.percentiles).nanmean(0)
        for measure, area in zip(self.measures, areas.tolist(), strict=True):
            if not math.isnan(area):
                pl_module.log(f"{stage}/{measure.key}/{explainer}", area)
