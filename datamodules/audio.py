"""Reading recordings in every format that libsndfile reads."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import soundfile
import torch
from numpy.typing import NDArray
from torch import Tensor

from datamodules.errors import DataError, require
from datamodules.headers import UNKNOWN_LENGTH, is_placeholder, require_fully_decoded, sized_source, truncated

Channel = int | Literal["mix"]
"""Index of a channel from 0, or the mean of all channels."""

CANCELLED_DB = 10.0
"""Loss of level in a mix beyond which channels cancel each other. Eight uncorrelated channels of equal level lose 9 dB,
two channels at most 6 dB unless their phases are opposed."""

FLOOR_DB = -200.0
"""Level of zeros."""

BLOCK_SAMPLES = 1 << 18
"""Samples that are read at a time, over all channels."""

_MISSING = re.compile(r"^ *(?:SSND|BODY|Data Size|riff|Riff size) *: *(\d+) \(should be (\d+)\)", re.MULTILINE)
"""libsndfile's note on AIFF, SVX, AU, W64 and RF64 files that are shorter than their header says."""


@dataclass(frozen=True)
class SoundInfo:
    """Sample rate, channels and levels of a recording.

    Attributes:
        sample_rate: In Hz.
        channels: Number of channels.
        level_db: Root mean square of the mix, or of the channel in use, in dB of full scale.
        mix_loss_db: Level of the loudest channel minus that of the mix; 0 if one channel is used.
    """

    sample_rate: int
    channels: int
    level_db: float
    mix_loss_db: float


def read_audio(path: Path, channel: Channel = "mix") -> tuple[Tensor, int]:
    """Read one channel of a recording in any format that libsndfile reads, or the mix of all.

    Returns:
        (samples,) float32 with full scale at 1, and the sample rate in Hz.

    Raises:
        DataError: The file cannot be read as audio, is truncated, holds no samples, lacks the channel, or holds NaN
            or infinity.
    """
    waveform, info = read_sound(path, channel)
    return waveform, info.sample_rate


def read_sound(path: Path, channel: Channel = "mix") -> tuple[Tensor, SoundInfo]:
    """Read as :func:`read_audio`, with the levels of the recording."""
    with open_audio(path) as file:
        require_channel(path, file.channels, channel)
        tally = ChannelTally(file.channels)
        signals = list(signal_blocks(path, file, channel, tally))
        if not signals:
            raise empty(path)
        return torch.from_numpy(np.concatenate(signals)), tally.info(file.samplerate, channel)


def read_excerpts(
    path: Path, spans: Sequence[tuple[float, float]], channel: Channel = "mix"
) -> tuple[list[NDArray[np.float32]], int]:
    """Read stretches of a recording in one pass, in memory that does not depend on its length.

    Args:
        path: The recording.
        spans: Start and end of each stretch in s; what lies outside of the recording is left out.
        channel: Channel, or the mix of all.

    Returns:
        (samples,) of each stretch, and the sample rate in Hz.

    Raises:
        DataError: As from :func:`read_audio`, except for damage after the last stretch.
    """
    with open_audio(path) as file:
        require_channel(path, file.channels, channel)
        rate = file.samplerate
        wanted = [(round(start * rate), round(end * rate)) for start, end in spans]
        last, position = max((after for _, after in wanted), default=0), 0
        parts: list[list[NDArray[np.float32]]] = [[np.empty(0, np.float32)] for _ in wanted]
        for block in signal_blocks(path, file, channel, ChannelTally(file.channels)):
            for part, (first, after) in zip(parts, wanted, strict=True):
                if first < position + len(block) and after > position:
                    part.append(block[max(0, first - position) : after - position].copy())  # a view keeps the block
            position += len(block)
            if position >= last:
                break
    return [np.concatenate(part) for part in parts], rate


