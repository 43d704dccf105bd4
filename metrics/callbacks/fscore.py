"""Agreement of explanations with the annotation."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from torch import Tensor

from metrics.callbacks.base import writes_files
from metrics.callbacks.chance import ChanceCallback
from metrics.chance import ClipNull
from metrics.fscore import SegmentFScore
from metrics.functional.peaks import select_peaks
from metrics.functional.references import reference_f1
from metrics.functional.shifts import circular_shift_f1


class AnnotationFScore(ChanceCallback):
    """Logs segment-based F1, precision and recall of explanations, writes ``f1.csv``.

    Over the explained clips that have an annotation. See ``metrics.SegmentFScore`` for the measure and
    ``ExplanationCallback`` for the scalars' names and the arguments.

    Beside F1 stands its chance level: ``f1_chance``, ``f1_corrected``, ``f1_pvalue``, ``f1_references.csv`` and
    ``f1_null.npz`` (see ``ChanceCallback``). The null distribution is exact, all T circular shifts of each curve; so
    is the value of random frames, and no forward pass is needed.
    """

    filename = "f1.csv"
    references_filename = "f1_references.csv"
    null_filename = "f1_null.npz"
    kinds = scalars = SegmentFScore.kinds
    chance_columns = MappingProxyType({"f1": "chance"})

    def new_metric(self) -> SegmentFScore:
        """Make an empty metric for one explainer."""
        return SegmentFScore(self.percentiles, self.frames_per_second)

    def new_null(self) -> ClipNull:
        """Make an empty null distribution for one explainer."""
        return ClipNull(len(self.chance_columns), len(self.percentiles), all_shifts=True)

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
        annotation, index = batch["annotation"][rows].cpu(), batch["index"][rows]
        for name, curve in curves.items():
            self.metric(name).update(curve, annotation, index)
        if not writes_files(trainer):
            return
        for name, curve in curves.items():
            peaks = select_peaks(curve.cpu(), self.percentiles)
            null = circular_shift_f1(peaks, annotation, self.frames_per_second)
            self.null(name).update(null.unsqueeze(1), index)
        references = reference_f1(annotation, self.percentiles, self.frames_per_second)
        self.references.update(references.unsqueeze(2), index)
