"""Tables of the recordings and of what experts marked on them (paper Tables 1 and 3)."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from experiments.report import published
from experiments.report.comparison import Comparison
from experiments.report.figures.style import readable
from experiments.report.tables.table import MISSING, Cell, Table, without_empty_columns
from experiments.runs.results import Floats
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
        planer: Whether the types are the planer's, so that the paper's numbers stand beside.
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
        annotated=Counter(kind for kind, marked in zip(clips.anomaly_types, clips.annotated, strict=True) if marked),
        lengths=_annotated_seconds(comparison),
        normal=int((clips.labels == 0).sum()),
        training=None,
        planer=published.is_planer(next(iter(comparison.groups.values()))),
    )
    table = counts_table(counts)
    missing = "" if counts.lengths else " The lengths of annotations are not in these runs' folders."
    training = f" (published: {published.TRAINING_CLIPS:,})." if counts.planer else "."
    note = f"{table.note}{missing} The number of training clips is not kept in a run's folder{training}"
    return replace(table, note=note.strip())


def counts_table(counts: ClipCounts) -> Table:
    """Clips and annotated clips by type, beside the published ones (Tables 1 and 3)."""
    planer = counts.planer
    training = (
        Cell("training, normal"),
        _count(counts.training),
        *[Cell(MISSING)] * 3,
        _count(published.TRAINING_CLIPS if planer else None),
        Cell(MISSING),
    )
    normal = (
        Cell("normal"),
        _count(counts.normal),
        *[Cell(MISSING)] * 3,
        _count(published.NORMAL_TEST_CLIPS if planer else None),
        Cell(MISSING),
    )
    anomalous = [
        (
            Cell(readable(kind) or "unknown"),
            _count(counts.anomalous[kind]),
            _count(counts.annotated.get(kind, 0)),
            *_length_cells(counts.lengths, {kind}),
            _count(published.ANOMALOUS_CLIPS.get(kind) if planer else None),
            _count(published.ANNOTATED_CLIPS.get(kind) if planer else None),
        )
        for kind in sorted(counts.anomalous)
    ]
    total = (
        Cell("all"),
        _count(None if counts.normal is None else counts.normal + sum(counts.anomalous.values())),
        _count(sum(counts.annotated.values())),
        *_length_cells(counts.lengths, set(counts.anomalous)),
        _count(3235 if planer else None),
        _count(46 if planer else None),
    )
    note = (
        "Annotated seconds: seconds of a clip that overlap an annotated interval, as the F-score counts them; mean "
        "over the annotated clips of the type, and their share of the clip."
        if counts.lengths
        else ""
    )
    return without_empty_columns(
        Table(
            title="Test clips",
            note=note,
            header=(
                "Type", "Clips", "Annotated", "Annotated seconds", "Share", "Published clips", "Published annotated",
            ),
            groups=(*([(training,)] if counts.training is not None else []), (normal, *anomalous), (total,)),
            names=1,
            name="clips",
            brief=(),
        ),
        keep=("Clips", "Annotated"),
    )  # fmt: skip


def _annotated_seconds(comparison: Comparison) -> dict[str, list[tuple[float, float]]]:
    """Annotated seconds and their share of the clip, of each annotated clip by type; empty where not known.

    Marking every frame has a recall of 1 and a precision p that is the share of positive seconds, so its
    F1 = 2 p / (1 + p) gives that share.
    """
    for group in comparison.explained.values():
        f1 = group.reference_clip_values("f1", "all_frames")
        if f1.size and np.isfinite(f1).all():
            shares: Floats = f1[0, :, 0] / (2 - f1[0, :, 0])
            found: dict[str, list[tuple[float, float]]] = {}
            segments = _seconds_of_a_clip(comparison)
            for kind, share in zip(group.clip_types("f1"), shares.tolist(), strict=True):
                found.setdefault(kind, []).append((share * segments, share))
            return found
    return {}


def _seconds_of_a_clip(comparison: Comparison) -> float:
    """Seconds of a clip, NaN where the configuration doesn't say how long clips are."""
    run = comparison.first
    data = run.config.get("data") or {}
    settings = data.get("init_args") if isinstance(data, dict) else None
    n_frames = (settings or {}).get("n_frames")
    return len(segment_edges(int(n_frames), run.frames_per_second)) - 1 if n_frames else math.nan


def _length_cells(found: Mapping[str, list[tuple[float, float]]], kinds: set[str]) -> list[Cell]:
    of_kinds = [lengths for kind in kinds for lengths in found.get(kind, [])]
    if not of_kinds:
        return [Cell(MISSING)] * 2
    seconds, share = np.mean(of_kinds, axis=0).tolist()
    length = Cell(MISSING) if math.isnan(seconds) else Cell(f"{seconds:.1f}", numbers=(("", seconds),))
    return [length, Cell(f"{100 * share:.0f} %", numbers=(("", share),))]


def _count(number: int | None) -> Cell:
    return Cell(MISSING) if number is None else Cell(f"{number:,}", numbers=(("", number),))
