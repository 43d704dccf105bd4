"""Whether recordings are like the normal ones that calibrate: in level, spectrum and typical scores.

Recordings are cut into stretches as long as those of the calibration, and compared by what most stretches are like.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from experiments.predictions.calibration import Typical
from experiments.predictions.decisions import Decider
from experiments.predictions.scores import ScoredRecording, mean_level
from lightning_modules.wording import counted
from metrics.functional import (
    carrying_bands,
    conformal_p_values,
    count_p_value,
    majority_factor,
    majority_p_value,
    needed_scores,
    smallest_alpha,
    unusualness_p_values,
)

_ALPHA = 0.05
"""Highest probability of a false warning, per recording or per prediction, where there is enough to calibrate with."""

_HIGHEST_ALPHA = 0.2
"""What fewer normal stretches may raise it to; with fewer still, nothing is said."""

_ROUNDING = 1e-9

_STATISTICS = ("level", "spectrum")

_FEWEST_WINDOWS = 10
"""Windows that follow each other; in less sound, scores that are high most of the time may be of one short event."""


@dataclass(frozen=True)
class Comparison:
    """A recording beside the normal stretches of a calibration.

    Attributes:
        level: Level of the power in all bands of a typical window, dB relative to the reference level.
        p_values: P-value of level and spectrum, by `_STATISTICS`; none if they can't be compared.
        limit: A statistic of a lower or equal p-value is unlike normal; both together have twice this probability.
    """

    level: float
    p_values: Mapping[str, float]
    limit: float

    @property
    def p_value(self) -> float:
        """P-value of the more unusual of the two; NaN without them."""
        return min(1.0, len(_STATISTICS) * min(self.p_values.values())) if self.p_values else np.nan

    @property
    def drift(self) -> list[str]:
        """In what the recording is unlike normal ones."""
        return [name for name, p_value in self.p_values.items() if p_value <= self.limit]


def compare(recording: ScoredRecording, decider: Decider | None) -> Comparison:
    """Compare level and spectrum of a recording with those of the normal stretches of a calibration.

    The spectrum is taken relative to its median band, so that a gain changes the level alone.
    """
    level = float(_levels(_spectrum(recording))[0]) if recording.spectra.size else np.nan
    if decider is None or not recording.spectra.size or not decider.calibration.typical_spectrum.size:
        return Comparison(level, {}, 0.0)
    normal = decider.calibration.typical_spectrum
    found = Typical.of(recording, decider.calibration.windows_per_stretch).spectra
    limit = _limit(len(normal), len(found), len(_STATISTICS))
    if limit is None:
        return Comparison(level, {}, 0.0)
    p_values = {
        "level": unusualness_p_values(_levels(found)[:, None], _levels(normal)[:, None]),
        "spectrum": unusualness_p_values(_shapes(found), _shapes(normal)),
    }
    return Comparison(level, {name: majority_p_value(p_values[name]) for name in _STATISTICS}, limit)


def drift_warnings(
    compared: Sequence[tuple[ScoredRecording, Comparison]], decider: Decider, band_edges: NDArray[np.float64]
) -> list[str]:
    """Why alarms may say nothing about the machine, in a sentence each; none if nothing is unusual.

    Args:
        compared: Recordings that one decider decides about, each with its comparison.
        decider: The decider.
        band_edges: Frequencies in Hz at the borders of the bands, (F + 1,).
    """
    if not decider.calibration.typical_spectrum.size:
        return [
            "Level, spectrum and typical scores are not compared with normal ones, as an earlier version has saved the "
            "calibration; give normal recordings with --calibrate"
        ]
    sounds = [(recording, comparison) for recording, comparison in compared if comparison.p_values]
    of_sound = _sound_sentences(sounds, decider, band_edges) if sounds else [_too_few(decider)]
    return [*of_sound, *_score_sentences([recording for recording, _ in compared], decider)]


def _too_few(decider: Decider) -> str:
    needed = needed_scores(_HIGHEST_ALPHA / len(_STATISTICS))
    return (
        f"Level and spectrum are not compared with normal ones: {counted(len(decider.calibration), 'normal clip')} or "
        f"recordings are too few, {needed} are needed, and {2 * needed + 1} for longer recordings"
    )


def _sound_sentences(
    compared: Sequence[tuple[ScoredRecording, Comparison]], decider: Decider, band_edges: NDArray[np.float64]
) -> list[str]:
    """Whether more recordings are unlike normal ones than by chance, and how far the farthest are."""
    n_unlike = sum(bool(comparison.drift) for _, comparison in compared)
    alpha = len(_STATISTICS) * max(comparison.limit for _, comparison in compared)
    p_value = count_p_value(n_unlike, len(compared), len(decider.calibration), alpha)
    if n_unlike == 0 or p_value > max(_ALPHA, alpha) + _ROUNDING:
        return []
    sentences = [
        f"Unlike anything trained on ({_text(p_value)}): {n_unlike} of {counted(len(compared), 'recording')} in level "
        "or spectrum. Unless the machine itself sounds so different all the time, their alarms say nothing about it"
    ]
    if louder := [recording for recording, comparison in compared if "level" in comparison.drift]:
        sentences.append(_level_sentence(louder, decider))
    if other := [recording for recording, comparison in compared if "spectrum" in comparison.drift]:
        sentences.append(_spectrum_sentence(other, decider, band_edges))
    return sentences


def _level_sentence(recordings: Sequence[ScoredRecording], decider: Decider) -> str:
    """How far the level is from normal in the recording where it is farthest."""
    normal = _levels(decider.calibration.typical_spectrum)
    differences = [float(_levels(_spectrum(recording))[0] - normal.mean()) for recording in recordings]
    difference, name = max(
        zip(differences, (each.name for each in recordings), strict=True), key=lambda pair: abs(pair[0])
    )
    what = "louder" if difference > 0 else "quieter"
    return (
        f"Level of {counted(len(recordings), 'recording')}, most in {name}: {abs(difference):.1f} dB {what} than the "
        f"{len(normal)} normal ones on average, which range from {normal.min() - normal.mean():+.1f} to "
        f"{normal.max() - normal.mean():+.1f} dB"
    )


def _spectrum_sentence(recordings: Sequence[ScoredRecording], decider: Decider, band_edges: NDArray[np.float64]) -> str:
    """Where the spectrum is farthest from normal, in the recording where it is farthest on average."""
    normal = _shapes(decider.calibration.typical_spectrum)
    center = normal.mean(axis=0)
    differences = [_shapes(_spectrum(recording))[0] - center for recording in recordings]
    farthest = max(range(len(recordings)), key=lambda row: np.abs(differences[row]).mean())
    difference = differences[farthest]
    first, after = carrying_bands(np.abs(difference))
    there = difference[first:after].mean()
    of_normal = (normal - center)[:, first:after].mean(axis=1)
    return (
        f"Spectrum of {counted(len(recordings), 'recording')}, most in {recordings[farthest].name}: "
        f"{there:+.1f} dB from {band_edges[first]:,.0f} to {band_edges[after]:,.0f} Hz beside the other bands, where "
        f"the {len(normal)} normal ones range from {of_normal.min():+.1f} to {of_normal.max():+.1f} dB"
    )


def _score_sentences(recordings: Sequence[ScoredRecording], decider: Decider) -> list[str]:
    """Whether scores are high most of the time, which is not said about little sound."""
    key, window = decider.settings.score, decider.window_seconds
    normal = getattr(decider.calibration, f"typical_{key}")
    per_stretch = decider.calibration.windows_per_stretch
    typical = np.concatenate([Typical.of(recording, per_stretch).scores[key] for recording in recordings])
    limit = _limit(len(normal), len(typical), 1)
    n_windows = sum(1 + (recording.starts[-1] - recording.starts[0]) / window for recording in recordings)
    if limit is None or n_windows < _FEWEST_WINDOWS:
        return []
    p_value = majority_p_value(conformal_p_values(typical, normal))
    if p_value > limit:
        return []
    unit = " dB²" if recordings[0].band_errors.shape[1] else ""
    return [
        f"The calibration no longer holds ({_text(p_value)}): most of the time the {key} is higher than normal, "
        f"{np.median(typical):.4g}{unit} at the median, where {len(normal)} normal ones range from {normal.min():.4g} "
        f"to {normal.max():.4g}{unit}. Unless the machine is abnormal most of the time, give normal recordings of now "
        "with --calibrate"
    ]


def _text(p_value: float) -> str:
    return "p < 0.001" if p_value < 0.001 else f"p = {p_value:.2g}"


def _limit(n: int, n_stretches: int, n_statistics: int) -> float | None:
    """Highest p-value of each of some statistics that is unusual; None if n normal stretches are too few."""
    limit = max(_ALPHA / n_statistics, majority_factor(n_stretches) * smallest_alpha(n))
    return limit if n_statistics * limit <= _HIGHEST_ALPHA + _ROUNDING else None


def _spectrum(recording: ScoredRecording) -> NDArray[np.float64]:
    """Level of each band in a typical window, dB, (1, F)."""
    return Typical.of(recording, None).spectra


def _levels(spectra: NDArray[np.float64]) -> NDArray[np.float64]:
    """Level of the mean power over the bands of N spectra (N, F) in dB, (N,)."""
    levels: NDArray[np.float64] = mean_level(torch.from_numpy(spectra), dim=1).numpy()
    return levels


def _shapes(spectra: NDArray[np.float64]) -> NDArray[np.float64]:
    """N spectra relative to their median bands, dB, (N, F); missing bands, if they are few, don't change others."""
    return spectra - np.median(spectra, axis=1, keepdims=True)
