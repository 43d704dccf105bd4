"""What measures are worth: means with intervals, chance levels and tests, computed once for all tables and figures.

Clips are what is resampled and paired; runs that differ by seed are averaged within each clip first
(`metrics.functional.uncertainty`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from experiments.report.comparison import NO_SEED, Comparison, Model
from experiments.report.published import published_curve
from experiments.runs.results import ClipNulls
from metrics.functional import anomaly_auroc, oriented
from metrics.functional.chance import best_of_several_p_value, chance_corrected, permutation_p_value
from metrics.functional.detection import bootstrap_auroc
from metrics.functional.replacement import curve_area
from metrics.functional.uncertainty import Interval, bootstrap_mean, compare_paired, holm, over_seeds
from metrics.measures import AREAS, MAX_FPR, MEASURES, REFERENCES, SCORES

Floats = NDArray[np.float64]

ABOVE, NOT_ABOVE = "above chance", "not above chance"
HIGHER, LOWER, OPEN = "higher", "lower", "open"
UNTESTED = "untested"

SIGNIFICANCE = 0.05
"""Significance level of every test, after Holm's correction."""

BAND = 0.9
"""Share of the means of shifted curves in the band around chance: a mean above it has a one-sided p below 0.05."""

LEVEL = "level"
LEVEL_ALONE = "level alone"
"""Stands for the model where clips are ranked by their level."""

CONTROL = "random"
"""A random map, which explains nothing. It is a control and no hypothesis, so its p_holm is its p."""

_BAND_DRAWS = 1000


CURVE = ["model", "explainer", "measure", "anomaly_type", "percentile"]
"""Columns that identify a row of `Evidence.explanations`."""

_EXPLANATIONS = [
    *CURVE, "n_clips", "mean", "sd", "low", "high", "chance", "chance_low", "chance_high", "corrected", "p", "p_holm",
    *REFERENCES, "published", "verdict", "not_above",
]  # fmt: skip
_RUNS = ["model", "run", "seed", *CURVE[1:], "mean"]
_AREAS = ["model", "explainer", "measure", "n_clips", "mean", "sd"]
_TEST = ["first_mean", "second_mean", "difference", "low", "high", "p", "p_holm", "n_clips", "published", "verdict"]
_PAIRED = ["first", "second", "measure", "explainer", "over_chance", *_TEST]
_MASKED = ["measure", "model", *_TEST]
_DETECTION = ["model", "score", "anomaly_type", "measure", "n_clips", "mean", "sd", "low", "high"]
_CHECKS = ["model", "explainer", "check", "step", "mean"]


@dataclass(frozen=True, eq=False)
class Evidence:
    """What tables, figures and sentences say of a comparison, as data frames.

    Attributes:
        explanations: One row per model, explainer, measure, anomaly_type ("" for all clips) and percentile: n_clips,
            mean, sd (between seeds, NaN for one), low and high (95 % BCa interval over clips; for measures with a
            chance level), chance, chance_low, chance_high (90 % band of the shifted curves' mean), corrected,
            random_frames, all_frames, oracle, published and, for all clips, p, p_holm (over a model's explainers but
            `CONTROL`) and verdict ("above chance", "not above chance" or "untested"). not_above: at the percentile of
            tables, the references that something above chance does not exceed, separated by spaces.
        best: The same at the best percentile of each model, explainer and measure; p allows for that choice.
        runs: One row per run and curve: model, run, seed, explainer, measure, anomaly_type, percentile, mean.
        areas: Areas under the curves of deletion and insertion: model, explainer, measure, n_clips, mean, sd.
        paired: Two models on the same clips at the percentile of tables: first, second (model labels), measure,
            explainer, over_chance (whether each clip's chance level is subtracted first), first_mean, second_mean,
            difference (second minus first), low, high, p, p_holm (over the explainers but `CONTROL`), n_clips,
            published and verdict ("higher", "lower", "open" or "untested").
        masked: The masked error map against the error map: measure, model and the columns of `paired` from
            first_mean on; p_holm is over the models.
        detection: Areas under the ROC: model (`LEVEL_ALONE` for the level), score, anomaly_type, measure ("auc" or
            "pauc"), n_clips (anomalous ones), mean, sd, low, high.
        level_side: Which clips the level alone takes for anomalous, "louder" or "quieter"; "" without levels.
        checks: Sanity checks: model, explainer, check, step, mean.
    """

    explanations: pd.DataFrame
    best: pd.DataFrame
    runs: pd.DataFrame
    areas: pd.DataFrame
    paired: pd.DataFrame
    masked: pd.DataFrame
    detection: pd.DataFrame
    level_side: str
    checks: pd.DataFrame


