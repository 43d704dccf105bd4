"""The backbone against its layer table, written down once more, and against the published weights."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from lightning_modules import ConfigurationError, SkipCAETransformer

# Layers of the published model: name, input channels, output channels.
CONVOLUTIONS = [(1, 2), (2, 2), (2, 4), (4, 4), (4, 8), (8, 8), (8, 16), (16, 16), (16, 32), (32, 32), (32, 64)]
CONVOLUTIONS += [(64, 64), (64, 32), (32, 32), (32, 16), (16, 16), (16, 8), (8, 8), (8, 4), (4, 4), (4, 2), (2, 1)]
NORMS = [4, 8, 16, 32, 32, 16, 8, 4]
TRANSPOSED = [32, 16, 8, 4]


class PlainReference(nn.Module):
    """The table of the published model, line by line, under the authors' layer names."""

    def __init__(self, n_mels: int, n_frames: int, heads: int) -> None:
        super().__init__()
        for number, (a, b) in enumerate(CONVOLUTIONS, 1):
            setattr(self, f"conv{number}", nn.Conv2d(a, b, 3, padding=1))
        for number, channels in enumerate(NORMS, 1):
            norm = nn.BatchNorm2d(channels)
            norm.running_mean.normal_()
            norm.running_var.uniform_(0.5, 2)
            setattr(self, f"batch{number}", norm)
        for number, channels in enumerate(TRANSPOSED, 1):
            setattr(self, f"conv_trans{number}", nn.ConvTranspose2d(channels, channels, 2, 2))
        time = n_frames // 8
        width = n_mels // 8 * time
        encoder = nn.TransformerEncoderLayer(width, heads, batch_first=True)
        decoder = nn.TransformerDecoderLayer(width, heads, batch_first=True)
        self.transformer_encode = nn.TransformerEncoder(encoder, 1)
        self.transformer_decode = nn.TransformerDecoder(decoder, 1)
        self.weights_skip_encode = nn.Linear(time, time)
        self.weights_skip_decode = nn.Linear(time, time)

    def conv(self, number, x):
        return F.leaky_relu(getattr(self, f"conv{number}")(x), 0.01)

    def forward(self, spectrogram):
        pad = lambda h, n: torch.cat([h, h.new_zeros(len(h), n - h.shape[1], *h.shape[2:])], 1)  # noqa: E731
        x = spectrogram[:, None]
        a1 = self.conv(1, x)
        a2 = self.conv(2, a1)
        a3 = self.conv(3, a2 + a1)
        a4 = self.conv(4, a3)
        s1 = F.max_pool2d(self.batch1(a4 + a3 + pad(x, 4)), 2)
        a5 = self.conv(5, s1)
        a6 = self.conv(6, a5)
        s2 = F.max_pool2d(self.batch2(a6 + a5 + pad(s1, 8)), 2)
        a7 = self.conv(7, s2)
        a8 = self.conv(8, a7)
        s3 = F.max_pool2d(self.batch3(a8 + a7 + pad(s2, 16)), 2)
        b1 = self.conv(9, s3)
        b2 = self.conv(10, b1)
        t = self.transformer_encode(b2.flatten(2))
        skip = F.leaky_relu(self.weights_skip_encode(b1 + pad(s3, 32)), 0.01)
        z = F.max_pool2d(self.batch4(t.view_as(b2) + skip), 2)
        u1 = self.conv(11, z)
        u2 = self.conv(12, u1)
        u3 = self.conv(13, u2 + u1)
        u4 = self.conv(14, u3)
        v = self.conv_trans1(self.batch5(u4 + u3 + z))
        w = self.transformer_decode(v.flatten(2), t).view_as(v)
        c1 = self.conv(15, w)
        c2 = self.conv(16, c1)
        skip = F.leaky_relu(self.weights_skip_decode(c1 + w[:, :16]), 0.01)
        h3 = self.conv_trans2(self.batch6(c2 + skip))
        d1 = self.conv(17, h3)
        d2 = self.conv(18, d1)
        h2 = self.conv_trans3(self.batch7(d2 + d1 + h3[:, :8]))
        e1 = self.conv(19, h2)
        e2 = self.conv(20, e1)
        h1 = self.conv_trans4(self.batch8(e2 + e1 + h2[:, :4]))
        r = F.interpolate(h1, spectrogram.shape[1:], mode="bilinear")
        return self.conv22(self.conv(21, r) + r[:, :2])[:, 0]


@pytest.mark.parametrize(("n_frames", "heads"), [(48, 4), (50, 8)])
def test_equals_the_layer_table(n_frames, heads):
    torch.manual_seed(0)
    reference = PlainReference(32, n_frames, heads).eval()
    backbone = SkipCAETransformer.from_reference(reference.state_dict(), 32, n_frames, heads).eval()
    x = 10 * torch.randn(2, 32, n_frames)
    torch.testing.assert_close(backbone(x), reference(x), rtol=1e-5, atol=1e-5)


def test_published_size():
    assert sum(parameter.numel() for parameter in SkipCAETransformer().parameters()) == 7_233_831


@pytest.mark.parametrize(("n_mels", "n_frames", "heads"), [(80, 401, 10), (128, 312, 8), (16, 16, 1), (33, 57, 4)])
def test_keeps_the_shape_of_any_size_that_fits(n_mels, n_frames, heads):
    backbone = SkipCAETransformer(n_mels, n_frames, heads).eval()
    assert backbone(torch.zeros(2, n_mels, n_frames)).shape == (2, n_mels, n_frames)


def test_heads_that_do_not_fit_are_refused_with_those_that_do():
    with pytest.raises(ConfigurationError, match=r"num_heads=10 does not divide .* 624 .* one of 1, 2, 3, 4, 6, 8, 12"):
        SkipCAETransformer(128, 312, num_heads=10)
    with pytest.raises(ConfigurationError, match="at least 16 mel bands and 16 frames"):
        SkipCAETransformer(80, 15)


def test_reference_weights_that_do_not_fit_are_refused_in_one_line():
    weights = PlainReference(32, 48, 4).state_dict()
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
        assert np.abs(ours - published).max() <= 1e-4 * np.abs(published).max()
    score = ((reconstruction - golden.reference["x"]) ** 2).mean((1, 2))
    np.testing.assert_allclose(score, golden.reference["score"], rtol=1e-5)
