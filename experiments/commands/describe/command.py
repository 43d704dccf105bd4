"""`faithful-aad data describe`: what a data set holds, and what is wrong with it."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from rich.console import Console

from datamodules.description import Findings, LayoutName, Survey, find, survey
from datamodules.errors import DataError
from experiments.commands.describe.page import build_page
from experiments.commands.describe.problems import problem_tables
from experiments.commands.describe.rows import to_csv
from experiments.commands.describe.tables import (
    annotations_table,
    channels_table,
    clips_table,
    formats_table,
    level_tables,
)
from experiments.commands.describe.words import summarise
from experiments.report.terminal import print_table
from lightning_modules.files import write_atomically


def describe(
    folder: str,
    layout: LayoutName | None = None,
    annotations: str | None = None,
    output: str = "data.html",
    workers: int | None = None,
    channel: int | Literal["mix"] = "mix",
) -> None:
    """Describe a data set in tables, in words and on one self-contained HTML page, with a CSV of all clips beside it.

    Args:
        folder: Folder of the data set; of DCASE and MIMII the folder of all machines, or of one.
        layout: How the clips lie there: planer, dcase, mimii or folder; found out by default.
        annotations: CSV of annotated intervals; `annotations.csv` in the folder by default, if there.
        output: The HTML file to write; an older one, and the CSV beside it, is replaced.
        workers: Clips read at a time, one per core by default.
        channel: Which channel of the recordings is trained on: its index from 0, or mix, the mean of all channels.

    Raises:
        DataError: If the folder has none of the layouts, or a file cannot be written.
    """
    page = Path(output)
    if page.is_dir():
        raise DataError(f"{output} is a folder; --output has to name the HTML file to write")
    if annotations is not None and not Path(annotations).is_file():
        raise DataError(f"--annotations {annotations} is not a file; name a CSV file of annotations")
    surveyed = survey(Path(folder), layout, None if annotations is None else Path(annotations), workers, channel)
    findings = find(surveyed)
    _print(surveyed, findings)
    rows = page.with_suffix(".csv")
    try:
        write_atomically(rows, to_csv(surveyed, findings).encode())
        write_atomically(page, build_page(surveyed, findings).encode())
    except OSError as error:
        raise DataError(
            f"{error.filename or output} cannot be written ({error.strerror}); give another --output"
        ) from error
    for written in (rows, page):
        print(written)


def _print(surveyed: Survey, findings: Findings) -> None:
    console = Console(highlight=False)
    tables = [clips_table(surveyed), formats_table(surveyed), *level_tables(surveyed, findings)]
    for table in [*tables, channels_table(surveyed), *problem_tables(surveyed, findings), annotations_table(surveyed)]:
        if table is not None:
            print_table(console, table)
    for sentence in summarise(surveyed, findings):
        console.print(f"\n{sentence}", markup=False)
