"""How long models were trained: a table, what makes a comparison premature, and quality against training length."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from experiments.report.comparison import Comparison, Model
from experiments.report.table import Cell, Row, Table
from experiments.runs.folder import RunFolder, max_epochs
from experiments.runs.results import Run
from lightning_modules.wording import counted, join
from metrics.measures import HEADLINE_PERCENTILE, MEASURES

_STILL_FALLING = 0.05
"""Share by which the validation loss falls over the last third of a training that is too short."""

_UNEQUAL_STEPS = 3
"""Ratio of two models' steps up to their best epochs above which their lengths explain a difference as well."""


@dataclass(frozen=True)
class Training:
    """How long a network was trained.

    Attributes:
        epochs: Epochs trained.
        steps: Optimiser steps.
        best_epochs: Epochs up to the best one, whose weights are tested.
        best_steps: Steps up to then.
        best_loss: Its validation loss.
        patience: Epochs without a better one after which the training stops, None where that is not known.
        stopped_early: Whether it ended before any bound, or had run out of patience.
        fallen: Share by which the lowest validation loss fell over the last third of the epochs.
    """

    epochs: int
    steps: int
    best_epochs: int
    best_steps: int
    best_loss: float
    patience: int | None
    stopped_early: bool
    fallen: float

    @property
    def doubt(self) -> str:
        """Why the network may be trained too briefly for its explanations to be compared; "" where it is not."""
        if self.stopped_early:
            return ""
        length = f"{counted(self.epochs, 'epoch')}, {counted(self.steps, 'step')}"
        if self.best_epochs == self.epochs:
            return f"its best epoch is its last ({length})"
        if self.patience is not None and self.epochs < self.patience:
            return f"it is shorter ({length}) than the patience of its early stopping, {self.patience} epochs"
        if self.fallen > _STILL_FALLING:
            return f"its validation loss fell by {100 * self.fallen:.0f} % over the last third ({length})"
        return ""


def training_of(run: Run) -> Training | None:
    """How long a run was trained; None where it was not trained here, or without validation."""
    if run.learning is None:
        return None
    losses = run.learning.dropna(subset="val_loss")
    if losses.empty:
        return None
    best, last = losses.loc[losses["val_loss"].idxmin()], run.learning.iloc[-1]
    options = (run.config.get("model") or {}).get("init_args") or {}
    patience, epochs = options.get("patience"), int(last["epoch"]) + 1
    waited = _epochs_waited(losses["val_loss"], options.get("min_delta", 0.0))
    ran_out = patience is not None and waited >= max(patience, 1)
    n_last = math.ceil(len(losses) / 3)
    before, after = losses["val_loss"].iloc[:-n_last].min(), losses["val_loss"].iloc[-n_last:].min()
    return Training(
        epochs=epochs,
        steps=int(last["steps"]),
        best_epochs=int(best["epoch"]) + 1,
        best_steps=int(best["steps"]),
        best_loss=float(best["val_loss"]),
        patience=patience,
        stopped_early=ran_out or _ended_before_bounds(run, epochs),
        fallen=float(1 - after / before) if before > 0 else 0.0,
    )


def _epochs_waited(losses: Iterable[float], min_delta: float) -> int:
    """Epochs at the end without a loss that early stopping takes for a better one."""
    best, waited = math.inf, 0
    for loss in losses:
        if loss + min_delta < best:
            best, waited = loss, 0
        else:
            waited += 1
    return waited


def _ended_before_bounds(run: Run, epochs: int) -> bool:
    """Whether a training has ended although no bound was reached, as by a callback of the user's."""
    trainer, bound = run.config.get("trainer") or {}, max_epochs(run.config)
    has_others = trainer.get("max_time") is not None or (trainer.get("max_steps") or -1) > 0
    is_finished = RunFolder(run.trained_in).is_finished("fit")
    return bound is not None and epochs < bound and not has_others and is_finished


def training_cautions(comparison: Comparison) -> list[str]:
    """What to know of the lengths of trainings before models are compared, one line per model or pair."""
    cautions = []
    for label, model in comparison.models.items():
        doubts = _doubts(model)
        if doubts:
            of_runs = "" if len(model.runs) == 1 else f" in {len(doubts)} of {len(model.runs)} runs"
            cautions.append(
                f"{label} may be trained too briefly{of_runs}: {doubts[0]}. Explanations change with the length "
                "of training: raise --trainer.max_epochs, and compare models that have stopped early."
            )
    for first, second in comparison.pairs():
        unequal = _unequal(first, second)
        if unequal:
            cautions.append(f"{unequal}: what differs between them may come from the length of training.")
    return cautions


