"""From a waveform to a log-mel spectrogram in dB."""

import importlib
import math
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from types import ModuleType

import numpy as np
import scipy  # imports its parts when they are first used
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from datamodules.errors import DataError, require


@cache
def _torchaudio() -> ModuleType:
    """Import torchaudio, with a stub for its compiled part if that cannot be loaded.

    The wheels of its last series link CUDA, so a plain import fails with a CPU build of torch. Transforms and
    resampling are plain PyTorch and don't need the compiled part.
    """
    try:
        return importlib.import_module("torchaudio")
    except ModuleNotFoundError:
        raise
    except (ImportError, OSError):
        for name in [name for name in sys.modules if name.partition(".")[0] == "torchaudio"]:
            del sys.modules[name]  # left by the failed import
        stub = ModuleType("torchaudio._extension")
        stub.__dict__.update(
            _IS_TORCHAUDIO_EXT_AVAILABLE=False, _IS_ALIGN_AVAILABLE=False, fail_if_no_align=lambda function: function
        )
        sys.modules["torchaudio._extension"] = stub
        return importlib.import_module("torchaudio")


_MAX_RESAMPLING_TAPS = 20_000_000
"""Most filter taps of torchaudio's resampling (80 MB); only nearly coprime rates need more."""

_LARGEST_RATIO_TERM = 500_000
"""Limits the filter for such rates: ratios of rates up to 500 kHz are exact, others within a millionth."""

_FILTER_REACH = 16
"""Samples of the slower of two rates within which the filters of both ways to resample lie, with room to spare."""

_PIECE_S = 60.0
"""Most seconds of a stream that are transformed at a time; a shorter recording is transformed as a whole."""

_RATES_HZ = range(1_000, 1_000_001)
"""Sample rates of real recordings; others come from damaged headers."""


@dataclass(frozen=True)
class FrontEndSettings:
    """Settings of the log-mel front end; the defaults are those of the planer recordings.

    Attributes:
        sample_rate: Rate in Hz to which waveforms are resampled.
        window: Length of the Hann window, and of the Fourier transform, in seconds.
        hop: Step from frame to frame in seconds.
        n_mels: Number of mel bands F (HTK scale).
        f_min: Lower edge of the lowest band in Hz.
        f_max: Upper edge of the highest band in Hz; half the sample rate if ``None``.

    Raises:
        DataError: A value is out of its range.
    """

    sample_rate: int = 20_000
    window: float = 0.050
    hop: float = 0.025
    n_mels: int = 80
    f_min: float = 0.0
    f_max: float | None = None

    def __post_init__(self) -> None:
        nyquist = self.sample_rate / 2
        f_max = nyquist if self.f_max is None else self.f_max
        require(self.sample_rate in _RATES_HZ, "frontend.sample_rate", self.sample_rate, "between 1000 and 1000000 Hz")
        require(0.001 <= self.window <= 10, "frontend.window", self.window, "between 0.001 and 10 seconds")
        shortest_hop = 1 / self.sample_rate
        require(shortest_hop <= self.hop <= self.window, "frontend.hop", self.hop, "at most the window, in seconds")
        most_mels = self.window_length // 2
        require(1 <= self.n_mels <= most_mels, "frontend.n_mels", self.n_mels, "from 1 to half the window's samples")
        in_range = 0 <= self.f_min < nyquist
        require(in_range, "frontend.f_min", self.f_min, "at least 0 Hz and below half the sample rate")
        in_range = self.f_min < f_max <= nyquist
        require(in_range, "frontend.f_max", f_max, "above f_min and at most half the sample rate")

    @property
    def window_length(self) -> int:
        """Window in samples."""
        return round(self.window * self.sample_rate)

    @property
    def hop_length(self) -> int:
        """Hop in samples."""
        return round(self.hop * self.sample_rate)

    @property
    def frames_per_second(self) -> float:
        """Frames per second of sound."""
        return frame_rate(self.sample_rate, self.hop)

    def band_edges(self) -> NDArray[np.float64]:
        """Frequencies in Hz, (F + 1,), at which a band gives way to the next one."""
        low, high = (
            2595 * np.log10(1 + frequency / 700) for frequency in (self.f_min, self.f_max or self.sample_rate / 2)
        )
        step = (high - low) / (self.n_mels + 1)
        edges: NDArray[np.float64] = 700 * (
            10 ** (np.linspace(low + step / 2, high - step / 2, self.n_mels + 1) / 2595) - 1
        )
        return edges


