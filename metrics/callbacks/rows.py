"""Per-clip results as files that are written as a whole or not at all."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lightning_modules.files import whole_file


def write_rows(path: Path, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write a CSV file as a whole or not at all.

    Numbers are written so that they read back the same.

    Args:
        path: The file; its folder is made where missing, an older file is replaced.
        columns: The header.
        rows: One sequence of values a line, as many as there are columns.
    """
    with whole_file(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)


def read_rows(path: Path) -> list[list[str]]:
    """Read the lines that `write_rows` wrote, as they stand there, without the header."""
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.reader(file))[1:]


def write_arrays(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write a compressed npz file as a whole or not at all.

    Args:
        path: The file; its folder is made where missing, an older file is replaced.
        arrays: What it holds, by name.
    """
    with whole_file(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)
