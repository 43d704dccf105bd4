"""Quality against training length: what the checkpoints of trainings reach."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from experiments.report.figures.style import INK, MUTED, TEXT_WIDTH, ModelStyle, model_styles, styled, verbatim
from explainers.registry import explainer_label
from metrics.measures import AREAS, MEASURES, SCORES

_COLUMNS = 4
_DETECTION = {
    "loss": "Validation loss / lowest",
    **{f"auc{score.suffix}": ", ".join(filter(None, [AREAS["auc"], score.label])) for score in SCORES.values()},
}


@styled
def quality_by_length(curves: pd.DataFrame, measure: str, models: Mapping[str, str]) -> Figure | None:
    """Draw validation loss, AUC and a measure over chance against optimiser steps, one panel per explainer.

    Thin lines are runs, bold ones the mean of a model's runs as far as all of them reach, circles the best epochs.

    Args:
        curves: Columns model, run, steps, is_best, measure, explainer and value, see `length_curves`.
        measure: The measure of explanations.
        models: Objective by the model's label.

    Returns:
        The figure; None if no run has a value of the measure.
    """
    of_measure = curves[curves["measure"] == measure]
    if of_measure.empty:
        return None
    panels = {label: curves[curves["measure"] == key] for key, label in _DETECTION.items()}
    panels = {label: rows for label, rows in panels.items() if len(rows)}
    first_row = len(panels)
    by_explainer = of_measure.groupby("explainer", sort=False)
    panels |= {explainer_label(str(name)): rows for name, rows in by_explainer}
    n_rows = 1 + -(-len(by_explainer) // _COLUMNS)
    figure = Figure(figsize=(TEXT_WIDTH, 1.45 * n_rows + 0.5), layout=ConstrainedLayoutEngine(w_pad=0.03, h_pad=0.04))
    grid = figure.subplots(n_rows, _COLUMNS, sharex=True)
    places = [*grid[0][:first_row], *grid[1:].flatten()[: len(by_explainer)]]
    styles = model_styles({label: models[label] for label in models if label in set(curves["model"])})
    for axes in set(grid.flatten()) - set(places):
        axes.set_visible(False)
    for axes, (title, rows) in zip(places, panels.items(), strict=True):
        for label, of_model in rows.groupby("model", sort=False):
            _draw_model(axes, of_model, styles[str(label)])
        axes.set_title(title, loc="left", pad=3)
        axes.grid(axis="y")
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 3)))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda steps, _: f"{steps:,.0f}"))
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.tick_params(labelbottom=True, labelsize=6.5)
    explained = grid[1:].flatten()[: len(by_explainer)]
    low, high = of_measure["value"].min(), of_measure["value"].max()
    margin = 0.06 * (high - low) or 0.1
    for axes in explained:
        axes.axhline(0, color=MUTED, lw=0.8, ls=(0, (1, 1.5)))
        axes.set_ylim(min(low, 0) - margin, max(high, 0) + margin)
    for axes in explained[::_COLUMNS]:
        axes.set_ylabel(f"{MEASURES[measure].label}\nover chance", fontsize=7)
    for axes in explained[-_COLUMNS:]:
        axes.set_xlabel("Optimiser steps", fontsize=7)
    handles = [Line2D([], [], color=style.colour, ls=style.line, lw=1.8) for style in styles.values()]
    best = Line2D([], [], ls="", marker="o", ms=4.5, mfc="none", mec=INK)
    chance = Line2D([], [], color=MUTED, lw=0.8, ls=(0, (1, 1.5)))
    labels = [*map(verbatim, styles), "best epoch", "chance"]
    figure.legend([*handles, best, chance], labels, loc="outside lower center", ncols=len(labels), handlelength=2.4)
    return figure


def _draw_model(axes: Axes, rows: pd.DataFrame, style: ModelStyle) -> None:
    runs = [run.sort_values("steps") for _, run in rows.groupby("run")]
    for run in runs:
        axes.plot(run["steps"], run["value"], color=style.colour, lw=0.6 if len(runs) > 1 else 1.8,
                  ls=style.line, alpha=0.6 if len(runs) > 1 else 1)  # fmt: skip
        best = run[run["is_best"]]
        axes.plot(best["steps"], best["value"], ls="", marker="o", ms=4.5, mfc="none", mec=style.colour, mew=1.1)
    if len(runs) > 1:
        steps, mean = _mean_curve(runs)
        axes.plot(steps, mean, color=style.colour, ls=style.line, lw=1.8)


def _mean_curve(runs: list[pd.DataFrame]) -> tuple[np.ndarray, np.ndarray]:
    """The mean over runs, each interpolated over the logarithm of the steps, where all of them have values."""
    start, end = max(run["steps"].min() for run in runs), min(run["steps"].max() for run in runs)
    steps = np.unique(np.concatenate([run["steps"] for run in runs]))
    steps = steps[(steps >= start) & (steps <= end)]
    curves = [np.interp(np.log(steps), np.log(run["steps"].to_numpy(float)), run["value"]) for run in runs]
    return steps, np.mean(curves, axis=0)
