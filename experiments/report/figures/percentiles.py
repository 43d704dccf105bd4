"""One run's measures of explanations over the percentile that makes a frame a peak."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.report.figures.style import (
    MUTED,
    explainer_colour,
    explainer_label,
    explainer_marker,
    styled,
    verbatim,
)
from experiments.runs.results import ClipValues
from lightning_modules.wording import counted

KIND_LABELS = {"f1": "F1", "frame": "Frame-based faithfulness", "segment": "Segment-based faithfulness"}
PERCENTILE = "Percentile of the peak threshold"

_LEGEND_COLUMNS = 2
"""Entries of the legend side by side below a panel: the longest name takes nearly half of its width."""


@styled
def percentile_curves(values: ClipValues, kinds: Sequence[str], model: str = "") -> Figure:
    """Draw one run's measures, one line an explainer and one panel a kind; undefined kinds are left out.

    Args:
        values: The measures.
        kinds: Which of them, keys of `values.values`.
        model: What the title calls the model.
    """
    kinds = [kind for kind in kinds if values.defined(kind)]
    figure = Figure(figsize=(3.5 * len(kinds) + 0.4, 3.5), layout="constrained")
    panels = figure.subplots(1, len(kinds), squeeze=False, sharey=True)[0]
    for axes, kind in zip(panels, kinds, strict=True):
        for name in values.explainers:
            axes.plot(
                values.percentiles, values.mean(kind, name), color=explainer_colour(name),
                marker=explainer_marker(name), ms=3.5, clip_on=False, label=explainer_label(name),
            )  # fmt: skip
        _draw_chance(axes, values, kind)
        axes.set_xticks(values.percentiles)
        axes.set_title(KIND_LABELS.get(kind, kind), loc="left")
        axes.set_xlabel(PERCENTILE)
        axes.grid(axis="y")
    panels[0].set_ylim(bottom=0)
    panels[0].set_ylabel(f"Mean over {counted(len(values.names), 'clip')}")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=min(_LEGEND_COLUMNS * len(kinds), len(labels)))
    if model:
        figure.suptitle(verbatim(model), x=0.01, ha="left", fontsize=9.5, fontweight="bold")
    return figure


def _draw_chance(axes: Axes, values: ClipValues, kind: str) -> None:
    """Shade from the lowest to the highest chance level of the explainers, where the run has them."""
    column = "chance" if kind == "f1" else f"{kind}_chance"
    if values.defined(column):
        levels = [values.mean(column, name) for name in values.explainers]
        axes.fill_between(
            values.percentiles, np.min(levels, axis=0), np.max(levels, axis=0), color=MUTED, alpha=0.3, lw=0,
            zorder=0, label="chance (shifted curves)",
        )  # fmt: skip
