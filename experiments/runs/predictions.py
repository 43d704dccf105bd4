"""The table of `predict`: how anomalous each recording is, and when."""

import shutil
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from lightning_modules.base import squared_error
from lightning_modules.files import read_rows, write_rows
from metrics.clip_metric import check_percentiles
from metrics.functional import frame_curve, select_peaks
from metrics.functional.segments import hit_segments

COLUMNS = ("name", "score", "masked_score", "seconds")
SHARDS = "shards"
"""Folder of the rows of each process, deleted once they are merged."""


class Predictions(Callback):
    """Writes ``predictions.csv`` of a `predict` run: name, anomaly scores (dB²), and the seconds that stand out.

    Rows are sorted by decreasing score. The masked score is empty if the model does not compute it. A second stands
    out if it contains a peak of the error map's frame curve; it is empty for a model without a reconstruction.

    Each process writes its predictions to a file of its own, and the first process merges them: one row per clip, also
    where a distributed sampler repeats a clip.

    Args:
        percentile: Frames at or above this percentile of a clip's curve are peaks.
        frames_per_second: Frame rate of the spectrograms.
    """

    def __init__(self, percentile: int = 98, frames_per_second: float = 40.0) -> None:
        super().__init__()
        (self.percentile,) = check_percentiles([percentile])
        self.frames_per_second = frames_per_second
        self._rows: dict[int, tuple[str, float, float | str, str]] = {}

    def on_predict_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Drop an earlier prediction."""
        self._rows.clear()

    def on_predict_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Collect scores and peaks of a batch."""
        scores = outputs["score"].tolist()
        masked_scores = outputs["masked_score"].tolist() if "masked_score" in outputs else [""] * len(scores)
        seconds = [""] * len(scores)
        if "reconstruction" in outputs:
            curves = frame_curve(squared_error(batch["spectrogram"], outputs["reconstruction"]))
            peaks = select_peaks(curves, self.percentile)
            seconds = [" ".join(map(str, peak_seconds(of_clip, self.frames_per_second))) for of_clip in peaks]
        rows = zip(batch["name"], scores, masked_scores, seconds, strict=True)
        self._rows.update(zip(batch["index"].tolist(), rows, strict=True))

    def on_predict_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write this process's share, and on the first process the file."""
        folder = trainer.log_dir  # asks all processes
        if folder is None:
            return
        shards = [Path(folder) / SHARDS / f"{rank}.csv" for rank in range(trainer.world_size)]
        rows = ([index, *row] for index, row in sorted(self._rows.items()))
        write_rows(shards[trainer.global_rank], ("index", *COLUMNS), rows)
        trainer.strategy.barrier("predictions")
        if trainer.is_global_zero:
            merged = {int(row[0]): row[1:] for shard in shards for row in read_rows(shard)}
            in_order = sorted(merged.items(), key=lambda clip: (-float(clip[1][1]), clip[0]))
            write_rows(Path(folder) / "predictions.csv", COLUMNS, (row for _, row in in_order))
            shutil.rmtree(shards[0].parent)


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
