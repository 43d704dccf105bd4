"""Reading annotations of any format."""

from __future__ import annotations

from pathlib import Path

from datamodules.annotations import audacity, authors, plain
from datamodules.annotations.rows import AnnotationRow, Complain, refuse
from datamodules.annotations.table import read_table

ANNOTATION_FILE = "annotations.csv"
"""Name of the annotation file that is looked for in the data root."""

_EXPECTED = f"{', '.join(plain.REQUIRED)}, or the columns of the published planer annotations"


def read_annotations(path: Path, complain: Complain = refuse) -> list[AnnotationRow]:
    """Read the planer authors' CSV as published, a plain one in seconds, or label tracks of Audacity.

    Args:
        path: A CSV file, a label track (``.txt``) or a folder of label tracks.
        complain: What to do about a row that cannot be read; to raise the error is the default.

    Raises:
        DataError: The file cannot be read, lacks a column, or has text where an interval should stand.
    """
    if annotation_format(path) == "audacity":
        return list(audacity.read(path, complain))
    table = read_table(path)
    layout = authors if authors.FILE in table.header else plain
    table.require(layout.REQUIRED, _EXPECTED)
    for error in table.malformed:
        complain(error)
    return list(layout.read(table, complain))


def annotation_format(path: Path) -> str:
    """``audacity``, ``authors`` or ``csv``, by what the path is and what columns there are.

    Raises:
        DataError: The file cannot be read.
    """
    if path.is_dir() or path.suffix.lower() == audacity.SUFFIX:
        return "audacity"
    return "authors" if authors.FILE in read_table(path).header else "csv"
