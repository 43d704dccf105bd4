"""The Skip-CAE: a convolutional autoencoder with additive skips, and the base of the one with attention."""

from __future__ import annotations

from torch import Tensor, nn

from lightning_modules.backbones.stages import (
    DecoderStage,
    DeepestDecoderStage,
    DeepestEncoderStage,
    EncoderStage,
    Head,
    StemStage,
    lay_channels_last,
    require_room_to_pool,
    resize,
)

_DOWNSAMPLING = 8  # three poolings stand before the fourth stage


class SkipAutoencoder(nn.Module):
    """What the Skip-CAE and the Skip-CAE-Transformer share, which is all but the transformer.

    Args:
        n_mels: Mel bands F of the input.
        n_frames: Frames T of the input.
        num_heads: Attention heads of the transformer's two layers; None leaves both out.
    """

    def __init__(self, n_mels: int, n_frames: int, num_heads: int | None) -> None:
        super().__init__()
        self.input_size = (n_mels, n_frames)
        size = token_size(n_mels, n_frames)
        self.encoder1 = StemStage()
        self.encoder2 = EncoderStage(4)
        self.encoder3 = EncoderStage(8)
        self.encoder4 = DeepestEncoderStage(size, num_heads)
        self.decoder4 = DeepestDecoderStage(size, num_heads)
        self.decoder3 = DecoderStage(32, skip_time=size[1])
        self.decoder2 = DecoderStage(16)
        self.decoder1 = DecoderStage(8)
        self.head = Head()
        lay_channels_last(self)

    @property
    def cam_layer(self) -> nn.Module:
        """The encoder's last convolution, whose (B, 32, F/8, T/8) activations Grad-CAM weighs."""
        return self.encoder4.conv2

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Encode spectrograms.

        Args:
            x: Spectrograms (B, F, T) in dB.

        Returns:
            The latent (B, 32, F/16, T/16) and the tokens (B, 32, F/8 · T/8) that a transformer's decoder attends to.
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


class SkipCAE(SkipAutoencoder):
    """Skip-CAE: the Skip-CAE-Transformer without its transformer.

    The paper's reference [5] compares the two and gives no layer table of the Skip-CAE. Here it is what is left of
    the Skip-CAE-Transformer when both transformer layers are taken out; convolutions, norms and skips, the weighted
    ones over time included, stay as they are. So a difference between the two is that of attention.

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
        require_room_to_pool("the Skip-CAE", n_mels, n_frames)
        super().__init__(n_mels, n_frames, num_heads=None)


def token_size(n_mels: int, n_frames: int) -> tuple[int, int]:
    """Bands and frames that are left of an input in the fourth stage."""
    return n_mels // _DOWNSAMPLING, n_frames // _DOWNSAMPLING
