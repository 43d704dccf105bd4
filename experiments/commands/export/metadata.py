"""The calibration in the metadata of an exported file: normal scores, and the thresholds that follow from them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from experiments.predictions.calibration import Calibration
from experiments.predictions.decisions import DEFAULT_ALPHA
from metrics.functional import conformal_threshold, smallest_alpha

_NORMAL = ("score", "masked_score", "second_error")


def calibration_metadata(calibration: Calibration) -> dict[str, Any]:
    """What an exported file says of a calibration.

    Returns:
        ``calibration`` with the sorted normal values of each score and of the highest error of a second, the mean error
        of each band, and the windows of the shortest stretch; ``thresholds``, each of an alpha.
    """
    normal = {name: np.sort(getattr(calibration, name)) for name in _NORMAL}
    known = {name: values for name, values in normal.items() if not np.isnan(values).any()}
    lowest = smallest_alpha(len(calibration))
    thresholds = [
        {"alpha": alpha} | {name: conformal_threshold(values, alpha) for name, values in known.items()}
        for alpha in sorted({lowest, max(lowest, DEFAULT_ALPHA)}, reverse=True)
    ]
    stored = {name: values.tolist() for name, values in known.items()}
    stored |= {"spectrum": calibration.spectrum.tolist(), "windows_per_stretch": calibration.windows_per_stretch}
    return {"calibration": stored, "thresholds": thresholds}


def stored_calibration(metadata: Mapping[str, str]) -> Calibration | None:
    """The calibration in a file's metadata, whose stretches have no names and one length; None without one."""
    stored = json.loads(metadata.get("calibration", "{}"))
    if not stored:
        return None
    n = len(stored["score"])
    return Calibration(
        names=np.full(n, ""),
        windows=np.full(n, stored["windows_per_stretch"]),
        spectrum=np.array(stored["spectrum"]),
        epoch=-1,
        step=-1,
        **{name: np.array(stored.get(name, [np.nan] * n)) for name in _NORMAL},
    )
