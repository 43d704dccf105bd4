"""What one file holds: how long and how loud it is, and a digest of its contents."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from datamodules.audio import (
    Channel,
    ChannelTally,
    SoundInfo,
    blocks,
    empty,
    mix_down,
    not_finite,
    open_audio,
    require_channel,
)
from datamodules.frontend import FrontEndSettings
from datamodules.spectrograms import TENSOR_SUFFIX, read_tensor

Floats = NDArray[np.float32]

THIRD_OCTAVES_HZ: NDArray[np.float64] = 1000 * 2.0 ** (np.arange(-13, 14) / 3)
"""Centres of the bands that sound is described in, 50 Hz to 20 kHz."""

CLIPPING_RUN = 3
"""Samples at full scale in a row from which on they are clipped; a lone peak may just reach it."""

FLOOR_DB = -200.0
"""What stands for the level of nothing but zeros."""

_FFT = 4096
_BITS = {"PCM_S8": 8, "PCM_U8": 8, "PCM_16": 16, "PCM_24": 24, "PCM_32": 32}


@dataclass(frozen=True)
class Measured:
    """What a file holds. Decibels are of full scale (dBFS) for sound, and the file's own for a spectrogram.

    Attributes:
        form: Container and sample format, as in "WAV PCM_16", or "spectrograms of 80 bands".
        seconds: Duration in s; that of a spectrogram follows from the published hop of 25 ms.
        sample_rate: In Hz, 0 for a spectrogram.
        channels: Of sound, 0 for a spectrogram.
        level_db: Root mean square of the mix, or of the channel that is taken; the mean of a spectrogram.
        peak_db: Largest magnitude of the same; the largest value of a spectrogram.
        clipped: Samples at full scale whose two predecessors are too, over all channels that are taken.
        flat_seconds: Longest stretch in which nothing changes: zeros of a dropped connection, a stuck converter.
        content: Digest of the samples as numbers, the same whatever the header, the container and the sample rate say.
        spectrum: (bands,) level in dB in third octaves (NaN without a frequency of the transform), or of each band of
            a spectrogram.
        channel_levels_db: Root mean square of each channel of sound.
        info: What the warnings about a recording need, where its channels are mixed.
    """

    form: str
    seconds: float
    sample_rate: int
    channels: int
    level_db: float
    peak_db: float
    clipped: int
    flat_seconds: float
    content: str
    spectrum: Floats
    channel_levels_db: tuple[float, ...] = ()
    info: SoundInfo | None = None


def measure(path: Path, channel: Channel = "mix") -> Measured:
    """Read a file once, a block at a time.

    Args:
        path: A recording or a spectrogram.
        channel: Which channel of a recording is trained on.

    Raises:
        DataError: It cannot be read, is truncated, empty, lacks the channel, or holds NaN or infinity.
    """
    return _measure_spectrogram(path) if path.suffix.lower() == TENSOR_SUFFIX else _measure_sound(path, channel)


def level_db(path: Path, channel: Channel = "mix") -> float:
    """The level of a clip as `Measured.level_db` has it, without measuring anything else.

    Raises:
        DataError: As `measure`.
    """
    if path.suffix.lower() == TENSOR_SUFFIX:
        return _mean(read_tensor(path).contiguous().numpy())
    squares, samples = 0.0, 0
    with open_audio(path) as file:
        require_channel(path, file.channels, channel)
        for block in _finite_blocks(path, file):
            squares += float(np.square(mix_down(block, channel), dtype=np.float64).sum())
            samples += len(block)
    return _decibel(squares / samples)


def _finite_blocks(path: Path, file: soundfile.SoundFile) -> Iterator[Floats]:
    """Samples (samples, channels), a block at a time.

    Raises:
        DataError: There are none, or some are NaN or infinite.
    """
    read = False
    for block in blocks(path, file):
        if not np.isfinite(block).all():
            raise not_finite(path)
        read = True
        yield block
    if not read:
        raise empty(path)


def _measure_sound(path: Path, channel: Channel) -> Measured:
    with open_audio(path) as file:
        require_channel(path, file.channels, channel)
        tally = _Tally(full_scale(file.subtype), file.channels, channel)
        for block in _finite_blocks(path, file):
            tally.add(block)
        return tally.result(file)


def _measure_spectrogram(path: Path) -> Measured:
    values = read_tensor(path).contiguous().numpy()
    bands, frames = values.shape
    hop = FrontEndSettings().hop
    run = _LongestRun()
    run.add(values.T)
    return Measured(
        form=f"spectrograms of {bands} bands",
        seconds=(frames - 1) * hop,  # frames are centred on multiples of the hop, the first on 0 s
        sample_rate=0,
        channels=0,
        level_db=_mean(values),
        peak_db=float(values.max()),
        clipped=0,
        flat_seconds=run.longest * hop if run.longest > 1 else 0.0,
        content=blake2b(repr(values.shape).encode() + values.tobytes(), digest_size=16).hexdigest(),
        spectrum=values.mean(axis=1),
    )


def full_scale(subtype: str) -> float:
    """Largest positive sample of a format, which is a step below 1 where samples are whole numbers.

    Example:
        >>> full_scale("PCM_16") == 32767 / 32768, full_scale("FLOAT")
        (True, 1.0)
    """
    return 1 - 2.0 ** (1 - _BITS[subtype]) if subtype in _BITS else 1.0


class _Tally:
    """Sums over the blocks of a recording."""

    def __init__(self, full_scale: float, channels: int, channel: Channel) -> None:
        self.samples = 0
        self._channel: Channel = channel
        self._full_scale = np.float32(full_scale)
        taken = channels if channel == "mix" else 1
        self._at_full_scale = np.zeros((CLIPPING_RUN - 1, taken), dtype=bool)  # of the last samples before a block
        self._levels = ChannelTally(channels)
        self._peak, self._clipped = 0.0, 0
        self._run = _LongestRun()
        self._digest = blake2b(bytes([channels % 256]), digest_size=16)
        self._window = np.hanning(_FFT).astype(np.float32)
        self._power: NDArray[np.float64] = np.zeros(_FFT // 2 + 1)
        self._spectra = 0

    def add(self, block: Floats) -> None:
        """Take the next samples, (samples, channels)."""
        self.samples += len(block)
        signal = mix_down(block, self._channel)
        self._levels.add(block, signal)
        self._peak = max(self._peak, float(np.abs(signal).max()))
        taken = block if self._channel == "mix" else signal[:, None]
        flags = np.concatenate([self._at_full_scale, np.abs(taken) >= self._full_scale])
        self._clipped += int((flags[2:] & flags[1:-1] & flags[:-2]).sum())
        self._at_full_scale = flags[-(CLIPPING_RUN - 1) :]
        self._run.add(signal[:, None])
        self._digest.update(block.astype("<f4").tobytes())
        whole = len(block) // _FFT * _FFT
        frames = signal[:whole].reshape(-1, _FFT) * self._window
        self._power += np.square(np.abs(np.fft.rfft(frames)), dtype=np.float64).sum(axis=0)
        self._spectra += len(frames)

    def result(self, file: soundfile.SoundFile) -> Measured:
        """What the blocks add up to."""
        rate = file.samplerate
        return Measured(
            form=f"{file.format} {file.subtype}",
            seconds=self.samples / rate,
            sample_rate=rate,
            channels=file.channels,
            level_db=_decibel(self._levels.signal / self.samples),
            peak_db=_decibel(self._peak**2),
            clipped=self._clipped,
            flat_seconds=self._run.longest / rate if self._run.longest > 1 else 0.0,
            content=self._digest.hexdigest(),
            spectrum=self._third_octaves(rate),
            channel_levels_db=tuple(_decibel(squares / self.samples) for squares in self._levels.channels),
            info=self._levels.info(rate) if self._channel == "mix" else None,
        )

    def _third_octaves(self, rate: int) -> Floats:
        """Mean square in each band (Welch's method), in dB."""
        spectrum = np.full(len(THIRD_OCTAVES_HZ), np.nan, dtype=np.float32)
        if self._spectra:
            density = 2 * self._power / (self._spectra * _FFT * float(np.square(self._window).sum()))
            frequency = np.fft.rfftfreq(_FFT, 1 / rate)
            for i, centre in enumerate(THIRD_OCTAVES_HZ):
                low, high = centre * 2 ** (-1 / 6), centre * 2 ** (1 / 6)
                inside = (frequency >= low) & (frequency < high)
                if inside.any() and high <= rate / 2:  # of a band that the sample rate cuts only a part would be told
                    spectrum[i] = _decibel(float(density[inside].sum()))
        return spectrum


class _LongestRun:
    """The longest run of rows that are equal, over blocks of rows."""

    def __init__(self) -> None:
        self.longest = 0
        self._current = 0
        self._last: Floats | None = None

    def add(self, rows: Floats) -> None:
        """Take the next rows, at least one."""
        if self._last is not None:
            rows = np.concatenate([self._last, rows])
        changes = np.flatnonzero((rows[1:] != rows[:-1]).any(axis=1)) + 1
        edges = np.concatenate([[0], changes, [len(rows)]])
        lengths = np.diff(edges)
        lengths[0] += self._current - (self._last is not None)
        self.longest = max(self.longest, int(lengths.max()))
        self._current, self._last = int(lengths[-1]), rows[-1:]


def _mean(spectrogram: Floats) -> float:
    return float(spectrogram.mean(dtype=np.float64))


def _decibel(power: float) -> float:
    return max(10 * math.log10(power), FLOOR_DB) if power > 0 else FLOOR_DB
