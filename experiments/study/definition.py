"""A study's YAML: read, checked, and copied into the study's folder."""

from __future__ import annotations

import glob
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from experiments.configs import shipped_file
from experiments.runs.config import read_yaml
from experiments.study.resources import NO_REQUEST, SlurmSettings
from lightning_modules.errors import ConfigurationError
from lightning_modules.files import write_atomically

Options = dict[str, Any]
"""Values by the option's name on the command line, without its dashes."""

Grid = dict[str, list[tuple[Any, Any]]]
"""The values of each option that is varied, as pairs of label and value."""

# Options of the runs, whose interpolations are those of a run's configuration.
_OPTIONS = ("fit", "curve", "test", "grid", "test_grid")
_SETTINGS = ("seeds", *_OPTIONS, "slurm")
# Options that the study gives every run, and what to do instead.
_OWN_OPTIONS = {"config": "remove it", "run": "remove it", "seed_everything": "list seeds"}
_CURVE_CHECKPOINTS = 8
"""Checkpoints of each training in a study with curves, unless its options say another number."""
_COPY = "study.yaml"
# Contains the path of the YAML that was copied.
_ORIGIN = "study_origin.txt"


@dataclass(frozen=True)
class Variant:
    """One of the models that a study compares.

    Attributes:
        name: For example AE.
        seeds: Its seeds.
        fit: Options of `fit`.
        curve: Options of `curve`, None where no curve is made.
        test: Options of `test`.
        grid: Options of `fit` that are varied.
        test_grid: Options of `test` that are varied on each trained model.
        slurm: What its jobs request from a cluster.
    """

    name: str
    seeds: list[int]
    fit: Options
    curve: Options | None
    test: Options
    grid: Grid
    test_grid: Grid
    slurm: SlurmSettings


def read_definition(path: Path, slurm: SlurmSettings = NO_REQUEST) -> list[Variant]:
    """Read what a study compares.

    Options at the top of the file apply to every variant. A variant's own `fit`, `curve` and `test` are added to them
    and win; its own `seeds`, `grid` and `test_grid` replace them. With `curve`, which may be empty, each training keeps
    checkpoints that are evaluated, except in a variant with ``curve: null``. Configurations are names of the package's,
    or paths relative to the YAML's folder or, for the copy in a study's folder, to that of the copied file.

    A grid's values may be given as a pattern of folders, relative to the current folder as other paths in options are;
    each folder that matches is a value, and its name the label.

    Interpolations in options name keys of a run's configuration, as on its command line; others keys of the file.

    Args:
        path: The YAML.
        slurm: The cluster's options on the command line. They win over those at the top of the file, and a variant's
            own win over them: the command line says what all runs request, the variant what it needs instead.

    Raises:
        ConfigurationError: If the file is missing or not a study; the message names the key.
    """
    if not path.is_file():
        raise ConfigurationError(f"{path} is not a file; name the YAML of a study")
    top = _top(path)
    variants = top.mapping("variants")
    if not variants:
        raise ConfigurationError(f"{path}: variants is missing; name what the study compares, each with its config")
    origin = path.with_name(_ORIGIN)
    is_copy = path.name == _COPY and origin.is_file()
    folder = Path(origin.read_text(encoding="utf-8")).parent if is_copy else path.parent
    return [
        _variant(top, name, _Section(path, f"variants.{name}.", contents), folder, slurm)
        for name, contents in variants.items()
    ]


def check_overrides(overrides: Sequence[str], variants: Sequence[Variant]) -> None:
    """Raise a ConfigurationError if options for all trainings replace what tells the runs apart.

    Args:
        overrides: What follows ``--`` on the command line.
        variants: What the study compares.
    """
    for word in overrides:
        if not word.startswith("-"):
            continue
        option = word.partition("=")[0]
        name = "config" if option == "-c" else option.removeprefix("--").removesuffix("+")
        if name in _OWN_OPTIONS:
            raise ConfigurationError(f"{option} after -- is given by the study; {_OWN_OPTIONS[name]}")
        for variant in variants:
            varied = {_without_init_args(key) for key in variant.grid}
            if _without_init_args(name) in varied:
                raise ConfigurationError(
                    f"{option} after -- would replace the values that grid gives variants.{variant.name}; remove one"
                )


def _without_init_args(option: str) -> str:
    """The short name of a class's argument: ``model.init_args.patch_size`` is ``model.patch_size``."""
    return option.replace(".init_args.", ".")


def copy_definition(path: Path, folder: Path) -> None:
    """Copy a study's YAML into the study's folder, unless it is that copy."""
    copy = folder / _COPY
    if not (copy.is_file() and copy.samefile(path)):
        write_atomically(folder / _ORIGIN, str(path).encode())
        write_atomically(copy, path.read_bytes())


def read_common_slurm(path: Path, slurm: SlurmSettings) -> SlurmSettings:
    """What all jobs request, by the top of a study's YAML and the command line; see `read_definition`."""
    return _top(path).slurm().updated(slurm)


