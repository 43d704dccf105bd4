"""What the callbacks that measure explanations share: values per clip, chance levels, and ``explanations.csv``."""

import math
from abc import abstractmethod
from collections import defaultdict
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor

from lightning_modules.base import StepOutputs
from lightning_modules.callbacks import is_fitting
from lightning_modules.distributed import gather_objects
from lightning_modules.errors import ConfigurationError
from lightning_modules.files import write_arrays, write_table
from metrics.callbacks.base import EvaluationCallback, clips_by_type
from metrics.clip_metric import ClipMean
from metrics.explanations import ExplanationMetric
from metrics.functional.chance import chance_corrected, chance_level, permutation_p_value
from metrics.functional.peaks import frame_curve
from metrics.measures import EXPLANATIONS_FILE, MEASURES, REFERENCES, Measure, null_file

COLUMNS = ["index", "name", "anomaly_type", "explainer", "measure", "percentile", "value", "chance"]


class ExplainedClips(NamedTuple):
    """The clips of a batch that count.

    Attributes:
        x: Spectrograms (N, F, T), dB.
        reconstruction: Reconstructions (N, F, T), dB.
        annotation: Annotated frames (N, T), bool.
        index: Indices (N,).
        curves: Frame curves (N, T) by explainer.
    """

    x: Tensor
    reconstruction: Tensor
    annotation: Tensor
    index: Tensor  # type: ignore[assignment]  # not the method of tuples
    curves: dict[str, Tensor]


