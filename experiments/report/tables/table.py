"""What a table is, whatever it is printed as."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from experiments.report.comparison import Comparison
from experiments.report.evidence import Estimate

MISSING = "–"


@dataclass(frozen=True)
class Cell:
    """A table's cell.

    Attributes:
        text: What it says.
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
        note: On what it rests and how to read it.
        header: Names of the columns.
        groups: Rows, the first `names` cells of which are names, the others numbers.
        names: Number of columns that hold names; a name that repeats the one above in its group is left out.
        name: What files of the table are called.
        brief: Columns that a terminal shows, all if None; the table is left out there if empty.
    """

    title: str
    note: str
    header: tuple[str, ...]
    groups: tuple[tuple[Row, ...], ...]
    names: int
    name: str = ""
    brief: tuple[str, ...] | None = None


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
    rows = [row for group in table.groups for row in group]
    chosen = {
        column
        for i, column in enumerate(table.header)
        if i < table.names or column in keep or any(row[i].text != MISSING for row in rows)
    }
    return only_columns(table, chosen)


def number_cells(values: Sequence[float], mark_best: bool = True, lowest: bool = False) -> list[Cell]:
    """Numbers with three decimals, the best marked if what is shown differs."""
    return estimate_cells([Estimate(value) for value in values], mark_best, lowest)


def estimate_cells(estimates: Sequence[Estimate], mark_best: bool = True, lowest: bool = False) -> list[Cell]:
    """Means with three decimals, ± the standard deviation between runs; the best mean marked if what is shown differs.

    Args:
        estimates: The numbers of a group of rows; their intervals are columns of their own.
        mark_best: Whether to mark one.
        lowest: Whether the lowest is the best.
    """
    shown = [MISSING if math.isnan(estimate.mean) else f"{estimate.mean:.3f}" for estimate in estimates]
    choose = min if lowest else max
    different = {text for text in shown if text != MISSING}
    best = choose(different, key=float) if mark_best and len(different) > 1 else None
    return [
        Cell(
            text if math.isnan(estimate.sd) else f"{text} ± {estimate.sd:.3f}",
            text == best,
            tuple((name, value) for name, value in (("", estimate.mean), ("sd", estimate.sd)) if not math.isnan(value)),
        )
        for text, estimate in zip(shown, estimates, strict=True)
    ]


def interval_cells(intervals: Sequence[tuple[float, float]]) -> list[Cell]:
    """Intervals as `interval_text` has them."""
    return [
        Cell(MISSING) if math.isnan(low) else Cell(interval_text(low, high), numbers=(("low", low), ("high", high)))
        for low, high in intervals
    ]


def interval_text(low: float, high: float) -> str:
    """An interval with three decimals.

    Example:
        >>> interval_text(-0.0001, 0.19), interval_text(-0.25, 0.5)
        ('[0.000, 0.190]', '[−0.250, 0.500]')
    """
    return f"[{_rounded(low)}, {_rounded(high)}]"


def no_width(intervals: Sequence[tuple[float, float]]) -> str:
    """What to say of intervals that are shown without a width, nothing where there are none.

    Example:
        >>> no_width([(0.2, 0.4)])
        ''
        >>> no_width([(0.2, 0.4), (1.0, 1.0)]).partition(":")[0]
        ' An interval without a width, as [1.000, 1.000], is no certainty'
    """
    point = next((low for low, high in intervals if f"{low:.3f}" == f"{high:.3f}" != "nan"), None)
    if point is None:
        return ""
    return (
        f" An interval without a width, as {interval_text(point, point)}, is no certainty: a bootstrap only draws the "
        "clips at hand, and where all draws agree, as at the end of a scale, it cannot show how uncertain the value is."
    )


def signed_text(difference: float) -> str:
    """A difference with its sign and three decimals.

    Example:
        >>> signed_text(0.12), signed_text(-0.1), signed_text(-0.0001)
        ('+0.120', '−0.100', '0.000')
    """
    text = _rounded(difference)
    return text if text == "0.000" or text[0] == "−" else f"+{text}"


def p_cells(p_values: Sequence[float]) -> list[Cell]:
    """P-values as `p_text` has them."""
    return [
        Cell(MISSING) if math.isnan(p_value) else Cell(p_text(p_value), numbers=(("", p_value),))
        for p_value in p_values
    ]


def p_text(p_value: float) -> str:
    """A p-value with three decimals, or that it is smaller.

    Example:
        >>> p_text(0.0312), p_text(0.00001), p_text(0.9999)
        ('0.031', '<0.001', '1.000')
    """
    return "<0.001" if p_value < 0.001 else f"{p_value:.3f}"


def named_rows(name: str, labels: Sequence[str], columns: Sequence[Sequence[Cell]]) -> tuple[Row, ...]:
    """A group of rows, its name on the first only."""
    names = [(Cell(name if i == 0 else ""), Cell(label)) for i, label in enumerate(labels)]
    return tuple((*name_cells, *values) for name_cells, *values in zip(names, *columns, strict=True))


def capitalised(name: str) -> str:
    """A name at the beginning of a line.

    Example:
        >>> capitalised("frame-based faithfulness of AE")
        'Frame-based faithfulness of AE'
    """
    return name[:1].upper() + name[1:]


def ordinal(number: int) -> str:
    """A percentile as it is read.

    Example:
        >>> ordinal(98), ordinal(92), ordinal(11)
        ('98th', '92nd', '11th')
    """
    ending = {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th") if number % 100 not in (11, 12, 13) else "th"
    return f"{number}{ending}"


def shown_percentile(comparison: Comparison) -> str:
    """The percentile that tables show, as in "98th percentile"."""
    return f"{ordinal(comparison.percentiles[comparison.at])} percentile"


def _rounded(value: float) -> str:
    text = f"{value:.3f}"
    return "0.000" if text == "-0.000" else text.replace("-", "−")
