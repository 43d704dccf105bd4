"""Tables as files: CSV for programs, LaTeX for papers."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from experiments.report.tables import Cell, Table
from lightning_modules.files import write_atomically

_LATEX = {
    **{character: f"\\{character}" for character in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "±": r"$\pm$",
    "×": r"$\times$",
    "≤": r"$\leq$",
    "<": r"$<$",
    ">": r"$>$",
    "−": "$-$",
    "–": "--",
    "²": "$^2$",
}


def write_tables(tables: Sequence[Table], folder: Path) -> None:
    """Write each table as CSV and LaTeX, each file complete or not at all."""
    for table in tables:
        write_atomically(folder / f"{table.name}.csv", to_csv(table).encode())
        write_atomically(folder / f"{table.name}.tex", to_latex(table).encode())


def to_csv(table: Table) -> str:
    """The table with every name in every row, and numbers at full precision.

    A column that shows several numbers becomes several: "F1", "F1 sd", "F1 low" and "F1 high". Missing ones are empty.
    """
    rows = [row for group in table.groups for row in _filled(group, table.names)]
    parts = [_parts([row[i] for row in rows]) for i in range(len(table.header))]
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(
        f"{column} {part}".strip() for column, of in zip(table.header, parts, strict=True) for part in of or [""]
    )
    for row in rows:
        writer.writerow(value for cell, of in zip(row, parts, strict=True) for value in _values(cell, of))
    return file.getvalue()


def to_latex(table: Table) -> str:
    """The table for a document that loads booktabs, its note in the caption."""
    columns = "l" * table.names + "r" * (len(table.header) - table.names)
    bodies = (" \\\\\n".join(" & ".join(map(_latex_cell, row)) for row in group) for group in table.groups)
    return (
        "\\begin{table}\n\\centering\n"
        f"\\caption{{{_escape(table.title)}. {_escape(table.note)}}}\n\\label{{tab:{table.name}}}\n"
        f"\\begin{{tabular}}{{{columns}}}\n\\toprule\n"
        f"{' & '.join(map(_escape, table.header))} \\\\\n\\midrule\n"
        + " \\\\\n\\midrule\n".join(filter(None, bodies))
        + " \\\\\n\\bottomrule\n\\end{tabular}\n\\end{table}\n"
    )


def _filled(group: Sequence[tuple[Cell, ...]], names: int) -> list[tuple[Cell, ...]]:
    """Rows with the names that a printed table leaves out because they repeat."""
    rows: list[tuple[Cell, ...]] = []
    for row in group:
        above = rows[-1] if rows else row
        filled = (cell if cell.text else above[i] for i, cell in enumerate(row[:names]))
        rows.append((*filled, *row[names:]))
    return rows


def _parts(cells: Sequence[Cell]) -> list[str]:
    """Which numbers a column holds; none where it is text."""
    return list(dict.fromkeys(part for cell in cells for part, _ in cell.numbers))


def _values(cell: Cell, parts: Sequence[str]) -> list[str]:
    if not parts:
        return [cell.text]
    numbers = dict(cell.numbers)
    return [f"{numbers[part]:.8g}" if part in numbers else "" for part in parts]


def _latex_cell(cell: Cell) -> str:
    text = _escape(cell.text)
    return f"\\textbf{{{text}}}" if cell.best else text


def _escape(text: str) -> str:
    return "".join(_LATEX.get(character, character) for character in text)
