"""The workspace of the dashboard: its sections, panels, and how they group runs.

Imported when a dashboard is made: the package it is built with is optional, and takes a second to import.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from wandb_workspaces import workspaces as ws
from wandb_workspaces.reports import v2 as wr

from experiments.tracking.metrics import PERCENTILE_AXIS, STEPS_AXIS, curve_name, length_name
from explainers.registry import explainer_label
from explainers.sanity import CHECKS
from metrics.measures import AREAS, HEADLINE_PERCENTILE, MEASURES, SCORES, Measure, measures_of

_VARIANT = "variant"  # a key of each run's configuration
_PER_VARIANT: dict[str, Any] = {
    "groupby": f"config.{_VARIANT}",
    "groupby_aggfunc": "mean",
    "groupby_rangefunc": "stddev",
}
_FULL_WIDTH, _TALL = 24, 16  # units of W&B's grid


def build_workspace(project: str, entity: str, group: str | None, explainers: Sequence[str]) -> ws.Workspace:
    """Build the workspace, without the network.

    Runs are grouped by variant: each chart has one line (mean ± standard deviation over seeds) or one bar for each
    of them, such as AE, MAE and the baseline detectors. A variant's runs are its trainings and its tests, of which a
    chart has those that logged its metric.
    """
    return ws.Workspace(
        project=project,
        entity=entity,
        name="AE against MAE" + (f": {group}" if group else ""),
        sections=[
            _detection(),
            *(_curves(measure, explainers) for measure in MEASURES.values() if measure.headline),
            _headlines(explainers),
            _sanity(explainers),
            _tables(),
            _training(),
            _length(explainers),
        ],
        runset_settings=ws.RunsetSettings(
            # As text, quoted here: the package does not escape quotes in the values of its own expressions.
            filters=f"Metric('Group') == {group!r}" if group else "",
            groupby=[ws.Config(_VARIANT)],
            pinned_columns=[
                f"summary:{name}" for name in ("test/auc", *_at_headline(next(iter(MEASURES)), explainers))
            ],
        ),
        settings=ws.WorkspaceSettings(max_runs=100),
        auto_generate_panels=False,
    )


def _detection() -> ws.Section:
    panels = [
        _bars(", ".join(filter(None, [label, score.label])), [f"test/{area}{score.suffix}"])
        for score in SCORES.values()
        for area, label in AREAS.items()
    ]
    return ws.Section(name="Detection", panels=panels, is_open=True)


def _curves(measure: Measure, explainers: Sequence[str]) -> ws.Section:
    """A measure over percentiles, with its chance level in the same chart."""
    kinds = [measure.key, f"{measure.key}_chance"] if measure.has_chance else [measure.key]
    panels = [_line(explainer_label(name), [curve_name("test", kind, name) for kind in kinds]) for name in explainers]
    return ws.Section(name=f"{measure.label} over percentiles", panels=panels, is_open=True)


def _headlines(explainers: Sequence[str]) -> ws.Section:
    """Headline measures at their percentile, and how far they exceed chance."""
    panels: list[wr.interface.Panel] = []
    for measure in filter(lambda measure: measure.headline, MEASURES.values()):
        kinds = {measure.key: measure.label, f"{measure.key}_corrected": f"{measure.label}, chance-corrected"}
        panels += [_bars(title, _at_headline(kind, explainers)) for kind, title in kinds.items()]
    return ws.Section(name=f"Explanations at percentile {HEADLINE_PERCENTILE}", panels=panels)


def _sanity(explainers: Sequence[str]) -> ws.Section:
    bars = {f"sanity/{check}": title for check, title in CHECKS.items()}
    bars |= {measure.key: f"{measure.label}, area under the curve" for measure in measures_of("deletion")}
    panels = [_bars(title, [f"test/{kind}/{name}" for name in explainers]) for kind, title in bars.items()]
    return ws.Section(name="Sanity checks, deletion and insertion", panels=panels)


def _tables() -> ws.Section:
    """The clips with their maps and sound, and every value of a test."""
    tables = [
        wr.WeavePanelSummaryTable(table_name=f"test/{name}", layout=wr.Layout(w=_FULL_WIDTH, h=_TALL))
        for name in ("clips", "explanations", "detection")
    ]
    figures = wr.MediaBrowser(title="Attribution maps", media_keys=["test/attributions", "test/replacement"])
    return ws.Section(name="Clips and tables", panels=[*tables, figures])


def _training() -> ws.Section:
    titles = {
        "train/loss": "Training loss",
        "val/loss": "Validation loss",
        "train/learning_rate": "Learning rate",
        "train/epoch_seconds": "Seconds per epoch",
    }
    panels = [_line(title, [name], "trainer/global_step") for name, title in titles.items()]
    return ws.Section(name="Training", panels=panels)


def _length(explainers: Sequence[str]) -> ws.Section:
    """What the checkpoints of trainings reach: losses, areas, and headline measures over chance."""
    losses = {"Validation loss": length_name("loss")}
    areas = {
        ", ".join(filter(None, [AREAS["auc"], score.label])): length_name(f"auc{score.suffix}")
        for score in SCORES.values()
        if score.direction
    }
    measures = {
        f"{measure.label} over chance, {explainer_label(name)}": length_name(measure.key, name)
        for measure in MEASURES.values()
        if measure.headline and measure.has_chance
        for name in explainers
    }
    panels = [_line(title, [name], STEPS_AXIS) for title, name in (losses | areas | measures).items()]
    return ws.Section(name="Quality against training length", panels=panels)


def _line(title: str, metrics: list[str], x: str = PERCENTILE_AXIS) -> wr.interface.Panel:
    """Curves over percentiles or another metric, one line per variant."""
    return wr.LinePlot(title=title, x=x, y=metrics, max_runs_to_show=100, **_PER_VARIANT)


def _bars(title: str, metrics: list[str]) -> wr.interface.Panel:
    """One bar per variant."""
    return wr.BarPlot(title=title, metrics=metrics, **_PER_VARIANT)


def _at_headline(kind: str, explainers: Sequence[str]) -> list[str]:
    return [f"test/{kind}/{name}/p{HEADLINE_PERCENTILE}" for name in explainers]
