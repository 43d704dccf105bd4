"""The commands that train nothing, each a function whose signature is its command line."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from experiments.main import PROGRAM
from experiments.parser import OneLineErrors
from lightning_modules.errors import ConfigurationError

Action = Callable[[str, list[str]], None]
"""Runs a command, given its name and what follows it."""

_POSITIONALS = {
    "runs": "folders of tested runs, or of studies",
    "root": "folder to write",
    "annotations": "CSV of annotations",
    "definition": "YAML of the study; options that follow -- are added to every training",
}


def run_report(name: str, arguments: list[str]) -> None:
    """Run `faithful-aad report RUN…`."""
    from experiments.report import report  # noqa: PLC0415

    _run(report, name, arguments, positional="runs", nargs="+")


def run_dashboard(name: str, arguments: list[str]) -> None:
    """Run `faithful-aad dashboard`."""
    from experiments.tracking.dashboard import dashboard  # noqa: PLC0415

    _run(dashboard, name, arguments)


def run_simulate(name: str, arguments: list[str]) -> None:
    """Run `faithful-aad simulate ROOT`."""
    from datamodules.simulator import simulate  # noqa: PLC0415

    _run(simulate, name, arguments, positional="root")


def run_chance(name: str, arguments: list[str]) -> None:
    """Run `faithful-aad chance ANNOTATIONS`."""
    from experiments.chance_levels import chance  # noqa: PLC0415

    _run(chance, name, arguments, positional="annotations")


def run_bench(name: str, arguments: list[str]) -> None:
    """Run `faithful-aad bench`."""
    from experiments.bench.command import bench  # noqa: PLC0415

    _run(bench, name, arguments)


def run_study(name: str, arguments: list[str]) -> None:
    """Run `faithful-aad study STUDY [options] [-- options of every training]`."""
    from experiments.study.command import study  # noqa: PLC0415

    end = arguments.index("--") if "--" in arguments else len(arguments)
    _run(study, name, arguments[:end], positional="definition", given={"overrides": arguments[end + 1 :]})


def _run_action(name: str, arguments: list[str], actions: Mapping[str, Action]) -> None:
    """Run the one of a command's actions that the first argument names, as in `faithful-aad data describe`."""
    action, *rest = arguments or [""]
    if action in actions:
        actions[action](f"{name} {action}", rest)
    elif action in ("-h", "--help"):
        print(f"usage: {PROGRAM} {name} {{{','.join(actions)}}} …\n\nEach has a --help of its own.")
    else:
        raise ConfigurationError(f"{PROGRAM} {name} {action}".rstrip() + f": choose one of {', '.join(actions)}")


def _run(
    function: Callable[..., Any],
    name: str,
    arguments: list[str],
    positional: str | None = None,
    nargs: str | None = None,
    given: Mapping[str, Any] | None = None,
) -> None:
    """Call a function with what its command line says.

    Args:
        function: Its arguments are options but for the positional and the given ones.
        name: The command's name.
        arguments: What follows it.
        positional: The argument that is given without its name.
        nargs: How many values that takes, one by default.
        given: Arguments with values that do not come from the command line.
    """
    parser = OneLineErrors(prog=f"{PROGRAM} {name}", description=(function.__doc__ or "").partition("\n")[0])
    if positional is not None:
        parser.add_argument(positional, nargs=nargs, help=_POSITIONALS[positional])
    given = dict(given or {})
    parser.add_function_arguments(function, skip={*given, *([positional] if positional else [])})
    function(**parser.parse_args(arguments).as_dict(), **given)