def compute_evidence(comparison: Comparison, headline_only: bool = False) -> Evidence:
    """Compute intervals, chance levels and tests.

    Args:
        comparison: The runs.
        headline_only: Compute `explanations` for all clips at the percentile of tables only, and leave `best`,
            `areas`, `paired` and `masked` empty: enough for a summary, in a fraction of the time.
    """
    at, rows = comparison.percentile, comparison.explanations
    values = _all_curves(comparison, where(rows, percentile=at) if headline_only else rows, by_type=not headline_only)
    over_all = [curves for curves in values if curves.anomaly_type == "" and not headline_only]
    by_model = {(curves.model.label, curves.measure): curves for curves in over_all}
    explanations = [_explanations(curves, at) for curves in values]
    detection, level_side = _detection(comparison)
    return Evidence(
        explanations=_concat([rows for rows, _ in explanations], _EXPLANATIONS),
        best=_concat([] if headline_only else [best for _, best in explanations], _EXPLANATIONS),
        runs=_runs(comparison),
        areas=_areas(over_all),
        paired=_paired(comparison, by_model),
        masked=_masked(comparison, by_model),
        detection=detection,
        level_side=level_side,
        checks=_checks(comparison),
    )


@dataclass(frozen=True, eq=False)
class _Curves:
    """A measure of a model: arrays of R runs, N clips in the order of their names and P increasing percentiles."""

    model: Model
    measure: str
    anomaly_type: str
    """Of the clips, "" for all."""
    names: list[str]
    percentiles: list[int]
    value: dict[str, Floats]
    """(R, N, P) by explainer or reference, NaN where undefined."""
    chance: dict[str, Floats]
    """The same of chance levels."""
    nulls: list[ClipNulls | None]
    """Values under circular shifts of each run."""

    @property
    def explainers(self) -> list[str]:
        """The explainers for which any mean over clips is defined."""
        found = [name for name in self.value if name not in REFERENCES]
        return [name for name in found if np.isfinite(self.value[name].mean(axis=1)).any()]

    def null(self, explainer: str) -> Floats | None:
        """Values under the null, averaged over runs, (N, P, S) with the observed ones first.

        None unless every run has them. The shifts are the same in all runs, so elementwise means are the null
        distribution of the mean over runs.
        """
        arrays = []
        for null in self.nulls:
            if null is None or explainer not in null.values:
                return None
            clips = [null.names.index(name) for name in self.names]
            columns = [null.percentiles.index(percentile) for percentile in self.percentiles]
            arrays.append(np.asarray(null.values[explainer], dtype=float)[np.ix_(clips, columns)])
        return np.mean(arrays, axis=0) if arrays else None


