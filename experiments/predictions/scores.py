"""Scores of recordings: of each window, and the error of each second in each band."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lightning_modules.base import StepOutputs
from lightning_modules.distributed import gather_objects
from lightning_modules.scores import squared_error

SCORES = ("score", "masked_score")
"""Anomaly scores of windows; not every detector has the second."""

_EXPONENT_PER_DB = math.log(10) / 10
"""A power is e to the power of this times its level."""

_LONGEST_HOP = 1_000_000
"""Samples; frame rates are quotients of a sample rate and a hop, both whole numbers."""

_UNKNOWN = np.zeros(0, np.float32)


@dataclass(frozen=True)
class ScoredRecording:
    """A recording of N windows and S seconds.

    A last second of which less than half is recorded is left out.

    Attributes:
        name: Its path relative to the folder of recordings.
        starts: Start of each window in s, increasing, (N,).
        scores: Anomaly scores of the windows by `SCORES`, (N,) each.
        band_errors: Mean squared error of each second in each band over the windows that cover it, dB², (S, F); (S, 0)
            from a detector without a reconstruction.
        spectra: Level of each band in each window, of its mean power over the frames, dB, (N, F);
            (N, 0) or (0, 0) if unknown.
    """

    name: str
    starts: NDArray[np.float64]
    scores: dict[str, NDArray[np.float64]]
    band_errors: NDArray[np.float32]
    spectra: NDArray[np.float32] = field(default_factory=lambda: np.zeros((0, 0), np.float32))

    @property
    def second_errors(self) -> NDArray[np.float64]:
        """Mean squared error of each second, dB², (S,); NaN from a detector without a reconstruction."""
        if self.band_errors.shape[1] == 0:
            return np.full(len(self.band_errors), np.nan)
        return self.band_errors.mean(axis=1, dtype=np.float64)


class WindowScores:
    """Collects the outputs of windows, batch by batch, and puts recordings together from them.

    Errors are summed by second as they come. Only a process that sees a window twice counts it once, so windows that a
    distributed sampler repeats weigh more in the seconds that they share with others.

    Args:
        frames_per_second: Frame rate of the spectrograms.
    """

    def __init__(self, frames_per_second: float) -> None:
        # Exact, since a rounded time would move frames to the second before.
        self._rate = Fraction(frames_per_second).limit_denominator(_LONGEST_HOP)
        self._recordings: dict[str, _Sums] = {}

    def add(self, outputs: StepOutputs, batch: Mapping[str, Any]) -> None:
        """Take in the outputs of a step; a batch without ``first_frame`` has clips that begin with their recording."""
        x = batch["spectrogram"]
        firsts = batch["first_frame"].tolist() if "first_frame" in batch else [0] * len(x)
        spectra = mean_level(x.float(), dim=2).cpu().numpy()
        windows = zip(batch["index"].tolist(), batch["name"], firsts, scored_windows(outputs, x), spectra, strict=True)
        for index, name, first, (scores, error), spectrum in windows:
            self.add_window(name, index, first, scores, error, spectrum.copy())  # not the batch

    def add_window(
        self,
        name: str,
        index: int,
        first: int,
        scores: dict[str, float],
        error: Tensor,
        spectrum: NDArray[np.float32] = _UNKNOWN,
    ) -> None:
        """Take in a window of a recording.

        Args:
            name: The recording.
            index: Number of the window, which counts once.
            first: Its first frame.
            scores: Its scores by `SCORES`.
            error: Its error map, (F, T), dB².
            spectrum: Level of each band, (F,), dB; of all windows of a recording, or of none.
        """
        recording = self._recordings.setdefault(name, _Sums(len(error)))
        if index not in recording.windows:
            recording.windows[index] = first, scores, spectrum
            recording.add_map(error, first, self._rate)

    def gather(self) -> list[ScoredRecording]:
        """The recordings whose windows any process has seen, in their order; every process must call it."""
        recordings: dict[str, _Sums] = {}
        for part in gather_objects(self._recordings):
            for name, sums in part.items():
                recordings.setdefault(name, _Sums(sums.errors.shape[1])).join(sums)
        in_order = sorted(recordings.items(), key=lambda item: min(item[1].windows))
        return [sums.recording(name, float(self._rate)) for name, sums in in_order]


def mean_level(levels: Tensor, dim: int) -> Tensor:
    """Level of the mean power along a dimension, dB.

    Example:
        >>> mean_level(torch.tensor([10.0, 10.0, 10.0, 20.0]), dim=0)  # 13 on average of 10, 10, 10 and 100
        tensor(15.1188)
    """
    return (torch.logsumexp(levels * _EXPONENT_PER_DB, dim) - math.log(levels.shape[dim])) / _EXPONENT_PER_DB


def scored_windows(outputs: StepOutputs, x: Tensor) -> list[tuple[dict[str, float], Tensor]]:
    """The scores by `SCORES` and the error map (F, T) of each window in a step's outputs for spectrograms (B, F, T)."""
    scores = {key: outputs[key].double().tolist() for key in SCORES if key in outputs}  # type: ignore[literal-required]
    # A detector without a reconstruction has no bands.
    errors = squared_error(x, outputs["reconstruction"]) if "reconstruction" in outputs else x[:, :0]
    return [({key: values[row] for key, values in scores.items()}, error) for row, error in enumerate(errors)]


