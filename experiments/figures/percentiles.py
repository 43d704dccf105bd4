"""Measures of explanations over the percentile that makes a frame a peak (paper Figures 4 and 5)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D

from experiments.figures.style import (
    INK,
    LineStyle,
    explainer_colour,
    explainer_label,
    explainer_marker,
    objective_style,
    styled,
    verbatim,
)
from experiments.results import ClipValues

KIND_LABELS = {"f1": "F1", "frame": "Frame-based faithfulness", "segment": "Segment-based faithfulness"}
_COLUMNS = 3
_PERCENTILE = "Percentile of the peak threshold"


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
            _line(axes, values, kind, name, "-", explainer_label(name))
        axes.set_title(KIND_LABELS.get(kind, kind), loc="left")
        axes.set_xlabel(_PERCENTILE)
        axes.grid(axis="y")
    panels[0].set_ylim(bottom=0)
    panels[0].set_ylabel(f"Mean over {len(values.names)} clips")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=min(3 * len(kinds), len(labels)))
    if model:
        figure.suptitle(verbatim(model), x=0.01, ha="left", fontsize=9.5, fontweight="bold")
    return figure


@styled
def compare_runs(runs: Mapping[str, tuple[str, ClipValues]], kind: str) -> Figure:
    """Draw one measure of several runs, one panel an explainer, the line style telling the objective.

    Args:
        runs: Objective and measures by the run's label.
        kind: Which measure.
    """
    names = list(dict.fromkeys(name for _, values in runs.values() for name in values.explainers))
    columns = min(_COLUMNS, len(names))
    rows = -(-len(names) // columns)
    figure = Figure(figsize=(2.75 * columns + 0.4, 1.95 * rows + 0.6), layout=ConstrainedLayoutEngine(h_pad=0.08))
    panels = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True).flatten()
    for axes, name in zip(panels, names, strict=False):
        for label, (objective, values) in runs.items():
            if name in values.explainers:
                _line(axes, values, kind, name, objective_style(objective), label)
        axes.set_title(explainer_label(name), loc="left", color=INK, fontweight="bold")
        axes.grid(axis="y")
        axes.tick_params(labelbottom=True)
    for axes in panels[len(names) :]:
        axes.set_visible(False)
    panels[0].set_ylim(bottom=0)
    figure.supxlabel(_PERCENTILE, fontsize=8)
    figure.supylabel(KIND_LABELS.get(kind, kind), fontsize=8)
    keys = [Line2D([], [], color=INK, ls=objective_style(objective), label=verbatim(label))
            for label, (objective, _) in runs.items()]  # fmt: skip
    figure.legend(handles=keys, loc="outside upper left", ncols=min(4, len(keys)), handlelength=3)
    return figure


def _line(axes: Axes, values: ClipValues, kind: str, explainer: str, style: LineStyle, label: str) -> None:
    axes.plot(
        values.percentiles, values.mean(kind, explainer), color=explainer_colour(explainer), ls=style,
        marker=explainer_marker(explainer), ms=3.5, clip_on=False, label=label,
    )  # fmt: skip
    axes.set_xticks(values.percentiles)
