"""Deletion and insertion: what the error does while the explained frames go, and when only they stay."""

from collections.abc import Mapping, Sequence
from typing import Any

from lightning.pytorch import LightningModule, Trainer

from metrics.callbacks.base import EvaluationCallback, writes_files
from metrics.callbacks.explanation import percentile_rows
from metrics.deletion import DEFAULT_DELETION_PERCENTILES, DeletionInsertionScore
from metrics.distributed import gather_objects
from metrics.functional.peaks import frame_curve


class DeletionInsertion(EvaluationCallback):
    """Logs areas under the deletion and insertion curves of explanations, writes ``deletion.csv``.

    Over all explained clips. Scalars: ``{val|test}/deletion_area/{explainer}``, lower is better, and
    ``/insertion_area/{explainer}``, higher is better; see ``metrics.DeletionInsertionScore``. With the default
    percentiles a clip costs at most 21 forward passes an explainer. In `validate` and `test` only: validation
    inside `fit` passes over it.

    Reads ``outputs["attributions"]``, {explainer: (B, F, T)}, ``outputs["explained"]`` (B,), which says whose
    maps are there, and ``outputs["reconstruction"]`` (B, F, T).

    Args:
        percentiles: Percentiles of the frame curve at which the curves are taken, whole numbers from 0 to 100.
        batch_size: Most spectrograms that the module runs at once.
    """

    filename = "deletion.csv"
    columns = ("index", "name", "anomaly_type", "explainer", "percentile", *DeletionInsertionScore.kinds)

    def __init__(self, percentiles: Sequence[int] = DEFAULT_DELETION_PERCENTILES, batch_size: int = 64) -> None:
        super().__init__()
        if batch_size < 1:
            raise ValueError(f"batch_size: {batch_size} is not a positive number of spectrograms")
        self.batch_size = batch_size
        self.percentiles = DeletionInsertionScore(percentiles).percentiles
        self._metrics: dict[str, DeletionInsertionScore] = {}

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
        """Replace frames of the explained clips of a batch, in the numeric precision of the run."""
        if "attributions" not in outputs or not writes_files(trainer):
            return
        rows = outputs["explained"].nonzero().squeeze(1)
        if len(rows) == 0:
            return
        self.remember(batch, rows.tolist())
        x, index, reconstruction = batch["spectrogram"][rows], batch["index"][rows], outputs["reconstruction"][rows]
        with trainer.precision_plugin.forward_context():
            for explainer, maps in outputs["attributions"].items():
                self._metric(explainer).update(pl_module, x, frame_curve(maps[rows]), index, reconstruction)

    def finish(self, pl_module: LightningModule, stage: str) -> list[tuple[Any, ...]]:
        """Log the areas and return rows of explainer, percentile and values."""
        clips = self.gather_clips()
        rows: list[tuple[Any, ...]] = []
        # A process may have met no explained clip, but has to take part in gathering each metric.
        names = (name for part in gather_objects(list(self._metrics)) for name in part)
        for explainer in dict.fromkeys(names):
            metric = self._metric(explainer)
            index, values = metric.per_clip()
            for kind, area in metric.reduce(values).items():
                if not area.isnan():
                    pl_module.log(f"{stage}/{kind}_area/{explainer}", float(area))
            for i, of_clip in zip(index.tolist(), values, strict=True):
                leading = (i, clips[i].name, clips[i].anomaly_type)
                rows.extend(percentile_rows(leading, explainer, self.percentiles, of_clip))
        return rows

    def _metric(self, explainer: str) -> DeletionInsertionScore:
        """An explainer's metric, made at the first call."""
        if explainer not in self._metrics:
            self._metrics[explainer] = DeletionInsertionScore(self.percentiles, self.batch_size)
        return self._metrics[explainer]
