"""The loggers of a run, what they need, and what Weights & Biases shows."""

import csv
import json
import os
import re

import numpy as np
import pandas as pd
import pytest
import soundfile
import wandb
from lightning.pytorch.loggers import CSVLogger, WandbLogger
from lightning.pytorch.utilities import rank_zero_only
from offline_runs import offline_runs
from PIL import Image

from experiments.cli.main import main
from experiments.tracking.clips import MAX_CLIPS, MAX_SECONDS, log_clips, map_image, spectrogram_image
from experiments.tracking.loggers import WandbSettings, build_loggers
from experiments.tracking.metrics import define, direction
from lightning_modules import ConfigurationError
from metrics.measures import HEADLINE_PERCENTILE, MEASURES

TINY = ["--data", "PlanerDataModule", "--data.n_frames", "80", "--model", "Autoencoder", "--trainer.max_epochs", "1"]
TINY += ["--trainer.limit_train_batches", "1", "--trainer.accelerator", "cpu", "--wandb.mode", "offline"]
TINY += ["--trainer.enable_progress_bar", "false", "--trainer.enable_model_summary", "false"]
TINY += ["--sanity.clips", "0", "--attributions.explainers", "[error_map, saliency]"]
TINY += ["--data.labelled_validation", "0.4"]
STUDY = ["--wandb.group", "seeds", "--wandb.job_type", "AE", "--wandb.tags", "[AE, seed-3]"]


@pytest.fixture
def without_account(monkeypatch, tmp_path):
    """An environment in which W&B finds no key."""
    wandb.teardown()  # forgets the credentials of this process
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))
    monkeypatch.setenv("HOME", str(tmp_path))
    yield
    wandb.teardown()


@pytest.fixture(scope="module")
def tracked(simulated, tmp_path_factory):
    """The folder of a run that was trained, validated and tested offline."""
    run = tmp_path_factory.mktemp("tracked") / "seed_3"
    assert main(["fit", "--run", str(run), "--data.root", str(simulated), *TINY, *STUDY]) == 0
    assert main(["test", "--run", str(run)]) == 0
    return run


@pytest.fixture(scope="module")
def stages(tracked):
    """What W&B recorded of the run: its training and its test."""
    return offline_runs(tracked)


@pytest.fixture
def logger(tmp_path):
    """A W&B logger of a test stage."""
    yield build_loggers(tmp_path / "run", "test", WandbSettings(mode="offline"))[1]
    wandb.finish()


def scalars(run, stage):
    with (run / stage / "metrics.csv").open(newline="") as file:
        *_, row = csv.DictReader(file)
    return {name: float(value) for name, value in row.items()}


def test_online_needs_an_account(without_account, tmp_path):
    with pytest.raises(ConfigurationError, match=r"--wandb\.mode online needs an account: call `wandb login` first"):
        build_loggers(tmp_path / "run", "fit", WandbSettings(mode="online"))
    assert not (tmp_path / "run").exists()


def test_online_works_with_an_account(without_account, monkeypatch, tmp_path):
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    monkeypatch.setenv("WANDB_MODE", "offline")  # the shell's default, which the option overrides
    loggers = build_loggers(tmp_path / "run", "fit", WandbSettings(mode="online"))
    assert isinstance(loggers[0], CSVLogger)
    assert isinstance(loggers[1], WandbLogger)


def test_disabled_leaves_the_csv_files(tmp_path):
    (logger,) = build_loggers(tmp_path, "fit", WandbSettings(mode="disabled"))
    assert isinstance(logger, CSVLogger)


@pytest.mark.parametrize(("variable", "mode"), [("disabled", "disabled"), ("dryrun", "offline"), (None, "offline")])
def test_default_mode_follows_the_variable_of_wandb(monkeypatch, variable, mode):
    if variable is None:
        monkeypatch.delenv("WANDB_MODE", raising=False)
    else:
        monkeypatch.setenv("WANDB_MODE", variable)
    assert WandbSettings().mode == mode


