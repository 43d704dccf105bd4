"""What a table is, and how it is written: in the terminal, as CSV for programs and as LaTeX for papers."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from rich import box
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from lightning_modules.files import write_atomically

MISSING = "–"

_BOLD = "Bold: the best mean of its group as printed, without a test."

_LATEX = str.maketrans(
    {
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
)


@dataclass(frozen=True)
class Cell:
    """A table's cell.

    Attributes:
        text: What it shows.
        best: Whether it is the best of its group, to be set in bold.
        numbers: The numbers behind the text at full precision, by what a data file adds to the column's name ("" for
            the value itself, "sd", "low", "high").
    """

    text: str
    best: bool = False
    numbers: tuple[tuple[str, float], ...] = ()


Row = tuple[Cell, ...]


@dataclass(frozen=True)
class Table:
    """Rows in groups within which models are compared.

    Attributes:
        title: What the table shows.
        note: What it is based on.
        header: Names of the columns.
        groups: Rows, the first `names` cells of which are names, the others numbers.
        names: Number of columns with names; a name that repeats the one above in its group is left out.
        name: Stem of the table's files.
        explained: What columns and marks mean: the end of a column's or a cell's text in lower case, and a sentence.
        terminal: Columns that a terminal shows, all if empty.
        is_detail: Whether a terminal leaves the table out.
    """

    title: str
    note: str
    header: tuple[str, ...]
    groups: tuple[tuple[Row, ...], ...]
    names: int
    name: str = ""
    explained: tuple[tuple[str, str], ...] = ()
    terminal: tuple[str, ...] = ()
    is_detail: bool = False

    @property
    def rows(self) -> list[Row]:
        """The rows of all groups."""
        return [row for group in self.groups for row in group]

    @property
    def legend(self) -> str:
        """The note, and what the columns and marks mean that the table has."""
        cells = [cell for row in self.rows for cell in row]
        texts = [f" {text.lower()}" for text in (*self.header, *(cell.text for cell in cells))]
        meanings = [said for what, said in self.explained if any(text.endswith(f" {what}") for text in texts)]
        bold = [_BOLD] * any(cell.best for cell in cells)
        return " ".join(filter(None, [self.note, *meanings, *bold]))


def only_columns(table: Table, chosen: Collection[str]) -> Table:
    """The table with some of its columns, in its own order."""
    kept = [i for i, column in enumerate(table.header) if column in chosen]
    return replace(
        table,
        header=tuple(table.header[i] for i in kept),
        groups=tuple(tuple(tuple(row[i] for i in kept) for row in group) for group in table.groups),
        names=sum(i < table.names for i in kept),
    )


def without_empty_columns(table: Table, keep: Collection[str] = ()) -> Table:
    """The table without the columns of numbers in which every cell is missing, except those to keep."""
    chosen = {
        column
        for i, column in enumerate(table.header)
        if i < table.names or column in keep or any(row[i].text != MISSING for row in table.rows)
    }
    return only_columns(table, chosen)


def number_cells(
    values: Iterable[float], sds: Iterable[float] | None = None, best: Literal["max", "min"] | None = None
) -> list[Cell]:
    """Numbers of a group of rows with three decimals.

    Args:
        values: The numbers, NaN where missing.
        sds: Standard deviations between runs, shown after ± where known.
        best: Which is the best, to be marked if what is shown differs; None to mark none.
    """
    values = [float(value) for value in values]
    shown = [MISSING if math.isnan(value) else f"{value:.3f}" for value in values]
    different = {text for text in shown if text != MISSING}
    marked = {"max": max, "min": min}[best](different, key=float) if best and len(different) > 1 else None
    found = []
    for text, value, sd in zip(shown, values, [math.nan] * len(values) if sds is None else sds, strict=True):
        numbers = tuple((name, number) for name, number in (("", value), ("sd", float(sd))) if not math.isnan(number))
        found.append(Cell(text if math.isnan(sd) else f"{text} ± {sd:.3f}", text == marked, numbers))
    return found


def interval_cells(lows: Iterable[float], highs: Iterable[float]) -> list[Cell]:
    """Intervals as `interval_text` shows them."""
    return [
        Cell(MISSING) if math.isnan(low) else Cell(interval_text(low, high), numbers=(("low", low), ("high", high)))
        for low, high in zip(lows, highs, strict=True)
    ]


def cells(values: Iterable[float], text: Callable[[float], str]) -> list[Cell]:
    """Numbers as a function formats them, such as `signed_text` or `p_text`; NaN where missing."""
    return [Cell(MISSING) if math.isnan(value) else Cell(text(value), numbers=(("", value),)) for value in values]


def named_rows(name: str, labels: Sequence[str], columns: Iterable[Sequence[Cell]]) -> tuple[Row, ...]:
    """A group of rows, its name on the first only."""
    names = [(Cell(name if i == 0 else ""), Cell(label)) for i, label in enumerate(labels)]
    return tuple((*name_cells, *values) for name_cells, *values in zip(names, *columns, strict=True))


def interval_text(low: float, high: float) -> str:
    """An interval with three decimals.

    Example:
        >>> interval_text(-0.0001, 0.19), interval_text(-0.25, 0.5)
        ('[0.000, 0.190]', '[−0.250, 0.500]')
    """
    return f"[{_rounded(low)}, {_rounded(high)}]"


def signed_text(difference: float) -> str:
    """A difference with its sign and three decimals.

    Example:
        >>> signed_text(0.12), signed_text(-0.1), signed_text(-0.0001)
        ('+0.120', '−0.100', '0.000')
    """
    text = _rounded(difference)
    return text if text == "0.000" or text[0] == "−" else f"+{text}"


def p_text(p_value: float) -> str:
    """A p-value with three decimals, or that it is smaller.

    Example:
        >>> p_text(0.0312), p_text(0.00001), p_text(0.9999)
        ('0.031', '<0.001', '1.000')
    """
    return "<0.001" if p_value < 0.001 else f"{p_value:.3f}"


def ordinal(number: int) -> str:
    """An ordinal number.

    Example:
        >>> ordinal(98), ordinal(92), ordinal(11)
        ('98th', '92nd', '11th')
    """
    ending = {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th") if number % 100 not in (11, 12, 13) else "th"
    return f"{number}{ending}"


def print_table(console: Console, table: Table) -> None:
    """Print the columns that fit a terminal with title and legend, groups set apart and the best numbers in bold."""
    shown = only_columns(table, table.terminal or table.header)
    rich = RichTable(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    for i, name in enumerate(shown.header):
        rich.add_column(Text(name), justify="left" if i < shown.names else "right", no_wrap=i < 1)
    for group in shown.groups:
        values = [cell.text for row in group for cell in row[shown.names :]]
        if values and set(values) == {MISSING}:
            continue
        for row in group:
            rich.add_row(*(Text(cell.text, style="bold" if cell.best else "") for cell in row))
        if any(len(of_group) > 1 for of_group in shown.groups):
            rich.add_section()
    legend = [Text(shown.legend, style="dim")] if shown.legend else []
    console.print(Text(f"\n{table.title}", style="bold"), rich, *legend, sep="\n")


def write_tables(tables: Sequence[Table], folder: Path) -> None:
    """Write each table as CSV and LaTeX, each file complete or not at all."""
    for table in tables:
        write_atomically(folder / f"{table.name}.csv", to_csv(table).encode())
        write_atomically(folder / f"{table.name}.tex", to_latex(table).encode())


def to_csv(table: Table) -> str:
    """The table with every name in every row, and numbers at full precision.

    A column that shows several numbers becomes several: "F1", "F1 sd", "F1 low" and "F1 high". Missing ones are empty.
    """
    rows = [row for group in table.groups for row in _with_names(group, table.names)]
    parts = [list(dict.fromkeys(part for row in rows for part, _ in row[i].numbers)) for i in range(len(table.header))]
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(
        f"{column} {part}".strip() for column, own in zip(table.header, parts, strict=True) for part in own or [""]
    )
    for row in rows:
        writer.writerow(value for cell, own in zip(row, parts, strict=True) for value in _values(cell, own))
    return file.getvalue()


def to_latex(table: Table) -> str:
    """The table for a document that loads booktabs, its note in the caption."""
    columns = "l" * table.names + "r" * (len(table.header) - table.names)
    bodies = (" \\\\\n".join(" & ".join(map(_latex_cell, row)) for row in group) for group in table.groups)
    return (
        "\\begin{table}\n\\centering\n"
        f"\\caption{{{_escape(table.title)}. {_escape(table.legend)}}}\n\\label{{tab:{table.name}}}\n"
        f"\\begin{{tabular}}{{{columns}}}\n\\toprule\n"
        f"{' & '.join(map(_escape, table.header))} \\\\\n\\midrule\n"
        + " \\\\\n\\midrule\n".join(filter(None, bodies))
        + " \\\\\n\\bottomrule\n\\end{tabular}\n\\end{table}\n"
    )


def _with_names(group: Sequence[Row], names: int) -> list[Row]:
    """Rows with the names that a printed table leaves out because they repeat."""
    rows: list[Row] = []
    for row in group:
        above = rows[-1] if rows else row
        rows.append((*(cell if cell.text else above[i] for i, cell in enumerate(row[:names])), *row[names:]))
    return rows


def _values(cell: Cell, parts: Sequence[str]) -> list[str]:
    if not parts:
        return [cell.text]
    numbers = dict(cell.numbers)
    return [f"{numbers[part]:.8g}" if part in numbers else "" for part in parts]


def _latex_cell(cell: Cell) -> str:
    text = _escape(cell.text)
    return f"\\textbf{{{text}}}" if cell.best else text


def _escape(text: str) -> str:
    return text.translate(_LATEX)


def _rounded(value: float) -> str:
    text = f"{value:.3f}"
    return "0.000" if text == "-0.000" else text.replace("-", "−")
