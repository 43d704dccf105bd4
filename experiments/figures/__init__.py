"""Figures of runs: pure functions from data to Matplotlib figures, and how to keep them."""

from experiments.figures.attributions import attribution_grid
from experiments.figures.detection import MAX_FPR, detection_areas, roc_curves
from experiments.figures.learning import learning_curves
from experiments.figures.output import render, save_png, write_atomically
from experiments.figures.percentiles import compare_runs, percentile_curves
from experiments.figures.replacement import choose_example, replacement_example

__all__ = [
    "MAX_FPR",
    "attribution_grid",
    "choose_example",
    "compare_runs",
    "detection_areas",
    "learning_curves",
    "percentile_curves",
    "render",
    "replacement_example",
    "roc_curves",
    "save_png",
    "write_atomically",
]