def frame_rate(sample_rate: int, hop: float) -> float:
    """Frames per second of sound, with the hop rounded to whole samples.

    Example:
        >>> frame_rate(16_000, 0.032), frame_rate(22_050, 0.025)
        (31.25, 40.01814882032668)
    """
    return sample_rate / max(1, round(hop * sample_rate))


DCASE_FRONT_END = FrontEndSettings(sample_rate=16_000, window=0.064, hop=0.032, n_mels=128)
"""Settings of the baseline of DCASE Task 2."""


class LogMelFrontEnd(nn.Module):
    """Log-mel power spectrogram in dB, with frames centred on multiples of the hop.

    Args:
        settings: Sample rate, window, hop and bands.

    Raises:
        DataError: A mel band is so narrow that it contains no frequency of the Fourier transform.

    Example:
        >>> import torch
        >>> frontend = LogMelFrontEnd(FrontEndSettings())
        >>> frontend(torch.zeros(10 * 20_000), 20_000).shape
        torch.Size([80, 401])
    """

    def __init__(self, settings: FrontEndSettings) -> None:
        super().__init__()
        self.settings = settings
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torchaudio warns about empty bands, which raise below
            self.mel = _torchaudio().transforms.MelSpectrogram(
                sample_rate=settings.sample_rate,
                n_fft=settings.window_length,
                hop_length=settings.hop_length,
                f_min=settings.f_min,
                f_max=settings.f_max,
                n_mels=settings.n_mels,
            )
        empty_bands = int((self.mel.mel_scale.fb == 0).all(dim=0).sum())
        if empty_bands:
            raise DataError(
                f"frontend.n_mels={settings.n_mels} leaves {empty_bands} bands without a frequency of the Fourier "
                "transform: reduce it or increase frontend.window"
            )
        self.to_decibel = _torchaudio().transforms.AmplitudeToDB("power")

    def forward(self, waveform: Tensor, sample_rate: int) -> Tensor:
        """Compute the spectrogram of one or more waveforms.

        Args:
            waveform: (..., samples) float32, at least one window long.
            sample_rate: Its rate in Hz; raises a DataError if that is not the rate of a recording.

        Returns:
            (..., F, T) in dB, with T = 1 + samples at the front end's rate // hop.
        """
        return self.to_decibel(self.mel(self.resample(waveform, sample_rate)))

    def stream(self, blocks: Iterable[Tensor], sample_rate: int, shortest: float = math.inf) -> Iterator[Tensor]:
        """Compute the spectrogram of a recording of any length in constant memory.

        The recording is transformed in pieces with a margin of their neighbours, cut where both rates and the hop
        meet, so that the frames are those of the whole recording.

        Args:
            blocks: Consecutive parts (samples,) of a waveform, of any lengths; together at least one window.
            sample_rate: Its rate in Hz.
            shortest: Seconds of sound that a piece waits for, a minute at most; few give frames early, many cost less.

        Yields:
            Consecutive parts (F, t) of the spectrogram in dB; joined they are what `forward` gives for the whole.

        Raises:
            DataError: The sample rate is not that of a recording.
        """
        return self._in_pieces(blocks, sample_rate, shortest, self, items_per_frame=1)

    def stream_resampled(
        self, blocks: Iterable[Tensor], sample_rate: int, shortest: float = math.inf
    ) -> Iterator[Tensor]:
        """Resample a recording as `stream` computes spectrograms; yields consecutive parts (samples,)."""
        return self._in_pieces(blocks, sample_rate, shortest, self.resample, items_per_frame=self.settings.hop_length)

    def _in_pieces(
        self,
        blocks: Iterable[Tensor],
        sample_rate: int,
        shortest: float,
        transform: Callable[[Tensor, int], Tensor],
        items_per_frame: int,
    ) -> Iterator[Tensor]:
        """Apply a transform, whose last dimension is time in frames or samples, to a stream of samples."""
        ratio, hop = self.resampling_ratio(sample_rate), self.settings.hop_length
        # A unit is the shortest stretch with whole numbers of samples at both rates and of frames.
        unit_samples = ratio.denominator * (hop // math.gcd(ratio.numerator, hop))
        unit_items = ratio.numerator // math.gcd(ratio.numerator, hop) * items_per_frame
        reach = self.settings.window * sample_rate + _FILTER_REACH * max(1.0, float(1 / ratio))
        margin = math.ceil(reach / unit_samples)
        least, most = (
            max(margin, round(min(seconds, _PIECE_S) * sample_rate / unit_samples)) for seconds in (shortest, math.inf)
        )
        waveform, done = torch.empty(0), 0  # units at the start of the waveform whose items are out
        for block in blocks:
            waveform = torch.cat([waveform, block])
            while (ready := (len(waveform) - 1) // unit_samples - margin - done) >= least:
                step = min(ready, most)
                piece = transform(waveform[: (done + step + margin) * unit_samples], sample_rate)
                yield piece[..., done * unit_items : (done + step) * unit_items]
                waveform, done = waveform[(done + step - margin) * unit_samples :], margin
        yield transform(waveform, sample_rate)[..., done * unit_items :]

    def resampling_ratio(self, sample_rate: int) -> Fraction:
        """The front end's sample rate divided by that of a recording, as accurately as recordings are resampled.

        Raises:
            DataError: The sample rate is not that of a recording.
        """
        target = self.settings.sample_rate
        if sample_rate != target and sample_rate not in _RATES_HZ:
            raise DataError(
                f"{sample_rate} Hz is not a valid sample rate; correct the file's header, where {_RATES_HZ.start} to "
                f"{_RATES_HZ.stop - 1} Hz are expected"
            )
        ratio = Fraction(target, sample_rate)
        is_exact = ratio.numerator * ratio.denominator <= _MAX_RESAMPLING_TAPS
        return ratio if is_exact else ratio.limit_denominator(_LARGEST_RATIO_TERM)

    def resample(self, waveform: Tensor, sample_rate: int) -> Tensor:
        """A waveform (..., samples) at the front end's rate; raises a DataError if its own rate is not valid."""
        target, ratio = self.settings.sample_rate, self.resampling_ratio(sample_rate)
        if sample_rate == target:
            return waveform
        # torchaudio builds a filter for each phase of the target, at least as long as the source's period.
        if ratio.numerator * ratio.denominator <= _MAX_RESAMPLING_TAPS:
            return _torchaudio().functional.resample(waveform, sample_rate, target)
        resampled = scipy.signal.resample_poly(waveform.numpy(), ratio.numerator, ratio.denominator, axis=-1)
        return torch.from_numpy(resampled).to(waveform.dtype)

    def empty_bands(self, sample_rate: int) -> int:
        """Number of mel bands above all frequencies of recordings with a sample rate in Hz."""
        bank = self.mel.mel_scale.fb  # (frequencies, bands)
        frequencies = torch.linspace(0, self.settings.sample_rate / 2, len(bank))
        return int((bank[frequencies < sample_rate / 2] == 0).all(dim=0).sum())

    def upsampled(self, sample_rates: Sequence[int]) -> str:
        """A warning about recordings whose sample rate is too low for some bands, empty if there are none."""
        empty = {rate: self.empty_bands(rate) for rate in sorted(set(sample_rates))}
        slow = Counter(rate for rate in sample_rates if empty[rate])
        if not slow:
            return ""
        lowest = min(slow)
        rates = ", ".join(f"{rate:,}" for rate in sorted(slow))
        return (
            f"the sample rate of {sum(slow.values()):,} of {len(sample_rates):,} recordings ({rates} Hz) is below the "
            f"front end's {self.settings.sample_rate:,} Hz: the upper {empty[lowest]} of {self.settings.n_mels} bands "
            f"are empty for them; training with frontend.sample_rate={lowest} or frontend.f_max={lowest // 2} leaves "
            "such bands out"
        )
