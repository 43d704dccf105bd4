"""Faithfulness of explanations to the model's score."""

from collections.abc import Mapping, Sequence
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from torch import Tensor

from metrics.callbacks.explanation import ExplanationCallback
from metrics.clip_metric import DEFAULT_PERCENTILES
from metrics.faithfulness import FaithfulnessScore


class Faithfulness(ExplanationCallback):
    """Logs frame-based and segment-based faithfulness of explanations, writes ``faithfulness.csv``.

    Over the explained anomalous clips, or those of them that are annotated where any is; without annotation
    there is no segment-based value. See ``metrics.FaithfulnessScore`` for the measure. The scalars are called
    ``faithfulness_frame`` and ``faithfulness_segment`` (see ``ExplanationCallback``).

    Reads ``outputs["reconstruction"]`` (B, F, T) as well.

    Args:
        percentiles: Percentiles of the curve that make a frame a peak, whole numbers from 0 to 100.
        frames_per_segment: Length of a segment in frames (40 are a second in the paper).
        batch_size: Most spectrograms that the module runs at once.
    """

    filename = "faithfulness.csv"
    kinds = FaithfulnessScore.kinds
    scalars = tuple(f"faithfulness_{kind}" for kind in FaithfulnessScore.kinds)

    def __init__(
        self,
        percentiles: Sequence[int] = DEFAULT_PERCENTILES,
        frames_per_segment: int = 40,
        batch_size: int = 64,
    ) -> None:
        super().__init__(percentiles, frames_per_segment)
        if batch_size < 1:
            raise ValueError(f"batch_size: {batch_size} is not a positive number of spectrograms")
        self.batch_size = batch_size

    def new_metric(self) -> FaithfulnessScore:
        """Make an empty metric for one explainer."""
        return FaithfulnessScore(self.percentiles, self.frames_per_segment, self.batch_size)

    def counted(self, batch: Mapping[str, Any]) -> Tensor:
        """Anomalous clips count; the metric leaves out what has no annotation where others have one."""
        return batch["label"] == 1

    def score(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        curves: Mapping[str, Tensor],
        outputs: Mapping[str, Any],
        batch: Mapping[str, Any],
        rows: Tensor,
    ) -> None:
        """Replace what each explainer points at, in the numeric precision of the run."""
        x, annotation, index = batch["spectrogram"][rows], batch["annotation"][rows], batch["index"][rows]
        reconstruction = outputs["reconstruction"][rows]
        with trainer.precision_plugin.forward_context():
            for name, curve in curves.items():
                self.metric(name).update(pl_module, x, curve, annotation, index, reconstruction)
