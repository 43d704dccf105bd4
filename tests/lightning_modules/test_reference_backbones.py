"""The reference networks: their layers, what they lack, and the windows of the dense one by hand."""

import pytest
import torch
from torch import nn

from explainers import EXPLAINERS
from lightning_modules import Autoencoder, ConfigurationError, MaskedAutoencoder, SkipCAETransformer
from lightning_modules.backbones import BACKBONES, CAE, DenseAutoencoder, SkipCAE
from lightning_modules.backbones.dense import overlap_average

REFERENCES = ["skip_cae", "cae", "dense"]


@pytest.mark.parametrize("name", REFERENCES)
@pytest.mark.parametrize(("n_mels", "n_frames"), [(16, 16), (33, 57), (80, 401)])
def test_keeps_the_shape_of_any_size_that_fits(name, n_mels, n_frames):
    backbone = BACKBONES[name](n_mels, n_frames).eval()
    assert backbone(torch.zeros(2, n_mels, n_frames)).shape == (2, n_mels, n_frames)


@pytest.mark.parametrize("name", REFERENCES)
@pytest.mark.parametrize("objective", [Autoencoder, MaskedAutoencoder])
def test_the_loss_reaches_every_weight_whatever_the_heads(name, objective):
    torch.manual_seed(0)
    module = objective(n_mels=16, n_frames=24, num_heads=7, backbone=name)
    module.setup("fit")  # channels-last memory, which a dense network knows nothing of
    module.training_loss(10 * torch.randn(8, 16, 24)).backward()
    weights = {key: weight for key, weight in module.named_parameters() if weight.ndim > 1}
    assert weights
    assert not [key for key, weight in weights.items() if weight.grad is None or not weight.grad.abs().sum() > 0]


@pytest.mark.parametrize(
    ("name", "message"),
    [("skip_cae", "needs at least 16 mel bands"), ("cae", "needs at least 16 mel bands"), ("dense", "least 5 frames")],
)
def test_inputs_that_are_too_small_are_refused(name, message):
    with pytest.raises(ConfigurationError, match=f"n_frames=4.*{message}"):
        Autoencoder(n_mels=16, n_frames=4, backbone=name)


class Target(nn.Module):
    """A decoder layer that attends to nothing."""

    def forward(self, target, memory):
        return target


def test_skip_cae_is_the_skip_cae_transformer_without_attention():
    torch.manual_seed(0)
    full = SkipCAETransformer(32, 50, num_heads=4).eval()
    full.encoder4.transformer, full.decoder4.transformer = nn.Identity(), Target()
    backbone = SkipCAE(32, 50).eval()
    backbone.load_state_dict(full.state_dict())
    x = torch.randn(2, 32, 50)
    assert torch.equal(backbone(x), full(x))


def test_cae_has_the_same_convolutions_and_nothing_leads_past_its_bottleneck():
    torch.manual_seed(0)
    backbone = CAE(32, 50).eval()
    layers = [
        [(type(layer), layer.weight.shape) for layer in network.modules() if hasattr(layer, "weight")]
        for network in (backbone, SkipCAE(32, 50))
    ]
    convolutional = [layer for layer in layers[1] if layer[0] is not nn.Linear]
    assert sorted(map(str, layers[0])) == sorted(map(str, convolutional))
    x = torch.randn(2, 32, 50)
    latents = []
    backbone.encoder.register_forward_hook(lambda module, inputs, output: latents.append(output) or output * 0)
    reconstructions = backbone(x)
    assert latents[0].shape == (2, 32, 2, 3)
    assert torch.equal(reconstructions[0], reconstructions[1]), "with the latent gone nothing tells the clips apart"


def test_dense_has_the_layers_of_the_baseline():
    layers = list(DenseAutoencoder(n_mels=64, n_frames=20).layers)
    widths = [layer.out_features for layer in layers if isinstance(layer, nn.Linear)]
    assert layers[0].in_features == 320
    assert widths == [128, 128, 128, 128, 8, 128, 128, 128, 128, 320]
    kinds = [type(layer) for layer in layers]
    assert kinds == [nn.Linear, nn.BatchNorm1d, nn.ReLU] * 9 + [nn.Linear]


def test_overlapping_windows_are_averaged():
    windows = torch.tensor([[1.0, 2.0], [4.0, 8.0], [16.0, 32.0]])  # three windows of two frames, one band
    assert overlap_average(windows.view(1, 3, 2, 1)).tolist() == [[[1.0, 3.0, 12.0, 32.0]]]


class AddPosition(nn.Module):
    """Reconstructs a window as itself plus each frame's position in it, plus a hundredth of its band."""

    def forward(self, windows):
        return windows + torch.arange(5.0).repeat_interleave(3) + torch.arange(3.0).repeat(5) / 100


def test_dense_reconstructs_each_frame_as_the_mean_of_its_windows():
    backbone = DenseAutoencoder(n_mels=3, n_frames=8)
    backbone.layers = AddPosition()
    x = torch.randn(2, 3, 8)
    # Frame 0 is first in its only window; frame 1 second of one and first of another; frames 4 and on are last in one.
    positions = torch.tensor([0.0, 0.5, 1.0, 1.5, 2.5, 3.0, 3.5, 4.0])
    bands = torch.tensor([[0.0], [0.01], [0.02]])
    torch.testing.assert_close(backbone(x), x + positions + bands)


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


def test_grad_cam_of_a_network_without_convolutions_is_refused_with_a_way_out():
    module = Autoencoder(n_mels=16, n_frames=24, backbone="dense")
    with pytest.raises(ConfigurationError, match=r"dense has none; .*--attributions\.explainers") as error:
        EXPLAINERS["grad_cam"](module)
    assert "\n" not in str(error.value)
