"""The Skip-CAE-Transformer: a convolutional autoencoder with additive skips and two transformer layers."""

from __future__ import annotations

from collections.abc import Mapping

import torch.nn.functional as F
from torch import Tensor, nn

from lightning_modules.errors import ConfigurationError

_NEGATIVE_SLOPE = 0.01
_TOKENS = 32  # the transformer's tokens are the channels of the fourth stage
_DOWNSAMPLING = 8  # three poolings stand before the transformer
_SMALLEST_SIDE = 2 * _DOWNSAMPLING

# Where the authors' layer names (the keys of published weights) live in this module.
_REFERENCE_NAMES = {
    "conv1": "encoder1.conv1",
    "conv2": "encoder1.conv2",
    "conv3": "encoder1.conv3",
    "conv4": "encoder1.conv4",
    "batch1": "encoder1.norm",
    "conv5": "encoder2.conv1",
    "conv6": "encoder2.conv2",
    "batch2": "encoder2.norm",
    "conv7": "encoder3.conv1",
    "conv8": "encoder3.conv2",
    "batch3": "encoder3.norm",
    "conv9": "encoder4.conv1",
    "conv10": "encoder4.conv2",
    "transformer_encode.layers.0": "encoder4.transformer",
    "weights_skip_encode": "encoder4.skip",
    "batch4": "encoder4.norm",
    "conv11": "decoder4.conv1",
    "conv12": "decoder4.conv2",
    "conv13": "decoder4.conv3",
    "conv14": "decoder4.conv4",
    "batch5": "decoder4.norm",
    "conv_trans1": "decoder4.upsample",
    "transformer_decode.layers.0": "decoder4.transformer",
    "conv15": "decoder3.conv1",
    "conv16": "decoder3.conv2",
    "weights_skip_decode": "decoder3.skip",
    "batch6": "decoder3.norm",
    "conv_trans2": "decoder3.upsample",
    "conv17": "decoder2.conv1",
    "conv18": "decoder2.conv2",
    "batch7": "decoder2.norm",
    "conv_trans3": "decoder2.upsample",
    "conv19": "decoder1.conv1",
    "conv20": "decoder1.conv2",
    "batch8": "decoder1.norm",
    "conv_trans4": "decoder1.upsample",
    "conv21": "head.conv1",
    "conv22": "head.conv2",
}


def _conv(in_channels: int, out_channels: int) -> nn.Conv2d:
    return nn.Conv2d(in_channels, out_channels, kernel_size=3, padding=1)


def _act(x: Tensor) -> Tensor:
    return F.leaky_relu(x, _NEGATIVE_SLOPE)


def _pad_channels(x: Tensor, channels: int) -> Tensor:
    """Append zero channels to x (B, C, F, T) up to `channels`."""
    return F.pad(x, (0, 0, 0, 0, 0, channels - x.shape[1]))


