"""Baseline detectors and reference networks through the real command line."""

import csv
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
import yaml
from sklearn.metrics import roc_auc_score

import lightning_modules
from datamodules import PlanerDataModule
from experiments.cli.main import main

QUIET = ["--trainer.accelerator", "cpu", "--trainer.enable_progress_bar", "false", "--wandb.mode", "disabled"]
QUIET += ["--trainer.enable_model_summary", "false"]
STEP = ["--trainer.max_epochs", "1", "--trainer.limit_train_batches", "1", "--trainer.limit_test_batches", "2"]
STEP += ["--data.batch_size", "4"]
EXTEND = Path(__file__).parents[2] / "docs" / "extend.md"
DETECTORS = ["OneClassSVM", "IsolationForest", "NearestNeighbours"]


def rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def scores(run):
    return [float(row["score"]) for row in rows(run / "test" / "clips.csv")]


def loudness(path):
    samples, _ = soundfile.read(path)
    return 20 * np.log10(np.sqrt(np.mean(samples**2)))


@pytest.fixture(scope="module")
def data(simulated):
    """Options that name the simulated set, cut to 2 s."""
    return ["--data", "PlanerDataModule", "--data.root", str(simulated), "--data.n_frames", "80", *QUIET]


@pytest.fixture(scope="module")
def detector_run(data, tmp_path_factory):
    """Fit and test a detector on the simulated set; returns the run's folder."""
    made = {}

    def run(name):
        if name not in made:
            made[name] = tmp_path_factory.mktemp("runs") / name
            fit = ["fit", "--model", name, "--run", str(made[name]), "--data.batch_size", "4"]
            assert main([*fit, *data, "--data.labelled_validation", "0.3"]) == 0
            assert main(["test", "--run", str(made[name])]) == 0
        return made[name]

    return run


@pytest.fixture
def rejected(tmp_path, capsys):
    """Run a command and check that it fails in one line, with status 2, and writes nothing."""

    def check(arguments, message):
        before = set(tmp_path.rglob("*"))
        capsys.readouterr()
        assert main([str(argument) for argument in arguments]) == 2
        error = capsys.readouterr().err.strip().splitlines()
        assert re.search(message, error[-1]), error
        assert set(tmp_path.rglob("*")) == before

    return check


@pytest.mark.parametrize("name", DETECTORS)
def test_a_detector_is_fitted_and_tested_like_any_model(name, detector_run, simulated):
    run = detector_run(name)
    checkpoints = [(run / "fit" / "checkpoints" / f"{kept}.ckpt").read_bytes() for kept in ("best", "last")]
    assert checkpoints[0] == checkpoints[1]
    assert len(rows(run / "fit" / "metrics.csv")) == 1, "one epoch, with the validation clips' AUC"
    names = {path.name for path in (run / "test").iterdir()}
    assert {"clips.csv", "metrics.csv", "config.yaml", "finished"} <= names
    assert not names & {"explanations.csv", "examples", "sanity.csv"}
    written = rows(run / "test" / "clips.csv")
    assert list(written[0]) == ["index", "name", "label", "anomaly_type", "annotated", "score", "level"]
    labels = [int(row["label"]) for row in written]
    (metrics,) = rows(run / "test" / "metrics.csv")
    assert float(metrics["test/auc"]) == pytest.approx(roc_auc_score(labels, scores(run)))
    assert float(metrics["test/pauc"]) == pytest.approx(roc_auc_score(labels, scores(run), max_fpr=0.1))
    levels = [loudness(simulated / row["name"]) for row in written]
    np.testing.assert_allclose([float(row["level"]) for row in written], levels, rtol=1e-6)

    clips = PlanerDataModule(str(simulated), n_frames=80, labelled_validation=0.3)
    train, test = (
        torch.stack([item["spectrogram"] for item in loader.dataset])
        for loader in (clips.train_dataloader(), clips.test_dataloader())
    )
    torch.manual_seed(0)
    detector = getattr(lightning_modules, name)(80, 80)
    detector.learned = detector.learn(train.numpy())
    np.testing.assert_allclose(scores(run), detector(test), rtol=1e-9)


def test_a_detector_predicts_scores_only(detector_run, simulated, tmp_path, capsys):
    run = detector_run("NearestNeighbours")
    options = ["--data.predict_path", str(simulated / "evaluation" / "normal")]
    capsys.readouterr()
    assert main(["predict", "--run", str(run), *options]) == 0
    assert "in decreasing order: predictions.csv" in capsys.readouterr().out
    predicted = rows(run / "predict" / "predictions.csv")
    of_test = {row["name"].rpartition("/")[2]: float(row["score"]) for row in rows(run / "test" / "clips.csv")}
    known = [row for row in rows(run / "predict" / "windows.csv") if row["name"] in of_test and row["start"] == "0.0"]
    assert known
    for row in known:
        assert float(row["score"]) == pytest.approx(of_test[row["name"]])
    assert {row["seconds"] for row in predicted} == {""}
    assert main(["validate", "--run", str(run)]) == 0
    assert "auc" in capsys.readouterr().out
    assert (run / "validate" / "clips.csv").is_file()


