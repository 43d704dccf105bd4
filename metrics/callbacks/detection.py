"""Detection: area under the ROC over the clips of a run."""

from collections.abc import Mapping
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor

from lightning_modules.distributed import gather_objects
from metrics.callbacks.base import Clip, EvaluationCallback, positions_by_type
from metrics.detection import AnomalyAUROC
from metrics.functional.detection import anomaly_auroc, oriented
from metrics.measures import MAX_FPR, SCORES, Score

_LEVEL = "level"


class DetectionAUC(EvaluationCallback):
    """Logs AUC and standardised partial AUC of the anomaly scores, writes ``clips.csv``.

    Scalars: ``{val|test}/auc`` and ``/pauc`` of all anomalous clips against all normal ones, and with the
    type appended (``test/auc/broken_board``) of one type's clips against all normal ones. Where a class is
    missing, or a score is NaN, nothing is logged. Where the steps return a masked score as well, ``/auc_masked_score``
    and ``/pauc_masked_score`` are the same of that score, and the file has a column for it. Where the batches hold the
    level of the clips, ``/auc_level`` and ``/pauc_level`` are those of the level alone, a baseline for any detector;
    its sign is chosen so that the AUC over all types is at least 0.5 (``metrics.functional.oriented``).

    Reads ``outputs["score"]`` (B,) and, if they are there, ``outputs["masked_score"]`` (B,) and ``batch["level"]``
    (B,), dB.

    Args:
        max_fpr: Largest false-positive rate of the partial AUC, in (0, 1).
    """

    filename = "clips.csv"

    def __init__(self, max_fpr: float = MAX_FPR) -> None:
        super().__init__()
        if not 0 < max_fpr < 1:
            raise ValueError(f"max_fpr: {max_fpr} is not between 0 and 1")
        self.max_fpr = max_fpr
        self._metrics: dict[str, AnomalyAUROC] = {}

    @property
    def columns(self) -> tuple[str, ...]:
        """Header of the per-clip rows, with the scores that were seen."""
        return ("index", "name", "label", "anomaly_type", "annotated", *(key for key in SCORES if key in self._metrics))

    def reset(self) -> None:
        """Forget the clips of the last epoch."""
        self._metrics = {}

    def update(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Mapping[str, Any],
        batch: Mapping[str, Any],
    ) -> None:
        """Take in the scores of a batch."""
        self.remember(batch, range(len(batch["name"])))
        ranked_by = {**outputs, _LEVEL: batch[_LEVEL]} if _LEVEL in batch else outputs
        for score in SCORES:
            if score in ranked_by:
                self._metric(score).update(ranked_by[score], batch["label"], batch["index"])

    def finish(self, pl_module: LightningModule, stage: str) -> list[tuple[Any, ...]]:
        """Log the areas and return a row for each clip."""
        clips = self.gather_clips()
        # A process may have met no clip, but has to take part in gathering each metric.
        seen = {score for part in gather_objects(list(self._metrics)) for score in part}
        columns = []
        for key, score in SCORES.items():
            if key in seen:
                index, values = self._metric(key).per_clip()
                self._log_areas(pl_module, stage, score, index, values, clips)
                columns.append(values[:, 0].tolist())
        return [
            (i, clip.name, clip.label, clip.anomaly_type, int(clip.annotated), *scores)
            for (i, clip), *scores in zip(sorted(clips.items()), *columns, strict=True)
        ]

    def _metric(self, score: str) -> AnomalyAUROC:
        """A score's metric, made at the first call."""
        if score not in self._metrics:
            self._metrics[score] = AnomalyAUROC()
        return self._metrics[score]

    def _log_areas(
        self,
        pl_module: LightningModule,
        stage: str,
        score: Score,
        index: Tensor,
        values: Tensor,
        clips: Mapping[int, Clip],
    ) -> None:
        """Log a score's areas, overall and by type, from rows of score and label (N, 2)."""
        scores, labels = values.unbind(dim=1)
        if len(torch.unique(labels)) < 2 or scores.isnan().any():
            return
        if score.key == _LEVEL:
            scores = oriented(scores, labels)
        self._log(pl_module, stage, score.suffix, scores, labels)
        normal = labels == 0
        for anomaly_type, positions in positions_by_type(index, clips).items():
            of_type = normal.clone()
            of_type[positions] = True
            self._log(pl_module, stage, f"{score.suffix}/{anomaly_type}", scores[of_type], labels[of_type])

    def _log(self, pl_module: LightningModule, stage: str, suffix: str, scores: Tensor, labels: Tensor) -> None:
        pl_module.log(f"{stage}/auc{suffix}", float(anomaly_auroc(scores, labels)))
        pl_module.log(f"{stage}/pauc{suffix}", float(anomaly_auroc(scores, labels, self.max_fpr)))
