"""Reading WAV and FLAC files."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import soundfile
import torch
from torch import Tensor

from datamodules.errors import DataError

_RIFF_UNKNOWN_SIZES = (0, 0xFFFFFFFF)
"""Sizes that programs which write to a pipe leave in a WAV header."""

_MOST_CHUNKS = 10_000
"""Chunks that are looked through for the samples; gigabytes of zeros would be as many chunks as they have bytes."""


def read_audio(path: Path) -> tuple[Tensor, int]:
    """Read a recording and mix it down to one channel.

    Args:
        path: A WAV or FLAC file.

    Returns:
        The mean over channels, (samples,) float32 with full scale at 1, and the sample rate in Hz.

    Raises:
        DataError: The file cannot be read as audio, is truncated, holds no samples, or holds NaN or infinity.
    """
    with open_audio(path) as file:
        sample_rate = file.samplerate
        samples = file.read(dtype="float32", always_2d=True)
    if samples.size == 0:
        raise empty(path)
    with np.errstate(over="ignore", invalid="ignore"):  # what comes of it is refused below
        waveform = samples.mean(axis=1)
    if not np.isfinite(waveform).all():
        raise not_finite(path)
    return torch.from_numpy(waveform), sample_rate


@contextmanager
def open_audio(path: Path) -> Iterator[soundfile.SoundFile]:
    """Open a recording to read it, whatever fails while it is open being told as a mistake of the user's.

    Raises:
        DataError: The file cannot be read as audio, or is truncated.
    """
    try:
        refuse_truncated_wav(path)
        with soundfile.SoundFile(path) as file:
            yield file
    except DataError:
        raise
    except (soundfile.SoundFileError, OSError, MemoryError, ValueError) as error:
        # A damaged header may claim terabytes, or more than there are addresses.
        raise unreadable(path, error) from None


def empty(path: Path) -> DataError:
    """What to raise of a recording without samples."""
    return DataError(f"{path} holds no samples; remove it")


def not_finite(path: Path) -> DataError:
    """What to raise of a recording with samples that are no numbers."""
    return DataError(f"{path} holds NaN or infinite samples; remove or repair it")


def unreadable(path: Path, error: Exception) -> DataError:
    """What to tell where a file cannot be opened, or libsndfile cannot decode it."""
    if isinstance(error, OSError) and error.strerror:
        return DataError(f"{path} cannot be read: {error.strerror}")
    reason = " ".join(str(error).split())
    return DataError(f"{path} cannot be read as audio, it is damaged or no WAV or FLAC file: {reason}")


def refuse_truncated_wav(path: Path) -> None:
    """Compare the declared size of the data with what is there; libsndfile reads what is there.

    Raises:
        DataError: Data are missing at the end of a WAV file.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        header = file.read(12)
        if header[:4] != b"RIFF" or header[8:] != b"WAVE":
            return
        for _ in range(_MOST_CHUNKS):
            if len(chunk := file.read(8)) < 8:
                return
            declared, present = int.from_bytes(chunk[4:], "little"), size - file.tell()
            if chunk[:4] == b"data":
                if declared > present and declared not in _RIFF_UNKNOWN_SIZES:
                    raise DataError(f"{path} is truncated: {present} of {declared} bytes are there; copy it again")
                return
            file.seek(declared + declared % 2, 1)
