"""Classes by name: those of this package, of the user's own modules, and of installed plugins."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import TypeVar

from lightning_modules.errors import ConfigurationError, first_line

PLUGINS = "faithful_aad.plugins"
"""Group of the entry points of other distributions, each of which is a class."""

ROOT = Path(__file__).resolve().parents[1]
OWN_PACKAGES = ("datamodules", "experiments", "explainers", "lightning_modules", "metrics")

T = TypeVar("T")


def search_current_folder_last() -> None:
    """Let modules in the current folder be imported, after those of installed packages.

    `python -m` and PYTHONPATH=. put the current folder first, where a folder `metrics` would hide that of this package.
    The packages of an editable install come after all folders, so they are imported before the current one joins.

    Raises:
        ConfigurationError: If a folder on PYTHONPATH hides a package of ours.
    """
    folder = str(Path.cwd())
    if folder != str(ROOT):
        sys.path[:] = [entry for entry in sys.path if entry not in ("", folder)]
    if hidden := hidden_package():
        raise ConfigurationError(hidden)
    for name in OWN_PACKAGES:
        import_module(name)
    if folder != str(ROOT):
        sys.path.append(folder)


def find_class(name: str, base: type[T], known: Mapping[str, type[T]], example: str) -> type[T]:
    """The class that a name means: a key or class of `known`, a dotted path, or the name or class of a plugin.

    Args:
        name: What the user gave.
        base: The class that it has to be, or to be derived from.
        known: Classes of this package by their short names.
        example: Dotted path that a message gives as an example.

    Raises:
        ConfigurationError: If the class does not exist, its module fails, or it is not derived from `base`.

    Example:
        >>> find_class("dict", dict, {}, "my_lab.MyDict")
        Traceback (most recent call last):
        lightning_modules.errors.ConfigurationError: 'dict' does not exist; give a class path such as my_lab.MyDict
        >>> find_class("collections.OrderedDict", dict, {}, "my_lab.MyDict")
        <class 'collections.OrderedDict'>
    """
    by_class = {choice.__name__: choice for choice in known.values()}
    if name in known or name in by_class:
        return known.get(name) or by_class[name]
    if "." in name:
        found = import_class(name)
        if isinstance(found, type) and issubclass(found, base):
            return found
        raise ConfigurationError(f"{name!r} is {_wrong_kind(found, base)}")
    plugin = find_plugin(name, base)
    if plugin is None:
        choices = f"choose one of {', '.join(known)}, or" if known else "give"
        raise ConfigurationError(f"{name!r} does not exist; {choices} a class path such as {example}")
    return plugin


def import_class(path: str) -> object:
    """Import what a dotted path names.

    Raises:
        ConfigurationError: If the module does not exist, fails, or does not contain it; the message says which.
    """
    module, _, attribute = path.rpartition(".")
    if not all(part.isidentifier() for part in path.split(".")):
        raise ConfigurationError(f"{path!r} is not a class path, such as my_lab.modules.MyClass")
    try:
        found = import_module(module)
    except Exception as error:  # whatever a user's module raises
        raise ConfigurationError(f"{path!r} can't be imported: {_import_mistake(module, error)}") from error
    try:
        return getattr(found, attribute)
    except AttributeError:
        close = get_close_matches(attribute, [name for name in dir(found) if not name.startswith("_")])
        meant = f"; did you mean {' or '.join(close)}?" if close else ""
        where = getattr(found, "__file__", None) or ", ".join(getattr(found, "__path__", [])) or "built in"
        raise ConfigurationError(
            f"{path!r} does not exist: {module} ({where}) contains no {attribute}{meant}{_hidden_hint(module)}"
        ) from None


def find_plugin(name: str, base: type[T]) -> type[T] | None:
    """The class of an installed distribution whose entry point, or whose class, has a name; None if there is none.

    Raises:
        ConfigurationError: If it can't be imported or is not derived from `base`, or there are several.
    """
    named = [entry for entry in entry_points(group=PLUGINS) if name in (entry.name, entry.attr)]
    loaded = [(entry, _load(name, entry)) for entry in named]
    found = {each for _, each in loaded if isinstance(each, type) and issubclass(each, base)}
    if len(found) > 1:
        paths = " and ".join(sorted(f"{each.__module__}.{each.__qualname__}" for each in found))
        raise ConfigurationError(f"{name!r} is the name of several plugins; give a class path: {paths}")
    if named and not found:
        raise ConfigurationError(f"{name!r}, {_described(named[0])}, is {_wrong_kind(loaded[0][1], base)}")
    return next(iter(found), None)


def hidden_package() -> str:
    """Which folder of the user's hides a package of ours, and what to do; "" where none does."""
    for name in OWN_PACKAGES:
        spec = find_spec(name)
        paths = [Path(path) for path in (spec and spec.submodule_search_locations) or []]
        if paths and all(path.resolve().parent != ROOT for path in paths):
            return f"{paths[0]} hides the package {name!r} of faithful-aad; rename it, or take it off PYTHONPATH"
    return ""


def _load(name: str, entry: EntryPoint) -> object:
    try:
        return entry.load()
    except Exception as error:  # whatever a plugin raises
        raise ConfigurationError(
            f"{name!r}, {_described(entry)}, can't be imported: {_import_mistake(entry.module, error)}"
        ) from error


def _described(entry: EntryPoint) -> str:
    distribution = f" of {entry.dist.name}" if entry.dist else ""
    return f"a plugin{distribution} ({entry.value})"


def _wrong_kind(found: object, base: type) -> str:
    if not isinstance(found, type):
        return f"not a class but a {type(found).__name__}; give a subclass of {base.__module__}.{base.__qualname__}"
    return f"not a subclass of {base.__module__}.{base.__qualname__}"


def _import_mistake(module: str, error: Exception) -> str:
    """Why a module can't be imported: it is not there, or an error in it or what it imports."""
    if isinstance(error, ModuleNotFoundError) and f"{module}.".startswith(f"{error.name}."):
        return (
            f"there is no module {error.name}{_hidden_hint(module)}; run the command in its folder, install it, or put "
            "its folder on PYTHONPATH"
        )
    return f"{first_line(error)} ({type(error).__name__}{_place(error)})"


def _place(error: Exception) -> str:
    """Where the user's code raised an error: the innermost line that is not of the import system."""
    if isinstance(error, SyntaxError):
        return f", {error.filename}, line {error.lineno}"
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not _is_of_python(frame.filename)]
    return f", {frames[-1].filename}, line {frames[-1].lineno}" if len(frames) > 1 else ""


def _is_of_python(filename: str) -> bool:
    return filename.startswith("<") or filename == import_module.__code__.co_filename


def _hidden_hint(module: str) -> str:
    """That a folder of the user's is hidden by a package of ours, "" if none is."""
    name = module.partition(".")[0]
    hidden = [folder for folder in _folders(name) if folder.resolve().parent != ROOT]
    if name not in OWN_PACKAGES or not hidden:
        return ""
    return f" ({hidden[0]} is hidden by the package {name!r} of faithful-aad; rename it)"


def _folders(name: str) -> Iterator[Path]:
    for entry in sys.path:
        folder = Path(entry or os.curdir) / name
        if folder.is_dir():
            yield folder
