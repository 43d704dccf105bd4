"""The copy of its YAML that a study's folder keeps."""

from __future__ import annotations

from pathlib import Path

from lightning_modules.files import write_atomically

_COPY = "study.yaml"
_ORIGIN = "study_origin.txt"
"""The path of the YAML that was copied, from whose folder the paths in it count."""


def keep(definition: Path, folder: Path) -> None:
    """Copy a study's YAML into the study's folder, unless it is the copy."""
    if _is_copy(definition, folder):
        return
    write_atomically(folder / _ORIGIN, str(definition).encode())
    write_atomically(folder / _COPY, definition.read_bytes())


def origin(definition: Path, folder: Path) -> Path:
    """The folder from which the paths in a YAML count: its own, or, for the copy, that of the copied one."""
    noted = folder / _ORIGIN
    if _is_copy(definition, folder) and noted.is_file():
        return Path(noted.read_text(encoding="utf-8")).parent
    return definition.parent


def _is_copy(definition: Path, folder: Path) -> bool:
    copy = folder / _COPY
    return copy.is_file() and definition.is_file() and copy.samefile(definition)
