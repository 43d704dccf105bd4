"""The Skip-CAE-Transformer and the Skip-CAE: convolutional autoencoders with additive skips."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from lightning_modules.backbones.layers import require_size, resize, use_channels_last
from lightning_modules.backbones.stages import (
    DecoderStage,
    DeepestDecoderStage,
    DeepestEncoderStage,
    EncoderStage,
    Head,
    StemStage,
)
from lightning_modules.errors import ConfigurationError

_DOWNSAMPLING = 8  # three poolings come before the fourth stage

# Stages in the order of the authors' layer names, conv1 to conv22, with their numbers of convolutions.
_CONVOLUTIONS = {"encoder1": 4, **dict.fromkeys(("encoder2", "encoder3", "encoder4"), 2), "decoder4": 4}
_CONVOLUTIONS |= dict.fromkeys(("decoder3", "decoder2", "decoder1", "head"), 2)


def _reference_names() -> dict[str, str]:
    """Where the authors' layers, by the names of published weights, are in this module."""
    stages = [stage for stage in _CONVOLUTIONS if stage != "head"]
    layers = [f"{stage}.conv{i}" for stage, count in _CONVOLUTIONS.items() for i in range(1, count + 1)]
    return {
        **{f"conv{i}": layer for i, layer in enumerate(layers, start=1)},
        **{f"batch{i}": f"{stage}.norm" for i, stage in enumerate(stages, start=1)},
        **{f"conv_trans{i}": f"{stage}.upsample" for i, stage in enumerate(stages[4:], start=1)},
        "transformer_encode.layers.0": "encoder4.transformer",
        "transformer_decode.layers.0": "decoder4.transformer",
        "weights_skip_encode": "encoder4.skip",
        "weights_skip_decode": "decoder3.skip",
    }


class _SkipAutoencoder(nn.Module):
    """Four stages down and four back, with additive skips.

    Args:
        n_mels: Mel bands F of the input, at least 16.
        n_frames: Frames T of the input, at least 16.
        num_heads: Attention heads of the deepest stages; None for neither transformers nor linear layers in skips.
    """

    def __init__(self, n_mels: int, n_frames: int, num_heads: int | None) -> None:
        super().__init__()
        require_size(type(self).__name__, n_mels, n_frames)
        self.input_size = (n_mels, n_frames)
        size = n_mels // _DOWNSAMPLING, n_frames // _DOWNSAMPLING
        if num_heads is not None:
            _require_divisor(num_heads, size[0] * size[1], self.input_size)
        self.encoder1 = StemStage()
        self.encoder2 = EncoderStage(4)
        self.encoder3 = EncoderStage(8)
        self.encoder4 = DeepestEncoderStage(size, num_heads)
        self.decoder4 = DeepestDecoderStage(size, num_heads)
        self.decoder3 = DecoderStage(32, skip_frames=None if num_heads is None else size[1])
        self.decoder2 = DecoderStage(16)
        self.decoder1 = DecoderStage(8)
        self.head = Head()
        use_channels_last(self)

    @property
    def cam_layer(self) -> nn.Module:
        """The encoder's last convolution, whose (B, 32, F/8, T/8) activations Grad-CAM weighs."""
        return self.encoder4.conv2

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Encode spectrograms.

        Args:
            x: Spectrograms (B, F, T) in dB.

        Returns:
            The latent (B, 32, F/16, T/16) and the tokens (32, B, F/8 · T/8) that a transformer's decoder attends to.
        """
        h = self.encoder3(self.encoder2(self.encoder1(x.unsqueeze(1))))
        return self.encoder4(h)

    def decode(self, latent: Tensor, tokens: Tensor) -> Tensor:
        """Decode what `encode` returned to spectrograms (B, F, T) in dB."""
        h = self.decoder4(latent, tokens)
        h = self.decoder1(self.decoder2(self.decoder3(h)))
        return self.head(resize(h, self.input_size)).squeeze(1)

    def forward(self, x: Tensor) -> Tensor:
        """Reconstruct spectrograms (B, F, T) in dB; the result has the same shape."""
        return self.decode(*self.encode(x))


class SkipCAE(_SkipAutoencoder):
    """Skip-CAE: the Skip-CAE-Transformer without its transformer and without the linear layers in its skips.

    The reference network of the paper's detection table; skips are added as they are.

    Args:
        n_mels: Mel bands F of the input, at least 16.
        n_frames: Frames T of the input, at least 16.

    Raises:
        ConfigurationError: If the input is too small.

    Example:
        >>> import torch
        >>> SkipCAE(n_mels=32, n_frames=48)(torch.zeros(2, 32, 48)).shape
        torch.Size([2, 32, 48])
    """

    def __init__(self, n_mels: int = 80, n_frames: int = 400) -> None:
        super().__init__(n_mels, n_frames, num_heads=None)


class SkipCAETransformer(_SkipAutoencoder):
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
        super().__init__(n_mels, n_frames, num_heads)

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
            num_heads: Attention heads the weights were trained with; no weight shows it.

        Raises:
            ConfigurationError: If a layer is unknown, missing, or of another size.
        """
        backbone = cls(n_mels, n_frames, num_heads)
        renamed, names = {}, _reference_names()
        for key, value in state_dict.items():
            layer = next((name for name in names if key.startswith(f"{name}.")), None)
            if layer is None:
                raise ConfigurationError(f"reference weights: no layer of the backbone is called {key!r}")
            renamed[names[layer] + key.removeprefix(layer)] = value
        try:
            backbone.load_state_dict(renamed)
        except RuntimeError as error:
            reason = " ".join(str(error).split())
            raise ConfigurationError(
                f"reference weights do not fit a {n_mels} × {n_frames} backbone: {reason}"
            ) from error
        return backbone


def _require_divisor(num_heads: int, width: int, input_size: tuple[int, int]) -> None:
    """Check that the heads divide the token width; the message says which settings would fit."""
    if num_heads < 1 or width % num_heads:
        fitting = [str(heads) for heads in range(1, min(width, 32) + 1) if width % heads == 0]
        raise ConfigurationError(
            f"num_heads={num_heads} does not divide the token width {width} of a {input_size[0]} × {input_size[1]} "
            f"input; set num_heads to one of {', '.join(fitting)}"
        )