def _resize(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Bilinear resize of x (B, C, F, T) to `size`, which costs nothing where the size is right already."""
    return x if x.shape[-2:] == size else F.interpolate(x, size, mode="bilinear", align_corners=False)


class _StemStage(nn.Module):
    """Encoder stage 1: four convolutions, 1 to 4 channels, then pooling."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = _conv(1, 2)
        self.conv2 = _conv(2, 2)
        self.conv3 = _conv(2, 4)
        self.conv4 = _conv(4, 4)
        self.norm = nn.BatchNorm2d(4)

    def forward(self, x: Tensor) -> Tensor:
        a1 = _act(self.conv1(x))
        a2 = _act(self.conv2(a1))
        a3 = _act(self.conv3(a2 + a1))
        a4 = _act(self.conv4(a3))
        return F.max_pool2d(self.norm(a4 + a3 + _pad_channels(x, 4)), 2)


class _EncoderStage(nn.Module):
    """Encoder stages 2 and 3: two convolutions that double the channels, then pooling."""

    def __init__(self, in_channels: int) -> None:
        super().__init__()
        self.channels = 2 * in_channels
        self.conv1 = _conv(in_channels, self.channels)
        self.conv2 = _conv(self.channels, self.channels)
        self.norm = nn.BatchNorm2d(self.channels)

    def forward(self, x: Tensor) -> Tensor:
        a = _act(self.conv1(x))
        b = _act(self.conv2(a))
        return F.max_pool2d(self.norm(b + a + _pad_channels(x, self.channels)), 2)


class _TransformerEncoderStage(nn.Module):
    """Encoder stage 4: channels become tokens, their F/8 · T/8 positions the features."""

    def __init__(self, d_model: int, num_heads: int, time: int) -> None:
        super().__init__()
        self.conv1 = _conv(16, _TOKENS)
        self.conv2 = _conv(_TOKENS, _TOKENS)
        self.transformer = nn.TransformerEncoderLayer(d_model, num_heads, batch_first=True)
        self.skip = nn.Linear(time, time)
        self.norm = nn.BatchNorm2d(_TOKENS)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        b1 = _act(self.conv1(x))
        b2 = _act(self.conv2(b1))
        tokens = self.transformer(b2.flatten(2))
        skipped = _act(self.skip(b1 + _pad_channels(x, _TOKENS)))
        latent = F.max_pool2d(self.norm(tokens.reshape(b2.shape) + skipped), 2)
        return latent, tokens


class _TransformerDecoderStage(nn.Module):
    """Decoder stage 4: four convolutions, upsampling, and attention to the encoder's tokens."""

    def __init__(self, d_model: int, num_heads: int) -> None:
        super().__init__()
        self.conv1 = _conv(_TOKENS, 2 * _TOKENS)
        self.conv2 = _conv(2 * _TOKENS, 2 * _TOKENS)
        self.conv3 = _conv(2 * _TOKENS, _TOKENS)
        self.conv4 = _conv(_TOKENS, _TOKENS)
        self.norm = nn.BatchNorm2d(_TOKENS)
        self.upsample = nn.ConvTranspose2d(_TOKENS, _TOKENS, kernel_size=2, stride=2)
        self.transformer = nn.TransformerDecoderLayer(d_model, num_heads, batch_first=True)

    def forward(self, z: Tensor, memory: Tensor, size: tuple[int, int]) -> Tensor:
        u1 = _act(self.conv1(z))
        u2 = _act(self.conv2(u1))
        u3 = _act(self.conv3(u2 + u1))
        u4 = _act(self.conv4(u3))
        # An odd F/8 or T/8 loses a row to pooling; the tokens on both sides have to match again.
        v = _resize(self.upsample(self.norm(u4 + u3 + z)), size)
        return self.transformer(v.flatten(2), memory).reshape(v.shape)


class _DecoderStage(nn.Module):
    """Decoder stages 3 to 1: two convolutions that halve the channels, then upsampling."""

    def __init__(self, in_channels: int, skip_time: int | None = None) -> None:
        super().__init__()
        self.channels = in_channels // 2
        self.conv1 = _conv(in_channels, self.channels)
        self.conv2 = _conv(self.channels, self.channels)
        self.skip = None if skip_time is None else nn.Linear(skip_time, skip_time)
        self.norm = nn.BatchNorm2d(self.channels)
        self.upsample = nn.ConvTranspose2d(self.channels, self.channels, kernel_size=2, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        c1 = _act(self.conv1(x))
        c2 = _act(self.conv2(c1))
        skipped = c1 + x[:, : self.channels]
        if self.skip is not None:
            skipped = _act(self.skip(skipped))
        return self.upsample(self.norm(c2 + skipped))


class _Head(nn.Module):
    """Back to one channel at the input's size, without a last activation: dB are signed."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = _conv(4, 2)
        self.conv2 = _conv(2, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv2(_act(self.conv1(x)) + x[:, :2])


class SkipCAETransformer(nn.Module):
    """Skip-CAE-Transformer, the backbone that AE and MAE share (paper section 3.2.1, its reference [5]).

    Args:
        n_mels: Mel bands F of the input, at least 16.
        n_frames: Frames T of the input, at least 16.
        num_heads: Attention heads; must divide the token width ⌊F/8⌋ · ⌊T/8⌋ (500 at 80 × 400).

    Raises:
        ConfigurationError: If the input is too small or the heads do not divide the token width.

    Example:
        >>> import torch
        >>> backbone = SkipCAETransformer(n_mels=32, n_frames=48, num_heads=4)
        >>> backbone(torch.zeros(2, 32, 48)).shape
        torch.Size([2, 32, 48])
    """

    def __init__(self, n_mels: int = 80, n_frames: int = 400, num_heads: int = 10) -> None:
        super().__init__()
        self.input_size = (n_mels, n_frames)
        self._token_size = (n_mels // _DOWNSAMPLING, n_frames // _DOWNSAMPLING)
        d_model = _checked_token_width(n_mels, n_frames, num_heads)
        time = self._token_size[1]
        self.encoder1 = _StemStage()
        self.encoder2 = _EncoderStage(4)
        self.encoder3 = _EncoderStage(8)
        self.encoder4 = _TransformerEncoderStage(d_model, num_heads, time)
        self.decoder4 = _TransformerDecoderStage(d_model, num_heads)
        self.decoder3 = _DecoderStage(32, skip_time=time)
        self.decoder2 = _DecoderStage(16)
        self.decoder1 = _DecoderStage(8)
        self.head = _Head()

    @property
    def cam_layer(self) -> nn.Module:
        """The encoder's last convolution, whose (B, 32, F/8, T/8) activations Grad-CAM weighs."""
        return self.encoder4.conv2

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Encode spectrograms.

        Args:
            x: Spectrograms (B, F, T) in dB.

        Returns:
            The latent (B, 32, F/16, T/16) and the transformer's tokens (B, 32, F/8 · T/8).
        """
        h = self.encoder3(self.encoder2(self.encoder1(x.unsqueeze(1))))
        return self.encoder4(h)

    def decode(self, latent: Tensor, tokens: Tensor) -> Tensor:
        """Decode what `encode` returned to spectrograms (B, F, T) in dB."""
        h = self.decoder4(latent, tokens, self._token_size)
        h = self.decoder1(self.decoder2(self.decoder3(h)))
        return self.head(_resize(h, self.input_size)).squeeze(1)

    def forward(self, x: Tensor) -> Tensor:
        """Reconstruct spectrograms (B, F, T) in dB; the result has the same shape."""
        return self.decode(*self.encode(x))

    @classmethod
    def from_reference(
        cls, state_dict: Mapping[str, Tensor], n_mels: int = 80, n_frames: int = 400, num_heads: int = 10
    ) -> SkipCAETransformer:
        """Build the backbone with weights under the authors' layer names, in float32.

        Args:
            state_dict: Weights named as in the authors' code (conv1 … conv22, batch1 … batch8, conv_trans1 …
                conv_trans4, transformer_encode, transformer_decode, weights_skip_encode and _decode).
            n_mels: Mel bands the weights were trained for.
            n_frames: Frames the weights were trained for.
            num_heads: Attention heads the weights were trained with; no weight tells it.

        Raises:
            ConfigurationError: If a layer is unknown, missing, or of another size.
        """
        backbone = cls(n_mels, n_frames, num_heads)
        renamed = {}
        for key, value in state_dict.items():
            layer = next((name for name in _REFERENCE_NAMES if key.startswith(f"{name}.")), None)
            if layer is None:
                raise ConfigurationError(f"reference weights: no layer of the backbone is called {key!r}")
            renamed[_REFERENCE_NAMES[layer] + key.removeprefix(layer)] = value
        try:
            backbone.load_state_dict(renamed)
        except RuntimeError as error:
            reason = " ".join(str(error).split())
            raise ConfigurationError(
                f"reference weights do not fit a {n_mels} × {n_frames} backbone: {reason}"
            ) from error
        return backbone


def _checked_token_width(n_mels: int, n_frames: int, num_heads: int) -> int:
    """The transformer's d_model, or a ConfigurationError that says which settings would fit."""
    if min(n_mels, n_frames) < _SMALLEST_SIDE:
        raise ConfigurationError(
            f"n_mels={n_mels}, n_frames={n_frames}: "
            f"the Skip-CAE-Transformer needs at least {_SMALLEST_SIDE} mel bands and {_SMALLEST_SIDE} frames"
        )
    d_model = (n_mels // _DOWNSAMPLING) * (n_frames // _DOWNSAMPLING)
    if num_heads < 1 or d_model % num_heads:
        fitting = [str(heads) for heads in range(1, min(d_model, 32) + 1) if d_model % heads == 0]
        raise ConfigurationError(
            f"num_heads={num_heads} does not divide the token width {d_model} "
            f"of a {n_mels} × {n_frames} input; set num_heads to one of {', '.join(fitting)}"
        )
    return d_model
