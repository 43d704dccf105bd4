"""Figures of runs: pure functions from data to Matplotlib figures, and how to keep them."""

from experiments.report.figures.attributions import annotated_clip, attribution_comparison, attribution_grid
from experiments.report.figures.comparison import Block, Curve, Panel, model_comparison
from experiments.report.figures.detection import MAX_FPR, detection_areas, roc_curves
from experiments.report.figures.learning import learning_curves
from experiments.report.figures.output import render, save_pdf, save_png
from experiments.report.figures.percentiles import percentile_curves
from experiments.report.figures.replacement import choose_example, replacement_example

__all__ = [
    "MAX_FPR",
    "Block",
    "Curve",
    "Panel",
    "annotated_clip",
    "attribution_comparison",
    "attribution_grid",
    "choose_example",
    "detection_areas",
    "learning_curves",
    "model_comparison",
    "percentile_curves",
    "render",
    "replacement_example",
    "roc_curves",
    "save_pdf",
    "save_png",
]
