"""Runs that differ by their seed alone, and what was measured on them as arrays."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from experiments.report.figures.detection import MAX_FPR
from experiments.runs.config import is_baseline
from experiments.runs.results import ClipNulls, ClipValues, Floats, Run
from metrics.functional import anomaly_auroc
from metrics.functional.chance import permutation_p_value

T = TypeVar("T")
ScoreKind = Literal["score", "masked_score"]

# Measure: (what of a run holds it, its column there).
_MEASURES = {
    "f1": ("f1", "f1"),
    "f1_chance": ("f1", "chance"),
    "precision": ("f1", "precision"),
    "recall": ("f1", "recall"),
    "frame": ("faithfulness", "frame"),
    "frame_chance": ("faithfulness", "frame_chance"),
    "segment": ("faithfulness", "segment"),
    "segment_chance": ("faithfulness", "segment_chance"),
    "deletion": ("deletion", "deletion"),
    "insertion": ("deletion", "insertion"),
}

_DELETION = ("deletion", "insertion")

_NULLED = {"f1": "f1_null", "frame": "faithfulness_null", "segment": "faithfulness_null"}
"""Measures with values under circular shifts, and what of a run holds these."""


@dataclass(frozen=True, eq=False)
class Group:
    """R runs of one objective and one set of settings.

    Arrays over clips are in the order of the clips' names, so those of two groups tested on the same clips fit
    together; arrays over percentiles are in rising order.

    Attributes:
        label: What tables and figures call it.
        objective: AE, MAE, or the name of another class or detector.
        settings: The study's settings that these runs share, empty for runs outside a study.
        runs: The runs, by rising seed.
        percentiles: The P percentiles that these and all compared runs were measured at.
    """

    label: str
    objective: str
    settings: dict[str, Any]
    runs: tuple[Run, ...]
    percentiles: tuple[int, ...] = ()
    _cache: dict[tuple[Any, ...], Any] = field(default_factory=dict, repr=False)

    @property
    def seeds(self) -> tuple[int | None, ...]:
        """The runs' seeds, None for runs outside a study."""
        return tuple(run.membership.seed if run.membership else None for run in self.runs)

    @property
    def explainers(self) -> tuple[str, ...]:
        """Explainers of any run and measure, in the order of the files."""
        found = (values for run in self.runs for values in (run.f1, run.faithfulness, run.deletion) if values)
        return tuple(dict.fromkeys(name for values in found for name in values.explainers))

    @property
    def is_reference(self) -> bool:
        """Whether this is a reference detector, which reconstructs nothing that could be explained."""
        return is_baseline(self.runs[0].config)

    def measured(self, measure: str) -> bool:
        """Whether any clip of any run has this measure."""
        return any(np.isfinite(self.clip_values(measure, name)).any() for name in self.explainers)

    def clip_names(self, measure: str) -> tuple[str, ...]:
        """The N clips that a measure is over, sorted; empty where no run has it."""
        attribute, _ = _MEASURES[measure]
        found = (getattr(run, attribute) for run in self.runs)
        return next((tuple(sorted(values.names)) for values in found if values is not None), ())

    def clip_types(self, measure: str) -> tuple[str, ...]:
        """The type of anomaly of each clip of `clip_names`."""
        attribute, _ = _MEASURES[measure]
        for run in self.runs:
            values = getattr(run, attribute)
            if values is not None:
                types = dict(zip(values.names, values.anomaly_types, strict=True))
                return tuple(types[name] for name in sorted(types))
        return ()

    def clip_values(self, measure: str, explainer: str) -> Floats:
        """A measure of each run, clip and percentile (R, N, P); NaN where undefined."""
        attribute, kind = _MEASURES[measure]
        return self.once(
            ("clip_values", measure, explainer),
            lambda: self._aligned([getattr(run, attribute) for run in self.runs], measure, kind, explainer),
        )

    def reference_clip_values(self, measure: str, name: str) -> Floats:
        """Value of random_frames, all_frames or oracle of each run, clip and percentile (R, N, P)."""
        attribute, kind = _MEASURES[measure]
        return self.once(
            ("reference", measure, name),
            lambda: self._aligned([getattr(run, f"{attribute}_references") for run in self.runs], measure, kind, name),
        )

    def percentiles_of(self, measure: str) -> tuple[int, ...]:
        """The percentiles of a measure: deletion and insertion go from few frames to all and have their own."""
        if measure not in _DELETION:
            return self.percentiles
        return next((run.deletion.percentiles for run in self.runs if run.deletion is not None), ())

    def means(self, measure: str, explainer: str, anomaly_type: str | None = None) -> Floats:
        """Mean over clips, of one type of anomaly if given, of each run and percentile (R, P); NaN where undefined."""
        values = self.clip_values(measure, explainer)
        return _mean_over_clips(values, self.clip_types(measure), anomaly_type)

    def reference(self, measure: str, name: str, anomaly_type: str | None = None) -> Floats:
        """Mean over clips of random_frames, all_frames or oracle, of each run and percentile (R, P)."""
        values = self.reference_clip_values(measure, name)
        return _mean_over_clips(values, self.clip_types(measure), anomaly_type)

    def null(self, measure: str, explainer: str) -> Floats | None:
        """Values of each clip under the null, averaged over runs, (N, P, S) with the observed ones first.

        None unless every run has them: the shifts are the same in all runs, so elementwise means are the null of the
        mean over runs.
        """
        return self.once(("null", measure, explainer), lambda: self._null(measure, explainer))

    def p_value(self, measure: str, explainer: str, position: int) -> float:
        """Permutation p-value of the runs' mean against circularly shifted curves, at one of the percentiles."""
        return self.once(("p_value", measure, explainer, position), lambda: self._p_value(measure, explainer, position))

    def p_values(self, measure: str, explainer: str) -> Floats:
        """`p_value` at every percentile (P,); NaN where there is no null."""
        return np.array([self.p_value(measure, explainer, i) for i in range(len(self.percentiles))])

    def aucs(self, kind: ScoreKind = "score", anomaly_type: str | None = None) -> Floats:
        """AUC and partial AUC of each run (R, 2), of one type of anomaly against all normal clips if given."""
        return self.once(
            ("aucs", kind, anomaly_type), lambda: np.array([_areas(run, kind, anomaly_type) for run in self.runs])
        )

    def scores(self, kind: ScoreKind = "score") -> tuple[Floats, NDArray[np.int64]] | None:
        """Anomaly scores of each run (R, N) and the clips' labels (N,), None unless every run has them."""
        found = []
        for run in self.runs:
            scores = _scores(run, kind)
            if scores is None:
                return None
            order = np.argsort(np.array(run.clips.names))
            found.append(scores[order])
            labels = run.clips.labels[order]
        return np.array(found), labels

    def _null(self, measure: str, explainer: str) -> Floats | None:
        _, kind = _MEASURES[measure]
        nulls: list[ClipNulls | None] = [getattr(run, _NULLED[measure]) for run in self.runs]
        arrays = []
        for null in nulls:
            if null is None or explainer not in null.values.get(kind, {}):
                return None
            position = {name: i for i, name in enumerate(null.names)}
            clips = [position[name] for name in sorted(position)]
            columns = [list(null.percentiles).index(percentile) for percentile in self.percentiles]
            arrays.append(np.asarray(null.values[kind][explainer], dtype=float)[np.ix_(clips, columns)])
        return np.mean(arrays, axis=0)

    def _p_value(self, measure: str, explainer: str, position: int) -> float:
        null = self.null(measure, explainer)
        if null is None or not np.isfinite(null[:, position]).all():
            return float("nan")
        return float(permutation_p_value(torch.from_numpy(null[:, position])))

    def _aligned(self, found: list[ClipValues | None], measure: str, kind: str, explainer: str) -> Floats:
        names, percentiles = self.clip_names(measure), self.percentiles_of(measure)
        arrays = np.full((len(found), len(names), len(percentiles)), np.nan)
        for array, values in zip(arrays, found, strict=True):
            if values is None or explainer not in values.values.get(kind, {}):
                continue
            position = {name: i for i, name in enumerate(values.names)}
            columns = [values.percentiles.index(percentile) for percentile in percentiles]
            array[:] = values.values[kind][explainer][np.ix_([position[name] for name in names], columns)]
        return arrays

    def once(self, key: tuple[Any, ...], compute: Callable[[], T]) -> T:
        """What was computed under a key, or compute it: tables and figures ask for the same again."""
        if key not in self._cache:
            self._cache[key] = compute()
        found: T = self._cache[key]
        return found


def _mean_over_clips(values: Floats, types: tuple[str, ...], anomaly_type: str | None) -> Floats:
    chosen = [anomaly_type in {None, of_clip} for of_clip in types]
    if not any(chosen):
        return np.full((values.shape[0], values.shape[2]), np.nan)
    return values[:, chosen].mean(axis=1)


def _scores(run: Run, kind: ScoreKind) -> Floats | None:
    return run.clips.scores if kind == "score" else run.clips.masked_scores


def _areas(run: Run, kind: ScoreKind, anomaly_type: str | None) -> tuple[float, float]:
    scores, labels = _scores(run, kind), run.clips.labels
    types = np.array([anomaly_type in {None, of_clip} for of_clip in run.clips.anomaly_types], dtype=bool)
    chosen = (labels == 0) | types
    if scores is None or len(set(labels[chosen].tolist())) < 2 or np.isnan(scores[chosen]).any():
        return float("nan"), float("nan")
    of_clips = torch.from_numpy(scores[chosen]), torch.from_numpy(labels[chosen])
    return float(anomaly_auroc(*of_clips)), float(anomaly_auroc(*of_clips, MAX_FPR))
