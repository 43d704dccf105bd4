"""How training went."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from experiments.report.figures.style import INK, MUTED, styled, verbatim
from experiments.runs.results import LearningCurves

_LOGARITHMIC_FROM = 10
"""Ratio of the largest to the smallest loss from which an axis is logarithmic."""


@styled
def learning_curves(runs: Mapping[str, LearningCurves]) -> Figure:
    """Draw training and validation loss by epoch, one panel a run: losses of different objectives don't compare.

    Args:
        runs: Losses by the run's label.
    """
    columns = min(2, len(runs))
    rows = -(-len(runs) // columns)
    figure = Figure(figsize=(3.6 * columns + 0.2, 2.5 * rows), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).flatten()
    for axes, (label, curves) in zip(panels, runs.items(), strict=False):
        for losses, name, colour in ((curves.train, "training", MUTED), (curves.validation, "validation", INK)):
            present = np.isfinite(losses)
            # A run of one epoch is a point, which a line alone would not show.
            marker = "o" if present.sum() < 10 else None
            axes.plot(curves.epochs[present], losses[present], color=colour, label=name, marker=marker, ms=3)
        _mark_best(axes, curves)
        known = np.concatenate([curves.train, curves.validation])
        known = known[np.isfinite(known)]
        if known.size and known.min() > 0 and known.max() > _LOGARITHMIC_FROM * known.min():
            axes.set_yscale("log")
        axes.set_title(verbatim(label), loc="left", fontweight="bold")
        axes.set(xlabel="Epoch", ylabel="Loss (dB²)")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(axis="y")
        axes.legend(loc="best")
    for axes in panels[len(runs) :]:
        axes.set_visible(False)
    return figure


def _mark_best(axes: Axes, curves: LearningCurves) -> None:
    """Mark the epoch whose weights are kept."""
    if not np.isfinite(curves.validation).any():
        return
    best = int(np.nanargmin(curves.validation))
    axes.plot(
        curves.epochs[best], curves.validation[best], ls="", marker="o", ms=6, mfc="none", mec="#d55e00", mew=1.4,
        label=f"best: {curves.validation[best]:.3g} dB², epoch {curves.epochs[best]}",
    )  # fmt: skip
