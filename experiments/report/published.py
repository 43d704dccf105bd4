"""The paper's numbers, and those of the baselines published on the same recordings."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd

from experiments.report.comparison import Model
from metrics.measures import HEADLINE_PERCENTILE

_CURVES = Path(__file__).with_name("published_curves.csv")
"""The curves of the paper's Figures 4 and 5, read off the vector graphics (± 0.0005)."""

DETECTION = {
    # system: (AUC, partial AUC up to a false-positive rate of 0.1; NaN where it is not published)
    "Skip-CAE-Transformer, AE": (0.916, 0.786),
    "Skip-CAE-Transformer, MAE 4 × 4, 30 %": (0.902, math.nan),
    "Skip-CAE": (0.901, 0.811),
    "One-class SVM on raw spectrograms": (0.797, 0.721),
    "CAE (Duman)": (0.772, 0.707),
    "Isolation forest on raw spectrograms": (0.742, 0.659),
    "DCASE dense AE": (0.520, 0.477),
}

ABLATION = {
    # (mask ratio, side of a patch): AUC
    (0.90, 4): 0.842, (0.90, 16): 0.808,
    (0.75, 4): 0.864, (0.75, 16): 0.710,
    (0.50, 4): 0.842, (0.50, 16): 0.710,
    (0.30, 4): 0.902, (0.30, 16): 0.636,
    (0.15, 4): 0.821, (0.15, 16): 0.569,
}  # fmt: skip
"""AUC by mask ratio and patch size (Table 2)."""

F1_BY_TYPE = {
    ("MAE", "error_map"): {"broken_board": 0.750, "board_stuck": 0.670, "Uneven_thick_wood": 0.545},
    ("MAE", "saliency"): {"broken_board": 0.508, "board_stuck": 0.661, "Uneven_thick_wood": 0.626},
}
"""F1 at the 98th percentile by objective and explainer."""

TRAINING_CLIPS = 4327
NORMAL_TEST_CLIPS = 3130
ANOMALOUS_CLIPS = {"broken_board": 4, "board_stuck": 29, "Uneven_thick_wood": 72}
"""Test clips by type of anomaly (Table 1)."""
ANNOTATED_CLIPS = {"broken_board": 2, "board_stuck": 10, "Uneven_thick_wood": 34}
"""Annotated clips by type of anomaly (Table 3)."""

EXPLAINERS = ("error_map", "saliency", "smoothgrad", "integrated_gradients", "gradient_shap", "grad_cam")
"""The explainers that the paper compares."""

_DATA = "PlanerDataModule"


def is_planer(model: Model) -> bool:
    """Whether a model was tested on recordings of the planer, real or simulated, so that the paper's numbers apply."""
    return str((model.runs[0].config.get("data") or {}).get("class_path", "")).endswith(_DATA)


def mask(model: Model) -> tuple[float, int] | None:
    """Mask ratio and patch size of an MAE, None where its configuration doesn't say."""
    settings = _model_settings(model)
    if settings.get("mask_ratio") is None or settings.get("patch_size") is None:
        return None
    return float(settings["mask_ratio"]), int(settings["patch_size"])


def published_curve(model: Model, measure: str, explainer: str, anomaly_type: str = "") -> Mapping[int, float]:
    """What the paper reports for a model's objective, value by percentile.

    Args:
        model: An AE or an MAE; others have no published curve.
        measure: A key of `MEASURES`.
        explainer: The explainer.
        anomaly_type: Clips of this type only, for which the paper has F1 at one percentile; "" for all.

    Returns:
        Empty where the paper has nothing to compare with, as for recordings of other machines than the planer.
    """
    if not is_planer(model):
        return {}
    if anomaly_type:
        of_types = F1_BY_TYPE.get((model.objective, explainer), {}) if measure == "f1" else {}
        return {HEADLINE_PERCENTILE: of_types[anomaly_type]} if anomaly_type in of_types else {}
    return _curves().get((measure, model.objective, explainer), {})


def _model_settings(model: Model) -> dict[str, Any]:
    """Arguments of the model's class, as its first run's configuration has them."""
    settings: dict[str, Any] = (model.runs[0].config.get("model") or {}).get("init_args") or {}
    return settings


@cache
def _curves() -> dict[tuple[str, str, str], dict[int, float]]:
    by_curve = pd.read_csv(_CURVES).groupby(["measure", "objective", "explainer"])
    return {key: dict(zip(rows["percentile"], rows["value"], strict=True)) for key, rows in by_curve}
