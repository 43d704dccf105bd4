"""The reference networks against the published description, and how a backbone is chosen."""

from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from explainers import EXPLAINERS
from lightning_modules import Autoencoder, ConfigurationError, MaskedAutoencoder
from lightning_modules.backbones import BACKBONES, CAE, DenseAutoencoder, SkipCAE, build_backbone, describe_backbone
from lightning_modules.backbones.layers import BatchNorm

REFERENCES = ["skip_cae", "cae", "dense"]


def trained(network):
    """The network in eval mode, with norms that have seen something."""
    for norm in (layer for layer in network.modules() if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d)):
        norm.running_mean.normal_()
        norm.running_var.uniform_(0.5, 2)
        nn.init.normal_(norm.weight, 1, 0.2)
        nn.init.normal_(norm.bias)
    return network.eval()


def convolutions(network):
    return [layer for layer in network.modules() if isinstance(layer, nn.Conv2d)]


@pytest.mark.parametrize("name", REFERENCES)
@pytest.mark.parametrize(("n_mels", "n_frames"), [(16, 16), (33, 57), (80, 401)])
def test_keeps_the_shape_of_any_size_that_fits(name, n_mels, n_frames):
    backbone = BACKBONES[name](n_mels, n_frames).eval()
    assert backbone(torch.zeros(2, n_mels, n_frames)).shape == (2, n_mels, n_frames)


@pytest.mark.parametrize("name", REFERENCES)
@pytest.mark.parametrize("objective", [Autoencoder, MaskedAutoencoder])
def test_the_loss_reaches_every_weight(name, objective):
    torch.manual_seed(0)
    module = objective(n_mels=16, n_frames=24, backbone=name)
    module.training_loss(10 * torch.randn(8, 16, 24)).backward()
    weights = {key: weight for key, weight in module.named_parameters() if weight.ndim > 1}
    assert weights
    assert not [key for key, weight in weights.items() if weight.grad is None or not weight.grad.abs().sum() > 0]


@pytest.mark.parametrize("name", ["skip_cae", "cae"])
def test_rejects_inputs_that_are_too_small(name):
    with pytest.raises(ConfigurationError, match=r"n_frames=4.*needs at least 16 mel bands"):
        Autoencoder(n_mels=16, n_frames=4, backbone=name)


def test_cae_as_published():
    torch.manual_seed(0)
    x = 10 * torch.randn(2, 32, 49)  # pooled to 24, 12, 6, 3 frames, of which three upsamplings make 24
    network = CAE(32, 49).eval()
    conv = iter(convolutions(network))

    def stage(h, n):
        for _ in range(n):
            h = F.relu(next(conv)(h))
        return h

    h = x[:, None]
    for n in (4, 2, 2, 2):
        h = F.max_pool2d(stage(h, n), 2)
    assert h.shape == (2, 32, 2, 3)
    for n in (4, 2, 2):
        h = F.interpolate(stage(h, n), scale_factor=2, mode="bilinear")
    h = F.interpolate(stage(h, 2), (32, 49), mode="bilinear")
    h = stage(h, 1)
    h = next(conv)(h)
    assert next(conv, None) is None, "ten and twelve convolutions"
    torch.testing.assert_close(network(x), h[:, 0])
    assert {type(layer) for layer in network.modules() if list(layer.parameters(recurse=False))} == {nn.Conv2d}


