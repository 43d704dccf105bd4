"""A study on Weights & Biases: what a server has of each stage after `wandb sync`."""

import csv
import json

import numpy as np
import pytest
import soundfile
import yaml
from offline_runs import offline_runs, read_table
from PIL import Image
from tracked_study import interrupted, sync
from wandb_server import CONSOLE, wandb_server

from experiments.cli.main import main
from experiments.tracking.clips import MAX_CLIPS
from experiments.tracking.metrics import EXPLANATION_COLUMNS
from explainers import EXPLAINERS
from metrics.measures import HEADLINE_PERCENTILE, MEASURES

HEADLINES = [key for key, measure in MEASURES.items() if measure.headline]
TINY = ["--data", "PlanerDataModule", "--data.n_frames", "80", "--model", "Autoencoder", "--model.backbone", "cae"]
TINY += ["--trainer.max_epochs", "4", "--trainer.limit_train_batches", "1", "--trainer.accelerator", "cpu"]
TINY += ["--trainer.enable_progress_bar", "false", "--trainer.enable_model_summary", "false"]
TINY += ["--attributions.validation_explainers", "[]", "--wandb.mode", "offline"]
TINY += ["--model.learning_rate", "0.03"]  # at which the best validation loss is not the last


def rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def losses(history):
    """Epoch, step and losses of each line of a history, or row of a file, that has one."""
    found = []
    for row in history:
        values = {name: float(row[name]) for name in ("train/loss", "val/loss") if row.get(name) not in (None, "")}
        step = row.get("step", row.get("trainer/global_step"))
        found += [(int(row["epoch"]), int(step), values)] if values else []
    return found


@pytest.fixture(scope="module")
def fit(tracked):
    return tracked.uploaded(tracked.mae, "fit")


@pytest.fixture(scope="module")
def test(tracked):
    return tracked.uploaded(tracked.mae, "test")


@pytest.fixture(scope="module")
def scalars(tracked):
    """What the test logged locally."""
    (row,) = rows(tracked.mae.folder / "test" / "metrics.csv")
    return {name: float(value) for name, value in row.items() if value}


def test_server_knew_every_request(tracked):
    assert not tracked.server.unknown


def test_interrupted_training_arrives_whole(tracked, fit):
    expected = losses(rows(tracked.mae.folder / "fit" / "metrics.csv"))
    assert losses(fit.history) == expected
    assert len(expected) == 6, "training and validation of three epochs"
    assert [row["_step"] for row in fit.history] == list(range(len(fit.history)))
    assert fit.summary["val/loss"] == {"min": min(row["val/loss"] for row in fit.history if "val/loss" in row)}
    assert len(list(tracked.mae.folder.glob("wandb/offline-run-*"))) == 3, "the interrupted attempt was replaced"


def test_training_uploaded_before_its_end_continues_there(simulated, tmp_path):
    run = tmp_path / "run"
    options = ["--run", str(run), "--data.root", str(simulated), *TINY, interrupted(tmp_path / "marker")]
    with wandb_server() as server:
        assert main(["fit", *options]) == 130
        offline_runs(run)  # waits for W&B's service
        sync(server, run / "wandb")
        (before,) = [len(stored.history) for stored in server.runs.values() if stored.fields]
        assert main(["fit", *options]) == 0
        offline_runs(run)
        sync(server, run / "wandb")
        (stored,) = [stored for stored in server.runs.values() if stored.fields]
    logged = losses(rows(run / "fit" / "metrics.csv"))
    # The validation of the interrupted epoch had been uploaded, and is there again.
    assert losses(stored.history[:before]) == logged[:5]
    assert losses(stored.history[before:]) == logged[4:]
    steps = [row["_step"] for row in stored.history]
    assert steps == sorted(set(steps)), "W&B drops lines whose step is not new"
    assert stored.summary["val/loss"] == {"min": min(of["val/loss"] for *_, of in logged if "val/loss" in of)}


def test_each_stage_is_a_run_that_names_its_folder(tracked, fit, test):
    assert [run.fields["displayName"] for run in (fit, test)] == [
        "MAE mask_ratio=0.5 seed 1",
        "MAE mask_ratio=0.5 seed 1 test",
    ]
    names = [run.fields["displayName"] for run in tracked.server.runs.values() if run.fields]
    assert len(set(names)) == len(names) == 5
    for stage, run in (("fit", fit), ("test", test)):
        assert (run.fields["groupName"], run.fields["jobType"]) == ("small", stage)
        assert run.fields["tags"] == ["MAE", "seed-1"]
        assert run.config["run"] == str(tracked.mae.folder)
    assert "val/loss" in fit.summary
    assert "test/auc" in test.summary
    assert test.config["run_id"] == fit.config["run_id"] == (tracked.mae.folder / "wandb-id").read_text()


