"""Panels over a clip's time axis, from which the figures of a clip are stacked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from numpy.typing import NDArray

from experiments.report.figures.style import ANNOTATION, INK, MUTED, WIDTH, verbatim
from explainers.examples import Example
from metrics.functional import frame_curve, select_peaks

_SPECTROGRAM_COLOURS = "magma"
_ANNOTATION_BAR = "#c77700"
_LEFT, _RIGHT, _COLOUR_BAR, _COLOUR_BAR_GAP, _MARGIN = 0.52, 0.62, 0.09, 0.07, 0.1  # inches

Mask = NDArray[np.bool_]


class Stack:
    """Panels of one width above each other, placed in inches so that none is squeezed however many there are.

    Args:
        heights: Height of each panel from the top, inches.
        gaps: Space above each panel, inches.
        bottom: Space for the time axis and the key below, inches.
        width: Width of the whole figure, inches.
        columns: Number of equal stacks next to each other.
        colour_bars: Whether space is left for colour bars.
    """

    def __init__(
        self,
        heights: Sequence[float],
        gaps: Sequence[float],
        bottom: float = 0.72,
        width: float = WIDTH,
        columns: int = 1,
        colour_bars: bool = True,
    ) -> None:
        total = sum(heights) + sum(gaps) + bottom
        right = _COLOUR_BAR_GAP + _COLOUR_BAR + _RIGHT if colour_bars else _MARGIN
        panel = (width - columns * (_LEFT + right)) / columns
        self.figure = Figure(figsize=(width, total))
        self.columns: list[list[Axes]] = []
        for column in range(columns):
            left = column * (_LEFT + panel + right) + _LEFT
            self.columns.append(self._add_panels(left / width, panel / width, heights, gaps))
        self.axes = self.columns[0]
        self._width, self._total = width, total

    def colour_bar(self, image: Any, axes: Axes, label: str) -> None:
        """Put a colour bar to the right of a panel."""
        box = axes.get_position()
        left = box.x1 + _COLOUR_BAR_GAP / self._width
        bar_axes = self.figure.add_axes((left, box.y0, _COLOUR_BAR / self._width, box.height))
        bar = self.figure.colorbar(image, cax=bar_axes)
        bar.outline.set_linewidth(0.5)
        bar.ax.locator_params(nbins=4)
        # Beside the widest tick labels there can be, so that the units of all panels are in one column.
        right = left + (_COLOUR_BAR + _RIGHT - 0.02) / self._width
        bar.ax.text(right, box.y0 + box.height / 2, label, rotation=90, ha="right", va="center",
                    transform=self.figure.transFigure)  # fmt: skip

    def key(self, handles: Sequence[Patch | Line2D]) -> None:
        """Explain marks below the time axis."""
        self.figure.legend(handles=handles, loc="lower center", ncols=len(handles), bbox_to_anchor=(0.5, 0.0),
                           handletextpad=0.5, columnspacing=1.2)  # fmt: skip

    def title(self, text: str, detail: str) -> None:
        """Head the figure with a line and a smaller one."""
        left = _LEFT / self._width
        self.figure.text(left, 1 - 0.09 / self._total, verbatim(text), va="top", fontsize=9.5, fontweight="bold")
        self.figure.text(left, 1 - 0.27 / self._total, verbatim(detail), va="top", fontsize=8, color="#52606d")

    def _add_panels(self, left: float, width: float, heights: Sequence[float], gaps: Sequence[float]) -> list[Axes]:
        """One column, its place and width as shares of the figure's width."""
        panels: list[Axes] = []
        total = top = float(self.figure.get_figheight())
        for height, gap in zip(heights, gaps, strict=True):
            top -= gap + height
            box = (left, top / total, width, height / total)
            axes = self.figure.add_axes(box, sharex=panels[0] if panels else None)
            axes.tick_params(bottom=False, labelbottom=False)
            panels.append(axes)
        panels[-1].tick_params(bottom=True, labelbottom=True)
        panels[-1].set_xlabel("Time (s)")
        return panels


