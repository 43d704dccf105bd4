"""The sections of the page, each drawn from the comparison alone; one without data is left out."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from omegaconf import OmegaConf

from experiments.figures import (
    attribution_grid,
    choose_example,
    compare_runs,
    learning_curves,
    replacement_example,
    roc_curves,
)
from experiments.figures.style import readable
from experiments.report.comparison import Comparison
from experiments.report.fragments import (
    Section,
    clip_heading,
    details,
    figure_html,
    paragraph,
    side_by_side,
    table_html,
)
from experiments.report.tables import (
    MISSING,
    Cell,
    Table,
    anomaly_type_table,
    detection_table,
    explanation_table,
)
from experiments.results import ClipValues, Run
from explainers.examples import Example

_MAX_GRIDS = 8
"""Attribution grids on a page, about 250 kB each."""

_PEAK_PERCENTILE = 98


def detection_section(comparison: Comparison) -> Section:
    """AUC and ROC."""
    table = table_html(detection_table(comparison), heading=False)
    if not comparison.first.clips.has_both_classes:
        return Section("Detection", table + paragraph("All test clips are of one class, so there is no ROC."))
    roc = figure_html(
        roc_curves({label: (run.objective, run.clips) for label, run in comparison.runs.items()}),
        "Share of anomalous clips found against share of normal clips reported, over all thresholds of the score.",
    )
    return Section("Detection", side_by_side([f"<div>{table}</div>", roc]))


def explanation_section(comparison: Comparison) -> Section | None:
    """Tables of F1 and faithfulness, and both over percentiles."""
    if not comparison.measures:
        return None
    html = table_html(explanation_table(comparison))
    if comparison.f1:
        html += table_html(anomaly_type_table(comparison))
        html += "<h3>Over percentiles</h3>" + figure_html(
            _compared(comparison, comparison.f1, "f1"),
            "F1 of the seconds that hold a peak against the annotated seconds, by the percentile that makes a frame a "
            "peak. Higher is better.",
        )
    measured = {
        "frame": "Share of the reconstruction error that goes away when the peak frames are replaced by their "
        "reconstruction.",
        "segment": "The same when whole seconds that hold a peak are replaced where they are annotated.",
    }
    for kind, caption in measured.items():
        values = {label: v for label, v in comparison.faithfulness.items() if v.defined(kind)}
        if values:
            title = f"{kind.capitalize()}-based faithfulness. "
            html += figure_html(_compared(comparison, values, kind), title + caption + " Higher is better.")
    return Section("Explanations", html)


def example_section(comparison: Comparison) -> Section | None:
    """Attribution grids, runs next to each other, clip after clip."""
    clips = _common_examples(comparison)
    parts = []
    for of_runs in clips[: max(1, _MAX_GRIDS // len(comparison.runs))]:
        example = next(iter(of_runs.values()))
        kind = readable(example.anomaly_type).capitalize() or "Clip"
        grids = [
            figure_html(
                attribution_grid(shown, comparison.runs[label].frames_per_second, _PEAK_PERCENTILE, label),
                caption="",
                format="webp",
                alternative=f"Spectrogram of {shown.name} and attribution maps of {label}",
            )
            for label, shown in of_runs.items()
        ]
        parts.append(clip_heading(example.name, kind) + side_by_side(grids))
    if not parts:
        return None
    intro = paragraph(
        "Each map says where in time and frequency the score of the clip comes from; the curve below it is its sum "
        "over frequency, and circles are the frames taken for peaks. A signed map is red where it raises the score "
        "and blue where it lowers it. Colours are scaled for each map; circles inside the shaded interval agree with "
        "the annotation."
    )
    return Section("Example clips", intro + "".join(parts))


def replacement_section(comparison: Comparison) -> Section | None:
    """One clip before and after the explained frames are replaced, for every run."""
    for of_runs in _common_examples(comparison):
        chosen = {
            label: choose_example([example], _PEAK_PERCENTILE, comparison.runs[label].frames_per_segment)
            for label, example in of_runs.items()
        }
        if any(chosen.values()):
            break
    else:
        return None
    figures = [
        figure_html(_replacement(comparison.runs[label], label, *found), caption="", format="webp",
                    alternative=f"{found[0].name} before and after replacement, {label}")
        for label, found in chosen.items() if found is not None
    ]  # fmt: skip
    caption = paragraph(
        "Faithfulness asks what becomes of the score when what an explainer points at becomes normal: the marked "
        "frames of the recording are taken from the model's reconstruction. All spectrograms of a clip share one "
        "colour scale."
    )
    missing = [label for label, found in chosen.items() if found is None]
    note = paragraph(f"{', '.join(missing)}: no peak falls into an annotated second.") if missing else ""
    return Section("Replacement", caption + side_by_side(figures) + note)


def training_section(comparison: Comparison) -> Section | None:
    """Learning curves."""
    curves = {label: run.learning for label, run in comparison.runs.items() if run.learning is not None}
    if not curves:
        return None
    caption = (
        "Loss by epoch on training clips and on held-out normal clips; the circle is the epoch whose weights were "
        "kept. The MAE's loss counts hidden patches only, so losses of different objectives don't compare."
    )
    return Section("Training", figure_html(learning_curves(curves), caption))


def configuration_section(comparison: Comparison) -> Section:
    """What differs between the runs' settings, and each configuration in full."""
    flat = {label: _flatten(run.config) for label, run in comparison.runs.items()}
    keys = list(dict.fromkeys(key for settings in flat.values() for key in settings))
    differing = [key for key in keys if len({settings.get(key, MISSING) for settings in flat.values()}) > 1]
    html = ""
    if differing:
        rows = tuple(
            (Cell(key), *(Cell(settings.get(key, MISSING)) for settings in flat.values())) for key in differing
        )
        note = "Settings that are the same in all runs are left out."
        table = Table("Differing settings", note, ("Setting", *flat), (rows,), names=1 + len(flat))
        html = table_html(table)
    for label, run in comparison.runs.items():
        html += details(f"{label}: {run.folder}", OmegaConf.to_yaml(OmegaConf.create(run.config)))
    return Section("Configuration", html)


def _compared(comparison: Comparison, values: dict[str, ClipValues], kind: str) -> Any:
    return compare_runs({label: (comparison.runs[label].objective, v) for label, v in values.items()}, kind)


def _replacement(run: Run, label: str, example: Example, explainer: str) -> Any:
    return replacement_example(
        example, run.frames_per_second, run.frames_per_segment, _PEAK_PERCENTILE, explainer, label
    )


def _common_examples(comparison: Comparison) -> list[dict[str, Example]]:
    """Clips kept by every run that kept any, by run; one of each type of anomaly first, then a second of each."""
    kept = {label: {e.name: e for e in run.examples} for label, run in comparison.runs.items() if run.examples}
    if not kept:
        return []
    common = set.intersection(*(set(examples) for examples in kept.values()))
    first = next(iter(kept.values()))
    by_type: dict[str, list[str]] = defaultdict(list)
    for name, example in first.items():
        if name in common:
            by_type[example.anomaly_type].append(name)
    ranked = sorted((rank, kind, name) for kind, names in by_type.items() for rank, name in enumerate(names))
    return [{label: examples[name] for label, examples in kept.items()} for _, _, name in ranked]


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