def _top(path: Path) -> _Section:
    top = _Section(path, "", read_yaml(path, except_in=_OPTIONS))
    top.check_keys("variants", *_SETTINGS)
    return top


def _variant(top: _Section, name: str, own: _Section, folder: Path, slurm: SlurmSettings) -> Variant:
    own.check_keys("config", *_SETTINGS)
    if "/" in name or name.startswith("."):
        raise ConfigurationError(f"{own.path}: the variant {name!r} can't be the name of a folder")
    config = own.contents.get("config")
    if config is None:
        raise ConfigurationError(
            f"{own.path}: variants.{name}.config is missing; name a YAML of `fit` next to the study, or "
            "one that `faithful-aad configs` lists"
        )
    file = folder / str(config)
    # A name stays a name in the command lines, which do not depend on where the package is installed.
    given = str(file) if file.is_file() else str(config)
    what = f"{own.path}: variants.{name}.config"
    if not file.is_file() and shipped_file(given, "fit", what) is None:
        raise ConfigurationError(f"{what} {config} is not a file ({file})")

    def section(key: str) -> _Section:
        return own if key in own.contents else top

    has_curve = section("curve").contents.get("curve") is not None
    for_curve: Options = {"curve_checkpoints": _CURVE_CHECKPOINTS} if has_curve else {}
    return Variant(
        name=name,
        seeds=section("seeds").seeds(),
        fit={"config": given} | for_curve | top.options("fit") | own.options("fit"),
        curve=top.options("curve") | own.options("curve") if has_curve else None,
        test=top.options("test") | own.options("test"),
        grid=section("grid").grid("grid"),
        test_grid=section("test_grid").grid("test_grid"),
        slurm=top.slurm().updated(slurm).updated(own.slurm()),
    )


def _matching_folders(pattern: str) -> list[Path]:
    """The folders that a pattern such as ``data/spliced/*`` matches, in the order of their names."""
    paths = map(Path, glob.glob(str(Path(pattern).expanduser())))  # noqa: PTH207  takes absolute patterns too
    return sorted(path for path in paths if path.is_dir())


@dataclass(frozen=True)
class _Section:
    """A mapping in the file, and the dotted prefix of its keys."""

    path: Path
    where: str
    contents: Any

    def __post_init__(self) -> None:
        if not isinstance(self.contents, Mapping):
            name = self.where.rstrip(".") or "the file"
            raise ConfigurationError(f"{self.path}: {name} is {self.contents!r}, not a mapping of options")

    def check_keys(self, *known: str) -> None:
        for key in self.contents:
            if key not in known:
                raise self._error(key, f" does not exist; choose from {', '.join(known)}")

    def mapping(self, key: str) -> dict[str, Any]:
        section = _Section(self.path, f"{self.where}{key}.", self.contents.get(key) or {})
        return {str(name): value for name, value in section.contents.items()}

    def options(self, key: str) -> Options:
        """Options of a command under a key, except those that the study itself gives every run."""
        options = self.mapping(key)
        for name in options:
            if name in _OWN_OPTIONS:
                raise self._error(f"{key}.{name}", f" is given by the study; {_OWN_OPTIONS[name]}")
        return options

    def seeds(self) -> list[int]:
        seeds = self.contents.get("seeds", [0])
        if not isinstance(seeds, Sequence) or not seeds or not all(type(s) is int and 0 <= s < 2**32 for s in seeds):
            raise self._error("seeds", f" is {seeds!r}; list whole numbers from 0 to {2**32 - 1}")
        if len(set(seeds)) < len(seeds):
            raise self._error("seeds", f" {seeds} contain a duplicate")
        return list(seeds)

    def grid(self, key: str) -> Grid:
        """The values of each varied option: a list, a mapping of labels to values, or a pattern of folders."""
        grid: Grid = {}
        for option, values in self.options(key).items():
            if isinstance(values, Mapping) and values:
                grid[option] = [(str(label), value) for label, value in values.items()]
            elif isinstance(values, list) and values:
                grid[option] = [(value, value) for value in values]
            elif isinstance(values, str) and glob.has_magic(values):
                grid[option] = [(path.name, str(path)) for path in _matching_folders(values)]
                if not grid[option]:
                    raise self._error(f"{key}.{option}", f" is {values!r}, and no folder below {Path.cwd()} matches")
            else:
                raise self._error(f"{key}.{option}", f" is {values!r}; give a list of values")
            labels = [str(label) for label, _ in grid[option]]
            if len(set(labels)) < len(labels):
                raise self._error(f"{key}.{option}", f" {labels} contain a duplicate")
        return grid

    def slurm(self) -> SlurmSettings:
        """What jobs request from a cluster."""
        settings = _Section(self.path, f"{self.where}slurm.", self.mapping("slurm"))
        settings.check_keys(*(field.name for field in fields(SlurmSettings)))
        try:
            return SlurmSettings(**settings.contents)
        except ConfigurationError as error:
            raise ConfigurationError(f"{self.path}: {self.where}{error}") from None

    def _error(self, key: str, what: str) -> ConfigurationError:
        return ConfigurationError(f"{self.path}: {self.where}{key}{what}")
