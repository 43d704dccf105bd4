"""The stage `curve`: checkpoints that a training keeps, and the table of what they reach."""

import csv
import shutil

import pandas as pd
import pytest
from offline_runs import offline_runs, read_table

from experiments.cli.main import main
from experiments.runs.curve import kept_epochs
from experiments.runs.results import read_curve

OPTIONS = ["--data", "PlanerDataModule", "--data.n_frames", "80", "--data.batch_size", "8", "--model", "Autoencoder"]
OPTIONS += ["--model.backbone", "cae", "--data.labelled_validation", "0.5", "--curve_checkpoints", "5"]
OPTIONS += ["--trainer.accelerator", "cpu", "--trainer.enable_progress_bar", "false"]
OPTIONS += ["--trainer.enable_model_summary", "false", "--attributions.explainers", '["error_map", "random"]']
OPTIONS += ["--attributions.validation_explainers", "[]", "--faithfulness.percentiles", "[98]"]
OPTIONS += ["--fscore.percentiles", "[98]", "--faithfulness.shifts", "1", "--sanity.clips", "0"]
OPTIONS += ["--deletion.percentiles", "[0, 100]", "--attributions.examples", "0"]


def kept_files(run):
    return sorted(path.name for path in (run / "fit" / "checkpoints" / "curve").iterdir())


@pytest.fixture(scope="module")
def run(simulated, tmp_path_factory):
    """A run of 5 epochs that stopped after 3 and went on, and its curve."""
    folder = tmp_path_factory.mktemp("curve") / "run"
    fit = ["fit", "--run", str(folder), "--data.root", str(simulated), *OPTIONS]
    assert main([*fit, "--wandb.mode", "disabled", "--trainer.max_epochs", "3"]) == 0
    assert kept_files(folder) == ["epochs_1.ckpt", "epochs_2.ckpt", "epochs_3.ckpt"]
    assert main([*fit, "--wandb.mode", "disabled", "--trainer.max_epochs", "5"]) == 0
    assert main(["curve", "--run", str(folder), "--wandb.mode", "offline"]) == 0
    return folder


@pytest.fixture
def own(run, tmp_path):
    """A copy of the run that a test may change."""
    return shutil.copytree(run, tmp_path / "run")


@pytest.mark.parametrize("n", [2, 3, 6])
def test_kept_epochs_are_kept_all_along(n):
    for done in range(1, 600):
        now, following = kept_epochs(done, n), kept_epochs(done + 1, n)
        assert set(following) <= {*now, done + 1}, "a deleted epoch can't come back"
        assert len(now) <= n
        assert now[0] == 1


def test_kept_epochs_are_spaced_by_their_ratios():
    assert kept_epochs(500, 20) == [1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 144, 233, 377]
    # Of 1, 2, 3 and 5, dropping 2 leaves the ratio 3 / 1 and dropping 3 the smaller 5 / 2.
    assert kept_epochs(5, 3) == [1, 2, 5]


def test_training_that_went_on_keeps_the_files_of_one_in_a_go(run):
    assert kept_files(run) == [f"epochs_{epochs}.ckpt" for epochs in kept_epochs(5, 3)]
    sizes = {path.name: path.stat().st_size for path in (run / "fit" / "checkpoints").rglob("*.ckpt")}
    assert sizes["epochs_5.ckpt"] < 0.5 * sizes["last.ckpt"], "weights only"


def test_every_checkpoint_is_a_point_of_the_curve(run):
    curve = read_curve(run / "curve")
    learning = pd.read_csv(run / "fit" / "metrics.csv").groupby("epoch").last()
    best = learning["val/loss"].idxmin() + 1
    assert sorted(curve["epochs"].unique()) == sorted({1, 2, 5, best})
    losses = curve[curve["measure"] == "loss"].set_index("epochs")
    assert losses["value"].to_dict() == pytest.approx(
        {epochs: learning["val/loss"][epochs - 1] for epochs in losses.index}
    )
    assert losses["steps"].to_dict() == {epochs: 2 * epochs for epochs in losses.index}, "11 clips are two batches of 8"
    assert {"auc", "auc_masked_score", "f1", "faithfulness_frame"} <= set(curve["measure"])