def test_an_interrupted_fit_that_is_over_fits_nothing_again(detector_run, data, tmp_path):
    run = detector_run("IsolationForest")
    (run / "fit" / "finished").unlink()
    before = (run / "fit" / "checkpoints" / "last.ckpt").stat().st_mtime_ns
    fit = ["fit", "--model", "IsolationForest", "--run", str(run), "--data.batch_size", "4"]
    assert main([*fit, *data, "--data.labelled_validation", "0.3"]) == 0
    assert (run / "fit" / "finished").is_file()
    assert (run / "fit" / "checkpoints" / "last.ckpt").stat().st_mtime_ns == before


def test_report_takes_detectors(detector_run, tmp_path, capsys):
    runs = [str(detector_run(name)) for name in ("NearestNeighbours", "OneClassSVM")]
    capsys.readouterr()
    assert main(["report", *runs, "--output", str(tmp_path / "report.html")]) == 0
    printed = capsys.readouterr().out
    assert "Nearest neighbours" in printed
    assert "One-class SVM" in printed


def test_rejects_wrong_options_of_detectors(rejected, detector_run, data, tmp_path):
    knn = ["fit", "--run", tmp_path / "run", "--model", "NearestNeighbours", *data]
    rejected([*knn, "--model.nu", "0.2"], r"--model\.nu does not exist")
    rejected([*knn, "--model.neighbours", "0"], r"--model\.neighbours=0 is not valid; it must be at least 1")
    rejected([*knn, "--model.neighbours", "2.5"], r"--model\.neighbours is 2\.5; it must be a whole number")
    held_out = r"neighbours=500, but there are only \d+ training clips \(val_fraction holds out \d+ more\)"
    rejected([*knn, "--model.neighbours", "500"], held_out)
    rejected(
        ["fit", "--run", tmp_path / "run", "--model", "LOF", *data],
        "'LOF' does not exist; choose one of Autoencoder, MaskedAutoencoder, OneClassSVM, IsolationForest, Nearest",
    )
    run = detector_run("OneClassSVM")
    rejected([*knn[:2], run, *knn[3:]], "already contains a training with .*; give another --run")
    rejected(["test", "--run", run, "--model.nu", "0.1"], r"trained with nu=0\.5, but the configuration says nu=0\.1")


