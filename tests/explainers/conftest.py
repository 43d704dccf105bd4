"""What the sanity checks are tried on."""

import pytest
import torch

from lightning_modules import Autoencoder


@pytest.fixture(scope="session")
def clips():
    """Seeded noise of a few dB as spectrograms (count, 16, 24)."""

    def draw(count=2):
        return 10 * torch.randn(count, 16, 24, generator=torch.Generator().manual_seed(0))

    return draw


@pytest.fixture
def module(clips):
    """An autoencoder whose buffers and weights differ from fresh ones."""
    torch.manual_seed(0)
    module = Autoencoder(n_mels=16, n_frames=24, backbone={"num_heads": 3})
    module.train()(clips(4))
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.01)
    return module.eval()
