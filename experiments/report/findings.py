"""What a report says first: at most three sentences, and short warnings to read before any number."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd

from experiments.report import published
from experiments.report.comparison import Comparison, Model
from experiments.report.evidence import (
    ABOVE,
    CONTROL,
    HIGHER,
    LEVEL_ALONE,
    LOWER,
    OPEN,
    SIGNIFICANCE,
    UNTESTED,
    Evidence,
    at_headline,
    paired_verdict,
    where,
)
from experiments.report.figures.style import readable
from experiments.report.table import interval_text, ordinal, p_text, signed_text
from experiments.report.training import premature, training_cautions
from experiments.runs.config import BASELINES
from experiments.runs.folder import TEST_UNFINISHED, TRAINED_IN_PART
from lightning_modules.wording import counted, join
from metrics.functional.uncertainty import holm
from metrics.measures import MEASURES, SCORES

_FAR_BELOW_HALF = 0.4
"""AUC below which a warning is given, if its interval does not reach 0.5."""

_ALL_FRAMES_F1 = 0.95
"""F1 of all frames from which on annotations leave explanations nothing to find."""

_MOST_NAMES = 4
"""Models that a sentence names."""

_DETERMINISTIC = {BASELINES["OneClassSVM"], BASELINES["NearestNeighbours"]}
"""Objectives that are the same whatever the seed."""

_CLAIM_SEEDS = 3
"""Training runs of each model that a statement about the paper's claim needs."""


def sentences(comparison: Comparison, evidence: Evidence) -> list[str]:
    """What was tested, how well it detects, and what its explanations are worth: at most three sentences."""
    return list(filter(None, [tested(comparison), detected(comparison, evidence), explained(comparison, evidence)]))


def tested(comparison: Comparison) -> str:
    """Which runs were tested on how many clips of which kind, and whether the test set is constructed."""
    clips = comparison.first.clips
    n_anomalous = int(clips["label"].sum())
    types = join([f"{n} {readable(kind) or 'of unknown type'}" for kind, n in sorted(comparison.anomaly_types.items())])
    of_types = f" ({types})" if n_anomalous else ""
    same = " were tested on the same" if len(comparison.runs) > 1 else " was tested on"
    mark = f" {comparison.provenance.mark}" if comparison.provenance else ""
    models = list(comparison.models.values())
    named = (
        join([_with_runs(model) for model in models])
        if len(models) <= _MOST_NAMES
        else f"{len(models)} models ({counted(len(comparison.runs), 'run')})"
    )
    return (
        f"{named}{same} {counted(len(clips), 'clip')}: {len(clips) - n_anomalous} normal and {n_anomalous} "
        f"anomalous{of_types}; {int(clips['annotated'].sum())} have annotated intervals.{mark}"
    )


def detected(comparison: Comparison, evidence: Evidence) -> str:
    """AUC of each model, and the level's where a model does not exceed it; "" where no model has one."""
    areas = where(evidence.detection, anomaly_type="", measure="auc").dropna(subset="mean")
    of_models = where(areas, score="score")
    if of_models.empty:
        return ""
    if len(of_models) <= _MOST_NAMES:
        named = [f"{_with_interval(row)} for {row.model}" for row in of_models.itertuples()]
    else:
        by_mean = of_models.sort_values("mean").itertuples()
        named = [f"{row.mean:.3f} for {row.model}" for row in by_mean]
        named = [f"between {named[0]}", named[-1]]
    sentence = f"The AUC is {join(named)}"
    for level in where(areas, model=LEVEL_ALONE).itertuples():
        # As printed: a difference that nobody sees is not an excess.
        not_above = [row.model for row in of_models.itertuples() if f"{row.mean:.3f}" <= f"{level.mean:.3f}"]
        if not_above:
            verb = "does" if len(not_above) == 1 else "do"
            sentence += f"; {_names(not_above)} {verb} not exceed that of the level alone, {_with_interval(level)}"
    return f"{sentence}."


def explained(comparison: Comparison, evidence: Evidence) -> str:
    """How many explainers are above chance, and how two models compare, by the first headline measure; "" if none."""
    if not comparison.headline:
        return ""
    measure = comparison.headline[0]
    shown = where(at_headline(comparison, evidence), measure=measure)
    shown = shown[(shown["explainer"] != CONTROL) & (shown["verdict"] != UNTESTED)]
    parts = []
    above = shown["verdict"].eq(ABOVE).groupby(shown["model"], sort=False)
    if len(above) > _MOST_NAMES:
        parts = [f"above chance for {shown['verdict'].eq(ABOVE).sum()} of {len(shown)} maps of {len(above)} models"]
    elif len(above):
        counts = [f"{of_model.sum()} of {len(of_model)} explainers with {label}" for label, of_model in above]
        parts = [f"above chance for {join(counts)}"]
    for first, second in comparison.pairs()[:_MOST_NAMES]:
        tests, over_chance = _tests(evidence, first, second, measure)
        said = {HIGHER: "higher", LOWER: "lower", OPEN: "not significantly different"}
        numbers = {verdict: int((tests["verdict"] == verdict).sum()) for verdict in said}
        counts = [f"{said[verdict]} for {number}" for verdict, number in numbers.items() if number]
        if counts:
            over = ", over chance," if over_chance else ""
            claim = _claim(comparison, first, second, tests)
            caution = premature(first, second)
            caution = f" (premature: {caution})" if caution else ""
            parts.append(f"with {second.label} instead of {first.label}{over} {join(counts)}{claim}{caution}")
    subject = f"{MEASURES[measure].label} at the {ordinal(comparison.percentile or 0)} percentile"
    return f"{subject}: {'; '.join(parts)}." if parts else ""


