"""What is left of a clip when the seconds that an explainer points at become normal (paper Figure 2)."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from experiments.report.figures.attributions import clip_title
from experiments.report.figures.panels import (
    Mask,
    Stack,
    annotation_key,
    bracket,
    clip_peaks,
    draw_curve,
    draw_spectrogram,
    intervals,
    peak_key,
    shade,
)
from experiments.report.figures.style import COLUMN_WIDTH, WIDTH, explainer_colour, explainer_label, readable, styled
from explainers.examples import Example
from metrics.functional import segment_mask

_REPLACED = "#2a7f9e"


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
    """The first clip in which there is something to replace, and the explainer that says so.

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
    percentile: int = 98,
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
        stack.title(clip_title(example, model), " · ".join(filter(None, detail)))
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
