"""Reconstruction networks, chosen by name or class path.

A backbone is a `torch.nn.Module` that is built from `n_mels`, `n_frames` and arguments of its own, and maps
spectrograms (B, F, T) in dB to reconstructions of the same shape. One with a convolution may have a `cam_layer`, the
layer that Grad-CAM explains by default.
"""

import inspect
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from lightning_modules.backbones.plain import CAE, DenseAutoencoder
from lightning_modules.backbones.skip_cae import SkipCAE, SkipCAETransformer
from lightning_modules.errors import ConfigurationError, told_by_class
from lightning_modules.imports import find_class
from lightning_modules.modes import eval_mode
from lightning_modules.wording import TYPE_NAMES

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
        backbone: Name in `BACKBONES`, of a class among them or of a plugin, or class path (see
            `lightning_modules.imports.find_class`); or a mapping of `class_path`, by default that of the default
            backbone, and either `init_args` or the arguments themselves.
        n_mels: Mel bands F of the spectrograms.
        n_frames: Frames T of the spectrograms.

    Raises:
        ConfigurationError: If the backbone does not exist, an argument is unknown or of the wrong type, or the class
            fails for this size; the message names the class and the argument.
    """
    chosen, arguments = _parse(backbone)
    name = f"backbone {chosen.__name__}"
    size = {"n_mels": n_mels, "n_frames": n_frames}
    _check_arguments(name, chosen, arguments)
    try:
        network = chosen(**size, **arguments)
        if chosen not in BACKBONES.values():
            _check_shape(network, n_mels, n_frames)
        if not any(parameter.requires_grad for parameter in network.parameters()):
            raise ValueError("it has no parameters to train")
    except (MemoryError, OSError):
        raise
    except Exception as error:
        if chosen in BACKBONES.values() and isinstance(error, ConfigurationError):
            raise
        given = ", ".join(f"{key}={value!r}" for key, value in (arguments | size).items())
        raise ConfigurationError(f"{name} fails with {given}: {told_by_class(error, chosen)}") from error
    return network


def describe_backbone(backbone: str | Mapping[str, Any]) -> str:
    """Class and arguments of a backbone, defaults included, so that equal networks have equal descriptions.

    Example:
        >>> describe_backbone("skip_cae_transformer")
        'SkipCAETransformer(num_heads=10)'
    """
    chosen, arguments = _parse(backbone)
    defaults = {name: parameter.default for name, parameter in _own_parameters(chosen).items()}
    return f"{chosen.__name__}({', '.join(f'{name}={value}' for name, value in (defaults | arguments).items())})"


def flat(backbone: str | Mapping[str, Any]) -> dict[str, Any]:
    """The class path, if one is given, and the arguments of a backbone in one mapping.

    Example:
        >>> flat({"class_path": "cae", "init_args": {"width": 3}})
        {'class_path': 'cae', 'width': 3}
    """
    if isinstance(backbone, str):
        return {"class_path": backbone}
    if not isinstance(backbone, Mapping):
        raise ConfigurationError(
            f"backbone is {backbone!r}; it must be one of {', '.join(BACKBONES)}, a class path such as "
            "my_lab.backbones.SmallCAE, or a mapping of class_path and init_args"
        )
    others = {key: value for key, value in backbone.items() if key not in ("class_path", "init_args")}
    nested = backbone.get("init_args") or {}
    if others and nested:
        raise ConfigurationError(f"backbone has init_args and, beside them, {', '.join(others)}; give one of them")
    if not isinstance(nested, Mapping):
        raise ConfigurationError(f"init_args of backbone is {nested!r}; it must be a mapping of arguments")
    return {key: backbone[key] for key in ("class_path",) if key in backbone} | others | dict(nested)


def _parse(backbone: str | Mapping[str, Any]) -> tuple[type[nn.Module], dict[str, Any]]:
    arguments = flat(backbone)
    name = str(arguments.pop("class_path", DEFAULT_BACKBONE))
    try:
        return find_class(name, nn.Module, BACKBONES, "my_lab.backbones.SmallCAE"), arguments
    except ConfigurationError as error:
        raise ConfigurationError(f"backbone={error}") from error


def _check_arguments(name: str, chosen: type[nn.Module], arguments: Mapping[str, Any]) -> None:
    """Raise a ConfigurationError unless a class takes these arguments and the size of the spectrograms."""
    parameters = inspect.signature(chosen).parameters
    takes_any = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
    if not takes_any and not parameters.keys() >= set(_FROM_DATA):
        raise ConfigurationError(f"{name} has to take n_mels and n_frames, the size of the spectrograms, in __init__")
    known = _own_parameters(chosen)
    for argument, value in arguments.items():
        if argument in _FROM_DATA or not (takes_any or argument in known):
            others = f"it has {', '.join(known)}" if known else "it has none of its own"
            raise ConfigurationError(f"{name} has no argument {argument!r}; {others}")
        annotation = known[argument].annotation if argument in known else Any
        for kind, expected in TYPE_NAMES.items():
            types = (int, float) if kind is float else kind
            is_one = isinstance(value, types) and not (isinstance(value, bool) and kind in (int, float))
            if annotation in (kind, kind.__name__) and not is_one:  # a name where annotations are not evaluated
                raise ConfigurationError(f"{name}: {argument} is {value!r}; it must be {expected}")


def _check_shape(network: nn.Module, n_mels: int, n_frames: int) -> None:
    """Raise a ValueError unless a network maps spectrograms to spectrograms of their shape."""
    weight = next(network.parameters(), torch.zeros(()))
    x = torch.zeros(2, n_mels, n_frames, dtype=weight.dtype, device=weight.device)
    with torch.no_grad(), eval_mode(network), torch.random.fork_rng(devices=[]):
        output = network(x)
    expected, shape = tuple(x.shape), tuple(output.shape) if isinstance(output, torch.Tensor) else type(output).__name__
    if shape != expected:
        raise ValueError(f"the output for an input of shape {expected} is {shape}, but it must have the same shape")


def _own_parameters(chosen: type[nn.Module]) -> dict[str, inspect.Parameter]:
    parameters = inspect.signature(chosen).parameters
    return {
        name: parameter
        for name, parameter in parameters.items()
        if name not in _FROM_DATA and parameter.kind not in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL)
    }


__all__ = ["BACKBONES", "CAE", "DenseAutoencoder", "SkipCAE", "SkipCAETransformer", "build_backbone"]