def _all_curves(comparison: Comparison, rows: pd.DataFrame, by_type: bool) -> list[_Curves]:
    """The values of each measure and model, over all clips and, if wanted, over those of each type of anomaly."""
    values = []
    for (label, measure), of_measure in rows.groupby(["model", "measure"], sort=False):
        model = comparison.models[label]
        nulls = [run.null(measure) for run in model.runs] if MEASURES[measure].has_chance else []
        named = of_measure[of_measure["anomaly_type"] != ""]
        for kind, chosen in [("", of_measure), *(named.groupby("anomaly_type") if by_type else ())]:
            explainers, names, percentiles = (chosen[key].unique() for key in ("explainer", "name", "percentile"))
            axes = [explainers, range(len(model.runs)), sorted(names), sorted(percentiles.tolist())]
            table = chosen.set_index(["explainer", "run", "name", "percentile"])[["value", "chance"]]
            arrays = table.reindex(pd.MultiIndex.from_product(axes)).to_numpy().reshape(*map(len, axes), 2)
            value, chance = (dict(zip(explainers, arrays[..., i], strict=True)) for i in (0, 1))
            values.append(_Curves(model, measure, str(kind), axes[2], axes[3], value, chance, nulls))
    models = list(comparison.models)
    return sorted(values, key=lambda curves: (list(MEASURES).index(curves.measure), models.index(curves.model.label)))


