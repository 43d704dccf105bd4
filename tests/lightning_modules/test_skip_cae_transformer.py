"""The backbone against its layer table, written down once more, and against the published weights."""

import numpy as np
import pytest
import torch
from benchmarks.reference import Network
from torch import nn

from lightning_modules import ConfigurationError, SkipCAETransformer


def plain_reference(n_mels, n_frames, heads):
    """The table of the published model, line by line, with norms that have seen something."""
    network = Network(n_mels, n_frames, heads).eval()
    for norm in (layer for layer in network.modules() if isinstance(layer, nn.BatchNorm2d)):
        norm.running_mean.normal_()
        norm.running_var.uniform_(0.5, 2)
    return network


@pytest.mark.parametrize(("n_frames", "heads"), [(48, 4), (50, 8)])
def test_equals_the_layer_table(n_frames, heads):
    torch.manual_seed(0)
    reference = plain_reference(32, n_frames, heads)
    backbone = SkipCAETransformer.from_reference(reference.state_dict(), 32, n_frames, heads).eval()
    x = 10 * torch.randn(2, 32, n_frames)
    torch.testing.assert_close(backbone(x), reference(x), rtol=1e-5, atol=1e-5)


def test_published_size():
    assert sum(parameter.numel() for parameter in SkipCAETransformer().parameters()) == 7_233_831


@pytest.mark.parametrize(("n_mels", "n_frames", "heads"), [(80, 401, 10), (128, 312, 8), (16, 16, 1), (33, 57, 4)])
def test_keeps_the_shape_of_any_size_that_fits(n_mels, n_frames, heads):
    backbone = SkipCAETransformer(n_mels, n_frames, heads).eval()
    assert backbone(torch.zeros(2, n_mels, n_frames)).shape == (2, n_mels, n_frames)


def test_rejects_heads_that_do_not_fit_and_lists_those_that_do():
    with pytest.raises(ConfigurationError, match=r"num_heads=10 does not divide .* 624 .* one of 1, 2, 3, 4, 6, 8, 12"):
        SkipCAETransformer(128, 312, num_heads=10)
    with pytest.raises(ConfigurationError, match="at least 16 mel bands and 16 frames"):
        SkipCAETransformer(80, 15)


def test_rejects_reference_weights_that_do_not_fit_in_one_line():
    weights = plain_reference(32, 48, 4).state_dict()
    with pytest.raises(ConfigurationError, match=r"no layer of the backbone is called 'conv23\.weight'"):
        SkipCAETransformer.from_reference({**weights, "conv23.weight": torch.zeros(1)}, 32, 48, 4)
    with pytest.raises(ConfigurationError, match="do not fit a 32 × 64 backbone") as error:
        SkipCAETransformer.from_reference(weights, 32, 64, 4)
    assert "\n" not in str(error.value)


def test_agrees_with_the_published_model(golden):
    backbone = SkipCAETransformer.from_reference(golden.weights).eval()
    x = torch.from_numpy(golden.reference["x"])
    with torch.no_grad():
        reconstruction = backbone(x).numpy()
        latent = backbone.encode(x)[0].numpy()
    for ours, name in ((reconstruction, "reconstruction"), (latent, "latent")):
        published = golden.reference[name]
        assert np.abs(ours - published).max() <= 3e-4 * np.abs(published).max(), "on any processor"
    score = ((reconstruction - golden.reference["x"]) ** 2).mean((1, 2))
    np.testing.assert_allclose(score, golden.reference["score"], rtol=1e-5)
