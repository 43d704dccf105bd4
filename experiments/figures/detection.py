"""How well runs tell anomalous clips from normal ones."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from matplotlib.figure import Figure

from experiments.figures.style import ANNOTATION, INK, MUTED, objective_colour, objective_style, styled, verbatim
from experiments.results import ClipScores
from metrics.functional import anomaly_auroc, anomaly_roc

MAX_FPR = 0.1
"""Largest false-positive rate of the partial AUC (protocol of the planer set)."""


def detection_areas(clips: ClipScores) -> tuple[float, float]:
    """AUC and standardised partial AUC up to `MAX_FPR`; NaN where a class is missing."""
    if not clips.has_both_classes:
        return float("nan"), float("nan")
    scores, labels = torch.from_numpy(clips.scores), torch.from_numpy(clips.labels)
    return float(anomaly_auroc(scores, labels)), float(anomaly_auroc(scores, labels, MAX_FPR))


@styled
def roc_curves(runs: Mapping[str, tuple[str, ClipScores]]) -> Figure:
    """Draw the ROC of runs in one pair of axes, the range of the partial AUC shaded.

    Args:
        runs: Objective and clips, of both classes, by the run's label.
    """
    figure = Figure(figsize=(4.6, 4.4), layout="constrained")
    axes = figure.add_subplot()
    axes.axvspan(0, MAX_FPR, color=ANNOTATION, alpha=0.55, lw=0)
    axes.text(MAX_FPR + 0.01, 0.015, f"pAUC range,\nFPR ≤ {MAX_FPR:g}", fontsize=7.5, color="#7a5c1e", va="bottom")
    axes.plot([0, 1], [0, 1], color=MUTED, lw=0.8, ls=":")
    axes.text(0.70, 0.72, "chance", rotation=45, rotation_mode="anchor", color="#52606d", fontsize=7.5)
    seen: dict[str, int] = {}
    for label, (objective, clips) in runs.items():
        fpr, tpr = anomaly_roc(torch.from_numpy(clips.scores), torch.from_numpy(clips.labels))
        auc, pauc = detection_areas(clips)
        # Runs of one objective share its colour and pale from one to the next.
        seen[objective] = seen.get(objective, -1) + 1
        (line,) = axes.plot(fpr, tpr, color=objective_colour(objective), ls=objective_style(objective), clip_on=False)
        line.set(label=f"{verbatim(label)}: AUC {auc:.3f}, pAUC {pauc:.3f}", alpha=0.75 ** seen[objective])
    axes.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
    axes.set(xlabel="False-positive rate (normal clips)", ylabel="True-positive rate (anomalous clips)")
    axes.legend(loc="upper left", bbox_to_anchor=(0, -0.13), labelcolor=INK, handlelength=2.8)
    return figure