class ExplanationCallback(EvaluationCallback):
    """Values of some measures for each explainer, with their chance levels in ``validate`` and ``test``.

    Scalars: ``{val|test}/{measure}/{explainer}/p{percentile}``, mean over clips, and with the type appended
    (``test/f1/error_map/p98/broken_board``) over the clips of an anomaly type. For measures with a chance level, except
    inside ``fit``, three more: ``{measure}_chance/...``, the mean under circular shifts of the clips' curves;
    ``{measure}_corrected/...``, the share of the way from there to an oracle that knows the annotation; and
    ``{measure}_pvalue/...``, the probability that chance alone reaches the observed mean.

    Rows: one per clip, explainer, measure and percentile in ``explanations.csv``, with random frames, all frames and
    the oracle as further explainers; `null_file` contains the values under the shifts.

    Reads ``outputs["reconstruction"]`` (B, F, T), ``outputs["attributions"]``, {explainer: (B, F, T)}, and
    ``outputs["explained"]`` (B,), which says whose maps are there. A model that reconstructs nothing has nothing to
    explain and is skipped.

    Args:
        metric: An empty metric; each explainer gets a copy.

    Raises:
        ConfigurationError: While running, if no callback before this one has added attributions.
    """

    filename = EXPLANATIONS_FILE

    def __init__(self, metric: ExplanationMetric) -> None:
        super().__init__()
        self.metric = metric
        self.measures = metric.measures
        self.percentiles = metric.percentiles
        self.with_chance = tuple(measure for measure in self.measures if measure.has_chance)
        self.all_shifts = all(measure.null == "all shifts" for measure in self.with_chance)
        shape = (len(self.with_chance), len(self.percentiles))
        self.metrics: dict[str, Any] = defaultdict(metric.clone)
        """Values of each explainer."""
        self.nulls: dict[str, ClipMean] = defaultdict(partial(ClipMean, (*shape, 1), dtype=torch.float32))
        """Values of each explainer under circular shifts, the observed one at position 0: (N, K, P, S)."""
        self.references = ClipMean((len(REFERENCES), *shape))
        """Values of the references (N, 3, K, P)."""
        self._null_values: dict[str, Tensor] = {}  # what every process has gathered and the first one writes

    @abstractmethod
    def counted(self, batch: dict[str, Any]) -> Tensor:
        """Say which clips of a batch count if they are explained, bool (B,)."""

    @abstractmethod
    def score(self, trainer: Trainer, pl_module: LightningModule, clips: ExplainedClips) -> None:
        """Update `metrics` of each explainer and, except inside ``fit``, its `nulls` and `references`."""

    def start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Forget the clips of the last epoch."""
        super().start(trainer, pl_module)
        self.metrics.clear()
        self.nulls.clear()
        self.references.reset()
        self._null_values = {}

    def update(self, trainer: Trainer, pl_module: LightningModule, outputs: StepOutputs, batch: dict[str, Any]) -> None:
        """Take in the explained clips of a batch that count."""
        if "reconstruction" not in outputs:
            return
        if "attributions" not in outputs:
            raise ConfigurationError(
                f"{type(self).__name__} found no attribution maps; put AttributionMaps before it in the callbacks"
            )
        rows = (outputs["explained"] & self.counted(batch)).nonzero().squeeze(1)
        if len(rows) == 0 or not outputs["attributions"]:
            return
        self.remember(batch, rows.tolist())
        x, annotation, index = (batch[key][rows] for key in ("spectrogram", "annotation", "index"))
        curves = {name: frame_curve(maps[rows]) for name, maps in outputs["attributions"].items()}
        self.score(trainer, pl_module, ExplainedClips(x, outputs["reconstruction"][rows], annotation, index, curves))

    def evaluate(self, pl_module: LightningModule, stage: str) -> pd.DataFrame:
        """Log means and chance levels, and return a row per clip, explainer, measure and percentile."""
        clips = self.gather_clips()
        # A process may have met no explained clip, but has to take part in gathering each metric.
        explainers = dict.fromkeys(name for part in gather_objects(list(self.metrics)) for name in part)
        if not explainers:
            return pd.DataFrame()
        compares = bool(self.with_chance) and not is_fitting(pl_module.trainer)
        references = self.references.per_clip() if compares else None
        tables = []
        for explainer in explainers:
            index, values = self.metrics[explainer].per_clip()
            self.log_values(pl_module, stage, explainer, values)
            for anomaly_type, of_type in clips_by_type(clips["anomaly_type"][index.tolist()]).items():
                self.log_values(pl_module, stage, explainer, values[of_type], f"/{anomaly_type}")
            chance = None
            if references is not None:
                oracle = _of_clips(references, index).mean(0)[list(REFERENCES).index("oracle")]
                chance = self._compare_with_chance(pl_module, stage, explainer, index, values, oracle)
            tables.append(self._table(index, explainer, self.measures, values, chance))
        if references is not None:
            for reference, values in zip(REFERENCES, _of_clips(references, index).unbind(1), strict=True):
                tables.append(self._table(index, reference, self.with_chance, values))
        return pd.concat(tables).join(clips, on="index")[COLUMNS].sort_values("index", kind="stable")

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
        for key, means in self.metric.reduce(values).items():
            self._log_percentiles(pl_module, f"{stage}/{key}/{explainer}", means, suffix)

    def write(self, folder: Path, rows: pd.DataFrame) -> None:
        """Write the rows in place of older ones of the same measures, and the values under the shifts."""
        shared = {"names": np.array(rows["name"].unique(), dtype=str), "percentiles": np.array(self.percentiles)}
        path, order = folder / self.filename, list(MEASURES)
        if path.is_file():
            others = pd.read_csv(path, dtype=str, keep_default_na=False)
            others = others[~others["measure"].isin([measure.key for measure in self.measures])]
            rows = pd.concat([others.astype(object), rows.astype(object)])
        write_table(path, rows.sort_values("measure", key=lambda column: column.map(order.index), kind="stable"))
        for position, measure in enumerate(self.with_chance):
            arrays = {name: values[:, position].numpy() for name, values in self._null_values.items()}
            if arrays:
                write_arrays(folder / null_file(measure.key), {**shared, **arrays})

    def _compare_with_chance(
        self, pl_module: LightningModule, stage: str, explainer: str, index: Tensor, values: Tensor, oracle: Tensor
    ) -> Tensor:
        """Log chance levels and p-values; returns the chance level of each value, NaN where there is none."""
        levels = torch.full_like(values, torch.nan)
        null = _of_clips(self.nulls[explainer].per_clip(), index)
        if null.shape[-1] < 2:
            return levels
        self._null_values[explainer] = null
        for i, measure in enumerate(self.with_chance):
            position = self.measures.index(measure)
            levels[:, position] = chance_level(null[:, i].double(), self.all_shifts)
            chance = levels[:, position].mean(0)
            p_values = [permutation_p_value(of_percentile) for of_percentile in null[:, i].unbind(1)]
            for name, of_percentiles in (
                ("chance", chance),
                ("corrected", chance_corrected(values[:, position].mean(0), chance, oracle[i])),
                ("pvalue", torch.tensor(p_values, dtype=torch.float64)),
            ):
                self._log_percentiles(pl_module, f"{stage}/{measure.key}_{name}/{explainer}", of_percentiles)
        return levels

    def _log_percentiles(self, pl_module: LightningModule, name: str, values: Tensor, suffix: str = "") -> None:
        """Log a value per percentile (P,) as ``{name}/p{percentile}{suffix}``, undefined ones left out."""
        for percentile, value in zip(self.percentiles, values.tolist(), strict=True):
            if not math.isnan(value):
                pl_module.log(f"{name}/p{percentile}{suffix}", value)

    def _table(
        self,
        index: Tensor,
        explainer: str,
        measures: tuple[Measure, ...],
        values: Tensor,
        chance: Tensor | None = None,
    ) -> pd.DataFrame:
        """Rows of an explainer from values and their chance levels, (N, measures, percentiles)."""
        axes = {"index": index.tolist(), "measure": [m.key for m in measures], "percentile": self.percentiles}
        table = pd.MultiIndex.from_product(axes.values(), names=list(axes)).to_frame(index=False)
        table["explainer"] = explainer
        table["value"] = values.flatten().numpy()
        table["chance"] = math.nan if chance is None else chance.flatten().numpy()
        return table


def _of_clips(rows: tuple[Tensor, Tensor], index: Tensor) -> Tensor:
    """Rows of some clips, of all that a metric's ``per_clip`` returned; both in increasing order of index."""
    known, values = rows
    return values[torch.isin(known, index)]
