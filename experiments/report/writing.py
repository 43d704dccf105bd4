"""From folders of runs to the files of a report: of one comparison, or of several machines, each alone and all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from matplotlib.figure import Figure

from experiments.report.comparison import Comparison, EvaluationSet
from experiments.report.evidence import Evidence, compute_evidence
from experiments.report.figures.forest import forest_plot
from experiments.report.figures.output import save
from experiments.report.findings import tested, warnings
from experiments.report.html import Folded, Remark, image, render_page
from experiments.report.loading import load_comparisons
from experiments.report.machines import (
    AREA,
    SUMMARY,
    Compared,
    MachineTable,
    machine_differences,
    machine_sentences,
    machine_tables,
)
from experiments.report.page import build_page
from experiments.report.paper_figures import write_figures
from experiments.report.table import Cell, Table
from experiments.report.table_files import write_tables
from experiments.report.tables import all_tables
from experiments.report.terminal import print_findings, print_report
from lightning_modules.errors import ConfigurationError
from lightning_modules.files import write_atomically
from lightning_modules.wording import counted, join

_REMARKS = 12
"""Sentences and warnings on top of the page over machines; further ones are folded."""


class Files(NamedTuple):
    """Where a report is written.

    Attributes:
        page: The HTML file.
        tables: Folder of CSV and LaTeX files.
        figures: Folder of PDF files.
    """

    page: Path
    tables: Path
    figures: Path

    def of(self, test_set: EvaluationSet) -> Files:
        """Those of one of several test sets."""
        page = self.page.with_name(f"{self.page.stem}_{test_set.stem}{self.page.suffix}")
        return Files(page, self.tables / test_set.stem, self.figures / test_set.stem)


def write_report(folders: Sequence[Path], files: Files) -> None:
    """Print and write the comparison of some runs and studies; of several machines, each one's and that over all.

    Args:
        folders: Of runs, which must be tested, and of studies.
        files: Where to write.

    Raises:
        ConfigurationError: If runs cannot be compared, or a file cannot be written.
    """
    comparisons, waiting = load_comparisons(folders)
    compared = {test_set: (of_set, compute_evidence(of_set)) for test_set, of_set in comparisons.items()}
    if len(compared) == 1:
        _write_comparison(*next(iter(compared.values())), files, printed=True)
    else:
        for test_set, of_set in compared.items():
            _write_comparison(*of_set, files.of(test_set), printed=False)
        _write_machines(compared, waiting, files)
    for written in (files.tables, files.figures, files.page):
        print(written)


def _write_comparison(comparison: Comparison, evidence: Evidence, files: Files, printed: bool) -> None:
    """Write the comparison on one test set, and print it if wanted."""
    by_section = all_tables(comparison, evidence)
    tables = [table for of_section in by_section.values() for table in of_section]
    page = build_page(comparison, evidence, by_section)
    if printed:
        print_report(comparison, evidence, tables)
    with _writing(files):
        write_tables(tables, files.tables)
        write_figures(comparison, evidence, files.figures)
        write_atomically(files.page, page.encode())


def _write_machines(compared: Compared, waiting: Sequence[Path], files: Files) -> None:
    """Print and write what models differ by over machines."""
    rows = machine_differences(compared)
    tables = machine_tables(compared, rows)
    found, cautions = machine_sentences(compared, rows), _cautions(compared, waiting)
    figures = {table.table.name: _figure(table) for table in tables if not table.table.is_detail}
    pages = _pages(compared, files)
    sections: dict[str, list[object]] = {
        "Detection": _parts([table for table in tables if table.measure == AREA], figures),
        "Explanations": _parts([table for table in tables if table.measure != AREA], figures),
        "Test sets": [pages],
    }
    remarks = [Remark("info", text) for text in found] + [Remark("warning", text) for text in cautions]
    n_machines = counted(len({test_set.machine for test_set in compared}), "machine")
    page = render_page(f"Models compared on {n_machines}", remarks, _REMARKS, sections)

    print_findings(found, cautions, [*(table.table for table in tables), pages])
    with _writing(files):
        write_tables([table.table for table in tables], files.tables)
        for name, figure in figures.items():
            save(figure, files.figures / f"{name}.pdf")
        write_atomically(files.page, page.encode())


@contextmanager
def _writing(files: Files) -> Iterator[None]:
    """Raise a ConfigurationError that names what cannot be written."""
    try:
        yield
    except OSError as error:
        name = error.filename or files.page
        raise ConfigurationError(f"{name} cannot be written ({error.strerror}); give another --output") from error


def _cautions(compared: Compared, waiting: Sequence[Path]) -> list[str]:
    """The warnings of all test sets, each once with the sets that it is about."""
    about: dict[str, list[str]] = {}
    for test_set, of_set in compared.items():
        for text in warnings(*of_set):
            about.setdefault(text, []).append(test_set.label)
    cautions = [text if len(of) == len(compared) else f"{join(of)}: {text}" for text, of in about.items()]
    if waiting:
        cautions.insert(0, f"{join([str(folder) for folder in waiting])}: no run on this machine is tested yet.")
    return cautions


def _figure(table: MachineTable) -> Figure:
    return forest_plot(table.rows, table.heading, SUMMARY)


def _parts(tables: Sequence[MachineTable], figures: dict[str, Figure]) -> list[object]:
    """Tables with their figures, then those that open on demand."""
    parts: list[object] = []
    for of_table in tables:
        table = of_table.table
        if table.name in figures:
            caption = f"{table.title}. Lines: 95 % intervals; diamonds: {SUMMARY.lower()}."
            parts += [table, image(figures[table.name], caption)]
    return [*parts, *(Folded(of_table.table.title, of_table.table) for of_table in tables if of_table.table.is_detail)]


def _pages(compared: Compared, files: Files) -> Table:
    """What each test set is, and the page about it."""
    rows = [
        tuple(map(Cell, (test_set.machine, test_set.part or "–", tested(comparison), files.of(test_set).page.name)))
        for test_set, (comparison, _) in compared.items()
    ]
    return Table("Test sets", "", ("Machine", "Part", "Runs and clips", "Page"), (tuple(rows),), names=4)
