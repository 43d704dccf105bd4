"""Reconstruction networks, chosen by name."""

from torch import nn

from lightning_modules.backbones.skip_cae_transformer import SkipCAETransformer
from lightning_modules.errors import ConfigurationError

BACKBONES: dict[str, type[nn.Module]] = {"skip_cae_transformer": SkipCAETransformer}


def build_backbone(name: str, n_mels: int, n_frames: int, num_heads: int) -> nn.Module:
    """Build the backbone called `name` for spectrograms of n_mels × n_frames.

    Raises:
        ConfigurationError: If there is no such backbone; the message says which there are.
    """
    if name not in BACKBONES:
        raise ConfigurationError(f"backbone={name!r} does not exist; choose one of {', '.join(BACKBONES)}")
    return BACKBONES[name](n_mels=n_mels, n_frames=n_frames, num_heads=num_heads)


__all__ = ["BACKBONES", "SkipCAETransformer", "build_backbone"]
