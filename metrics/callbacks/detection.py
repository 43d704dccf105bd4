"""Detection: area under the ROC over the clips of a run."""

from collections.abc import Mapping
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor

from metrics.callbacks.base import EvaluationCallback, positions_by_type
from metrics.detection import AnomalyAUROC
from metrics.functional.detection import anomaly_auroc


class DetectionAUC(EvaluationCallback):
    """Logs AUC and standardised partial AUC of the anomaly score, writes ``clips.csv``.

    Scalars: ``{val|test}/auc`` and ``/pauc`` of all anomalous clips against all normal ones, and with the
    type appended (``test/auc/broken_board``) of one type's clips against all normal ones. Where a class is
    missing nothing is logged.

    Reads ``outputs["score"]`` (B,).

    Args:
        max_fpr: Largest false-positive rate of the partial AUC, in (0, 1).
    """

    filename = "clips.csv"
    columns = ("index", "name", "label", "anomaly_type", "annotated", "score")

    def __init__(self, max_fpr: float = 0.1) -> None:
        super().__init__()
        if not 0 < max_fpr < 1:
            raise ValueError(f"max_fpr: {max_fpr} is not between 0 and 1")
        self.max_fpr = max_fpr
        self._metric = AnomalyAUROC()

    def reset(self) -> None:
        """Forget the clips of the last epoch."""
        self._metric.reset()

    def update(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Mapping[str, Any],
        batch: Mapping[str, Any],
    ) -> None:
        """Take in the scores of a batch."""
        self.remember(batch, range(len(batch["name"])))
        self._metric.update(outputs["score"], batch["label"], batch["index"])

    def finish(self, pl_module: LightningModule, stage: str) -> list[tuple[Any, ...]]:
        """Log the areas and return a row for each clip."""
        clips = self.gather_clips()
        index, values = self._metric.per_clip()
        scores, labels = values.unbind(dim=1)

        self._log(pl_module, stage, "", scores, labels)
        normal = labels == 0
        for anomaly_type, positions in positions_by_type(index, clips).items():
            of_type = normal.clone()
            of_type[positions] = True
            self._log(pl_module, stage, f"/{anomaly_type}", scores[of_type], labels[of_type])

        return [
            (i, clip.name, clip.label, clip.anomaly_type, int(clip.annotated), score)
            for i, score in zip(index.tolist(), scores.tolist(), strict=True)
            for clip in [clips[i]]
        ]

    def _log(self, pl_module: LightningModule, stage: str, suffix: str, scores: Tensor, labels: Tensor) -> None:
        if len(torch.unique(labels)) < 2:
            return
        pl_module.log(f"{stage}/auc{suffix}", float(anomaly_auroc(scores, labels)))
        pl_module.log(f"{stage}/pauc{suffix}", float(anomaly_auroc(scores, labels, self.max_fpr)))