def clip_peaks(example: Example, explainer: str, percentile: int) -> tuple[NDArray[np.float32], Mask]:
    """An explainer's frame curve (T,), z-scored for display, and its peak frames (T,).

    Peaks come from the unscaled curve, as in the metrics.
    """
    curve = frame_curve(torch.from_numpy(example.attributions[explainer]))
    peaks = select_peaks(curve, percentile).numpy()
    values = curve.numpy()
    spread = values.std()
    return (values - values.mean()) / (spread if spread > 0 else 1), peaks


def intervals(frames: Mask, frames_per_second: float) -> list[tuple[float, float]]:
    """Start and end, in seconds, of each run of marked frames.

    Example:
        >>> intervals(np.array([False, True, True, False, True]), frames_per_second=2)
        [(0.5, 1.5), (2.0, 2.5)]
    """
    edges = np.flatnonzero(np.diff(np.concatenate([[False], frames, [False]]).astype(int))) / frames_per_second
    return [(float(start), float(end)) for start, end in edges.reshape(-1, 2)]


def draw_map(axes: Axes, values: NDArray[np.float32], frames_per_second: float, **scale: Any) -> Any:
    """Draw a map (F, T) over time in seconds, lowest band at the bottom."""
    n_bands, n_frames = values.shape
    axes.set_ylabel("Mel band")
    axes.set_yticks([0, n_bands // 2, n_bands])
    extent = (0, n_frames / frames_per_second, 0, n_bands)
    return axes.imshow(values, origin="lower", aspect="auto", extent=extent, interpolation="nearest", **scale)


def draw_spectrogram(axes: Axes, spectrogram: NDArray[np.float32], limits: Example, frames_per_second: float) -> Any:
    """Draw a spectrogram in dB with the colour limits of an example's recording."""
    low, high = np.percentile(limits.spectrogram, [0.5, 99.5])
    scale = {"cmap": _SPECTROGRAM_COLOURS, "vmin": low, "vmax": high}
    return draw_map(axes, spectrogram, frames_per_second, **scale)


def bracket(axes: Axes, spans: Sequence[tuple[float, float]], colour: str = _ANNOTATION_BAR) -> None:
    """Mark intervals of seconds by a bar on a map's upper edge and lines down its sides, leaving the map visible."""
    for start, end in spans:
        axes.plot([start, end], [1.035, 1.035], color=colour, lw=2.5, solid_capstyle="butt", clip_on=False,
                  transform=axes.get_xaxis_transform())  # fmt: skip
        for edge in (start, end):
            axes.axvline(edge, color="white", lw=1.3)
            axes.axvline(edge, color=INK, lw=0.7, ls=(0, (3, 2)))


def draw_curve(axes: Axes, curve: NDArray[np.float32], peaks: Mask, frames_per_second: float, colour: str) -> None:
    """Draw a frame curve, its threshold and its peaks (all (T,)) over time in seconds."""
    seconds = (np.arange(len(curve)) + 0.5) / frames_per_second
    axes.plot(seconds, curve, color=colour, lw=0.8)
    axes.axhline(curve[peaks].min(), color=MUTED, lw=0.6, ls=":")
    axes.plot(seconds[peaks], curve[peaks], ls="", marker="o", ms=3, mfc="white", mec=INK, mew=0.8, clip_on=False)
    axes.set_ylabel("z-score", fontsize=7)
    axes.margins(y=0.12)
    axes.locator_params(axis="y", nbins=3)


def shade(axes: Axes, spans: Sequence[tuple[float, float]], colour: str = ANNOTATION) -> None:
    """Shade intervals of seconds below a curve."""
    for start, end in spans:
        axes.axvspan(start, end, color=colour, lw=0, zorder=0)


def annotation_key() -> Patch:
    """Key of annotated intervals, marked above maps and shaded below curves."""
    return Patch(facecolor=ANNOTATION, edgecolor=_ANNOTATION_BAR, lw=1, label="annotated")


def peak_key(percentile: int) -> Line2D:
    """Key of the peak markers."""
    return Line2D([], [], ls="", marker="o", ms=3.5, mfc="white", mec=INK, label=f"peak (≥ {percentile}th percentile)")
