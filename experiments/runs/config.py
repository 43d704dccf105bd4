"""YAML files, and the objective, frame rate and channel of a run's saved configuration."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import Mark, MarkedYAMLError

from datamodules.frontend import FrontEndSettings, frame_rate
from lightning_modules.errors import ConfigurationError, first_line

BASELINES = {
    "OneClassSVM": "One-class SVM",
    "IsolationForest": "Isolation forest",
    "NearestNeighbours": "Nearest neighbours",
}
"""Labels of the baseline detectors, which reconstruct nothing that could be explained."""

OBJECTIVES = {"Autoencoder": "AE", "MaskedAutoencoder": "MAE", **BASELINES}
"""What each LightningModule's objective is called in tables and figures."""


def read_yaml(path: Path, *, resolve: bool = True, except_in: Collection[str] = ()) -> Any:
    """Read a YAML file.

    Args:
        path: The file.
        resolve: Whether interpolations such as ``${seed_everything}`` are replaced by their values.
        except_in: Keys, at any depth, whose values keep their interpolations.

    Raises:
        ConfigurationError: If it is not valid YAML, or has a duplicate key or an interpolation of a missing key; the
            message names the file, and the line and column, or the key.
        OSError: If the system does not let the file be read.
    """
    try:
        contents = OmegaConf.load(path)
        return _resolved(contents, except_in) if resolve else OmegaConf.to_container(contents)
    except OSError:
        raise  # the machine can't read it now, whatever it contains
    except Exception as error:  # OmegaConf and the YAML parser have no common exception
        raise ConfigurationError(f"{path} is not a readable YAML mapping: {_mistake(error)}") from error


def _resolved(node: Any, except_in: Collection[str]) -> Any:
    if isinstance(node, DictConfig) and except_in:
        raw: Any = OmegaConf.to_container(node)
        return {key: raw[key] if key in except_in else _resolved(node[key], except_in) for key in node}
    return OmegaConf.to_container(node, resolve=True) if OmegaConf.is_config(node) else node


def _mistake(error: Exception) -> str:
    if isinstance(error, MarkedYAMLError):
        context = f" ({error.context} that begins in {_place(error.context_mark)})" if error.context_mark else ""
        return f"{_place(error.problem_mark)}: {error.problem}{context}"
    if isinstance(error, UnicodeDecodeError):
        return "it is not UTF-8 text; save it as UTF-8"
    reason = first_line(error)
    if isinstance(error, OmegaConfBaseException) and error.full_key:
        return f"{error.full_key}: {reason}"
    return reason


def _place(mark: Mark | None) -> str:
    return f"line {mark.line + 1}, column {mark.column + 1}" if mark else "it"


def read_config(path: Path) -> dict[str, Any]:
    """Read a ``config.yaml`` with its interpolations resolved; raises a ConfigurationError as `read_yaml` does."""
    config = read_yaml(path)
    if not isinstance(config, dict):
        raise ConfigurationError(f"{path} is not a configuration: it contains no mapping")
    return {str(key): value for key, value in config.items()}


def model_class(config: dict[str, Any]) -> str:
    """Name of the LightningModule's class in a configuration, "" where it names none."""
    return str((config.get("model") or {}).get("class_path", "")).rpartition(".")[2]


def objective_name(config: dict[str, Any]) -> str:
    """What tables and figures call the model of a configuration.

    Example:
        >>> objective_name({"model": {"class_path": "lightning_modules.MaskedAutoencoder"}})
        'MAE'
    """
    name = model_class(config)
    return OBJECTIVES.get(name, name or "model")


def is_baseline(config: dict[str, Any]) -> bool:
    """Whether the model of a configuration is a baseline detector."""
    return model_class(config) in BASELINES


def frames_per_second(config: dict[str, Any]) -> float:
    """Frame rate of the spectrograms; without settings that of the planer recordings.

    Example:
        >>> frames_per_second({"data": {"init_args": {"frontend": {"sample_rate": 16000, "hop": 0.032}}}})
        31.25
    """
    frontend = data_options(config).get("frontend") or {}
    planer = FrontEndSettings()
    return frame_rate(frontend.get("sample_rate", planer.sample_rate), frontend.get("hop", planer.hop))


def channel_of(config: dict[str, Any]) -> int | str:
    """Channel of the recordings that a run used, "mix" for the mean of all, which is the default.

    Example:
        >>> channel_of({"data": {"init_args": {"channel": 0}}})
        0
    """
    channel: int | str = data_options(config).get("channel", "mix")
    return channel


def data_options(config: dict[str, Any]) -> dict[str, Any]:
    """Options of the DataModule."""
    options: dict[str, Any] = (config.get("data") or {}).get("init_args") or {}
    return options