def _claim(comparison: Comparison, first: Model, second: Model, tests: pd.DataFrame) -> str:
    """How many explainers of the paper support its claim, where the runs can show it."""
    real = comparison.provenance is None and all(published.is_planer(model) for model in (first, second))
    enough = min(len(first.runs), len(second.runs)) >= _CLAIM_SEEDS
    if (first.objective, second.objective) != ("AE", "MAE") or not (real and enough):
        return ""
    of_paper = tests[tests["explainer"].isin(published.EXPLAINERS)]
    supported = int((of_paper["verdict"] == HIGHER).sum())
    return f" (the paper's claim, higher for all of its explainers, holds for {supported} of {len(of_paper)})"


def warnings(comparison: Comparison, evidence: Evidence, seeds: bool = True) -> list[str]:
    """What to know before reading any number, one short line each.

    Args:
        comparison: The runs.
        evidence: Of the comparison.
        seeds: Whether to warn of models with one training run.
    """
    return [
        *_runs(comparison, seeds),
        *training_cautions(comparison),
        *_scores(comparison, evidence),
        *_missing(comparison),
        *_controls(comparison, evidence),
        *_limits(comparison, evidence),
    ]


def _runs(comparison: Comparison, seeds: bool) -> Iterator[str]:
    """Unfinished trainings and tests, constructed test sets, and models with one seed."""
    for label, run in comparison.runs.items():
        if run.caution:
            before = "Finish it and run" if "training unfinished" in run.caution else "Run"
            if TRAINED_IN_PART in run.caution:
                before = "Train without this limit and run"
            yield f"{label} ({run.folder}): {run.caution}. {before} faithful-aad test again."
    if comparison.unfinished:
        names = join([str(run) for run in comparison.unfinished[:3]])
        more = f" and {len(comparison.unfinished) - 3} more" if len(comparison.unfinished) > 3 else ""
        yield f"{names}{more} {'is' if len(comparison.unfinished) == 1 else 'are'} not tested yet and left out."
    if comparison.provenance:
        yield f"{comparison.provenance.mark} {comparison.provenance.description}".strip()
    varying = [model for model in comparison.models.values() if model.objective not in _DETERMINISTIC]
    once = [model.label for model in varying if len(model.runs) == 1]
    if once and seeds:
        yield (
            f"One training run of {_names(once)}: nothing is known of how results vary between seeds; intervals and "
            "p-values are over clips."
        )


def _scores(comparison: Comparison, evidence: Evidence) -> Iterator[str]:
    """Why there is no AUC, or why one is suspicious."""
    classes = set(comparison.first.clips["label"])
    if len(classes) == 1:
        missing = "anomalous" if classes == {0} else "normal"
        yield f"The test set has no {missing} clips, so AUC and partial AUC are undefined."
    for label, run in comparison.runs.items():
        scores = run.clips["score"]
        undefined = run.clips.loc[scores.isna(), "name"]
        if len(undefined):
            yield (
                f"{counted(len(undefined), 'clip')} of {label} with a score that is not a number, such as "
                f"{undefined.iloc[0]}: AUC undefined. Look at the clip and the training loss, and test with "
                "--trainer.precision 32-true."
            )
        elif len(scores) > 1 and scores.nunique() == 1:
            yield f"Every clip has the same score with {label}: it cannot rank them."
    areas = where(evidence.detection, measure="auc", anomaly_type="")
    areas = areas[areas["model"] != LEVEL_ALONE]
    for row in areas[(areas["mean"] < _FAR_BELOW_HALF) & (areas["high"] < 0.5)].itertuples():
        of = f" of the {SCORES[row.score].label}" if SCORES[row.score].label else ""
        yield (
            f"The AUC{of} of {row.model} is {row.mean:.3f}, far below 0.5: normal clips score higher. Check the "
            "labels, faithful-aad data describe and --data.reference_level; do not reverse the score."
        )


