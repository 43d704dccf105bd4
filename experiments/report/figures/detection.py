"""How well runs tell anomalous clips from normal ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

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
from experiments.runs.results import ClipScores
from metrics.functional import anomaly_auroc, anomaly_roc

MAX_FPR = 0.1
"""Largest false-positive rate of the partial AUC (protocol of the planer set)."""


def detection_areas(clips: ClipScores) -> tuple[float, float]:
    """AUC and standardised partial AUC up to `MAX_FPR`; NaN where a class is missing or a score is NaN."""
    if not clips.has_roc:
        return float("nan"), float("nan")
    scores, labels = torch.from_numpy(clips.scores), torch.from_numpy(clips.labels)
    return float(anomaly_auroc(scores, labels)), float(anomaly_auroc(scores, labels, MAX_FPR))


@styled
def roc_curves(models: Mapping[str, tuple[str, Sequence[ClipScores]]]) -> Figure:
    """Draw the ROC of models in one pair of axes, the range of the partial AUC shaded.

    Of a model with several runs the mean true-positive rate is drawn at each false-positive rate, in a band of one
    standard deviation.

    Args:
        models: Objective and the clips, of both classes, of each run, by the model's label.
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


def _draw_model(axes: Axes, clips: Sequence[ClipScores], style: ModelStyle, label: str) -> None:
    curves = [_roc(of_run) for of_run in clips]
    auc, pauc = np.array([detection_areas(of_run) for of_run in clips]).T
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


def _roc(clips: ClipScores) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    fpr, tpr = anomaly_roc(torch.from_numpy(clips.scores), torch.from_numpy(clips.labels))
    return fpr.numpy(), tpr.numpy()
