"""Gradient explainers on a CPU and on a GPU: which rows share a pass, and that maps don't depend on it."""

import threading

import pytest
import torch
from torch import nn

from explainers import EXPLAINERS, SaliencyMap
from lightning_modules import Autoencoder

SETTINGS = {
    "saliency": {},
    "smoothgrad": {"n_samples": 15},
    "integrated_gradients": {"n_steps": 15},
    "gradient_shap": {"n_samples": 15},
    "grad_cam": {},
}


class Gain(nn.Module):
    """Triples the input, and notes the rows of passes and how many passes are under way."""

    def __init__(self):
        super().__init__()
        self.gain = nn.Parameter(torch.tensor(3.0))
        self.lock, self.passes, self.under_way, self.most = threading.Lock(), [], 0, 0

    def forward(self, x):
        with self.lock:
            self.passes.append(len(x))
            self.under_way += 1
            self.most = max(self.most, self.under_way)
        threading.Event().wait(0.005)
        self.under_way -= 1
        return self.gain * x


class Fitting(SaliencyMap):
    """Has memory for so many rows."""

    def __init__(self, module, most):
        super().__init__(module)
        self.most = most

    def rows_per_pass(self, x):
        return self.most


def passes(device, counts, most):
    """The passes of clips of so many rows each, and the rows of the results."""
    module = Gain().to(device)
    points = [torch.zeros(count, 4, 6, device=device) for count in counts]
    rows = [len(gradients) for gradients in Fitting(module, most).gradients(points)]
    return sorted(module.passes, reverse=True), rows


@pytest.mark.parametrize(
    ("most", "expected"),
    [(500, [13, 13, 12, 12, 1, 1]), (13, [13, 13, 12, 12, 1, 1]), (10, [10] * 5 + [1, 1]), (1, [1] * 52)],
)
def test_a_pass_on_a_cpu_has_rows_of_one_clip(most, expected):
    counts = [50, 1, 1]
    assert passes("cpu", counts, most) == (expected, counts)


@pytest.mark.parametrize(
    ("most", "expected"), [(500, [52]), (51, [51, 1]), (40, [25, 25, 2]), (13, [13, 13, 12, 12, 2])]
)
def test_a_pass_on_another_device_has_as_many_rows_as_fit(most, expected):
    counts = [50, 1, 1]
    assert passes("meta", counts, most) == (expected, counts)


@pytest.mark.parametrize(("most", "at_once"), [(1, 1), (25, 1), (26, 2), (500, 3)])
def test_the_budget_is_for_all_passes_under_way(most, at_once):
    module, before = Gain(), torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        list(Fitting(module, most).gradients([torch.zeros(26, 4, 6)] * 3))
    finally:
        torch.set_num_threads(before)
    assert module.most == at_once


def test_gradients_of_no_clip():
    assert list(SaliencyMap(Gain()).gradients([])) == []


@pytest.fixture(scope="module")
def module():
    torch.manual_seed(0)
    return Autoencoder(n_mels=16, n_frames=32, backbone={"num_heads": 4})


@pytest.mark.parametrize("name", SETTINGS)
def test_maps_are_the_same_to_the_bit_whatever_threads_and_neighbours(name, module):
    x = 10 * torch.randn(3, 16, 32, generator=torch.Generator().manual_seed(2))
    explainer = EXPLAINERS[name](module, **SETTINGS[name])
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        together = explainer.attribute(x)
        torch.set_num_threads(1)
        alone = torch.cat([explainer.attribute(clip) for clip in x.split(1)])
    finally:
        torch.set_num_threads(before)
    assert torch.equal(together, alone)
