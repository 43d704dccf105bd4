"""What a table is, and how its numbers are formatted and printed."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from rich import box
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

MISSING = "–"

_BOLD = "Bold: the best mean of its group as printed, without a test."


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

    A table leaves out columns of numbers, and rows, in which every number is missing.

    Attributes:
        title: What the table shows.
        note: What it is based on.
        header: Names of the columns.
        groups: Rows, the first `names` cells of which are names, the others numbers.
        names: Number of columns with names.
        name: Stem of the table's files.
        explained: What columns and marks mean: the end of a column's or a cell's text in lower case, and a sentence.
        terminal: Columns that a terminal shows, all if empty.
        latex: Columns of the LaTeX table, those of the terminal if empty.
        keep: Columns that stay even if every number is missing.
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
    latex: tuple[str, ...] = ()
    keep: tuple[str, ...] = ()
    is_detail: bool = False

    def __post_init__(self) -> None:
        """Leave out rows and columns without a number; a table that has no number keeps its rows."""
        numbers = range(self.names, len(self.header))
        found = {i for i in numbers if any(row[i].text != MISSING for row in self.rows)}
        kept = [i for i, name in enumerate(self.header) if i < self.names or i in found or name in self.keep]
        groups = (
            tuple(
                tuple(row[i] for i in kept)
                for row in group
                if not found or any(row[i].text != MISSING for i in numbers)
            )
            for group in self.groups
        )
        object.__setattr__(self, "header", tuple(self.header[i] for i in kept))
        object.__setattr__(self, "groups", tuple(filter(None, groups)))

    @property
    def rows(self) -> list[Row]:
        """The rows of all groups."""
        return [row for group in self.groups for row in group]

    @property
    def shown_groups(self) -> list[list[Row]]:
        """The rows for readers: of several names, the first is left out where it repeats the one above."""
        return [
            [
                (Cell(""), *row[1:]) if self.names > 1 and i and row[0] == group[i - 1][0] else row
                for i, row in enumerate(group)
            ]
            for group in self.groups
        ]

    @property
    def header_lines(self) -> list[list[str]]:
        """The header, each name in lines that are no wider than the widest cell or word of the column."""
        lines = []
        for i, name in enumerate(self.header):
            width = max(len(text) for text in (" ", *name.split(), *(row[i].text for row in self.rows)))
            lines.append(textwrap.wrap(name, width, break_on_hyphens=False))
        return lines

    @property
    def width(self) -> int:
        """Characters of a line, with two between columns."""
        columns = enumerate(self.header_lines)
        return sum(2 + max(map(len, [*lines, *(row[i].text for row in self.rows)])) for i, lines in columns) - 2

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
    """A group of rows with the same first name."""
    names = [(Cell(name), Cell(label)) for label in labels]
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
    header = ["\n".join(lines) for lines in shown.header_lines]
    gap = int(shown.width <= console.width)
    rich = RichTable(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, gap, 0, 0))
    for i, name in enumerate(header):
        if i < shown.names:  # in several lines if need be, but words stay whole
            longest = max(len(word) for row in shown.rows for word in (" ", *row[i].text.split()))
            rich.add_column(Text(name), min_width=longest, overflow="fold")
        else:
            rich.add_column(Text(name), justify="right", no_wrap=True)
    for group in shown.shown_groups:
        for row in group:
            rich.add_row(*(Text(cell.text, style="bold" if cell.best else "") for cell in row))
        if any(len(of_group) > 1 for of_group in shown.groups):
            rich.add_section()
    legend = [Text(shown.legend, style="dim")] if shown.legend else []
    console.print(Text(f"\n{table.title}", style="bold"), rich, *legend, sep="\n")


def _rounded(value: float) -> str:
    text = f"{value:.3f}"
    return "0.000" if text == "-0.000" else text.replace("-", "−")
