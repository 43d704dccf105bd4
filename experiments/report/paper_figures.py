"""The paper's figures of a comparison, as vector PDFs in the sizes of a two-column paper."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from experiments.report.chance_bands import chance_band
from experiments.report.comparison import Comparison
from experiments.report.example_clips import common_examples
from experiments.report.figures import (
    Block,
    Curve,
    Panel,
    annotated_clip,
    attribution_comparison,
    choose_example,
    model_comparison,
    replacement_example,
    roc_curves,
    save_pdf,
)
from experiments.report.figures.style import explainer_label
from experiments.report.groups import Group
from experiments.report.published_curves import published_curve
from explainers.examples import Example

_PERCENTILE = 98

_AXES = {
    "f1": "F1",
    "frame": "Frame-based faithfulness",
    "segment": "Segment-based faithfulness",
    "deletion": "Error left, deletion",
    "insertion": "Error left, insertion",
}

_REFERENCES = {
    "f1": ("random_frames", "all_frames", "oracle"),
    "frame": ("random_frames",),
    "segment": ("random_frames",),
}
"""What is drawn beside the curves; replacing every frame is beyond any explanation's reach."""


def write_figures(comparison: Comparison, folder: Path) -> list[Path]:
    """Write every figure that the runs have results for into a folder, which is made if need be.

    Args:
        comparison: The runs.
        folder: Where the PDFs go; older ones of the same names are replaced, each at once.

    Returns:
        The files, in the order of the paper.

    Raises:
        OSError: If a file cannot be written.
    """
    return [save_pdf(figure, folder / f"{name}.pdf", comparison.mark.strip()) for name, figure in _figures(comparison)]


def comparison_figure(comparison: Comparison, measures: Sequence[str]) -> Figure | None:
    """Measures of all explained groups over percentiles (Figures 4 and 5), None where none was measured."""
    measured = {measure: comparison.measured(measure) for measure in measures}
    blocks = [_block(groups, measure, comparison.explainers) for measure, groups in measured.items() if groups]
    if not blocks:
        return None
    drawn = {label: group for groups in measured.values() for label, group in groups.items()}
    percentiles = next(iter(drawn.values())).percentiles_of(measures[0])
    return model_comparison(blocks, percentiles, {label: group.objective for label, group in drawn.items()})


def roc_figure(comparison: Comparison) -> Figure | None:
    """ROC of every group, None where the test clips are of one class, or a score is NaN."""
    if not all(run.clips.has_roc for run in comparison.runs.values()):
        return None
    return roc_curves(
        {label: (group.objective, [run.clips for run in group.runs]) for label, group in comparison.groups.items()}
    )


def _figures(comparison: Comparison) -> Iterator[tuple[str, Figure]]:
    yield from _clip_figures(comparison)
    over_percentiles = {
        "figure_4_f1": ("f1",),
        "figure_5_faithfulness": ("frame", "segment"),
        "deletion_and_insertion": ("deletion", "insertion"),
    }
    for name, measures in over_percentiles.items():
        figure = comparison_figure(comparison, measures)
        if figure is not None:
            yield name, figure
    roc = roc_figure(comparison)
    if roc is not None:
        yield "roc", roc


def _clip_figures(comparison: Comparison) -> Iterator[tuple[str, Figure]]:
    """Figures 1 to 3, of a broken board where there is one, as in the paper."""
    clips = sorted(common_examples(comparison), key=lambda clip: "broken" not in next(iter(clip.values())).anomaly_type)
    annotated = [clip for clip in clips if next(iter(clip.values())).annotation.any()]
    if annotated:
        label, example = next(iter(annotated[0].items()))
        yield "figure_1_annotation", annotated_clip(example, comparison.groups[label].runs[0].frames_per_second)
    if not clips:
        return
    pair = _one_of_each_objective(comparison, clips[0])
    last = list(pair)[-1]
    run = comparison.groups[last].runs[0]
    rate = run.frames_per_second
    chosen = choose_example((clip[last] for clip in clips), _PERCENTILE, rate)
    if chosen is not None:
        example, explainer = chosen
        figure = replacement_example(example, rate, _PERCENTILE, explainer, for_paper=True)
        yield "figure_2_replacement", figure
    shown = {label: (annotated or clips)[0][label] for label in pair}
    names = dict.fromkeys(name for example in shown.values() for name in example.attributions if name != "random")
    if names:
        yield "figure_3_attributions", attribution_comparison(shown, rate, list(names), _PERCENTILE)


def _one_of_each_objective(comparison: Comparison, labels: dict[str, Example]) -> dict[str, Group]:
    """The first group of up to two objectives, the AE before the MAE."""
    first: dict[str, str] = {}
    for label in labels:
        first.setdefault(comparison.groups[label].objective, label)
    chosen = [first[name] for name in ("AE", "MAE") if name in first] or list(first.values())[:2]
    return {label: comparison.groups[label] for label in chosen}


def _block(groups: dict[str, Group], measure: str, explainers: Sequence[str]) -> Block:
    panels = []
    for explainer in explainers:
        curves: dict[str, Curve] = {}
        published: set[str] = set()
        for label, group in groups.items():
            if np.isfinite(group.means(measure, explainer)).any():
                # One published curve an objective, whatever the settings.
                known = {} if group.objective in published else published_curve(group, measure, explainer)
                published.add(group.objective)
                chance = chance_band(group, measure, explainer) if measure in _REFERENCES else None
                curves[label] = Curve(group.means(measure, explainer), chance, known)
        if curves:
            panels.append(Panel(explainer_label(explainer), curves))
    references = {}
    for name in _REFERENCES.get(measure, ()):
        values = np.concatenate([group.reference(measure, name) for group in groups.values()])
        if np.isfinite(values).all():
            references[name] = values.mean(axis=0)
    return Block(_AXES[measure], panels, references)
