"""The device under test, and small data and networks."""

import pytest
import torch

from experiments.cli.main import main
from lightning_modules import Autoencoder, MaskedAutoencoder

QUIET = [
    "--wandb.mode",
    "disabled",
    "--trainer.enable_progress_bar",
    "false",
    "--trainer.enable_model_summary",
    "false",
]


@pytest.fixture(scope="session")
def device(request):
    device = torch.device(request.config.getoption("--device"))
    if device.type == "cuda" and not torch.cuda.is_available():
        pytest.skip("there is no CUDA device")
    return device


@pytest.fixture(scope="session")
def on_cuda(device):
    """For what only CUDA has."""
    if device.type != "cuda":
        pytest.skip("only CUDA has this")
    return device


@pytest.fixture(scope="session")
def accelerator(device):
    """Lightning's name of the device's kind."""
    return "gpu" if device.type == "cuda" else "cpu"


@pytest.fixture(scope="session")
def root(device, tmp_path_factory):
    """A simulated planer set of 40 + 6 + 8 clips."""
    root = tmp_path_factory.mktemp("data") / "planer"
    counts = ["--train", "40", "--normal", "6", "--anomalies", "8"]
    assert main(["simulate", str(root), *counts, "--seed", "39"]) == 0
    return root


@pytest.fixture(scope="session")
def fit(root, tmp_path_factory):
    """Train on an accelerator for some epochs; returns the run's folder."""

    def run(accelerator, epochs, *options, model="MaskedAutoencoder", folder=None):
        folder = folder or tmp_path_factory.mktemp("runs") / "run"
        given = ["--model", model, "--data", "PlanerDataModule", "--data.root", str(root), "--data.n_frames", "80"]
        given += ["--data.batch_size", "8", "--trainer.accelerator", accelerator, *QUIET]
        assert main(["fit", "--run", str(folder), *given, "--trainer.max_epochs", str(epochs), *options]) == 0
        return folder

    return run


@pytest.fixture(scope="session")
def clips():
    """Seeded noise as spectrograms (count, 16, 80), dB."""

    def draw(count):
        return 10 * torch.randn(count, 16, 80, generator=torch.Generator().manual_seed(2))

    return draw


@pytest.fixture(scope="session", params=[Autoencoder, MaskedAutoencoder], ids=["AE", "MAE"])
def module(request, clips):
    """A network for clips of 16 × 80 with weights that are not fresh, on the CPU."""
    torch.manual_seed(0)
    module = request.param(n_mels=16, n_frames=80, backbone={"num_heads": 4})
    module.train()(clips(8))
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.01)
    return module.eval()
