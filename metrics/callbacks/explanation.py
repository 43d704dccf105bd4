"""What the callbacks that judge explanations share."""

import math
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, ClassVar

import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor

from metrics.callbacks.base import Clip, EvaluationCallback, positions_by_type
from metrics.clip_metric import DEFAULT_PERCENTILES, ClipMetric, check_frame_rate, check_percentiles
from metrics.distributed import gather_objects
from metrics.functional.peaks import frame_curve


class ExplanationCallback(EvaluationCallback):
    """One clip metric for each explainer, with a value of each kind at each percentile.

    Scalars: ``{val|test}/{kind}/{explainer}/p{percentile}``, mean over clips, and with the type appended
    (``test/f1/error_map/p98/broken_board``) over the clips of an anomaly type.

    Reads ``outputs["attributions"]``, {explainer: (B, F, T)}, and ``outputs["explained"]`` (B,), which says
    whose maps are there. Without them, or where no clip counts, nothing is logged or written.

    Args:
        percentiles: Percentiles of the curve that make a frame a peak, whole numbers from 0 to 100.
        frames_per_second: Frame rate of the spectrograms; segments are seconds.
    """

    kinds: ClassVar[tuple[str, ...]]
    """What the metric's rows hold, in their order: columns of the per-clip file."""
    scalars: ClassVar[tuple[str, ...]]
    """The same, as the logged scalars are called."""

    def __init__(self, percentiles: Sequence[int] = DEFAULT_PERCENTILES, frames_per_second: float = 40.0) -> None:
        super().__init__()
        self.percentiles = check_percentiles(percentiles)
        self.frames_per_second = check_frame_rate(frames_per_second)
        self._metrics: dict[str, ClipMetric] = {}

    @property
    def columns(self) -> tuple[str, ...]:
        """Header of the per-clip rows."""
        return ("index", "name", "anomaly_type", "explainer", "percentile", *self.kinds)

    @abstractmethod
    def new_metric(self) -> ClipMetric:
        """Make an empty metric for one explainer, with rows (kinds, percentiles)."""

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
        """Update the metrics of all explainers with some clips of a batch.

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
        if explainer not in self._metrics:
            self._metrics[explainer] = self.new_metric()
        return self._metrics[explainer]

    def reset(self) -> None:
        """Forget the clips of the last epoch."""
        self._metrics = {}

    def update(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Mapping[str, Any],
        batch: Mapping[str, Any],
    ) -> None:
        """Take in the explained clips of a batch that count."""
        if "attributions" not in outputs:
            return
        rows = (outputs["explained"] & self.counted(batch)).nonzero().squeeze(1)
        if len(rows) == 0:
            return
        self.remember(batch, rows.tolist())
        curves = {name: frame_curve(maps[rows]) for name, maps in outputs["attributions"].items()}
        self.score(trainer, pl_module, curves, outputs, batch, rows)

    def finish(self, pl_module: LightningModule, stage: str) -> list[tuple[Any, ...]]:
        """Log the means and return rows of explainer, percentile and values."""
        clips = self.gather_clips()
        rows: list[tuple[Any, ...]] = []
        # A process may have met no explained clip, but has to take part in gathering each metric.
        names = (name for part in gather_objects(list(self._metrics)) for name in part)
        for explainer in dict.fromkeys(names):
            index, values = self.metric(explainer).per_clip()
            log_means = partial(self._log_means, pl_module, stage, explainer)
            log_means(values)
            for anomaly_type, positions in positions_by_type(index, clips).items():
                log_means(values[positions], f"/{anomaly_type}")
            further = self.judge(pl_module, stage, explainer, index, values)
            rows.extend(self._rows(explainer, index, torch.cat([values, further], dim=1), clips))
        return rows

    def judge(self, pl_module: LightningModule, stage: str, explainer: str, index: Tensor, values: Tensor) -> Tensor:
        """Say and log more about an explainer than the means of its values; nothing here.

        Runs on every process.

        Args:
            pl_module: The model.
            stage: "val" or "test".
            explainer: The explainer.
            index: Indices of its clips in rising order, (N,).
            values: Its values, (N, kinds, percentiles).

        Returns:
            Values of further columns of the per-clip file, (N, columns, percentiles).
        """
        return values.new_empty(len(values), 0, len(self.percentiles))

    def _log_means(
        self, pl_module: LightningModule, stage: str, explainer: str, values: Tensor, suffix: str = ""
    ) -> None:
        """Log the mean of rows (N, kinds, percentiles)."""
        for name, means in zip(self.scalars, values.mean(0), strict=True):
            self.log_percentiles(pl_module, f"{stage}/{name}/{explainer}", means, suffix)

    def log_percentiles(self, pl_module: LightningModule, name: str, values: Tensor, suffix: str = "") -> None:
        """Log a value of each percentile (P,) under ``{name}/p{percentile}{suffix}``, undefined ones left out."""
        for percentile, value in zip(self.percentiles, values.tolist(), strict=True):
            if not math.isnan(value):
                pl_module.log(f"{name}/p{percentile}{suffix}", value)

    def _rows(self, explainer: str, index: Tensor, values: Tensor, clips: Mapping[int, Clip]) -> list[tuple[Any, ...]]:
        """One row for each clip and percentile, from values (N, columns, percentiles)."""
        rows: list[tuple[Any, ...]] = []
        for i, of_clip in zip(index.tolist(), values, strict=True):
            leading = (i, clips[i].name, clips[i].anomaly_type)
            rows.extend(percentile_rows(leading, explainer, self.percentiles, of_clip))
        return rows


def percentile_rows(
    leading: tuple[Any, ...], explainer: str, percentiles: Sequence[int], values: Tensor
) -> list[tuple[Any, ...]]:
    """Rows of one clip and explainer; undefined values are empty cells.

    Args:
        leading: Index, name and anomaly type of the clip.
        explainer: The explainer, or what stands in for one.
        percentiles: P percentiles.
        values: (columns, P).

    Returns:
        P rows of the leading cells, explainer, percentile and a cell for each column.

    Example:
        >>> import torch
        >>> percentile_rows((4, "a.wav", "stuck"), "error_map", [98], torch.tensor([[0.5], [torch.nan]]))
        [(4, 'a.wav', 'stuck', 'error_map', 98, 0.5, '')]
    """
    return [
        (*leading, explainer, percentile, *("" if math.isnan(value) else value for value in of_percentile))
        for percentile, of_percentile in zip(percentiles, values.T.tolist(), strict=True)
    ]
