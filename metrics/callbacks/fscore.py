"""Agreement of explanations with the annotation."""

from collections.abc import Mapping
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from torch import Tensor

from metrics.callbacks.explanation import ExplanationCallback
from metrics.fscore import SegmentFScore


class AnnotationFScore(ExplanationCallback):
    """Logs segment-based F1, precision and recall of explanations, writes ``f1.csv``.

    Over the explained clips that have an annotation. See ``metrics.SegmentFScore`` for the measure and
    ``ExplanationCallback`` for the scalars' names and the arguments.
    """

    filename = "f1.csv"
    kinds = scalars = SegmentFScore.kinds

    def new_metric(self) -> SegmentFScore:
        """Make an empty metric for one explainer."""
        return SegmentFScore(self.percentiles, self.frames_per_segment)

    def counted(self, batch: Mapping[str, Any]) -> Tensor:
        """Clips with an annotation count."""
        return batch["annotated"]

    def score(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        curves: Mapping[str, Tensor],
        outputs: Mapping[str, Any],
        batch: Mapping[str, Any],
        rows: Tensor,
    ) -> None:
        """Compare the curves of each explainer with the annotation."""
        annotation, index = batch["annotation"][rows], batch["index"][rows]
        for name, curve in curves.items():
            self.metric(name).update(curve, annotation, index)
