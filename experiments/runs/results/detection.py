"""Detection results of a stage, ``clips.csv``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from experiments.runs.results.reading import Floats, naming, number, read_rows, unfinished
from metrics.callbacks import DetectionAUC
from metrics.callbacks.detection import LEVEL

_COLUMNS = ("name", "label", "anomaly_type", "annotated", "score")
_MASKED = "masked_score"


@dataclass(frozen=True)
class ClipScores:
    """Detection results of N clips, ``clips.csv``.

    Attributes:
        names: Paths relative to the data root.
        labels: (N,) 0 normal, 1 anomalous.
        anomaly_types: Type of each clip, "" for normal clips.
        annotated: (N,) whether experts marked intervals.
        scores: (N,) anomaly scores, dB².
        masked_scores: (N,) masked errors averaged over the clip, dB², NaN where a clip has none; None if no clip
            has one.
        levels: (N,) level of each clip, dB; None in the results of older versions.
    """

    names: tuple[str, ...]
    labels: NDArray[np.int64]
    anomaly_types: tuple[str, ...]
    annotated: NDArray[np.bool_]
    scores: Floats
    masked_scores: Floats | None = None
    levels: Floats | None = None

    @property
    def has_roc(self) -> bool:
        """Whether an ROC can be drawn: there are both classes, and no score is NaN."""
        return len(set(self.labels.tolist())) == 2 and not np.isnan(self.scores).any()


def read_clip_scores(stage: Path) -> ClipScores:
    """Read ``clips.csv`` of a stage's folder.

    Raises:
        ConfigurationError: If it is missing or damaged.
    """
    path = stage / DetectionAUC.filename
    if not path.is_file():
        raise unfinished(stage.parent, path)
    rows = read_rows(path, _COLUMNS)
    with naming(path):
        masked, levels = (np.array([number(row.get(column)) for row in rows]) for column in (_MASKED, LEVEL))
        return ClipScores(
            names=tuple(row["name"] for row in rows),
            labels=np.array([int(row["label"]) for row in rows]),
            anomaly_types=tuple(row["anomaly_type"] for row in rows),
            annotated=np.array([int(row["annotated"]) for row in rows], dtype=bool),
            scores=np.array([float(row["score"]) for row in rows]),
            masked_scores=None if np.isnan(masked).all() else masked,
            levels=None if np.isnan(levels).any() else levels,
        )