@pytest.mark.parametrize("stage", ["fit", "test"])
def test_config_is_the_resolved_configuration(tracked, stage):
    run = tracked.uploaded(tracked.mae, stage)
    saved = yaml.safe_load((tracked.mae.folder / stage / "config.yaml").read_text())
    sections = ("model", "data", "trainer", "attributions", "faithfulness", "seed_everything")
    assert {name: run.config[name] for name in sections} == {name: saved[name] for name in sections}
    assert run.config["model"]["init_args"]["mask_ratio"] == 0.5
    expected = {
        "objective": "MAE", "variant": "MAE mask_ratio=0.5", "study": "small", "settings": {"mask_ratio": 0.5},
        "backbone": "CAE", "stage": stage,
    }  # fmt: skip
    assert {name: run.config[name] for name in expected} == expected
    assert run.config.get("training_clips") == {"fit": 11}.get(stage)
    assert not {"learning_rate", "mask_ratio", "wandb"} & set(run.config), "hyperparameters stand once"


def test_commit_of_the_working_folder(tracked, fit):
    assert fit.config["package_version"]
    assert len(fit.config.get("git_commit", "0" * 40)) == 40, "none where the folder is in no repository"


def test_baseline_detectors_are_runs_like_the_others(tracked):
    for stage in ("fit", "test"):
        run = tracked.uploaded(tracked.svm, stage)
        assert run.fields["displayName"].startswith("One-class SVM seed 1")
        assert (run.fields["groupName"], run.fields["tags"]) == ("small", ["One-class SVM", "seed-1"])
        assert (run.config["objective"], run.config["variant"]) == ("One-class SVM", "One-class SVM")
    assert run.summary["test/auc"] == pytest.approx(float(rows(tracked.svm.folder / "test/metrics.csv")[0]["test/auc"]))


def test_fit_logs_rate_time_and_console(tracked, fit, test):
    rates = [row["train/learning_rate"] for row in fit.history if "train/learning_rate" in row]
    cosine = [1e-5 + (1e-3 - 1e-5) * (1 + np.cos(np.pi * epoch / 5)) / 2 for epoch in range(3)]
    assert rates == pytest.approx(cosine)
    # The first two epochs were timed by the attempt that was interrupted.
    assert [row["trainer/global_step"] for row in fit.history if row.get("train/epoch_seconds", 0) > 0] == [2]
    assert any("The AUC is" in line for line in test.streams[CONSOLE].values())


def test_a_test_has_under_250_keys(test):
    history = {key for row in test.history for key in row}
    assert 100 < len(history) + len(test.summary) < 250
    assert len(test.config["attributions"]["explainers"]) == len(EXPLAINERS) == 8
    assert test.config["fscore"]["percentiles"] == list(range(90, 100))


def test_summary_has_what_runs_are_sorted_by(test, scalars):
    names = ["test/auc", "test/pauc", "test/auc_masked_score"]
    names += [f"test/{key}/{name}/p{HEADLINE_PERCENTILE}" for key in HEADLINES for name in EXPLAINERS]
    names += [f"test/{key}_corrected/error_map/p{HEADLINE_PERCENTILE}" for key in HEADLINES]
    names += [f"test/{key}/{name}" for key in ("deletion", "sanity/infidelity") for name in EXPLAINERS]
    expected = {name: pytest.approx(scalars[name]) for name in names if name in scalars}
    assert len(expected) > 50
    assert {name: test.summary[name] for name in expected} == expected


def test_curves_have_one_point_per_percentile(test, scalars):
    for key in [*HEADLINES, *(f"{key}_chance" for key in HEADLINES)]:
        for explainer in ("error_map", "saliency"):
            name = f"test/{key}_curve/{explainer}"
            points = {row["percentile"]: row[name] for row in test.history if name in row}
            assert points == {p: pytest.approx(scalars[f"test/{key}/{explainer}/p{p}"]) for p in range(90, 100)}
            assert name not in test.summary


@pytest.fixture(scope="module")
def offline_test(tracked):
    """The test as it lies in the run's folder."""
    _, run, _ = offline_runs(tracked.mae.folder)
    return run


