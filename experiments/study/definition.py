"""A study's YAML, read and checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments.runs.yaml_file import read_yaml
from lightning_modules.errors import ConfigurationError

Options = dict[str, Any]
"""Values by the option's name on the command line, without its dashes."""

Grid = dict[str, list[tuple[Any, Any]]]
"""The values of each option that is varied, each with the label that stands for it."""


_OWN_OPTIONS = ("config", "run", "seed_everything")


@dataclass(frozen=True)
class Variant:
    """One of the things that a study compares.

    Attributes:
        name: For example AE.
        detector: Name of a reference detector, None for a network that is trained.
        seeds: Its seeds.
        fit: Options of `fit`, or of `detect` for a detector.
        test: Options of `test`.
        grid: Options of `fit` that are varied.
        test_grid: Options of `test` that are varied on each trained network.
    """

    name: str
    detector: str | None
    seeds: list[int]
    fit: Options
    test: Options
    grid: Grid
    test_grid: Grid


def read_definition(path: Path, beside: Path | None = None) -> list[Variant]:
    """Read what a study compares.

    What stands at the top of the file holds for every variant; a variant's own options win.

    Args:
        path: The YAML.
        beside: Folder from which the paths of configurations count, that of the YAML by default.

    Raises:
        ConfigurationError: If the file is missing or no study; the message names the key.
    """
    top = _Section(path, "", _read(path))
    top.check_keys("seeds", "variants", "grid", "test_grid", "fit", "test")
    variants = top.mapping("variants")
    if not variants:
        raise ConfigurationError(f"{path}: variants is missing; name what the study compares, each with its config")
    for key in ("fit", "test", "grid", "test_grid"):
        top.check_free(key)
    return [
        _variant(top, name, _Section(path, f"variants.{name}.", variants[name]), beside or path.parent)
        for name in variants
    ]


def _variant(top: _Section, name: str, own: _Section, beside: Path) -> Variant:
    own.check_keys("config", "detector", "seeds", "grid", "fit", "test")
    if "/" in name or name.startswith("."):
        raise ConfigurationError(f"{own.path}: the variant {name!r} can't be the name of a folder")
    config = own.contents.get("config")
    if config is None:
        raise ConfigurationError(
            f"{own.path}: variants.{name}.config is missing; name a YAML of `fit` beside the study"
        )
    file = beside / str(config)
    if not file.is_file():
        raise ConfigurationError(f"{own.path}: variants.{name}.config {config} is not a file ({file})")
    detector = own.contents.get("detector")
    for key in ("fit", "test", "grid"):
        own.check_free(key)
    # A detector has neither network nor trainer, but is fitted to the same clips.
    common = {key: value for key, value in top.mapping("fit").items() if not detector or key.startswith("data")}
    return Variant(
        name=name,
        detector=None if detector is None else str(detector),
        seeds=(own if "seeds" in own.contents else top).seeds(),
        fit={"config": str(file)} | common | own.mapping("fit"),
        test=top.mapping("test") | own.mapping("test"),
        grid={} if detector else top.grid("grid") | own.grid("grid"),
        test_grid={} if detector else top.grid("test_grid"),
    )


@dataclass(frozen=True)
class _Section:
    """A mapping of the file, and where it stands."""

    path: Path
    where: str
    contents: Any

    def __post_init__(self) -> None:
        if not isinstance(self.contents, Mapping):
            name = self.where.rstrip(".") or "the file"
            raise ConfigurationError(f"{self.path}: {name} is {self.contents!r}, not a mapping of options")

    def check_keys(self, *known: str) -> None:
        """Refuse a key that means nothing."""
        for key in self.contents:
            if key not in known:
                raise ConfigurationError(
                    f"{self.path}: {self.where}{key} does not exist; choose from {', '.join(known)}"
                )

    def check_free(self, key: str) -> None:
        """Refuse options that the study itself gives every run."""
        for name in self.mapping(key):
            if name in _OWN_OPTIONS:
                hint = "list seeds" if name == "seed_everything" else "remove it"
                raise ConfigurationError(f"{self.path}: {self.where}{key}.{name} is given by the study; {hint}")

    def mapping(self, key: str) -> dict[str, Any]:
        """What stands under a key, by names; nothing where it is absent."""
        section = _Section(self.path, f"{self.where}{key}.", self.contents.get(key) or {})
        return {str(name): value for name, value in section.contents.items()}

    def seeds(self) -> list[int]:
        """The seeds, 0 by default."""
        seeds = self.contents.get("seeds", [0])
        if not isinstance(seeds, Sequence) or not seeds or not all(type(s) is int and 0 <= s < 2**32 for s in seeds):
            raise ConfigurationError(
                f"{self.path}: {self.where}seeds is {seeds!r}; list whole numbers from 0 to {2**32 - 1}"
            )
        if len(set(seeds)) < len(seeds):
            raise ConfigurationError(f"{self.path}: {self.where}seeds {seeds} name one twice")
        return list(seeds)

    def grid(self, key: str) -> Grid:
        """The values of each varied option: a list, or a mapping of labels to values."""
        grid: Grid = {}
        for option, values in self.mapping(key).items():
            if isinstance(values, Mapping) and values:
                grid[option] = [(str(label), value) for label, value in values.items()]
            elif isinstance(values, list) and values:
                grid[option] = [(value, value) for value in values]
            else:
                raise ConfigurationError(
                    f"{self.path}: {self.where}{key}.{option} is {values!r}; give a list of values"
                )
            labels = [str(label) for label, _ in grid[option]]
            if len(set(labels)) < len(labels):
                raise ConfigurationError(f"{self.path}: {self.where}{key}.{option} {labels} name a value twice")
        return grid


def _read(path: Path) -> Any:
    if not path.is_file():
        raise ConfigurationError(f"{path} is not a file; name the YAML of a study")
    return read_yaml(path)