def _explanations(curves: _Curves, shown: int | None) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rows of `Evidence.explanations` and, over all clips, of `Evidence.best`; tables show one percentile."""
    has_chance, over_all = MEASURES[curves.measure].has_chance, curves.anomaly_type == ""
    rows, best = [], []
    lows, highs = np.full((2, len(curves.explainers), len(curves.percentiles)), np.nan)
    if has_chance and curves.explainers:
        # All explainers together, as they share the resampled clips.
        means = [over_seeds(curves.value[name]) for name in curves.explainers]
        _, lows, highs = bootstrap_mean(np.stack(means, axis=1))
    references = {name: _mean(curves.value[name]) if name in curves.value else np.nan for name in REFERENCES}
    for explainer, low, high in zip(curves.explainers, lows, highs, strict=True):
        of_runs, null = curves.value[explainer].mean(axis=1), curves.null(explainer)
        mean, chance = of_runs.mean(axis=0), _mean(curves.chance[explainer])
        band = _chance_band(null, len(curves.percentiles))
        published = published_curve(curves.model, curves.measure, explainer, curves.anomaly_type)
        curve = {
            "model": curves.model.label,
            "explainer": explainer,
            "measure": curves.measure,
            "anomaly_type": curves.anomaly_type,
            "percentile": curves.percentiles,
            "n_clips": len(curves.names),
            "mean": mean,
            "sd": _sd(of_runs),
            "low": low,
            "high": high,
            "chance": chance,
            "chance_low": band[0],
            "chance_high": band[1],
            "corrected": _corrected(mean, chance, references["oracle"]),
            "p": _p_values(null, len(curves.percentiles)) if over_all else np.nan,
            **references,
            "published": [published.get(percentile, np.nan) for percentile in curves.percentiles],
        }
        rows.append(pd.DataFrame(curve))
        if over_all and has_chance:
            at_best = rows[-1].iloc[[int(np.nanargmax(mean))]]
            best.append(at_best.assign(p=np.nan if null is None else best_of_several_p_value(null)))
    at_all = _with_verdicts(curves, _concat(rows), ["percentile"], shown)
    return at_all, _with_verdicts(curves, _concat(best), ["measure"])


def _with_verdicts(curves: _Curves, rows: pd.DataFrame, family: list[str], at: int | None = None) -> pd.DataFrame:
    """Add p_holm over explainers with the same value of `family`, verdict and, at a percentile or at all, not_above."""
    if rows.empty:
        return rows
    rows["p_holm"] = rows.groupby([*family, rows["explainer"] == CONTROL])["p"].transform(holm)
    above = rows["p_holm"] < SIGNIFICANCE
    rows["verdict"] = np.select([rows["p_holm"].isna(), above], [UNTESTED, ABOVE], NOT_ABOVE)
    rows["not_above"] = ""
    for i in rows.index[above & ((rows["percentile"] == at) | (at is None))]:
        position = curves.percentiles.index(rows.at[i, "percentile"])
        found = [
            name
            for name in MEASURES[curves.measure].to_beat
            if name in curves.value and not _exceeds(curves, rows.at[i, "explainer"], name, position)
        ]
        rows.at[i, "not_above"] = " ".join(found)
    return rows


def _exceeds(curves: _Curves, explainer: str, reference: str, position: int) -> bool:
    """Whether the interval of an explainer's value minus a reference's on the same clips is above 0, or unknown."""
    differences = over_seeds(curves.value[explainer][:, :, position] - curves.value[reference][:, :, position])
    _, low, _ = bootstrap_mean(differences)
    return bool(low > 0) or bool(np.isnan(low))


def _p_values(null: Floats | None, n_percentiles: int) -> Floats:
    """Permutation p-values of the mean against circularly shifted curves, one-sided; NaN where undefined."""
    if null is None:
        return np.full(n_percentiles, np.nan)
    return np.array([permutation_p_value(torch.from_numpy(null[:, i])) for i in range(n_percentiles)])


def _chance_band(null: Floats | None, n_percentiles: int) -> Floats:
    """Bounds (2, P) within which the mean over clips lies with probability `BAND` under the null; NaN if unknown.

    Under the null every clip's curve is shifted by a random number of frames, independently of the other clips', and
    a clip's shift is the same in all runs.
    """
    if null is None or not np.isfinite(null).all():
        return np.full((2, n_percentiles), np.nan)
    n_clips, _, n_shifts = null.shape
    picks = np.random.default_rng(0).integers(n_shifts, size=(_BAND_DRAWS, n_clips))
    means = np.zeros((_BAND_DRAWS, n_percentiles))
    for clip, shifts in zip(null, picks.T, strict=True):
        means += clip.T[shifts]
    tail = (1 - BAND) / 2
    return np.quantile(means / n_clips, [tail, 1 - tail], axis=0)


def _corrected(mean: Floats, chance: Floats, oracle: Any) -> Floats:
    """Where values lie between chance (0) and the oracle (1)."""
    oracle = np.broadcast_to(oracle, mean.shape).copy()
    return chance_corrected(*map(torch.from_numpy, (mean, chance, oracle))).numpy()


def _runs(comparison: Comparison) -> pd.DataFrame:
    rows = comparison.explanations[~comparison.explanations["explainer"].isin(REFERENCES)]
    with_all = pd.concat([rows.assign(anomaly_type=""), rows])
    by_curve = with_all.groupby(_RUNS[:-1], sort=False)["value"]
    # `GroupBy.mean` takes no `skipna` before pandas 3, which needs Python 3.11.
    return by_curve.agg(lambda of_clips: of_clips.mean(skipna=False)).reset_index(name="mean")


def _areas(values: Iterable[_Curves]) -> pd.DataFrame:
    rows = []
    for curves in values:
        for explainer in curves.explainers if MEASURES[curves.measure].family == "deletion" else ():
            areas = curve_area(torch.from_numpy(curves.value[explainer]), curves.percentiles).nanmean(dim=1).numpy()
            key = curves.model.label, explainer, curves.measure, len(curves.names)
            rows.append((*key, areas.mean(), float(_sd(areas))))
    return pd.DataFrame(rows, columns=_AREAS)


def _paired(comparison: Comparison, values: dict[tuple[str, str], _Curves]) -> pd.DataFrame:
    frames = []
    at = comparison.percentile
    for first, second in comparison.pairs():
        runs = same_seeds(first, second)
        for measure in comparison.headline:
            sides = [values.get((model.label, measure)) for model in (first, second)]
            for over_chance in (False, True):
                tests = {
                    name: _test(*(_at(*side, name, at, over_chance) for side in zip(sides, runs, strict=True)))
                    for name in comparison.explainers
                }
                frame = _tests(tests, "explainer").assign(
                    first=first.label, second=second.label, measure=measure, over_chance=over_chance
                )
                facts = [_published_difference(first, second, measure, name, at) for name in frame["explainer"]]
                frames.append(frame.assign(published=facts))
    return _concat(frames, _PAIRED)


def _masked(comparison: Comparison, values: dict[tuple[str, str], _Curves]) -> pd.DataFrame:
    frames = []
    for measure in comparison.headline:
        tests = {
            label: _test(
                *(_at(values.get((label, measure)), None, name, comparison.percentile)
                  for name in ("error_map", "masked_error_map"))
            )
            for label in comparison.explained
        }  # fmt: skip
        frames.append(_tests(tests, "model").assign(measure=measure))
    return _concat(frames, _MASKED)


def _at(
    curves: _Curves | None, runs: list[int] | None, explainer: str, percentile: int | None, over_chance: bool = False
) -> Floats:
    """Values (R, N) at a percentile, minus each clip's own chance level if wanted; empty where there are none."""
    if curves is None or explainer not in curves.value or percentile not in curves.percentiles:
        return np.empty((0, 0))
    position = curves.percentiles.index(percentile)
    values = curves.value[explainer][:, :, position]
    if over_chance:
        values = values - curves.chance[explainer][:, :, position]
    return values if runs is None else values[runs]