def test_run_belongs_to_its_group(stages):
    for stage in stages:
        assert (stage.run.run_group, stage.run.job_type, stage.run.display_name) == ("seeds", "AE", "seed_3")
        assert set(stage.run.tags) == {"AE", "seed-3"}


def test_stages_share_one_run(stages):
    assert len(stages) == 2
    assert len({stage.run.run_id for stage in stages}) == 1
    assert all(stage.run.resume for stage in stages), "or `wandb sync` would replace the training by the test"


def test_runs_of_one_process_are_separate(simulated, tracked, stages, tmp_path):
    again = ["fit", "--run", str(tmp_path / "seed_4"), "--data.root", str(simulated), *TINY, "--seed_everything", "4"]
    assert main(again) == 0
    (fit,) = offline_runs(tmp_path / "seed_4")
    assert fit.run.run_id != stages[0].run.run_id
    assert len(offline_runs(tracked)) == 2


def test_offline_run_keeps_the_environment(logger, monkeypatch):
    monkeypatch.delenv("WANDB_MODE", raising=False)
    logger.log_metrics({"test/auc": 0.5})
    assert "WANDB_MODE" not in os.environ


@pytest.mark.parametrize("kept", ["", " \n", "abc123\n"])
def test_accepts_blanks_around_a_run_id(kept, tmp_path):
    (tmp_path / "wandb-id").write_text(kept)
    loggers = [build_loggers(tmp_path, stage, WandbSettings(mode="offline"))[1] for stage in ("fit", "test")]
    names = {logger.version for logger in loggers}
    assert len(names) == 1
    assert re.fullmatch(kept.strip() or "[0-9a-f]{8}", names.pop())


@pytest.mark.parametrize("kept", [b"a/b", b"two\nlines", bytes(range(256))])
def test_rejects_an_invalid_run_id(kept, tmp_path):
    (tmp_path / "wandb-id").write_bytes(kept)
    with pytest.raises(ConfigurationError, match="wandb-id does not contain a valid W&B run id; delete it"):
        build_loggers(tmp_path, "test", WandbSettings(mode="offline"))


def test_sweep_sets_the_run_id(monkeypatch, tmp_path):
    monkeypatch.setenv("WANDB_RUN_ID", "abc123")
    (tmp_path / "alone").mkdir()
    build_loggers(tmp_path / "alone", "fit", WandbSettings())
    assert (tmp_path / "alone" / "wandb-id").read_text() != "abc123", "or all runs of a shell would be one"
    monkeypatch.setenv("WANDB_SWEEP_ID", "sweep")
    build_loggers(tmp_path / "swept", "fit", WandbSettings())
    assert (tmp_path / "swept" / "wandb-id").read_text() == "abc123"


@pytest.mark.parametrize(
    ("name", "good"),
    [
        ("train/loss", "min"),
        ("val/loss", "min"),
        ("val/auc", "max"),
        ("test/auc/broken_board", "max"),
        ("test/pauc_masked_score", "max"),
        ("test/auc_level", None),
        ("test/pauc_level/broken_board", None),
        ("test/f1/saliency/p98", "max"),
        ("test/precision/saliency/p98/board_stuck", "max"),
        ("test/f1_chance/saliency/p98", None),
        ("test/f1_corrected/saliency/p98", "max"),
        ("test/faithfulness_frame_pvalue/saliency/p98", "min"),
        ("test/faithfulness_segment_chance/saliency/p98", None),
        ("test/faithfulness_segment/saliency/p98", "max"),
        ("test/deletion/saliency", "min"),
        ("test/insertion/saliency", "max"),
        ("test/sanity/randomisation/saliency", "min"),
        ("epoch", None),
        ("lr-AdamW", None),
        ("test/f1", None),  # a figure
    ],
)
def test_direction_of_each_scalar(name, good):
    assert direction(name) == good
    assert define(name)["summary"] in (good, "none")


