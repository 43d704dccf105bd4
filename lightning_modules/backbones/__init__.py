"""Reconstruction networks, chosen by name."""

import inspect

from torch import nn

from lightning_modules.backbones.cae import CAE
from lightning_modules.backbones.dense import DenseAutoencoder
from lightning_modules.backbones.skip_cae import SkipCAE
from lightning_modules.backbones.skip_cae_transformer import SkipCAETransformer
from lightning_modules.errors import ConfigurationError

BACKBONES: dict[str, type[nn.Module]] = {
    "skip_cae_transformer": SkipCAETransformer,
    "skip_cae": SkipCAE,
    "cae": CAE,
    "dense": DenseAutoencoder,
}


def build_backbone(name: str, n_mels: int, n_frames: int, num_heads: int) -> nn.Module:
    """Build the backbone called `name` for spectrograms of n_mels × n_frames.

    A backbone takes the settings that its constructor names; one without attention has no use for num_heads.

    Raises:
        ConfigurationError: If there is no such backbone; the message says which there are.
    """
    if name not in BACKBONES:
        raise ConfigurationError(f"backbone={name!r} does not exist; choose one of {', '.join(BACKBONES)}")
    settings = {"n_mels": n_mels, "n_frames": n_frames, "num_heads": num_heads}
    known = inspect.signature(BACKBONES[name]).parameters
    return BACKBONES[name](**{key: value for key, value in settings.items() if key in known})


__all__ = ["BACKBONES", "CAE", "DenseAutoencoder", "SkipCAE", "SkipCAETransformer", "build_backbone"]