def test_values_are_those_of_validate(run, own):
    checkpoint = own / "fit" / "checkpoints" / "curve" / "epochs_5.ckpt"
    assert main(["validate", "--run", str(own), "--ckpt_path", str(checkpoint), "--wandb.mode", "disabled"]) == 0
    with (own / "validate" / "metrics.csv").open(newline="") as file:
        (scalars,) = csv.DictReader(file)
    n_annotated = pd.read_csv(own / "validate" / "explanations.csv")["name"].nunique()
    curve = read_curve(run / "curve")
    curve = curve[curve["epochs"] == 5].set_index(["measure", "explainer"])
    for measure in ("f1", "faithfulness_frame"):
        row = curve.loc[(measure, "error_map")]
        assert row["value"] == pytest.approx(float(scalars[f"val/{measure}/error_map/p98"]))
        assert row["chance"] == pytest.approx(float(scalars[f"val/{measure}_chance/error_map/p98"]))
        assert row["n_clips"] == n_annotated
    assert curve.loc[("auc", ""), "value"] == pytest.approx(float(scalars["val/auc"]))


def test_goes_on_with_the_checkpoints_that_are_missing(run, own):
    path = own / "curve" / "curve.csv"
    rows = pd.read_csv(path, keep_default_na=False)
    kept = rows[rows["epochs"] < 5].copy()
    kept.loc[kept["measure"] == "loss", "value"] = 123.0
    kept.to_csv(path, index=False)
    (own / "curve" / "finished").unlink()
    options = ["--wandb.mode", "disabled", "--data.num_workers", "0"]
    assert main(["curve", "--run", str(own), *options]) == 0
    again = pd.read_csv(path, keep_default_na=False)
    assert again.loc[again["epochs"] < 5, "value"].tolist() == kept["value"].tolist(), "not evaluated again"
    pd.testing.assert_frame_equal(again[again["epochs"] >= 5], rows[rows["epochs"] >= 5])
    assert sorted(path.name for path in (own / "curve").iterdir()) == sorted(
        path.name for path in (run / "curve").iterdir()
    ), "nothing of single clips is left"

    assert main(["curve", "--run", str(own), "--wandb.mode", "disabled", "--fscore.percentiles", "[97]"]) == 0
    others = read_curve(own / "curve")
    assert 123.0 not in set(others["value"]), "other options begin again"
    assert set(others.loc[others["measure"] == "f1", "percentile"]) == {97}


def test_curve_is_shown_on_weights_and_biases(run):
    (logged,) = offline_runs(run)
    curve = read_curve(run / "curve")
    points = [row for row in logged.history if "curve/steps" in row]
    assert [point["curve/steps"] for point in points] == sorted(curve["steps"].unique())
    f1 = curve[(curve["measure"] == "f1") & (curve["explainer"] == "error_map")]
    over = (f1["value"] - f1["chance"]).tolist()
    assert [point["curve/f1_over_chance/error_map"] for point in points] == pytest.approx(over)
    assert logged.metrics["curve/auc"].step_metric == "curve/steps"
    assert logged.run.job_type == "curve"
    columns, rows, _ = read_table(logged, "curve/table")
    assert (columns, len(rows)) == (list(curve.columns), len(curve))


def test_rejects_runs_without_checkpoints_or_labelled_clips(fitted_run, run, capsys):
    assert main(["curve", "--run", str(fitted_run), "--data.labelled_validation", "0.5"]) == 2
    assert "kept no checkpoints for a curve; train with --curve_checkpoints 8" in capsys.readouterr().err
    assert main(["curve", "--run", str(run), "--data.labelled_validation", "0"]) == 2
    assert "--data.labelled_validation 0.3" in capsys.readouterr().err
    assert main(["curve", "--run", str(run), "--ckpt_path", "best"]) == 2
    assert "leave out --ckpt_path" in capsys.readouterr().err


def test_fit_tells_that_a_curve_needs_labelled_clips(run, tmp_path):
    command = ["fit", "--run", str(tmp_path), "--config", str(run / "fit" / "config.yaml"), "--trainer.max_epochs", "1"]
    with pytest.warns(UserWarning, match="the command curve will need labelled clips"):
        assert main([*command, "--data.labelled_validation", "0"]) == 0
