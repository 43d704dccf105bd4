"""Files in folders: those that are looked for, and those that are left out."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from datamodules.errors import DataError

_UNRELATED_SUFFIXES = (
    ".bib", ".bmp", ".cfg", ".conf", ".css", ".csv", ".db", ".doc", ".docx", ".gif", ".htm", ".html", ".ini", ".ipynb",
    ".jpeg", ".jpg", ".js", ".json", ".jsonl", ".lnk", ".lock", ".log", ".m", ".md", ".md5", ".ods", ".odt", ".pdf",
    ".pkf", ".png", ".ppt", ".pptx", ".py", ".reapeaks", ".rst", ".rtf", ".sfk", ".sh", ".sha1", ".sha256", ".svg",
    ".tex", ".textgrid", ".tif", ".tiff", ".toml", ".tsv", ".txt", ".url", ".xls", ".xlsx", ".xml", ".yaml", ".yml",
)  # fmt: skip
"""Suffixes of what lies beside clips and was never meant to be one; any other file that is left out is told of."""


def walk(folder: Path) -> Iterator[Path]:
    """All files in a folder at any depth, linked folders included; hidden ones and what macOS adds are passed over.

    A folder that can be reached in several ways, by links to it or in a circle, is looked through once: as what it is
    if it lies there itself, else under the first link.

    Raises:
        DataError: A folder cannot be read.
    """

    def fail(error: OSError) -> None:
        raise DataError(f"{error.filename} cannot be read: {error.strerror}") from None

    seen: set[Path] = set()
    links = [folder]
    for start in links:  # grows meanwhile
        for parent, folders, files in os.walk(start, onerror=fail):
            real = Path(parent).resolve()
            if real in seen:
                folders.clear()
                continue
            seen.add(real)
            folders[:] = sorted(name for name in folders if not _is_hidden(name))
            links += [link for name in folders if (link := Path(parent, name)).is_symlink()]
            yield from (Path(parent, name) for name in sorted(files) if not _is_hidden(name))


def find_files(folder: Path, suffixes: Sequence[str]) -> tuple[list[Path], list[Path]]:
    """Files in a folder at any depth, in the order of their names.

    A broken link is listed as well, so that reading it fails instead of going on with fewer clips.

    Args:
        folder: The folder.
        suffixes: Suffixes of the files that are looked for, in lower case.

    Returns:
        The files with the suffixes, and the others that were not obviously meant for something else.

    Raises:
        DataError: A folder cannot be read.
    """
    found, others = [], []
    for path in sorted(walk(folder)):
        if path.suffix.lower() in suffixes and (path.is_file() or not path.exists()):
            found.append(path)
        elif not _is_unrelated(path):
            others.append(path)
    return found, others


def left_out_text(files: Sequence[Path]) -> str:
    """What to tell of files that cannot be read as clips; empty where there are none."""
    if not files:
        return ""
    count = Counter(path.suffix.lower() or "without a suffix" for path in files)
    kinds = ", ".join(f"{number:,} {suffix}" for suffix, number in count.most_common())
    return (
        f"left out {len(files):,} {'file' if len(files) == 1 else 'files'} that cannot be read ({kinds}), as "
        f"{files[0]}; convert recordings to WAV or FLAC"
    )


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name == "__MACOSX"


def _is_unrelated(path: Path) -> bool:
    """Whether a file is a text, table, image or the like; names in capitals are README, LICENSE and so on."""
    if not path.suffix:
        return path.name.isupper() or path.name == "Makefile"
    return path.suffix.lower() in _UNRELATED_SUFFIXES
