"""The table of test clips and of what experts marked on them (paper Tables 1 and 3)."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import pandas as pd

from experiments.report import published
from experiments.report.comparison import Comparison
from experiments.report.evidence import where
from experiments.report.figures.style import readable
from experiments.report.table import Cell, Row, Table, cells
from experiments.runs.config import data_options
from metrics.functional.segments import segment_edges

_COLUMNS: dict[str, Callable[[float], str]] = {
    "Clips": "{:,.0f}".format,
    "Annotated": "{:,.0f}".format,
    "Annotated seconds": "{:.1f}".format,
    "Share": lambda share: f"{100 * share:.0f} %",
    "Published clips": "{:,.0f}".format,
    "Published annotated": "{:,.0f}".format,
}


def clips_table(comparison: Comparison) -> Table:
    """Test clips and annotated clips by type (Table 1 and the counts of Table 3)."""
    clips = comparison.first.clips
    anomalous = clips[clips["label"] == 1].set_index("name")[["anomaly_type", "annotated"]]
    # Marking every frame has a recall of 1 and a precision p that is the share of positive seconds, so its
    # F1 = 2 p / (1 + p) gives that share.
    f1 = where(comparison.explanations, measure="f1", explainer="all_frames").drop_duplicates("name")
    share = f1.set_index("name")["value"].map(lambda value: value / (2 - value))
    anomalous = anomalous.assign(share=share, seconds=share * _seconds_per_clip(comparison))
    planer = published.is_planer(next(iter(comparison.models.values())))
    table = counts_table(anomalous, int((clips["label"] == 0).sum()), planer=planer)
    missing = " The lengths of annotations are not in these runs' folders." * bool(anomalous["share"].isna().all())
    training = f" (published: {published.TRAINING_CLIPS:,})." if planer else "."
    note = f"{table.note}{missing} The number of training clips is not kept in a run's folder{training}"
    return replace(table, note=note.strip())


def counts_table(anomalous: pd.DataFrame, normal: float, training: float = math.nan, *, planer: bool = False) -> Table:
    """Clips and annotated clips by type, beside the published ones (Tables 1 and 3).

    Args:
        anomalous: The anomalous test clips: anomaly_type, annotated (bool) and, of annotated clips, the seconds that
            are annotated and their share of the clip, NaN where not known.
        normal: Number of normal test clips, NaN where not known.
        training: Number of training clips, NaN where not known.
        planer: Whether the types are the planer's, so that the paper's numbers are shown beside.
    """

    def row(name: str, clips: float, facts: tuple[float, float], of_type: pd.DataFrame | None = None) -> Row:
        marked = [math.nan] * 3
        if of_type is not None:
            marked = [of_type["annotated"].sum(), of_type["seconds"].mean(), of_type["share"].mean()]
        numbers = (clips, *marked, *(facts if planer else (math.nan, math.nan)))
        columns = zip(numbers, _COLUMNS.values(), strict=True)
        return (Cell(name), *(cell for number, text in columns for cell in cells([number], text)))

    by_type = [
        row(
            readable(str(kind)) or "unknown",
            len(of_type),
            (published.ANOMALOUS_CLIPS.get(str(kind), math.nan), published.ANNOTATED_CLIPS.get(str(kind), math.nan)),
            of_type,
        )
        for kind, of_type in anomalous.groupby("anomaly_type")
    ]
    n_published = published.NORMAL_TEST_CLIPS + sum(published.ANOMALOUS_CLIPS.values())
    total = row("all", normal + len(anomalous), (n_published, sum(published.ANNOTATED_CLIPS.values())), anomalous)
    groups = [(row("normal", normal, (published.NORMAL_TEST_CLIPS, math.nan)), *by_type), (total,)]
    if not math.isnan(training):
        groups.insert(0, (row("training, normal", training, (published.TRAINING_CLIPS, math.nan)),))
    note = (
        "Annotated seconds: seconds of a clip that overlap an annotated interval, as the F-score counts them; mean "
        "over the annotated clips of the type."
    ) * bool(anomalous["seconds"].notna().any())
    note += " Share: of the clip as a model gets it." * bool(anomalous["share"].notna().any())
    header, keep = ("Type", *_COLUMNS), ("Clips", "Annotated")
    return Table("Test clips", note, header, tuple(groups), names=1, name="clips", keep=keep, is_detail=True)


def _seconds_per_clip(comparison: Comparison) -> float:
    """Seconds of a clip, NaN where the configuration doesn't say how long clips are."""
    run = comparison.first
    n_frames = data_options(run.config).get("n_frames")
    return len(segment_edges(int(n_frames), run.frames_per_second)) - 1 if n_frames else math.nan
