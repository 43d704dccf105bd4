"""How high the scores of normal recordings are: computed after `fit` or by `predict`, kept with the run, read back."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from lightning.pytorch import Callback, LightningModule, Trainer
from numpy.typing import NDArray

from experiments.predictions.scores import SCORES, ScoredRecording, WindowScores
from lightning_modules.errors import ConfigurationError
from lightning_modules.files import write_arrays

CALIBRATION_FILE = "calibration.npz"
"""In the folder of `fit`, or of a `predict` with calibration recordings."""

_OF_DRIFT = ("typical_score", "typical_masked_score", "typical_spectrum")


@dataclass(frozen=True)
class Calibration:
    """Scores of n stretches of normal sound that a model was not trained on: clips, recordings, or blocks of them.

    Each stretch counts once, with the highest score of its windows: those overlap or follow each other, so they are no
    independent evidence. The threshold is one that a stretch exceeds with a probability of at most alpha, and a single
    window therefore as well.

    Attributes:
        names: Recording of each stretch, (n,).
        windows: Windows of each stretch, (n,).
        score: Highest score of each, (n,).
        masked_score: Highest masked score of each, (n,); NaN of a model without one.
        second_error: Highest error of a second in each, dB², (n,); NaN of a detector without a reconstruction.
        spectrum: Mean error of each band, dB², (F,); (0,) of a detector without a reconstruction.
        epoch: Epoch of the weights that scored, from 0.
        step: Number of optimiser steps of these weights.
        typical_score: Median score of the windows of each, (n,).
        typical_masked_score: Median masked score of each, (n,); NaN of a model without one.
        typical_spectrum: Median level of each band over the windows of each, dB, (n, F);
            (n, 0) if unknown. An earlier version has saved none of these three, which are then (0,) and (0, 0).
    """

    names: NDArray[np.str_]
    windows: NDArray[np.int64]
    score: NDArray[np.float64]
    masked_score: NDArray[np.float64]
    second_error: NDArray[np.float64]
    spectrum: NDArray[np.float64]
    epoch: int
    step: int
    typical_score: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    typical_masked_score: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    typical_spectrum: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 0)))

    def __len__(self) -> int:
        return len(self.names)

    @property
    def windows_per_stretch(self) -> int:
        """Windows that the shortest stretch has; the promise is about as many."""
        return int(self.windows.min())

    def save(self, path: Path) -> None:
        """Write the calibration as a whole or not at all."""
        write_arrays(path, {each.name: np.asarray(getattr(self, each.name)) for each in fields(self)})

    @classmethod
    def load(cls, path: Path) -> Calibration:
        """Read what `save` wrote.

        Raises:
            ConfigurationError: The file is damaged.
        """
        try:
            with np.load(path, allow_pickle=False) as arrays:
                needed = (each for each in fields(cls) if each.name in arrays or each.default_factory is MISSING)
                stored = {each.name: arrays[each.name] for each in needed}
        except (ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise ConfigurationError(
                f"{path} is damaged; score normal recordings with predict --calibrate FOLDER instead"
            ) from error
        return cls(**{**stored, "epoch": int(stored["epoch"]), "step": int(stored["step"])})

    @classmethod
    def of_recordings(
        cls, recordings: Iterable[ScoredRecording], epoch: int, step: int, windows_per_block: int | None = None
    ) -> Calibration:
        """Calibrate with normal recordings, at least one.

        Args:
            recordings: The recordings.
            epoch: Epoch of the weights.
            step: Optimiser steps of the weights.
            windows_per_block: Windows of the blocks into which recordings are cut; the last block of a recording takes
                what is left over. When None, each recording is one stretch.
        """
        recordings = list(recordings)
        stretches: list[tuple[str, int, dict[str, float], float]] = []
        typical = [Typical.of(recording, windows_per_block) for recording in recordings]
        for recording in recordings:
            n_windows, n_seconds = len(recording.starts), len(recording.band_errors)
            for first, after in blocks(n_windows, windows_per_block):
                begin = min(int(recording.starts[first]), n_seconds - 1)
                end = n_seconds if after == n_windows else max(int(recording.starts[after]), begin + 1)
                scores = {key: values[first:after].max() for key, values in recording.scores.items()}
                highest = recording.second_errors[begin:end].max()
                stretches.append((recording.name, after - first, scores, float(highest)))
        columns = {key: np.array([scores.get(key, np.nan) for _, _, scores, _ in stretches]) for key in SCORES}
        return cls(
            names=np.array([name for name, _, _, _ in stretches]),
            windows=np.array([n_windows for _, n_windows, _, _ in stretches]),
            second_error=np.array([error for _, _, _, error in stretches]),
            spectrum=np.concatenate([recording.band_errors for recording in recordings]).mean(axis=0, dtype=np.float64),
            epoch=epoch,
            step=step,
            typical_score=np.concatenate([each.scores["score"] for each in typical]),
            typical_masked_score=np.concatenate([each.scores["masked_score"] for each in typical]),
            typical_spectrum=np.concatenate([each.spectra for each in typical]),
            **columns,
        )

    def subset(self, chosen: NDArray[np.bool_]) -> Calibration:
        """Some of the stretches, given as bool (n,), with the mean error of each band of all."""
        of_each = ("names", "windows", *SCORES, "second_error", *_OF_DRIFT)
        rows = {name: getattr(self, name) for name in of_each}
        return replace(self, **{name: values[chosen] for name, values in rows.items() if len(values)})

    def is_of(self, checkpoint: Mapping[str, Any]) -> bool:
        """Whether the weights of a checkpoint gave the scores."""
        return (self.epoch, self.step) == (checkpoint["epoch"], checkpoint["global_step"])


@dataclass(frozen=True)
class Typical:
    """What the K blocks of a recording sound and score like most of the time: medians over their windows.

    Attributes:
        scores: Median score of each block by `SCORES`, (K,); NaN of a model without it.
        spectra: Median level of each band, dB, (K, F); (K, 0) if unknown.
    """

    scores: dict[str, NDArray[np.float64]]
    spectra: NDArray[np.float64]

    @classmethod
    def of(cls, recording: ScoredRecording, windows_per_block: int | None) -> Typical:
        """Take the medians of blocks of as many windows, or of the whole recording when None."""
        cut = [slice(*block) for block in blocks(len(recording.starts), windows_per_block)]
        unknown = np.full(len(recording.starts), np.nan)
        scores = {
            key: np.array([np.median(recording.scores.get(key, unknown)[block]) for block in cut]) for key in SCORES
        }
        spectra = np.zeros((len(cut), 0))
        if recording.spectra.size:
            spectra = np.array([np.median(recording.spectra[block], axis=0) for block in cut], dtype=float)
        return cls(scores, spectra)


def blocks(n_windows: int, windows_per_block: int | None) -> list[tuple[int, int]]:
    """First window of each block of a recording, and the first one after it.

    Example:
        >>> blocks(7, 3), blocks(2, 3), blocks(7, None)
        ([(0, 3), (3, 7)], [(0, 2)], [(0, 7)])
    """
    n_blocks = max(1, n_windows // windows_per_block) if windows_per_block else 1
    firsts = [block * (windows_per_block or 0) for block in range(n_blocks)]
    return list(zip(firsts, [*firsts[1:], n_windows], strict=True))


class CalibrationScores(Callback):
    """Scores the normal clips of the validation split as `predict` does, in a `validate` that does nothing else.

    Args:
        frames_per_second: Frame rate of the spectrograms.
    """

    def __init__(self, frames_per_second: float) -> None:
        self._scores = WindowScores(frames_per_second)
        self.recordings: list[ScoredRecording] = []
        """The clips of all processes, at the end."""

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Score a batch of normal clips; the second loader has labelled ones."""
        if dataloader_idx == 0:
            with trainer.precision_plugin.predict_step_context():
                self._scores.add(pl_module.predict_step(batch, batch_idx), batch)

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Gather the clips; called on every process."""
        self.recordings = self._scores.gather()
