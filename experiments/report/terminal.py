"""What `faithful-aad report`, and `faithful-aad test` at its end, print."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from experiments.report.comparison import Comparison
from experiments.report.evidence import Evidence, compute_evidence
from experiments.report.findings import sentences, warnings
from experiments.report.loading import load_comparison
from experiments.report.table import Table, print_table
from experiments.report.tables import NOT_ABOVE_REFERENCES, overview_table


def print_report(comparison: Comparison, evidence: Evidence, tables: Iterable[Table]) -> None:
    """Print what was found, what to know before reading it, and the tables that fit."""
    print_findings(sentences(comparison, evidence), warnings(comparison, evidence), tables)


def print_summary(run: Path) -> None:
    """Print the results of a run that has just been tested on one screen.

    Args:
        run: The run's folder.
    """
    comparison = load_comparison([run])
    evidence = compute_evidence(comparison, headline_only=True)
    print_findings(sentences(comparison, evidence), warnings(comparison, evidence, seeds=False))
    console = Console(highlight=False)
    if comparison.headline:
        table = overview_table(comparison, evidence, with_published=False)
        columns = tuple(column for column in table.terminal if column != "Model")
        print_table(console, replace(table, note="", explained=(("*", NOT_ABOVE_REFERENCES),), terminal=columns))
    console.print(f"Results: {run / 'test'}. Tables, figures and a page: faithful-aad report {run}", markup=False)


def print_findings(found: Iterable[str], cautions: Iterable[str], tables: Iterable[Table] = ()) -> None:
    """Print sentences, warnings, and the tables that a terminal shows."""
    console = Console(highlight=False)
    for sentence in found:
        console.print(sentence, markup=False)
    for warning in cautions:
        console.print(f"Warning: {warning}", style="yellow", markup=False)
    for table in tables:
        if not table.is_detail:
            print_table(console, table)
