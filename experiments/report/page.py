"""The page of a comparison, one self-contained HTML file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure
from omegaconf import OmegaConf

from experiments.report.charts import chart_script, check_chart, explanation_chart
from experiments.report.clip_players import clip_player
from experiments.report.comparison import Comparison
from experiments.report.evidence import Evidence
from experiments.report.figures.clips import attribution_grid, choose_example, replacement_example
from experiments.report.figures.curves import curve_figures
from experiments.report.figures.performance import learning_curves
from experiments.report.figures.style import readable
from experiments.report.findings import sentences, warnings
from experiments.report.html import Folded, Heading, Image, Remark, Untitled, image, render_page
from experiments.report.paper_figures import comparison_figure, length_figures, roc_figure
from experiments.report.player import Player, player_script
from experiments.report.table import MISSING, Cell, Table
from explainers.examples import Example
from lightning_modules.wording import join
from metrics.measures import HEADLINE_PERCENTILE, MEASURES

_MAX_NAMES = 4
"""Models that a title names."""

_MAX_GRIDS = 6
"""Attribution grids on a page, up to 300 kB each."""

_MAX_MODELS = 4
"""Models whose maps are shown side by side."""

_MAX_PANELS = 12
"""Learning curves on a page."""

_REMARKS = 8
"""Sentences and warnings on top of the page; further ones are folded."""

Parts = list[Any]


def build_page(comparison: Comparison, evidence: Evidence, tables: Mapping[str, Sequence[Table]]) -> str:
    """Render the whole page, figures and charts included, from `all_tables` of the comparison."""
    charts = [
        explanation_chart(comparison, evidence, _static_curves(comparison, evidence)),
        check_chart(comparison, evidence),
    ]
    labels = list(comparison.models)
    clips = example_clips(comparison)
    has_players = any(isinstance(part, Player) for part in clips)
    scripts = [chart_script()] if any(charts) else []
    scripts += [player_script()] if has_players else []
    named = join(labels) if len(labels) <= _MAX_NAMES else f"{len(labels)} models"
    compared = "compared" if len(comparison.runs) > 1 else "tested"
    remarks = [Remark("info", text) for text in sentences(comparison, evidence)]
    remarks += [Remark("warning", text) for text in warnings(comparison, evidence)]
    return render_page(
        f"{named} {compared}: detection and explanations",
        remarks,
        _REMARKS,
        {
            "Data": [Untitled(table) for table in tables["Data"]],
            "Detection": _detection(comparison, tables["Detection"]),
            "Explanations": [
                *(chart for chart in charts if chart is not None),
                *(table for table in tables["Explanations"] if not table.is_detail),
                *(Folded(table.title, table) for table in tables["Explanations"] if table.is_detail),
            ],
            "Example clips": clips,
            "Replacement": _replacement(comparison),
            "Training": [*map(Untitled, tables["Training"]), *_training(comparison), *_length(comparison)],
            "Configuration": _configuration(comparison),
        },
        scripts,
    )


def _detection(comparison: Comparison, tables: Sequence[Table]) -> Parts:
    first, *others = tables
    roc = roc_figure(comparison)
    caption = "Share of anomalous clips found against share of normal clips reported, over all thresholds of the score."
    shown = (
        "There is no ROC: the test clips are of one class, or a score is NaN."
        if roc is None
        else image(roc, caption + comparison.mark)
    )
    return [Untitled(first), *others, shown]


def _static_curves(comparison: Comparison, evidence: Evidence) -> list[Image]:
    """The figures over percentiles, for readers without scripts."""
    stills = []
    for measures in curve_figures().values():
        figure = comparison_figure(comparison, evidence, measures)
        if figure is not None:
            caption = " ".join(MEASURES[measure].description for measure in measures)
            stills.append(image(figure, caption + comparison.mark, "webp"))
    return stills


def example_clips(comparison: Comparison) -> Parts:
    """Attribution grids, models next to each other, and the clip's sound; of a model with several runs the first."""
    clips = [_few(of_models) for of_models in comparison.common_examples()]
    parts: Parts = []
    runs = {label: model.runs[0] for label, model in comparison.models.items()}
    for number, of_models in enumerate(clips[: max(1, _MAX_GRIDS // len(clips[0]))] if clips else []):
        example = next(iter(of_models.values()))
        grids = [
            image(
                attribution_grid(shown, _rate(comparison, label), model=label),
                format="webp",
                alternative=f"Spectrogram of {shown.name} and attribution maps of {label}",
            )
            for label, shown in of_models.items()
        ]
        parts += [Heading(readable(example.anomaly_type).capitalize() or "Clip", example.name), grids]
        parts += clip_player(f"clip-{number}", of_models, runs)
    intro = (
        "Each map shows where in time and frequency the score of the clip comes from; the curve below it is its sum "
        "over frequency, and circles are the peak frames. A signed map is red where it raises the score and blue where "
        "it lowers it. Colours are scaled for each map; circles inside the shaded interval agree with the annotation."
    )
    return [intro + comparison.mark, *parts] if parts else []


def _replacement(comparison: Comparison) -> Parts:
    """One clip before and after the explained frames are replaced, for a few models."""
    for of_models in map(_few, comparison.common_examples()):
        chosen = {
            label: choose_example([example], HEADLINE_PERCENTILE, _rate(comparison, label))
            for label, example in of_models.items()
        }
        found = {label: choice for label, choice in chosen.items() if choice is not None}
        if found:
            break
    else:
        return []
    figures = [
        image(
            replacement_example(example, _rate(comparison, label), explainer=explainer, model=label),
            format="webp",
            alternative=f"{example.name} before and after replacement, {label}",
        )
        for label, (example, explainer) in found.items()
    ]
    intro = (
        "Faithfulness asks how the score changes when what an explainer points at becomes normal: the marked frames of "
        "the recording are replaced by the model's reconstruction. All spectrograms of a clip share one colour scale."
    )
    missing = [label for label, choice in chosen.items() if choice is None]
    note = [f"{', '.join(missing)}: no peak falls into an annotated second."] if missing else []
    return [intro + comparison.mark, figures, *note]


def _training(comparison: Comparison) -> Parts:
    """Learning curves, of a model with several runs those of the first."""
    first = {label: model.runs[0].learning for label, model in comparison.models.items()}
    curves = {label: losses for label, losses in first.items() if losses is not None}
    if not curves:
        return []
    caption = (
        "Loss by epoch on training clips and on held-out normal clips; the circle is the epoch whose weights were "
        "kept. The MAE's loss counts hidden patches only, so losses of different objectives are not comparable."
    )
    if any(len(model.runs) > 1 for model in comparison.models.values()):
        caption += " The first run of each model is shown."
    if len(curves) > _MAX_PANELS:
        caption += f" {_MAX_PANELS} of {len(curves)} models are shown."
    figure: Figure = learning_curves(dict(list(curves.items())[:_MAX_PANELS]))
    return [image(figure, caption)]


def _length(comparison: Comparison) -> Parts:
    """Quality against training length, a figure for each measure of explanations."""
    intro = (
        "Quality against training length: checkpoints of each training on labelled validation clips, which are not "
        "tested on. Thin lines are runs, bold lines means; the lengths at which models were compared are the circles."
    )
    figures = [
        image(figure, MEASURES[measure].description + comparison.mark)
        for measure, figure in length_figures(comparison).items()
    ]
    return [intro, *figures] if figures else []


def _configuration(comparison: Comparison) -> Parts:
    """What differs between the models' settings, and the configuration of each one's first run in full."""
    runs = {label: model.runs[0] for label, model in comparison.models.items()}
    flat = {label: _flatten(run.config) for label, run in runs.items()}
    for label, settings in flat.items():
        if comparison.models[label].is_baseline:  # which learns in one epoch, whatever is set
            settings.pop("trainer.max_epochs", None)
    keys = list(dict.fromkeys(key for settings in flat.values() for key in settings))
    rows = [[settings.get(key, MISSING) for settings in flat.values()] for key in keys]
    differing = tuple(
        tuple(map(Cell, (key, *values))) for key, values in zip(keys, rows, strict=True) if len(set(values)) > 1
    )
    note = "Settings that are the same in all models are left out; of several runs the first one's are shown."
    table = Table("Differing settings", note, ("Setting", *flat), (differing,), names=1 + len(flat))
    full = [Folded(f"{label}: {run.folder}", OmegaConf.to_yaml(OmegaConf.create(run.config)))
            for label, run in runs.items()]  # fmt: skip
    return [table, *full] if differing else list(full)


def _rate(comparison: Comparison, label: str) -> float:
    return comparison.models[label].runs[0].frames_per_second


def _few(of_models: dict[str, Example]) -> dict[str, Example]:
    return dict(list(of_models.items())[:_MAX_MODELS])


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
