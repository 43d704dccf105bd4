"""From a file to its spectrogram: published tensors are loaded, recordings go through the front end."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import TypeGuard

import torch
from torch import Tensor

from datamodules.audio import (
    Channel,
    ChannelTally,
    SoundInfo,
    empty,
    open_audio,
    require_channel,
    signal_blocks,
    sound_seconds,
)
from datamodules.errors import DataError
from datamodules.files import TENSOR_SUFFIX
from datamodules.frontend import LogMelFrontEnd

# torch's warnings about odd files would precede the one-line error. The filters stay, since threads share them.
for _message in ("Detected pickle protocol", "TypedStorage is deprecated"):
    warnings.filterwarnings("ignore", message=_message, category=UserWarning)


def load_spectrogram(path: Path, frontend: LogMelFrontEnd, channel: Channel = "mix") -> tuple[Tensor, SoundInfo | None]:
    """Load a ``.pt`` file with a log-mel spectrogram in dB, or a recording, which goes through the front end.

    Returns:
        (F, T) float32 in dB, all frames of the clip, and the levels of a recording.

    Raises:
        DataError: The file is damaged, holds something else, or does not fit the front end.
    """
    parts: list[Tensor] = []
    info = stream_spectrogram(path, frontend, channel, parts.append)
    return torch.cat(parts, dim=1), info


def stream_spectrogram(
    path: Path, frontend: LogMelFrontEnd, channel: Channel, receive: Callable[[Tensor], object]
) -> SoundInfo | None:
    """Read as :func:`load_spectrogram`, in memory that does not depend on the length of a recording.

    Args:
        path: The file.
        frontend: The front end of recordings.
        channel: Channel of recordings, or ``mix``.
        receive: Called with consecutive parts (F, t) float32 of the spectrogram in dB.

    Returns:
        The levels of a recording.

    Raises:
        DataError: The file is damaged, holds something else, or does not fit the front end.
    """
    if path.suffix.lower() == TENSOR_SUFFIX:
        spectrogram, n_mels = read_tensor(path), frontend.settings.n_mels
        if spectrogram.shape[0] != n_mels:
            raise DataError(f"{path} has {spectrogram.shape[0]} bands, but frontend.n_mels is {n_mels}")
        receive(spectrogram)
        return None
    with open_audio(path) as file:
        rate = file.samplerate
        require_channel(path, file.channels, channel)
        try:
            frontend.resampling_ratio(rate)
        except DataError as error:
            raise DataError(f"{path}: {error}") from None
        tally = ChannelTally(file.channels)
        signal = (torch.from_numpy(block) for block in signal_blocks(path, file, channel, tally))
        for part in frontend.stream(_at_least_a_window(signal, path, rate, frontend.settings.window), rate):
            receive(_finite(part, path))
        return tally.info(rate, channel)


def _at_least_a_window(blocks: Iterator[Tensor], path: Path, sample_rate: int, window: float) -> Iterator[Tensor]:
    """The blocks of a recording; raises a DataError if together they are shorter than a window in s."""
    first: list[Tensor] = []
    while (seconds := sum(map(len, first)) / sample_rate) < window:
        block = next(blocks, None)
        if block is None:
            if not first:
                raise empty(path)
            raise DataError(f"{path} lasts {seconds:.3f} s, less than one window (frontend.window={window} s)")
        first.append(block)
    return chain(first, blocks)


def read_tensor(path: Path) -> Tensor:
    """Read a published spectrogram (F, T) in dB from a ``.pt`` file, whatever its number of bands F.

    Raises:
        DataError: The file is damaged or holds something else; its contents are never executed.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except PermissionError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from None
    except Exception:  # damaged archives raise almost anything, with pages of text
        raise DataError(f"{path} cannot be loaded as a plain tensor: it is damaged or holds other objects") from None
    if not _is_plain(content):
        raise DataError(f"{path} holds {_describe(content)}, not a plain tensor of floating-point numbers")
    if content.ndim != 2 or content.numel() == 0:
        raise DataError(f"{path} holds a tensor of shape {tuple(content.shape)}, not (bands, frames)")
    if content.untyped_storage().nbytes() < content.numel() * content.element_size():
        # strides can repeat one number a billion times
        raise DataError(f"{path} claims {tuple(content.shape)} numbers of which it holds only some; write it again")
    return _finite(content.detach().resolve_neg().float(), path)


def clip_seconds(path: Path, frames_per_second: float) -> float:
    """Length of a clip in s, by the header of a recording or by the frames of a stored spectrogram.

    The first frame of a spectrogram is centred on its start and the last one on its end.

    Raises:
        DataError: If the file can't be read; the message names it.
    """
    if path.suffix.lower() == TENSOR_SUFFIX:
        return (read_tensor(path).shape[1] - 1) / frames_per_second
    return sound_seconds(path)


def _is_plain(content: object) -> TypeGuard[Tensor]:
    return (
        type(content) is Tensor
        and content.layout is torch.strided
        and content.device.type == "cpu"  # one on "meta" has a shape and no numbers
        and content.is_floating_point()
    )


def _describe(content: object) -> str:
    if isinstance(content, Tensor):
        return f"a {type(content).__name__} of {content.dtype}, {content.layout}, on {content.device}"
    return f"a {type(content).__name__}"


def _finite(spectrogram: Tensor, path: Path) -> Tensor:
    if not spectrogram.isfinite().all():
        raise DataError(f"{path} holds NaN or infinite values; repair it or move it out of the data set")
    return spectrogram
