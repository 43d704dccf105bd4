"""`faithful-aad report`: from run folders to a comparison."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from experiments.report.comparison import Comparison, load_comparison
from experiments.report.export import write_tables
from experiments.report.page import build_page
from experiments.report.paper_figures import write_figures
from experiments.report.summary import findings, preface
from experiments.report.tables import all_tables
from experiments.report.terminal import print_table
from lightning_modules.errors import ConfigurationError
from lightning_modules.files import write_atomically


def print_comparison(comparison: Comparison) -> None:
    """Print what the runs rest on, the tables that fit, and what they say."""
    console = Console(highlight=False)
    console.print("\n\n".join(preface(comparison)), markup=False)
    for table in all_tables(comparison):
        print_table(console, table)
    for sentence in findings(comparison):
        console.print(f"\n{sentence}", markup=False)


def report(runs: list[str], output: str = "report.html", tables: str | None = None, figures: str | None = None) -> None:
    """Compare tested runs and studies in tables, figures and on one self-contained HTML page.

    Args:
        runs: Folders of runs that `faithful-aad test` was run on, or of studies, tested on the same clips.
        output: The HTML file to write; an older one is replaced.
        tables: Folder for each table as CSV and LaTeX; `report_tables` beside `report.html` by default.
        figures: Folder for the paper's figures as PDF; `report_figures` beside `report.html` by default.

    Raises:
        ConfigurationError: If a run is missing, unfinished or tested on other clips than the first, or a file cannot
            be written.
    """
    path = Path(output)
    if path.is_dir():
        raise ConfigurationError(f"{output} is a folder; --output has to name the HTML file to write")
    folders = [_folder(name, path, option) for name, option in ((tables, "tables"), (figures, "figures"))]
    comparison = load_comparison([Path(run) for run in runs])
    page = build_page(comparison)

    print_comparison(comparison)
    try:
        write_tables(all_tables(comparison), folders[0])
        write_figures(comparison, folders[1])
        write_atomically(path, page.encode())
    except OSError as error:
        name = error.filename or output
        raise ConfigurationError(f"{name} cannot be written ({error.strerror}); give another --output") from error
    for written in (*folders, path):
        print(written)


def _folder(named: str | None, page: Path, option: str) -> Path:
    folder = page.with_name(f"{page.stem}_{option}") if named is None else Path(named)
    if folder.exists() and not folder.is_dir():
        raise ConfigurationError(f"{folder} is a file; --{option} has to name a folder")
    return folder
