"""The comparison of AE and MAE as a Weights & Biases workspace, laid out by code."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import wandb

from experiments.tracking.loggers import has_account
from experiments.tracking.metrics import PERCENTILE_AXIS, curve_name, direction
from explainers import EXPLAINERS
from explainers.registry import explainer_label
from explainers.sanity import CHECKS
from lightning_modules.errors import ConfigurationError
from lightning_modules.files import write_atomically
from metrics.measures import AREAS, HEADLINE_PERCENTILE, MEASURES, SCORES, Measure, measures_of

try:
    from wandb_workspaces import workspaces as ws
    from wandb_workspaces.reports import v2 as wr
except ImportError:
    ws = None  # optional; without it the command shows at least its help

_PER_JOB_TYPE: dict[str, Any] = {"groupby": "JobType", "groupby_aggfunc": "mean", "groupby_rangefunc": "stddev"}
_FULL_WIDTH, _TALL = 24, 16  # units of W&B's grid


def dashboard(
    project: str = "faithful-aad",
    entity: str | None = None,
    group: str | None = None,
    explainers: Sequence[str] = tuple(EXPLAINERS),
    output: str | None = None,
) -> None:
    """Lay out a study's comparison as a workspace on Weights & Biases.

    Args:
        project: The project whose runs are compared.
        entity: The user or team that owns it; the account's own by default.
        group: The group to show, a study's name; all runs by default.
        explainers: The explainers that get panels.
        output: A JSON file to write instead of saving the workspace on Weights & Biases; needs no account.

    Raises:
        ConfigurationError: If the optional packages, an account or the network is missing.
    """
    if ws is None:
        raise ConfigurationError(
            "dashboard needs an optional package: install it with `pip install 'faithful-aad[dashboard]'`"
        )
    unknown = [name for name in explainers if name not in EXPLAINERS]
    if unknown:
        raise ConfigurationError(f"--explainers {unknown[0]} does not exist; choose from {', '.join(EXPLAINERS)}")
    if output is not None:
        view = _build_workspace(project, entity or "", group, explainers)._to_model()  # the package only saves online
        write_atomically(Path(output), view.model_dump_json(by_alias=True, exclude_none=True, indent=1).encode())
        print(output)
        return
    if not has_account():
        raise ConfigurationError(
            "dashboard needs an account: call `wandb login` first, or write the workspace to a file with --output"
        )
    try:
        workspace = _build_workspace(project, entity or wandb.Api().default_entity, group, explainers)
        workspace.save()
        print(workspace.url)
    except Exception as error:  # W&B passes on exceptions of its transports
        reason = " ".join(str(error).split())
        raise ConfigurationError(
            f"the dashboard can't be saved to project {project} ({reason}); check --project, --entity and the network"
        ) from error


def _build_workspace(project: str, entity: str, group: str | None, explainers: Sequence[str]) -> ws.Workspace:
    """Build the workspace, without the network.

    Runs are grouped by job type: each chart has one line (mean ± standard deviation over seeds) or one bar for each
    of them, such as AE and MAE.
    """
    return ws.Workspace(
        project=project,
        entity=entity,
        name="AE against MAE" + (f": {group}" if group else ""),
        sections=[
            _detection(),
            *(_curves(measure, explainers) for measure in MEASURES.values() if measure.headline),
            _chance(explainers),
            _sanity(explainers),
            _clips(),
            _training(),
        ],
        runset_settings=ws.RunsetSettings(
            # As text, quoted here: the package does not escape quotes in the values of its own expressions.
            filters=f"Metric('Group') == {group!r}" if group else "",
            groupby=[ws.Metric(_PER_JOB_TYPE["groupby"])],
            pinned_columns=[
                f"summary:{_summary(name)}" for name in ("test/auc", *_headlines(next(iter(MEASURES)), explainers))
            ],
        ),
        settings=ws.WorkspaceSettings(max_runs=100),
        auto_generate_panels=False,
    )


def _detection() -> ws.Section:
    panels = [
        _bars(", ".join(filter(None, [label, score.label])), [f"test/{area}{score.suffix}"])
        for score in SCORES.values()
        if score.direction is not None
        for area, label in AREAS.items()
    ]
    return ws.Section(name="Detection", panels=panels, is_open=True)


def _curves(measure: Measure, explainers: Sequence[str]) -> ws.Section:
    """A measure over percentiles, with its chance level in the same chart."""
    kinds = [measure.key, f"{measure.key}_chance"] if measure.has_chance else [measure.key]
    panels = [_line(explainer_label(name), [curve_name("test", kind, name) for kind in kinds]) for name in explainers]
    return ws.Section(name=f"{measure.label} over percentiles", panels=panels, is_open=True)


def _chance(explainers: Sequence[str]) -> ws.Section:
    """How far measures exceed chance, and how significantly."""
    panels: list[wr.interface.Panel] = []
    for measure in filter(lambda measure: measure.has_chance, MEASURES.values()):
        corrected, p_values = (
            [curve_name("test", f"{measure.key}_{what}", name) for name in explainers]
            for what in ("corrected", "pvalue")
        )
        panels += [_line(f"{measure.label}, chance-corrected", corrected), _line(f"{measure.label}, p-value", p_values)]
        headlines = _headlines(measure.key, explainers)
        panels.append(_bars(f"{measure.label} at percentile {HEADLINE_PERCENTILE}", headlines))
    return ws.Section(name="Chance levels", panels=panels)


def _sanity(explainers: Sequence[str]) -> ws.Section:
    bars = {f"sanity/{check}": title for check, title in CHECKS.items()}
    bars |= {measure.key: f"{measure.label}, area under the curve" for measure in measures_of("deletion")}
    panels = [_bars(title, [f"test/{kind}/{name}" for name in explainers]) for kind, title in bars.items()]
    return ws.Section(name="Sanity checks, deletion and insertion", panels=panels)


def _clips() -> ws.Section:
    table = wr.WeavePanelSummaryTable(table_name="test/clips", layout=wr.Layout(w=_FULL_WIDTH, h=_TALL))
    figures = wr.MediaBrowser(title="Attribution maps", media_keys=["test/attributions", "test/replacement"])
    return ws.Section(name="Clips", panels=[table, figures])


def _training() -> ws.Section:
    losses = {"train/loss": "Training loss", "val/loss": "Validation loss"}
    panels = [wr.LinePlot(title=title, x="trainer/global_step", y=[name]) for name, title in losses.items()]
    return ws.Section(name="Training", panels=panels)


def _line(title: str, metrics: list[str]) -> wr.interface.Panel:
    """Curves over percentiles, one line per job type."""
    return wr.LinePlot(title=title, x=PERCENTILE_AXIS, y=metrics, max_runs_to_show=100, **_PER_JOB_TYPE)


def _bars(title: str, metrics: list[str]) -> wr.interface.Panel:
    """One bar per job type."""
    return wr.BarPlot(title=title, metrics=[_summary(name) for name in metrics], **_PER_JOB_TYPE)


def _headlines(kind: str, explainers: Sequence[str]) -> list[str]:
    return [f"test/{kind}/{name}/p{HEADLINE_PERCENTILE}" for name in explainers]


def _summary(name: str) -> str:
    """The key of a scalar in a run's summary, which ends in its direction."""
    good = direction(name)
    return name if good is None else f"{name}.{good}"
