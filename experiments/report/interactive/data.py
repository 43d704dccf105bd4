"""What the explorer shows, as compact as JSON allows.

Keys of a curve: m, t, g, e are the positions of its measure, type of anomaly, group and explainer; v the values of its
runs (R, X); c the chance level and, where known, its band's bounds; i the interval over clips; p the p-values; u the
published values; all (X,) over the measure's axis x, null where undefined.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from experiments.report.chance_bands import chance_band
from experiments.report.comparison import Comparison
from experiments.report.evidence import ORACLE
from experiments.report.figures.style import LineStyle, explainer_label, model_styles, readable
from experiments.report.groups import Group
from experiments.report.interactive.checks import check_curves, check_measures
from experiments.report.interactive.measure import Measure, rounded
from experiments.report.published_curves import published_curve
from experiments.runs.results import Floats
from metrics.functional.uncertainty import bootstrap_mean, over_seeds

_WITH_CHANCE = ("f1", "frame", "segment")

_REFERENCES = {"random_frames": "random frames", "all_frames": "all frames", "oracle": "oracle"}

_F1 = "of the seconds that hold a peak against the annotated seconds, mean over annotated clips. Higher is better."
_CORRECTED = "Where the value lies between chance (0) and an oracle that knows the annotation (1)."
_CORRECTED_FAITHFULNESS = f"{_CORRECTED} {ORACLE['frame']}"
_REPLACED = "the share of the reconstruction error that goes away when"
_MEASURES = {
    "f1": ("F1", f"F1 {_F1}"),
    "f1_corrected": ("F1, chance-corrected", _CORRECTED),
    "precision": ("Precision", f"Precision {_F1}"),
    "recall": ("Recall", f"Recall {_F1}"),
    "frame": (
        "Frame-based faithfulness",
        f"Faithfulness: {_REPLACED} the peak frames are replaced by their reconstruction. Higher is better.",
    ),
    "frame_corrected": ("Frame-based faithfulness, chance-corrected", _CORRECTED_FAITHFULNESS),
    "segment": (
        "Segment-based faithfulness",
        f"Faithfulness: {_REPLACED} the annotated frames of seconds that hold a peak are replaced. Higher is better.",
    ),
    "segment_corrected": ("Segment-based faithfulness, chance-corrected", _CORRECTED_FAITHFULNESS),
    "deletion": (
        "Deletion",
        "Error that is left, relative to the clip's own, when the frames at or above the percentile are replaced by "
        "their reconstruction. Lower is better.",
    ),
    "insertion": (
        "Insertion",
        "Error that is left, relative to the clip's own, when all but the frames at or above the percentile are "
        "replaced by their reconstruction. Higher is better.",
    ),
}


@dataclass(frozen=True)
class _Place:
    """A curve's measure, group and explainer, and the clips it is over."""

    group: Group
    measure: str
    explainer: str
    anomaly_type: str | None


def explorer_data(comparison: Comparison) -> dict[str, Any]:
    """Everything that the explorer needs, ready for JSON."""
    groups = list(comparison.explained.values())
    styles = model_styles({group.label: group.objective for group in groups})
    explainers, types = comparison.explainers, [None, *_annotated_types(groups)]
    measures = [*_measures(comparison), *check_measures(groups)]
    return {
        "start": comparison.percentile,
        "explainers": [explainer_label(name) for name in explainers],
        "models": [
            {"label": group.label, "colour": styles[group.label].colour, "dash": _dash(styles[group.label].line)}
            for group in groups
        ],
        "types": ["all" if kind is None else readable(kind) or "unknown" for kind in types],
        "measures": [{**vars(measure), "note": measure.note + comparison.mark} for measure in measures],
        "references": list(_references(comparison, measures, types)),
        "curves": [
            *_curves(groups, measures, explainers, types),
            *check_curves(groups, measures, explainers),
        ],
    }


def _measures(comparison: Comparison) -> list[Measure]:
    """The measures that any group has."""
    found = []
    for key, (label, note) in _MEASURES.items():
        measure = key.removesuffix("_corrected")
        groups = comparison.measured(measure)
        if not groups or (key != measure and not any(_can_be_corrected(group, measure) for group in groups.values())):
            continue
        percentiles = next(iter(groups.values())).percentiles_of(measure)
        found.append(Measure(key, label, note, "percentile", list(percentiles)))
    return found


