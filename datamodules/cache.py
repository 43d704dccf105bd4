"""Spectrograms computed once and kept on disk."""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, astuple, dataclass
from hashlib import blake2b
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.lib.format import open_memmap, write_array_header_1_0
from numpy.typing import NDArray
from torch import Tensor

from datamodules.audio import Channel, SoundInfo
from datamodules.errors import DataError
from datamodules.files import TENSOR_SUFFIX
from datamodules.frontend import FrontEndSettings, LogMelFrontEnd
from datamodules.progress import track_clips
from datamodules.spectrograms import stream_spectrogram
from lightning_modules.files import whole_file

_FORMAT = 2  # Part of every entry's name: increase it when the same file and settings give other values

_INFO = struct.Struct("<IIdd")
"""What follows the spectrogram of a recording: the fields of its :class:`~datamodules.audio.SoundInfo`."""

_HASHED_BYTES = 1 << 20

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

    @property
    def level_db(self) -> float:
        """Root mean square of a recording in dB of full scale; mean of a published spectrogram in dB."""
        return float(self.open().mean(dtype=np.float64)) if self.info is None else self.info.level_db


class SpectrogramCache:
    """A folder of spectrograms, one ``.npy`` file per clip.

    An entry is named after the clip's bytes, the front end's settings and the channel: a renamed or moved clip is
    found again, a changed one is computed again. Several processes may share the folder. Nothing is ever deleted.
    Frames are written one after the other, as they are computed, so that memory does not depend on the length of a
    recording. Without a folder it is the user's cache folder.
    """

    def __init__(self, folder: Path | None, settings: FrontEndSettings, channel: Channel = "mix") -> None:
        self.folder = default_cache_folder() if folder is None else folder
        self.frontend = LogMelFrontEnd(settings)
        self._channel: Channel = channel
        self._key = blake2b(json.dumps([_FORMAT, asdict(settings), channel]).encode()).digest()

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
            digest = blake2b(key=self._key, digest_size=20)
            with clip.open("rb") as file:
                while block := file.read(_HASHED_BYTES):
                    digest.update(block)
        except OSError as error:
            raise DataError(f"{clip} cannot be read: {error.strerror}") from None
        path = self.folder / f"{digest.hexdigest()}.npy"
        return self._find(clip, path) or self._compute(clip, path)

    def _find(self, clip: Path, path: Path) -> CacheEntry | None:
        """The entry; ``None`` if it is missing or damaged."""
        try:
            with np.errstate(over="ignore"):  # a damaged header may claim an absurd size
                spectrogram = open_memmap(path, mode="r")
            with path.open("rb") as file:
                file.seek(spectrogram.offset + spectrogram.nbytes)
                rest = file.read(_INFO.size + 1)
        except Exception:  # the header is Python source: a damaged one raises whatever the tokenizer does
            return None
        is_recording = clip.suffix.lower() != TENSOR_SUFFIX
        is_valid = (
            spectrogram.dtype == np.float32
            and spectrogram.ndim == 2
            and len(spectrogram) == self.frontend.settings.n_mels
            and len(rest) == is_recording * _INFO.size
        )
        if not is_valid:
            return None
        return CacheEntry(path, spectrogram.shape[1], SoundInfo(*_INFO.unpack(rest)) if is_recording else None)

    def _compute(self, clip: Path, path: Path) -> CacheEntry:
        try:
            with whole_file(path) as temporary, temporary.open("wb") as file:
                shape = [self.frontend.settings.n_mels, 0]
                _write_header(file, shape)

                def write(part: Tensor) -> None:
                    file.write(part.T.contiguous().numpy().data)
                    shape[1] += part.shape[1]

                info = stream_spectrogram(clip, self.frontend, self._channel, write)
                if info is not None:
                    file.write(_INFO.pack(*astuple(info)))
                file.seek(0)
                _write_header(file, shape)
        except OSError as error:
            raise self._unwritable(error) from None
        return CacheEntry(path, shape[1], info)

    def _unwritable(self, error: OSError) -> DataError:
        return DataError(f"cache_dir={self.folder} cannot be written: {error.strerror or error}; choose another folder")


def _write_header(file: BinaryIO, shape: Sequence[int]) -> None:
    """Write the header of an array (F, T) whose columns follow; numpy leaves room in it for T to grow."""
    write_array_header_1_0(file, {"descr": "<f4", "fortran_order": True, "shape": tuple(shape)})


def default_cache_folder() -> Path:
    """The user's cache folder for spectrograms, ``$XDG_CACHE_HOME/faithful-aad/spectrograms`` by default."""
    base = Path(os.environ.get("XDG_CACHE_HOME", ""))
    if not base.is_absolute():  # which the standard says to ignore
        try:
            base = Path.home() / ".cache"
        except RuntimeError:
            raise DataError("this user has no home folder for spectrograms; set cache_dir to a folder") from None
    return base / "faithful-aad" / "spectrograms"
