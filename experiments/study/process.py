"""The process of a step, started alike on this machine and on a node of a cluster; imports next to nothing."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path


def start(command: Sequence[str], log: Path, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """Start a command of `faithful-aad` that does not outlive this process.

    Args:
        command: The command line, beginning with the command's name.
        log: Takes whatever it writes, behind what stands there.
        environment: Its environment variables.
    """
    with log.open("ab") as output:
        return subprocess.Popen(
            [sys.executable, "-m", "experiments.study.step", *command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=dict(environment),
        )


def reason(log: Path, status: int) -> str:
    """Why a process failed: the last line that it wrote, or else its status."""
    lines = log.read_text(encoding="utf-8", errors="replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), f"ended with status {status}")
