"""What a prediction says of each recording: how unusual it is, and when."""

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
"""Folder of the rows of each process, which is gone when they are merged."""


class Predictions(Callback):
    """Writes ``predictions.csv`` of a `predict` run: name, anomaly scores (dB²), and the seconds that stand out.

    Rows are sorted by falling score. The masked score is empty where the model was told to leave it out. A second
    stands out if it holds a peak of the error map's frame curve.

    Each of several processes writes what it has predicted to a file of its own, and the first merges them: a row a
    clip, also where a sampler has shown one twice.

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
        """Forget an earlier prediction."""
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
        """Note score and peaks of a batch."""
        curves = frame_curve(squared_error(batch["spectrogram"], outputs["reconstruction"]))
        peaks = select_peaks(curves, self.percentile)
        scores = outputs["score"].tolist()
        masked_scores = outputs["masked_score"].tolist() if "masked_score" in outputs else [""] * len(scores)
        for row, index in enumerate(batch["index"].tolist()):
            seconds = peak_seconds(peaks[row], self.frames_per_second)
            self._rows[index] = (batch["name"][row], scores[row], masked_scores[row], " ".join(map(str, seconds)))

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
    """The seconds of a clip that hold a peak, counted from 0.

    Args:
        peaks: Peak frames, bool, (T,).
        frames_per_second: Frame rate.

    Example:
        >>> peak_seconds(torch.tensor([False, False, True, True, True, False]), frames_per_second=2)
        [1, 2]
    """
    return torch.nonzero(hit_segments(peaks, frames_per_second)).flatten().tolist()
