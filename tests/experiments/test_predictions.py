"""The rows that a prediction writes."""

import csv

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.loggers import CSVLogger
from torch.utils.data import DataLoader

from experiments.predictions.callback import Predictions
from experiments.predictions.scores import WindowScores
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
    columns = ["name", "time", "score", "masked_score", "p_value", "alarm", "margin", "events", "seconds"]
    assert list(rows[0]) == [*columns, "relative_level", "drift_p_value", "drift", "condition"]
    assert [row["name"] for row in rows] == ["clip_2.wav", "clip_1.wav", "clip_0.wav"]
    for column in ("score", "masked_score") if score_masks else ("score",):
        expected = torch.cat([batch[column] for batch in outputs]).flip(0).tolist()
        assert [float(row[column]) for row in rows] == expected
    assert score_masks or all(row["masked_score"] == "" for row in rows)
    assert {row[column] for row in rows for column in columns[4:]} == {""}, "without a calibration"


def test_a_model_without_a_reconstruction_has_scores(predict):
    _, rows = predict(Scorer())
    assert [row["name"] for row in rows] == ["clip_2.wav", "clip_1.wav", "clip_0.wav"]
    assert {row["seconds"] for row in rows} == {""}


def windows(firsts, n_frames, scores, name="long.wav", index=0):
    """A batch of windows of two bands and its outputs: the error of frame k is k in the first band, 0 in the second."""
    frames = torch.stack([torch.arange(first, first + n_frames) for first in firsts]).float()
    x = torch.stack([torch.zeros_like(frames), torch.zeros_like(frames)], dim=1)
    reconstruction = torch.stack([frames.sqrt(), torch.zeros_like(frames)], dim=1)
    batch = {"spectrogram": x, "index": torch.arange(index, index + len(firsts)), "name": [name] * len(firsts)}
    batch["first_frame"] = torch.tensor(firsts)
    return {"score": torch.tensor(scores), "reconstruction": reconstruction}, batch


def test_a_recording_is_put_together_from_overlapping_windows():
    """Windows of 8 frames at 2.5 frames per second, so that seconds begin at frames 0, 3, 5, 8, 10 and 13."""
    collected = WindowScores(frames_per_second=2.5)
    collected.add(*windows([4, 8], 8, [2.0, 3.0], index=1))
    collected.add(*windows([0], 8, [1.0], index=0))
    collected.add(*windows([0], 8, [1.0], index=0))  # a distributed sampler repeats clips
    collected.add(*windows([0], 8, [9.0], name="other.wav", index=3))
    long, other = collected.gather()
    assert (long.name, other.name) == ("long.wav", "other.wav")
    assert long.starts.tolist() == [0.0, 1.6, 3.2]
    assert long.scores["score"].tolist() == [1.0, 2.0, 3.0]
    # Frames 0 to 2, 3 and (twice) 4, 5 to 7, 8 and 9, 10 and (once more) 11 …; the last second has 13 and 14.
    once, twice = [[0, 1, 2], [3], [], [], [], []], [[], [4], [5, 6, 7], [8, 9], [10, 11], []]
    once[4:] = [[12], [13, 14]]
    expected = [(sum(a) + 2 * sum(b)) / (len(a) + 2 * len(b)) for a, b in zip(once, twice, strict=True)]
    assert len(long.band_errors) == 6  # a seventh would have frame 15 alone
    assert long.band_errors[:, 0] == pytest.approx(expected, rel=1e-5)
    assert not long.band_errors[:, 1].any()
    assert long.second_errors == pytest.approx([value / 2 for value in expected], rel=1e-5)


@pytest.mark.parametrize(("n_frames", "n_seconds"), [(401, 10), (419, 10), (420, 11), (10, 1)])
def test_a_last_part_of_less_than_half_a_second_is_no_second(n_frames, n_seconds):
    collected = WindowScores(frames_per_second=40.0)
    collected.add(*windows([0], n_frames, [1.0]))
    assert len(collected.gather()[0].band_errors) == n_seconds


@pytest.mark.parametrize(("first", "second"), [(310, 9), (125, 4), (124, 3), (125 * 3600, 4 * 3600)])
def test_seconds_of_frames_are_exact(first, second):
    """At 31.25 frames per second; whole frames per second would move frames to other seconds."""
    collected = WindowScores(frames_per_second=31.25)
    collected.add(*windows([0, first], 1, [1.0, 1.0]))
    collected.add(*windows([first + 100], 40, [1.0], index=2))
    errors = collected.gather()[0].band_errors[:, 0]
    assert errors.nonzero()[0][0] == second
