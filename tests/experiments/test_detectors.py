"""The reference detectors: against scikit-learn, by hand, and through the real command line."""

import csv
import re
from pathlib import Path

import numpy as np
import pytest
import soundfile
import yaml
from scipy.spatial.distance import cdist
from sklearn import ensemble, svm
from sklearn.metrics import roc_auc_score

from datamodules import PlanerDataModule
from experiments.cli.main import main
from experiments.detectors import DETECTORS, IsolationForest, NearestNeighbours, OneClassSVM
from lightning_modules import ConfigurationError

CONFIGS = Path(__file__).resolve().parents[2] / "experiments" / "configs"
STEP = ["--trainer.max_epochs", "1", "--trainer.limit_train_batches", "1", "--trainer.limit_test_batches", "2"]
STEP += ["--trainer.accelerator", "cpu", "--trainer.enable_progress_bar", "false", "--wandb.mode", "disabled"]
STEP += ["--trainer.enable_model_summary", "false", "--data.batch_size", "4"]


def rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def scores(run):
    return [float(row["score"]) for row in rows(run / "test" / "clips.csv")]


def _rms(path):
    samples, _ = soundfile.read(path)
    return 20 * np.log10(np.sqrt(np.mean(samples**2)))


@pytest.fixture
def clips():
    """Training and test clips, 6 bands by 5 frames."""
    generator = np.random.default_rng(0)
    return [generator.normal(-20, 8, size=(n, 6, 5)).astype(np.float32) for n in (30, 7)]


@pytest.fixture
def data(simulated):
    """Options that name the simulated set, cut to 2 s."""
    return ["--data", "PlanerDataModule", "--data.root", str(simulated), "--data.n_frames", "80"]


@pytest.fixture
def detect(data, tmp_path):
    """Run a detector on the simulated set; returns the run's folder."""

    def run(name, *options, folder=None):
        path = tmp_path / (folder or name)
        assert main(["detect", "--run", str(path), "--detector.name", name, *data, *options]) == 0
        return path

    return run


@pytest.fixture
def refused(tmp_path, capsys):
    """Run a command and check that it refuses in one line, with status 2, and writes nothing."""

    def check(arguments, message):
        before = set(tmp_path.rglob("*"))
        try:
            status = main([str(argument) for argument in arguments])
        except SystemExit as stop:
            status = stop.code
        error = capsys.readouterr().err.strip().splitlines()
        assert status == 2, error
        assert len(error) == 1, error
        assert re.search(message, error[0]), error[0]
        assert set(tmp_path.rglob("*")) == before

    return check


def test_one_class_svm_is_that_of_a_gaussian_kernel_on_the_cells_values(clips):
    train, test = (x.reshape(len(x), -1).astype(float) for x in clips)
    gamma = 1 / (30 * train.var())
    kernel = [np.exp(-gamma * cdist(x, train, "sqeuclidean")) for x in (train, test)]
    reference = svm.OneClassSVM(kernel="precomputed", nu=0.2).fit(kernel[0])
    detector = OneClassSVM(nu=0.2)
    detector.fit(clips[0])
    np.testing.assert_allclose(detector.score(clips[1]), -reference.decision_function(kernel[1]), atol=1e-6)


def test_isolation_forest_is_scikit_learns_on_the_cells_values(clips):
    train, test = (x.reshape(len(x), -1) for x in clips)
    reference = ensemble.IsolationForest(n_estimators=20, random_state=4).fit(train)
    detector = IsolationForest(trees=20, seed=4)
    detector.fit(clips[0])
    np.testing.assert_allclose(detector.score(clips[1]), -reference.score_samples(test))


@pytest.mark.parametrize(("neighbours", "squared"), [(1, 16 / 3), (2, 2 + 16 / 3), (3, 8 + 16 / 3), (4, 2 + 64 / 3)])
def test_nearest_neighbours_by_hand(neighbours, squared):
    # Means over time 1, 3, 5, 3 (variance 2) and standard deviations 1, 1, 1, 2 (variance 3/16).
    train = np.array([[[0, 2]], [[2, 4]], [[4, 6]], [[1, 5]]], dtype=np.float32)
    detector = NearestNeighbours(neighbours)
    detector.fit(train)
    # Mean 5, deviation 0: squared distances 8 + 16/3, 2 + 16/3, 16/3 and 2 + 64/3.
    np.testing.assert_allclose(detector.score(np.array([[[5, 5]]], dtype=np.float32)), [squared**0.5])


