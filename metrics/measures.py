"""The measures of explanations and of detection: their names, what they mean, and how each is computed.

This is the only list of them. Rows of ``explanations.csv``, logged scalars, table columns, charts and dashboard panels
follow from it by iteration, so a new measure of peaks is a function and an entry here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from metrics.functional.peaks import pointing_accuracy
from metrics.functional.references import REFERENCE_NAMES, reference_f1
from metrics.functional.segments import segment_f1, segment_precision, segment_recall
from metrics.functional.shifts import circular_shift_f1

HEADLINE_PERCENTILE = 98
"""The percentile that tables show (paper section 3.4.2)."""

MAX_FPR = 0.1
"""Largest false-positive rate of the partial AUC (protocol of the planer set)."""

DEFAULT_PERCENTILES: tuple[int, ...] = tuple(range(90, 100))
"""Percentiles of a frame curve from which on frames are peaks (paper section 3.4.2)."""

REFERENCES = dict(zip(REFERENCE_NAMES, ("Random frames", "All frames", "Oracle"), strict=True))
"""Labels of what needs no explainer, in the order in which functions return their values."""

PeakMeasure = Callable[[Tensor, Tensor, float], Tensor]
"""From peaks (B, P, T), an annotation that broadcasts against them and frames per second to values (B, P)."""

Direction = Literal["max", "min"]

CLIPS_FILE = "clips.csv"
"""Results of detection in a stage's folder, a row per clip."""

EXPLANATIONS_FILE = "explanations.csv"
"""Results of explanations, a row per clip, explainer (or reference), measure and percentile."""


def null_file(measure: str) -> str:
    """File of a measure's values under circular shifts.

    It has ``names`` (N,), ``percentiles`` (P,) and an array per explainer, (N, P, S) float32, with the observed value
    at position 0.
    """
    return f"{measure}_null.npz"


@dataclass(frozen=True)
class Measure:
    """A measure of explanations.

    Attributes:
        key: Its name in files, scalars (``test/{key}/{explainer}/p98``), columns and panels.
        label: Its name in headings and on axes.
        description: What it is and which values are better.
        direction: Which values are better.
        family: The callback that computes it: "annotation" (AnnotationFScore), "faithfulness" or "deletion".
        null: The circular shifts of a clip's curve that give its chance level, None for a measure without one.
        references: References that have a value.
        to_beat: References that a useful explanation exceeds.
        oracle: What a chance-corrected value of 1 means.
        headline: Whether overviews and paired comparisons show it.
        compute: Its values on peaks, for the family "annotation".
        exact_null: Values of peaks (B, P, T) under all T shifts, (B, P, T), where there is a faster way than to
            compute each.
        exact_references: Expected values of the references, (B, 3, P), where there is a better way than to draw them.
    """

    key: str
    label: str
    description: str
    direction: Direction
    family: Literal["annotation", "faithfulness", "deletion"]
    null: Literal["all shifts", "sampled shifts"] | None = None
    references: tuple[str, ...] = ()
    to_beat: tuple[str, ...] = ()
    oracle: str = ""
    headline: bool = False
    compute: PeakMeasure | None = None
    exact_null: Callable[[Tensor, Tensor, float], Tensor] | None = None
    exact_references: Callable[[Tensor, Sequence[float], float], Tensor] | None = None

    def __post_init__(self) -> None:
        if self.family == "annotation" and self.compute is None:
            raise ValueError(f"the measure {self.key} of the family annotation needs compute, a function of peaks")

    @property
    def in_text(self) -> str:
        """Its label inside a sentence."""
        return self.label if self.label.isupper() else self.label.lower()

    @property
    def has_chance(self) -> bool:
        """Whether the measure has a chance level."""
        return self.null is not None


