"""Interactive charts of the page: Vega-Lite, written with Altair and compiled to Vega, over the frames of `Evidence`.

A chart's data are in the page once, and its options are HTML inputs bound to Vega-Lite parameters. Colours are CSS
variables, so that charts follow the page into dark mode and onto paper.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt
import pandas as pd
import vl_convert

from experiments.report.comparison import Comparison
from experiments.report.evidence import ABOVE, CURVE, NOT_ABOVE, Evidence
from experiments.report.figures.style import model_styles, readable
from experiments.report.html import Image
from explainers.registry import explainer_label
from explainers.sanity import CHECKS
from metrics.measures import HEADLINE_PERCENTILE, MEASURES, REFERENCES

DECIMALS = 5
"""Decimals of the data; tooltips show three."""

_DATA = alt.NamedData("table")

_CHART = "explanations-chart"
"""Id of the chart of measures."""

_CORRECTED = "_corrected"
"""What the key of a measure's chance-corrected values ends with."""

_NUMBERS = [
    "mean", "sd", "low", "high", "chance", "chance_low", "chance_high", "p", *REFERENCES, "published",
]  # fmt: skip

_TRANSFORMS: list[dict[str, Any]] = [
    {"calculate": "isValid(datum.sd) ? datum.mean - datum.sd : null", "as": "bottom"},
    {"calculate": "isValid(datum.sd) ? datum.mean + datum.sd : null", "as": "top"},
    {"calculate": "isValid(datum.low) ? datum.low : datum.bottom", "as": "start"},
    {"calculate": "isValid(datum.high) ? datum.high : datum.top", "as": "end"},
    {"calculate": "split(datum.runs || '', ' ')", "as": "run"},
]
"""Ends of bands and bars, and means of single runs."""

_REFERENCE_DASHES = [[5, 2, 1, 2], [1, 3], [8, 3]]

_COLUMNS = 987654321
"""Stands for the number of columns that fit the page, since Vega-Lite takes a constant only."""

_SCRIPT = (
    f"""
const COLUMNS = "{_COLUMNS}";
"""
    + """
for (const data of document.querySelectorAll("script[data-chart]")) {
  const place = document.getElementById(data.dataset.chart);
  const { spec: template, table, measures } = JSON.parse(data.textContent);
  const room = place.clientWidth;
  const columns = Math.max(1, Math.floor(room / 270));
  const spec = JSON.parse(JSON.stringify(template).replaceAll(COLUMNS, columns));
  const row = (values) => Object.fromEntries(table.columns.map((name, i) => [name, values[i]]));
  spec.data.find(({ name }) => name === "table").values = table.data.map(row);
  for (const signal of spec.signals) {
    if (signal.name.endsWith("child_width")) signal.value = Math.min(420, (room - 148) / columns - 24);
    else if (signal.name.endsWith("width")) signal.value = Math.max(140, Math.min(640, room - 190));
  }
  spec.config.legend.columns = Math.max(1, Math.floor(room / 150));
  const { view } = await vegaEmbed(place, spec, { ast: true, actions: false, logLevel: 1, renderer: "svg" });
  if (measures) {
    const select = document.querySelector(`#${place.id}-choice select[name=percentile]`);
    const show = () => {
      const { note, percentiles } = measures[view.signal("measure")];
      document.getElementById(`${place.id}-note`).textContent = note;
      for (const option of select.options) option.hidden = option.disabled = !percentiles.includes(+option.value);
    };
    view.addSignalListener("measure", show);
    view.addSignalListener("at", (_, percentile) => { select.value = percentile; });
    show();
  }
}
"""
)

_INK, _MUTED, _LINE, _PAPER = "var(--ink)", "var(--muted)", "var(--line)", "var(--paper)"

_CONFIG: dict[str, Any] = {
    "background": None,
    "font": "inherit",
    "view": {"stroke": None},
    "axis": {"labelColor": _MUTED, "titleColor": _MUTED, "gridColor": _LINE, "domainColor": _LINE, "tickColor": _LINE},
    "axisX": {"grid": False},
    "axisQuantitative": {"tickCount": 5},
    "facet": {"spacing": {"row": 48, "column": 24}},
    "legend": {"orient": "top", "labelColor": _INK, "titleColor": _MUTED, "labelLimit": 240, "symbolSize": 300},
    "header": {"labelColor": _INK, "labelAnchor": "start", "labelFontSize": 13, "labelFontWeight": "bold"},
    "title": {"color": _INK, "anchor": "start", "fontSize": 13},
    "text": {"color": _MUTED},
}