def test_the_summary_holds_the_best_values(stages, tracked):
    fit, test = stages
    assert fit.metrics["val/loss"].summary.min
    assert fit.metrics["train/loss"].summary.min
    assert fit.summary["val/loss"] == {"min": min(row["val/loss"] for row in fit.history if "val/loss" in row)}
    measured = scalars(tracked, "test")
    for name in ("test/auc", "test/pauc", "test/f1/saliency/p98", "test/faithfulness_frame/error_map/p98"):
        assert test.metrics[name].summary.max
        assert test.summary[name] == {"max": pytest.approx(measured[name])}


def test_scalars_of_percentiles_are_hidden(stages):
    test = stages[1]
    at_percentiles = {name for name in test.metrics if re.search(r"/p\d+\b", name)}
    assert len(at_percentiles) > 200
    assert all(test.metrics[name].options.hidden for name in at_percentiles)
    assert {name.split("/")[3] for name in at_percentiles & set(test.summary)} == {f"p{HEADLINE_PERCENTILE}"}
    assert not any(test.metrics[name].options.hidden for name in ("test/auc", "test/auc/board_stuck"))
    shown = {name for name in test.metrics if "_curve/" in name and not test.metrics[name].options.hidden}
    headlines = [key for key, measure in MEASURES.items() if measure.headline]
    assert shown == {f"test/{key}_curve/{explainer}" for key in headlines for explainer in ("error_map", "saliency")}


def test_curves_have_one_point_per_percentile(stages, tracked):
    fit, test = stages
    measured = scalars(tracked, "test")
    for kind in ("f1", "recall", "faithfulness_frame", "faithfulness_segment"):
        for explainer in ("error_map", "saliency"):
            name = f"test/{kind}_curve/{explainer}"
            points = {row["percentile"]: row[name] for row in test.history if name in row}
            expected = {p: pytest.approx(measured[f"test/{kind}/{explainer}/p{p}"]) for p in range(90, 100)}
            assert points == expected
            assert test.metrics[name].step_metric == "percentile"
            assert name not in test.summary
    assert "val/f1/error_map/p98" in fit.logged
    assert not [name for name in fit.logged if "curve/" in name], "each epoch would overwrite the last"


def table(run, key):
    """A table and the file of each of its media."""
    (artifact,) = [entries for entries in run.artifacts if f"{key}.table.json" in entries]
    content = json.loads(artifact[f"{key}.table.json"].read_text())
    return content["columns"], [dict(zip(content["columns"], row, strict=True)) for row in content["data"]], artifact


def test_clips_can_be_seen_and_heard(stages, tracked, simulated):
    columns, rows, media = table(stages[1], "test/clips")
    known = ["name", "anomaly_type", "label", "score", "masked_score", "recording", "spectrogram"]
    assert columns == [*known, "error_map", "saliency"]
    with (tracked / "test" / "clips.csv").open(newline="") as file:
        clips = {clip["name"]: clip for clip in csv.DictReader(file)}
    kept = len(list((tracked / "test" / "examples").iterdir()))
    assert len(rows) == min(kept, MAX_CLIPS) > 0
    for row in rows:
        for score in ("score", "masked_score"):
            assert row[score] == pytest.approx(float(clips[row["name"]][score]), rel=1e-5)
        assert (row["label"], row["anomaly_type"]) == ("anomalous", clips[row["name"]]["anomaly_type"])
        for column in ("spectrogram", "error_map", "saliency"):
            assert Image.open(media[row[column]["path"]]).size == (80, 84)
        heard, rate = soundfile.read(media[row["recording"]["path"]])
        original, original_rate = soundfile.read(simulated / row["name"])
        assert rate == original_rate
        np.testing.assert_allclose(heard, original, atol=1e-4)
    assert all(tracked in path.parents for path in media.values()), "a run owns one folder"


