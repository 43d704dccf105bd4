"""The loggers of a run, what they need, and what Weights & Biases shows."""

import os
import re
import subprocess

import numpy as np
import pandas as pd
import pytest
import soundfile
import wandb
from lightning.pytorch.loggers import CSVLogger, WandbLogger
from lightning.pytorch.utilities import rank_zero_only
from offline_runs import offline_runs, read_table

from experiments.tracking.clips import MAX_CLIPS, MAX_SECONDS, log_clips, map_image, spectrogram_image
from experiments.tracking.description import describe
from experiments.tracking.loggers import build_loggers
from experiments.tracking.metrics import compared, direction
from experiments.tracking.settings import WandbSettings
from lightning_modules import ConfigurationError

CONFIG = {"seed_everything": 3, "model": {"class_path": "lightning_modules.Autoencoder"}}


@pytest.fixture
def without_account(monkeypatch, tmp_path):
    """An environment in which W&B finds no key."""
    wandb.teardown()  # forgets the credentials of this process
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))
    monkeypatch.setenv("HOME", str(tmp_path))
    yield
    wandb.teardown()


@pytest.fixture
def logger(tmp_path):
    """A W&B logger of a test stage."""
    yield build_loggers(tmp_path / "run", "test", WandbSettings(mode="offline"), CONFIG)[1]
    wandb.finish()


def test_online_needs_an_account(without_account, tmp_path):
    with pytest.raises(ConfigurationError, match=r"--wandb\.mode online needs an account: call `wandb login` first"):
        build_loggers(tmp_path / "run", "fit", WandbSettings(mode="online"), CONFIG)
    assert not (tmp_path / "run").exists()


def test_online_works_with_an_account(without_account, monkeypatch, tmp_path):
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    monkeypatch.setenv("WANDB_MODE", "offline")  # the shell's default, which the option overrides
    loggers = build_loggers(tmp_path / "run", "fit", WandbSettings(mode="online"), CONFIG)
    assert isinstance(loggers[0], CSVLogger)
    assert isinstance(loggers[1], WandbLogger)


def test_disabled_leaves_the_csv_files(tmp_path):
    (logger,) = build_loggers(tmp_path, "fit", WandbSettings(mode="disabled"), CONFIG)
    assert isinstance(logger, CSVLogger)


@pytest.mark.parametrize(
    ("variable", "mode"),
    [("disabled", "disabled"), ("dryrun", "offline"), ("run", "online"), ("", "offline"), (None, "offline")],
)
def test_default_mode_follows_the_variable_of_wandb(monkeypatch, variable, mode):
    if variable is None:
        monkeypatch.delenv("WANDB_MODE", raising=False)
    else:
        monkeypatch.setenv("WANDB_MODE", variable)
    assert WandbSettings().current_mode() == mode
    assert WandbSettings(mode="disabled").current_mode() == "disabled"


def test_rejects_an_unknown_variable_of_wandb(monkeypatch, tmp_path):
    monkeypatch.setenv("WANDB_MODE", "onlin")
    with pytest.raises(ConfigurationError, match="WANDB_MODE=onlin in the environment does not exist; set it to one"):
        build_loggers(tmp_path, "fit", WandbSettings(), CONFIG)


@pytest.mark.parametrize("folder", ["run-2026_1-abc-test-1f", "offline-run-2026_1-abc-test-1f"])
def test_a_test_that_was_uploaded_is_named_when_it_is_repeated(tmp_path, folder):
    (tmp_path / "wandb-id").write_text("abc")
    uploaded = tmp_path / "wandb" / folder
    uploaded.mkdir(parents=True)
    (uploaded / "run-abc-test-1f.wandb.synced").touch()
    logger = build_loggers(tmp_path, "test", WandbSettings(mode="offline"), CONFIG)[1]
    with pytest.warns(UserWarning, match=r"an earlier test of this run is on W&B too \(abc-test-1f\); delete it there"):
        logger.replace_earlier([])
    wandb.finish()


def test_no_artifact_is_named_where_none_is_logged(tmp_path):
    described = describe(tmp_path, "fit", CONFIG | {"wandb": {"log_model": False}})
    assert "model_artifact" not in described["config"]


def test_offline_run_keeps_the_environment(logger, monkeypatch):
    monkeypatch.delenv("WANDB_MODE", raising=False)
    logger.log_metrics({"test/auc": 0.5})
    assert "WANDB_MODE" not in os.environ