@dataclass(frozen=True)
class Chart:
    """An interactive chart as a part of a page.

    Attributes:
        name: Id of its element.
        label: What it shows, for readers who cannot see it.
        caption: What its marks mean.
        data: Its specification as "spec", its data as "table" with "columns" and "data" and, where "measures" can be
            chosen, the "note" and the "percentiles" of each.
        controls: Headings of its groups of inputs, by the end of the group's id.
        stills: Figures for readers without scripts.
    """

    name: str
    label: str
    caption: str
    data: Mapping[str, Any]
    controls: Mapping[str, str]
    stills: Sequence[Image] = ()


def chart_script() -> str:
    """The program of a page with charts: Vega-Lite with all it needs, and a few lines that start it.

    Vega interprets expressions instead of compiling them (``ast``), so that the page's content security policy can
    forbid eval.
    """
    return vl_convert.javascript_bundle(_SCRIPT)


def explanation_chart(comparison: Comparison, evidence: Evidence, stills: Sequence[Image] = ()) -> Chart | None:
    """Chart every measure of explanations by percentile, and all explainers at one percentile; None without any.

    Args:
        comparison: The runs.
        evidence: What was measured on them.
        stills: Figures for readers without scripts.
    """
    rows = _explanation_rows(evidence)
    if rows.empty:
        return None
    scales = _Scales(
        comparison, rows, [label for name, label in REFERENCES.items() if rows[name].notna().any()], chosen=True
    )
    types = sorted(set(rows["anomaly_type"]))
    keys = [key for measure in MEASURES for key in (measure, measure + _CORRECTED) if key in set(rows["measure"])]
    measured = [sorted(rows.loc[rows["measure"] == key, "percentile"].unique().tolist()) for key in keys]
    shown = [_shown_percentile(percentiles, comparison.percentile or HEADLINE_PERCENTILE) for percentiles in measured]
    every = sorted({percentile for percentiles in measured for percentile in percentiles})
    parameters = [
        _select("measure", "Measure", [_measure_label(key) for key in keys]),
        _select("anomaly_type", "Type of anomaly", [readable(kind) or "all" for kind in types]),
        _parameter("percentile", shown[0], "Percentile", "choice", input="select", options=every),
        # A measure that was not measured at the chosen percentile is shown at one of its own.
        {"name": "at", "expr": f"indexof({measured}[measure], percentile) < 0 ? {shown}[measure] : percentile"},
        *(_checkbox(f"model_{i}", label, "models") for i, label in enumerate(scales.models)),
        *(_checkbox(f"explainer_{i}", explainer_label(name), "explainers") for i, name in enumerate(scales.explainers)),
        *(_checkbox(f"show_{mark}", mark, "marks") for mark in ("chance", "references", "published")),
    ]
    chosen = (
        "datum.measure == measure && datum.anomaly_type == anomaly_type"
        f" && [{', '.join(f'model_{i}' for i in range(len(scales.models)))}][datum.model]"
        f" && [{', '.join(f'explainer_{i}' for i in range(len(scales.explainers)))}][datum.explainer]"
    )
    # Numbers instead of names keep the page of a large study small.
    rows = rows.assign(
        measure=rows["measure"].map(keys.index),
        anomaly_type=rows["anomaly_type"].map(types.index),
        tested=rows["verdict"].map({NOT_ABOVE: 0, ABOVE: 1}),
    ).drop(columns="verdict")
    measures = [{"note": _measure_note(key), "percentiles": own} for key, own in zip(keys, measured, strict=True)]
    transform = [{"filter": chosen}, *scales.labels, *_TRANSFORMS]
    spec = _specification(_curves(scales), _dots(scales), transform=transform, parameters=parameters)
    return Chart(
        _CHART,
        "Measures of explanations by percentile and explainer",
        "Lines: means over clips and runs, in bands of one standard deviation over runs. Dotted lines in fainter "
        "bands: chance, the mean and the 90 % range of circularly shifted curves. Thin lines and diamonds: published "
        "values. Below, bars: 95 % intervals over clips; filled circles: above chance; open circles: not above chance; "
        "squares: not tested against chance; ticks: single runs." + comparison.mark,
        {"spec": spec, "table": scales.table(rows), "measures": measures},
        {"choice": "Values", "models": "Models", "explainers": "Explainers", "marks": "Also show"},
        stills,
    )