def premature(first: Model, second: Model) -> str:
    """Why a comparison of two models is premature, to be said beside every claim about it; "" where it is not."""
    brief = [model.label for model in (first, second) if _doubts(model)]
    reasons = [f"{join(brief)} may be trained too briefly"] if brief else []
    return "; ".join(filter(None, [*reasons, _unequal(first, second)]))


def training_table(comparison: Comparison) -> Table | None:
    """Epochs and steps of each run, in all and up to the best epoch; None where nothing was trained here."""
    rows: list[Row] = []
    for label, run in comparison.runs.items():
        training = training_of(run)
        if training is None:
            continue
        counts = (training.epochs, training.steps, training.best_epochs, training.best_steps)
        cells = (Cell(f"{number:,}", numbers=(("", number),)) for number in counts)
        loss = Cell(f"{training.best_loss:.4g}", numbers=(("", training.best_loss),))
        ended = "early stopping" if training.stopped_early else "its bound, or still going on"
        rows.append((Cell(label), Cell(ended), *cells, loss))
    if not rows:
        return None
    return Table(
        title="Length of training",
        note="The weights of the best epoch are tested. Losses of different objectives are not comparable.",
        header=("Run", "Ended by", "Epochs", "Steps", "Best epoch", "Steps up to it", "Validation loss"),
        groups=(tuple(rows),),
        names=2,
        name="training",
        is_detail=True,
    )


def length_curves(comparison: Comparison) -> pd.DataFrame:
    """What the checkpoints of all runs reach, over chance where there is a chance level.

    Returns:
        Columns model, run, steps, is_best, measure, explainer ("" for losses and areas) and value, over all clips at
        one percentile; the validation loss is relative to the run's lowest. Empty where no run has a curve.
    """
    frames = []
    for label, model in comparison.models.items():
        for i, run in enumerate(model.runs):
            if run.curve is not None and len(run.curve):
                frames.append(_length_curve(run, run.curve).assign(model=label, run=i))
    columns = ["model", "run", "steps", "is_best", "measure", "explainer", "value"]
    return pd.concat(frames, ignore_index=True)[columns] if frames else pd.DataFrame(columns=columns)


def _length_curve(run: Run, curve: pd.DataFrame) -> pd.DataFrame:
    of_chance = curve[curve["measure"].map(lambda key: key in MEASURES) & curve["chance"].notna()]
    percentiles = of_chance["percentile"].unique()
    shown = curve[(curve["explainer"] == "")]
    if len(percentiles):
        at = HEADLINE_PERCENTILE if HEADLINE_PERCENTILE in percentiles else percentiles.max()
        of_chance = of_chance[of_chance["percentile"] == at]
        shown = pd.concat([shown, of_chance.assign(value=of_chance["value"] - of_chance["chance"])])
    is_loss = shown["measure"] == "loss"
    value = shown["value"].where(~is_loss, shown["value"] / shown.loc[is_loss, "value"].min())
    training = training_of(run)
    best = training.best_epochs if training else None
    return shown.assign(value=value, is_best=shown["epochs"] == best)


def _doubts(model: Model) -> list[str]:
    if model.is_baseline:  # which learns in one epoch
        return []
    found: Iterable[Training | None] = map(training_of, model.runs)
    return [training.doubt for training in found if training is not None and training.doubt]


def _unequal(first: Model, second: Model) -> str:
    """That one of two models had many more steps, "" where it had not."""
    steps = {}
    for model in (first, second):
        of_runs = [training.best_steps for run in model.runs if (training := training_of(run)) is not None]
        if of_runs:
            steps[model.label] = float(np.median(of_runs))
    if len(steps) < 2:
        return ""
    (fewer, low), (more, high) = sorted(steps.items(), key=lambda item: item[1])
    if high <= _UNEQUAL_STEPS * low:
        return ""
    return (
        f"{more} had {high / low:.1f} times as many steps as {fewer} up to its best epoch ({high:,.0f} and {low:,.0f})"
    )