def _missing(comparison: Comparison) -> Iterator[str]:
    """Why measures, chance levels and p-values are missing, and what adds them."""
    if any(TEST_UNFINISHED in run.caution for run in comparison.runs.values()):
        return  # the test was stopped, which is the reason
    if not comparison.explained:
        if not all(model.is_baseline for model in comparison.models.values()):
            yield (
                "No test clip was explained: give faithful-aad test annotated clips (--data.annotations), or have it "
                "explain all anomalous ones (--attributions.clips anomalous)."
            )
        return
    if "f1" not in comparison.measures:
        yield (
            "No explained clip is annotated, so there is no F1 and no segment-based faithfulness: name annotations "
            "with --data.annotations and run faithful-aad test again."
        )
    rows = comparison.explanations
    every = where(rows, measure="f1", explainer="all_frames", percentile=comparison.percentile)
    every = every.groupby("model")["value"].mean()
    if (every >= _ALL_FRAMES_F1).any():
        yield f"Taking all frames reaches an F1 of {every.max():.3f}: F1 says nothing about where explanations point."
    with_chance = set(rows.loc[rows["chance"].notna(), "measure"])
    lacking = [key for key in comparison.headline if MEASURES[key].has_chance and key not in with_chance]
    if lacking:
        shifts = " --faithfulness.shifts 4" if any(MEASURES[key].family == "faithfulness" for key in lacking) else ""
        yield (
            f"No chance level of {join([MEASURES[key].in_text for key in lacking])}: run faithful-aad test{shifts} "
            "again. Random frames reach an F1 well above 0."
        )


def _controls(comparison: Comparison, evidence: Evidence) -> Iterator[str]:
    """What the random map, which explains nothing, says about the tests themselves."""
    known = where(at_headline(comparison, evidence), explainer=CONTROL).dropna(subset="p")
    # The controls are a family of their own for Holm's correction.
    above = known[holm(known["p"]) < SIGNIFICANCE]
    if len(above):
        names = [f"{MEASURES[row.measure].in_text} of {row.model}" for row in above.itertuples()]
        yield f"The random map, a control, is above chance in {_names(names)}: do not trust the other p-values yet."
    for first, second in comparison.pairs():
        for measure in comparison.headline:
            control = _control(evidence, first, second, measure)
            if control is not None and _differs(control):
                yield (
                    f"The random map's {MEASURES[measure].in_text} differs between {second.label} and {first.label} "
                    f"({signed_text(control.difference)}, p {p_text(control.p)}): read the columns over chance."
                )


def _limits(comparison: Comparison, evidence: Evidence) -> Iterator[str]:
    """Too few clips for any difference to be significant, and intervals without a width."""
    n_clips = evidence.paired["n_clips"].min() if len(evidence.paired) else 0
    # The smallest p-value that a signed-rank test over so few clips can give.
    if n_clips and 2.0 ** (1 - n_clips) >= SIGNIFICANCE:
        yield f"{counted(int(n_clips), 'clip')}: too few for any difference to be significant."
    shown = at_headline(comparison, evidence)
    for row in pd.concat([evidence.detection, shown, evidence.best]).itertuples():
        if f"{row.low:.3f}" == f"{row.high:.3f}" != "nan":
            yield (
                f"Intervals without a width, such as {interval_text(row.low, row.high)}, show no certainty: all "
                "bootstrap samples of the clips agree."
            )
            return


def _tests(evidence: Evidence, first: Model, second: Model, measure: str) -> tuple[pd.DataFrame, bool]:
    """Tests of two models without the control, over chance where the control differs between them."""
    control = _control(evidence, first, second, measure)
    over_chance = control is not None and _differs(control)
    tests = where(evidence.paired, first=first.label, second=second.label, measure=measure, over_chance=over_chance)
    return tests[tests["explainer"] != CONTROL], over_chance


def _control(evidence: Evidence, first: Model, second: Model, measure: str) -> pd.Series | None:
    pair = {"first": first.label, "second": second.label, "over_chance": False}
    found = where(evidence.paired, **pair, measure=measure, explainer=CONTROL)
    return found.iloc[0] if len(found) else None


def _differs(control: pd.Series) -> bool:
    """Whether the random map tells two models apart.

    It warns and claims nothing, so its p-value is not corrected: a family would make the warning come too late.
    """
    return paired_verdict(control["difference"], control["low"], control["high"], control["p"]) in {HIGHER, LOWER}


def _names(names: list[str]) -> str:
    return join(names if len(names) <= _MOST_NAMES else [*names[: _MOST_NAMES - 1], f"{len(names) - 3} more"])


def _with_runs(model: Model) -> str:
    if model.runs[0].membership is not None:
        return f"{model.label} ({counted(len(model.runs), 'seed')})"
    folder = str(model.runs[0].folder)
    return model.label if folder in model.label else f"{model.label} ({folder})"


def _with_interval(row: Any) -> str:
    return f"{row.mean:.3f} {interval_text(row.low, row.high)}"
