"""The stages through the real command line, on recordings on disk."""

import csv
import shutil
from pathlib import Path
from typing import Union

import pytest
import torch
import yaml
from lightning.pytorch import Callback

from experiments.cli.main import main
from experiments.cli.parser import ExperimentParser
from explainers import EXPLAINERS
from metrics.measures import REFERENCES

CONFIGS = Path(__file__).resolve().parents[2] / "experiments" / "configs"
SMALL = ["--data.n_frames", "80", "--wandb.mode", "disabled", "--trainer.accelerator", "cpu"]
SMALL += ["--trainer.enable_progress_bar", "false", "--trainer.enable_model_summary", "false"]
ONE_STEP = ["--trainer.max_epochs", "1", "--trainer.limit_train_batches", "1"]


def rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_files_of_a_run(mae_run):
    found = {str(path.relative_to(mae_run)) for path in mae_run.rglob("*") if path.is_file()}
    assert {
        "fit/config.yaml",
        "fit/metrics.csv",
        "fit/checkpoints/best.ckpt",
        "fit/checkpoints/last.ckpt",
        "test/config.yaml",
        "test/metrics.csv",
        "test/clips.csv",
        "test/explanations.csv",
        "test/f1_null.npz",
    } <= found
    assert [name for name in found if name.startswith("test/examples/")]
    assert [name for name in found if name.startswith("test/figures/")]
    assert not [name for name in found if "tmp" in name]


def test_scalars_of_detection_and_every_explainer(mae_run):
    (metrics,) = rows(mae_run / "test" / "metrics.csv")
    assert 0 <= float(metrics["test/auc"]) <= 1
    for explainer in EXPLAINERS:
        for percentile in range(90, 100):
            for scalar in ("f1", "precision", "recall", "faithfulness_frame", "faithfulness_segment"):
                assert 0 <= float(metrics[f"test/{scalar}/{explainer}/p{percentile}"]) <= 1
    assert len(rows(mae_run / "test" / "clips.csv")) == 14
    annotated = [row for row in rows(mae_run / "test" / "clips.csv") if row["annotated"] == "1"]
    of_f1 = [row for row in rows(mae_run / "test" / "explanations.csv") if row["measure"] == "f1"]
    assert len(of_f1) == 10 * (len(EXPLAINERS) + len(REFERENCES)) * len(annotated)


def test_model_has_the_dimensions_of_the_data(mae_run):
    config = yaml.safe_load((mae_run / "fit" / "config.yaml").read_text())
    assert config["model"]["class_path"] == "lightning_modules.MaskedAutoencoder"
    assert config["data"]["init_args"]["n_frames"] == 80
    checkpoint = torch.load(mae_run / "fit" / "checkpoints" / "best.ckpt", weights_only=True)
    assert checkpoint["hyper_parameters"]["n_frames"] == 80


def test_same_seed_gives_the_same_files(train, mae_run):
    drawn = ["smoothgrad", "random"]
    again = train("MaskedAutoencoder", "again", explainers=drawn)
    for name in ("fit/metrics.csv", "test/clips.csv"):
        assert (again / name).read_bytes() == (mae_run / name).read_bytes(), name
    explained = [rows(run / "test" / "explanations.csv") for run in (again, mae_run)]
    assert explained[0] == [row for row in explained[1] if row["explainer"] in {*drawn, *REFERENCES}]


def test_validate_evaluates_the_labelled_split(mae_run, tmp_path):
    options = ["--data.labelled_validation", "0.5", "--attributions.explainers", "[error_map]"]
    assert main(["validate", "--run", str(mae_run), *options]) == 0
    (metrics,) = rows(mae_run / "validate" / "metrics.csv")
    assert float(metrics["val/loss"]) > 0
    assert 0 <= float(metrics["val/auc"]) <= 1
    validated = rows(mae_run / "validate" / "clips.csv")
    assert {row["label"] for row in validated} == {"0", "1"}
    assert 5 <= len(validated) <= 9, "about half of the 14 test clips"


def test_second_test_replaces_the_first(mae_run, tmp_path):
    run = shutil.copytree(mae_run, tmp_path / "twice")
    assert (run / "test" / "explanations.csv").is_file()
    assert main(["test", "--run", str(run), "--attributions.explainers", "[]"]) == 0
    assert (run / "test" / "clips.csv").is_file()
    assert not (run / "test" / "explanations.csv").exists()