class StreamedErrors:
    """Errors of the seconds of a recording that has no end yet, in constant memory.

    Args:
        n_bands: Bands F; 0 of a detector without a reconstruction.
        frames_per_second: Frame rate of the spectrograms.
    """

    def __init__(self, n_bands: int, frames_per_second: float) -> None:
        self._rate = Fraction(frames_per_second).limit_denominator(_LONGEST_HOP)
        self._sums = _Sums(n_bands)

    def add(self, error: Tensor, first: int) -> None:
        """Take in the error map (F, T) of a window from its first frame on."""
        self._sums.add_map(error, first, self._rate)

    def take(self, before: int | None = None) -> NDArray[np.float32]:
        """Mean errors (S, F) of the seconds since the last call and before one, of all that are left if None.

        They are those of a `ScoredRecording` if no window to come begins before that second.
        """
        return self._sums.means(float(self._rate)) if before is None else self._sums.take(before)


class _Sums:
    """The windows of a recording, and its error in each second and band so far.

    The arrays grow by half; small ones that stay would leave holes in the memory between batches.

    Args:
        n_bands: Bands F.
    """

    def __init__(self, n_bands: int) -> None:
        self.windows: dict[int, tuple[int, dict[str, float], NDArray[np.float32]]] = {}
        """First frame, scores and level of each band (F,) of each window, by its index."""
        self.errors: NDArray[np.float32] = np.zeros((0, n_bands), np.float32)
        """Sum over the frames of windows, (S, F)."""
        self.counts: NDArray[np.int64] = np.zeros((2, 0), np.int64)
        """Frames of all windows in each second, and most frames of one window, (2, S)."""
        self.first = 0
        """The second that the arrays begin with."""

    def add_map(self, error: Tensor, first: int, rate: Fraction) -> None:
        """Add the error map (F, T) of a window from its first frame on, with an exact frame rate."""
        frames = torch.arange(first, first + error.shape[1], device=error.device)
        seconds = frames * rate.denominator // rate.numerator
        second = int(seconds[0])
        seconds = seconds - second
        counts = torch.bincount(seconds)
        sums = error.new_zeros(len(counts), error.shape[0]).index_add_(0, seconds, error.T)
        self.add(second, sums.float().cpu().numpy(), counts.cpu().numpy(), counts.cpu().numpy())

    def add(self, second: int, errors: NDArray[np.float32], frames: NDArray[np.int64], most: NDArray[np.int64]) -> None:
        """Add from a second on the errors (S, F) and frames (S,) of windows, and the most frames of one (S,)."""
        second -= self.first
        end = second + len(errors)
        if end > len(self.errors):
            more = max(end, 3 * len(self.errors) // 2) - len(self.errors)
            self.errors = np.pad(self.errors, ((0, more), (0, 0)))
            self.counts = np.pad(self.counts, ((0, 0), (0, more)))
        self.errors[second:end] += errors
        self.counts[0, second:end] += frames
        self.counts[1, second:end] = np.maximum(self.counts[1, second:end], most)

    def join(self, other: _Sums) -> None:
        """Add what another process has seen of the recording."""
        self.add(0, other.errors, *other.counts)
        self.windows |= other.windows

    def recording(self, name: str, frames_per_second: float) -> ScoredRecording:
        """The recording."""
        windows = [window for _, window in sorted(self.windows.items())]
        starts = np.array([first for first, _, _ in windows]) / frames_per_second
        scores = {key: np.array([of_window[key] for _, of_window, _ in windows]) for key in windows[0][1]}
        spectra = np.stack([spectrum for _, _, spectrum in windows])
        return ScoredRecording(name, starts, scores, self.means(frames_per_second), spectra)

    def means(self, frames_per_second: float) -> NDArray[np.float32]:
        """Mean error of each second and band, (S, F), without a last second of which less than half is there."""
        frames, most = self.counts
        n_seconds = int(np.flatnonzero(frames)[-1]) + 1 if frames.any() else 0
        if self.first + n_seconds > 1 and n_seconds and most[n_seconds - 1] < frames_per_second / 2:
            n_seconds -= 1
        return self._means(n_seconds)

    def take(self, before: int) -> NDArray[np.float32]:
        """Remove the seconds before one, and return the mean error of each of them and each band, (S, F)."""
        n_seconds = max(0, before - self.first)
        means = self._means(n_seconds)
        self.errors, self.counts = self.errors[n_seconds:], self.counts[:, n_seconds:]
        self.first += n_seconds
        return means

    def _means(self, n_seconds: int) -> NDArray[np.float32]:
        means = self.errors[:n_seconds] / np.maximum(self.counts[0, :n_seconds, None], 1)
        return means.astype(np.float32)
