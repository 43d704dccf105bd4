"""A clip, its annotation and attribution maps, and its frames replaced by the reconstruction (paper Figures 1 to 3)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from experiments.report.figures.panels import (
    Mask,
    Stack,
    annotation_key,
    bracket,
    clip_peaks,
    draw_curve,
    draw_map,
    draw_spectrogram,
    intervals,
    peak_key,
    shade,
)
from experiments.report.figures.style import (
    COLUMN_WIDTH,
    TEXT_WIDTH,
    WIDTH,
    explainer_colour,
    readable,
    styled,
    verbatim,
)
from explainers.examples import Example
from explainers.registry import explainer_label, explainer_unit
from metrics.functional import segment_mask
from metrics.measures import HEADLINE_PERCENTILE

_REPLACED = "#2a7f9e"


@styled
def attribution_grid(
    example: Example, frames_per_second: float, percentile: int = HEADLINE_PERCENTILE, model: str = ""
) -> Figure:
    """Draw the spectrogram of a clip over one panel per explainer: its map and, below, its frame curve.

    All panels share the time axis. Maps that are signed have colours symmetric about 0; colour limits leave out the
    most extreme 0.5 % of the values.

    Args:
        example: The clip, with its maps (F, T).
        frames_per_second: Frame rate of the spectrogram.
        percentile: Frames at or above this percentile of a curve are marked as peaks.
        model: What the title calls the model.
    """
    n = len(example.attributions)
    stack = Stack(heights=[0.95, *[0.75, 0.36] * n], gaps=[0.7, *[0.31, 0.05] * n])
    start = f"from {example.first_frame / frames_per_second:.1f} s" if example.first_frame else ""
    detail = (readable(example.anomaly_type), start, f"score {example.score:.3g} dB²")
    stack.title(_clip_title(example, model), " · ".join(filter(None, detail)))
    top = stack.axes[0]
    image = draw_spectrogram(top, example.spectrogram, example, frames_per_second)
    stack.colour_bar(image, top, "dB")
    top.set_title("Spectrogram", loc="left", pad=6)
    bracket(top, intervals(example.annotation, frames_per_second))

    for name, *axes in zip(example.attributions, stack.axes[1::2], stack.axes[2::2], strict=True):
        axes[0].set_title(explainer_label(name), loc="left", pad=6)
        image, unit = _draw_attribution(axes, example, name, percentile, frames_per_second)
        stack.colour_bar(image, axes[0], unit)
    annotated = [annotation_key()] if example.annotation.any() else []
    stack.key([*annotated, peak_key(percentile)] if n else annotated)
    return stack.figure


@styled
def annotated_clip(example: Example, frames_per_second: float) -> Figure:
    """Draw the spectrogram of a clip with its annotated intervals, one column of a paper wide (Figure 1).

    Args:
        example: The clip.
        frames_per_second: Frame rate of the spectrogram.
    """
    stack = Stack(heights=[1.15], gaps=[0.16], bottom=0.6, width=COLUMN_WIDTH)
    image = draw_spectrogram(stack.axes[0], example.spectrogram, example, frames_per_second)
    stack.colour_bar(image, stack.axes[0], "dB")
    bracket(stack.axes[0], intervals(example.annotation, frames_per_second))
    stack.key([annotation_key()])
    return stack.figure


@styled
def attribution_comparison(
    examples: Mapping[str, Example],
    frames_per_second: float,
    explainers: Sequence[str],
    percentile: int = HEADLINE_PERCENTILE,
) -> Figure:
    """Draw what explainers say about one clip, one column per model, both columns of a paper wide (Figure 3).

    Every map has its own colour scale, as only its shape compares.

    Args:
        examples: The clip with its maps (F, T), by the model's label.
        frames_per_second: Frame rate of the spectrogram.
        explainers: Which maps, from top to bottom; one that a model lacks stays empty.
        percentile: Frames at or above this percentile of a curve are marked as peaks.
    """
    n = len(explainers)
    stack = Stack([0.5, *[0.38, 0.24] * n], [0.36, *[0.24, 0.03] * n], 0.58, TEXT_WIDTH, len(examples), False)
    for (label, example), column in zip(examples.items(), stack.columns, strict=True):
        draw_spectrogram(column[0], example.spectrogram, example, frames_per_second)
        bracket(column[0], intervals(example.annotation, frames_per_second))
        column[0].set_title(f"{verbatim(label)} · spectrogram", loc="left", pad=5, fontweight="bold")
        for name, *panels in zip(explainers, column[1::2], column[2::2], strict=True):
            panels[0].set_title(explainer_label(name), loc="left", pad=5, fontsize=7.5)
            if name in example.attributions:
                _draw_attribution(panels, example, name, percentile, frames_per_second)
            for axes in panels:
                axes.set_ylabel("")
                axes.set_yticks([])
        column[0].set_ylabel("Mel band", fontsize=7)
    stack.key([annotation_key(), peak_key(percentile)])
    return stack.figure


def replaced_frames(example: Example, explainer: str, percentile: int, frames_per_second: float) -> Mask:
    """The frames (T,) that faithfulness replaces: segment-based, or the peaks alone where nothing is annotated."""
    _, peaks = clip_peaks(example, explainer, percentile)
    if not example.annotation.any():
        return peaks
    frames = segment_mask(torch.from_numpy(peaks), torch.from_numpy(example.annotation), frames_per_second)
    return frames.numpy()


def choose_example(
    examples: Iterable[Example], percentile: int, frames_per_second: float
) -> tuple[Example, str] | None:
    """The first clip in which there is something to replace, and the explainer by which there is.

    That is the error map where it was made, as in the paper, otherwise the clip's first explainer.
    """
    for example in examples:
        explainers = sorted(example.attributions, key=lambda name: name != "error_map")
        if explainers and replaced_frames(example, explainers[0], percentile, frames_per_second).any():
            return example, explainers[0]
    return None


@styled
def replacement_example(
    example: Example,
    frames_per_second: float,
    percentile: int = HEADLINE_PERCENTILE,
    explainer: str = "error_map",
    model: str = "",
    for_paper: bool = False,
) -> Figure:
    """Draw a clip x, the frame curve that selects frames, and x̃ with these taken from the reconstruction.

    Args:
        example: The clip, with a map (F, T) of the explainer.
        frames_per_second: Frame rate of the spectrogram.
        percentile: Frames at or above this percentile of the curve are peaks.
        explainer: Whose map selects frames.
        model: What the title calls the model.
        for_paper: One column of a paper wide and without a title, which the caption is for.
    """
    frames = replaced_frames(example, explainer, percentile, frames_per_second)
    annotated, replaced = (intervals(mask, frames_per_second) for mask in (example.annotation, frames))
    curve, peaks = clip_peaks(example, explainer, percentile)

    if for_paper:
        stack = Stack(heights=[0.7, 0.5, 0.7], gaps=[0.24, 0.27, 0.27], bottom=0.6, width=COLUMN_WIDTH)
    else:
        stack = Stack(heights=[1.15, 0.85, 1.15], gaps=[0.7, 0.38, 0.42], width=WIDTH)
        of_clip = f"{frames.sum() / frames_per_second:.3g} of {len(frames) / frames_per_second:.3g} s replaced"
        detail = (readable(example.anomaly_type), f"{of_clip} by the reconstruction")
        stack.title(_clip_title(example, model), " · ".join(filter(None, detail)))
    original, middle, result = stack.axes

    image = draw_spectrogram(original, example.spectrogram, example, frames_per_second)
    stack.colour_bar(image, original, "dB")
    original.set_title("Recording $x$", loc="left", pad=6)
    bracket(original, annotated)

    draw_curve(middle, curve, peaks, frames_per_second, explainer_colour(explainer))
    shade(middle, annotated)
    middle.set_title(f"{explainer_label(explainer)}, summed over frequency", loc="left", pad=6)

    spectrogram = np.where(frames, example.reconstruction, example.spectrogram)
    image = draw_spectrogram(result, spectrogram, example, frames_per_second)
    stack.colour_bar(image, result, "dB")
    result.set_title("Recording with the replaced frames $\\tilde{x}$", loc="left", pad=6)
    bracket(result, replaced, _REPLACED)
    keys = [annotation_key()] if annotated else []
    stack.key([*keys, peak_key(percentile), Patch(color=_REPLACED, label="replaced")])
    return stack.figure


def _clip_title(example: Example, model: str) -> str:
    return " · ".join(filter(None, (model, Path(example.name).stem)))


def _draw_attribution(
    axes: Sequence[Axes], example: Example, name: str, percentile: int, frames_per_second: float
) -> tuple[Any, str]:
    """Draw a map and, in the second axes, its frame curve; returns the map's image and the unit of its colours."""
    attribution, spans = example.attributions[name], intervals(example.annotation, frames_per_second)
    signed = bool((attribution < 0).any())
    limit = float(np.percentile(np.abs(attribution), 99.5)) or 1.0
    power = math.floor(math.log10(limit))
    power = power if not -2 < power < 3 else 0  # labels of the colour bar are short anyway
    low, colours = (-limit, "RdBu_r") if signed else (0.0, "viridis")
    scale = {"cmap": colours, "vmin": low / 10**power, "vmax": limit / 10**power}
    image = draw_map(axes[0], attribution / 10**power, frames_per_second, **scale)
    bracket(axes[0], spans)
    draw_curve(axes[1], *clip_peaks(example, name, percentile), frames_per_second, explainer_colour(name))
    shade(axes[1], spans)
    unit = explainer_unit(name)
    return image, f"$10^{{{power}}}$ {unit}" if power else unit
