"""Spectrograms computed once and kept on disk."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from hashlib import blake2b
from pathlib import Path
from uuid import uuid4

import numpy as np
from numpy.lib.format import open_memmap
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from datamodules.errors import DataError
from datamodules.frontend import FrontEndSettings, LogMelFrontEnd
from datamodules.spectrograms import load_spectrogram

_FORMAT = 1
"""Part of every entry's name: raise it when the same file and settings give other values."""

_WORKERS = min(4, os.cpu_count() or 1)
_PROGRESS_FROM_CLIPS = 50


@dataclass(frozen=True)
class CacheEntry:
    """A spectrogram in the cache.

    Attributes:
        path: Its file.
        n_frames: Number of its frames.
    """

    path: Path
    n_frames: int

    def open(self) -> NDArray[np.float32]:
        """Map it into memory: (F, T) in dB, read-only."""
        return open_memmap(self.path, mode="r")


class SpectrogramCache:
    """A folder of spectrograms, one ``.npy`` a clip.

    An entry is named after the clip's bytes and the front end's settings: a renamed or moved clip is found
    again, a changed one is computed anew. Entries are written under a temporary name first, so that several
    processes may share the folder. Nothing is ever deleted.

    Args:
        folder: Where the entries lie; the user's cache folder if ``None``.
        settings: The front end's settings.
    """

    def __init__(self, folder: Path | None, settings: FrontEndSettings) -> None:
        self.folder = default_cache_folder() if folder is None else folder
        self._frontend = LogMelFrontEnd(settings)
        self._key = blake2b(json.dumps([_FORMAT, asdict(settings)]).encode()).digest()

    def fill(self, paths: Sequence[Path]) -> list[CacheEntry]:
        """Make sure that every clip has a sound entry, computing those that are missing or damaged.

        Args:
            paths: Files of clips.

        Returns:
            The entry of each clip, in the same order.

        Raises:
            DataError: The first clip that cannot be used, or a cache folder that cannot be written.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise self._unwritable(error) from None
        with ThreadPoolExecutor(_WORKERS) as pool:
            return list(
                track(
                    pool.map(self._entry, paths),
                    description="Reading clips",
                    total=len(paths),
                    console=Console(stderr=True),
                    transient=True,
                    disable=len(paths) < _PROGRESS_FROM_CLIPS,
                )
            )

    def _entry(self, clip: Path) -> CacheEntry:
        try:
            digest = blake2b(clip.read_bytes(), key=self._key, digest_size=20).hexdigest()
        except OSError as error:
            raise DataError(f"{clip} cannot be read: {error.strerror}") from None
        path = self.folder / f"{digest}.npy"
        return self._find(path) or self._compute(clip, path)

    def _find(self, path: Path) -> CacheEntry | None:
        """The entry, or ``None`` where there is none or one whose header is damaged."""
        try:
            with np.errstate(over="ignore"):  # of a size beyond all bounds, which is refused
                spectrogram = open_memmap(path, mode="r")
            size = path.stat().st_size
        except Exception:  # the header is Python source: a damaged one raises whatever the tokenizer does
            return None
        bands, *frames = spectrogram.shape
        sound = (
            spectrogram.dtype == np.float32
            and spectrogram.flags.c_contiguous
            and bands == self._frontend.settings.n_mels
            and len(frames) == 1
            and size == spectrogram.offset + spectrogram.nbytes
        )
        return CacheEntry(path, *frames) if sound else None

    def _compute(self, clip: Path, path: Path) -> CacheEntry:
        spectrogram = load_spectrogram(clip, self._frontend).contiguous().numpy()
        try:
            _write_atomically(path, spectrogram)
        except OSError as error:
            raise self._unwritable(error) from None
        return CacheEntry(path, spectrogram.shape[1])

    def _unwritable(self, error: OSError) -> DataError:
        return DataError(
            f"--data.cache_dir {self.folder} cannot be written: {error.strerror or error}; choose another folder"
        )


def default_cache_folder() -> Path:
    """The user's cache folder for spectrograms, ``$XDG_CACHE_HOME/faithful-aad/spectrograms`` by default.

    Raises:
        DataError: This user has no home.
    """
    base = Path(os.environ.get("XDG_CACHE_HOME", ""))
    if not base.is_absolute():  # which the standard says to ignore
        try:
            base = Path.home() / ".cache"
        except RuntimeError:
            raise DataError(
                "this user has no home to keep spectrograms in; name a folder with --data.cache_dir"
            ) from None
    return base / "faithful-aad" / "spectrograms"


def _write_atomically(path: Path, spectrogram: NDArray[np.float32]) -> None:
    temporary = path.with_name(f".{uuid4().hex}.part")
    try:
        with temporary.open("wb") as file:
            contents = io.BytesIO()  # of a full disk, NumPy itself tells numbers of bytes only
            np.save(contents, spectrogram, allow_pickle=False)
            file.write(contents.getbuffer())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
