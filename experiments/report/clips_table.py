"""The table of test clips and of what experts marked on them (paper Tables 1 and 3)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from experiments.report import published
from experiments.report.comparison import Comparison
from experiments.report.figures.style import readable
from experiments.report.table import MISSING, Cell, Row, Table, without_empty_columns
from metrics.functional.segments import segment_edges


@dataclass(frozen=True)
class ClipCounts:
    """What a set of clips consists of.

    Attributes:
        anomalous: Anomalous test clips by type.
        annotated: How many of them are annotated.
        lengths: Annotated seconds and their share of the clip, of each annotated clip by type; empty where not known.
        normal: Normal test clips, None where not known.
        training: Training clips, None where not known.
        planer: Whether the types are the planer's, so that the paper's numbers are shown beside.
    """

    anomalous: Mapping[str, int]
    annotated: Mapping[str, int]
    lengths: Mapping[str, list[tuple[float, float]]]
    normal: int | None
    training: int | None
    planer: bool


def clips_table(comparison: Comparison) -> Table:
    """Test clips and annotated clips by type (Table 1 and the counts of Table 3)."""
    clips = comparison.first.clips
    counts = ClipCounts(
        anomalous=comparison.anomaly_types,
        annotated=clips.loc[clips["annotated"], "anomaly_type"].value_counts().to_dict(),
        lengths=_annotated_seconds(comparison),
        normal=int((clips["label"] == 0).sum()),
        training=None,
        planer=published.is_planer(next(iter(comparison.models.values()))),
    )
    table = counts_table(counts)
    missing = "" if counts.lengths else " The lengths of annotations are not in these runs' folders."
    training = f" (published: {published.TRAINING_CLIPS:,})." if counts.planer else "."
    note = f"{table.note}{missing} The number of training clips is not kept in a run's folder{training}"
    return replace(table, note=note.strip())


def counts_table(counts: ClipCounts) -> Table:
    """Clips and annotated clips by type, beside the published ones (Tables 1 and 3)."""

    def row(name: str, clips: int | None, facts: tuple[int | None, int | None], kinds: set[str] | None = None) -> Row:
        """A row on some types of anomalies, None for clips that are never annotated."""
        annotated = None if kinds is None else sum(counts.annotated.get(kind, 0) for kind in kinds)
        lengths = [length for kind in kinds or () for length in counts.lengths.get(kind, [])]
        shown = facts if counts.planer else (None, None)
        return (Cell(name), _count(clips), _count(annotated), *_length_cells(lengths), *map(_count, shown))

    normal, anomalous = counts.normal, counts.anomalous
    by_type = [
        row(readable(kind) or "unknown", anomalous[kind],
            (published.ANOMALOUS_CLIPS.get(kind), published.ANNOTATED_CLIPS.get(kind)), {kind})
        for kind in sorted(anomalous)
    ]  # fmt: skip
    of_test = (row("normal", normal, (published.NORMAL_TEST_CLIPS, None)), *by_type)
    n_published = published.NORMAL_TEST_CLIPS + sum(published.ANOMALOUS_CLIPS.values())
    n_clips = None if normal is None else normal + sum(anomalous.values())
    total = row("all", n_clips, (n_published, sum(published.ANNOTATED_CLIPS.values())), set(anomalous))
    groups: list[tuple[Row, ...]] = [of_test, (total,)]
    if counts.training is not None:
        groups.insert(0, (row("training, normal", counts.training, (published.TRAINING_CLIPS, None)),))
    note = (
        "Annotated seconds: seconds of a clip that overlap an annotated interval, as the F-score counts them; mean "
        "over the annotated clips of the type, and their share of the clip."
        if counts.lengths
        else ""
    )
    header = "Type", "Clips", "Annotated", "Annotated seconds", "Share", "Published clips", "Published annotated"
    table = Table("Test clips", note, header, tuple(groups), names=1, name="clips", brief=())
    return without_empty_columns(table, keep=("Clips", "Annotated"))


def _annotated_seconds(comparison: Comparison) -> dict[str, list[tuple[float, float]]]:
    """Annotated seconds and their share of the clip, of each annotated clip by type; empty where not known.

    Marking every frame has a recall of 1 and a precision p that is the share of positive seconds, so its
    F1 = 2 p / (1 + p) gives that share.
    """
    rows = comparison.explanations
    rows = rows[(rows["measure"] == "f1") & (rows["explainer"] == "all_frames") & rows["value"].notna()]
    clips = rows.drop_duplicates("name").sort_values("name")
    seconds = _seconds_per_clip(comparison)
    found: dict[str, list[tuple[float, float]]] = {}
    for kind, f1 in zip(clips["anomaly_type"], clips["value"], strict=True):
        share = f1 / (2 - f1)
        found.setdefault(kind, []).append((share * seconds, share))
    return found


def _seconds_per_clip(comparison: Comparison) -> float:
    """Seconds of a clip, NaN where the configuration doesn't say how long clips are."""
    run = comparison.first
    data = run.config.get("data") or {}
    settings = data.get("init_args") if isinstance(data, dict) else None
    n_frames = (settings or {}).get("n_frames")
    return len(segment_edges(int(n_frames), run.frames_per_second)) - 1 if n_frames else math.nan


def _length_cells(lengths: list[tuple[float, float]]) -> list[Cell]:
    if not lengths:
        return [Cell(MISSING)] * 2
    seconds, share = np.mean(lengths, axis=0).tolist()
    length = Cell(MISSING) if math.isnan(seconds) else Cell(f"{seconds:.1f}", numbers=(("", seconds),))
    return [length, Cell(f"{100 * share:.0f} %", numbers=(("", share),))]


def _count(number: int | None) -> Cell:
    return Cell(MISSING) if number is None else Cell(f"{number:,}", numbers=(("", number),))
