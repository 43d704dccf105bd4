"""Explainers on networks whose attributions can be worked out by hand, and against published maps."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from explainers import EXPLAINERS, ErrorMap, GradCAM, GradientSHAPMap, IntegratedGradientsMap, SaliencyMap, SmoothGrad
from lightning_modules import Autoencoder, ConfigurationError, SkipCAETransformer


class Gain(nn.Module):
    """Reconstructs g·x, so a clip's score is the mean of (g − 1)²·x² and its gradient 2·(g − 1)²·x / cells."""

    def __init__(self, gain=3.0):
        super().__init__()
        self.gain = nn.Parameter(torch.tensor(gain))
        self.dropout = nn.Dropout(0.5)

    def forward(self, x):
        return self.dropout(self.gain * x)


@pytest.fixture
def x():
    return 5 * torch.randn(3, 4, 6, generator=torch.Generator().manual_seed(0))


CELLS = 24
SQUARE = (3.0 - 1) ** 2


def test_error_map(x):
    torch.testing.assert_close(ErrorMap(Gain()).attribute(x), SQUARE * x**2)
    reconstruction = x + 2
    torch.testing.assert_close(ErrorMap(Gain()).attribute(x, reconstruction), torch.full_like(x, 4))


def test_saliency(x):
    torch.testing.assert_close(SaliencyMap(Gain()).attribute(x), (2 * SQUARE * x / CELLS).abs())


def test_smoothgrad_averages_absolute_gradients_of_noisy_copies():
    # At x = 0 the mean of |2c·n/cells| over Gaussian noise n is 2c·σ·√(2/π)/cells; far from 0 the noise cancels.
    x = torch.zeros(1, 4, 6)
    x[0, 0, 0] = 1000.0
    noise_std = 0.5
    attribution = SmoothGrad(Gain(), n_samples=4000, noise_std=noise_std).attribute(x)
    slope = 2 * SQUARE / CELLS
    assert attribution[0, 0, 0] == pytest.approx(slope * 1000, rel=1e-3)
    expected = slope * noise_std * (2 / torch.pi) ** 0.5
    assert attribution[0, 1:].mean().item() == pytest.approx(expected, rel=0.02)


def test_integrated_gradients_are_exact_for_a_quadratic(x):
    explainer = IntegratedGradientsMap(Gain(), n_steps=4)
    # ∫₀¹ 2c·αx·x dα = c·x², so the map sums to the score and the quadrature leaves no delta.
    torch.testing.assert_close(explainer.attribute(x), SQUARE * x**2 / CELLS)
    torch.testing.assert_close(explainer.convergence_delta, torch.zeros(3), atol=1e-4, rtol=0)
    shifted = IntegratedGradientsMap(Gain(), n_steps=4, baseline=2.0).attribute(x)
    torch.testing.assert_close(shifted, SQUARE * (x**2 - 4) / CELLS, atol=1e-4, rtol=0)


def test_gradient_shap_expects_the_same_as_integrated_gradients(x):
    # With next to no noise its mean over α ~ U(0, 1) is c·x²; 20,000 draws leave about 1 % of error.
    attribution = GradientSHAPMap(Gain(), n_samples=20_000, noise_std=1e-6).attribute(x)
    torch.testing.assert_close(attribution, SQUARE * x**2 / CELLS, rtol=0.02, atol=1e-4)


class OneConvolution(nn.Module):
    """Doubles the input in a 1 × 1 convolution, pools it, and reconstructs by repetition."""

    def __init__(self):
        super().__init__()
        self.convolution = nn.Conv2d(1, 1, 1, bias=False)
        nn.init.constant_(self.convolution.weight, 2.0)

    def forward(self, x):
        pooled = self.convolution(nn.functional.avg_pool2d(x[:, None], 2))
        return pooled.repeat_interleave(2, 2).repeat_interleave(2, 3)[:, 0]


def test_grad_cam_by_hand():
    x = torch.tensor([[[1.0, 1.0, -3.0, -3.0], [1.0, 1.0, -3.0, -3.0]]])
    attribution = GradCAM(OneConvolution(), layer="convolution").attribute(x)
    # Activations are (2, −6). Each feeds 4 of 8 cells: d score / d activation = 2·(a − x)·4/8 = (1, −3), mean −1.
    # Grad-CAM: −1 · (2, −6), bilinearly resized from 1 × 2 to 2 × 4 (weights 1, ¾|¼, ¼|¾, 1).
    expected = torch.tensor([-2.0, -2 * 0.75 + 6 * 0.25, -2 * 0.25 + 6 * 0.75, 6.0]).expand(1, 2, 4)
    torch.testing.assert_close(attribution, expected)


def test_grad_cam_explains_a_layer_whose_output_is_overwritten():
    class Rectified(OneConvolution):
        def __init__(self, inplace):
            super().__init__()
            self.act = nn.ReLU(inplace)

        def forward(self, x):
            pooled = self.act(self.convolution(nn.functional.avg_pool2d(x[:, None], 2)))
            return pooled.repeat_interleave(2, 2).repeat_interleave(2, 3)[:, 0]

    x = torch.tensor([[[1.0, 1.0, -3.0, -3.0], [1.0, 1.0, -3.0, -3.0]]])
    found, expected = (GradCAM(Rectified(inplace), layer="convolution").attribute(x) for inplace in (True, False))
    assert expected.any()
    torch.testing.assert_close(found, expected)