def test_skip_cae_as_published():
    torch.manual_seed(0)
    x = 10 * torch.randn(2, 32, 49)
    network = trained(SkipCAE(32, 49))
    conv = iter(convolutions(network))
    norm = iter([layer for layer in network.modules() if isinstance(layer, nn.BatchNorm2d)])
    upsample = iter([layer for layer in network.modules() if isinstance(layer, nn.ConvTranspose2d)])

    def act():
        layer = next(conv)
        return lambda h: F.leaky_relu(layer(h), 0.01)

    def pad(h, channels):
        return torch.cat([h, torch.zeros(len(h), channels - h.shape[1], *h.shape[2:])], dim=1)

    h = x[:, None]
    a1 = act()(h)
    a2 = act()(a1)
    a3 = act()(a2 + a1)
    a4 = act()(a3)
    h = F.max_pool2d(next(norm)(a4 + a3 + pad(h, 4)), 2)
    for channels in (8, 16, 32):
        a = act()(h)
        b = act()(a)
        h = F.max_pool2d(next(norm)(b + a + pad(h, channels)), 2)
    u1 = act()(h)
    u2 = act()(u1)
    u3 = act()(u2 + u1)
    u4 = act()(u3)
    h = F.interpolate(next(upsample)(next(norm)(u4 + u3 + h)), (4, 6), mode="bilinear")
    for channels in (16, 8, 4):
        c = act()(h)
        d = act()(c)
        h = next(upsample)(next(norm)(d + c + h[:, :channels]))
    h = F.interpolate(h, (32, 49), mode="bilinear")
    h = act()(h) + h[:, :2]
    h = next(conv)(h)
    torch.testing.assert_close(network(x), h[:, 0], rtol=1e-5, atol=1e-4)
    layers = {type(layer) for layer in network.modules() if list(layer.parameters(recurse=False))}
    assert layers == {nn.Conv2d, nn.ConvTranspose2d, BatchNorm}, "no transformer, no linear layer over time"


def test_dense_as_published():
    torch.manual_seed(0)
    x = 10 * torch.randn(3, 8, 10)
    network = trained(DenseAutoencoder(8, 10))
    weights = [layer for layer in network.modules() if isinstance(layer, nn.Linear)]
    assert [layer.out_features for layer in weights] == [128, 128, 128, 128, 8, 128, 128, 128, 128, 80]
    (norm,) = [layer for layer in network.modules() if isinstance(layer, nn.BatchNorm1d)]
    h = x.reshape(3, 80)
    for position, layer in enumerate(weights):
        h = h @ layer.weight.T + layer.bias
        if position not in (4, 9):  # one norm for eight layers of 128
            h = (h - norm.running_mean) / (norm.running_var + 1e-5).sqrt() * norm.weight + norm.bias
        h = h.clamp_min(0)
    torch.testing.assert_close(network(x), h.view(3, 8, 10))
    assert (network(x) >= 0).all(), "ReLU after the last layer too"


def test_published_sizes():
    parameters = {name: sum(p.numel() for p in BACKBONES[name](80, 401).parameters()) for name in REFERENCES}
    hidden = 6 * (128 * 128 + 128) + (128 * 8 + 8) + (8 * 128 + 128) + 2 * 128
    assert parameters["dense"] == 80 * 401 * 128 * 2 + 128 + 80 * 401 + hidden
    widths = [1, 2, 2, 4, 4, 8, 8, 16, 16, 32, 32, 64, 64, 32, 32, 16, 16, 8, 8, 4, 4, 2, 1]
    assert parameters["cae"] == sum(9 * a * b + b for a, b in pairwise(widths))


@pytest.mark.parametrize("name", ["skip_cae", "cae"])
def test_grad_cam_explains_the_last_convolution_of_the_encoder(name):
    torch.manual_seed(0)
    module = Autoencoder(n_mels=16, n_frames=48, backbone=name)
    shapes = []
    module.cam_layer.register_forward_hook(lambda layer, inputs, output: shapes.append(output.shape))
    maps = EXPLAINERS["grad_cam"](module).attribute(torch.randn(2, 16, 48))
    assert shapes[0][1:] == (32, 2, 6)
    assert maps.shape == (2, 16, 48)
    assert (maps != 0).any()


class OneLayer(nn.Module):
    """A backbone of someone else's, with a convolution and an argument of its own."""

    def __init__(self, n_mels, n_frames, width=3):
        super().__init__()
        self.layer = nn.Conv1d(n_mels, n_mels, width, padding="same")
        self.plane = nn.Conv2d(1, 1, 1)

    def forward(self, x):
        return self.plane(self.layer(x)[:, None])[:, 0]


class Failing(nn.Module):
    """A backbone that can't be built."""

    def __init__(self, n_mels, n_frames):
        raise ValueError("my own error")


class WithoutParameters(nn.Module):
    """A backbone that can't learn."""

    def __init__(self, n_mels, n_frames):
        super().__init__()

    def forward(self, x):
        return x


