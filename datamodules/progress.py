"""Progress bars on standard error."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
    track,
)

T = TypeVar("T")


def progress_console() -> Console:
    """Where bars of clips are shown: only on a terminal, since they would leave empty lines in a log."""
    return Console(stderr=True, quiet=not sys.stderr.isatty())


def track_clips(clips: Iterable[T], description: str, total: int, at_least: int = 0) -> Iterable[T]:
    """Iterate with a bar that disappears at the end, if there are at least that many clips."""
    disable = total < at_least
    return track(clips, description, total, console=progress_console(), transient=True, disable=disable)


def download_progress() -> Progress:
    """Bars with bytes, speed and remaining time."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True, highlight=False),
    )
