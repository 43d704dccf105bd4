"""Forest plots: a difference on each of several machines, with intervals, and their summary."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from experiments.report.figures.style import INK, MUTED, WIDTH, explainer_colour, explainer_marker, styled, verbatim
from explainers.registry import explainer_label

_ROW, _BLOCK, _EDGES = 0.17, 0.12, 0.75  # inches of a row, above each explainer, and of title and axis


@styled
def forest_plot(rows: pd.DataFrame, heading: str, summary: str) -> Figure:
    """Draw differences by explainer and machine.

    Args:
        rows: Columns explainer ("" for one without), machine, difference, low and high.
        heading: What the axis shows.
        summary: The machine whose rows are summaries, drawn as diamonds from low to high.
    """
    blocks = list(rows.groupby("explainer", sort=False))
    height = _ROW * len(rows) + _BLOCK * len(blocks) + _EDGES
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    axes = figure.add_subplot()
    axes.axvline(0, color=MUTED, lw=0.8)
    ticks, labels, y = [], [], 0.0
    for explainer, of_explainer in blocks:
        y += _BLOCK
        for i, row in enumerate(of_explainer.itertuples()):
            y += _ROW
            name = f"{explainer_label(str(explainer))}   " if explainer and i == 0 else ""
            ticks.append(y)
            labels.append(f"{name}{verbatim(row.machine)}")
            if row.machine == summary:
                xs, ys = [row.low, row.difference, row.high, row.difference], [y, y - 0.06, y, y + 0.06]
                axes.fill(xs, ys, color=INK, lw=0)
            else:
                colour = explainer_colour(str(explainer))
                axes.plot([row.low, row.high], [y, y], color=colour, lw=1.2)
                axes.plot(row.difference, y, color=colour, ls="", marker=explainer_marker(str(explainer)), ms=4)
    axes.set_yticks(ticks, labels)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.set_ylim(y + _ROW, 0)
    axes.set_xlabel(heading)
    axes.grid(axis="x")
    return figure
