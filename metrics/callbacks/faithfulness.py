"""Faithfulness of explanations to the model's score."""

from collections.abc import Sequence
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor

from lightning_modules.callbacks import is_fitting
from metrics.callbacks.explanation import ExplainedClips, ExplanationCallback
from metrics.explanations import FaithfulnessScore
from metrics.functional.peaks import select_peaks
from metrics.functional.references import REFERENCE_NAMES, reference_frames
from metrics.functional.replacement import peak_faithfulness
from metrics.functional.shifts import check_shifts, draw_shifts, shift_frames
from metrics.measures import DEFAULT_PERCENTILES


class Faithfulness(ExplanationCallback):
    """Logs frame-based and segment-based faithfulness of explanations.

    Over the explained anomalous clips, or those of them that are annotated where any is; without annotation there is no
    segment-based value. See ``metrics.FaithfulnessScore`` for the measures and ``ExplanationCallback`` for scalars and
    files. The null distribution is a sample of the circular shifts, the same for all explainers, percentiles and runs.
    The oracle replaces frames spread evenly over the annotated ones (segment-based: all annotated frames); it is chosen
    using the annotation, not the model, so an explanation may exceed it.

    Cost in forward passes per clip, with E explainers and P percentiles: E·P for the explanations, ``shifts``·E·P for
    the null distribution, and 2·P + 1 for the references, one set for all explainers. Segment-based masks add few:
    equal masks of a clip run once, and of a clip with n annotated segments at most 2ⁿ − 1 can differ. On the planer's
    46 annotations, 6 explainers and 10 percentiles take 67 passes per clip, 89 with the references, and 337 with 4
    shifts as well; inside ``fit`` the first.

    Args:
        percentiles: Percentiles of the curve that make a frame a peak, whole numbers from 0 to 100.
        frames_per_second: Frame rate of the spectrograms; segments are seconds.
        batch_size: Most spectrograms per pass; on a CPU passes are smaller and run side by side.
        shifts: Circular shifts of each curve that sample the null distribution; 0 switches it off.
        seed: Seed of the shifts and of the random frames, independent of the run's, so that runs compare.
    """

    def __init__(
        self,
        percentiles: Sequence[int] = DEFAULT_PERCENTILES,
        frames_per_second: float = 40.0,
        batch_size: int = 64,
        shifts: int = 4,
        seed: int = 0,
    ) -> None:
        super().__init__(FaithfulnessScore(percentiles, frames_per_second, batch_size))
        for name, value in (("shifts", shifts), ("seed", seed)):
            if value < 0:
                raise ValueError(f"{name}: {value} is negative")
        self.frames_per_second = frames_per_second
        self.batch_size = batch_size
        self.shifts = shifts
        self.seed = seed

    def check(self, n_frames: int) -> None:
        """Check, before a stage begins, that clips of `n_frames` frames have enough shifts.

        Raises:
            ValueError: If they have fewer shifts.
        """
        check_shifts(self.shifts, n_frames)

    def counted(self, batch: dict[str, Any]) -> Tensor:
        """Anomalous clips count; the metric leaves out what has no annotation where others have one."""
        return batch["label"] == 1

    def score(self, trainer: Trainer, pl_module: LightningModule, clips: ExplainedClips) -> None:
        """Replace what each explainer and reference points at, in the numeric precision of the run."""
        x, reconstruction, annotation, index, curves = clips
        with_chance = not is_fitting(trainer)
        shifts = index.new_zeros(len(index), 1)
        if with_chance:
            shifts = torch.cat([shifts, draw_shifts(index, x.shape[-1], self.shifts, self.seed)], dim=1)
        groups = [shift_frames(select_peaks(curve, self.percentiles), shifts) for curve in curves.values()]
        if with_chance:
            groups.append(reference_frames(annotation, self.percentiles, index, self.seed))
        with trainer.precision_plugin.forward_context():
            # All at once, so that equal masks of different explainers run once.
            peaks = torch.cat(groups, dim=1)
            values = peak_faithfulness(
                pl_module, x, peaks, annotation, self.frames_per_second, reconstruction, self.batch_size
            )
        parts = values.split([group.shape[1] for group in groups], dim=1)
        for name, of_explainer in zip(curves, parts, strict=False):
            self.metrics[name].add(of_explainer[:, 0], index)
            if with_chance:
                self.nulls[name].add(of_explainer.movedim(1, -1), index)
        if with_chance:
            self._add_references(parts[-1], annotation, index)

    def _add_references(self, values: Tensor, annotation: Tensor, index: Tensor) -> None:
        """Keep the references' values, (N, 3, 2, P)."""
        oracle, everything = (REFERENCE_NAMES.index(name) for name in ("oracle", "all_frames"))
        # Few frames can miss an annotated segment; an oracle misses none, so its value is that of all frames.
        values[:, oracle, 1] = values[:, everything, 1]
        values[~annotation.any(1).to(values.device), oracle] = torch.nan
        self.references.add(values, index)
