"""The stages of which the Skip-CAE-Transformer and the Skip-CAE are built, and what all backbones share."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from lightning_modules.backbones.layers import BatchNorm, activate, add_padded_, conv, resize, transformer_layer

DEEPEST_CHANNELS = 32
"""Channels of the fourth stage, which are the transformer's tokens."""


def _to_tokens(x: Tensor) -> Tensor:
    """Channels of x (B, C, F, T) as tokens (C, B, F · T), dense in memory, as a transformer's products want them."""
    return x.flatten(2).transpose(0, 1).contiguous()


def _from_tokens(tokens: Tensor, size: tuple[int, ...]) -> Tensor:
    """Tokens (C, B, F · T) as channels (B, C, F, T)."""
    return tokens.transpose(0, 1).unflatten(2, size)


class StemStage(nn.Module):
    """Encoder stage 1: four convolutions, 1 to 4 channels, then pooling."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = conv(1, 2)
        self.conv2 = conv(2, 2)
        self.conv3 = conv(2, 4)
        self.conv4 = conv(4, 4)
        self.norm = BatchNorm(4)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, 1, F, T) to (B, 4, F/2, T/2)."""
        a1 = activate(self.conv1, x)
        a2 = activate(self.conv2, a1)
        a3 = activate(self.conv3, a2 + a1)
        a4 = activate(self.conv4, a3)
        return F.max_pool2d(self.norm(add_padded_(a4 + a3, x)), 2)


class EncoderStage(nn.Module):
    """Encoder stages 2 and 3: two convolutions that double the channels, then pooling."""

    def __init__(self, in_channels: int) -> None:
        super().__init__()
        self.channels = 2 * in_channels
        self.conv1 = conv(in_channels, self.channels)
        self.conv2 = conv(self.channels, self.channels)
        self.norm = BatchNorm(self.channels)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, F, T) to (B, 2C, F/2, T/2)."""
        a = activate(self.conv1, x)
        b = activate(self.conv2, a)
        return F.max_pool2d(self.norm(add_padded_(b + a, x)), 2)


class DeepestEncoderStage(nn.Module):
    """Encoder stage 4; its transformer, if any, takes channels as tokens and their F · T positions as features.

    Args:
        size: Bands F and frames T of the stage's input.
        num_heads: Attention heads; None for neither a transformer nor a linear layer in the skip.
    """

    def __init__(self, size: tuple[int, int], num_heads: int | None) -> None:
        super().__init__()
        self.conv1 = conv(DEEPEST_CHANNELS // 2, DEEPEST_CHANNELS)
        self.conv2 = conv(DEEPEST_CHANNELS, DEEPEST_CHANNELS)
        self.transformer, self.skip = None, None
        if num_heads is not None:
            self.transformer = transformer_layer(nn.TransformerEncoderLayer, size[0] * size[1], num_heads)
            self.skip = nn.Linear(size[1], size[1])
        self.norm = BatchNorm(DEEPEST_CHANNELS)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map (B, 16, F, T) to the latent (B, 32, F/2, T/2) and the tokens (32, B, F · T)."""
        b1 = activate(self.conv1, x)
        b2 = activate(self.conv2, b1)
        tokens, skipped = _to_tokens(b2), add_padded_(b1.clone(), x)
        if self.transformer is not None and self.skip is not None:
            tokens, skipped = self.transformer(tokens), activate(self.skip, skipped.contiguous())
        return F.max_pool2d(self.norm(skipped + _from_tokens(tokens, b2.shape[2:])), 2), tokens


class DeepestDecoderStage(nn.Module):
    """Decoder stage 4: four convolutions, upsampling, and a transformer's attention to the encoder's tokens.

    Args:
        size: Bands F and frames T of the stage's output.
        num_heads: Attention heads, None for no transformer.
    """

    def __init__(self, size: tuple[int, int], num_heads: int | None) -> None:
        super().__init__()
        self.size = size
        self.conv1 = conv(DEEPEST_CHANNELS, 2 * DEEPEST_CHANNELS)
        self.conv2 = conv(2 * DEEPEST_CHANNELS, 2 * DEEPEST_CHANNELS)
        self.conv3 = conv(2 * DEEPEST_CHANNELS, DEEPEST_CHANNELS)
        self.conv4 = conv(DEEPEST_CHANNELS, DEEPEST_CHANNELS)
        self.norm = BatchNorm(DEEPEST_CHANNELS)
        self.upsample = nn.ConvTranspose2d(DEEPEST_CHANNELS, DEEPEST_CHANNELS, kernel_size=2, stride=2)
        self.transformer = (
            None if num_heads is None else transformer_layer(nn.TransformerDecoderLayer, size[0] * size[1], num_heads)
        )

    def forward(self, z: Tensor, memory: Tensor) -> Tensor:
        """Map the latent (B, 32, F/2, T/2) to (B, 32, F, T)."""
        u1 = activate(self.conv1, z)
        u2 = activate(self.conv2, u1)
        u3 = activate(self.conv3, u2 + u1)
        u4 = activate(self.conv4, u3)
        # An odd F or T loses a row to pooling; both sides have to match again.
        v = resize(self.upsample(self.norm(u4 + u3 + z)), self.size)
        return v if self.transformer is None else _from_tokens(self.transformer(_to_tokens(v), memory), self.size)


class DecoderStage(nn.Module):
    """Decoder stages 3 to 1: two convolutions that halve the channels, then upsampling.

    Args:
        in_channels: Channels C of the stage's input.
        skip_frames: Frames T of the input where a linear layer over time is in the skip, None for no such layer.
    """

    def __init__(self, in_channels: int, skip_frames: int | None = None) -> None:
        super().__init__()
        self.channels = in_channels // 2
        self.conv1 = conv(in_channels, self.channels)
        self.conv2 = conv(self.channels, self.channels)
        self.skip = None if skip_frames is None else nn.Linear(skip_frames, skip_frames)
        self.norm = BatchNorm(self.channels)
        self.upsample = nn.ConvTranspose2d(self.channels, self.channels, kernel_size=2, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, F, T) to (B, C/2, 2F, 2T)."""
        c1 = activate(self.conv1, x)
        c2 = activate(self.conv2, c1)
        skipped = c1 + x[:, : self.channels]
        if self.skip is not None:
            skipped = activate(self.skip, skipped.contiguous())
        return self.upsample(self.norm(c2 + skipped))


class Head(nn.Module):
    """Back to one channel at the input's size, without a last activation: dB are signed."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = conv(4, 2)
        self.conv2 = conv(2, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, 4, F, T) to (B, 1, F, T)."""
        return self.conv2(activate(self.conv1, x) + x[:, :2])