def test_table_of_explanations_has_every_value(offline_test, scalars):
    columns, values, _ = read_table(offline_test, "test/explanations")
    assert columns == list(EXPLANATION_COLUMNS)
    found = {(row["explainer"], row["measure"], row["anomaly_type"], row["percentile"]): row for row in values}
    for key in MEASURES:
        for percentile in (90, HEADLINE_PERCENTILE):
            name = f"test/{key}/saliency/p{percentile}"
            if name in scalars:
                row = found["saliency", key, "", percentile]
                chances = {"value": name, "chance": f"test/{key}_chance/saliency/p{percentile}",
                           "corrected": f"test/{key}_corrected/saliency/p{percentile}",
                           "p_value": f"test/{key}_pvalue/saliency/p{percentile}"}  # fmt: skip
                expected = {column: scalars[scalar] for column, scalar in chances.items() if scalar in scalars}
                assert {column: row[column] for column in expected} == pytest.approx(expected, rel=1e-5)
                assert [row[column] for column in chances if column not in expected] == [None] * (4 - len(expected))
    (of_type,) = [name for name in scalars if name.startswith("test/f1/saliency/p98/")][:1]
    assert found["saliency", "f1", of_type.split("/")[4], 98]["value"] == pytest.approx(scalars[of_type])
    assert found["saliency", "sanity/infidelity", "", None]["value"] == pytest.approx(
        scalars["test/sanity/infidelity/saliency"], rel=1e-5
    )


def test_table_of_detection_has_every_anomaly_type(offline_test, scalars):
    _, values, _ = read_table(offline_test, "test/detection")
    found = {(row["score"], row["anomaly_type"]): row["auc"] for row in values}
    assert found["score", "broken_board"] == pytest.approx(scalars["test/auc/broken_board"])
    assert found["masked_score", ""] == pytest.approx(scalars["test/auc_masked_score"])


def test_clips_can_be_seen_and_heard(offline_test, tracked, simulated):
    columns, clips, media = read_table(offline_test, "test/clips")
    known = ["name", "anomaly_type", "label", "score", "masked_score", "recording", "spectrogram"]
    assert columns == [*known, *EXPLAINERS]
    scores = {clip["name"]: clip for clip in rows(tracked.mae.folder / "test" / "clips.csv")}
    kept = len(list((tracked.mae.folder / "test" / "examples").iterdir()))
    assert len(clips) == min(kept, MAX_CLIPS) > 0
    for row in clips:
        for score in ("score", "masked_score"):
            assert row[score] == pytest.approx(float(scores[row["name"]][score]), rel=1e-5)
        assert (row["label"], row["anomaly_type"]) == ("anomalous", scores[row["name"]]["anomaly_type"])
        for column in ("spectrogram", *EXPLAINERS):
            assert Image.open(media[row[column]["path"]]).size == (80, 84)
        heard, rate = soundfile.read(media[row["recording"]["path"]])
        original, original_rate = soundfile.read(simulated / row["name"])
        assert rate == original_rate
        np.testing.assert_allclose(heard, original, atol=1e-4)
    assert all(tracked.mae.folder in path.parents for path in media.values()), "a run owns one folder"


def test_best_checkpoint_is_a_model_with_its_metrics(tracked, fit, test):
    (artifact,) = [artifact for artifact in fit.artifacts if artifact["artifactTypeName"] == "model"]
    assert {alias["alias"] for alias in artifact["aliases"]} == {"best", "latest"}
    name = artifact["artifactCollectionName"]
    assert test.config["model_artifact"] == fit.config["model_artifact"] == f"{name}:best"
    metadata = json.loads(artifact["metadata"])
    logged = rows(tracked.mae.folder / "fit" / "metrics.csv")
    best = min((row for row in logged if row["val/loss"]), key=lambda row: float(row["val/loss"]))
    assert (metadata["epoch"], metadata["step"]) == (int(best["epoch"]), int(best["step"]) + 1)
    assert metadata["val/loss"] == pytest.approx(float(best["val/loss"]))
    assert not [artifact for artifact in test.artifacts if artifact["artifactTypeName"] == "model"]


def test_figures_are_images(fit, test):
    assert any("fit/learning_curves" in name for name in fit.files)
    for key in ("attributions", "roc", "f1", "replacement"):
        assert any(f"images/test/{key}" in name for name in test.files), key


@pytest.mark.parametrize("stage", ["fit", "test"])
def test_configuration_is_a_file(tracked, stage):
    uploaded = tracked.uploaded(tracked.mae, stage).files[f"{stage}/config.yaml"]
    assert uploaded == (tracked.mae.folder / stage / "config.yaml").read_bytes()


def test_model_and_configuration_can_be_left_out(simulated, tmp_path):
    options = ["--run", str(tmp_path / "run"), "--data.root", str(simulated), *TINY, "--trainer.max_epochs", "1"]
    assert main(["fit", *options, "--wandb.log_model", "false", "--wandb.log_config", "false"]) == 0
    (fit,) = offline_runs(tmp_path / "run")
    assert not fit.artifacts
    assert "fit/config.yaml" not in fit.files


def test_repeated_test_replaces_its_offline_run(tracked):
    before = sorted(tracked.svm.folder.glob("wandb/offline-run-*"))
    assert main([*tracked.svm.test]) == 0
    after = sorted(tracked.svm.folder.glob("wandb/offline-run-*"))
    assert len(after) == len(before) == 2
    assert after[0] == before[0], "the training stays"
    assert after[1] != before[1]
