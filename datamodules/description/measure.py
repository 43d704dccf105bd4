"""Measurements of one file: duration, levels, clipping, spectrum, and a digest of its contents."""

from __future__ import annotations

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
    decibel,
    empty,
    mix_down,
    not_finite,
    open_audio,
    require_channel,
)
from datamodules.files import TENSOR_SUFFIX
from datamodules.frontend import FrontEndSettings
from datamodules.spectrograms import read_tensor

Floats = NDArray[np.float32]

THIRD_OCTAVES_HZ: NDArray[np.float64] = 1000 * 2.0 ** (np.arange(-13, 14) / 3)
"""Centres of the bands of a spectrum, 50 Hz to 20 kHz."""

CLIPPING_RUN = 3
"""Consecutive samples at full scale that count as clipped; a single peak may just reach it."""

_FFT = 4096
_BITS = {"PCM_S8": 8, "PCM_U8": 8, "PCM_16": 16, "PCM_24": 24, "PCM_32": 32}


@dataclass(frozen=True)
class Measured:
    """Measurements of a file. Decibels are relative to full scale (dBFS) for sound, the file's own for a spectrogram.

    Attributes:
        form: Container and sample format, as in "WAV PCM_16", or "spectrograms of 80 bands".
        seconds: Duration in s; for a spectrogram with the published hop of 25 ms.
        sample_rate: In Hz, 0 for a spectrogram.
        channels: Number of channels, 0 for a spectrogram.
        level_db: Root mean square of the mix, or of the channel in use; mean of a spectrogram.
        peak_db: Largest magnitude of the mix, or of the channel in use; largest value of a spectrogram.
        clipped: Samples at full scale whose two predecessors are too, over all channels in use.
        flat_seconds: Longest constant stretch: zeros of a dropped connection, a stuck converter.
        content: Digest of the samples, whatever the header, the container and the sample rate are.
        spectrum: (bands,) level in dB in third octaves (NaN without a frequency of the transform), or of each band of
            a spectrogram.
        channel_levels_db: Root mean square of each channel.
        info: What the warnings about a recording need; None for a spectrogram.
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
    """Measure a recording or a spectrogram, reading it block by block; raises a DataError if it cannot be used."""
    return _measure_spectrogram(path) if path.suffix.lower() == TENSOR_SUFFIX else _measure_sound(path, channel)


def _measure_sound(path: Path, channel: Channel) -> Measured:
    with open_audio(path) as file:
        require_channel(path, file.channels, channel)
        tally = _Tally(full_scale(file.subtype), file.channels, channel)
        for block in blocks(path, file):
            if not np.isfinite(block).all():
                raise not_finite(path)
            tally.add(block)
        if not tally.levels.samples:
            raise empty(path)
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
        level_db=float(values.mean(dtype=np.float64)),
        peak_db=float(values.max()),
        clipped=0,
        flat_seconds=run.longest * hop if run.longest > 1 else 0.0,
        content=blake2b(repr(values.shape).encode() + values.tobytes(), digest_size=16).hexdigest(),
        spectrum=values.mean(axis=1),
    )


def full_scale(subtype: str) -> float:
    """Largest positive sample of a format.

    Example:
        >>> full_scale("PCM_16") == 32767 / 32768, full_scale("FLOAT")
        (True, 1.0)
    """
    return 1 - 2.0 ** (1 - _BITS[subtype]) if subtype in _BITS else 1.0


class _Tally:
    """Sums over the blocks of a recording."""

    def __init__(self, full_scale: float, channels: int, channel: Channel) -> None:
        self.levels = ChannelTally(channels)
        self._channel: Channel = channel
        self._full_scale = np.float32(full_scale)
        taken = channels if channel == "mix" else 1
        self._at_full_scale = np.zeros((CLIPPING_RUN - 1, taken), dtype=bool)  # of the last samples before a block
        self._peak, self._clipped = 0.0, 0
        self._run = _LongestRun()
        self._digest = blake2b(bytes([channels % 256]), digest_size=16)
        self._window = np.hanning(_FFT).astype(np.float32)
        self._power: NDArray[np.float64] = np.zeros(_FFT // 2 + 1)
        self._spectra = 0

    def add(self, block: Floats) -> None:
        """Add the next samples, (samples, channels)."""
        signal = mix_down(block, self._channel)
        self.levels.add(block, signal)
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
        """The measurements of all blocks."""
        rate, samples = file.samplerate, self.levels.samples
        info = self.levels.info(rate, self._channel)
        return Measured(
            form=f"{file.format} {file.subtype}",
            seconds=samples / rate,
            sample_rate=rate,
            channels=file.channels,
            level_db=info.level_db,
            peak_db=decibel(self._peak**2),
            clipped=self._clipped,
            flat_seconds=self._run.longest / rate if self._run.longest > 1 else 0.0,
            content=self._digest.hexdigest(),
            spectrum=self._third_octaves(rate),
            channel_levels_db=tuple(decibel(squares / samples) for squares in self.levels.channels),
            info=info,
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
                if inside.any() and high <= rate / 2:  # a band that the sample rate cuts would be measured in part
                    spectrum[i] = decibel(float(density[inside].sum()))
        return spectrum


class _LongestRun:
    """The longest run of equal rows, over blocks of rows."""

    def __init__(self) -> None:
        self.longest = 0
        self._current = 0
        self._last: Floats | None = None

    def add(self, rows: Floats) -> None:
        """Add the next rows, at least one."""
        if self._last is not None:
            rows = np.concatenate([self._last, rows])
        changes = np.flatnonzero((rows[1:] != rows[:-1]).any(axis=1)) + 1
        edges = np.concatenate([[0], changes, [len(rows)]])
        lengths = np.diff(edges)
        lengths[0] += self._current - (self._last is not None)
        self.longest = max(self.longest, int(lengths.max()))
        self._current, self._last = int(lengths[-1]), rows[-1:]
