"""Tables in the terminal."""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from experiments.report.tables import Table


def print_table(console: Console, table: Table) -> None:
    """Print a table with its title and note, its groups set apart and the best numbers in bold."""
    rich = RichTable(box=box.SIMPLE_HEAD, pad_edge=False)
    for i, name in enumerate(table.header):
        rich.add_column(Text(name), justify="left" if i < table.names else "right", no_wrap=i == 0)
    for group in table.groups:
        for row in group:
            rich.add_row(*(Text(cell.text, style="bold" if cell.best else "") for cell in row))
        rich.add_section()
    console.print(Text(f"\n{table.title}", style="bold"), rich, Text(table.note, style="dim"), sep="\n")