def signal_blocks(
    path: Path, file: soundfile.SoundFile, channel: Channel, tally: ChannelTally
) -> Iterator[NDArray[np.float32]]:
    """Read one channel of an open recording, or the mix of all, in blocks (samples,), and tally their levels.

    Raises:
        DataError: The recording is truncated, or holds NaN or infinity.
    """
    for block in blocks(path, file):
        signal = mix_down(block, channel)
        if not np.isfinite(signal).all():
            raise not_finite(path)
        tally.add(block, signal)
        yield signal


class ChannelTally:
    """Sums of squares over blocks of a recording: of each channel, and of the mix or channel in use."""

    def __init__(self, channels: int) -> None:
        self.channels: NDArray[np.float64] = np.zeros(channels)
        self.signal = 0.0
        self.samples = 0

    def add(self, block: NDArray[Any], signal: NDArray[Any]) -> None:
        """Add the next samples (samples, channels) and their mix (samples,)."""
        with np.errstate(invalid="ignore"):  # NaN in a channel that is not in use
            self.channels += np.square(block, dtype=np.float64).sum(axis=0)
        self.signal += float(np.square(signal, dtype=np.float64).sum())
        self.samples += len(block)

    def info(self, sample_rate: int, channel: Channel = "mix") -> SoundInfo:
        """Levels of the samples so far, at least one.

        Example:
            >>> tally = ChannelTally(2)
            >>> tally.add(np.array([[10.0, 5.0]]), np.array([1.0]))
            >>> tally.info(16_000)
            SoundInfo(sample_rate=16000, channels=2, level_db=0.0, mix_loss_db=20.0)
        """
        loudest = float(self.channels.max())
        if channel != "mix" or loudest <= 0:
            loss = 0.0
        else:
            loss = 10 * math.log10(loudest / self.signal) if self.signal > 0 else math.inf
        return SoundInfo(sample_rate, len(self.channels), decibel(self.signal / self.samples), loss)


def decibel(power: float) -> float:
    """A mean square in dB, at least ``FLOOR_DB``."""
    return max(10 * math.log10(power), FLOOR_DB) if power > 0 else FLOOR_DB


def cancelled(infos: Mapping[Path, SoundInfo]) -> str:
    """A warning about recordings whose channels cancel each other in the mix, empty if there are none."""
    lost = {path: info for path, info in infos.items() if info.mix_loss_db > CANCELLED_DB}
    if not lost:
        return ""
    path, worst = max(lost.items(), key=lambda item: item[1].mix_loss_db)
    below = f"{worst.mix_loss_db:.0f} dB below the loudest of them"
    level = "silent" if math.isinf(worst.mix_loss_db) else below
    return (
        f"channels cancel each other or average away in {len(lost):,} of {len(infos):,} recordings: in {path} the mix "
        f"of {worst.channels} channels is {level}; channel={loudest_channel(path)}, in training and all later "
        f"stages, takes only the loudest channel (there are 0 to {worst.channels - 1})"
    )


def loudest_channel(path: Path) -> int:
    """Index of the channel of a recording with the largest root mean square."""
    with open_audio(path) as file:
        return int(np.argmax(sum(np.square(block, dtype=np.float64).sum(axis=0) for block in blocks(path, file))))


def mix_down(block: NDArray[np.float32], channel: Channel = "mix") -> NDArray[np.float32]:
    """One channel (samples,) of a block (samples, channels), or the mean of all."""
    if channel != "mix":
        return block[:, channel]
    with np.errstate(over="ignore", invalid="ignore"):  # callers reject the infinite result
        mean: NDArray[np.float32] = block.mean(axis=1)
    return mean


def require_channel_index(channel: Channel) -> None:
    """Raise a DataError unless a channel is an index from 0, or ``mix``."""
    require(channel == "mix" or channel >= 0, "channel", channel, "the index of a channel from 0, or mix")


def require_channel(path: Path | str, channels: int, channel: Channel) -> None:
    """Raise a DataError unless a recording has a channel."""
    if channel != "mix" and channel >= channels:
        there, choice = ("1 channel", "0") if channels == 1 else (f"{channels} channels", f"0 to {channels - 1}")
        raise DataError(f"{path} has {there}, so channel={channel} does not exist; choose {choice}, or mix")


