"""The scalars of a stage, ``metrics.csv``: read, written as a whole, and restored for a resumed training."""

from __future__ import annotations

import csv
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from experiments.runs.folder import DAMAGED, read_scalars
from lightning_modules.files import write_rows
from lightning_modules.wording import counted

PENDING = "scalars_due"
"""Key of a checkpoint's scalars that were not in the file when it was written."""


def restore_scalars(path: Path, checkpoint: Mapping[str, Any]) -> None:
    """Restore a ``metrics.csv`` to the moment at which a checkpoint was written, for a training that resumes there.

    Later rows are dropped, and the checkpoint's pending row is added if it is missing. A damaged file is kept under
    another name. Missing epochs are reported on standard error.
    """
    aside = ""
    try:
        rows = read_scalars(path)
        kept = [row for row in rows if int(row["step"]) < checkpoint["global_step"]]
    except (ValueError, KeyError, TypeError, csv.Error):
        rows, kept = [], []
        aside = f"; what was there is damaged and kept as {path.replace(path.with_suffix(DAMAGED)).name}"
    pending = checkpoint.get(PENDING, {})
    if pending and not any(row["step"] == str(pending["step"]) and all(map(row.get, pending)) for row in kept):
        kept.append(pending)
    logged = {str(row.get("epoch")) for row in kept}
    n_missing = sum(str(epoch) not in logged for epoch in range(checkpoint["epoch"]))
    if n_missing or aside:
        print(f"warning: {path} lacks {counted(n_missing, 'epoch')} before this one{aside}", file=sys.stderr)
    if kept != rows:
        write_scalars(path, kept)


def write_scalars(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write the rows of a ``metrics.csv`` as a whole."""
    columns = sorted(set().union(*rows))
    write_rows(path, columns, ([row.get(column, "") for column in columns] for row in rows))
