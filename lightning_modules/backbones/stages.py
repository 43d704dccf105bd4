"""The stages of which the Skip-CAE-Transformer and the Skip-CAE are built, and what all backbones share."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lightning_modules.errors import ConfigurationError

DEEPEST_CHANNELS = 32
"""Channels of the fourth stage, which are the transformer's tokens."""


def require_size(network: str, n_mels: int, n_frames: int) -> None:
    """Raise a ConfigurationError if four poolings leave nothing of an input, as a side is below 16."""
    if min(n_mels, n_frames) < 16:
        raise ConfigurationError(
            f"n_mels={n_mels}, n_frames={n_frames}: {network} needs at least 16 mel bands and 16 frames"
        )


def conv(in_channels: int, out_channels: int) -> nn.Conv2d:
    """A 3 × 3 convolution that keeps the size."""
    return nn.Conv2d(in_channels, out_channels, kernel_size=3, padding=1)


def resize(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Bilinear resize of x (B, C, F, T) to `size`, which costs nothing where the size is right already."""
    return x if x.shape[-2:] == size else F.interpolate(x, size, mode="bilinear", align_corners=False)


def use_channels_last(network: nn.Module) -> None:
    """Choose the memory layout in which convolutions of so few channels run about twice as fast on a CPU."""
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def _act(x: Tensor) -> Tensor:
    return F.leaky_relu(x, 0.01)


def _pad_channels(x: Tensor, channels: int) -> Tensor:
    """Append zero channels to x (B, C, F, T) up to `channels`."""
    return F.pad(x, (0, 0, 0, 0, 0, channels - x.shape[1]))


def _tokens(x: Tensor) -> Tensor:
    """Channels of x (B, C, F, T) as tokens (B, C, F · T), dense in memory.

    A view of channels-last memory would turn a batch's matrix product by the weights into one product per clip.
    """
    return x.flatten(2).contiguous()


class StemStage(nn.Module):
    """Encoder stage 1: four convolutions, 1 to 4 channels, then pooling."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = conv(1, 2)
        self.conv2 = conv(2, 2)
        self.conv3 = conv(2, 4)
        self.conv4 = conv(4, 4)
        self.norm = nn.BatchNorm2d(4)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, 1, F, T) to (B, 4, F/2, T/2)."""
        a1 = _act(self.conv1(x))
        a2 = _act(self.conv2(a1))
        a3 = _act(self.conv3(a2 + a1))
        a4 = _act(self.conv4(a3))
        return F.max_pool2d(self.norm(a4 + a3 + _pad_channels(x, 4)), 2)


class EncoderStage(nn.Module):
    """Encoder stages 2 and 3: two convolutions that double the channels, then pooling."""

    def __init__(self, in_channels: int) -> None:
        super().__init__()
        self.channels = 2 * in_channels
        self.conv1 = conv(in_channels, self.channels)
        self.conv2 = conv(self.channels, self.channels)
        self.norm = nn.BatchNorm2d(self.channels)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, F, T) to (B, 2C, F/2, T/2)."""
        a = _act(self.conv1(x))
        b = _act(self.conv2(a))
        return F.max_pool2d(self.norm(b + a + _pad_channels(x, self.channels)), 2)


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
            self.transformer = nn.TransformerEncoderLayer(size[0] * size[1], num_heads, batch_first=True)
            self.skip = nn.Linear(size[1], size[1])
        self.norm = nn.BatchNorm2d(DEEPEST_CHANNELS)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map (B, 16, F, T) to the latent (B, 32, F/2, T/2) and the tokens (B, 32, F · T)."""
        b1 = _act(self.conv1(x))
        b2 = _act(self.conv2(b1))
        tokens, skipped = _tokens(b2), b1 + _pad_channels(x, DEEPEST_CHANNELS)
        if self.transformer is not None and self.skip is not None:
            tokens, skipped = self.transformer(tokens), _act(self.skip(skipped))
        return F.max_pool2d(self.norm(tokens.reshape(b2.shape) + skipped), 2), tokens


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
        self.norm = nn.BatchNorm2d(DEEPEST_CHANNELS)
        self.upsample = nn.ConvTranspose2d(DEEPEST_CHANNELS, DEEPEST_CHANNELS, kernel_size=2, stride=2)
        self.transformer = (
            None if num_heads is None else nn.TransformerDecoderLayer(size[0] * size[1], num_heads, batch_first=True)
        )

    def forward(self, z: Tensor, memory: Tensor) -> Tensor:
        """Map the latent (B, 32, F/2, T/2) to (B, 32, F, T)."""
        u1 = _act(self.conv1(z))
        u2 = _act(self.conv2(u1))
        u3 = _act(self.conv3(u2 + u1))
        u4 = _act(self.conv4(u3))
        # An odd F or T loses a row to pooling; both sides have to match again.
        v = resize(self.upsample(self.norm(u4 + u3 + z)), self.size)
        return v if self.transformer is None else self.transformer(_tokens(v), memory).reshape(v.shape)


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
        self.norm = nn.BatchNorm2d(self.channels)
        self.upsample = nn.ConvTranspose2d(self.channels, self.channels, kernel_size=2, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, F, T) to (B, C/2, 2F, 2T)."""
        c1 = _act(self.conv1(x))
        c2 = _act(self.conv2(c1))
        skipped = c1 + x[:, : self.channels]
        if self.skip is not None:
            skipped = _act(self.skip(skipped))
        return self.upsample(self.norm(c2 + skipped))


class Head(nn.Module):
    """Back to one channel at the input's size, without a last activation: dB are signed."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = conv(4, 2)
        self.conv2 = conv(2, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, 4, F, T) to (B, 1, F, T)."""
        return self.conv2(_act(self.conv1(x)) + x[:, :2])
