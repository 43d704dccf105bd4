"""Files that are written as a whole or not at all."""

from __future__ import annotations

import csv
import os
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:  # takes half a second to import
    import pandas as pd


@contextmanager
def whole_file(path: Path, *, alone: bool = False) -> Iterator[Path]:
    """A temporary name beside a file, which becomes the file if the block ends well and is deleted otherwise.

    Args:
        path: The file; its folder is made where missing, an older file is replaced.
        alone: Whether no other process or thread writes it meanwhile;
            what a killed one has left of it is then written over.

    Raises:
        OSError: If the file can't be written. It names the file, which an error of a full disk doesn't by itself.
    """
    writer = "" if alone else f".{os.getpid()}-{threading.get_native_id()}"
    temporary = path.with_name(f".{path.name[:40]}{writer}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        temporary.replace(path)
    except OSError as error:
        if error.filename in (None, str(temporary)):
            error.filename, error.filename2 = str(path), None
        raise
    finally:
        with suppress(OSError):
            temporary.unlink()


def write_atomically(path: Path, contents: bytes) -> None:
    """Write a file that is never seen half-written; folders on the way are made.

    Raises:
        OSError: If the file can't be written; it names the file.
    """
    with whole_file(path) as temporary:
        temporary.write_bytes(contents)


def write_rows(path: Path, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write a CSV file as a whole or not at all; numbers read back the same.

    Args:
        path: The file; its folder is made where missing, an older file is replaced.
        columns: The header.
        rows: One sequence of values per line, as many as there are columns.
    """
    with whole_file(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)


def write_table(path: Path, table: pd.DataFrame) -> None:
    """Write a data frame as CSV, as a whole or not at all, without its index; NaN becomes an empty cell."""
    with whole_file(path) as temporary:
        table.to_csv(temporary, index=False)


def write_arrays(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write a compressed npz file as a whole or not at all.

    Args:
        path: The file; its folder is made where missing, an older file is replaced.
        arrays: Its arrays by name.
    """
    with whole_file(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)