def _can_be_corrected(group: Group, measure: str) -> bool:
    return measure in _WITH_CHANCE and bool(np.isfinite(group.reference(measure, "oracle")).any())


def _annotated_types(groups: Sequence[Group]) -> list[str]:
    return sorted({kind for group in groups for measure in ("f1", "frame") for kind in group.clip_types(measure)})


def _curves(
    groups: Sequence[Group], measures: Sequence[Measure], explainers: Sequence[str], types: Sequence[str | None]
) -> Iterator[dict[str, Any]]:
    """A record for every curve that has a value."""
    for m, measure in enumerate(measures):
        if measure.key not in _MEASURES:
            continue
        for t, kind in enumerate(types):
            for g, group in enumerate(groups):
                for e, explainer in enumerate(explainers):
                    record = _record(
                        measure.key, _Place(group, measure.key.removesuffix("_corrected"), explainer, kind)
                    )
                    if record is not None:
                        yield {"m": m, "t": t, "g": g, "e": e, **record}


def _record(key: str, place: _Place) -> dict[str, Any] | None:
    group, measure, explainer, kind = place.group, place.measure, place.explainer, place.anomaly_type
    values = group.means(measure, explainer, kind)
    if key.endswith("_corrected"):
        values = _corrected(values, place)
        return {"v": rounded(values)} if np.isfinite(values).any() else None
    if not np.isfinite(values).any():
        return None
    record: dict[str, Any] = {"v": rounded(values)}
    if measure in _WITH_CHANCE:
        record["i"] = rounded(_interval(place))
        chance = group.means(f"{measure}_chance", explainer, kind).mean(axis=0)
        band = chance_band(group, measure, explainer, kind)
        if np.isfinite(chance).any():
            record["c"] = rounded(np.stack([chance, *(band if band is not None else ())]))
        if kind is None and np.isfinite(p_values := group.p_values(measure, explainer)).any():
            record["p"] = rounded(p_values)
        published = published_curve(group, measure, explainer, kind)
        if published:
            record["u"] = [published.get(percentile) for percentile in group.percentiles]
    return record


def _corrected(values: Floats, place: _Place) -> Floats:
    """Values (R, P) on the scale from chance to the oracle, both averaged over runs, as in the tables."""
    group, measure, kind = place.group, place.measure, place.anomaly_type
    chance = group.means(f"{measure}_chance", place.explainer, kind).mean(axis=0)
    span = group.reference(measure, "oracle", kind).mean(axis=0) - chance
    return (values - chance) / np.where(span > 0, span, np.nan)


def _interval(place: _Place) -> Floats:
    """Bootstrap interval of the mean over clips (2, P)."""
    group, measure, kind = place.group, place.measure, place.anomaly_type

    def compute() -> Floats:
        """Of all explainers together (2, E, P), which share the resampled clips."""
        values = np.stack([over_seeds(group.clip_values(measure, name)) for name in group.explainers], axis=1)
        chosen = [kind in {None, of_clip} for of_clip in group.clip_types(measure)]
        _, low, high = bootstrap_mean(values[chosen])
        return np.stack([low, high])

    intervals: Floats = group.once(("intervals", measure, kind), compute)
    return intervals[:, group.explainers.index(place.explainer)]


def _references(
    comparison: Comparison, measures: Sequence[Measure], types: Sequence[str | None]
) -> Iterator[dict[str, Any]]:
    """What depends on no explainer, averaged over groups and runs."""
    for m, measure in enumerate(measures):
        if measure.key not in _WITH_CHANCE:
            continue
        groups = comparison.measured(measure.key).values()
        for t, kind in enumerate(types):
            for name, label in _REFERENCES.items():
                values = np.concatenate([group.reference(measure.key, name, kind) for group in groups])
                if np.isfinite(values).all():
                    yield {"m": m, "t": t, "name": name, "label": label, "v": rounded(values.mean(axis=0))}


def _dash(line: LineStyle) -> str:
    """The style sheet's name of a dash pattern."""
    if line == "-":
        return "solid"
    return "dashed" if isinstance(line, tuple) and line[1][0] > 1 else "dotted"