def test_grad_cam_names_the_layers_there_are():
    with pytest.raises(ConfigurationError, match=r"layer='nope' is not in OneConvolution; .* convolution"):
        GradCAM(OneConvolution(), layer="nope")


SMALL = {
    "smoothgrad": {"n_samples": 5},
    "gradient_shap": {"n_samples": 5},
    "integrated_gradients": {"n_steps": 6},
}


@pytest.fixture(scope="module")
def module():
    torch.manual_seed(0)
    return Autoencoder(n_mels=16, n_frames=32, backbone={"num_heads": 4})


@pytest.mark.parametrize("name", EXPLAINERS)
def test_a_map_does_not_depend_on_its_batch_or_the_memory_budget(name, module):
    # In float64, since passes of other sizes round differently, and in float32 that flips kinks of the network.
    x = 10 * torch.randn(3, 16, 32, generator=torch.Generator().manual_seed(2)).double()
    settings, module = SMALL.get(name, {}), copy.deepcopy(module).double()
    together = EXPLAINERS[name](module, **settings).attribute(x)
    starved = EXPLAINERS[name](module, memory_budget=0, **settings)
    apart = torch.cat([starved.attribute(clip) for clip in x.split(1)])
    assert together.shape == x.shape
    assert (together - apart).abs().max() <= 1e-4 * together.abs().max()


@pytest.mark.parametrize("name", EXPLAINERS)
def test_leaves_everything_as_it_was(name, module):
    module.train()
    module.backbone.encoder1.eval()
    module.backbone.head.conv1.weight.requires_grad_(False)
    before = {key: value.clone() for key, value in module.state_dict().items()}
    modes = [child.training for child in module.modules()]
    trainable = [parameter.requires_grad for parameter in module.parameters()]
    torch.manual_seed(4)
    np.random.seed(4)
    expected_torch, expected_numpy = torch.rand(1), np.random.rand()
    torch.manual_seed(4)
    np.random.seed(4)
    x = 10 * torch.randn(2, 16, 32, generator=torch.Generator().manual_seed(2))
    given = x.clone()
    with torch.inference_mode():
        attribution = EXPLAINERS[name](module, **SMALL.get(name, {})).attribute(x)
    assert torch.rand(1) == expected_torch
    assert np.random.rand() == expected_numpy
    assert not attribution.requires_grad
    assert torch.equal(x, given)
    assert not x.requires_grad
    assert [child.training for child in module.modules()] == modes
    assert [parameter.requires_grad for parameter in module.parameters()] == trainable
    assert all(parameter.grad is None for parameter in module.parameters())
    assert not any(child._forward_hooks or child._backward_hooks for child in module.modules())
    assert all(torch.equal(before[key], value) for key, value in module.state_dict().items())
    module.backbone.head.conv1.weight.requires_grad_(True)


@pytest.mark.parametrize("name", ["error_map", "saliency", "integrated_gradients", "grad_cam"])
def test_deterministic_maps_agree_with_the_published_code(name, golden):
    module = Autoencoder()
    module.backbone = SkipCAETransformer.from_reference(golden.weights)
    published = golden.reference[f"map_{name}"]
    ours = EXPLAINERS[name](module).attribute(torch.from_numpy(golden.reference["x"])).numpy()
    difference = np.abs(ours - published) / np.abs(published).max()
    if name == "integrated_gradients":
        # Kinks of the network flip with the processor's rounding, in the published code too.
        assert difference.max() <= 1e-3
        assert (difference <= 1e-4).mean() >= 0.999
        curve = golden.reference[f"curve_{name}"]
        assert np.abs(ours.sum(1) - curve).max() <= 1e-4 * np.abs(curve).max()
    else:
        assert difference.max() <= 3e-4


@pytest.mark.parametrize("name", ["smoothgrad", "gradient_shap"])
def test_random_maps_agree_with_the_published_code_within_their_spread(name, golden):
    module = Autoencoder()
    module.backbone = SkipCAETransformer.from_reference(golden.weights)
    # The published code averages the score over the 25 noisy copies as well, which scales its maps by 1/25.
    published, spread = 25 * golden.reference[f"map_{name}"][:1], 25 * golden.reference[f"{name}_std"][:1]
    ours = EXPLAINERS[name](module).attribute(torch.from_numpy(golden.reference["x"][:1])).numpy()
    # One draw of the published code lies about one spread off, over the whole map at once for GradSHAP, whose
    # cells share their random points.
    assert 0.3 < np.median(np.abs(ours - published) / spread) < 2


@pytest.mark.parametrize(
    ("explainer", "settings", "message"),
    [
        (SmoothGrad, {"n_samples": 0}, "n_samples=0"),
        (GradientSHAPMap, {"n_samples": 2.5}, "n_samples=2.5"),
        (IntegratedGradientsMap, {"n_steps": -3}, "n_steps=-3"),
    ],
)
def test_rejects_non_positive_sample_counts(explainer, settings, message):
    with pytest.raises(ConfigurationError, match=f"{message} is not a positive whole number"):
        explainer(Gain(), **settings)


@pytest.mark.parametrize("shape", [(4, 6), (0, 4, 6), (1, 1, 4, 6)])
def test_rejects_what_is_not_a_batch_of_spectrograms(shape):
    with pytest.raises(ValueError, match="not a batch of spectrograms"):
        SaliencyMap(Gain()).attribute(torch.zeros(shape))
