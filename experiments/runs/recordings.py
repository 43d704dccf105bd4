"""Scores of recordings: of each window, and the error of each second in each band."""

from __future__ import annotations

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

_LONGEST_HOP = 1_000_000
"""Samples; frame rates are quotients of a sample rate and a hop, both whole numbers."""


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
    """

    name: str
    starts: NDArray[np.float64]
    scores: dict[str, NDArray[np.float64]]
    band_errors: NDArray[np.float32]

    @property
    def second_errors(self) -> NDArray[np.float64]:
        """Mean squared error of each second, dB², (S,); NaN from a detector without a reconstruction."""
        if self.band_errors.shape[1] == 0:
            return np.full(len(self.band_errors), np.nan)
        return self.band_errors.mean(axis=1, dtype=np.float64)


@dataclass
class WindowScores:
    """Collects the outputs of windows, batch by batch, and puts recordings together from them.

    Args:
        frames_per_second: Frame rate of the spectrograms.
    """

    frames_per_second: float
    _windows: dict[int, _Window] = field(default_factory=dict)

    def add(self, outputs: StepOutputs, batch: Mapping[str, Any]) -> None:
        """Take in the outputs of a step; a batch without ``first_frame`` has clips that begin with their recording."""
        x = batch["spectrogram"]
        firsts = batch["first_frame"].tolist() if "first_frame" in batch else [0] * len(x)
        scores = {key: outputs[key].double().tolist() for key in SCORES if key in outputs}  # type: ignore[literal-required]
        # A detector without a reconstruction has no bands.
        errors = squared_error(x, outputs["reconstruction"]) if "reconstruction" in outputs else x[:, :0]
        for row, index in enumerate(batch["index"].tolist()):
            of_row = {key: values[row] for key, values in scores.items()}
            second, sums, counts = self._by_second(errors[row], firsts[row])
            self._windows[index] = _Window(batch["name"][row], firsts[row], of_row, second, sums, counts)

    def _by_second(self, error: Tensor, first: int) -> tuple[int, NDArray[np.float32], NDArray[np.int64]]:
        """Sum an error map (F, T) over the frames of each second.

        Returns:
            The first second, the sums (S, F), and how many frames each second has here (S,).
        """
        # Exact, since a rounded time would move frames to the second before.
        rate = Fraction(self.frames_per_second).limit_denominator(_LONGEST_HOP)
        frames = torch.arange(first, first + error.shape[1], device=error.device)
        seconds = frames * rate.denominator // rate.numerator
        second = int(seconds[0])
        seconds = seconds - second
        counts = torch.bincount(seconds)
        sums = error.new_zeros(len(counts), error.shape[0]).index_add_(0, seconds, error.T)
        return second, sums.float().cpu().numpy(), counts.cpu().numpy()

    def gather(self) -> list[ScoredRecording]:
        """The recordings whose windows any process has seen, in their order; every process must call it."""
        windows = {index: window for part in gather_objects(self._windows) for index, window in part.items()}
        by_name: dict[str, list[_Window]] = {}
        for _, window in sorted(windows.items()):
            by_name.setdefault(window.name, []).append(window)
        return [self._recording(name, of_recording) for name, of_recording in by_name.items()]

    def _recording(self, name: str, windows: list[_Window]) -> ScoredRecording:
        n_seconds = max(window.second + len(window.counts) for window in windows)
        sums = np.zeros((n_seconds, windows[0].sums.shape[1]))
        counts, recorded = np.zeros(n_seconds), np.zeros(n_seconds)
        for window in windows:
            covered = slice(window.second, window.second + len(window.counts))
            sums[covered] += window.sums
            counts[covered] += window.counts
            recorded[covered] = np.maximum(recorded[covered], window.counts)
        if n_seconds > 1 and recorded[-1] < self.frames_per_second / 2:
            n_seconds -= 1
        errors = (sums / np.maximum(counts, 1)[:, None])[:n_seconds].astype(np.float32)
        starts = np.array([window.first for window in windows]) / self.frames_per_second
        scores = {key: np.array([window.scores[key] for window in windows]) for key in windows[0].scores}
        return ScoredRecording(name, starts, scores, errors)


@dataclass(frozen=True)
class _Window:
    """A window: its recording and first frame, its scores, and its error by second and band."""

    name: str
    first: int
    scores: dict[str, float]
    second: int
    sums: NDArray[np.float32]
    counts: NDArray[np.int64]
