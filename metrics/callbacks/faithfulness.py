"""Faithfulness of explanations to the model's score."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor

from metrics.callbacks.base import writes_files
from metrics.callbacks.chance import ChanceCallback
from metrics.chance import ClipNull
from metrics.clip_metric import DEFAULT_PERCENTILES
from metrics.faithfulness import FaithfulnessScore
from metrics.functional.peaks import select_peaks
from metrics.functional.references import REFERENCES, reference_frames
from metrics.functional.replacement import peak_faithfulness
from metrics.functional.shifts import check_shifts, draw_shifts, shift_frames


class Faithfulness(ChanceCallback):
    """Logs frame-based and segment-based faithfulness of explanations, writes ``faithfulness.csv``.

    Over the explained anomalous clips, or those of them that are annotated where any is; without annotation
    there is no segment-based value. See ``metrics.FaithfulnessScore`` for the measure. The scalars are called
    ``faithfulness_frame`` and ``faithfulness_segment`` (see ``ExplanationCallback``).

    Beside both stands their chance level: ``faithfulness_frame_chance``, ``_corrected``, ``_pvalue`` and the same of
    segments, ``faithfulness_references.csv`` and ``faithfulness_null.npz`` (see ``ChanceCallback``). The null
    distribution is a sample of the circular shifts, the same for all explainers, percentiles and runs. The oracle
    replaces frames spread evenly over the annotated ones (segment-based: all annotated frames); it knows the
    annotation, not the model, so an explanation may beat it.

    Cost in forward passes a clip, with E explainers and P percentiles: E·P for the explanations, ``shifts``·E·P for
    the null distribution, and 2·P + 1 for the references, one set for all explainers. Segment-based masks add few:
    equal masks of a clip run once, and of a clip with n annotated segments at most 2ⁿ − 1 can differ. On the planer's
    46 annotations, 6 explainers and 10 percentiles take 67 passes a clip, 89 with the references, and 337 with 4
    shifts as well; inside ``fit`` the first.

    Reads ``outputs["reconstruction"]`` (B, F, T) as well.

    Args:
        percentiles: Percentiles of the curve that make a frame a peak, whole numbers from 0 to 100.
        frames_per_second: Frame rate of the spectrograms; segments are seconds.
        batch_size: Most spectrograms that the module runs at once.
        shifts: Circular shifts of each curve that sample the null distribution; 0 switches it off.
        seed: Seed of the shifts and of the random frames, apart from that of the run, so that runs compare.
    """

    filename = "faithfulness.csv"
    references_filename = "faithfulness_references.csv"
    null_filename = "faithfulness_null.npz"
    kinds = FaithfulnessScore.kinds
    scalars = tuple(f"faithfulness_{kind}" for kind in FaithfulnessScore.kinds)
    chance_columns = MappingProxyType({kind: f"{kind}_chance" for kind in FaithfulnessScore.kinds})

    def __init__(
        self,
        percentiles: Sequence[int] = DEFAULT_PERCENTILES,
        frames_per_second: float = 40.0,
        batch_size: int = 64,
        shifts: int = 4,
        seed: int = 0,
    ) -> None:
        super().__init__(percentiles, frames_per_second)
        if batch_size < 1:
            raise ValueError(f"batch_size: {batch_size} is not a positive number of spectrograms")
        for name, value in (("shifts", shifts), ("seed", seed)):
            if value < 0:
                raise ValueError(f"{name}: {value} is negative")
        self.batch_size = batch_size
        self.shifts = shifts
        self.seed = seed

    def check(self, n_frames: int) -> None:
        """Check, before a stage begins, that clips of `n_frames` frames can be shifted as often as is wanted.

        Raises:
            ValueError: If they have fewer shifts.
        """
        check_shifts(self.shifts, n_frames)

    def new_metric(self) -> FaithfulnessScore:
        """Make an empty metric for one explainer."""
        return FaithfulnessScore(self.percentiles, self.frames_per_second, self.batch_size)

    def new_null(self) -> ClipNull:
        """Make an empty null distribution for one explainer."""
        return ClipNull(len(self.chance_columns), len(self.percentiles), all_shifts=False)

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
        """Replace what each explainer and reference points at, in the numeric precision of the run."""
        x, annotation, index = batch["spectrogram"][rows], batch["annotation"][rows], batch["index"][rows]
        with_chance = writes_files(trainer)
        shifts = index.new_zeros(len(index), 1)
        if with_chance:
            shifts = torch.cat([shifts, draw_shifts(index, x.shape[-1], self.shifts, self.seed)], dim=1)
        groups = [shift_frames(select_peaks(curve, self.percentiles), shifts) for curve in curves.values()]
        if with_chance:
            groups.append(reference_frames(annotation, self.percentiles, index, self.seed))
        reconstruction = outputs["reconstruction"][rows]
        with trainer.precision_plugin.forward_context():
            # All at once, so that a mask runs once, whoever asks for it.
            peaks = torch.cat(groups, dim=1)
            values = peak_faithfulness(
                pl_module, x, peaks, annotation, self.frames_per_second, reconstruction, self.batch_size
            )
        parts = values.split([group.shape[1] for group in groups], dim=1)
        for name, of_explainer in zip(curves, parts, strict=False):
            self.metric(name).add(of_explainer[:, 0], index)
            if with_chance:
                self.null(name).update(of_explainer.movedim(1, -1), index)
        if with_chance:
            self._add_references(parts[-1], annotation, index)

    def _add_references(self, values: Tensor, annotation: Tensor, index: Tensor) -> None:
        """Keep the references' values, (N, 3, 2, P)."""
        oracle, everything = (REFERENCES.index(name) for name in ("oracle", "all_frames"))
        segment = self.kinds.index("segment")
        # Few frames can miss an annotated segment; an oracle misses none, and so has what all frames have.
        values[:, oracle, segment] = values[:, everything, segment]
        values[~annotation.any(1).to(values.device), oracle] = torch.nan
        self.references.update(values, index)
