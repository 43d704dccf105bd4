"""Typed reading of a run's folder: what `fit`, `test` and `predict` left there, and nothing else."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from experiments.run_config import first_line, frames_per_second, frames_per_segment, objective_name, read_config
from explainers.examples import FOLDER as EXAMPLES_FOLDER
from explainers.examples import Example
from lightning_modules.errors import ConfigurationError
from metrics.callbacks import AnnotationFScore, DetectionAUC, Faithfulness

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class ClipScores:
    """Detection results of N clips, ``clips.csv``.

    Attributes:
        names: Paths relative to the data root.
        labels: (N,) 0 normal, 1 anomalous.
        anomaly_types: Type of each clip, "" for normal clips.
        annotated: (N,) whether experts marked intervals.
        scores: (N,) anomaly scores, dB².
    """

    names: tuple[str, ...]
    labels: NDArray[np.int64]
    anomaly_types: tuple[str, ...]
    annotated: NDArray[np.bool_]
    scores: Floats

    @property
    def has_both_classes(self) -> bool:
        """Whether an ROC can be drawn."""
        return len(set(self.labels.tolist())) == 2


@dataclass(frozen=True)
class ClipValues:
    """Measures of explanations of N clips at P percentiles, ``f1.csv`` or ``faithfulness.csv``.

    Attributes:
        names: Paths relative to the data root.
        anomaly_types: Type of each clip.
        percentiles: In rising order.
        values: (N, P) by kind ("f1", "frame", ...) and explainer; NaN where undefined.
    """

    names: tuple[str, ...]
    anomaly_types: tuple[str, ...]
    percentiles: tuple[int, ...]
    values: dict[str, dict[str, Floats]]

    @property
    def explainers(self) -> tuple[str, ...]:
        """Explainers in the file's order."""
        return tuple(next(iter(self.values.values())))

    def mean(self, kind: str, explainer: str, anomaly_type: str | None = None) -> Floats:
        """Mean over clips, of one anomaly type if given, at each percentile (P,); NaN where undefined."""
        chosen = [anomaly_type in {None, of_clip} for of_clip in self.anomaly_types]
        values = self.values[kind][explainer][chosen]
        return values.mean(axis=0) if len(values) else np.full(len(self.percentiles), np.nan)

    def defined(self, kind: str) -> bool:
        """Whether any clip has this measure; segment-based faithfulness needs annotations."""
        return any(np.isfinite(values).any() for values in self.values[kind].values())


@dataclass(frozen=True)
class LearningCurves:
    """Losses by epoch, NaN where an epoch has none.

    Attributes:
        epochs: (E,) numbers from 0.
        train: (E,) training loss, dB².
        validation: (E,) validation loss, dB².
    """

    epochs: NDArray[np.int64]
    train: Floats
    validation: Floats


@dataclass(frozen=True)
class Run:
    """A tested run.

    Attributes:
        folder: As it was named.
        config: The configuration it was trained with, or tested with if it was not trained here.
        clips: Detection results.
        f1: F1, precision and recall of explanations, if annotated clips were explained.
        faithfulness: Frame-based and segment-based faithfulness, if clips were explained.
        learning: Losses, if it was trained here.
    """

    folder: Path
    config: dict[str, Any]
    clips: ClipScores
    f1: ClipValues | None
    faithfulness: ClipValues | None
    learning: LearningCurves | None

    @property
    def objective(self) -> str:
        """AE, MAE or the name of another class."""
        return objective_name(self.config)

    @property
    def frames_per_second(self) -> float:
        """Frame rate of the spectrograms."""
        return frames_per_second(self.config)

    @property
    def frames_per_segment(self) -> int:
        """Frames of a segment in the F-score and in segment-based faithfulness."""
        return frames_per_segment(self.config)

    @cached_property
    def examples(self) -> tuple[Example, ...]:
        """The explained clips kept by `test`, read at the first use."""
        return read_examples(self.folder / "test")


def read_run(folder: Path) -> Run:
    """Read a run that was tested.

    Args:
        folder: The run's folder, with `test` and, if it was trained here, `fit` in it.

    Raises:
        ConfigurationError: If there is no such folder, no test results or one of its files is damaged; the message
            says which, and the command that makes it.
    """
    if not folder.is_dir():
        raise ConfigurationError(f"{folder} is not a folder; name run folders made by faithful-aad fit and test")
    test = folder / "test"
    configs = [path for stage in ("fit", "test") if (path := folder / stage / "config.yaml").is_file()]
    if not configs:
        raise _unfinished(folder, test / "config.yaml")
    return Run(
        folder=folder,
        config=read_config(configs[0]),
        clips=read_clip_scores(test),
        f1=read_clip_values(test / AnnotationFScore.filename, AnnotationFScore.kinds),
        faithfulness=read_clip_values(test / Faithfulness.filename, Faithfulness.kinds),
        learning=read_learning_curves(folder / "fit"),
    )


