"""What the callbacks that measure explanations share: values per clip, chance levels, and ``explanations.csv``."""

import math
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor

from lightning_modules.distributed import gather_objects
from lightning_modules.errors import ConfigurationError
from lightning_modules.files import read_rows, write_arrays, write_rows
from metrics.callbacks.base import Clip, EvaluationCallback, positions_by_type, writes_files
from metrics.chance import ClipNull, ReferenceValues
from metrics.clip_metric import check_percentiles
from metrics.explanations import ExplanationMetric
from metrics.functional.chance import chance_corrected
from metrics.functional.peaks import frame_curve
from metrics.measures import MEASURES, REFERENCES, Measure

EXPLANATIONS_FILE = "explanations.csv"
COLUMNS = ("index", "name", "anomaly_type", "explainer", "measure", "percentile", "value", "chance")


def null_file(measure: str) -> str:
    """File of a measure's values under circular shifts.

    It holds ``names`` (N,), ``percentiles`` (P,) and an array per explainer, (N, P, S) float32, with the observed value
    at position 0.
    """
    return f"{measure}_null.npz"


class ExplanationCallback(EvaluationCallback):
    """Values of some measures for each explainer, with their chance levels in ``validate`` and ``test``.

    Scalars: ``{val|test}/{measure}/{explainer}/p{percentile}``, mean over clips, and with the type appended
    (``test/f1/error_map/p98/broken_board``) over the clips of an anomaly type. For measures with a chance level, except
    inside ``fit``, three more: ``{measure}_chance/...``, the mean under circular shifts of the clips' curves;
    ``{measure}_corrected/...``, the share of the way from there to an oracle that knows the annotation; and
    ``{measure}_pvalue/...``, the probability that chance alone reaches the observed mean.

    Rows: one per clip, explainer, measure and percentile in ``explanations.csv``, with random frames, all frames and
    the oracle as further explainers; `null_file` holds the values under the shifts.

    Reads ``outputs["reconstruction"]`` (B, F, T), ``outputs["attributions"]``, {explainer: (B, F, T)}, and
    ``outputs["explained"]`` (B,), which says whose maps are there. A model that reconstructs nothing has nothing to
    explain and is passed over.

    Args:
        percentiles: Percentiles of the frame curve, whole numbers from 0 to 100.

    Raises:
        ConfigurationError: While running, if no callback before this one has added attributions.
    """

    filename = EXPLANATIONS_FILE
    columns = COLUMNS
    measures: ClassVar[tuple[Measure, ...]]

    def __init__(self, percentiles: Sequence[int]) -> None:
        super().__init__()
        self.percentiles = check_percentiles(percentiles)
        self.with_chance = tuple(measure for measure in self.measures if measure.has_chance)
        self.references = ReferenceValues(len(self.with_chance), len(self.percentiles))
        self._metrics: dict[str, ExplanationMetric] = {}
        self._nulls: dict[str, ClipNull] = {}
        # What every process has gathered and the first one writes.
        self._null_values: dict[str, Tensor] = {}
        self._reference_rows: tuple[Tensor, Tensor] = (torch.empty(0), torch.empty(0))

    @abstractmethod
    def new_metric(self) -> ExplanationMetric:
        """Make an empty metric for one explainer."""

    @abstractmethod
    def counted(self, batch: Mapping[str, Any]) -> Tensor:
        """Say which clips of a batch count if they are explained, bool (B,)."""

    @abstractmethod
    def score(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        curves: Mapping[str, Tensor],
        outputs: Mapping[str, Any],
        batch: Mapping[str, Any],
        rows: Tensor,
    ) -> None:
        """Update `metric` of each explainer and, where files are written, its `null` and `references`.

        Args:
            trainer: The trainer.
            pl_module: The model.
            curves: Frame curves of each explainer, (N, T).
            outputs: What the step returned for the batch.
            batch: The batch.
            rows: Positions in the batch of the N clips, int64.
        """

    def metric(self, explainer: str) -> Any:
        """Look up an explainer's metric, made at the first call."""
        return self._metrics.setdefault(explainer, self.new_metric())

    def null(self, explainer: str) -> ClipNull:
        """Look up an explainer's values under circular shifts, made at the first call."""
        all_shifts = all(measure.null == "all shifts" for measure in self.with_chance)
        return self._nulls.setdefault(
            explainer, ClipNull(len(self.with_chance), len(self.percentiles), all_shifts=all_shifts)
        )

    def reset(self) -> None:
        """Forget the clips of the last epoch."""
        self._metrics, self._nulls, self._null_values = {}, {}, {}
        self.references.reset()

    def update(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Mapping[str, Any],
        batch: Mapping[str, Any],
    ) -> None:
        """Take in the explained clips of a batch that count."""
        if "reconstruction" not in outputs:
            return
        if "attributions" not in outputs:
            raise ConfigurationError(
                f"{type(self).__name__} found no attribution maps; put AttributionMaps before it in the callbacks"
            )
        rows = (outputs["explained"] & self.counted(batch)).nonzero().squeeze(1)
        if len(rows) == 0:
            return
        self.remember(batch, rows.tolist())
        curves = {name: frame_curve(maps[rows]) for name, maps in outputs["attributions"].items()}
        self.score(trainer, pl_module, curves, outputs, batch, rows)

    def finish(self, pl_module: LightningModule, stage: str) -> list[tuple[Any, ...]]:
        """Log means and chance levels, and return a row per clip, explainer, measure and percentile."""
        clips = self.gather_clips()
        if writes_files(pl_module.trainer):
            self._reference_rows = self.references.per_clip()
        rows: list[tuple[Any, ...]] = []
        # A process may have met no explained clip, but has to take part in gathering each metric.
        explainers = dict.fromkeys(name for part in gather_objects(list(self._metrics)) for name in part)
        explained = torch.empty(0, dtype=torch.int64)
        for explainer in explainers:
            explained, values = self.metric(explainer).per_clip()
            self.log_values(pl_module, stage, explainer, values)
            for anomaly_type, positions in positions_by_type(explained, clips).items():
                self.log_values(pl_module, stage, explainer, values[positions], f"/{anomaly_type}")
            chance = self._compare_with_chance(pl_module, stage, explainer, explained, values)
            rows += self._rows(clips, explained, explainer, self.measures, values, chance)
        if explainers and writes_files(pl_module.trainer) and self.with_chance:
            references = _of_clips(self._reference_rows, explained)
            for position, reference in enumerate(REFERENCES):
                rows += self._rows(clips, explained, reference, self.with_chance, references[:, position])
        return rows

    def log_values(
        self, pl_module: LightningModule, stage: str, explainer: str, values: Tensor, suffix: str = ""
    ) -> None:
        """Log the means of an explainer's values over clips.

        Args:
            pl_module: The model.
            stage: "val" or "test".
            explainer: The explainer.
            values: (N, measures, percentiles).
            suffix: An anomaly type after a slash, "" for all clips.
        """
        for measure, means in zip(self.measures, values.mean(0), strict=True):
            self._log_percentiles(pl_module, f"{stage}/{measure.key}/{explainer}", means, suffix)

    def write(self, folder: Path, rows: Sequence[tuple[Any, ...]]) -> None:
        """Write the rows in place of older ones of the same measures, and the values under the shifts."""
        path, own = folder / self.filename, {measure.key for measure in self.measures}
        column = COLUMNS.index("measure")
        others = [row for row in read_rows(path) if row[column] not in own] if path.is_file() else []
        order = {key: position for position, key in enumerate(MEASURES)}
        write_rows(path, COLUMNS, sorted([*others, *rows], key=lambda row: order[row[column]]))
        names = np.array(list(dict.fromkeys(row[1] for row in rows)))
        for position, measure in enumerate(self.with_chance):
            arrays = {
                explainer: values[:, position].numpy()
                for explainer, values in self._null_values.items()
                if values.shape[-1] > 1
            }
            if arrays:
                shared = {"names": names, "percentiles": np.array(self.percentiles)}
                write_arrays(folder / null_file(measure.key), {**shared, **arrays})

    def _compare_with_chance(
        self, pl_module: LightningModule, stage: str, explainer: str, index: Tensor, values: Tensor
    ) -> Tensor:
        """Log chance levels and p-values; returns the chance level of each value, NaN where there is none."""
        levels = torch.full_like(values, torch.nan)
        if not writes_files(pl_module.trainer) or not self.with_chance:
            return levels
        null = self.null(explainer)
        shifted = _of_clips(null.per_clip(), index)
        result = null.reduce(shifted)
        oracle = self.references.reduce(_of_clips(self._reference_rows, index))["oracle"]
        for i, measure in enumerate(self.with_chance):
            position = self.measures.index(measure)
            levels[:, position] = null.chance(shifted)[:, i]
            chance = result["chance"][i]
            for name, of_percentiles in (
                ("chance", chance),
                ("corrected", chance_corrected(values[:, position].mean(0), chance, oracle[i])),
                ("pvalue", result["p_value"][i]),
            ):
                self._log_percentiles(pl_module, f"{stage}/{measure.key}_{name}/{explainer}", of_percentiles)
        self._null_values[explainer] = shifted
        return levels

    def _log_percentiles(self, pl_module: LightningModule, name: str, values: Tensor, suffix: str = "") -> None:
        """Log a value per percentile (P,) as ``{name}/p{percentile}{suffix}``, undefined ones left out."""
        for percentile, value in zip(self.percentiles, values.tolist(), strict=True):
            if not math.isnan(value):
                pl_module.log(f"{name}/p{percentile}{suffix}", value)

    def _rows(
        self,
        clips: Mapping[int, Clip],
        index: Tensor,
        explainer: str,
        measures: Iterable[Measure],
        values: Tensor,
        chance: Tensor | None = None,
    ) -> Iterator[tuple[Any, ...]]:
        """Rows of an explainer from values (N, measures, percentiles); undefined values are empty cells."""
        chance = torch.full_like(values, torch.nan) if chance is None else chance
        for i, of_clip, chance_of_clip in zip(index.tolist(), values.tolist(), chance.tolist(), strict=True):
            for measure, of_measure, levels in zip(measures, of_clip, chance_of_clip, strict=True):
                for percentile, value, level in zip(self.percentiles, of_measure, levels, strict=True):
                    cells = ("" if math.isnan(number) else number for number in (value, level))
                    yield (i, clips[i].name, clips[i].anomaly_type, explainer, measure.key, percentile, *cells)


def _of_clips(rows: tuple[Tensor, Tensor], index: Tensor) -> Tensor:
    """Some clips' rows of a metric.

    Args:
        rows: What its ``per_clip`` returned: indices in increasing order (M,), and rows (M, ...).
        index: Indices of clips among them, in increasing order, (N,).

    Returns:
        (N, ...).
    """
    known, values = rows
    return values[torch.isin(known, index)]
