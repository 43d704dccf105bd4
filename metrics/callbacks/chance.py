"""What the callbacks share that hold explanations against chance."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from lightning.pytorch import LightningModule
from torch import Tensor

from metrics.callbacks.base import writes_files
from metrics.callbacks.explanation import ExplanationCallback, percentile_rows
from metrics.callbacks.rows import write_arrays, write_rows
from metrics.chance import ClipNull, ReferenceValues
from metrics.clip_metric import DEFAULT_PERCENTILES
from metrics.functional.chance import chance_corrected
from metrics.functional.references import REFERENCES


class ChanceCallback(ExplanationCallback):
    """An ExplanationCallback that says what chance would reach, in ``validate`` and ``test``.

    For each kind in ``chance_columns`` three scalars more, mean over clips: ``{kind}_chance/{explainer}/p98``, the
    value under circular shifts of the clips' curves; ``{kind}_corrected/...``, the share of the way from there to an
    oracle that knows the annotation, an upper bound of F1 but not of faithfulness; ``{kind}_pvalue/...``, the
    probability that chance alone reaches the observed mean. The validation inside ``fit`` logs none of them.

    Three files more: chance levels are columns of the per-clip file; ``references_filename`` has the same rows for
    random frames, all frames and the oracle in the place of explainers; ``null_filename`` holds each clip's values
    under the shifts, ``"{kind}/{explainer}"`` (N, P, S) float32 with the observed value at position 0, and ``names``
    (N,) and ``percentiles`` (P,). It is left out where nothing was shifted.

    Subclasses update ``null`` of each explainer and ``references`` from ``score``, where ``writes_files``.
    """

    references_filename: ClassVar[str]
    null_filename: ClassVar[str]
    chance_columns: ClassVar[Mapping[str, str]]
    """Kinds that have a chance level, and the column of the per-clip file that holds it."""

    def __init__(self, percentiles: Sequence[int] = DEFAULT_PERCENTILES, frames_per_second: float = 40.0) -> None:
        super().__init__(percentiles, frames_per_second)
        self._nulls: dict[str, ClipNull] = {}
        self.references = ReferenceValues(len(self.chance_columns), len(self.percentiles))
        # What every process has gathered and the first one writes.
        self._null_arrays: dict[str, Tensor] = {}
        self._reference_rows: tuple[Tensor, Tensor] = (torch.empty(0), torch.empty(0))

    @property
    def columns(self) -> tuple[str, ...]:
        """Header of the per-clip rows."""
        return (*super().columns, *self.chance_columns.values())

    @abstractmethod
    def new_null(self) -> ClipNull:
        """Make an empty null distribution for one explainer, with rows (kinds, percentiles, shifts)."""

    def null(self, explainer: str) -> ClipNull:
        """Look up an explainer's null distribution, made at the first call."""
        if explainer not in self._nulls:
            self._nulls[explainer] = self.new_null()
        return self._nulls[explainer]

    def reset(self) -> None:
        """Forget the clips of the last epoch."""
        super().reset()
        self._nulls, self._null_arrays = {}, {}
        self.references.reset()

    def finish(self, pl_module: LightningModule, stage: str) -> list[tuple[Any, ...]]:
        """Log means and chance levels, and return rows of explainer, percentile, values and chance levels."""
        if writes_files(pl_module.trainer):
            self._reference_rows = self.references.per_clip()
        return super().finish(pl_module, stage)

    def judge(self, pl_module: LightningModule, stage: str, explainer: str, index: Tensor, values: Tensor) -> Tensor:
        """Hold an explainer against chance; returns the chance level of each clip, (N, kinds, percentiles)."""
        if not writes_files(pl_module.trainer):
            return super().judge(pl_module, stage, explainer, index, values)
        null = self.null(explainer)
        shifted = of_clips(null.per_clip(), index)
        result = null.reduce(shifted)
        oracle = self.references.reduce(of_clips(self._reference_rows, index))["oracle"]
        for i, kind in enumerate(self.chance_columns):
            scalar, chance = self.scalars[self.kinds.index(kind)], result["chance"][i]
            observed = values[:, self.kinds.index(kind)].mean(0)
            self.log_percentiles(pl_module, f"{stage}/{scalar}_chance/{explainer}", chance)
            self.log_percentiles(
                pl_module, f"{stage}/{scalar}_corrected/{explainer}", chance_corrected(observed, chance, oracle[i])
            )
            self.log_percentiles(pl_module, f"{stage}/{scalar}_pvalue/{explainer}", result["p_value"][i])
            self._null_arrays[f"{kind}/{explainer}"] = shifted[:, i]
        return null.chance(shifted)

    def write(self, folder: Path, rows: Sequence[tuple[Any, ...]]) -> None:
        """Write the per-clip rows, the references of the same clips and the null distributions."""
        super().write(folder, rows)
        clips = {row[0]: row[:3] for row in rows}  # index, name and anomaly type
        columns = (*super().columns[: -len(self.kinds)], *self.chance_columns)
        write_rows(folder / self.references_filename, columns, self._rows_of_references(clips))
        arrays = {key: values.numpy() for key, values in self._null_arrays.items() if values.shape[-1] > 1}
        if arrays:
            names = np.array([name for _, name, _ in clips.values()])
            percentiles = np.array(self.percentiles)
            write_arrays(folder / self.null_filename, {"names": names, "percentiles": percentiles, **arrays})

    def _rows_of_references(self, clips: Mapping[int, tuple[Any, ...]]) -> list[tuple[Any, ...]]:
        values = of_clips(self._reference_rows, torch.tensor(list(clips)))
        return [
            row
            for clip, of_clip in zip(clips.values(), values, strict=True)
            for name, of_reference in zip(REFERENCES, of_clip, strict=True)
            for row in percentile_rows(clip, name, self.percentiles, of_reference)
        ]


def of_clips(rows: tuple[Tensor, Tensor], index: Tensor) -> Tensor:
    """Some clips' rows of a metric.

    Args:
        rows: What its ``per_clip`` gave: indices in rising order (M,), and rows (M, ...).
        index: Indices of clips among them, in rising order, (N,).

    Returns:
        (N, ...).
    """
    known, values = rows
    return values[torch.isin(known, index)]