def test_nearest_neighbours_stand_a_band_that_never_varies(clips):
    train, test = (np.concatenate([x, np.full_like(x[:, :1], -80)], axis=1) for x in clips)
    detectors = [NearestNeighbours(), NearestNeighbours()]
    detectors[0].fit(clips[0])
    detectors[1].fit(train)
    np.testing.assert_allclose(detectors[1].score(test), detectors[0].score(clips[1]))


def test_settings_out_of_range_are_refused(clips):
    for build in (lambda: OneClassSVM(nu=0), lambda: IsolationForest(trees=0), lambda: NearestNeighbours(0)):
        with pytest.raises(ConfigurationError, match=r"--detector\.(nu|trees|neighbours) is 0"):
            build()
    with pytest.raises(ConfigurationError, match="only 30 training clips"):
        NearestNeighbours(31).fit(clips[0])


@pytest.mark.parametrize("name", DETECTORS)
def test_detect_writes_an_ordinary_run(name, detect, simulated):
    run = detect(name)
    assert {path.name for path in run.iterdir()} == {"test"}
    assert {path.name for path in (run / "test").iterdir()} == {"clips.csv", "metrics.csv", "config.yaml", "finished"}
    config = yaml.safe_load((run / "test" / "config.yaml").read_text())
    assert config["detector"]["name"] == name
    assert config["data"]["init_args"]["n_frames"] == 80
    assert set(config) == {"seed_everything", "detector", "data"}

    written = rows(run / "test" / "clips.csv")
    assert list(written[0]) == ["index", "name", "label", "anomaly_type", "annotated", "score", "level"]
    labels = [int(row["label"]) for row in written]
    (metrics,) = rows(run / "test" / "metrics.csv")
    assert float(metrics["test/auc"]) == pytest.approx(roc_auc_score(labels, scores(run)))
    levels = [_rms(simulated / row["name"]) for row in written]
    np.testing.assert_allclose([float(row["level"]) for row in written], levels, rtol=1e-6)
    louder = roc_auc_score(labels, levels)
    assert float(metrics["test/auc_level"]) == pytest.approx(max(louder, 1 - louder))
    assert float(metrics["test/pauc"]) == pytest.approx(roc_auc_score(labels, scores(run), max_fpr=0.1))

    clips = PlanerDataModule(str(simulated), n_frames=80)
    detector = DETECTORS[name]()
    spectrograms = {
        part: np.stack([item["spectrogram"].numpy() for item in loader.dataset])
        for part, loader in (("train", clips.train_dataloader()), ("test", clips.test_dataloader()))
    }
    detector.fit(spectrograms["train"])
    np.testing.assert_allclose(scores(run), detector.score(spectrograms["test"]))
    assert [row["name"] for row in written] == [clip.name for clip in clips.test_clips]


def test_the_seed_decides(detect):
    first, again, other = (
        scores(detect("isolation_forest", "--detector.trees", "5", "--seed_everything", seed, folder=folder))
        for seed, folder in (("1", "first"), ("1", "again"), ("2", "other"))
    )
    assert first == again
    assert first != other


def test_a_run_is_repeated_from_its_own_configuration(detect, tmp_path):
    run = detect("knn", "--detector.neighbours", "2")
    config = str(run / "test" / "config.yaml")
    assert main(["detect", "--config", config, "--run", str(tmp_path / "again")]) == 0
    assert scores(tmp_path / "again") == scores(run)
    assert main(["detect", "--config", config, "--run", str(run), "--detector.neighbours", "1"]) == 0
    assert scores(run) != scores(tmp_path / "again"), "the folder's results are replaced"
    assert main(["detect", f"--config={config}", "--run", str(tmp_path / "svm"), "--detector.name=one_class_svm"]) == 0


@pytest.mark.parametrize(("name", "root"), [("demo", "simulated"), ("dcase", "slider")])
def test_a_models_configuration_gives_the_data(name, root, request, tmp_path):
    root = str(request.getfixturevalue(root))
    options = ["--config", str(CONFIGS / f"{name}.yaml"), "--data.root", root, "--data.n_frames", "80"]
    assert main(["detect", "--run", str(tmp_path / "run"), "--detector.name", "knn", *options]) == 0
    ours = yaml.safe_load((tmp_path / "run" / "test" / "config.yaml").read_text())["data"]
    shipped = yaml.safe_load((CONFIGS / f"{name}.yaml").read_text())["data"]
    assert ours["class_path"] == shipped["class_path"]
    assert {**shipped["init_args"], "root": root, "n_frames": 80}.items() <= ours["init_args"].items()


def test_report_takes_detectors(detect, tmp_path, capsys):
    runs = [str(detect(name)) for name in ("knn", "one_class_svm")]
    capsys.readouterr()
    assert main(["report", *runs, "--output", str(tmp_path / "report.html")]) == 0
    printed = capsys.readouterr().out
    assert "kNN" in printed
    assert "One-class SVM" in printed


