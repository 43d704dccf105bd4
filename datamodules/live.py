"""Sound that is still being recorded: raw samples from a pipe, or a WAV file that grows."""

from __future__ import annotations

import io
import math
import os
import select
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import soundfile
import torch
from numpy.typing import NDArray
from torch import Tensor

from datamodules.audio import Channel, mix_down, require_channel
from datamodules.errors import DataError, require
from datamodules.headers import growing_samples

SampleFormat = Literal["u8", "s16le", "s24le", "s32le", "f32le", "f64le"]
"""Samples as ffmpeg names them: unsigned, signed or floating-point, bits, and little-endian."""

_SUBTYPES = {
    **dict(zip(get_args(SampleFormat), ("PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"), strict=True)),
    "alaw": "ALAW",
    "mulaw": "ULAW",
}
"""What libsndfile calls them, and two more that WAV files have."""

_SAMPLE_BYTES = {"PCM_U8": 1, "ALAW": 1, "ULAW": 1, "PCM_16": 2, "PCM_24": 3, "PCM_32": 4, "FLOAT": 4, "DOUBLE": 8}

_READ_BYTES = 1 << 16  # As much as a pipe holds
_POLL_S = 0.2
"""Seconds between looks at a file that grows, and after which a request to stop is noticed."""


@dataclass(frozen=True)
class RawFormat:
    """How bytes become samples.

    Attributes:
        sample_rate: In Hz.
        channels: Number of channels.
        subtype: What libsndfile calls the samples, which have the least significant byte first.

    Raises:
        DataError: A number is out of its range.
    """

    sample_rate: int
    channels: int
    subtype: str

    def __post_init__(self) -> None:
        require(1 <= self.channels <= 1024, "channels", self.channels, "from 1 to 1024")
        require(1_000 <= self.sample_rate <= 1_000_000, "rate", self.sample_rate, "from 1000 to 1000000 Hz")

    @classmethod
    def named(cls, sample_rate: int, channels: int, samples: SampleFormat) -> RawFormat:
        """Samples by ffmpeg's name."""
        return cls(sample_rate, channels, _SUBTYPES[samples])

    def __str__(self) -> str:
        samples = next(name for name, subtype in _SUBTYPES.items() if subtype == self.subtype)
        return f"{samples}, {self.sample_rate:,} Hz, {self.channels} channel{'s' * (self.channels > 1)}"

    @property
    def frame_bytes(self) -> int:
        """Bytes of one sample of each channel."""
        return _SAMPLE_BYTES[self.subtype] * self.channels

    def decode(self, frames: bytes) -> NDArray[np.float32]:
        """Samples (samples, channels) of whole frames, full scale at 1, as libsndfile reads them from a file."""
        samples: NDArray[np.float32] = soundfile.read(
            io.BytesIO(frames),
            dtype="float32",
            always_2d=True,
            samplerate=self.sample_rate,
            channels=self.channels,
            format="RAW",
            subtype=self.subtype,
            endian="LITTLE",
        )[0]
        return samples


class LiveSound:
    """One channel of a sound, or the mix of all, as it comes.

    Args:
        name: What messages call it.
        raw: Its format.
        chunks: Its bytes, cut anywhere; a last incomplete frame is left out.
        channel: Channel to use.

    Attributes:
        n_samples: Samples so far.
        read_at: When the last of them came, in s since the epoch.

    Raises:
        DataError: The sound lacks the channel.
    """

    def __init__(self, name: str, raw: RawFormat, chunks: Iterator[bytes], channel: Channel = "mix") -> None:
        require_channel(name, raw.channels, channel)
        self.name, self.raw = name, raw
        self.n_samples, self.read_at = 0, 0.0
        self._chunks, self._channel = chunks, channel

    @property
    def seconds(self) -> float:
        """Seconds of sound so far."""
        return self.n_samples / self.raw.sample_rate

    def blocks(self) -> Iterator[Tensor]:
        """Consecutive parts (samples,).

        Raises:
            DataError: A sample is not finite.
        """
        rest = b""
        for chunk in self._chunks:
            data = rest + chunk
            whole = len(data) - len(data) % self.raw.frame_bytes
            rest = data[whole:]
            if not whole:
                continue
            block = mix_down(self.raw.decode(data[:whole]), self._channel)
            if not np.isfinite(block).all():
                raise DataError(f"{self.name} holds NaN or infinite samples; check its format ({self.raw})")
            self.n_samples, self.read_at = self.n_samples + len(block), time.time()
            yield torch.from_numpy(block)


def pipe_chunks(descriptor: int, name: str, stopped: Callable[[], bool]) -> Iterator[bytes]:
    """The bytes of a pipe until it is closed, each as soon as it is there.

    Args:
        descriptor: Its file descriptor.
        name: What messages call it.
        stopped: Whether to end before.

    Raises:
        DataError: It begins with the header of a WAV file.
    """
    is_first = True
    while not stopped():
        if not select.select([descriptor], [], [], _POLL_S)[0]:
            continue
        chunk = os.read(descriptor, _READ_BYTES)
        if not chunk:
            return
        if is_first and chunk.startswith((b"RIFF", b"RIFX", b"RF64")):
            raise DataError(
                f"{name} begins with the header of a WAV file; send samples alone (arecord -t raw, ffmpeg -f s16le)"
            )
        is_first = False
        yield chunk


def wav_format(path: Path, stopped: Callable[[], bool]) -> RawFormat | None:
    """Wait for the header of a WAV file and read the format of its samples; None if stopped before.

    Raises:
        DataError: It is no file, or no WAV file of samples that can be followed.
    """
    if not path.is_file():
        raise DataError(f"{path} is not a file; name the WAV file that is being recorded")
    while growing_samples(path) is None:
        with path.open("rb") as file:
            start = file.read(4)
        if not b"RIFF".startswith(start):
            raise DataError(f"{path} is not a WAV file; only such (RIFF) can be followed while they grow")
        if stopped():
            return None
        time.sleep(_POLL_S)
    try:
        with soundfile.SoundFile(path) as file:
            raw = RawFormat(file.samplerate, file.channels, file.subtype)
    except soundfile.SoundFileError as error:
        raise DataError(f"{path} can't be read as a WAV file: {error}") from None
    if raw.subtype not in _SAMPLE_BYTES:
        raise DataError(f"{path} has {raw.subtype} samples, which can't be followed while they grow; record as PCM")
    return raw


def wav_chunks(path: Path, stopped: Callable[[], bool], patience: float = math.inf) -> Iterator[bytes]:
    """The samples of a WAV file, and those that are appended, whatever its header says of their number.

    Ends when nothing was appended for some time, or when the file was deleted or replaced.

    Args:
        path: The file.
        stopped: Whether to end before.
        patience: Seconds to wait for more.

    Raises:
        DataError: The file got shorter.
    """
    with path.open("rb") as file:
        position, waiting_since = 0, time.monotonic()
        while not stopped():
            try:
                samples = growing_samples(path)
                is_same = os.path.samestat(path.stat(), os.fstat(file.fileno()))
            except FileNotFoundError:
                return
            if samples is None or not is_same:
                return
            start, end = samples
            position = max(position, start)
            if end < position:
                raise DataError(f"{path} got shorter while it was followed; record into a new file")
            file.seek(position)
            chunk = file.read(min(_READ_BYTES, end - position))
            if chunk:
                position, waiting_since = position + len(chunk), time.monotonic()
                yield chunk
            elif time.monotonic() - waiting_since >= patience:
                return
            else:
                time.sleep(_POLL_S)
