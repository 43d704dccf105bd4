"""`faithful-aad annotations convert`: annotations from one format to another."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from datamodules.annotations import convert_annotations


def convert(
    file: str,
    to: Literal["authors", "audacity", "csv"],
    output: str,
    seconds: float = 10.0,
    manifest: str | None = None,
) -> None:
    """Write annotations in another format: the planer authors' CSV, label tracks of Audacity, or a plain CSV.

    Args:
        file: CSV of annotations, label track of Audacity, or folder of label tracks.
        to: Format to write.
        output: File to write, or for Audacity a folder, which gets a label track for each clip.
        seconds: Length of a clip, s, from which follows where in its minute a clip named …_K lies.
        manifest: The manifest.csv of sliced recordings, if the annotations are of whole recordings.

    Raises:
        DataError: As `convert_annotations`.
    """
    intervals = convert_annotations(
        Path(file), to, Path(output), seconds, None if manifest is None else Path(manifest)
    )  # fmt: skip
    print(f"{intervals:,} intervals in {output}")