def _test(first: Floats, second: Floats) -> dict[str, float] | None:
    """Paired test of values (R, N), None where one of the two has none."""
    if not all(np.isfinite(values).any() for values in (first, second)):
        return None
    means = {"first_mean": float(first.mean()), "second_mean": float(second.mean())}
    return means | compare_paired(first, second)._asdict()


def _tests(tests: dict[str, dict[str, float] | None], key: str) -> pd.DataFrame:
    """One row per test that was made, corrected over them all but the control."""
    frame = pd.DataFrame([{key: name, **test} for name, test in tests.items() if test is not None])
    if frame.empty:
        return pd.DataFrame(columns=[key])
    frame = frame.rename(columns={"p_value": "p"})
    is_control = (frame[key] == CONTROL) & (key == "explainer")
    frame["p_holm"] = frame.groupby(is_control)["p"].transform(holm)
    frame["verdict"] = [paired_verdict(*row) for row in frame[["difference", "low", "high", "p_holm"]].to_numpy()]
    return frame


def where(frame: pd.DataFrame, **values: Any) -> pd.DataFrame:
    """The rows of a frame whose columns have these values."""
    for name, value in values.items():
        frame = frame[frame[name] == value]
    return frame


def at_headline(comparison: Comparison, evidence: Evidence) -> pd.DataFrame:
    """The rows of `Evidence.explanations` over all clips at the percentile that tables show."""
    return where(evidence.explanations, percentile=comparison.percentile, anomaly_type="")


def paired_verdict(difference: float, low: float, high: float, p: float) -> str:
    """Whether a difference is higher or lower than 0, or open.

    Both the signed-rank test and the bootstrap interval have to say so: the first alone may follow many small
    differences against a few large ones. A difference that is printed as 0.000 is open.
    """
    if np.isnan(p):
        return UNTESTED
    if p >= SIGNIFICANCE or f"{abs(difference):.3f}" == "0.000":
        return OPEN
    return HIGHER if low > 0 else LOWER if high < 0 else OPEN


def same_seeds(first: Model, second: Model) -> tuple[list[int], list[int]]:
    """Positions of the runs whose seed both have, or of all runs where no seed is shared."""
    shared = [seed for seed in first.seeds if seed != NO_SEED and seed in second.seeds]
    if not shared:
        return list(range(len(first.runs))), list(range(len(second.runs)))
    return [first.seeds.index(seed) for seed in shared], [second.seeds.index(seed) for seed in shared]


def _published_difference(first: Model, second: Model, measure: str, explainer: str, percentile: int | None) -> float:
    """What the paper's curves differ by, second minus first, where they are of these two objectives."""
    if percentile is None or first.objective == second.objective:
        return np.nan
    of_first, of_second = (
        published_curve(model, measure, explainer).get(percentile, np.nan) for model in (first, second)
    )
    return of_second - of_first


