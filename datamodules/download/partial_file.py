"""A file on its way: the bytes that have come, and which version of the source they belong to."""

from __future__ import annotations

import json
from pathlib import Path
from typing import BinaryIO


class PartialFile:
    """``NAME.part`` beside the file that it is to become, with a note of its source in ``NAME.part.json``.

    Args:
        path: The file that it is to become.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.with_name(f"{path.name}.part")
        self._finished = path
        self._note = path.with_name(f"{path.name}.part.json")

    @property
    def size(self) -> int:
        """Bytes that have come."""
        return self.path.stat().st_size if self.path.exists() else 0

    def etag(self, url: str) -> str | None:
        """The entity tag that came with the first byte, if that came from this address and tells versions apart."""
        try:
            note = json.loads(self._note.read_text(encoding="utf-8"))
            tag = str(note["etag"] or "") if note["url"] == url else ""
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return tag if tag and not tag.startswith("W/") else None

    def restart(self, url: str, etag: str | None) -> BinaryIO:
        """Open it empty, for the version of the source that has this entity tag."""
        self.discard()
        self._note.write_text(json.dumps({"url": url, "etag": etag}), encoding="utf-8")
        return self.path.open("wb")

    def go_on(self) -> BinaryIO:
        """Open it for what follows."""
        return self.path.open("ab")

    def discard(self) -> None:
        """Remove it."""
        self.path.unlink(missing_ok=True)
        self._note.unlink(missing_ok=True)

    def finish(self) -> Path:
        """Give it its name."""
        self.path.replace(self._finished)
        self._note.unlink(missing_ok=True)
        return self._finished
