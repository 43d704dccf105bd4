"""Figures of a data set: levels, spectra, durations, and where annotations lie."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullLocator

from datamodules.description import Measured, Survey
from datamodules.description.measure import THIRD_OCTAVES_HZ
from datamodules.description.survey import NORMAL, TRAINING
from experiments.commands.describe.clips import SOUND, Array, Kind, kinds_of
from experiments.report.figures.style import INK, readable, styled, verbatim

_TRAINING, _NORMAL = "#8d99a6", "#0072b2"
_ANOMALIES = ("#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7a2e00")

_MOST_DOTS = 400
"""Clips of a kind that are drawn; more would be a bar of colour."""

_MOST_BARS = 60
"""Annotated clips that are drawn one above the other."""

_MOST_SPECTRA = 6
"""Kinds of clips whose spectra one pair of axes tells apart."""


@styled
def level_figure(survey: Survey, medium: str) -> Figure | None:
    """Draw level and peak of every clip as a dot, one line per kind, with the median as a bar.

    Args:
        survey: The data set.
        medium: Recordings or spectrograms.

    Returns:
        The figure; ``None`` if every clip is silent.
    """
    kinds = [kind for kind in kinds_of(survey.clips) if kind.audible(medium)]
    if not kinds:
        return None
    figure = Figure(figsize=(7.6, 0.9 + 0.42 * len(kinds)), layout="constrained")
    level, peak = figure.subplots(1, 2, sharey=True)
    names = ("RMS (dBFS)", "Peak (dBFS)") if medium == SOUND else ("Mean (dB)", "Largest value (dB)")
    _draw_dots(level, kinds, [np.array([one.level_db for one in kind.audible(medium)]) for kind in kinds], names[0])
    _draw_dots(peak, kinds, [np.array([one.peak_db for one in kind.audible(medium)]) for kind in kinds], names[1])
    level.set_yticks(range(len(kinds)), [verbatim(kind.label) for kind in kinds])
    level.invert_yaxis()
    return figure


@styled
def spectrum_figure(survey: Survey, medium: str, bands: int) -> Figure | None:
    """Draw the median spectrum of each kind, in a band with the middle 80 % of its clips.

    Args:
        survey: The data set.
        medium: Recordings or spectrograms.
        bands: Number of bands of the spectra to draw; others are not comparable.

    Returns:
        The figure; ``None`` if no clip is long enough for a spectrum.
    """
    spectra = [(kind, _spectra(kind.audible(medium), bands)) for kind in kinds_of(survey.clips)]
    drawn = [(kind, values) for kind, values in spectra if values.size][:_MOST_SPECTRA]
    if not drawn:
        return None
    figure = Figure(figsize=(7.6, 3.3), layout="constrained")
    axes = figure.add_subplot()
    x = THIRD_OCTAVES_HZ if medium == SOUND else np.arange(1, bands + 1, dtype=float)
    for (kind, values), colour in zip(drawn, _colours([kind for kind, _ in drawn]), strict=True):
        low, median, high = np.percentile(values, (10, 50, 90), axis=0)
        axes.fill_between(x, low, high, color=colour, alpha=0.15, lw=0)
        axes.plot(x, median, color=colour, label=verbatim(kind.label))
    if medium == SOUND:
        axes.set_xscale("log")
        axes.set_xticks([63, 125, 250, 500, 1000, 2000, 4000, 8000, 16000])
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(
            FuncFormatter(lambda hertz, _: f"{hertz:g}" if hertz < 1000 else f"{hertz / 1000:g}k")
        )
        # A band that some clips of every kind are sampled too slowly for has no line.
        shown = x[np.any([np.isfinite(values).all(axis=0) for _, values in drawn], axis=0)]
        axes.set(xlim=(shown[0], shown[-1]), xlabel="Third octave (Hz)", ylabel="Level (dBFS)")
    else:
        axes.set(xlim=(1, bands), xlabel="Band", ylabel="Mean over frames (dB)")
    axes.grid(axis="y")
    figure.legend(loc="outside right upper")
    return figure


@styled
def duration_figure(survey: Survey) -> Figure | None:
    """Draw how many clips last how long, by split; nothing where all last the same."""
    kinds = kinds_of(survey.clips)
    splits = list(dict.fromkeys(kind.split for kind in kinds))
    seconds = [
        np.concatenate([kind.values(lambda one: one.seconds) for kind in kinds if kind.split == split])
        for split in splits
    ]
    every = np.concatenate(seconds)
    if every.size == 0 or np.ptp(every) < 0.0005:
        return None
    figure = Figure(figsize=(7.6, 2.2), layout="constrained")
    axes = figure.add_subplot()
    edges = np.histogram_bin_edges(every, bins=40)
    for of_split, split in zip(seconds, splits, strict=True):
        colour = _TRAINING if split == TRAINING else _NORMAL
        axes.hist(of_split, edges.tolist(), histtype="stepfilled", color=colour, alpha=0.55, label=split)
    axes.set_yscale("log")  # one odd clip has to be seen beside thousands
    axes.set(xlabel="Duration (s)", ylabel="Clips", ylim=(0.7, None))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda count, _: f"{count:g}"))
    axes.legend(loc="best")
    return figure


@styled
def annotation_figure(survey: Survey) -> Figure | None:
    """Draw the annotated intervals of each annotated clip, one clip above the other, types in colours."""
    kinds = [kind for kind in kinds_of(survey.clips) if kind.name != NORMAL]
    colours = dict(zip((kind.name for kind in kinds), _colours(kinds), strict=True))
    annotated = [clip for kind in kinds for clip in kind.clips if clip.clip.intervals and clip.measured]
    if not annotated:
        return None
    shown = annotated[:: -(-len(annotated) // _MOST_BARS)]
    figure = Figure(figsize=(5.6, 0.9 + 0.085 * len(shown)), layout="constrained")
    axes = figure.add_subplot()
    for row, clip in enumerate(shown):
        seconds = clip.measured.seconds if clip.measured else 0.0
        axes.broken_barh([(0, seconds)], (row - 0.4, 0.8), color="#eef1f4", lw=0)
        spans = [(start, end - start) for start, end in clip.clip.intervals]
        axes.broken_barh(spans, (row - 0.4, 0.8), color=colours[clip.kind], lw=0)
    axes.set(xlabel="Time in the clip (s)", ylabel="Annotated clips", ylim=(len(shown) - 0.5, -0.5))
    axes.set_yticks([])
    axes.margins(x=0)
    present = [name for name in colours if any(clip.kind == name for clip in shown)]
    figure.legend(handles=[Patch(color=colours[name], label=verbatim(readable(name))) for name in present],
                  loc="outside right upper")  # fmt: skip
    return figure


def _draw_dots(axes: Axes, kinds: Sequence[Kind], values: Sequence[Array], name: str) -> None:
    scatter = np.random.default_rng(0)
    for row, (of_kind, colour) in enumerate(zip(values, _colours(kinds), strict=True)):
        drawn = of_kind if of_kind.size <= _MOST_DOTS else scatter.choice(of_kind, _MOST_DOTS, replace=False)
        # The ends are always drawn: outliers are what readers need to see.
        drawn = np.union1d(drawn, [of_kind.min(), of_kind.max()])
        height = row + scatter.uniform(-0.28, 0.28, drawn.size)
        axes.plot(drawn, height, ls="", marker="o", ms=2.6, mew=0, alpha=0.55, color=colour)
        median = float(np.median(of_kind))
        axes.plot([median, median], [row - 0.38, row + 0.38], color=INK, lw=1.6)
    axes.set_xlabel(name)
    axes.xaxis.set_major_locator(MaxNLocator(6))
    axes.grid(axis="x")
    axes.tick_params(axis="y", length=0)


def _spectra(measured: Sequence[Measured], bands: int) -> Array:
    """(clips, bands) of the clips that have as many bands, those too short for a spectrum left out."""
    fitting = [one.spectrum for one in measured if len(one.spectrum) == bands and np.isfinite(one.spectrum).any()]
    return np.array(fitting, dtype=float)


def _colours(kinds: Sequence[Kind]) -> list[str]:
    anomalies = iter(_ANOMALIES * len(kinds))
    return [
        (_TRAINING if kind.split == TRAINING else _NORMAL) if kind.name == NORMAL else next(anomalies) for kind in kinds
    ]
