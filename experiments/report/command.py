"""`faithful-aad report`, and what `faithful-aad test` prints at its end."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from experiments.report.comparison import Comparison, load_comparison
from experiments.report.evidence import Evidence, compute_evidence
from experiments.report.findings import sentences, warnings
from experiments.report.table import Table, print_table
from experiments.report.table_files import write_tables
from experiments.report.tables import NOT_ABOVE_REFERENCES, all_tables, overview_table
from lightning_modules.errors import ConfigurationError
from lightning_modules.files import write_atomically


def print_report(comparison: Comparison, evidence: Evidence, tables: Iterable[Table]) -> None:
    """Print what was found, what to know before reading it, and the tables that fit."""
    console = Console(highlight=False)
    _print_findings(console, comparison, evidence)
    for table in tables:
        if not table.is_detail:
            print_table(console, table)


def print_summary(run: Path) -> None:
    """Print the results of a run that has just been tested on one screen.

    Args:
        run: The run's folder.
    """
    comparison = load_comparison([run])
    evidence = compute_evidence(comparison, headline_only=True)
    console = Console(highlight=False)
    _print_findings(console, comparison, evidence, seeds=False)
    if comparison.headline:
        table = overview_table(comparison, evidence, with_published=False)
        columns = tuple(column for column in table.terminal if column != "Model")
        print_table(console, replace(table, note="", explained=(("*", NOT_ABOVE_REFERENCES),), terminal=columns))
    console.print(f"Results: {run / 'test'}. Tables, figures and a page: faithful-aad report {run}", markup=False)


def _print_findings(console: Console, comparison: Comparison, evidence: Evidence, seeds: bool = True) -> None:
    for sentence in sentences(comparison, evidence):
        console.print(sentence, markup=False)
    for warning in warnings(comparison, evidence, seeds):
        console.print(f"Warning: {warning}", style="yellow", markup=False)


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
    # A test prints its summary without loading what draws pages and figures.
    from experiments.report.page import build_page  # noqa: PLC0415
    from experiments.report.paper_figures import write_figures  # noqa: PLC0415

    path = Path(output)
    if path.is_dir():
        raise ConfigurationError(f"{output} is a folder; --output has to name the HTML file to write")
    if path.suffix.lower() not in (".html", ".htm"):
        raise ConfigurationError(f"--output {output} has to end in .html: the report is an HTML page")
    folders = [_folder(name, path, option) for name, option in ((tables, "tables"), (figures, "figures"))]
    comparison = load_comparison([Path(run) for run in runs])
    evidence = compute_evidence(comparison)
    by_section = all_tables(comparison, evidence)
    every_table = [table for of_section in by_section.values() for table in of_section]
    page = build_page(comparison, evidence, by_section)

    print_report(comparison, evidence, every_table)
    try:
        write_tables(every_table, folders[0])
        write_figures(comparison, evidence, folders[1])
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