def _detection(comparison: Comparison) -> tuple[pd.DataFrame, str]:
    """Areas of every model, score and type of anomaly, and which clips the level takes for anomalous."""
    rows = []
    for label, model in comparison.models.items():
        for score in SCORES:
            if score == LEVEL or not all(score in run.clips for run in model.runs):
                continue
            by_name = [run.clips.sort_values("name") for run in model.runs]
            for kind in ["", *sorted(comparison.anomaly_types)]:
                areas = np.array([_run_areas(clips, score, kind) for clips in by_name])
                interval = None
                if kind == "" and not np.isnan(areas).any():
                    scores = np.array([clips[score] for clips in by_name])
                    interval = bootstrap_auroc(scores, by_name[0]["label"], max_fprs=(1.0, MAX_FPR))
                rows.append(_area_rows(comparison, (label, score, kind), areas, interval))
    side = ""
    clips = next((run.clips for run in comparison.runs.values() if LEVEL in run.clips), None)
    if clips is not None and clips["label"].nunique() == 2:
        values = torch.tensor(clips[LEVEL].to_numpy())
        signed = oriented(values, torch.tensor(clips["label"].to_numpy()))
        side = "louder" if signed is values else "quieter"
        interval = bootstrap_auroc(signed.numpy(), clips["label"], max_fprs=(1.0, MAX_FPR))
        rows.append(_area_rows(comparison, (LEVEL_ALONE, LEVEL, ""), interval.mean[None], interval))
    return _concat(rows, _DETECTION), side


def _area_rows(
    comparison: Comparison, key: tuple[str, str, str], areas: Floats, interval: Interval | None
) -> pd.DataFrame:
    """Rows of a model, score and type of anomaly from the areas (R, 2) of its runs."""
    types, kind = comparison.anomaly_types, key[2]
    return pd.DataFrame(
        {
            **dict(zip(_DETECTION, key, strict=False)),
            "measure": list(AREAS),
            "n_clips": types[kind] if kind else sum(types.values()),
            "mean": areas.mean(axis=0),
            "sd": _sd(areas),
            "low": np.nan if interval is None else interval.low,
            "high": np.nan if interval is None else interval.high,
        }
    )


def _run_areas(clips: pd.DataFrame, score: str, anomaly_type: str) -> tuple[float, float]:
    """AUC and partial AUC of one run, of one type of anomaly against all normal clips if given; NaN if undefined."""
    chosen = clips[(clips["label"] == 0) | (clips["anomaly_type"] == anomaly_type) | (anomaly_type == "")]
    if chosen["label"].nunique() < 2 or chosen[score].isna().any():
        return np.nan, np.nan
    of_clips = torch.tensor(chosen[score].to_numpy()), torch.tensor(chosen["label"].to_numpy())
    return float(anomaly_auroc(*of_clips)), float(anomaly_auroc(*of_clips, MAX_FPR))


def _checks(comparison: Comparison) -> pd.DataFrame:
    """Means over runs and clips for which a check is defined."""
    checked = [
        run.sanity.assign(model=label)
        for label, model in comparison.models.items()
        for run in model.runs
        if run.sanity is not None
    ]
    means = _concat(checked, ["model", "explainer", "check", "step", "value"])
    means = means.groupby(_CHECKS[:-1], sort=False, as_index=False)["value"].mean()
    return means.rename(columns={"value": "mean"})


def _concat(frames: Sequence[pd.DataFrame], columns: Sequence[str] | None = None) -> pd.DataFrame:
    """Frames one after another, with these columns and in this order if given."""
    found = [frame for frame in frames if len(frame)]
    if not found:
        return pd.DataFrame(columns=columns)
    frame = pd.concat(found, ignore_index=True)
    return frame if columns is None else frame.reindex(columns=list(columns))


def _mean(values: Floats) -> Floats:
    """Mean over runs and clips of (R, N, P)."""
    means: Floats = values.mean(axis=1).mean(axis=0)
    return means


def _sd(of_runs: Floats) -> Any:
    """Standard deviation between runs, the first axis; NaN for one."""
    return of_runs.std(axis=0, ddof=1) if len(of_runs) > 1 else np.full(of_runs.shape[1:], np.nan)
