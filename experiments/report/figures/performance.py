"""How training went, and how well models tell anomalous clips from normal ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from experiments.report.figures.style import (
    ANNOTATION,
    COLUMN_WIDTH,
    INK,
    MUTED,
    ModelStyle,
    model_styles,
    styled,
    verbatim,
)
from metrics.functional import anomaly_auroc, anomaly_roc
from metrics.measures import MAX_FPR

_LOGARITHMIC_FROM = 10
"""Ratio of the largest to the smallest loss above which an axis is logarithmic."""


@styled
def learning_curves(runs: Mapping[str, pd.DataFrame]) -> Figure:
    """Draw training and validation loss by epoch, one panel per run: losses of different objectives don't compare.

    Args:
        runs: Columns epoch (from 0; the figure counts from 1), train_loss and val_loss (dB²), by the run's label.
    """
    columns = min(2, len(runs))
    rows = -(-len(runs) // columns)
    figure = Figure(figsize=(3.6 * columns + 0.2, 2.5 * rows), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).flatten()
    for axes, (label, counted_from_0) in zip(panels, runs.items(), strict=False):
        losses = counted_from_0.assign(epoch=counted_from_0["epoch"] + 1)
        for column, name, colour in (("train_loss", "training", MUTED), ("val_loss", "validation", INK)):
            present = losses.dropna(subset=column)
            # A run of one epoch is a point, which a line alone would not show.
            marker = "o" if len(present) < 10 else None
            axes.plot(present["epoch"], present[column], color=colour, label=name, marker=marker, ms=3)
        if losses["val_loss"].notna().any():
            best = losses.loc[losses["val_loss"].idxmin()]
            label_of_best = f"best: {best['val_loss']:.3g} dB², epoch {best['epoch']:.0f}"
            axes.plot(best["epoch"], best["val_loss"], ls="", marker="o", ms=6, mfc="none", mec="#d55e00", mew=1.4,
                      label=label_of_best)  # fmt: skip
        known = losses[["train_loss", "val_loss"]].stack()
        if len(known) and known.min() > 0 and known.max() > _LOGARITHMIC_FROM * known.min():
            axes.set_yscale("log")
        axes.set_title(verbatim(label), loc="left", fontweight="bold")
        axes.set(xlabel="Epoch", ylabel="Loss (dB²)")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(axis="y")
        axes.legend(loc="best")
    for axes in panels[len(runs) :]:
        axes.set_visible(False)
    return figure


@styled
def roc_curves(models: Mapping[str, tuple[str, Sequence[pd.DataFrame]]]) -> Figure:
    """Draw the ROC of models in one pair of axes, the range of the partial AUC shaded.

    Of a model with several runs the mean true-positive rate is drawn at each false-positive rate, in a band of one
    standard deviation.

    Args:
        models: Objective and the clips of each run (columns label, of both classes, and score), by the model's label.
    """
    figure = Figure(figsize=(COLUMN_WIDTH, 3.2 + 0.32 * len(models)), layout="constrained")
    axes = figure.add_subplot()
    axes.axvspan(0, MAX_FPR, color=ANNOTATION, alpha=0.55, lw=0)
    axes.text(MAX_FPR + 0.01, 0.015, f"pAUC range,\nFPR ≤ {MAX_FPR:g}", fontsize=7.5, color="#7a5c1e", va="bottom")
    axes.plot([0, 1], [0, 1], color=MUTED, lw=0.8, ls=":")
    axes.text(0.70, 0.72, "chance", rotation=45, rotation_mode="anchor", color="#52606d", fontsize=7.5)
    styles = model_styles({label: objective for label, (objective, _) in models.items()})
    for label, (_, clips) in models.items():
        _draw_model(axes, clips, styles[label], label)
    axes.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
    axes.set(xlabel="False-positive rate", ylabel="True-positive rate")
    figure.legend(loc="outside lower left", labelcolor=INK, handlelength=2.8)
    return figure


def _draw_model(axes: Axes, clips: Sequence[pd.DataFrame], style: ModelStyle, label: str) -> None:
    columns = [(torch.tensor(run["score"].to_numpy()), torch.tensor(run["label"].to_numpy())) for run in clips]
    areas_of_runs = [(anomaly_auroc(*of_run), anomaly_auroc(*of_run, max_fpr=MAX_FPR)) for of_run in columns]
    auc, pauc = np.array(areas_of_runs).T
    curves = [[rates.numpy() for rates in anomaly_roc(*of_run)] for of_run in columns]
    if len(curves) == 1:
        fpr, tpr = curves[0]
        axes.plot(fpr, tpr, color=style.colour, ls=style.line, clip_on=False,
                  label=f"{verbatim(label)}: AUC {auc[0]:.3f}, pAUC {pauc[0]:.3f}")  # fmt: skip
        return
    grid = np.unique(np.concatenate([fpr for fpr, _ in curves]))
    rates = np.array([tpr[np.searchsorted(fpr, grid, side="right") - 1] for fpr, tpr in curves])
    mean, spread = rates.mean(axis=0), rates.std(axis=0, ddof=1)
    axes.fill_between(grid, mean - spread, np.minimum(mean + spread, 1), step="post", color=style.colour, alpha=0.2,
                      lw=0)  # fmt: skip
    areas = f"AUC {auc.mean():.3f} ± {auc.std(ddof=1):.3f}, pAUC {pauc.mean():.3f} ± {pauc.std(ddof=1):.3f}"
    axes.plot(grid, mean, color=style.colour, ls=style.line, drawstyle="steps-post", clip_on=False,
              label=f"{verbatim(label)}, {len(clips)} seeds:\n{areas}")  # fmt: skip
