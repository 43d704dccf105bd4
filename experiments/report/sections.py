"""The sections of the page, each drawn from the comparison alone; one without data is left out."""

from __future__ import annotations

from typing import Any

from omegaconf import OmegaConf

from experiments.report.comparison import Comparison
from experiments.report.example_clips import common_examples
from experiments.report.figures import attribution_grid, choose_example, learning_curves, replacement_example
from experiments.report.figures.style import readable
from experiments.report.fragments import (
    Section,
    clip_heading,
    details,
    figure_html,
    folded,
    paragraph,
    side_by_side,
    table_html,
)
from experiments.report.interactive import explorer_html
from experiments.report.paper_figures import comparison_figure, roc_figure
from experiments.report.tables import MISSING, Cell, Table, data_tables, detection_tables, explanation_tables
from experiments.runs.results import Run
from explainers.examples import Example

_MAX_GRIDS = 6
"""Attribution grids on a page, up to 300 kB each."""

_MAX_MODELS = 4
"""Models whose maps stand side by side."""

_MAX_PANELS = 12
"""Learning curves on a page."""

_PEAK_PERCENTILE = 98

_STATIC = {
    ("f1",): "F1 of the seconds that hold a peak against the annotated seconds, by the percentile that makes a frame "
    "a peak. Higher is better.",
    ("frame", "segment"): "Faithfulness, the share of the reconstruction error that goes away with what an explainer "
    "points at, by the percentile that makes a frame a peak. Higher is better.",
}


def data_section(comparison: Comparison) -> Section:
    """How many clips of which type there are."""
    return Section("Data", "".join(table_html(table, heading=False) for table in data_tables(comparison)))


def detection_section(comparison: Comparison) -> Section:
    """AUC and ROC."""
    first, *others = detection_tables(comparison)
    tables = table_html(first, heading=False) + "".join(table_html(table) for table in others)
    roc = roc_figure(comparison)
    if roc is None:
        return Section(
            "Detection", tables + paragraph("There is no ROC: the test clips are of one class, or a score is NaN.")
        )
    caption = "Share of anomalous clips found against share of normal clips reported, over all thresholds of the score."
    return Section("Detection", tables + figure_html(roc, caption + comparison.mark))


def explanation_section(comparison: Comparison) -> Section | None:
    """Measures of explanations: figures to switch, and tables, the long ones folded."""
    tables = explanation_tables(comparison)
    if not tables:
        return None
    explorer = explorer_html(comparison, _static_figures(comparison))
    html = "".join(table_html(table) for table in tables if table.brief != ())
    html += "".join(folded(table) for table in tables if table.brief == ())
    return Section("Explanations", explorer + html, interactive=bool(explorer))


def _static_figures(comparison: Comparison) -> str:
    figures = {caption: comparison_figure(comparison, measures) for measures, caption in _STATIC.items()}
    return "".join(
        figure_html(figure, caption + comparison.mark, "webp")
        for caption, figure in figures.items()
        if figure is not None
    )


