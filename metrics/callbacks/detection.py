"""Detection: area under the ROC over the clips of a run."""

from collections import defaultdict
from typing import Any

import pandas as pd
import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor

from lightning_modules.base import StepOutputs
from lightning_modules.distributed import gather_objects
from metrics.callbacks.base import EvaluationCallback, clips_by_type
from metrics.detection import AnomalyAUROC
from metrics.functional.detection import anomaly_auroc, oriented
from metrics.measures import CLIPS_FILE, MAX_FPR, SCORES, Score

_LEVEL = "level"


class DetectionAUC(EvaluationCallback):
    """Logs AUC and standardised partial AUC of the anomaly scores, writes ``clips.csv``.

    Scalars: ``{val|test}/auc`` and ``/pauc`` of all anomalous clips against all normal ones, and with the
    type appended (``test/auc/broken_board``) of one type's clips against all normal ones. Where a class is
    missing, or a score is NaN, nothing is logged. Where the steps return a masked score as well, ``/auc_masked_score``
    and ``/pauc_masked_score`` are the same of that score, and the file has a column for it. Where the batches have the
    level of the clips, ``/auc_level`` and ``/pauc_level`` are those of the level alone, a baseline for any detector;
    its sign is chosen so that the AUC over all types is at least 0.5 (``metrics.functional.oriented``).

    Reads ``outputs["score"]`` (B,) and, if they are there, ``outputs["masked_score"]`` (B,) and ``batch["level"]``
    (B,), dB.

    Args:
        max_fpr: Largest false-positive rate of the partial AUC, in (0, 1).
    """

    filename = CLIPS_FILE

    def __init__(self, max_fpr: float = MAX_FPR) -> None:
        super().__init__()
        if not 0 < max_fpr < 1:
            raise ValueError(f"max_fpr: {max_fpr} is not between 0 and 1")
        self.max_fpr = max_fpr
        self._metrics: dict[str, AnomalyAUROC] = defaultdict(AnomalyAUROC)

    def start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Forget the clips of the last epoch."""
        super().start(trainer, pl_module)
        self._metrics.clear()

    def update(self, trainer: Trainer, pl_module: LightningModule, outputs: StepOutputs, batch: dict[str, Any]) -> None:
        """Take in the scores of a batch."""
        self.remember(batch, range(len(batch["name"])))
        known: dict[str, Any] = {_LEVEL: batch.get(_LEVEL), **outputs}
        for score in SCORES:
            if known.get(score) is not None:
                self._metrics[score].update(known[score], batch["label"], batch["index"])

    def evaluate(self, pl_module: LightningModule, stage: str) -> pd.DataFrame:
        """Log the areas and return a row for each clip."""
        clips = self.gather_clips()
        # A process may have met no clip, but has to take part in gathering each metric.
        seen = {score for part in gather_objects(list(self._metrics)) for score in part}
        for key, score in SCORES.items():
            if key in seen:
                _, values = self._metrics[key].per_clip()
                self._log_areas(pl_module, stage, score, values, clips["anomaly_type"])
                clips[key] = values[:, 0].numpy()
        return clips.reset_index()

    def _log_areas(
        self, pl_module: LightningModule, stage: str, score: Score, values: Tensor, anomaly_types: pd.Series
    ) -> None:
        """Log a score's areas, overall and by type, from rows of score and label (N, 2)."""
        scores, labels = values.unbind(dim=1)
        if len(torch.unique(labels)) < 2 or scores.isnan().any():
            return
        if score.key == _LEVEL:
            scores = oriented(scores, labels)
        everything = {"": torch.ones_like(labels, dtype=torch.bool)}
        of_types = {f"/{name}": of_type | (labels == 0) for name, of_type in clips_by_type(anomaly_types).items()}
        for suffix, chosen in (everything | of_types).items():
            area = anomaly_auroc(scores[chosen], labels[chosen])
            partial_area = anomaly_auroc(scores[chosen], labels[chosen], self.max_fpr)
            pl_module.log(f"{stage}/auc{score.suffix}{suffix}", float(area))
            pl_module.log(f"{stage}/pauc{score.suffix}{suffix}", float(partial_area))