@pytest.mark.parametrize("kept", ["", " \n", "abc123\n"])
def test_accepts_blanks_around_a_run_id(kept, tmp_path):
    (tmp_path / "wandb-id").write_text(kept)
    fit, test = (build_loggers(tmp_path, stage, WandbSettings(), CONFIG)[1].version for stage in ("fit", "test"))
    assert re.fullmatch(kept.strip() or "[0-9a-f]{8}", fit)
    assert re.fullmatch(f"{fit}-test-[0-9a-f]{{4}}", test)


@pytest.mark.parametrize("kept", [b"a/b", b"two\nlines", bytes(range(256))])
def test_rejects_an_invalid_run_id(kept, tmp_path):
    (tmp_path / "wandb-id").write_bytes(kept)
    with pytest.raises(ConfigurationError, match="wandb-id does not contain a valid W&B run id; delete it"):
        build_loggers(tmp_path, "test", WandbSettings(mode="offline"), CONFIG)


def test_sweep_sets_the_run_id(monkeypatch, tmp_path):
    monkeypatch.setenv("WANDB_RUN_ID", "abc123")
    (tmp_path / "alone").mkdir()
    build_loggers(tmp_path / "alone", "fit", WandbSettings(), CONFIG)
    assert (tmp_path / "alone" / "wandb-id").read_text() != "abc123", "or all runs of a shell would be one"
    monkeypatch.setenv("WANDB_SWEEP_ID", "sweep")
    swept = build_loggers(tmp_path / "swept", "fit", WandbSettings(), CONFIG)[1]
    assert (tmp_path / "swept" / "wandb-id").read_text() == "abc123"
    assert swept._wandb_init["name"] is None, "all runs of the sweep would have the same"


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
        ("train/learning_rate", None),
        ("test/f1", None),  # a figure
    ],
)
def test_direction_of_each_scalar(name, good):
    assert direction(name) == good


def test_name_and_tags_of_the_user(tmp_path):
    settings = WandbSettings(name="trial", group="mine", job_type="search", tags=["long" * 40])
    for stage, name in (("fit", "trial"), ("test", "trial test")):
        given = build_loggers(tmp_path, stage, settings, CONFIG)[1]._wandb_init
        assert (given["name"], given["group"], given["job_type"]) == (name, "mine", "search")
        assert given["tags"] == ["AE", "seed-3", ("long" * 40)[:64]], "W&B takes 64 characters"


def test_commit_is_that_of_the_working_folder(tmp_path, monkeypatch):
    git = ["git", "-C", str(tmp_path), "-c", "user.name=n", "-c", "user.email=e"]
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "first"], check=True)
    commit = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()
    monkeypatch.chdir(tmp_path)
    described = build_loggers(tmp_path / "run", "fit", WandbSettings(), CONFIG)[1]._wandb_init["config"]
    assert described["git_commit"] == commit
    monkeypatch.setenv("PATH", "")
    described = build_loggers(tmp_path / "run", "fit", WandbSettings(), CONFIG)[1]._wandb_init["config"]
    assert "git_commit" not in described, "there is no git"


def test_scalars_of_a_new_kind_are_logged():
    assert compared({"train/gradient_norm": 1.0, "test/f1/saliency/p90": 1.0}) == {"train/gradient_norm": 1.0}


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
    _, rows, _ = read_table(run, "test/clips")
    assert [row["recording"] is not None for row in rows] == [True, False, False, False, False]
    assert [row["label"] for row in rows] == ["anomalous", "normal", None, None, None]
    assert [row["masked_score"] for row in rows] == [0.25, None, None, None, None]


def test_recording_is_of_the_scored_channel(logger, example, tmp_path):
    noise = np.random.default_rng(0).integers(-9_000, 9_000, (2_000, 2)).astype(np.int16)
    soundfile.write(tmp_path / "a.wav", noise, 20_000)
    log_clips(logger, "test", [example(0, "a.wav")], None, {"a.wav": tmp_path / "a.wav"}, channel=1)
    wandb.finish()
    (run,) = offline_runs(tmp_path / "run")
    _, (row,), media = read_table(run, "test/clips")
    np.testing.assert_allclose(soundfile.read(media[row["recording"]["path"]])[0], noise[:, 1] / 32_768, atol=1e-4)


def test_columns_without_a_value_are_left_out(logger, example, tmp_path):
    log_clips(logger, "predict", [example(index, f"new/{index}.pt") for index in range(MAX_CLIPS + 1)], None, {})
    wandb.finish()
    (run,) = offline_runs(tmp_path / "run")
    columns, rows, _ = read_table(run, "predict/clips")
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
