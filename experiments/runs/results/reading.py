"""What all readers share: a missing or damaged file is told in one line that names it."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lightning_modules.errors import ConfigurationError, first_line

Floats = NDArray[np.float64]


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Turn whatever a damaged file raises into one line that names it.

    Raises:
        ConfigurationError: If the block raises.
        OSError: If the system does not let the file be read.
    """
    try:
        yield
    except (ConfigurationError, OSError):
        raise  # that a file can't be read now says nothing of what is in it
    except Exception as error:  # what a reader raises depends on where the damage is
        message = f"{path} is damaged ({first_line(error)}); run the stage that wrote it again"
        raise ConfigurationError(message) from error


def read_rows(path: Path, columns: Sequence[str]) -> list[dict[str, str]]:
    """Read a CSV file that has at least these columns.

    Raises:
        ConfigurationError: If it lacks one or is damaged.
    """
    with naming(path), path.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        missing = [column for column in columns if column not in (reader.fieldnames or [])]
        if missing:
            raise ConfigurationError(f"{path} has no column {missing[0]!r}; run faithful-aad {path.parent.name} again")
        return list(reader)


def number(cell: str | None) -> float:
    """The number in a cell, NaN in an empty one.

    Example:
        >>> number("0.25"), number("")
        (0.25, nan)
    """
    return float(cell or "nan")


def unfinished(folder: Path, missing: Path) -> ConfigurationError:
    """The error of a run whose stage left no results."""
    stage = missing.parent.name
    return ConfigurationError(
        f"{folder} holds no {stage} results ({missing} is missing); run faithful-aad {stage} --run {folder}"
    )
