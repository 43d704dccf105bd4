"""Reading the scalars of a stage, ``metrics.csv``."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any


def read_scalars(path: Path) -> list[dict[str, Any]]:
    """Read the rows of a ``metrics.csv``, as they stand there; none where there is no file."""
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))
