"""The command line of a stage, looked at before Lightning parses it."""

from __future__ import annotations

from itertools import zip_longest
from pathlib import Path

from experiments.run_folder import RunFolder
from experiments.yaml_file import read_yaml

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
        if Path(path).is_file():
            read_yaml(Path(path), resolve=False)  # the parser's own message lacks the name
    runs = _values(("--run",), arguments)
    if stage == "fit" or not runs or any(argument.split("=")[0] in _SELF_SUFFICIENT for argument in arguments):
        return arguments
    run = RunFolder(runs[-1])
    run.require_no_detector(stage)
    # A training that began from another's checkpoint has that in its configuration.
    return ["--config", str(run.require_fit_config()), "--ckpt_path", "best", *arguments]


def _values(options: tuple[str, ...], arguments: list[str]) -> list[str]:
    """The values of an option, given as `--option value` or `--option=value`."""
    values = []
    for argument, following in zip_longest(arguments, arguments[1:], fillvalue=""):
        name, separator, value = argument.partition("=")
        if name in options:
            values.append(value if separator else following)
    return values