def example_section(comparison: Comparison) -> Section | None:
    """Attribution grids, models next to each other, clip after clip; of a model with several runs the first."""
    clips = [_few(of_models) for of_models in common_examples(comparison)]
    parts = []
    for of_models in clips[: max(1, _MAX_GRIDS // len(clips[0]))] if clips else []:
        example = next(iter(of_models.values()))
        kind = readable(example.anomaly_type).capitalize() or "Clip"
        grids = [
            figure_html(
                attribution_grid(shown, _run(comparison, label).frames_per_second, _PEAK_PERCENTILE, label),
                caption="",
                format="webp",
                alternative=f"Spectrogram of {shown.name} and attribution maps of {label}",
            )
            for label, shown in of_models.items()
        ]
        parts.append(clip_heading(example.name, kind) + side_by_side(grids))
    if not parts:
        return None
    intro = paragraph(
        "Each map says where in time and frequency the score of the clip comes from; the curve below it is its sum "
        "over frequency, and circles are the frames taken for peaks. A signed map is red where it raises the score "
        "and blue where it lowers it. Colours are scaled for each map; circles inside the shaded interval agree with "
        "the annotation." + comparison.mark
    )
    return Section("Example clips", intro + "".join(parts))


def replacement_section(comparison: Comparison) -> Section | None:
    """One clip before and after the explained frames are replaced, for a few models."""
    for of_models in map(_few, common_examples(comparison)):
        chosen = {
            label: choose_example([example], _PEAK_PERCENTILE, _run(comparison, label).frames_per_second)
            for label, example in of_models.items()
        }
        if any(chosen.values()):
            break
    else:
        return None
    figures = [
        figure_html(_replacement(_run(comparison, label), label, *found), caption="", format="webp",
                    alternative=f"{found[0].name} before and after replacement, {label}")
        for label, found in chosen.items() if found is not None
    ]  # fmt: skip
    caption = paragraph(
        "Faithfulness asks what becomes of the score when what an explainer points at becomes normal: the marked "
        "frames of the recording are taken from the model's reconstruction. All spectrograms of a clip share one "
        "colour scale." + comparison.mark
    )
    missing = [label for label, found in chosen.items() if found is None]
    note = paragraph(f"{', '.join(missing)}: no peak falls into an annotated second.") if missing else ""
    return Section("Replacement", caption + side_by_side(figures) + note)


def training_section(comparison: Comparison) -> Section | None:
    """Learning curves, of a model with several runs those of the first."""
    first = {label: _run(comparison, label) for label in comparison.groups}
    curves = {label: run.learning for label, run in first.items() if run.learning is not None}
    if not curves:
        return None
    shown = dict(list(curves.items())[:_MAX_PANELS])
    caption = (
        "Loss by epoch on training clips and on held-out normal clips; the circle is the epoch whose weights were "
        "kept. The MAE's loss counts hidden patches only, so losses of different objectives don't compare."
    )
    if any(len(group.runs) > 1 for group in comparison.groups.values()):
        caption += " The first run of each model is shown."
    if len(shown) < len(curves):
        caption += f" {len(shown)} of {len(curves)} models are shown."
    return Section("Training", figure_html(learning_curves(shown), caption))


def configuration_section(comparison: Comparison) -> Section:
    """What differs between the models' settings, and the configuration of each one's first run in full."""
    flat = {label: _flatten(_run(comparison, label).config) for label in comparison.groups}
    keys = list(dict.fromkeys(key for settings in flat.values() for key in settings))
    differing = [key for key in keys if len({settings.get(key, MISSING) for settings in flat.values()}) > 1]
    html = ""
    if differing:
        rows = tuple(
            (Cell(key), *(Cell(settings.get(key, MISSING)) for settings in flat.values())) for key in differing
        )
        note = "Settings that are the same in all models are left out; of several runs the first one's are shown."
        table = Table("Differing settings", note, ("Setting", *flat), (rows,), names=1 + len(flat))
        html = table_html(table)
    for label in comparison.groups:
        run = _run(comparison, label)
        html += details(f"{label}: {run.folder}", OmegaConf.to_yaml(OmegaConf.create(run.config)))
    return Section("Configuration", html)


def _run(comparison: Comparison, label: str) -> Run:
    """The run of a group that stands for it where one has to."""
    return comparison.groups[label].runs[0]


def _few(of_models: dict[str, Example]) -> dict[str, Example]:
    return dict(list(of_models.items())[:_MAX_MODELS])


def _replacement(run: Run, label: str, example: Example, explainer: str) -> Any:
    return replacement_example(example, run.frames_per_second, _PEAK_PERCENTILE, explainer, label)


def _flatten(tree: Any, prefix: str = "") -> dict[str, str]:
    """Leaves of a configuration by dotted key.

    Example:
        >>> _flatten({"trainer": {"max_epochs": 5, "devices": [0, 1]}})
        {'trainer.max_epochs': '5', 'trainer.devices.0': '0', 'trainer.devices.1': '1'}
    """
    if not isinstance(tree, dict | list) or not tree:
        return {prefix: str(tree)}
    branches = tree.items() if isinstance(tree, dict) else enumerate(tree)
    leaves: dict[str, str] = {}
    for key, branch in branches:
        leaves.update(_flatten(branch, f"{prefix}.{key}" if prefix else str(key)))
    return leaves
