"""The commands that train nothing, each a function whose signature is its command line."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from experiments.main import PROGRAM
from experiments.parser import OneLineErrors


def run_report(name: str, arguments: list[str]) -> None:
    """Run `faithful-aad report RUN…`."""
    from experiments.report import report  # noqa: PLC0415

    _run(report, name, arguments, positional="runs", nargs="+")


def run_simulate(name: str, arguments: list[str]) -> None:
    """Run `faithful-aad simulate ROOT`."""
    from datamodules.simulator import simulate  # noqa: PLC0415

    _run(simulate, name, arguments, positional="root")


def _run(
    function: Callable[..., Any], name: str, arguments: list[str], positional: str, nargs: str | None = None
) -> None:
    """Call a function with what its command line says; all but one of its arguments are options."""
    parser = OneLineErrors(prog=f"{PROGRAM} {name}", description=(function.__doc__ or "").partition("\n")[0])
    folders = "folders of tested runs" if nargs else "folder to write"
    parser.add_argument(positional, nargs=nargs, help=folders)
    parser.add_function_arguments(function, skip={positional})
    settings = parser.parse_args(arguments).as_dict()
    function(settings.pop(positional), **settings)