@pytest.mark.parametrize(
    ("backbone", "objective"),
    [("skip_cae", "Autoencoder"), ("CAE", "MaskedAutoencoder"), ("dense", "MaskedAutoencoder")],
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


def test_a_backbone_takes_a_class_path_and_arguments(data, rejected, tmp_path):
    run = tmp_path / "run"
    chosen = ["--model.backbone.class_path", "lightning_modules.SkipCAETransformer"]
    chosen += ["--model.backbone.init_args.num_heads", "5"]
    assert main(["fit", "--run", str(run), "--model", "Autoencoder", *chosen, *data, *STEP]) == 0
    checkpoint = torch.load(run / "fit" / "checkpoints" / "best.ckpt", weights_only=True)
    assert checkpoint["hyper_parameters"]["backbone"]["class_path"] == "lightning_modules.SkipCAETransformer"
    test = ["test", "--run", run, "--attributions.explainers", "[]"]
    rejected([*test, "--model.backbone", "cae"], r"with backbone=SkipCAETransformer\(num_heads=5\), .* says .*CAE\(\)")
    rejected([*test, "--model.backbone.num_heads", "4"], r"num_heads=5\), but .* says .*num_heads=4\)")
    assert main([str(argument) for argument in test]) == 0


SMALL_CAE = re.search(r'title="my_lab/backbones.py"\n(.*?)```', EXTEND.read_text(), re.DOTALL)[1]
OWN, CHANNELS = ["--model.backbone", "my_lab.backbones.SmallCAE"], ["--model.backbone.channels", "4"]


@pytest.fixture
def my_lab(tmp_path, monkeypatch):
    """The package of the page on extending, with a backbone."""
    folder = tmp_path / "packages" / "my_lab"
    folder.mkdir(parents=True)
    (folder / "backbones.py").write_text(SMALL_CAE)
    monkeypatch.syspath_prepend(folder.parent)
    yield
    for name in [name for name in sys.modules if name.partition(".")[0] == "my_lab"]:
        del sys.modules[name]


@pytest.mark.parametrize(
    ("in_yaml", "options"),
    [
        (None, [*OWN, *CHANNELS]),
        (None, [*CHANNELS, *OWN]),
        ("{num_heads: 8}", [*CHANNELS, *OWN]),
        (OWN[1], CHANNELS),
        (f"{{class_path: {OWN[1]}, init_args: {{channels: 2}}}}", CHANNELS),
        (f"{{class_path: {OWN[1]}, channels: 4}}", []),
    ],
)
@pytest.mark.usefixtures("my_lab")
def test_a_backbone_of_ones_own_keeps_its_class_and_arguments(data, tmp_path, in_yaml, options):
    config = []
    if in_yaml:
        text = f"model: {{class_path: lightning_modules.Autoencoder, init_args: {{backbone: {in_yaml}}}}}"
        (tmp_path / "model.yaml").write_text(text)
        config = ["--config", str(tmp_path / "model.yaml")]
    model = [] if in_yaml else ["--model", "Autoencoder"]
    run = tmp_path / "run"
    assert main(["fit", "--run", str(run), *config, *options, *model, *data, *STEP]) == 0
    weights = torch.load(run / "fit" / "checkpoints" / "best.ckpt", weights_only=True)["state_dict"]
    assert weights["backbone.cam_layer.weight"].shape == (4, 4, 3, 3)
    assert main(["test", "--run", str(run), "--attributions.explainers", "[]"]) == 0


@pytest.mark.parametrize(
    ("in_yaml", "options", "message"),
    [
        ("cae", ["--model.backbone.num_heads", "10"], "backbone CAE has no argument 'num_heads'; it has none"),
        ("{class_path: cae, init_args: {width: 3}}", [], "backbone CAE has no argument 'width'; it has none"),
        (
            f"{{class_path: {OWN[1]}, init_args: {{channels: 4}}}}",
            ["--model.backbone", "cae", *CHANNELS],
            "CAE has no arg",
        ),
        (
            f"{{class_path: {OWN[1]}, init_args: {{channels: 4}}, channels: 8}}",
            [],
            "init_args and, beside them, ch",
        ),
        ("{class_path: cae, init_args: 3}", [], "error: init_args of backbone is 3; it must be a mapping of arguments"),
        (
            "{init_args: {width: 3}, a: 8}",
            ["--model.backbone.b", "4"],
            "error: backbone has init_args and, beside them, a;",
        ),
        ("[cae]", [], r"--model\.backbone is \['cae'\]; it must be text or a mapping"),
        ("dense", [*OWN, "--model.backbone.channels", "4.5"], r"SmallCAE: channels is 4\.5; it must be a whole number"),
        ("dense", [*OWN, "--model.backbone.chanels", "4"], "SmallCAE has no argument 'chanels'; it has channels"),
        (
            OWN[1],
            ["--data.n_frames", "78"],
            r"SmallCAE fails .*n_frames=78: .* shape \(2, 80, 78\) is \(2, 80, 80\)",
        ),
        ("my_lab/backbones.py", [], r"backbones\.py' is not a class path, such as my_lab\.modules\.MyClass"),
    ],
)
@pytest.mark.usefixtures("my_lab")
def test_a_wrong_backbone_is_rejected_in_one_line(data, rejected, tmp_path, in_yaml, options, message):
    text = f"model: {{class_path: lightning_modules.Autoencoder, init_args: {{backbone: {in_yaml}}}}}"
    (tmp_path / "model.yaml").write_text(text)
    rejected(["fit", "--run", tmp_path / "run", *data, "--config", tmp_path / "model.yaml", *options], message)


def test_grad_cam_of_a_dense_model_is_left_out(data, rejected, tmp_path, capsys):
    run = tmp_path / "run"
    fit = ["fit", "--run", str(run), "--model", "Autoencoder", "--model.backbone", "dense", *data, *STEP]
    reason = "grad_cam: it needs a convolution, and DenseAutoencoder has none"
    with pytest.warns(UserWarning, match=f"test will leave out {reason}"):
        assert main(fit) == 0
    only = ["--attributions.explainers", "[grad_cam]", "--trainer.fast_dev_run", "true"]
    with pytest.warns(UserWarning, match="test will fail, since no explainer is left"):
        assert main([*fit, *only]) == 0
    few = ["--attributions.explainers", "[error_map, grad_cam]", "--sanity.clips", "0"]
    assert main(["test", "--run", str(run), *few]) == 0
    caution = "left out: grad_cam needs a convolution, and DenseAutoencoder has none"
    assert caution in capsys.readouterr().err
    assert (run / "test" / "caution.txt").read_text().startswith(caution)
    explained = (run / "test" / "explanations.csv").read_text()
    assert "error_map" in explained
    assert "grad_cam" not in explained
    rejected(["test", "--run", run, "--attributions.explainers", "[grad_cam]"], "none; name other --attributions.expl")
