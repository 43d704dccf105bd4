"""The table of `predict`: how anomalous each recording is, and when."""

from typing import Any

import pandas as pd
import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor

from lightning_modules.base import StepOutputs
from lightning_modules.callbacks import EvaluationHooks, run_folder
from lightning_modules.distributed import gather_objects
from lightning_modules.files import write_table
from lightning_modules.scores import squared_error
from metrics.clip_metric import check_percentiles
from metrics.functional import frame_curve, select_peaks
from metrics.functional.segments import hit_segments


class Predictions(EvaluationHooks):
    """Writes ``predictions.csv`` of a `predict` run: name, anomaly scores (dB²), and the seconds that stand out.

    One row per clip, sorted by decreasing score. The masked score is empty if the model does not compute it. A second
    stands out if it contains a peak of the error map's frame curve; it is empty for a model without a reconstruction.

    Args:
        percentile: Frames at or above this percentile of a clip's curve are peaks.
        frames_per_second: Frame rate of the spectrograms.
    """

    stages = ("predict",)

    def __init__(self, percentile: int = 98, frames_per_second: float = 40.0) -> None:
        super().__init__()
        (self.percentile,) = check_percentiles([percentile])
        self.frames_per_second = frames_per_second
        self._batches: list[pd.DataFrame] = []

    def start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Drop an earlier prediction."""
        self._batches = []

    def update(self, trainer: Trainer, pl_module: LightningModule, outputs: StepOutputs, batch: dict[str, Any]) -> None:
        """Collect scores and peaks of a batch."""
        rows = pd.DataFrame({"index": batch["index"].tolist(), "name": batch["name"]})
        rows["score"] = outputs["score"].tolist()
        rows["masked_score"] = outputs["masked_score"].tolist() if "masked_score" in outputs else float("nan")
        rows["seconds"] = ""
        if "reconstruction" in outputs:
            curves = frame_curve(squared_error(batch["spectrogram"], outputs["reconstruction"]))
            peaks = select_peaks(curves, self.percentile)
            rows["seconds"] = [" ".join(map(str, peak_seconds(clip, self.frames_per_second))) for clip in peaks]
        self._batches.append(rows)

    def finish(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Write the rows of all processes on the first of them."""
        batches = [batch for part in gather_objects(self._batches) for batch in part]
        path = run_folder(trainer) / "predictions.csv"
        if trainer.is_global_zero and batches:
            # A distributed sampler repeats clips so that all processes have as many.
            rows = pd.concat(batches).drop_duplicates("index")
            rows = rows.sort_values(["score", "index"], ascending=[False, True])
            write_table(path, rows.drop(columns="index"))


def peak_seconds(peaks: Tensor, frames_per_second: float) -> list[int]:
    """The seconds of a clip that contain a peak, counted from 0.

    Args:
        peaks: Peak frames, bool, (T,).
        frames_per_second: Frame rate.

    Example:
        >>> peak_seconds(torch.tensor([False, False, True, True, True, False]), frames_per_second=2)
        [1, 2]
    """
    return torch.nonzero(hit_segments(peaks, frames_per_second)).flatten().tolist()
