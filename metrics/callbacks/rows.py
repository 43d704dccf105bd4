"""Per-clip results as files that are written as a whole or not at all."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


def write_rows(path: Path, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write a CSV file as a whole or not at all.

    Numbers are written so that they read back the same.

    Args:
        path: The file; its folder is made where missing, an older file is replaced.
        columns: The header.
        rows: One sequence of values a line, as many as there are columns.
    """
    with _whole(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
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
    with _whole(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)


@contextmanager
def _whole(path: Path) -> Iterator[Path]:
    """A temporary name beside the file, which becomes the file if the block ends well."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
