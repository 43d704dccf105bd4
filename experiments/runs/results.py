"""Read what a run's stages left in its folder, as data frames.

Every function raises a ConfigurationError for a missing or damaged file: one line that names the file and the command
that writes it again.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from datamodules.provenance import Provenance, read_provenance
from experiments.runs.config import frames_per_second, objective_name, read_config
from experiments.runs.folder import CAUTION_FILE, CONFIG_FILE, STUDY_FILE, TEST_UNFINISHED, RunFolder
from explainers.examples import FOLDER as EXAMPLES_FOLDER
from explainers.examples import Example
from lightning_modules.errors import ConfigurationError, first_line
from metrics.measures import CLIPS_FILE, EXPLANATIONS_FILE, MEASURES, null_file

SANITY_FILE = "sanity.csv"
CURVE_FILE = "curve.csv"

_CLIP = {"index": int, "name": str}
_CLIPS = _CLIP | {"label": int, "anomaly_type": str, "annotated": int, "score": float}
_OPTIONAL_SCORES = {"masked_score": float, "level": float}
_VALUES = {"measure": str, "percentile": int, "value": float, "chance": float}
_EXPLANATIONS = _CLIP | {"anomaly_type": str, "explainer": str} | _VALUES
_SANITY = _CLIP | {"explainer": str, "check": str, "step": str, "value": float}
CURVE_COLUMNS: dict[str, type] = {
    **{"epochs": int, "steps": int, "measure": str, "explainer": str},
    **{"percentile": float, "n_clips": int, "value": float, "chance": float},
}
"""Columns of ``curve.csv``, see `Run.curve`."""

_OLD_FILES = ("f1.csv", "faithfulness.csv", "deletion.csv")


@dataclass(frozen=True)
class StudyMembership:
    """A run's place in a study, ``study.json``.

    Attributes:
        study: The study's name.
        variant: Name of the model in tables, shared by runs that differ in settings or seed only.
        settings: Overrides of the study's grid, by name.
        seed: Seed of the run.
    """

    study: str
    variant: str
    settings: dict[str, Any]
    seed: int


@dataclass(frozen=True)
class ClipNulls:
    """A measure of N clips at P percentiles when each clip's curve is shifted, ``{measure}_null.npz``.

    Attributes:
        names: Paths of the clips relative to the data root.
        percentiles: The P percentiles.
        values: (N, P, S) by explainer: S values of a clip under shifts, the observed one at position 0.
    """

    names: tuple[str, ...]
    percentiles: tuple[int, ...]
    values: dict[str, NDArray[np.float32]]


@dataclass(frozen=True, eq=False)
class Run:
    """A tested run.

    Attributes:
        folder: The path as given.
        trained_in: Folder of the run whose training was tested, another one where a study tests a training repeatedly.
        config: The configuration it was trained with, or tested with if it was not trained here.
        clips: Per clip: index, name, label (0 normal, 1 anomalous), anomaly_type ("" for normal clips), annotated
            (bool), score (dB²) and, where the run has them, masked_score (dB²) and level (dB).
        explanations: Per clip, explainer, measure and percentile: index, name, anomaly_type, explainer, measure,
            percentile, value and chance, NaN where undefined. References are further explainers. Empty if nothing
            was explained.
        learning: Per epoch of the training: epoch, steps (taken by its end), train_loss and val_loss in dB²; None if
            there is none in that folder.
        curve: Per evaluated checkpoint and measure: epochs and steps trained, measure, explainer ("" for losses and
            areas), percentile, n_clips, value and chance, NaN where there is none; None if not made.
        sanity: Per clip, explainer, check and step: index, name, explainer, check, step and value; None if not made.
        membership: The study it belongs to.
        provenance: How its test set was constructed, None for recordings as they are.
        caution: What to know of the tested network and of the test, "" for nothing.
    """

    folder: Path
    trained_in: Path
    config: dict[str, Any]
    clips: pd.DataFrame
    explanations: pd.DataFrame
    learning: pd.DataFrame | None = None
    curve: pd.DataFrame | None = None
    sanity: pd.DataFrame | None = None
    membership: StudyMembership | None = None
    provenance: Provenance | None = None
    caution: str = ""

    @property
    def objective(self) -> str:
        """AE, MAE, or the name of another class or of a baseline detector."""
        return objective_name(self.config)

    @property
    def frames_per_second(self) -> float:
        """Frame rate of the spectrograms."""
        return frames_per_second(self.config)

    @cached_property
    def examples(self) -> tuple[Example, ...]:
        """The explained clips kept by `test`, read at the first use."""
        return read_examples(self.folder / "test")

    def null(self, measure: str) -> ClipNulls | None:
        """Read a measure's values under circular shifts of the curves, None if nothing was shifted."""
        path = self.folder / "test" / null_file(measure)
        if not path.is_file():
            return None
        with _damage_named(path), np.load(path, allow_pickle=False) as arrays:
            values = {key: arrays[key] for key in arrays.files}
            names, percentiles = (tuple(values.pop(key).tolist()) for key in ("names", "percentiles"))
        return ClipNulls(names, percentiles, values)