def test_tests_the_training_itself_not_its_initial_checkpoint(mae_run, simulated, tmp_path):
    began = str(mae_run / "fit" / "checkpoints" / "last.ckpt")
    options = ["--config", str(mae_run / "fit" / "config.yaml"), "--trainer.max_epochs", "1", "--init_from", began]
    run = tmp_path / "longer"
    assert main(["fit", "--run", str(run), *options]) == 0
    assert main(["test", "--run", str(run), "--attributions.explainers", "[]"]) == 0
    config = yaml.safe_load((run / "test" / "config.yaml").read_text())
    assert config["ckpt_path"] == "best"
    scores = [(folder / "test" / "clips.csv").read_text() for folder in (mae_run, run)]
    assert scores[0] != scores[1]


def test_predict_scores_and_draws_recordings(mae_run, simulated):
    recordings = simulated / "evaluation" / "anomalies" / "broken_board"
    assert main(["predict", "--run", str(mae_run), "--data.predict_path", str(recordings)]) == 0
    predicted = rows(mae_run / "predict" / "predictions.csv")
    tested = {Path(row["name"]).name: float(row["score"]) for row in rows(mae_run / "test" / "clips.csv")}
    assert {row["name"] for row in predicted} == {path.name for path in recordings.iterdir()}
    windows = rows(mae_run / "predict" / "windows.csv")
    assert {(row["start"], row["end"]) for row in windows} == {(f"{2.0 * k}", f"{2.0 * k + 2}") for k in range(5)}
    for row in predicted:
        of_windows = [float(window["score"]) for window in windows if window["name"] == row["name"]]
        assert of_windows[0] == pytest.approx(tested[row["name"]], rel=1e-5), "test scores the first window"
        assert float(row["score"]) == max(of_windows)
    n_events = len(rows(mae_run / "predict" / "events.csv"))
    assert len(list((mae_run / "predict" / "figures").glob("*.png"))) == (min(n_events, 10) or 2)


@pytest.mark.parametrize("name", ["planer_ae", "planer_mae", "demo"])
def test_planer_configurations_train(name, simulated, tmp_path):
    options = ["--config", str(CONFIGS / f"{name}.yaml"), "--data.root", str(simulated), *SMALL, *ONE_STEP]
    assert main(["fit", "--run", str(tmp_path / name), *options]) == 0
    assert (tmp_path / name / "fit" / "checkpoints" / "best.ckpt").is_file()


@pytest.mark.parametrize("objective", ["Autoencoder", "MaskedAutoencoder"])
def test_dcase_configuration_trains_both_objectives(objective, slider, tmp_path):
    run = str(tmp_path / objective)
    options = ["--config", str(CONFIGS / "dcase.yaml"), "--data.root", str(slider), "--model", objective]
    assert main(["fit", "--run", run, *options, *SMALL, *ONE_STEP]) == 0
    config = yaml.safe_load(Path(run, "fit", "config.yaml").read_text())
    assert config["wandb"]["group"] == "slider", "interpolated from the machine"
    few = ["--attributions.explainers", "[error_map, saliency]", "--sanity.clips", "0"]
    assert main(["test", "--run", run, *few]) == 0
    (metrics,) = rows(Path(run, "test", "metrics.csv"))
    assert 0 <= float(metrics["test/faithfulness_frame/saliency/p98"]) <= 1
    assert "test/faithfulness_segment/saliency/p98" not in metrics, "nothing is annotated"


def test_audio_folder_configuration_trains(slider, tmp_path):
    root = tmp_path / "recordings"
    for folder, pattern in (("train", "train/*"), ("test/normal", "test/normal*"), ("test/anomaly", "test/anomaly*")):
        (root / folder).mkdir(parents=True)
        for path in (slider / "slider").glob(pattern):
            (root / folder / path.name).symlink_to(path)
    options = ["--config", str(CONFIGS / "audio_folder.yaml"), "--data.root", str(root), *SMALL, *ONE_STEP]
    assert main(["fit", "--run", str(tmp_path / "run"), *options]) == 0


def test_covers_every_shipped_configuration():
    assert {path.stem for path in CONFIGS.glob("*.yaml")} == {
        "planer_ae",
        "planer_mae",
        "demo",
        "dcase",
        "audio_folder",
        "spliced",  # in test_splice
    }


class Limited(Callback):
    """A callback whose limit is a number of batches, a share of them, or words."""

    def __init__(self, limit: Union[float, int, str] = 1.0) -> None:  # noqa: UP007  the order is what is tested
        self.limit = limit


@pytest.mark.parametrize(("given", "kind"), [("1", int), ("1.0", float), ("0.5", float), ("all", str)])
def test_limit_of_one_batch_is_a_whole_number(given, kind):
    parser = ExperimentParser(exit_on_error=False)
    parser.add_lightning_class_args(Limited, "limited")
    assert type(parser.parse_args(["--limited.limit", given]).limited.limit) is kind
