"""Measures of explanations over the percentile that makes a frame a peak (paper Figures 4 and 5)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.legend_handler import HandlerTuple
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from experiments.report.figures.style import (
    INK,
    MUTED,
    TEXT_WIDTH,
    LineStyle,
    ModelStyle,
    explainer_colour,
    explainer_marker,
    model_styles,
    styled,
    verbatim,
)
from explainers.registry import explainer_label
from lightning_modules.wording import counted
from metrics.measures import MEASURES, REFERENCES, Measure

_PERCENTILE = "Percentile of the peak threshold"

_LEGEND_COLUMNS = 2
"""Entries of the legend side by side below a panel: the longest name takes nearly half of its width."""

_MAX_COLUMNS = 4
_MOST_BANDS = 4
"""Models up to which bands don't hide each other."""

_REFERENCE_LINES: dict[str, LineStyle] = {
    "random_frames": (0, (5, 1.5, 1, 1.5)),
    "all_frames": (0, (1, 2.2)),
    "oracle": (0, (7, 2)),
}


def curve_figures() -> dict[str, list[str]]:
    """Keys of the measures in each figure over percentiles, by the figure's name.

    Measures of agreement with the annotation have a figure each if they have a chance level; those that replace frames
    share the figure of their family.
    """
    figures: dict[str, list[str]] = {}
    for measure in MEASURES.values():
        if measure.family != "annotation":
            figures.setdefault(measure.family, []).append(measure.key)
        elif measure.has_chance:
            figures[measure.key] = [measure.key]
    return figures


@styled
def percentile_curves(explanations: pd.DataFrame, measures: Sequence[str], model: str = "") -> Figure | None:
    """Draw one run's measures, one line per explainer and one panel per measure.

    Args:
        explanations: Rows of ``explanations.csv``.
        measures: Which measures; undefined ones are left out.
        model: What the title calls the model.

    Returns:
        The figure; None if no measure is defined for any clip.
    """
    explanations = explanations[~explanations["explainer"].isin(REFERENCES)]
    by_measure = {key: explanations[explanations["measure"] == key] for key in measures}
    by_measure = {key: rows for key, rows in by_measure.items() if rows["value"].notna().any()}
    if not by_measure:
        return None
    figure = Figure(figsize=(3.5 * len(by_measure) + 0.4, 3.5), layout="constrained")
    panels = figure.subplots(1, len(by_measure), squeeze=False, sharey=True)[0]
    for axes, (key, rows) in zip(panels, by_measure.items(), strict=True):
        by_curve = rows.groupby(["explainer", "percentile"], sort=False)[["value", "chance"]]
        means = by_curve.agg(lambda of_clips: of_clips.mean(skipna=False)).unstack("explainer").sort_index()
        for name in means["value"]:
            axes.plot(
                means.index, means["value"][name], color=explainer_colour(name), marker=explainer_marker(name), ms=3.5,
                clip_on=False, label=explainer_label(name),
            )  # fmt: skip
        if means["chance"].notna().to_numpy().any():
            axes.fill_between(
                means.index, means["chance"].min(axis=1), means["chance"].max(axis=1), color=MUTED, alpha=0.3, lw=0,
                zorder=0, label="chance (shifted curves)",
            )  # fmt: skip
        axes.set_xticks(means.index)
        axes.set_title(MEASURES[key].label, loc="left")
        axes.set_xlabel(_PERCENTILE)
        axes.grid(axis="y")
    panels[0].set_ylim(bottom=0)
    panels[0].set_ylabel(f"Mean over {counted(next(iter(by_measure.values()))['name'].nunique(), 'clip')}")
    handles, labels = panels[0].get_legend_handles_labels()
    columns = min(_LEGEND_COLUMNS * len(by_measure), len(labels))
    figure.legend(handles, labels, loc="outside lower center", ncols=columns)
    if model:
        figure.suptitle(verbatim(model), x=0.01, ha="left", fontsize=9.5, fontweight="bold")
    return figure


