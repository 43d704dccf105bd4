"""Explainers where memory is short: passes get smaller, maps stay as they are."""

import pytest
import torch
from torch import nn

from explainers import EXPLAINERS, ErrorMap, IntegratedGradientsMap, SaliencyMap
from explainers.sanity import infidelity
from lightning_modules import Autoencoder

SETTINGS = {
    "smoothgrad": {"n_samples": 5},
    "gradient_shap": {"n_samples": 5},
    "integrated_gradients": {"n_steps": 6},
}


class Cramped(nn.Module):
    """A network on a device that holds the activations of a few spectrograms only."""

    def __init__(self, network, most=1, error=torch.OutOfMemoryError):
        super().__init__()
        self.network, self.most, self.error = network, most, error
        self.cam_layer = network.cam_layer
        self.passes = []

    def forward(self, x):
        self.passes.append(len(x))
        if len(x) > self.most:
            raise self.error("no room")
        return self.network(x)


@pytest.fixture(scope="module")
def network():
    """In float64, since passes of other sizes round differently, and in float32 that flips kinks of the network."""
    torch.manual_seed(0)
    return Autoencoder(n_mels=16, n_frames=32, backbone={"num_heads": 4}).double()


@pytest.fixture(scope="module")
def x():
    return 10 * torch.randn(3, 16, 32, generator=torch.Generator().manual_seed(2)).double()


# Of these a pass on a CPU has one row only, or there is none.
NOT_HALVED = ("saliency", "grad_cam", "random")


@pytest.mark.parametrize("name", [name for name in EXPLAINERS if name not in NOT_HALVED])
def test_passes_are_halved_until_they_fit(name, network, x):
    settings = SETTINGS.get(name, {})
    expected = EXPLAINERS[name](network, **settings).attribute(x)
    cramped = Cramped(network)
    explainer = EXPLAINERS[name](cramped, **settings)
    attribution = explainer.attribute(x)
    assert (attribution - expected).abs().max() <= 1e-4 * expected.abs().max()
    assert max(cramped.passes) > 1, "it was tried"
    assert explainer.rows_per_pass(x) == 1
    cramped.passes.clear()
    explainer.attribute(x)
    assert max(cramped.passes) == 1, "and is not tried again"


def test_infidelity_is_measured_in_passes_that_fit(network, x):
    attributions = torch.randn(x.shape, generator=torch.Generator().manual_seed(4)).double()
    expected = infidelity(SaliencyMap(network), x, attributions)
    cramped = Cramped(network)
    torch.testing.assert_close(infidelity(SaliencyMap(cramped), x, attributions), expected, rtol=1e-3, atol=1e-4)
    assert max(cramped.passes) > 1, "it was tried"


def test_no_room_for_one_clip_is_told(network, x):
    with pytest.raises(torch.OutOfMemoryError, match="no room"):
        ErrorMap(Cramped(network, most=0)).attribute(x)


def test_another_error_is_no_lack_of_memory(network, x):
    cramped = Cramped(network, error=RuntimeError)
    with pytest.raises(RuntimeError, match="no room"):
        ErrorMap(cramped).attribute(x)
    assert cramped.passes == [1, 3], "one clip to measure, then all, and no second try"


class Wide(nn.Module):
    """Doubles the input through 256 channels: 32 MiB a spectrogram of 128 × 256."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.full((256, 1, 1), 2 / 256))

    def forward(self, x):
        return (x[:, None] * self.weight).sum(1)


def test_the_allocator_of_the_cpu_runs_out():
    resource = pytest.importorskip("resource")
    explainer, x = IntegratedGradientsMap(Wide(), n_steps=14, memory_budget=4096), torch.rand(1, 128, 256)
    IntegratedGradientsMap(Wide(), n_steps=1).attribute(x)
    with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123  the kernel's, not a file of ours
        in_use = int(file.read().split()[0]) * resource.getpagesize()
    limits = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (in_use + 150 * 2**20, limits[1]))
    try:
        attribution = explainer.attribute(x)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limits)
    torch.testing.assert_close(attribution, x**2 / x[0].numel())
    assert 1 <= explainer.rows_per_pass(x) < 14
