"""Tables in the terminal."""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from experiments.report.tables import MISSING, Table, only_columns


def print_table(console: Console, table: Table) -> None:
    """Print the columns that fit a terminal with title and note, groups set apart and the best numbers in bold."""
    shown = table if table.brief is None else only_columns(table, table.brief)
    if not shown.header:
        return
    rich = RichTable(box=box.SIMPLE_HEAD, pad_edge=False)
    for i, name in enumerate(shown.header):
        rich.add_column(Text(name), justify="left" if i < shown.names else "right", no_wrap=i < 1)
    for group in shown.groups:
        values = [cell.text for row in group for cell in row[shown.names :]]
        if values and set(values) == {MISSING}:
            continue
        for row in group:
            rich.add_row(*(Text(cell.text, style="bold" if cell.best else "") for cell in row))
        rich.add_section()
    console.print(Text(f"\n{table.title}", style="bold"), rich, Text(table.note, style="dim"), sep="\n")
