"""Detection by a second score, where the steps return one, and by the level of the clips."""

import csv

import pytest
import torch
from metrics_toy import ToyModule, loader, toy_clips, toy_trainer
from sklearn.metrics import roc_auc_score

from metrics.callbacks import DetectionAUC


class TwoScores(ToyModule):
    """Its masked score is the loudest cell."""

    def evaluate(self, batch):
        return {**super().evaluate(batch), "masked_score": batch["spectrogram"].amax((1, 2))}


def test_masked_score_is_measured_like_the_score(tmp_path):
    trainer = toy_trainer(tmp_path, [DetectionAUC(max_fpr=0.4)])
    trainer.test(TwoScores(), loader(toy_clips()), verbose=False)
    logged = {name: value.item() for name, value in trainer.callback_metrics.items()}
    with (tmp_path / "clips.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["index", "name", "label", "anomaly_type", "annotated", "score", "masked_score"]

    clips = {clip["index"]: clip for clip in toy_clips()}
    masked = {index: clip["spectrogram"].max().item() for index, clip in clips.items()}
    assert {int(row["index"]): float(row["masked_score"]) for row in rows} == pytest.approx(masked)
    assert len(logged) == 12
    for suffix, kept in (("", {"", "broken", "stuck"}), ("/broken", {"", "broken"}), ("/stuck", {"", "stuck"})):
        of_type = [index for index, clip in clips.items() if clip["anomaly_type"] in kept]
        labels, scores = [clips[index]["label"] for index in of_type], [masked[index] for index in of_type]
        assert logged[f"test/auc_masked_score{suffix}"] == pytest.approx(roc_auc_score(labels, scores), abs=1e-6)
        partial = roc_auc_score(labels, scores, max_fpr=0.4)
        assert logged[f"test/pauc_masked_score{suffix}"] == pytest.approx(partial, abs=1e-6)


def test_second_score_leaves_the_first_alone(tmp_path):
    logged = []
    for number, module in enumerate((ToyModule(), TwoScores())):
        trainer = toy_trainer(tmp_path / str(number), [DetectionAUC(max_fpr=0.4)])
        trainer.test(module, loader(toy_clips()), verbose=False)
        logged.append({name: value for name, value in trainer.callback_metrics.items() if "masked" not in name})
    assert logged[0] == logged[1]
    assert torch.stack(list(logged[0].values())).isfinite().all()


def with_levels():
    """The toy clips, anomalous ones mostly quieter."""
    draw = torch.Generator().manual_seed(3)
    noise = torch.randn(len(toy_clips()), generator=draw).tolist()
    return [
        {**clip, "level": torch.tensor(-30 + step - 2 * clip["label"])}
        for clip, step in zip(toy_clips(), noise, strict=True)
    ]


def test_level_alone_is_measured_in_the_direction_that_detects(tmp_path):
    clips = with_levels()
    trainer = toy_trainer(tmp_path, [DetectionAUC(max_fpr=0.4)])
    trainer.test(ToyModule(), loader(clips), verbose=False)
    logged = {name: value.item() for name, value in trainer.callback_metrics.items()}
    with (tmp_path / "clips.csv").open(newline="") as file:
        rows = {int(row["index"]): float(row["level"]) for row in csv.DictReader(file)}
    assert rows == pytest.approx({clip["index"]: clip["level"].item() for clip in clips})
    for suffix, kept in (("", {"", "broken", "stuck"}), ("/broken", {"", "broken"}), ("/stuck", {"", "stuck"})):
        of_type = [clip for clip in clips if clip["anomaly_type"] in kept]
        labels, quiet = [clip["label"] for clip in of_type], [-clip["level"].item() for clip in of_type]
        assert logged[f"test/auc_level{suffix}"] == pytest.approx(roc_auc_score(labels, quiet), abs=1e-6)
        assert logged[f"test/pauc_level{suffix}"] == pytest.approx(roc_auc_score(labels, quiet, max_fpr=0.4), abs=1e-6)
    assert logged["test/auc_level"] > 0.5


class SomeUndefined(ToyModule):
    """One of its scores is NaN."""

    def evaluate(self, batch):
        outputs = super().evaluate(batch)
        outputs["score"][batch["index"] == 2**40] = torch.nan
        return outputs


def test_a_score_that_is_not_a_number_leaves_the_rows_and_other_areas(tmp_path):
    trainer = toy_trainer(tmp_path, [DetectionAUC(max_fpr=0.4)])
    trainer.test(SomeUndefined(), loader(with_levels()), verbose=False)
    assert {name.split("/")[1] for name in trainer.callback_metrics} == {"auc_level", "pauc_level"}
    with (tmp_path / "clips.csv").open(newline="") as file:
        assert [row["score"] for row in csv.DictReader(file)].count("") == 1