def test_detect_refuses(refused, data, tmp_path):
    run = ["detect", "--run", tmp_path / "run"]
    knn = [*run, "--detector.name", "knn"]
    refused([*run, *data], r"--detector\.name is missing; choose one of one_class_svm, isolation_forest, knn")
    refused([*run, *data, "--detector.name", "lof"], "lof does not exist; choose one of one_class_svm")
    refused([*knn, *data, "--detector.nu", "0.2"], r"detector\.nu")
    refused([*knn, *data, "--detector.neighbours", "many"], r"detector\.neighbours")
    refused([*knn, *data, "--detector.neighbours", "0"], r"detector\.neighbours is 0")
    refused([*knn, *data, "--detector.neighbours", "99"], "only 11 training clips")
    refused(knn, "required: data")
    refused([*knn, "--data", "Planer"], "--data Planer does not exist; choose one of PlanerDataModule")
    refused([*knn, *data, "--data.n_frames", "0"], r"n_frames is 0")
    refused([*knn, *data, "--data.root", tmp_path], r"training/")
    refused([*knn, *data, "--seed_everything", "-1"], "seed_everything")
    refused([*knn, *data, "--config"], "--config")
    refused([*knn, *data, "--config", tmp_path / "no.yaml"], r"no\.yaml")
    refused(["detect", "--run", "", *data, "--detector.name", "knn"], "--run is empty")


def test_detect_keeps_out_of_other_runs(refused, detect, data, tmp_path):
    svm_run = detect("one_class_svm")
    options = ["--detector.name", "knn", *data]
    refused(["detect", "--run", svm_run, *options], "holds results of one_class_svm; give another --run")
    model = tmp_path / "model"
    (model / "test").mkdir(parents=True)
    (model / "test" / "config.yaml").write_text("model: {class_path: lightning_modules.Autoencoder}")
    refused(["detect", "--run", model, *options], "holds results of a model")
    (model / "fit").mkdir()
    refused(["detect", "--run", model, *options], "holds the training of a model")


def test_configurations_that_are_none(refused, data, tmp_path):
    (tmp_path / "list.yaml").write_text("- knn")
    (tmp_path / "nameless.yaml").write_text("detector: {neighbours: 3}")
    run = ["detect", "--run", tmp_path / "run", *data]
    refused([*run, "--config", tmp_path / "list.yaml"], r"list\.yaml")
    refused([*run, "--config", tmp_path / "nameless.yaml"], r"nameless\.yaml: detector has no name")


@pytest.mark.parametrize(
    ("backbone", "objective"),
    [("skip_cae", "Autoencoder"), ("cae", "MaskedAutoencoder"), ("dense", "MaskedAutoencoder")],
)
def test_reference_backbones_train_and_test(backbone, objective, data, tmp_path):
    run = tmp_path / "run"
    options = ["--run", str(run), "--model", objective, "--model.backbone", backbone, *data, *STEP]
    assert main(["fit", *options]) == 0
    explainers = ["--attributions.explainers", "[error_map, saliency]"]
    assert main(["test", "--run", str(run), *explainers]) == 0
    assert all(np.isfinite(scores(run)))
    config = yaml.safe_load((run / "fit" / "config.yaml").read_text())
    assert config["model"]["init_args"]["backbone"] == backbone


def test_grad_cam_of_a_dense_model_ends_in_one_line(data, tmp_path, capsys):
    run = tmp_path / "run"
    assert main(["fit", "--run", str(run), "--model", "Autoencoder", "--model.backbone", "dense", *data, *STEP]) == 0
    capsys.readouterr()
    assert main(["test", "--run", str(run)]) == 2
    assert "backbone=dense has none; name the other explainers" in capsys.readouterr().err.splitlines()[-1]


def test_a_detectors_run_is_called_one_by_the_stages_of_models(refused, detect, simulated, data):
    run = detect("knn")
    clips = simulated / "evaluation" / "normal"
    said = rf"{run} is a run of the baseline detector knn, .* detectors do not support {{}} yet: name a run of"
    refused(["predict", "--run", run, "--data.predict_path", clips], said.format("predict"))
    for stage in ("test", "validate"):
        refused([stage, "--run", run], said.format(stage))
    model = ["--model", "Autoencoder", *data, "--wandb.mode", "disabled", "--trainer.accelerator", "cpu"]
    refused(["fit", "--run", run, *model], r"baseline detector knn, .* a model needs a folder of its own: name another")
