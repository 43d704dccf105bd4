"""The command line of `detect`, which takes what it needs from any stage's configuration."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from jsonargparse import ActionConfigFile, Namespace
from jsonargparse.typing import NonNegativeInt

from datamodules import SpectrogramDataModule
from experiments.cli.commands import PROGRAM
from experiments.cli.options import ExperimentParser
from experiments.detectors import DETECTORS
from experiments.runs.config import read_config
from lightning_modules.errors import ConfigurationError

_SECTIONS = ("seed_everything", "data", "detector")
_CONFIG = ("-c", "--config")
_HELP = ("-h", "--help")


def parse(name: str, arguments: list[str]) -> tuple[ExperimentParser, Namespace]:
    """Parse the command line of `detect`.

    Of a configuration file only `seed_everything`, `data` and `detector` are read, so that the file that a model is
    trained with serves its reference detectors too. Options stand above files, later files above earlier ones.

    Args:
        name: The command's name.
        arguments: What follows it.

    Returns:
        The parser and the settings: run, seed_everything, detector and data.

    Raises:
        ConfigurationError: If a file cannot be read, or the detector is missing or unknown.
    """
    chosen, rest = _look_ahead(arguments)
    files = [_sections(Path(path)) for path in chosen.config]
    detector = chosen.detector or next(
        (file["detector"]["name"] for file in reversed(files) if "detector" in file), None
    )
    if detector is None and not any(option in rest for option in _HELP):
        raise ConfigurationError(f"--detector.name is missing; choose one of {', '.join(DETECTORS)}")
    if detector is not None and detector not in DETECTORS:
        raise ConfigurationError(f"--detector.name {detector} does not exist; choose one of {', '.join(DETECTORS)}")
    parser = _parser(name, detector)
    options = []
    for file in files:
        if file.get("detector", {}).get("name") != detector:
            file.pop("detector", None)  # the settings of another detector
        options += ["--config", json.dumps(file)]
    if detector is not None:
        options += ["--detector.name", detector]
    return parser, parser.parse_args([*options, *rest])


def _parser(name: str, detector: str | None) -> ExperimentParser:
    parser = ExperimentParser(
        prog=f"{PROGRAM} {name}", description="Fit a reference detector on the training clips, score the test clips."
    )
    parser.add_argument(*_CONFIG, action=ActionConfigFile, help="Configuration of a stage, of `detect` or of a model.")
    parser.add_argument("--run", type=str, required=True, help="Folder of the run; the results lie in its `test`.")
    parser.add_argument("--seed_everything", type=NonNegativeInt, default=0, help="Seed of what a detector draws.")
    parser.add_argument("--detector.name", type=str, required=True, help=f"One of {', '.join(DETECTORS)}.")
    if detector is not None:
        parser.add_class_arguments(DETECTORS[detector], "detector", skip={"seed"}, instantiate=False)
    parser.add_lightning_class_args(SpectrogramDataModule, "data", subclass_mode=True)
    return parser


def _look_ahead(arguments: list[str]) -> tuple[argparse.Namespace, list[str]]:
    """Find the detector, whose settings the parser has to know, and the files; leave the rest to the parser."""
    first = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    first.add_argument(*_CONFIG, action="append", default=[])
    first.add_argument("--detector.name", dest="detector")
    try:
        return first.parse_known_args(arguments)
    except argparse.ArgumentError as error:
        raise ConfigurationError(str(error)) from error


def _sections(path: Path) -> dict[str, Any]:
    """What `detect` reads of a configuration file.

    Raises:
        ConfigurationError: If it is no configuration, or names no detector where it has settings of one.
    """
    config = {key: value for key, value in read_config(path).items() if key in _SECTIONS}
    if "detector" in config and not (isinstance(config["detector"], dict) and "name" in config["detector"]):
        raise ConfigurationError(f"{path}: detector has no name; choose one of {', '.join(DETECTORS)}")
    return config
