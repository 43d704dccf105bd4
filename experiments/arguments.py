"""The command line of a stage, looked at before Lightning parses it."""

from __future__ import annotations

from itertools import zip_longest
from pathlib import Path

from omegaconf import OmegaConf

from experiments.run_folder import RunFolder
from lightning_modules.errors import ConfigurationError

_CONFIG = ("-c", "--config")
# With one of these the arguments speak for themselves.
_SELF_SUFFICIENT = (*_CONFIG, "-h", "--help", "--model")


def complete(stage: str, arguments: list[str]) -> list[str]:
    """Put the configuration a run was trained with in front of the arguments of its later stages.

    Args:
        stage: `fit`, `validate`, `test` or `predict`.
        arguments: What follows the stage's name.

    Raises:
        ConfigurationError: If a configuration file is no YAML, or the run holds no training.
    """
    for path in _values(_CONFIG, arguments):
        _check_yaml(Path(path))
    runs = _values(("--run",), arguments)
    if stage == "fit" or not runs or any(argument.split("=")[0] in _SELF_SUFFICIENT for argument in arguments):
        return arguments
    return ["--config", str(RunFolder(runs[-1]).require_fit_config()), *arguments]


def _values(options: tuple[str, ...], arguments: list[str]) -> list[str]:
    """The values of an option, given as `--option value` or `--option=value`."""
    values = []
    for argument, following in zip_longest(arguments, arguments[1:], fillvalue=""):
        name, separator, value = argument.partition("=")
        if name in options:
            values.append(value if separator else following)
    return values


def _check_yaml(path: Path) -> None:
    """Refuse a broken file by its name, which the parser's own message lacks."""
    if not path.is_file():
        return
    try:
        OmegaConf.load(path)
    except Exception as error:  # OmegaConf and the YAML parser have no common exception
        raise ConfigurationError(f"{path} is not a YAML mapping: {error}") from error
