"""Agreement of explanations with the annotation."""

from collections.abc import Sequence
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor

from lightning_modules.callbacks import is_fitting
from metrics.callbacks.explanation import ExplainedClips, ExplanationCallback
from metrics.explanations import SegmentFScore
from metrics.functional.peaks import select_peaks
from metrics.functional.references import reference_frames
from metrics.functional.shifts import values_under_shifts
from metrics.measures import DEFAULT_PERCENTILES, Measure


class AnnotationFScore(ExplanationCallback):
    """Logs the agreement of explanations with the annotation: segment-based F1, precision, recall and others.

    Over the explained clips that have an annotation. See ``metrics.SegmentFScore`` for the measures and
    ``ExplanationCallback`` for scalars and files. The null distribution is exact, all T circular shifts of each curve;
    so is F1's value of random frames. No forward pass is needed.

    Args:
        percentiles: Percentiles of the frame curve that make a frame a peak, whole numbers from 0 to 100.
        frames_per_second: Frame rate of the spectrograms; segments are seconds.
    """

    def __init__(self, percentiles: Sequence[int] = DEFAULT_PERCENTILES, frames_per_second: float = 40.0) -> None:
        super().__init__(SegmentFScore(percentiles, frames_per_second))
        self.frames_per_second = frames_per_second

    def counted(self, batch: dict[str, Any]) -> Tensor:
        """Clips with an annotation count."""
        return batch["annotated"]

    def score(self, trainer: Trainer, pl_module: LightningModule, clips: ExplainedClips) -> None:
        """Compare the curves of each explainer with the annotation."""
        annotation, index = clips.annotation.cpu(), clips.index.cpu()
        for explainer, curve in clips.curves.items():
            self.metrics[explainer].update(curve, annotation, index)
        if is_fitting(trainer):
            return
        for explainer, curve in clips.curves.items():
            peaks = select_peaks(curve.cpu(), self.percentiles)
            null = [self._shifted(measure, peaks, annotation) for measure in self.with_chance]
            self.nulls[explainer].add(torch.stack(null, dim=1), index)
        references = [self._references(measure, annotation, index) for measure in self.with_chance]
        self.references.add(torch.stack(references, dim=2), index)

    def _shifted(self, measure: Measure, peaks: Tensor, annotation: Tensor) -> Tensor:
        """Values of a measure under all shifts, (N, P, T)."""
        if measure.exact_null is not None:
            return measure.exact_null(peaks, annotation, self.frames_per_second)
        assert measure.compute is not None
        return values_under_shifts(measure.compute, peaks, annotation, self.frames_per_second)

    def _references(self, measure: Measure, annotation: Tensor, index: Tensor) -> Tensor:
        """Values of a measure for the references, (N, 3, P); random frames are drawn once per clip."""
        if measure.exact_references is not None:
            return measure.exact_references(annotation, self.percentiles, self.frames_per_second)
        assert measure.compute is not None
        frames = reference_frames(annotation, self.percentiles, index)
        return measure.compute(frames, annotation[:, None, None], self.frames_per_second)