def read_run(folder: Path) -> Run:
    """Read a run that was tested.

    Args:
        folder: The run's folder, with `test` and, if it was trained here, `fit` in it.

    Raises:
        ConfigurationError: If there is no such folder, it has no test results, or a file is damaged or missing.
    """
    if not folder.is_dir():
        raise ConfigurationError(f"{folder} is not a folder; name run folders made by faithful-aad fit and test")
    test = folder / "test"
    configs = [path for stage in ("fit", "test") if (path := folder / stage / CONFIG_FILE).is_file()]
    if not configs:
        raise _no_results(test / CONFIG_FILE)
    run, trained_in = RunFolder(folder), _trained_in(folder)
    run.require_whole("test")
    RunFolder(trained_in).require_whole("curve")
    caution = test / CAUTION_FILE
    cautions = [caution.read_text(encoding="utf-8").strip()] if caution.is_file() else []
    if not run.is_finished("test"):
        cautions.append(TEST_UNFINISHED)
    sanity = test / SANITY_FILE
    return Run(
        folder=folder,
        trained_in=trained_in,
        config=read_config(configs[0]),
        clips=read_clips(test),
        explanations=read_explanations(test),
        learning=read_learning(trained_in / "fit"),
        curve=read_curve(trained_in / "curve"),
        sanity=_read_table(sanity, _SANITY) if sanity.is_file() else None,
        membership=read_membership(folder / STUDY_FILE),
        provenance=read_provenance(test),
        caution="; ".join(cautions),
    )


def _trained_in(folder: Path) -> Path:
    """Folder of the run whose training was tested: by the study's command line where that is another one."""
    path = folder / STUDY_FILE
    if (folder / "fit").is_dir() or not path.is_file():
        return folder
    with _damage_named(path):
        words = json.loads(path.read_text(encoding="utf-8")).get("test", [])
        options = dict(word.removeprefix("--").split("=", 1) for word in words if "=" in word)
        if "ckpt_path" not in options:
            return folder
        # As seen from the run, since the study may have been moved.
        return folder / os.path.relpath(Path(options["ckpt_path"]).parents[2], options["run"])


def read_clips(stage: Path) -> pd.DataFrame:
    """Read ``clips.csv`` of a stage's folder; see `Run.clips`."""
    path = stage / CLIPS_FILE
    if not path.is_file():
        raise _no_results(path)
    clips = _read_table(path, _CLIPS, _OPTIONAL_SCORES)
    return clips.astype({"annotated": bool})


def has_roc(clips: pd.DataFrame) -> bool:
    """Whether clips have an ROC: both classes, and no score that is NaN."""
    return clips["label"].nunique() == 2 and bool(clips["score"].notna().all())


