"""From a file to its spectrogram: published tensors are loaded, recordings go through the front end."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from datamodules.audio import read_audio
from datamodules.errors import DataError
from datamodules.frontend import LogMelFrontEnd

AUDIO_SUFFIXES = (".wav", ".flac")
TENSOR_SUFFIX = ".pt"


def load_spectrogram(path: Path, frontend: LogMelFrontEnd) -> Tensor:
    """Load one clip.

    Args:
        path: A ``.pt`` file holding a log-mel spectrogram in dB, or a WAV or FLAC file.
        frontend: Turns a recording into a spectrogram, and says how many bands to expect.

    Returns:
        (F, T) float32 in dB, all frames of the clip.

    Raises:
        DataError: The file is damaged, holds something else, or does not fit the front end.
    """
    if path.suffix.lower() == TENSOR_SUFFIX:
        return _load_tensor(path, frontend.settings.n_mels)
    return _load_recording(path, frontend)


def read_tensor(path: Path) -> Tensor:
    """Read a published spectrogram, however many bands it has.

    Args:
        path: A ``.pt`` file.

    Returns:
        (F, T) float32 in dB.

    Raises:
        DataError: The file is damaged or holds something else; nothing it may hold is run.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception:  # a damaged archive raises almost anything, and torch's own messages are pages long
        raise DataError(f"{path} cannot be loaded as a plain tensor: it is damaged or holds other objects") from None
    if type(content) is not Tensor or content.layout is not torch.strided or not content.is_floating_point():
        raise DataError(f"{path} holds {_describe(content)}, not a plain tensor of floating-point numbers")
    if content.ndim != 2 or content.numel() == 0:
        raise DataError(f"{path} holds a tensor of shape {tuple(content.shape)}, not (bands, frames)")
    return _finite(content.detach().float(), path)


def _load_tensor(path: Path, n_mels: int) -> Tensor:
    spectrogram = read_tensor(path)
    if spectrogram.shape[0] != n_mels:
        raise DataError(f"{path} has {spectrogram.shape[0]} bands where --data.frontend.n_mels is {n_mels}")
    return spectrogram


def _describe(content: object) -> str:
    if isinstance(content, Tensor):
        return f"a {type(content).__name__} of {content.dtype}, {content.layout}"
    return f"a {type(content).__name__}"


def _load_recording(path: Path, frontend: LogMelFrontEnd) -> Tensor:
    waveform, sample_rate = read_audio(path)
    seconds, window = len(waveform) / sample_rate, frontend.settings.window
    if seconds < window:
        raise DataError(f"{path} lasts {seconds:.3f} s, less than one --data.frontend.window of {window} s")
    try:
        spectrogram = frontend(waveform, sample_rate)
    except DataError as error:
        raise DataError(f"{path}: {error}") from None
    return _finite(spectrogram, path)


def _finite(spectrogram: Tensor, path: Path) -> Tensor:
    if not spectrogram.isfinite().all():
        raise DataError(f"{path} holds NaN or infinite values; remove or repair it")
    return spectrogram
