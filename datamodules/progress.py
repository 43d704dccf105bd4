"""How far long work is, on standard error."""

from __future__ import annotations

import sys

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)


def progress_console() -> Console:
    """Where bars of clips are shown: a terminal, as in a log they would leave empty lines."""
    return Console(stderr=True, quiet=not sys.stderr.isatty())


def download_progress() -> Progress:
    """Bars with bytes, speed and the time left."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True, highlight=False),
    )