@styled
def model_comparison(explanations: pd.DataFrame, measures: Sequence[str], models: Mapping[str, str]) -> Figure | None:
    """Draw each measure as a block of panels, one per explainer, with a line and a band per model.

    Lines are means over runs and bands their standard deviations; grey bands are the level of chance and thin lines
    published values. Of several models of one objective only the first has its published values drawn.

    Args:
        explanations: `Evidence.explanations`.
        measures: Which measures, with the same percentiles; undefined ones are left out.
        models: Objective by the model's label.

    Returns:
        The figure; None if no measure is defined for any model.
    """
    rows = explanations[(explanations["anomaly_type"] == "") & explanations["mean"].notna()]
    repeated = [label for i, label in enumerate(models) if models[label] in list(models.values())[:i]]
    rows = rows.assign(published=rows["published"].mask(rows["model"].isin(repeated)))
    blocks = {key: rows[rows["measure"] == key] for key in measures}
    blocks = {key: block for key, block in blocks.items() if len(block)}
    if not blocks:
        return None
    drawn = pd.concat(list(blocks.values()))
    styles = model_styles({label: models[label] for label in models if label in set(drawn["model"])})
    explainers = {key: list(dict.fromkeys(block["explainer"])) for key, block in blocks.items()}
    columns = _columns(max(map(len, explainers.values())))
    n_rows = [-(-len(names) // columns) for names in explainers.values()]
    heights = [1.22 * n + 0.42 for n in n_rows]
    figure = Figure(figsize=(TEXT_WIDTH, sum(heights) + 0.42), layout=ConstrainedLayoutEngine(w_pad=0.03, h_pad=0.03))
    parts = figure.subfigures(len(blocks), 1, height_ratios=heights, squeeze=False)[:, 0]
    for part, (key, block), n in zip(parts, blocks.items(), n_rows, strict=True):
        _draw_block(part, MEASURES[key], block, styles, (n, columns))
    handles, labels = _key(blocks, styles)
    columns = -(-len(handles) // (1 + (len(handles) > 5)))  # two rows where one would be too wide
    figure.legend(
        handles, labels, loc="outside lower center", ncols=columns, handlelength=2.4, columnspacing=1.2,
        handler_map={tuple: HandlerTuple(ndivide=1)},
    )  # fmt: skip
    return figure


def _columns(panels: int) -> int:
    """Columns that leave as few places empty as can be."""
    return min(range(2, _MAX_COLUMNS + 1), key=lambda n: (-panels % n, -n)) if panels > 2 else max(1, panels)


def _draw_block(
    part: SubFigure, measure: Measure, block: pd.DataFrame, styles: Mapping[str, ModelStyle], shape: tuple[int, int]
) -> None:
    panels = part.subplots(*shape, squeeze=False, sharex=True, sharey=True).flatten()
    percentiles = sorted(block["percentile"].unique())
    references = _references(measure, block)
    by_explainer = block.groupby("explainer", sort=False)
    for axes, (explainer, rows) in zip(panels, by_explainer, strict=False):
        for name in references:
            axes.plot(references.index, references[name], color=MUTED, lw=0.8, ls=_REFERENCE_LINES[name], label=name)
        # The nulls of two models nearly coincide: shade what that of any model covers.
        chance = rows.groupby("percentile").agg(low=("chance_low", "min"), high=("chance_high", "max")).dropna()
        if len(chance):
            axes.fill_between(chance.index, chance["low"], chance["high"], color=MUTED, alpha=0.25, lw=0, zorder=0,
                              label="chance")  # fmt: skip
        for label, curve in rows.groupby("model", sort=False):
            _draw_curve(axes, curve, styles[str(label)], band=len(styles) <= _MOST_BANDS)
        axes.set_title(explainer_label(str(explainer)), loc="left", pad=3)
        axes.grid(axis="y")
        axes.tick_params(labelbottom=True)
        axes.set_xticks([p for p in percentiles if len(percentiles) < 4 or p % 3 == 0 or p == percentiles[-1]])
    for axes in panels[by_explainer.ngroups :]:
        axes.set_visible(False)
    panels[0].set_ylim(0, _top(measure, block))
    panels[0].set_xlim(percentiles[0] - 0.3, percentiles[-1] + 0.3)
    part.supxlabel(_PERCENTILE, fontsize=7.5)
    part.supylabel(measure.label, fontsize=7.5)


def _references(measure: Measure, block: pd.DataFrame) -> pd.DataFrame:
    """References by percentile, averaged over models: those to beat, and the oracle where it is an upper bound."""
    names = [
        name
        for name in measure.references
        if name in measure.to_beat or (name == "oracle" and measure.family == "annotation")
    ]
    return block.groupby("percentile")[names].mean().dropna(axis="columns")


def _top(measure: Measure, block: pd.DataFrame) -> float:
    """Upper end of the axis: a reference above all curves, as the oracle may be, would squeeze them."""
    highest = pd.concat([block["mean"] + block["sd"].fillna(0), block["chance_high"], block["published"]]).max()
    top = 1.08 * max(0.0, highest) or 1.0
    references = _references(measure, block)
    return max([top, *(1.03 * references[name].max() for name in references if references[name].min() < top)])


def _draw_curve(axes: Axes, curve: pd.DataFrame, style: ModelStyle, band: bool) -> None:
    x, mean, spread = curve["percentile"], curve["mean"], curve["sd"]
    if band and spread.notna().any():
        axes.fill_between(x, mean - spread, mean + spread, color=style.colour, alpha=0.25, lw=0, label="sd")
    axes.plot(x, mean, color=style.colour, ls=style.line, lw=1.3, label="mean")
    published = curve.dropna(subset="published")
    if len(published):
        axes.plot(published["percentile"], published["published"], color=style.colour, ls=style.line, lw=0.6, alpha=0.6,
                  marker=".", ms=2.2, label="published")  # fmt: skip


def _key(blocks: Mapping[str, pd.DataFrame], styles: Mapping[str, ModelStyle]) -> tuple[list[Any], list[str]]:
    """What the lines and bands mean, of those that are drawn."""
    drawn = pd.concat(list(blocks.values()))
    several = len(styles) <= _MOST_BANDS and drawn["sd"].notna().any()
    entries: list[tuple[Any, str]] = []
    for label, style in styles.items():
        line = Line2D([], [], color=style.colour, ls=style.line, lw=1.3)
        handle = (Patch(color=style.colour, alpha=0.25, lw=0), line) if several else line
        entries.append((handle, f"{verbatim(label)} (mean ± sd)" if several else verbatim(label)))
    if drawn["published"].notna().any():
        entries.append((Line2D([], [], color=INK, lw=0.6, alpha=0.6, marker=".", ms=2.2), "published"))
    if drawn["chance_low"].notna().any():
        entries.append((Patch(color=MUTED, alpha=0.3, lw=0), "chance (90 % of shifts)"))
    lowest = {
        name: (values.min(), _top(MEASURES[key], block))
        for key, block in blocks.items()
        for name, values in _references(MEASURES[key], block).items()
    }
    for name, (value, top) in lowest.items():
        above = f" (above, ≥ {value:.2f})" if value > top else ""
        handle = Line2D([], [], color=MUTED, lw=0.8, ls=_REFERENCE_LINES[str(name)])
        entries.append((handle, REFERENCES[str(name)].lower() + above))
    return [handle for handle, _ in entries], [label for _, label in entries]
