"""Reference networks without skips, as published: a convolutional and a dense autoencoder."""

from __future__ import annotations

from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn

from lightning_modules.backbones.layers import conv, require_size, resize, use_channels_last

# Channels before, between and after the convolutions of each stage.
_ENCODER = ((1, 2, 2, 4, 4), (4, 8, 8), (8, 16, 16), (16, 32, 32))
_DECODER = ((32, 64, 64, 32, 32), (32, 16, 16), (16, 8, 8), (8, 4, 4), (4, 2, 1))
_WIDTHS = (128, 128, 128, 128, 8, 128, 128, 128, 128)


class CAE(nn.Module):
    """Convolutional autoencoder (Duman et al., 2019), the CAE of the paper's detection table.

    Ten 3 × 3 convolutions down to a bottleneck of F/16 × T/16 and twelve back, ReLU after each but the last; max
    pooling after each stage of the encoder, bilinear upsampling after each of the decoder but the last.

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
        require_size("CAE", n_mels, n_frames)
        self.input_size = (n_mels, n_frames)
        self.encoder = nn.ModuleList(_convolutions(stage) for stage in _ENCODER)
        self.decoder = nn.ModuleList(_convolutions(stage) for stage in _DECODER[:-1])
        self.head = _convolutions(_DECODER[-1])[:-1]  # dB are signed
        use_channels_last(self)

    @property
    def cam_layer(self) -> nn.Module:
        """The encoder's last convolution, whose (B, 32, F/8, T/8) activations Grad-CAM weighs."""
        return [layer for layer in self.encoder.modules() if isinstance(layer, nn.Conv2d)][-1]

    def forward(self, x: Tensor) -> Tensor:
        """Reconstruct spectrograms (B, F, T) in dB; the result has the same shape."""
        h = x.unsqueeze(1)
        for stage in self.encoder:
            h = F.max_pool2d(stage(h), 2)
        for position, stage in enumerate(self.decoder, start=1):
            # The last upsampling is to the input's size, of which poolings may have lost a row.
            is_last = position == len(self.decoder)
            h = resize(stage(h), self.input_size if is_last else (2 * h.shape[2], 2 * h.shape[3]))
        return self.head(h).squeeze(1)


class DenseAutoencoder(nn.Module):
    """Dense autoencoder of the DCASE 2020 Task 2 baseline (Koizumi et al., 2020), as in the paper's detection table.

    The whole clip is one vector of F · T values, which goes through 128-128-128-128-8-128-128-128-128 units. One batch
    norm is shared by all layers of 128 units. ReLU comes after every layer, the last one included, so that no
    level below 0 dB can be reconstructed.

    Args:
        n_mels: Mel bands F of the input.
        n_frames: Frames T of the input.

    Example:
        >>> import torch
        >>> DenseAutoencoder(n_mels=32, n_frames=48)(torch.zeros(2, 32, 48)).shape
        torch.Size([2, 32, 48])
    """

    def __init__(self, n_mels: int = 80, n_frames: int = 400) -> None:
        super().__init__()
        size = n_mels * n_frames
        self.layers = nn.ModuleList(nn.Linear(*widths) for widths in pairwise((size, *_WIDTHS, size)))
        self.norm = nn.BatchNorm1d(128)

    def forward(self, x: Tensor) -> Tensor:
        """Reconstruct spectrograms (B, F, T) in dB; the result has the same shape and is nowhere negative."""
        h = x.flatten(1)
        for layer in self.layers:
            h = layer(h)
            if h.shape[1] == self.norm.num_features:
                h = self.norm(h)
            h = F.relu(h)
        return h.view(x.shape)


def _convolutions(channels: tuple[int, ...]) -> nn.Sequential:
    return nn.Sequential(*(layer for pair in pairwise(channels) for layer in (conv(*pair), nn.ReLU())))
