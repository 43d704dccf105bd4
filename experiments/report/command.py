"""`faithful-aad report`: from run folders to a comparison."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from experiments.figures import write_atomically
from experiments.report.comparison import Comparison, load_comparison
from experiments.report.page import build_page
from experiments.report.summary import clips_in_words
from experiments.report.tables import all_tables
from experiments.report.terminal import print_table
from lightning_modules.errors import ConfigurationError


def print_comparison(comparison: Comparison) -> None:
    """Print what the runs rest on and their tables."""
    console = Console(highlight=False)
    console.print(clips_in_words(comparison), markup=False)
    for table in all_tables(comparison):
        print_table(console, table)


def report(runs: list[str], output: str = "report.html") -> None:
    """Compare tested runs in a table and on one self-contained HTML page.

    Args:
        runs: Folders of runs that `faithful-aad test` was run on, tested on the same clips.
        output: The HTML file to write; an older one is replaced.

    Raises:
        ConfigurationError: If a run is missing, unfinished or tested on other clips than the first, or the page cannot
            be written.
    """
    path = Path(output)
    if path.is_dir():
        raise ConfigurationError(f"{output} is a folder; --output has to name the HTML file to write")
    comparison = load_comparison([Path(run) for run in runs])
    page = build_page(comparison)

    print_comparison(comparison)
    try:
        write_atomically(path, page.encode())
    except OSError as error:
        raise ConfigurationError(f"{output} cannot be written ({error.strerror}); give another --output") from error
    print(path)
