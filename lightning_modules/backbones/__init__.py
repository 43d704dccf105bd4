"""Reconstruction networks, chosen by name or by class path.

A backbone is a `torch.nn.Module` that is built from `n_mels`, `n_frames` and arguments of its own, and maps
spectrograms (B, F, T) in dB to reconstructions of the same shape. One with a convolution may have a `cam_layer`, the
layer that Grad-CAM explains by default.
"""

import inspect
from collections.abc import Mapping
from importlib import import_module
from typing import Any

from torch import nn

from lightning_modules.backbones.plain import CAE, DenseAutoencoder
from lightning_modules.backbones.skip_cae import SkipCAE, SkipCAETransformer
from lightning_modules.errors import ConfigurationError, first_line

BACKBONES: dict[str, type[nn.Module]] = {
    "skip_cae_transformer": SkipCAETransformer,
    "skip_cae": SkipCAE,
    "cae": CAE,
    "dense": DenseAutoencoder,
}
DEFAULT_BACKBONE = "skip_cae_transformer"

_FROM_DATA = ("n_mels", "n_frames")


def build_backbone(backbone: str | Mapping[str, Any], n_mels: int, n_frames: int) -> nn.Module:
    """Build a backbone for spectrograms of n_mels × n_frames.

    Args:
        backbone: Name in `BACKBONES`, name of a class among them, or class path; or a mapping of `class_path` and
            `init_args`, where the former is the default's and the latter may also be given beside it.
        n_mels: Mel bands F of the spectrograms.
        n_frames: Frames T of the spectrograms.

    Raises:
        ConfigurationError: If there is no such backbone, or it has no such argument; the message says which there are.
    """
    chosen, arguments = _parse(backbone)
    known = _own_parameters(chosen)
    for name in arguments:
        if name not in known:
            others = f"it has {', '.join(known)}" if known else "it has none of its own"
            raise ConfigurationError(f"backbone {chosen.__name__} has no argument {name!r}; {others}")
    try:
        return chosen(n_mels=n_mels, n_frames=n_frames, **arguments)
    except TypeError as error:
        raise ConfigurationError(f"backbone {chosen.__name__} can't be built: {first_line(error)}") from error


def describe_backbone(backbone: str | Mapping[str, Any]) -> str:
    """Class and arguments of a backbone, defaults included, so that equal networks have equal descriptions.

    Example:
        >>> describe_backbone("skip_cae_transformer")
        'SkipCAETransformer(num_heads=10)'
    """
    chosen, arguments = _parse(backbone)
    defaults = {name: parameter.default for name, parameter in _own_parameters(chosen).items()}
    return f"{chosen.__name__}({', '.join(f'{name}={value}' for name, value in (defaults | arguments).items())})"


def _parse(backbone: str | Mapping[str, Any]) -> tuple[type[nn.Module], dict[str, Any]]:
    if isinstance(backbone, str):
        return _find(backbone), {}
    rest = {key: value for key, value in backbone.items() if key not in ("class_path", "init_args")}
    return _find(str(backbone.get("class_path", DEFAULT_BACKBONE))), {**(backbone.get("init_args") or {}), **rest}


def _find(name: str) -> type[nn.Module]:
    """The class that a name or a class path means."""
    by_class = {choice.__name__: choice for choice in BACKBONES.values()}
    if name in BACKBONES or name in by_class:
        return BACKBONES.get(name) or by_class[name]
    module, _, attribute = name.rpartition(".")
    found = None
    reason = "does not exist"
    if module:
        try:
            found = getattr(import_module(module), attribute)
        except (ImportError, AttributeError) as error:
            reason = f"can't be imported ({first_line(error)})"
    if isinstance(found, type) and issubclass(found, nn.Module):
        return found
    if found is not None:
        reason = "is not a torch.nn.Module class"
    raise ConfigurationError(f"backbone={name!r} {reason}; choose one of {', '.join(BACKBONES)}, or a class path")


def _own_parameters(chosen: type[nn.Module]) -> dict[str, inspect.Parameter]:
    parameters = inspect.signature(chosen).parameters
    return {name: parameter for name, parameter in parameters.items() if name not in _FROM_DATA}


__all__ = ["BACKBONES", "CAE", "DenseAutoencoder", "SkipCAE", "SkipCAETransformer", "build_backbone"]