_BEST_F1 = "The oracle has the best value that as many frames can have."
_NO_BOUND = (
    "The oracle is chosen using the annotation, not the model's error, so it is not an upper bound of faithfulness: "
    "values above 1 are possible."
)
_SECONDS = "of the seconds that contain a peak against the annotated seconds. Higher is better."
_REPLACED = "Share of the reconstruction error that disappears when"
_LEFT = "Error that remains, relative to the clip's own, when"

MEASURES: dict[str, Measure] = {
    measure.key: measure
    for measure in (
        Measure(
            key="f1",
            label="F1",
            description=f"F1 {_SECONDS}",
            direction="max",
            family="annotation",
            null="all shifts",
            references=REFERENCE_NAMES,
            to_beat=("random_frames", "all_frames"),
            oracle=_BEST_F1,
            headline=True,
            compute=segment_f1,
            exact_null=circular_shift_f1,
            exact_references=reference_f1,
        ),
        Measure(
            key="precision",
            label="Precision",
            description=f"Precision {_SECONDS}",
            direction="max",
            family="annotation",
            compute=segment_precision,
        ),
        Measure(
            key="recall",
            label="Recall",
            description=f"Recall {_SECONDS}",
            direction="max",
            family="annotation",
            compute=segment_recall,
        ),
        Measure(
            key="pointing",
            label="Pointing accuracy",
            description="Share of the peak frames that are annotated. Higher is better.",
            direction="max",
            family="annotation",
            null="all shifts",
            references=REFERENCE_NAMES,
            to_beat=("random_frames", "all_frames"),
            oracle="The oracle's frames are annotated ones.",
            headline=True,
            compute=pointing_accuracy,
        ),
        Measure(
            key="faithfulness_frame",
            label="Frame-based faithfulness",
            description=f"{_REPLACED} the peak frames are replaced by their reconstruction. Higher is better.",
            direction="max",
            family="faithfulness",
            null="sampled shifts",
            references=REFERENCE_NAMES,
            to_beat=("random_frames",),
            oracle=_NO_BOUND,
            headline=True,
        ),
        Measure(
            key="faithfulness_segment",
            label="Segment-based faithfulness",
            description=f"{_REPLACED} the annotated frames of seconds that contain a peak are replaced by their "
            "reconstruction. Higher is better.",
            direction="max",
            family="faithfulness",
            null="sampled shifts",
            references=REFERENCE_NAMES,
            to_beat=("random_frames",),
            oracle=_NO_BOUND,
            headline=True,
        ),
        Measure(
            key="deletion",
            label="Deletion",
            description=f"{_LEFT} the frames at or above the percentile are replaced by their reconstruction. Lower "
            "is better.",
            direction="min",
            family="deletion",
        ),
        Measure(
            key="insertion",
            label="Insertion",
            description=f"{_LEFT} all but the frames at or above the percentile are replaced by their reconstruction. "
            "Higher is better.",
            direction="max",
            family="deletion",
        ),
    )
}
"""All measures of explanations by key, in the order of tables."""


def measures_of(family: str) -> tuple[Measure, ...]:
    """The measures that one callback computes, in the order of tables."""
    return tuple(measure for measure in MEASURES.values() if measure.family == family)


@dataclass(frozen=True)
class Score:
    """What clips are ranked by: a column of ``clips.csv``.

    Attributes:
        key: The column.
        label: What headings add to the area's name, "" for the anomaly score itself.
        suffix: What scalars append to the area's name.
        direction: Which areas are better; None for a property of the clips, which no model improves.
    """

    key: str
    label: str
    suffix: str
    direction: Direction | None = "max"


SCORES: dict[str, Score] = {
    score.key: score
    for score in (
        Score("score", "", ""),
        Score("masked_score", "masked score", "_masked_score"),
        Score("level", "level alone", "_level", None),
    )
}
"""What clips are ranked by, in the order of the columns."""

AREAS = {"auc": "AUC", "pauc": "pAUC"}
"""Areas under the ROC that are measured of each score: the whole one, and the partial one up to `MAX_FPR`."""
