"""The rows that a prediction writes."""

import csv

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.loggers import CSVLogger
from torch.utils.data import DataLoader

from experiments.runs.predictions import Predictions, peak_seconds
from lightning_modules import MaskedAutoencoder


class Scorer(LightningModule):
    """A model without a reconstruction."""

    def predict_step(self, batch, batch_idx):
        return {"score": batch["spectrogram"].mean((1, 2))}


@pytest.fixture
def predict(tmp_path):
    """Predict clips of increasing level; returns the outputs of the steps and the rows of the file."""

    def run(module):
        clips = [
            {"spectrogram": (index + 1) * torch.rand(16, 24), "index": index, "name": f"clip_{index}.wav"}
            for index in range(3)
        ]
        trainer = Trainer(
            accelerator="cpu",
            logger=CSVLogger(tmp_path, name="", version=""),
            callbacks=[Predictions(frames_per_second=8)],
            enable_progress_bar=False,
        )
        outputs = trainer.predict(module, DataLoader(clips, batch_size=2))
        with (tmp_path / "predictions.csv").open(newline="") as file:
            return outputs, list(csv.DictReader(file))

    return run


@pytest.mark.parametrize("score_masks", [0, 3])
def test_writes_both_scores(predict, score_masks):
    torch.manual_seed(0)
    outputs, rows = predict(
        MaskedAutoencoder(n_mels=16, n_frames=24, backbone={"num_heads": 3}, score_masks=score_masks)
    )
    assert list(rows[0]) == ["name", "score", "masked_score", "seconds"]
    assert [row["name"] for row in rows] == ["clip_2.wav", "clip_1.wav", "clip_0.wav"]
    for column in ("score", "masked_score") if score_masks else ("score",):
        expected = torch.cat([batch[column] for batch in outputs]).flip(0).tolist()
        assert [float(row[column]) for row in rows] == expected
    assert score_masks or all(row["masked_score"] == "" for row in rows)
    assert all(set(row["seconds"].split()) <= {"0", "1", "2"} and row["seconds"] for row in rows)


def test_seconds_are_empty_without_a_reconstruction(predict):
    _, rows = predict(Scorer())
    assert [row["name"] for row in rows] == ["clip_2.wav", "clip_1.wav", "clip_0.wav"]
    assert {row["seconds"] for row in rows} == {""}


@pytest.mark.parametrize(
    ("frame", "n_frames", "frames_per_second", "seconds"),
    [
        (310, 312, 31.25, [9]),  # 9.92 s; with whole frames per second it was in a second "10" of a clip of 10 s
        (125, 312, 31.25, [4]),  # 4 s sharp
        (124, 312, 31.25, [3]),
        (400, 401, 40.0, []),  # after the last second
    ],
)
def test_seconds_of_peak_frames(frame, n_frames, frames_per_second, seconds):
    assert peak_seconds(torch.arange(n_frames) == frame, frames_per_second) == seconds
