"""A convolutional autoencoder without skips or attention."""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn

from lightning_modules.backbones.stages import NEGATIVE_SLOPE, conv, lay_channels_last, require_room_to_pool, resize

# Channels before, between and after the convolutions of each stage.
_ENCODER = ((1, 2, 2, 4, 4), (4, 8, 8), (8, 16, 16), (16, 32, 32))
_DECODER = ((32, 64, 64, 32, 32), (32, 16, 16), (16, 8, 8), (8, 4, 4))


class CAE(nn.Module):
    """Convolutional autoencoder (CAE): a chain of convolutions down to a bottleneck of F/16 × T/16 and back.

    Stands for the published CAE that the paper's reference [5] compares with (Duman et al., 2019), of whose layers
    the paper gives none: this is not a reproduction of them. It is the Skip-CAE with everything taken out that leads
    past a convolution, so that `cae`, `skip_cae` and `skip_cae_transformer` differ by skips, then by attention.

    Args:
        n_mels: Mel bands F of the input, at least 16.
        n_frames: Frames T of the input, at least 16.

    Raises:
        ConfigurationError: If the input is too small.

    Example:
        >>> import torch
        >>> CAE(n_mels=32, n_frames=48)(torch.zeros(2, 32, 48)).shape
        torch.Size([2, 32, 48])
    """

    def __init__(self, n_mels: int = 80, n_frames: int = 400) -> None:
        super().__init__()
        require_room_to_pool("the CAE", n_mels, n_frames)
        self.input_size = (n_mels, n_frames)
        self.encoder = nn.Sequential(*(nn.Sequential(*_convolutions(stage), nn.MaxPool2d(2)) for stage in _ENCODER))
        self.decoder = nn.Sequential(*(nn.Sequential(*_convolutions(stage), _upsample(stage)) for stage in _DECODER))
        self.head = nn.Sequential(conv(4, 2), nn.LeakyReLU(NEGATIVE_SLOPE), conv(2, 1))
        lay_channels_last(self)

    @property
    def cam_layer(self) -> nn.Module:
        """The encoder's last convolution, whose (B, 32, F/8, T/8) activations Grad-CAM weighs."""
        return [layer for layer in self.encoder.modules() if isinstance(layer, nn.Conv2d)][-1]

    def forward(self, x: Tensor) -> Tensor:
        """Reconstruct spectrograms (B, F, T) in dB; the result has the same shape."""
        h = self.decoder(self.encoder(x.unsqueeze(1)))
        # Poolings of odd sizes lost bands and frames.
        return self.head(resize(h, self.input_size)).squeeze(1)


def _convolutions(channels: tuple[int, ...]) -> list[nn.Module]:
    """Convolutions with their activations, then a norm."""
    layers = [layer for pair in pairwise(channels) for layer in (conv(*pair), nn.LeakyReLU(NEGATIVE_SLOPE))]
    return [*layers, nn.BatchNorm2d(channels[-1])]


def _upsample(channels: tuple[int, ...]) -> nn.Module:
    """Twice the bands and frames."""
    return nn.ConvTranspose2d(channels[-1], channels[-1], kernel_size=2, stride=2)