def test_table_of_clips_leaves_unknown_cells_empty(logger, example, tmp_path):
    soundfile.write(tmp_path / "short.flac", np.zeros(100), 20_000)
    soundfile.write(tmp_path / "long.wav", np.zeros((MAX_SECONDS + 1) * 1000), 1000)
    (tmp_path / "broken.wav").write_text("no recording")
    files = {"short/a.flac": "short.flac", "long/b.wav": "long.wav", "broken/c.wav": "broken.wav", "gone/d.wav": "gone"}
    examples = [example(index, name) for index, name in enumerate([*files, "tensor/e.pt"])]
    clips = pd.DataFrame({"name": ["long/b.wav", "short/a.flac"], "label": [0, 1], "masked_score": [np.nan, 0.25]})
    log_clips(logger, "test", examples, clips, {name: tmp_path / file for name, file in files.items()})
    wandb.finish()
    (run,) = offline_runs(tmp_path / "run")
    _, rows, _ = table(run, "test/clips")
    assert [row["recording"] is not None for row in rows] == [True, False, False, False, False]
    assert [row["label"] for row in rows] == ["anomalous", "normal", None, None, None]
    assert [row["masked_score"] for row in rows] == [0.25, None, None, None, None]


def test_recording_is_of_the_scored_channel(logger, example, tmp_path):
    noise = np.random.default_rng(0).integers(-9_000, 9_000, (2_000, 2)).astype(np.int16)
    soundfile.write(tmp_path / "a.wav", noise, 20_000)
    log_clips(logger, "test", [example(0, "a.wav")], None, {"a.wav": tmp_path / "a.wav"}, channel=1)
    wandb.finish()
    (run,) = offline_runs(tmp_path / "run")
    _, (row,), media = table(run, "test/clips")
    np.testing.assert_allclose(soundfile.read(media[row["recording"]["path"]])[0], noise[:, 1] / 32_768, atol=1e-4)


def test_columns_without_a_value_are_left_out(logger, example, tmp_path):
    log_clips(logger, "predict", [example(index, f"new/{index}.pt") for index in range(MAX_CLIPS + 1)], None, {})
    wandb.finish()
    (run,) = offline_runs(tmp_path / "run")
    columns, rows, _ = table(run, "predict/clips")
    assert columns == ["name", "anomaly_type", "score", "spectrogram", "error_map", "saliency"]
    assert len(rows) == MAX_CLIPS


def test_only_the_first_process_logs(logger, example, tmp_path, monkeypatch):
    monkeypatch.setattr(rank_zero_only, "rank", 1)
    logger.log_metrics({"test/auc": 0.5, "test/f1/saliency/p98": 0.5})
    log_clips(logger, "test", [example()], None, {})
    assert not (tmp_path / "run" / "wandb").exists()


def test_images_are_upright_with_annotation_marks_below():
    values = np.array([[0.0, 1.0], [2.0, 4.0], [8.0, 10.0]])
    image = spectrogram_image(values, np.array([False, True]))
    assert image.shape == (3 + 4, 2, 3)
    brightness = image[:3].sum(axis=2)
    assert brightness[0].min() > brightness[2].max(), "the highest band is on top"
    assert (image[3:, 0] == 255).all(), "not annotated"
    assert not (image[3:, 1] == 255).all(axis=1).any(), "annotated"


def test_colours_of_signed_maps_are_symmetric_about_zero():
    image = map_image(np.array([[-1.0, 0.0, 2.0]]), np.zeros(3, bool))[0].astype(int)
    red, _, blue = image.T
    assert blue[0] > red[0], "below"
    assert abs(red[1] - blue[1]) < 5, "zero is white"
    assert red[2] > blue[2], "above"
    unsigned = map_image(np.array([[0.0, 1.0]]), np.zeros(2, bool))[0]
    assert unsigned.sum(axis=1)[0] < unsigned.sum(axis=1)[1]
