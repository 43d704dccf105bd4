"""What was measured on tested runs, side by side: their models, clips and explanations."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from datamodules.provenance import Provenance
from experiments.runs.config import is_baseline
from experiments.runs.results import Run, has_roc
from explainers.examples import Example
from metrics.measures import HEADLINE_PERCENTILE, MEASURES, REFERENCES

NO_SEED = -1
"""Stands for the seed of runs outside studies, which is not known."""


class EvaluationSet(NamedTuple):
    """What the runs of a study that varies the data were tested on.

    Attributes:
        machine: Label of the recordings, "" where a study does not vary them.
        part: Which of several test sets of these recordings, "" where there is one.
    """

    machine: str = ""
    part: str = ""

    @property
    def label(self) -> str:
        """Both in a sentence."""
        return f"{self.machine} ({self.part})" if self.machine and self.part else self.machine or self.part

    @property
    def stem(self) -> str:
        """Both as the name of a file."""
        return "_".join(filter(None, self)).replace("/", "_")


def seed_of(run: Run) -> int:
    """Seed of a run in its study; `NO_SEED` outside."""
    return run.membership.seed if run.membership else NO_SEED


def has_peaks(measure: str) -> bool:
    """Whether a measure's percentiles make peaks; deletion and insertion go from few frames to all."""
    return MEASURES[measure].family != "deletion"


@dataclass(frozen=True, eq=False)
class Model:
    """Runs that differ by their seed alone.

    Attributes:
        label: Its name in tables and figures.
        objective: AE, MAE, or the name of another class or of a baseline detector.
        settings: The study's settings that these runs share, empty for runs outside a study.
        runs: The runs by increasing seed.
    """

    label: str
    objective: str
    settings: dict[str, Any]
    runs: tuple[Run, ...]

    @property
    def seeds(self) -> tuple[int, ...]:
        """The runs' seeds, `NO_SEED` for a run outside a study."""
        return tuple(seed_of(run) for run in self.runs)

    @property
    def is_baseline(self) -> bool:
        """Whether this is a baseline detector, which has no reconstruction to explain."""
        return is_baseline(self.runs[0].config)


@dataclass(frozen=True, eq=False)
class Comparison:
    """Models tested on the same clips.

    Attributes:
        models: By label: models that are explained first, then others, baseline detectors last.
        unfinished: Runs of the studies that have no test results yet.
        clips: `Run.clips` of all runs, with the columns model, run (its position in `Model.runs`) and seed first.
        explanations: `Run.explanations` of all runs, with the same columns first, at the percentiles that all runs
            have in common.
    """

    models: dict[str, Model]
    unfinished: tuple[Path, ...]
    clips: pd.DataFrame
    explanations: pd.DataFrame

    @property
    def runs(self) -> dict[str, Run]:
        """Every run, by its model's label and, where a model has several, its seed."""
        return {
            model.label if len(model.runs) == 1 else f"{model.label}, seed {seed_of(run)}": run
            for model in self.models.values()
            for run in model.runs
        }

    @property
    def first(self) -> Run:
        """A run to ask for what all share."""
        return next(iter(self.models.values())).runs[0]

    @property
    def has_roc(self) -> bool:
        """Whether every run has an ROC."""
        return all(has_roc(run.clips) for run in self.runs.values())

    @cached_property
    def explained(self) -> dict[str, Model]:
        """The models whose explanations were measured."""
        labels = set(self.explanations["model"])
        return {label: model for label, model in self.models.items() if label in labels}

    @cached_property
    def explainers(self) -> tuple[str, ...]:
        """Explainers of any model, in the order of the files."""
        return tuple(name for name in self.explanations["explainer"].unique() if name not in REFERENCES)

    @cached_property
    def measures(self) -> tuple[str, ...]:
        """The measures that any clip has, in the order of `MEASURES`."""
        found = set(self.explanations.loc[self.explanations["value"].notna(), "measure"])
        return tuple(key for key in MEASURES if key in found)

    @property
    def headline(self) -> tuple[str, ...]:
        """Those of `measures` that overviews show."""
        return tuple(key for key in self.measures if MEASURES[key].headline)

    @cached_property
    def percentile(self) -> int | None:
        """The percentile at which tables show measures; None where no peaks were measured."""
        peaks = self.explanations["measure"].map(has_peaks).astype(bool)
        percentiles = self.explanations.loc[peaks, "percentile"].unique().tolist()
        if not percentiles:
            return None
        return HEADLINE_PERCENTILE if HEADLINE_PERCENTILE in percentiles else max(percentiles)

    @property
    def provenance(self) -> Provenance | None:
        """How the test set was constructed, None for recordings as they are."""
        return next((run.provenance for run in self.runs.values() if run.provenance), None)

    @property
    def mark(self) -> str:
        """What notes and captions end with: that the test set is constructed, and cautions about the networks."""
        constructed = [self.provenance.mark] if self.provenance else []
        networks = [f"{label}: {run.caution}." for label, run in self.runs.items() if run.caution]
        return "".join(f" {sentence}" for sentence in [*constructed, *networks])

    @cached_property
    def anomaly_types(self) -> Counter[str]:
        """Number of test clips of each type of anomaly."""
        clips = self.first.clips
        return Counter(clips.loc[clips["label"] == 1, "anomaly_type"])

    def n_clips(self, measure: str) -> int:
        """Number of clips that a measure is over, 0 where no run has it."""
        return int(self.explanations.loc[self.explanations["measure"] == measure, "name"].nunique())

    def pairs(self) -> list[tuple[Model, Model]]:
        """The models to compare: each MAE with the AE of the same settings, or with the only AE.

        Without both objectives, two explained models are compared as they come.
        """
        explained = list(self.explained.values())
        autoencoders = [model for model in explained if model.objective == "AE"]
        found = []
        for model in explained:
            if model.objective == "MAE":
                partners = [other for other in autoencoders if other.settings == model.settings] or autoencoders
                found += [(partners[0], model)] if len(partners) == 1 else []
        return found or ([(explained[0], explained[1])] if len(explained) == 2 else [])

    def common_examples(self) -> list[dict[str, Example]]:
        """Clips kept by the first run of every model that kept any, by the model's label.

        One of each type of anomaly first, then a second of each, and so on.
        """
        kept = {
            label: {example.name: example for example in model.runs[0].examples}
            for label, model in self.models.items()
            if model.runs[0].examples
        }
        if not kept:
            return []
        common = set.intersection(*(set(examples) for examples in kept.values()))
        by_type: dict[str, list[str]] = defaultdict(list)
        for name, example in next(iter(kept.values())).items():
            if name in common:
                by_type[example.anomaly_type].append(name)
        ranked = sorted((rank, kind, name) for kind, names in by_type.items() for rank, name in enumerate(names))
        return [{label: examples[name] for label, examples in kept.items()} for _, _, name in ranked]
