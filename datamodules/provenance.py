"""What says that a data set was not recorded as it is."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from datamodules.errors import DataError

PROVENANCE_FILE = "provenance.json"
"""Name of the file in the root of a data set, and in the folder of each stage of a run on it."""


@dataclass(frozen=True)
class Provenance:
    """How a constructed data set came about.

    Attributes:
        constructed: The way in few words, which follow "constructed": "by splicing".
        description: What was done, in a sentence.
        settings: What makes the same set again.
    """

    constructed: str
    description: str
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def mark(self) -> str:
        """What has to stand by everything that is measured on the set.

        Example:
            >>> Provenance("by splicing", "").mark
            'Test set constructed by splicing.'
        """
        return f"Test set constructed {self.constructed}."


def write_provenance(folder: Path, provenance: Provenance) -> None:
    """Mark a folder as what belongs to a constructed data set."""
    text = json.dumps(asdict(provenance), indent=2, ensure_ascii=False) + "\n"
    temporary = folder / f".{PROVENANCE_FILE}.tmp"
    try:
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(folder / PROVENANCE_FILE)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


def read_provenance(folder: Path) -> Provenance | None:
    """Read how a data set was constructed, None where it carries no mark.

    Raises:
        DataError: The file is damaged.
        OSError: The system does not let it be read.
    """
    path = folder / PROVENANCE_FILE
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        return Provenance(str(stored["constructed"]), str(stored["description"]), dict(stored["settings"]))
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} cannot be read ({error}); make the data set or run the stage again") from None
