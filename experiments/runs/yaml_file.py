"""YAML files of the user's, read or refused in one line that says where the mistake is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import Mark, MarkedYAMLError

from lightning_modules.errors import ConfigurationError, first_line


def read_yaml(path: Path, *, resolve: bool = True) -> Any:
    """Read a YAML file.

    Args:
        path: The file.
        resolve: Whether interpolations such as ``${data.root}`` are replaced by their values.

    Raises:
        ConfigurationError: If it is no YAML, has a key twice or an interpolation that leads nowhere; the message names
            the file, and the line and column, or the key.
        OSError: If the system does not let the file be read.
    """
    try:
        return OmegaConf.to_container(OmegaConf.load(path), resolve=resolve)
    except OSError:
        raise  # that a file can't be read now says nothing of what is in it
    except Exception as error:  # OmegaConf and the YAML parser have no common exception
        raise ConfigurationError(f"{path} is not a readable YAML mapping: {_mistake(error)}") from error


def _mistake(error: Exception) -> str:
    """What is wrong and where, in a line."""
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