def check_chart(comparison: Comparison, evidence: Evidence) -> Chart | None:
    """Chart the sanity checks of explainers; None where no run has made any."""
    rows = evidence.checks[evidence.checks["mean"].notna()]
    if rows.empty:
        return None
    scales = _Scales(comparison, rows)
    steps = [_step_label(step) for step in rows.loc[rows["check"] == "randomisation", "step"].unique()]
    parts = [
        (_stages(scales, steps) if check == "randomisation" else _check_dots(scales))
        .properties(title=label)
        .transform_filter(f"datum.check == '{check}'")
        for check, label in CHECKS.items()
        if check in set(rows["check"])
    ]
    spec = _specification(*parts, transform=scales.labels)
    return Chart(
        "checks-chart",
        "Sanity checks by explainer and model",
        "Parameter randomisation: rank correlation of a map with the trained model's when the parameters from the "
        "output up to a stage are random; an explainer that explains the model loses it. Infidelity: how far a map is "
        "from predicting what small changes do to the score; lower is better, and only maps of one unit are "
        "comparable. Maximum sensitivity: largest relative change of a map under a small change of the clip; lower is "
        "steadier." + comparison.mark,
        {"spec": spec, "table": scales.table(rows.assign(step=rows["step"].map(_step_label)))},
        {},
    )


class _Scales:
    """Colours, dashes and positions of models and explainers, which the data have as numbers.

    Args:
        comparison: The runs.
        rows: The data, with the columns model and explainer.
        references: Labels of the references that are drawn.
        chosen: Whether models can be chosen; the legend has the chosen ones then.
    """

    def __init__(
        self, comparison: Comparison, rows: pd.DataFrame, references: Sequence[str] = (), chosen: bool = False
    ) -> None:
        found = set(rows["model"])
        self.models = models = [label for label in comparison.models if label in found]
        self.explainers = rows["explainer"].unique().tolist()
        names = [explainer_label(name) for name in self.explainers]
        self.labels = [
            {"calculate": f"{json.dumps(models)}[datum.model]", "as": "model_label"},
            {"calculate": f"{json.dumps(names)}[datum.explainer]", "as": "explainer_label"},
        ]
        styles = model_styles({label: comparison.models[label].objective for label in comparison.models})
        # Lighter on dark pages, where the style sheet lowers the strength.
        colours = [f"color-mix(in oklab, {styles[label].colour} var(--strength), white)" for label in models]
        dashes = [[1, 0] if styles[label].line == "-" else list(styles[label].line[1]) for label in models]
        entries = [*models, *references]
        switches = [*(f"model_{i}" for i in range(len(models))), *["show_references"] * len(references)]
        texts = (
            f"({switch} ? {json.dumps(chr(10) + entry)} : '')" for switch, entry in zip(switches, entries, strict=True)
        )
        legend_values = {"values": alt.ExprRef(f"split(slice({' + '.join(texts)}, 1), '\\n')")} if chosen else {}
        colour = alt.Scale(domain=entries, range=[*colours, *[_MUTED] * len(references)])
        dash = alt.Scale(domain=entries, range=[*dashes, *_REFERENCE_DASHES[: len(references)]])
        legend = alt.Legend(symbolType="stroke", symbolStrokeWidth=2, symbolOpacity=1, **legend_values)
        self.colour = alt.Color("model_label:N", title=None, scale=colour, legend=legend)
        self.dash = alt.StrokeDash("model_label:N", title=None, scale=dash, legend=legend)
        self.lane = alt.YOffset("model_label:N", sort=models)
        self.row = alt.Y("explainer_label:N", title=None, sort=names, axis=alt.Axis(labelColor=_INK, labelLimit=150))
        self.facet = alt.Facet("explainer_label:N", title=None, sort=names)

    def table(self, rows: pd.DataFrame) -> Any:
        """The rows for the page, models and explainers as numbers."""
        rows = rows.assign(model=rows["model"].map(self.models.index),
                           explainer=rows["explainer"].map(self.explainers.index))  # fmt: skip
        return json.loads(rows.to_json(orient="split", index=False, double_precision=DECIMALS))


def _explanation_rows(evidence: Evidence) -> pd.DataFrame:
    """The defined rows of all measures, with the single runs' means and chance-corrected values as further measures."""
    runs = evidence.runs.groupby(CURVE)["mean"].agg(lambda means: " ".join(f"{mean:.{DECIMALS}f}" for mean in means))
    rows = evidence.explanations.join(runs.rename("runs"), on=CURVE)
    rows = rows[[*CURVE, *_NUMBERS, "verdict", "runs"]]
    corrected = evidence.explanations[[*CURVE, "corrected"]].rename(columns={"corrected": "mean"})
    corrected = corrected.assign(measure=corrected["measure"] + _CORRECTED)
    rows = pd.concat([rows, corrected.dropna()], ignore_index=True)
    return rows[rows["mean"].notna()]