class Shorter(nn.Module):
    """A backbone that loses the last frame."""

    def __init__(self, n_mels, n_frames):
        super().__init__()

    def forward(self, x):
        return x[..., :-1]


def test_grad_cam_says_what_is_missing():
    dense = EXPLAINERS["grad_cam"](Autoencoder(n_mels=16, n_frames=24, backbone="dense"))
    assert dense.obstacle() == "needs a convolution, and DenseAutoencoder has none"
    with pytest.raises(ConfigurationError, match="GradCAM needs a convolution, and DenseAutoencoder has none"):
        dense.attribute(torch.randn(2, 16, 24))
    module = Autoencoder(n_mels=4, n_frames=5, backbone=f"{__name__}.OneLayer")
    unnamed = EXPLAINERS["grad_cam"](module).obstacle()
    assert unnamed == "needs a layer, and OneLayer has no cam_layer; set its layer to one of backbone.plane"
    with pytest.raises(ConfigurationError, match=r"layer='conv' is not in OneLayer; set it to one of"):
        EXPLAINERS["grad_cam"](module, layer="conv")
    chosen = EXPLAINERS["grad_cam"](module, layer="backbone.plane")
    assert chosen.obstacle() == ""
    chosen.attribute(torch.randn(2, 4, 5))


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        ("skip_cae", "SkipCAE()"),
        ("SkipCAE", "SkipCAE()"),
        ("lightning_modules.backbones.SkipCAE", "SkipCAE()"),
        ("skip_cae_transformer", "SkipCAETransformer(num_heads=10)"),
        ({"num_heads": 2}, "SkipCAETransformer(num_heads=2)"),
        ({"class_path": f"{__name__}.OneLayer", "init_args": {"width": 5}}, "OneLayer(width=5)"),
        ({"class_path": f"{__name__}.OneLayer", "width": 5}, "OneLayer(width=5)"),
    ],
)
def test_a_backbone_is_chosen_by_name_or_class_path(chosen, expected):
    assert describe_backbone(chosen) == expected
    backbone = build_backbone(chosen, n_mels=16, n_frames=40)
    assert type(backbone).__name__ == expected.partition("(")[0]
    if "width" in expected:
        assert backbone.layer.kernel_size == (5,)


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        ("resnet", "backbone='resnet' does not exist; choose one of skip_cae_transformer, .* or a class path"),
        ("no.such.Net", r"backbone='no\.such\.Net' can't be imported: there is no module no"),
        ("lightning_modules.Net", "does not exist: lightning_modules .* contains no Net"),
        ("pathlib.Path", r"backbone='pathlib\.Path' is not a subclass of torch\.nn\.\S*Module"),
        ({"class_path": "cae", "init_args": {"num_heads": 3}}, "CAE has no argument 'num_heads'; it has none"),
        ({"heads": 3}, "SkipCAETransformer has no argument 'heads'; it has num_heads"),
        ({"n_mels": 3}, "no argument 'n_mels'"),
        ({"num_heads": "ten"}, "SkipCAETransformer: num_heads is 'ten'; it must be a whole number"),
        ({"num_heads": True}, "num_heads is True; it must be a whole number"),
        (f"{__name__}.Failing", r"Failing fails with n_mels=16, n_frames=24: my own error \(test_.*\.py, line \d+\)"),
        (f"{__name__}.Shorter", r"Shorter fails with .* shape \(2, 16, 24\) is \(2, 16, 23\), but it must"),
        (f"{__name__}.WithoutParameters", "WithoutParameters fails with n_mels.*: it has no parameters to train"),
        ("torch.nn.ReLU", "backbone ReLU has to take n_mels and n_frames"),
        ({"class_path": "cae", "init_args": [3]}, r"init_args of backbone is \[3\]"),
        *((value, "backbone is .*; it must be one of skip_cae_transformer") for value in (None, nn.ReLU, nn.ReLU())),
    ],
)
def test_rejects_a_wrong_backbone_in_one_line(chosen, message):
    with pytest.raises(ConfigurationError, match=message) as error:
        Autoencoder(n_mels=16, n_frames=24, backbone=chosen)
    assert "\n" not in str(error.value)
