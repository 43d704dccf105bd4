"""Spectrograms computed once and kept on disk."""

from __future__ import annotations

import io
import json
import os
import struct
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass
from hashlib import blake2b
from pathlib import Path

import numpy as np
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

from datamodules.audio import Channel, SoundInfo, inspect
from datamodules.errors import DataError
from datamodules.frontend import FrontEndSettings, LogMelFrontEnd
from datamodules.progress import track_clips
from datamodules.spectrograms import TENSOR_SUFFIX, load_spectrogram
from lightning_modules.files import write_atomically

_FORMAT = 1
"""Part of every entry's name: increase it when the same file and settings give other values."""

_INFO = struct.Struct("<IId")
"""What follows the spectrogram of a recording: the fields of its :class:`~datamodules.audio.SoundInfo`."""

_WORKERS = min(4, os.cpu_count() or 1)
_PROGRESS_FROM_CLIPS = 50


@dataclass(frozen=True)
class CacheEntry:
    """A spectrogram in the cache; ``info`` is None for one that was published."""

    path: Path
    n_frames: int
    info: SoundInfo | None = None

    def open(self) -> NDArray[np.float32]:
        """Map it into memory: (F, T) in dB, read-only."""
        return open_memmap(self.path, mode="r")


class SpectrogramCache:
    """A folder of spectrograms, one ``.npy`` file per clip.

    An entry is named after the clip's bytes, the front end's settings and the channel: a renamed or moved clip is
    found again, a changed one is computed again. Several processes may share the folder. Nothing is ever deleted.

    Args:
        folder: Folder of the entries; the user's cache folder if ``None``.
        settings: The front end's settings.
        channel: Which channel of recordings to take.
    """

    def __init__(self, folder: Path | None, settings: FrontEndSettings, channel: Channel = "mix") -> None:
        self.folder = default_cache_folder() if folder is None else folder
        self.frontend = LogMelFrontEnd(settings)
        self._channel: Channel = channel
        of_channel = [] if channel == "mix" else [channel]  # keeps entries of versions without channels valid
        self._key = blake2b(json.dumps([_FORMAT, asdict(settings), *of_channel]).encode()).digest()

    def fill(self, paths: Sequence[Path]) -> list[CacheEntry]:
        """The entry of each clip, in the same order; those that are missing or damaged are computed.

        Raises:
            DataError: A clip cannot be used, or the folder cannot be written.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise self._unwritable(error) from None
        with ThreadPoolExecutor(_WORKERS) as pool:
            entries = pool.map(self._entry, paths)
            return list(track_clips(entries, "Reading clips", len(paths), at_least=_PROGRESS_FROM_CLIPS))

    def _entry(self, clip: Path) -> CacheEntry:
        try:
            digest = blake2b(clip.read_bytes(), key=self._key, digest_size=20).hexdigest()
        except OSError as error:
            raise DataError(f"{clip} cannot be read: {error.strerror}") from None
        path = self.folder / f"{digest}.npy"
        return self._find(clip, path) or self._compute(clip, path)

    def _find(self, clip: Path, path: Path) -> CacheEntry | None:
        """The entry; ``None`` if it is missing or damaged."""
        try:
            with np.errstate(over="ignore"):  # a damaged header may claim an absurd size
                spectrogram = open_memmap(path, mode="r")
            size = path.stat().st_size
        except Exception:  # the header is Python source: a damaged one raises whatever the tokenizer does
            return None
        bands, *frames = spectrogram.shape
        end = spectrogram.offset + spectrogram.nbytes
        is_valid = (
            spectrogram.dtype == np.float32
            and spectrogram.flags.c_contiguous
            and bands == self.frontend.settings.n_mels
            and len(frames) == 1
            and size in (end, end + _INFO.size)
        )
        if not is_valid:
            return None
        if _is_tensor(clip):
            return CacheEntry(path, frames[0])
        if size == end:  # written by a version that kept no info
            info = inspect(clip, self._channel)
            with suppress(DataError):  # a folder without write permission can still be read
                self._write(path, spectrogram, info)
        else:
            with path.open("rb") as file:
                file.seek(end)
                info = SoundInfo(*_INFO.unpack(file.read(_INFO.size)))
        return CacheEntry(path, frames[0], info)

    def _compute(self, clip: Path, path: Path) -> CacheEntry:
        spectrogram = load_spectrogram(clip, self.frontend, self._channel).contiguous().numpy()
        info = None if _is_tensor(clip) else inspect(clip, self._channel)
        self._write(path, spectrogram, info)
        return CacheEntry(path, spectrogram.shape[1], info)

    def _write(self, path: Path, spectrogram: NDArray[np.float32], info: SoundInfo | None) -> None:
        contents = io.BytesIO()
        np.save(contents, spectrogram, allow_pickle=False)
        if info is not None:
            contents.write(_INFO.pack(info.sample_rate, info.channels, info.mix_loss_db))
        try:
            write_atomically(path, contents.getvalue())
        except OSError as error:
            raise self._unwritable(error) from None

    def _unwritable(self, error: OSError) -> DataError:
        return DataError(f"cache_dir={self.folder} cannot be written: {error.strerror or error}; choose another folder")


def default_cache_folder() -> Path:
    """The user's cache folder for spectrograms, ``$XDG_CACHE_HOME/faithful-aad/spectrograms`` by default."""
    base = Path(os.environ.get("XDG_CACHE_HOME", ""))
    if not base.is_absolute():  # which the standard says to ignore
        try:
            base = Path.home() / ".cache"
        except RuntimeError:
            raise DataError("this user has no home folder for spectrograms; set cache_dir to a folder") from None
    return base / "faithful-aad" / "spectrograms"


def _is_tensor(clip: Path) -> bool:
    return clip.suffix.lower() == TENSOR_SUFFIX
