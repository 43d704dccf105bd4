"""The paper's figures of a comparison, as vector PDFs in the sizes of a two-column paper."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from matplotlib.figure import Figure

from experiments.report.comparison import Comparison
from experiments.report.evidence import Evidence
from experiments.report.figures.clips import (
    annotated_clip,
    attribution_comparison,
    choose_example,
    replacement_example,
)
from experiments.report.figures.curves import curve_figures, model_comparison
from experiments.report.figures.length import quality_by_length
from experiments.report.figures.output import save
from experiments.report.figures.performance import roc_curves
from experiments.report.training import length_curves
from metrics.measures import HEADLINE_PERCENTILE, MEASURES

_FILES = {"f1": "figure_4_f1", "faithfulness": "figure_5_faithfulness", "deletion": "deletion_and_insertion"}
"""Files of figures over percentiles whose name is not the figure's own."""


def write_figures(comparison: Comparison, evidence: Evidence, folder: Path) -> list[Path]:
    """Write every figure that the runs have results for into a folder, which is created if needed.

    Args:
        comparison: The runs.
        evidence: What was measured on them.
        folder: Folder of the PDFs; existing ones of the same names are replaced, each at once.

    Returns:
        The files, in the order of the paper.

    Raises:
        OSError: If a file cannot be written.
    """
    figures = dict(_clip_figures(comparison))
    for name, measures in curve_figures().items():
        figure = comparison_figure(comparison, evidence, measures)
        figures |= {_FILES.get(name, name): figure} if figure is not None else {}
    figures |= {f"training_length_{measure}": figure for measure, figure in length_figures(comparison).items()}
    roc = roc_figure(comparison)
    figures |= {"roc": roc} if roc is not None else {}
    mark = comparison.mark.strip()
    return [save(figure, folder / f"{name}.pdf", mark) for name, figure in figures.items()]


def comparison_figure(comparison: Comparison, evidence: Evidence, measures: Sequence[str]) -> Figure | None:
    """Measures of all models over percentiles, as in Figures 4 and 5; None where none was measured."""
    objectives = {label: model.objective for label, model in comparison.models.items()}
    return model_comparison(evidence.explanations, measures, objectives)


def length_figures(comparison: Comparison) -> dict[str, Figure]:
    """Quality against training length, by the measure of explanations; empty where no run has a curve."""
    curves = length_curves(comparison)
    objectives = {label: model.objective for label, model in comparison.models.items()}
    figures = {key: quality_by_length(curves, key, objectives) for key, measure in MEASURES.items() if measure.headline}
    return {key: figure for key, figure in figures.items() if figure is not None}


def roc_figure(comparison: Comparison) -> Figure | None:
    """ROC of every model, None if the test clips are of one class, or a score is NaN."""
    if not comparison.has_roc:
        return None
    models = comparison.models.items()
    return roc_curves({label: (model.objective, [run.clips for run in model.runs]) for label, model in models})


def _clip_figures(comparison: Comparison) -> Iterator[tuple[str, Figure]]:
    """Figures 1 to 3, of a broken board where there is one, as in the paper."""
    clips = sorted(
        comparison.common_examples(), key=lambda clip: "broken" not in next(iter(clip.values())).anomaly_type
    )
    if not clips:
        return
    labels = _one_of_each_objective(comparison, list(clips[0]))
    rate = comparison.models[labels[-1]].runs[0].frames_per_second
    annotated = [clip for clip in clips if next(iter(clip.values())).annotation.any()]
    if annotated:
        yield "figure_1_annotation", annotated_clip(next(iter(annotated[0].values())), rate)
    chosen = choose_example((clip[labels[-1]] for clip in clips), HEADLINE_PERCENTILE, rate)
    if chosen is not None:
        example, explainer = chosen
        yield "figure_2_replacement", replacement_example(example, rate, explainer=explainer, for_paper=True)
    shown = {label: (annotated or clips)[0][label] for label in labels}
    names = dict.fromkeys(name for example in shown.values() for name in example.attributions if name != "random")
    if names:
        yield "figure_3_attributions", attribution_comparison(shown, rate, list(names))


def _one_of_each_objective(comparison: Comparison, labels: Sequence[str]) -> list[str]:
    """The first model of up to two objectives, the AE before the MAE."""
    first: dict[str, str] = {}
    for label in labels:
        first.setdefault(comparison.models[label].objective, label)
    return [first[name] for name in ("AE", "MAE") if name in first] or list(first.values())[:2]