def read_clip_scores(stage: Path) -> ClipScores:
    """Read ``clips.csv`` of a stage's folder.

    Raises:
        ConfigurationError: If it is missing or damaged.
    """
    path = stage / DetectionAUC.filename
    if not path.is_file():
        raise _unfinished(stage.parent, path)
    rows = _read_rows(path, DetectionAUC.columns)
    with _Damaged(path):
        return ClipScores(
            names=tuple(row["name"] for row in rows),
            labels=np.array([int(row["label"]) for row in rows]),
            anomaly_types=tuple(row["anomaly_type"] for row in rows),
            annotated=np.array([int(row["annotated"]) for row in rows], dtype=bool),
            scores=np.array([float(row["score"]) for row in rows]),
        )


def read_clip_values(path: Path, kinds: Sequence[str]) -> ClipValues | None:
    """Read a file of per-clip measures of explanations.

    Args:
        path: The file.
        kinds: Its columns of measures.

    Returns:
        Its values, or None where there is no such file: no clip was explained.

    Raises:
        ConfigurationError: If it is damaged.
    """
    if not path.is_file():
        return None
    rows = _read_rows(path, ("name", "anomaly_type", "explainer", "percentile", *kinds))
    with _Damaged(path):
        types = {row["name"]: row["anomaly_type"] for row in rows}
        percentiles = sorted({int(row["percentile"]) for row in rows})
        explainers = dict.fromkeys(row["explainer"] for row in rows)
        values = {
            kind: {name: np.full((len(types), len(percentiles)), np.nan) for name in explainers} for kind in kinds
        }
        position = {name: i for i, name in enumerate(types)}
        column = {percentile: i for i, percentile in enumerate(percentiles)}
        for row in rows:
            cell = position[row["name"]], column[int(row["percentile"])]
            for kind in kinds:
                values[kind][row["explainer"]][cell] = float(row[kind] or "nan")
    return ClipValues(tuple(types), tuple(types.values()), tuple(percentiles), values)


def read_examples(stage: Path) -> tuple[Example, ...]:
    """Read the explained clips kept in a stage's folder, in the order of their indices.

    Raises:
        ConfigurationError: If one is damaged.
    """
    examples = []
    for path in sorted((stage / EXAMPLES_FOLDER).glob("*.npz")):
        with _Damaged(path):
            examples.append(Example.load(path))
    return tuple(examples)


def read_learning_curves(stage: Path) -> LearningCurves | None:
    """Read the losses of every epoch from ``metrics.csv``, None where there are none.

    Raises:
        ConfigurationError: If the file is damaged.
    """
    path = stage / "metrics.csv"
    if not path.is_file():
        return None
    losses: dict[int, dict[str, float]] = {}
    rows = _read_rows(path, ())
    with _Damaged(path):
        for row in rows:
            # The logger writes training and validation values of an epoch to rows of their own.
            values = {key: float(row[key]) for key in ("train/loss", "val/loss") if row.get(key)}
            if values:
                losses.setdefault(int(float(row["epoch"])), {}).update(values)
    if not losses:
        return None
    epochs = sorted(losses)
    train, validation = (np.array([losses[e].get(key, np.nan) for e in epochs]) for key in ("train/loss", "val/loss"))
    return LearningCurves(np.array(epochs), train, validation)


def _read_rows(path: Path, columns: Sequence[str]) -> list[dict[str, str]]:
    with _Damaged(path), path.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        missing = [column for column in columns if column not in (reader.fieldnames or [])]
        if missing:
            raise ConfigurationError(f"{path} has no column {missing[0]!r}; run faithful-aad {path.parent.name} again")
        return list(reader)


class _Damaged:
    """Turns what a damaged file raises into one line that names it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: object) -> None:
        if isinstance(error, Exception) and not isinstance(error, ConfigurationError):
            message = f"{self.path} is damaged ({first_line(error)}); run the stage that wrote it again"
            raise ConfigurationError(message) from error


def _unfinished(folder: Path, missing: Path) -> ConfigurationError:
    stage = missing.parent.name
    return ConfigurationError(
        f"{folder} holds no {stage} results ({missing} is missing); run faithful-aad {stage} --run {folder}"
    )
