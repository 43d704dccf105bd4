"""The Skip-CAE-Transformer: a convolutional autoencoder with additive skips and two transformer layers."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from lightning_modules.backbones.skip_cae import SkipAutoencoder, token_size
from lightning_modules.backbones.stages import require_room_to_pool
from lightning_modules.errors import ConfigurationError

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


class SkipCAETransformer(SkipAutoencoder):
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
        require_room_to_pool("the Skip-CAE-Transformer", n_mels, n_frames)
        _require_heads_that_fit(n_mels, n_frames, num_heads)
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


def _require_heads_that_fit(n_mels: int, n_frames: int, num_heads: int) -> None:
    """Refuse heads that do not divide the token width; the message says which settings would fit."""
    bands, frames = token_size(n_mels, n_frames)
    d_model = bands * frames
    if num_heads < 1 or d_model % num_heads:
        fitting = [str(heads) for heads in range(1, min(d_model, 32) + 1) if d_model % heads == 0]
        raise ConfigurationError(
            f"num_heads={num_heads} does not divide the token width {d_model} "
            f"of a {n_mels} × {n_frames} input; set num_heads to one of {', '.join(fitting)}"
        )