def _curves(scales: _Scales) -> alt.FacetChart:
    """One panel per explainer with a line per model over percentiles."""
    whole = "datum.value == round(datum.value) ? format(datum.value, 'd') : ''"
    x = alt.X("percentile:Q", title=None, scale=alt.Scale(zero=False, nice=False), axis=alt.Axis(labelExpr=whole))
    base = alt.Chart().encode(x=x)
    references = (
        base.mark_line(strokeWidth=1)
        .encode(y=alt.Y("mean(level):Q", title=None), color=scales.colour, strokeDash=scales.dash)
        .transform_filter("show_references")
        .transform_fold(list(REFERENCES), ["reference", "level"])
        .transform_calculate(model_label=f"{json.dumps(REFERENCES)}[datum.reference]")
    )
    of_model = base.encode(color=scales.colour)
    chance = of_model.transform_filter("show_chance")
    published = of_model.transform_filter("show_published")
    marked = (
        base.mark_rule(strokeDash=[2, 3], color=_MUTED)
        .transform_filter("datum.percentile == at")
        .transform_aggregate(n="count()", groupby=["percentile"])
    )
    layers = [
        references,
        chance.mark_area(opacity=0.13).encode(y="chance_low:Q", y2="chance_high"),
        chance.mark_line(strokeWidth=1.2, strokeDash=[1, 3]).encode(y="chance:Q"),
        of_model.mark_area(opacity=0.22).encode(y="bottom:Q", y2="top"),
        published.mark_line(strokeWidth=1, opacity=0.75, point={"size": 8}).encode(y="published:Q"),
        marked,
        of_model.mark_line(strokeWidth=2).encode(y="mean:Q", strokeDash=scales.dash),
        # Wide transparent edges make points easy to hit.
        of_model.mark_point(filled=True, size=16, stroke="transparent", strokeWidth=16, opacity=1).encode(
            y="mean:Q", **_facts()
        ),
    ]
    return _by_explainer(alt.layer(*layers).properties(width=300, height=170), scales)


def _dots(scales: _Scales) -> alt.LayerChart:
    """One row per explainer and model with the values at the chosen percentile."""
    base = alt.Chart().encode(y=scales.row, yOffset=scales.lane, color=scales.colour)
    chance = base.transform_filter("show_chance")
    published = base.transform_filter("show_published")
    untested = alt.condition("!isValid(datum.tested)", alt.value("square"), alt.value("circle"))
    mean = base.encode(x="mean:Q", shape=untested)
    heading = (
        alt.Chart()
        .mark_text(align="left", x=0, y=-8)
        .encode(text="text:N")
        .transform_aggregate(n="count()", groupby=["percentile"])
        .transform_calculate(text="'At percentile ' + datum.percentile")
    )
    x = {"title": None, "scale": alt.Scale(zero=True)}
    layers = [
        heading,
        chance.mark_bar(opacity=0.13, height=11).encode(x=alt.X("chance_low:Q", **x), x2="chance_high"),
        chance.mark_tick(size=11, thickness=1.2).encode(x="chance:Q"),
        base.mark_rule(strokeWidth=1.6).encode(x="start:Q", x2="end"),
        base.transform_filter("length(datum.run) > 1")
        .transform_flatten(["run"])
        .transform_calculate(run="toNumber(datum.run)")
        .mark_tick(size=7)
        .encode(x="run:Q"),
        published.mark_point(shape="diamond", size=55, fill=_PAPER, opacity=1).encode(x="published:Q"),
        mean.mark_point(size=60, opacity=1, fill=_PAPER, aria=False),
        mean.transform_filter("datum.tested !== 0").mark_point(size=60, opacity=1, filled=True, aria=False),
        mean.mark_point(size=60, opacity=1, strokeWidth=1.8, fill="transparent").encode(**_facts()),
    ]
    return (
        alt.layer(*layers, data=_DATA)
        .properties(height=alt.Step(16), width=600)
        .transform_filter("datum.percentile == at")
    )


def _stages(scales: _Scales, steps: Sequence[str]) -> alt.FacetChart:
    """One panel per explainer with a line per model over the stages with random parameters."""
    x = alt.X("step:N", title=None, sort=list(steps), axis=alt.Axis(labelAngle=-30))
    base = alt.Chart().encode(x=x, y=alt.Y("mean:Q", title=None), color=scales.colour)
    lines = base.mark_line(strokeWidth=2).encode(strokeDash=scales.dash)
    points = base.mark_point(filled=True, size=20, stroke="transparent", strokeWidth=16, opacity=1).encode(
        **_facts(step="datum.step")
    )
    return _by_explainer(alt.layer(lines, points).properties(width=300, height=130), scales)


