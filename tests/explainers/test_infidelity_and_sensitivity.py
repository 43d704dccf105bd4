"""Infidelity and maximum sensitivity against hand values."""

import captum.metrics
import pytest
import torch
from torch import nn

from explainers import ErrorMap, Explainer, RandomMap, SaliencyMap
from explainers.base import reproducible
from explainers.sanity import (
    infidelity,
    max_sensitivity,
)


class LinearScore(nn.Module):
    """Its squared errors are w·x + 9 in each cell, so the score is linear in x with gradient w / cells."""

    def __init__(self, weight):
        super().__init__()
        self.weight = nn.Parameter(weight)

    def forward(self, x):
        return x - (self.weight * x + 9).sqrt()


class Constant(Explainer):
    """Always the same map."""

    def __init__(self, module, attribution):
        super().__init__(module)
        self.attribution = attribution

    def _attribute(self, x, reconstruction):
        return self.attribution.expand_as(x)


@pytest.mark.parametrize(
    ("attribution", "expected"),
    [
        ([[1.0, 1.0]], 0.0),  # the gradient, whatever its scale
        ([[-3.0, -3.0]], 0.0),
        ([[1.0, 0.0]], 0.5),  # 1 − cos² of the angle to the gradient
        ([[1.0, -1.0]], 1.0),
        ([[3.0, 4.0]], 1 - 49 / 50),
    ],
)
def test_infidelity_of_a_linear_score(attribution, expected):
    module = LinearScore(torch.tensor([[1.0, 1.0]]))
    x = torch.tensor([[[1.0, -2.0]], [[0.5, 0.5]]])
    maps = torch.tensor(attribution).expand_as(x)
    with torch.inference_mode():
        found = infidelity(Constant(module, maps[0]), x, maps, noise_std=0.1, n_samples=20_000)
    assert found.tolist() == pytest.approx([expected, expected], abs=0.02)
    if expected == 0:
        assert found.max() < 1e-4


def test_infidelity_does_not_depend_on_the_batch_or_on_chunks(module, clips):
    x = clips(3)
    explainer = ErrorMap(module)
    maps = explainer.attribute(x)
    together = infidelity(explainer, x, maps)
    starved = ErrorMap(module, memory_budget=0)
    apart = [infidelity(starved, x[[i]], maps[[i]]) for i in range(3)]
    assert torch.cat(apart).tolist() == pytest.approx(together.tolist(), abs=1e-3)
    assert 0 <= together.min() <= together.max() <= 1
    assert infidelity(explainer, x, maps, seed=1).tolist() != together.tolist()


class Identity(Explainer):
    """The clip is its own map."""

    def _attribute(self, x, reconstruction):
        return x


def test_max_sensitivity_by_hand():
    # Of one cell, the largest relative change is radius / |x|, which many draws come close to.
    x = torch.tensor([[[5.0]], [[-2.0]]])
    with torch.inference_mode():
        found = max_sensitivity(Identity(nn.Identity()), x, x, radius=0.5, n_samples=2000)
    assert found.tolist() == pytest.approx([0.1, 0.25], rel=0.01)
    assert (found <= torch.tensor([0.1, 0.25]) + 1e-6).all()


def test_max_sensitivity_of_constants_and_noise(clips):
    x = clips(2)
    constant = Constant(nn.Identity(), torch.ones(1, 16, 24))
    assert max_sensitivity(constant, x, torch.ones(2, 16, 24)).tolist() == [0, 0]
    random = RandomMap(nn.Identity(), seed=0)
    noise = max_sensitivity(random, x, random.attribute(x))
    assert noise.tolist() == pytest.approx([2**0.5] * 2, rel=0.15)
    assert torch.equal(max_sensitivity(random, x[1:], random.attribute(x[1:])), noise[1:])


def test_max_sensitivity_agrees_with_captum(module, clips):
    x = clips(2)
    explainer = SaliencyMap(module)
    found = max_sensitivity(explainer, x, explainer.attribute(x), seed=7)
    for clip, ours in zip(x.split(1), found, strict=True):
        with reproducible(clip, seed=7):
            captums = captum.metrics.sensitivity_max(
                lambda clips: (explainer.attribute(clips[0]),), clip, perturb_radius=0.1, n_perturb_samples=3
            )
        torch.testing.assert_close(ours, captums[0])
