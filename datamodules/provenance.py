"""How a data set that was not recorded as it is was constructed."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from datamodules.errors import DataError
from lightning_modules.files import write_atomically

PROVENANCE_FILE = "provenance.json"
"""Name of the file in the root of a data set, and in the folder of each stage of a run on it."""


@dataclass(frozen=True)
class Provenance:
    """How a data set was constructed.

    Attributes:
        constructed: How, in words that follow "constructed", for example "by splicing".
        description: What was done, in a sentence.
        settings: Settings that reproduce the set.
    """

    constructed: str
    description: str
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def mark(self) -> str:
        """The caution that accompanies everything that is measured on the set.

        Example:
            >>> Provenance("by splicing", "").mark
            'Test set constructed by splicing.'
        """
        return f"Test set constructed {self.constructed}."


def write_provenance(folder: Path, provenance: Provenance) -> None:
    """Mark a folder as part of a constructed data set."""
    text = json.dumps(asdict(provenance), indent=2, ensure_ascii=False) + "\n"
    write_atomically(folder / PROVENANCE_FILE, text.encode())


def read_provenance(folder: Path) -> Provenance | None:
    """Read how a data set was constructed; None if it has no such mark. Raises a DataError for a damaged file."""
    path = folder / PROVENANCE_FILE
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        return Provenance(str(stored["constructed"]), str(stored["description"]), dict(stored["settings"]))
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} cannot be read ({error}); make the data set or run the stage again") from None
