"""How far the mean of shifted curves spreads: the band around the chance level."""

from __future__ import annotations

import numpy as np

from experiments.report.groups import Group
from experiments.runs.results import Floats

COVERED = 0.9
"""Share of the null's means inside the band: what lies above it has a one-sided p below 0.05."""

_DRAWS = 1000


def chance_band(group: Group, measure: str, explainer: str, anomaly_type: str | None = None) -> Floats | None:
    """Bounds (2, P) within which the group's mean over clips lies with probability `COVERED` under the null.

    Under the null every clip's curve is shifted circularly by a random number of frames, independently of the other
    clips', and a clip's shift is the same in all runs.

    Args:
        group: Runs with null distributions.
        measure: A measure that has them: "f1", "frame" or "segment".
        explainer: The explainer.
        anomaly_type: Clips of this type only, all by default.

    Returns:
        The bounds, None where a run has no null distribution or no clip is of the type.
    """
    return group.once(
        ("chance_band", measure, explainer, anomaly_type), lambda: _bounds(group, measure, explainer, anomaly_type)
    )


def _bounds(group: Group, measure: str, explainer: str, anomaly_type: str | None) -> Floats | None:
    null = group.null(measure, explainer)
    if null is None:
        return None
    null = null[[anomaly_type in {None, of_clip} for of_clip in group.clip_types(measure)]]
    if not len(null) or not np.isfinite(null).all():
        return None
    n_clips, n_percentiles, n_shifts = null.shape
    picks = np.random.default_rng(0).integers(n_shifts, size=(_DRAWS, n_clips))
    means = np.zeros((_DRAWS, n_percentiles))
    for clip, shifts in zip(null, picks.T, strict=True):
        means += clip.T[shifts]
    tail = (1 - COVERED) / 2
    return np.quantile(means / n_clips, [tail, 1 - tail], axis=0)
