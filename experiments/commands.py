"""The commands that train nothing, each a function whose signature is its command line."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jsonargparse import auto_cli

from experiments.main import PROGRAM
from experiments.parser import OneLineErrors


def run_report(name: str, arguments: list[str]) -> None:
    """Run `faithful-aad report`."""
    from experiments.report import report  # noqa: PLC0415

    _run(report, name, arguments)


def run_simulate(name: str, arguments: list[str]) -> None:
    """Run `faithful-aad simulate`."""
    from datamodules.simulator import simulate  # noqa: PLC0415

    _run(simulate, name, arguments)


def _run(function: Callable[..., Any], name: str, arguments: list[str]) -> None:
    auto_cli(function, args=arguments, prog=f"{PROGRAM} {name}", parser_class=OneLineErrors)
