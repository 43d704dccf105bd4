"""Small data sets and runs, made once by the real commands."""

import json
import shutil

import numpy as np
import pytest
import soundfile
from run_folders import ae_and_mae, example, run_maker
from study_folders import write_study
from tracked_study import tracked_study

from experiments.cli.main import main
from experiments.report.evidence import compute_evidence
from experiments.report.loading import load_comparison
from experiments.report.table import Cell, Table, number_cells
from explainers import EXPLAINERS

__all__ = ["ae_and_mae", "example", "run_maker"]

# Two seconds of a clip: a tenth of the work.
SMALL = ["--data.n_frames", "80", "--wandb.mode", "disabled"]
SMALL += ["--trainer.accelerator", "cpu", "--trainer.enable_progress_bar", "false"]
SMALL += ["--trainer.enable_model_summary", "false"]
FEW = '{"smoothgrad": {"n_samples": 2}, "gradient_shap": {"n_samples": 2}, "integrated_gradients": {"n_steps": 3}}'


@pytest.fixture(scope="session")
def simulated(tmp_path_factory):
    """A simulated planer set of 12 + 6 + 8 clips, whose annotated anomalies all begin within two seconds."""
    root = tmp_path_factory.mktemp("data") / "planer"
    counts = ["--train", "12", "--normal", "6", "--anomalies", "8"]
    assert main(["simulate", str(root), *counts, "--seed", "39"]) == 0
    return root


@pytest.fixture
def planer_copy(simulated, tmp_path):
    """A copy of the simulated set that a test may spoil."""
    return shutil.copytree(simulated, tmp_path / "planer")


@pytest.fixture(scope="session")
def slider(tmp_path_factory):
    """Recordings named as in DCASE 2020 Task 2: three seconds of noise."""
    root = tmp_path_factory.mktemp("dcase")
    noise = np.random.default_rng(0)
    names = [f"train/normal_id_00_{number:08d}.wav" for number in range(6)]
    names += [f"test/{label}_id_00_{number:08d}.wav" for label in ("normal", "anomaly") for number in range(3)]
    for name in names:
        path = root / "slider" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, 0.1 * noise.standard_normal(48_000), 16_000)
    return root


@pytest.fixture(scope="session")
def train_untested(simulated, tmp_path_factory):
    """Train an objective for two epochs; returns the run's folder."""

    def run(objective, name):
        folder = tmp_path_factory.mktemp("runs") / name
        options = ["--data", "PlanerDataModule", "--data.root", str(simulated), "--trainer.max_epochs", "2"]
        options += ["--data.batch_size", "8", "--attributions.settings", FEW, "--model", objective, *SMALL]
        assert main(["fit", "--run", str(folder), *options]) == 0
        return folder

    return run


@pytest.fixture(scope="session")
def train(train_untested):
    """Train an objective and test it; returns the run's folder."""

    def run(objective, name, explainers=tuple(EXPLAINERS)):
        folder = train_untested(objective, name)
        tested = ["--attributions.explainers", json.dumps(explainers), "--sanity.clips", "1"]
        assert main(["test", "--run", str(folder), *tested]) == 0
        return folder

    return run


@pytest.fixture(scope="session")
def fitted_run(train_untested):
    """An MAE that is not tested yet."""
    return train_untested("MaskedAutoencoder", "fitted")


@pytest.fixture(scope="session")
def mae_run(train):
    """A tested MAE."""
    return train("MaskedAutoencoder", "mae")


@pytest.fixture(scope="session")
def tracked(simulated, tmp_path_factory):
    """A study tracked offline and uploaded."""
    with tracked_study(tmp_path_factory.mktemp("tracked"), simulated) as study:
        yield study


@pytest.fixture(scope="session")
def small_study(tmp_path_factory):
    """The comparison of a study's written runs."""
    return load_comparison([write_study(tmp_path_factory.mktemp("study") / "small")])


@pytest.fixture(scope="session")
def small_evidence(small_study):
    """What was measured in the study."""
    return compute_evidence(small_study)


@pytest.fixture(scope="session")
def browser():
    """A headless Chromium."""
    playwright = pytest.importorskip("playwright.sync_api")
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        pytest.skip("needs Chromium on the path")
    with playwright.sync_playwright() as api:
        browser = api.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def small_table():
    """Two rows with names, numbers and a p-value."""
    return Table(
        "50 % & more_x",
        "A note.",
        ("Explainer", "Model", "F1", "p"),
        (
            (
                (Cell("Error map"), Cell("AE"), *number_cells([0.25], [0.125]), Cell("–")),
                (
                    Cell("Error map"),
                    Cell("MAE"),
                    Cell("0.500", True, (("", 0.5),)),
                    Cell("<0.001", False, (("", 0.0001),)),
                ),
            ),
        ),
        names=2,
        name="small",
    )