def sound_seconds(path: Path) -> float:
    """Duration of a recording in seconds."""
    with open_audio(path) as file:
        return count_samples(path, file) / file.samplerate


@contextmanager
def open_audio(path: Path) -> Iterator[soundfile.SoundFile]:
    """Open a recording to read it with :func:`blocks`; errors while it is open become a DataError."""
    try:
        with _open(path) as file:
            yield file
    except DataError:
        raise
    except (soundfile.SoundFileError, OSError, MemoryError, ValueError) as error:
        # A damaged header may claim terabytes, or more than there are addresses.
        raise unreadable(path, error) from None


class _Sound(soundfile.SoundFile):
    """A file that is only read forwards: soundfile seeks after each block, which fails in FLAC of unknown length."""

    def seekable(self) -> bool:
        return False


def _open(path: Path) -> soundfile.SoundFile:
    """Open a recording; raises if it is truncated, or if libsndfile would decode only a part of it."""
    size = path.stat().st_size
    if not path.is_file():
        raise DataError(f"{path} is not a file")  # opening a pipe would wait forever
    if size == 0:
        raise empty(path)
    with path.open("rb"):  # gives the reason, where libsndfile only says "System error"
        pass
    file = _Sound(sized_source(path))
    try:
        for declared, present in _MISSING.findall(file.extra_info):
            if int(present) < int(declared) and not is_placeholder(int(declared)):
                raise truncated(path, int(present), int(declared))
        require_fully_decoded(path, file.format, file.frames / file.samplerate)
    except BaseException:
        file.close()
        raise
    return file


def blocks(
    path: Path, file: soundfile.SoundFile, samples: int | None = None, dtype: str = "float32"
) -> Iterator[NDArray[np.float32]]:
    """Read the next ``samples`` of each channel, to the end by default, in blocks (samples, channels).

    Raises:
        DataError: The recording ends too early, or before the end that its header gives.
    """
    promised = file.frames if samples is None and _length_is_known(file) else samples
    done, most = 0, max(1, BLOCK_SAMPLES // file.channels)
    while promised is None or done < promised:
        block = file.read(most if promised is None else min(most, promised - done), dtype=dtype, always_2d=True)
        if len(block) == 0:
            break
        done += len(block)
        yield block
    if promised is not None and done < promised:
        rate = file.samplerate
        raise DataError(
            f"{path} is truncated: it ends after {done / rate:.2f} of {promised / rate:.2f} s; copy it again, or "
            "convert it if this is all there is"
        )


def count_samples(path: Path, file: soundfile.SoundFile) -> int:
    """Samples of each channel; a recording whose header does not give them is read to its end."""
    return file.frames if _length_is_known(file) else sum(len(block) for block in blocks(path, file))


def _length_is_known(file: soundfile.SoundFile) -> bool:
    """Whether the header's number of samples is reliable; that of MPEG audio counts padding or is a guess."""
    return file.frames < UNKNOWN_LENGTH and not file.subtype.startswith("MPEG")


def empty(path: Path) -> DataError:
    """The error for a recording without samples."""
    return DataError(f"{path} holds no samples; record or copy it again, or move it out of the data set")


def not_finite(path: Path) -> DataError:
    """The error for a recording with samples that are not finite."""
    return DataError(f"{path} holds NaN or infinite samples; repair it or move it out of the data set")


def unreadable(path: Path, error: Exception) -> DataError:
    """The error for a file that cannot be opened or decoded."""
    if isinstance(error, OSError) and error.strerror:
        return DataError(f"{path} cannot be read: {error.strerror}")
    reason = " ".join(getattr(error, "error_string", str(error)).split()) or "its data are damaged or end too early"
    return DataError(
        f"{path} cannot be read as audio, it is damaged or in a format that libsndfile does not know: {reason}"
    )
