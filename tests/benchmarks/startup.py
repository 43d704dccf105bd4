"""CPU time of commands until they answer, as ratios to the imports that they can't do without (`make startup`).

Commands that train nothing are compared with ``import torch``, stages with ``import lightning.pytorch``. All take
turns in processes of their own, so that whatever else the machine does slows all of them.
"""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from statistics import median

from jsonargparse import auto_cli
from rich.console import Console
from rich.table import Table

from experiments.cli.commands import COMMANDS, STAGE

IMPORTS = {"torch": 1.3, "lightning.pytorch": 1.25}
"""The imports that commands are compared with, and the largest ratio that is aimed at."""

_MAIN = "import sys; from experiments.cli.main import main; sys.exit(main(sys.argv[1:]))"


@dataclass(frozen=True)
class Timing:
    """CPU time of one command.

    Attributes:
        command: Its command line.
        against: The import that it is compared with, a key of `IMPORTS`.
        seconds: Median of its CPU time.
        ratio: Median of its CPU time over that of the import in the same turn.
    """

    command: str
    against: str
    seconds: float
    ratio: float


def command_lines() -> dict[str, str]:
    """What is measured: the help of every command, and mistakes, with the import that each is compared with."""
    helps = {f"{name} --help": STAGE if command.target == STAGE else "" for name, command in COMMANDS.items()}
    others = {"--help": "", "configs": "", "chance --no_such": "", "fit --no_such": STAGE, "test --run none": STAGE}
    return {line: "lightning.pytorch" if target else "torch" for line, target in (helps | others).items()}


def measure(lines: dict[str, str], repeats: int) -> list[Timing]:
    """Run command lines and the imports in turns.

    Args:
        lines: Command lines, and the import that each is compared with.
        repeats: Turns.
    """
    scripts = {name: [f"import {name}"] for name in IMPORTS}
    taken: dict[str, list[float]] = {name: [] for name in (*IMPORTS, *lines)}
    for _ in range(repeats):
        for name, seconds in taken.items():
            seconds.append(_cpu_seconds(scripts.get(name) or [_MAIN, *name.split()]))
    return [
        Timing(
            command=line,
            against=against,
            seconds=median(taken[line]),
            ratio=median(own / other for own, other in zip(taken[line], taken[against], strict=True)),
        )
        for line, against in lines.items()
    ]


def _cpu_seconds(script: list[str]) -> float:
    """CPU time of a Python process and its threads, s."""
    process = subprocess.Popen(
        [sys.executable, "-c", *script], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL
    )
    _, _, usage = os.wait4(process.pid, 0)
    return usage.ru_utime + usage.ru_stime


def main(repeats: int = 5) -> None:
    """Print how long commands take to answer.

    Args:
        repeats: Turns that the commands and the imports take.
    """
    table = Table("Command", "CPU s", "ratio", "to import", "aimed at")
    for timing in measure(command_lines(), repeats):
        aim = IMPORTS[timing.against]
        mark = "" if timing.ratio <= aim else " above"
        table.add_row(timing.command, f"{timing.seconds:.2f}", f"{timing.ratio:.2f}", timing.against, f"{aim}{mark}")
    Console().print(table)


if __name__ == "__main__":
    auto_cli(main, as_positional=False)
