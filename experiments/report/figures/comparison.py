"""Models side by side over percentiles, with the spread of their runs and the level of chance (Figures 4 and 5)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.legend_handler import HandlerTuple
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from numpy.typing import NDArray

from experiments.report.figures.percentiles import PERCENTILE
from experiments.report.figures.style import (
    INK,
    MUTED,
    TEXT_WIDTH,
    LineStyle,
    ModelStyle,
    model_styles,
    styled,
    verbatim,
)

Floats = NDArray[np.float64]

_MAX_COLUMNS = 4
_MOST_BANDS = 4
"""Models up to which bands don't hide each other."""

_REFERENCES: dict[str, tuple[str, LineStyle]] = {
    "random_frames": ("random frames", (0, (5, 1.5, 1, 1.5))),
    "all_frames": ("all frames", (0, (1, 2.2))),
    "oracle": ("oracle", (0, (7, 2))),
}


@dataclass(frozen=True)
class Curve:
    """A measure of one model and explainer over P percentiles.

    Attributes:
        values: (R, P), one row a run.
        chance: (2, P), lower and upper bound of the mean of circularly shifted curves; None where it is not known.
        published: Value by percentile, read off the paper's figure; empty where it has none.
    """

    values: Floats
    chance: Floats | None = None
    published: Mapping[int, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Panel:
    """One explainer.

    Attributes:
        title: What the panel is headed.
        curves: By the model's label.
    """

    title: str
    curves: Mapping[str, Curve]


@dataclass(frozen=True)
class Block:
    """One measure: a panel an explainer.

    Attributes:
        measure: What the axis is called.
        panels: In the order of the figure.
        references: Value over percentiles (P,) of what depends on no explainer.
    """

    measure: str
    panels: Sequence[Panel]
    references: Mapping[str, Floats] = field(default_factory=dict)


@styled
def model_comparison(blocks: Sequence[Block], percentiles: Sequence[int], models: Mapping[str, str]) -> Figure:
    """Draw each measure as a block of panels, one an explainer, with a line and a band a model.

    Lines are means over runs and bands their standard deviations; grey bands are the level of chance and thin lines
    what was published.

    Args:
        blocks: The measures.
        percentiles: The percentiles that the curves are over.
        models: Objective by the model's label.
    """
    columns = _columns(max(len(block.panels) for block in blocks))
    rows = [-(-len(block.panels) // columns) for block in blocks]
    heights = [1.22 * n + 0.42 for n in rows]
    figure = Figure(figsize=(TEXT_WIDTH, sum(heights) + 0.42), layout=ConstrainedLayoutEngine(w_pad=0.03, h_pad=0.03))
    parts = figure.subfigures(len(blocks), 1, height_ratios=heights, squeeze=False)[:, 0]
    styles = model_styles(models)
    for part, block, n in zip(parts, blocks, rows, strict=True):
        _draw_block(part, block, percentiles, styles, (n, columns))
    handles, labels = _key(blocks, percentiles, styles)
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
    part: SubFigure, block: Block, percentiles: Sequence[int], styles: Mapping[str, ModelStyle], shape: tuple[int, int]
) -> None:
    panels = part.subplots(*shape, squeeze=False, sharex=True, sharey=True).flatten()
    for axes, panel in zip(panels, block.panels, strict=False):
        for name, values in block.references.items():
            axes.plot(percentiles, values, color=MUTED, lw=0.8, ls=_REFERENCES[name][1], label=name)
        _draw_chance(axes, panel, percentiles)
        for label, curve in panel.curves.items():
            _draw_curve(axes, curve, percentiles, styles[label], band=len(styles) <= _MOST_BANDS)
        axes.set_title(panel.title, loc="left", pad=3)
        axes.grid(axis="y")
        axes.tick_params(labelbottom=True)
        axes.set_xticks([p for p in percentiles if len(percentiles) < 4 or p % 3 == 0 or p == percentiles[-1]])
    for axes in panels[len(block.panels) :]:
        axes.set_visible(False)
    panels[0].set_ylim(0, _top(block, percentiles))
    panels[0].set_xlim(percentiles[0] - 0.3, percentiles[-1] + 0.3)
    part.supxlabel(PERCENTILE, fontsize=7.5)
    part.supylabel(block.measure, fontsize=7.5)


def _top(block: Block, percentiles: Sequence[int]) -> float:
    """Upper end of the axis: a reference that stands above all curves, as the oracle may, would squeeze them."""
    curves = [curve for panel in block.panels for curve in panel.curves.values()]
    highest = [float(np.nanmax(curve.values.mean(axis=0) + _spread(curve.values))) for curve in curves]
    highest += [float(curve.chance.max()) for curve in curves if curve.chance is not None]
    highest += [curve.published[p] for curve in curves for p in percentiles if p in curve.published]
    top = 1.08 * max([0.0, *(value for value in highest if np.isfinite(value))]) or 1.0
    return max([top, *(1.03 * float(np.max(values)) for values in block.references.values() if np.min(values) < top)])


def _draw_chance(axes: Axes, panel: Panel, percentiles: Sequence[int]) -> None:
    """Shade what the null of any model of the panel covers: the nulls of two models nearly coincide."""
    bounds = [curve.chance for curve in panel.curves.values() if curve.chance is not None]
    if bounds:
        lower, upper = np.min([low for low, _ in bounds], axis=0), np.max([high for _, high in bounds], axis=0)
        axes.fill_between(percentiles, lower, upper, color=MUTED, alpha=0.25, lw=0, zorder=0, label="chance")


def _draw_curve(axes: Axes, curve: Curve, percentiles: Sequence[int], style: ModelStyle, band: bool) -> None:
    mean, spread = curve.values.mean(axis=0), _spread(curve.values)
    if band and len(curve.values) > 1:
        axes.fill_between(percentiles, mean - spread, mean + spread, color=style.colour, alpha=0.25, lw=0, label="sd")
    axes.plot(percentiles, mean, color=style.colour, ls=style.line, lw=1.3, label="mean")
    if curve.published:
        shown = [p for p in percentiles if p in curve.published]
        axes.plot(shown, [curve.published[p] for p in shown], color=style.colour, ls=style.line, lw=0.6, alpha=0.6,
                  marker=".", ms=2.2, label="published")  # fmt: skip


def _spread(values: Floats) -> Floats:
    """Standard deviation over runs at each percentile (P,), 0 for one run."""
    return values.std(axis=0, ddof=1) if len(values) > 1 else np.zeros(values.shape[1])


def _key(
    blocks: Sequence[Block], percentiles: Sequence[int], styles: Mapping[str, ModelStyle]
) -> tuple[list[Any], list[str]]:
    """What the lines and bands mean, of those that are drawn."""
    drawn = [curve for block in blocks for panel in block.panels for curve in panel.curves.values()]
    several = len(styles) <= _MOST_BANDS and any(len(curve.values) > 1 for curve in drawn)
    entries: list[tuple[Any, str]] = []
    for label, style in styles.items():
        line = Line2D([], [], color=style.colour, ls=style.line, lw=1.3)
        handle = (Patch(color=style.colour, alpha=0.25, lw=0), line) if several else line
        entries.append((handle, f"{verbatim(label)} (mean ± sd)" if several else verbatim(label)))
    if any(curve.published for curve in drawn):
        entries.append((Line2D([], [], color=INK, lw=0.6, alpha=0.6, marker=".", ms=2.2), "published"))
    if any(curve.chance is not None for curve in drawn):
        entries.append((Patch(color=MUTED, alpha=0.3, lw=0), "chance (90 % of shifts)"))
    references = {name: (values, block) for block in blocks for name, values in block.references.items()}
    for name, (values, block) in references.items():
        label, line_style = _REFERENCES[name]
        above = f" (above, ≥ {np.min(values):.2f})" if np.min(values) > _top(block, percentiles) else ""
        entries.append((Line2D([], [], color=MUTED, lw=0.8, ls=line_style), label + above))
    return [handle for handle, _ in entries], [label for _, label in entries]