def read_explanations(stage: Path) -> pd.DataFrame:
    """Read ``explanations.csv`` of a stage's folder, empty if no clip was explained; see `Run.explanations`."""
    path = stage / EXPLANATIONS_FILE
    if not path.is_file():
        if any((stage / name).is_file() for name in _OLD_FILES):
            raise ConfigurationError(
                f"{stage.parent} was tested by an older version; run faithful-aad {stage.name} --run {stage.parent} "
                "again"
            )
        return pd.DataFrame({name: pd.Series(dtype=kind) for name, kind in _EXPLANATIONS.items()})
    rows = _read_table(path, _EXPLANATIONS)
    with _damage_named(path):
        for measure, of_measure in rows.groupby("measure", sort=False):
            if measure not in MEASURES:
                raise ValueError(f"there is no measure {measure!r}")
            expected = int(np.prod([of_measure[key].nunique() for key in ("name", "explainer", "percentile")]))
            if len(of_measure) != expected:
                raise ValueError(f"{len(of_measure)} of {expected} rows of {measure} are there")
    return rows


def read_learning(stage: Path) -> pd.DataFrame | None:
    """Read steps and losses of every epoch from ``metrics.csv``, None where there are none; see `Run.learning`."""
    path = stage / "metrics.csv"
    if not path.is_file():
        return None
    losses = {"train/loss": "train_loss", "val/loss": "val_loss"}
    rows = _read_table(path, {}, dict.fromkeys(("epoch", "step", *losses), float)).rename(columns=losses)
    rows = rows.reindex(columns=["epoch", "step", *losses.values()]).dropna(how="all", subset=list(losses.values()))
    if rows.empty:
        return None
    rows.insert(1, "steps", rows.pop("step") + 1)  # which Lightning counts from 0
    # The logger writes training and validation values of an epoch to separate rows.
    return rows.groupby("epoch", as_index=False).last().astype({"epoch": int})


def read_curve(stage: Path) -> pd.DataFrame | None:
    """Read ``curve.csv`` of a stage's folder, None where there is none; see `Run.curve`."""
    path = stage / CURVE_FILE
    return _read_table(path, CURVE_COLUMNS) if path.is_file() else None


def read_examples(stage: Path) -> tuple[Example, ...]:
    """Read the explained clips kept in a stage's folder, in the order of their indices."""
    examples = []
    for path in sorted((stage / EXAMPLES_FOLDER).glob("*.npz")):
        with _damage_named(path):
            examples.append(Example.load(path))
    return tuple(examples)


def read_membership(path: Path) -> StudyMembership | None:
    """Read a run's ``study.json``, None for a run of no study."""
    if not path.is_file():
        return None
    with _damage_named(path):
        stored = json.loads(path.read_text(encoding="utf-8"))
        return StudyMembership(**{key: stored[key] for key in ("study", "variant", "settings", "seed")})


def _read_table(path: Path, columns: Mapping[str, type], optional: Mapping[str, type] | None = None) -> pd.DataFrame:
    """Read a CSV file that has at least these columns; text stays as it is and empty numbers are NaN."""
    kinds = {**columns, **(optional or {})}
    with _damage_named(path):
        # As text first: a name such as "NA" is not a missing value.
        table = pd.read_csv(path, dtype=str, keep_default_na=False, index_col=False, encoding="utf-8")
        for name in columns:
            if name not in table:
                raise ConfigurationError(f"{path} has no column {name!r}; run faithful-aad {path.parent.name} again")
        numbers = {name: kind for name, kind in kinds.items() if kind is not str and name in table}
        return table.replace({name: {"": "nan"} for name in numbers}).astype(numbers)


@contextmanager
def _damage_named(path: Path) -> Iterator[None]:
    """Turn an exception from reading a damaged file into one line that names it."""
    try:
        yield
    except (ConfigurationError, OSError):
        raise  # the machine can't read it now, whatever it contains
    except Exception as error:  # what a reader raises depends on where the damage is
        raise ConfigurationError(
            f"{path} is damaged ({first_line(error)}); run the stage that wrote it again"
        ) from error


def _no_results(missing: Path) -> ConfigurationError:
    stage, folder = missing.parent.name, missing.parent.parent
    return ConfigurationError(
        f"{folder} contains no {stage} results ({missing} is missing); run faithful-aad {stage} --run {folder}"
    )
