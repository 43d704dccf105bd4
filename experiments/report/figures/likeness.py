"""Real and simulated recordings side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.gridspec import GridSpec

from datamodules.simulator.likeness import FRAME_HZ, PULSES_HZ, modulation_spectrum
from datamodules.simulator.render import Array
from experiments.report.figures.panels import draw_map
from experiments.report.figures.style import MUTED, TEXT_WIDTH, styled

_ROW, _CURVES = 1.75, 2.0  # inches
_COLOURS = {"real": "#bb5566", "simulated": "#004488"}
_SPECTROGRAM_COLOURS = "inferno"


@dataclass(frozen=True)
class Pair:
    """A real spectrogram and a simulated one of the same kind, each (80, T) in dB."""

    title: str
    real: Array
    simulated: Array


@styled
def likeness_figure(pairs: Sequence[Pair]) -> Figure:
    """Draw pairs of spectrograms, a row each, and below them bands and modulation of the first pair.

    Args:
        pairs: The first is normal running.

    Returns:
        The figure, as wide as a page.
    """
    heights = [_ROW] * len(pairs) + [_CURVES]
    figure = Figure(figsize=(TEXT_WIDTH, sum(heights)), layout="constrained")
    grid = GridSpec(len(heights), 2, figure, height_ratios=heights)
    for row, pair in enumerate(pairs):
        axes = [figure.add_subplot(grid[row, column]) for column in range(2)]
        _draw_pair(figure, axes, pair)
    bands, modulation = (figure.add_subplot(grid[len(pairs), column]) for column in range(2))
    for name, colour in _COLOURS.items():
        spectrogram = getattr(pairs[0], name)
        _draw_bands(bands, spectrogram, name, colour)
        _draw_modulation(modulation, spectrogram, name, colour)
    bands.set(xlabel="Mel band", ylabel="Level (dB)", title="Mean and standard deviation over time, normal running")
    bands.legend()
    modulation.set(xlabel="Modulation frequency (Hz)", ylabel="dB", title="Modulation spectrum, normal running")
    modulation.set_xlim(0, FRAME_HZ / 4)
    for hz in PULSES_HZ:
        modulation.axvline(hz, color=MUTED, lw=0.7, ls=":")
    modulation.legend()
    return figure


def _draw_pair(figure: Figure, axes: Sequence[Axes], pair: Pair) -> None:
    low, high = np.percentile(pair.real, [0.5, 99.9])
    for panel, name in zip(axes, _COLOURS, strict=True):
        spectrogram = getattr(pair, name)
        scale = {"cmap": _SPECTROGRAM_COLOURS, "vmin": low, "vmax": high}
        image = draw_map(panel, spectrogram, FRAME_HZ, **scale)
        panel.set(title=f"{pair.title}, {name}", xlabel="Time (s)")
    figure.colorbar(image, ax=list(axes), label="dB", pad=0.01, aspect=14)


def _draw_bands(axes: Axes, spectrogram: Array, name: str, colour: str) -> None:
    mean, spread = spectrogram.mean(axis=1), spectrogram.std(axis=1)
    band = np.arange(len(mean))
    axes.fill_between(band, mean - spread, mean + spread, color=colour, alpha=0.18, lw=0)
    axes.plot(band, mean, color=colour, lw=1.2, label=name)


def _draw_modulation(axes: Axes, spectrogram: Array, name: str, colour: str) -> None:
    hz, power = modulation_spectrum(spectrogram)
    axes.plot(hz[1:], power[1:], color=colour, lw=1, label=name)