def _check_dots(scales: _Scales) -> alt.Chart:
    """One row per explainer and model."""
    chart = alt.Chart(_DATA).mark_point(filled=True, size=60, opacity=1)
    return chart.encode(
        x=alt.X("mean:Q", title=None), y=scales.row, yOffset=scales.lane, color=scales.colour, **_facts()
    ).properties(height=alt.Step(14), width=600)


def _by_explainer(chart: alt.LayerChart, scales: _Scales) -> alt.FacetChart:
    return chart.facet(facet=scales.facet, data=_DATA, columns=_COLUMNS, bounds="flush")


def _facts(**further: str) -> dict[str, Any]:
    """Tooltip and description with everything that is known of a mark."""
    place = {"Explainer": "datum.explainer_label", "Model": "datum.model_label", **further}
    texts = {**further} or {"Percentile": "isValid(datum.percentile) ? datum.percentile : null"}
    texts |= {
        "Value": _number("mean"),
        "sd over runs": _number("sd"),
        "95 % over clips": f"isValid(datum.low) ? {_format('low')} + ' to ' + {_format('high')} : null",
        "chance": _number("chance"),
        "p against chance": f"!isValid(datum.p) ? null : datum.p < 0.001 ? '< 0.001' : {_format('p')}",
        "published": _number("published"),
        **{label.lower(): _number(name) for name, label in REFERENCES.items()},
    }
    # Missing facts are left out rather than shown as null.
    objects = [f"({text}) == null ? {{}} : {{'{name}': {text}}}" for name, text in texts.items()]
    shown = ", ".join(f"'{name}': {text}" for name, text in place.items() if name not in further)
    described = [f"(({text}) == null ? '' : ', {name} ' + ({text}))" for name, text in texts.items()]
    return {
        "tooltip": alt.value(alt.ExprRef(f"merge({{{shown}}}, {', '.join(objects)})")),
        "description": alt.value(
            alt.ExprRef(f"datum.explainer_label + ', ' + datum.model_label + {' + '.join(described)}")
        ),
    }


def _number(field: str) -> str:
    return f"isValid(datum.{field}) ? {_format(field)} : null"


def _format(field: str) -> str:
    return f"format(datum.{field}, '.3f')"


def _specification(*parts: Any, transform: Sequence[Any], parameters: Sequence[Any] = ()) -> dict[str, Any]:
    """Charts below each other over one table and its transforms, compiled for Vega."""
    spec: dict[str, Any] = alt.vconcat(*parts, data=_DATA, spacing=30).to_dict()
    autosize = {"type": "pad", "resize": True}  # or a legend that gets another place is cut off
    spec |= {"transform": transform, "params": list(parameters), "config": _CONFIG, "autosize": autosize}
    compiled: dict[str, Any] = vl_convert.vegalite_to_vega(spec)
    return compiled


def _select(name: str, label: str, options: Sequence[str]) -> dict[str, Any]:
    """A list to choose from, as a parameter whose value is the position of the choice."""
    positions = list(range(len(options)))
    return _parameter(name, 0, label, "choice", input="select", options=positions, labels=list(options))


def _checkbox(name: str, label: str, group: str) -> dict[str, Any]:
    return _parameter(name, True, label, group, input="checkbox")


def _parameter(name: str, value: Any, label: str, group: str, **bind: Any) -> dict[str, Any]:
    """A parameter bound to an input in a group of `Chart.controls`."""
    return {"name": name, "value": value, "bind": {**bind, "name": label, "element": f"#{_CHART}-{group}"}}


def _shown_percentile(percentiles: Sequence[int], wanted: int) -> int:
    """The percentile closest to the wanted one at which not all frames are replaced, and not none, if there is any."""
    inner = [percentile for percentile in percentiles if 0 < percentile < 100]
    return min(inner or percentiles, key=lambda percentile: abs(percentile - wanted))


def _measure_label(key: str) -> str:
    label = MEASURES[key.removesuffix(_CORRECTED)].label
    return f"{label}, chance-corrected" if key.endswith(_CORRECTED) else label


def _measure_note(key: str) -> str:
    measure = MEASURES[key.removesuffix(_CORRECTED)]
    if key.endswith(_CORRECTED):
        return f"Position of the value between chance (0) and the oracle (1). {measure.oracle}"
    return measure.description


def _step_label(step: str) -> str:
    return readable(step.rpartition(".")[2])
