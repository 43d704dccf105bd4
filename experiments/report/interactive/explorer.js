// The figures that one can switch and read values off: controls, what they choose, and the values under the pointer.

const data = JSON.parse(document.getElementById("explorer-data").textContent);
const root = document.getElementById("explorer");
const byKey = new Map(data.curves.map((record) => [[record.m, record.t, record.g, record.e].join(), record]));

const state = {
  measure: 0,
  type: 0,
  percentile: data.start,
  explainers: new Set(data.explainers.keys()),
  models: new Set(data.models.keys()),
  shown: new Set(["chance", "references", "published"]),
};

const parts = {};

const fixed = (value) => (isNumber(value) ? value.toFixed(3) : "–");
const mean = (values) => (values.every(isNumber) ? values.reduce((sum, one) => sum + one, 0) / values.length : null);

/** Standard deviation of a sample. */
function deviation(values) {
  const centre = mean(values);
  if (values.length < 2 || centre === null) return null;
  return Math.sqrt(values.reduce((sum, one) => sum + (one - centre) ** 2, 0) / (values.length - 1));
}

const measure = () => data.measures[state.measure];

const atPercentiles = () => measure().axis === "percentile";

/** Position on the measure's axis that is nearest to the chosen percentile; its last stage where it has none. */
function position() {
  const axis = measure().x;
  if (!atPercentiles()) return axis.length - 1;
  return axis.reduce((best, value, i) => (Math.abs(value - state.percentile) < Math.abs(axis[best] - state.percentile) ? i : best), 0);
}

/** Pixels there are to draw in; none are known while the page is hidden. */
const room = () => Math.max(280, root.clientWidth);

/** Everything known of a model and explainer under the chosen measure and type, null where it was not measured. */
function curveOf(model, explainer) {
  const record = byKey.get([state.measure, state.type, model, explainer].join());
  if (!record) return null;
  const at = record.v[0].map((_, i) => record.v.map((run) => run[i]));
  const centre = at.map(mean);
  const spread = at.map(deviation);
  const chance = record.c && state.shown.has("chance") ? { mean: record.c[0], low: record.c[1] ?? record.c[0], high: record.c[2] ?? record.c[0] } : null;
  return {
    model: data.models[model],
    mean: centre,
    spread,
    runs: at,
    low: centre.map((value, i) => (isNumber(spread[i]) ? value - spread[i] : null)),
    high: centre.map((value, i) => (isNumber(spread[i]) ? value + spread[i] : null)),
    interval: record.i,
    chance,
    pValues: record.p,
    published: record.u && state.shown.has("published") ? record.u : null,
  };
}

/** What is known at one position, as short texts after the mean. */
function facts(curve, i) {
  const found = [];
  if (isNumber(curve.spread[i])) found.push(["sd over runs", fixed(curve.spread[i])]);
  if (curve.interval && isNumber(curve.interval[0][i])) found.push(["95 % over clips", `${fixed(curve.interval[0][i])} to ${fixed(curve.interval[1][i])}`]);
  if (curve.chance && isNumber(curve.chance.mean[i])) found.push(["chance", fixed(curve.chance.mean[i])]);
  if (curve.pValues && isNumber(curve.pValues[i])) found.push(["p against chance", curve.pValues[i] < 0.001 ? "< 0.001" : fixed(curve.pValues[i])]);
  if (curve.published && isNumber(curve.published[i])) found.push(["published", fixed(curve.published[i])]);
  return found;
}

const positionName = (i) => (atPercentiles() ? `${measure().x[i]}th percentile` : String(measure().x[i]));

function drawCurves() {
  const chosen = [...state.explainers].sort((a, b) => a - b);
  const shown = chosen.map((e) => [e, [...state.models].sort().map((g) => curveOf(g, e)).filter(Boolean)]);
  const references = state.shown.has("references") ? referencesOf() : [];
  const values = shown.flatMap(([, curves]) => curves.flatMap((curve) => [
    ...curve.mean, ...curve.low, ...curve.high, ...(curve.chance ? curve.chance.high : []), ...(curve.published ?? []),
  ]));
  const range = extent([...values, ...references.flatMap((reference) => reference.values)]);
  const columns = Math.max(1, Math.min(chosen.length, Math.floor(room() / 260)));
  const width = Math.min(640, Math.floor(room() / columns) - 12);
  const height = Math.round(Math.max(170, Math.min(300, width * 0.6)));
  parts.curves.replaceChildren(...shown.filter(([, curves]) => curves.length).map(([e, curves]) => {
    const title = data.explainers[e];
    const spec = { title, label: `${title}: ${measure().label} by ${measure().axis}. Arrow keys move along it.`, xLabels: measure().x.map(String), marked: position(), range, curves, references };
    const { drawing, at } = lineChart(spec, width, height);
    drawing.dataset.explainer = e;
    listen(drawing, title, curves, references, at);
    return drawing;
  }));
  parts.curves.hidden = parts.curvesKey.hidden = measure().x.length < 2;
  const drawn = shown.flatMap(([, curves]) => curves);
  parts.curvesKey.replaceChildren(...keys([
    ...(drawn.some((curve) => curve.spread.some(isNumber)) ? [["band", "mean ± sd over runs"]] : []),
    ...(drawn.some((curve) => curve.chance) ? [["chance", "chance: mean and 90 % range of shifted curves"]] : []),
    ...(drawn.some((curve) => curve.published) ? [["published", "published"]] : []),
    ...references.map((reference) => [reference.name, reference.label]),
  ]));
}

/** References under the chosen measure and type. */
function referencesOf() {
  const found = data.references.filter((record) => record.m === state.measure && record.t === state.type);
  return found.map((record) => ({ name: record.name, label: record.label, values: record.v }));
}

/** Show values under the pointer and move along a chart by keys. */
function listen(drawing, title, curves, references, at) {
  const show = (i, left, top) => {
    const rows = curves.map((curve) => ({ name: curve.model.label, colour: curve.model.colour, value: fixed(curve.mean[i]), facts: facts(curve, i) }));
    const others = references.map((reference) => [reference.label, fixed(reference.values[i])]);
    showTip(`${title}, ${positionName(i)}`, rows, others, left, top);
  };
  const place = (event) => {
    const box = drawing.getBoundingClientRect();
    const i = at(((event.clientX - box.left) / box.width) * drawing.viewBox.baseVal.width);
    show(i, event.clientX, event.clientY);
    return i;
  };
  drawing.addEventListener("pointermove", place);
  drawing.addEventListener("pointerleave", hideTip);
  drawing.addEventListener("blur", hideTip);
  drawing.addEventListener("click", (event) => {
    const i = place(event);
    choosePosition(i);
    show(i, event.clientX, event.clientY);
  });
  drawing.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (event.key === "Escape") hideTip();
    if (!step) return;
    event.preventDefault();
    const i = Math.min(measure().x.length - 1, Math.max(0, position() + step));
    choosePosition(i);
    const again = parts.curves.querySelector(`[data-explainer="${drawing.dataset.explainer}"]`);
    again.focus();
    const box = again.getBoundingClientRect();
    show(i, box.left + box.width / 2, box.top + 40);
  });
}

function choosePosition(i) {
  if (!atPercentiles()) return;
  state.percentile = measure().x[i];
  draw();
}

function drawDots() {
  const i = position();
  const rows = [...state.explainers].sort((a, b) => a - b).map((e) => ({
    title: data.explainers[e],
    dots: [...state.models].sort().map((g) => curveOf(g, e)).filter((curve) => curve && isNumber(curve.mean[i])).map((curve) => ({
      model: curve.model,
      mean: curve.mean[i],
      overClips: Boolean(curve.interval),
      low: curve.interval ? curve.interval[0][i] : curve.low[i],
      high: curve.interval ? curve.interval[1][i] : curve.high[i],
      runs: curve.runs[i].filter(isNumber),
      chance: curve.chance && isNumber(curve.chance.mean[i]) ? { mean: curve.chance.mean[i], low: curve.chance.low[i], high: curve.chance.high[i] } : null,
      published: curve.published ? curve.published[i] : null,
      pValue: curve.pValues ? curve.pValues[i] : null,
      value: fixed(curve.mean[i]),
      facts: facts(curve, i),
      hover: [`${data.explainers[e]}, ${curve.model.label}: ${fixed(curve.mean[i])}`, ...facts(curve, i).map(([name, value]) => `${name} ${value}`)].join(", "),
    })),
  })).filter((row) => row.dots.length);
  const values = rows.flatMap((row) => row.dots.flatMap((dot) => [dot.mean, dot.low, dot.high, dot.published, ...dot.runs, ...(dot.chance ? [dot.chance.high] : [])]));
  const at = measure().x.length > 1 ? (atPercentiles() ? ` at the ${positionName(i)}` : `, up to ${positionName(i)}`) : "";
  parts.dotsTitle.textContent = `${measure().label}${at}`;
  const drawing = dotChart({ label: parts.dotsTitle.textContent, rows, range: extent(values) }, Math.min(820, room()));
  parts.dots.replaceChildren(drawing);
  const dots = rows.flatMap((row) => row.dots.map((dot) => [row.title, dot]));
  drawing.querySelectorAll(".lane").forEach((lane, k) => {
    const [title, dot] = dots[k];
    const show = (left, top) => showTip(title, [{ name: dot.model.label, colour: dot.model.colour, value: dot.value, facts: dot.facts }], [], left, top);
    lane.addEventListener("pointermove", (event) => show(event.clientX, event.clientY));
    lane.addEventListener("pointerleave", hideTip);
    lane.addEventListener("focus", () => {
      const box = lane.querySelector(".dot").getBoundingClientRect();
      show(box.left, box.bottom);
    });
    lane.addEventListener("blur", hideTip);
  });
  const drawn = dots.map(([, dot]) => dot);
  parts.dotsKey.replaceChildren(...keys([
    ...(drawn.some((dot) => dot.overClips) ? [["spread", "mean and 95 % interval over clips"]] : []),
    ...(drawn.some((dot) => !dot.overClips && isNumber(dot.low)) ? [["spread", "mean ± sd over runs"]] : []),
    ...(drawn.some((dot) => isNumber(dot.pValue) && dot.pValue >= 0.05) ? [["open", "no better than chance (p ≥ 0.05)"]] : []),
    ...(drawn.some((dot) => dot.runs.length > 1) ? [["runs", "single runs"]] : []),
    ...(drawn.some((dot) => dot.chance) ? [["chance", "chance: mean and 90 % range of shifted curves"]] : []),
    ...(drawn.some((dot) => isNumber(dot.published)) ? [["diamond", "published"]] : []),
  ]));
  drawTable(dots);
}

/** The dots as numbers, for who cannot see them or prints the page. */
function drawTable(dots) {
  const columns = ["sd over runs", "95 % over clips", "chance", "p against chance", "published"].filter((name) => dots.some(([, dot]) => dot.facts.some(([fact]) => fact === name)));
  const head = element("tr", {}, ...["Explainer", "Model", measure().label, ...columns].map((name, i) => element("th", { scope: "col", class: i > 1 ? "number" : "" }, name)));
  const body = dots.map(([title, dot]) => element("tr", {}, element("td", {}, title), element("td", {}, dot.model.label), ...[dot.value, ...columns.map((name) => new Map(dot.facts).get(name) ?? "–")].map((text) => element("td", { class: "number" }, text))));
  parts.table.replaceChildren(element("thead", {}, head), element("tbody", {}, ...body));
}

function showTip(title, rows, others, left, top) {
  const lines = rows.map((row) => element("div", { class: "tip-row", style: `--colour: ${row.colour}` },
    element("b", {}, `${row.name} ${row.value}`), ...row.facts.map(([name, value]) => element("span", {}, `${name} ${value}`))));
  parts.tip.replaceChildren(element("strong", {}, title), ...lines, ...others.map(([name, value]) => element("span", {}, `${name} ${value}`)));
  parts.tip.hidden = false;
  const box = parts.tip.getBoundingClientRect();
  const beside = left + 16 + box.width > window.innerWidth ? left - 16 - box.width : left + 16;
  parts.tip.style.left = `${Math.max(4, Math.min(beside, window.innerWidth - box.width - 4))}px`;
  parts.tip.style.top = `${Math.max(4, Math.min(top + 12, window.innerHeight - box.height - 4))}px`;
}

function hideTip() {
  parts.tip.hidden = true;
}

function draw() {
  const chosen = measure();
  const types = new Set(data.curves.filter((record) => record.m === state.measure).map((record) => record.t));
  for (const option of parts.type.options) option.disabled = !types.has(Number(option.value));
  if (!types.has(state.type)) {
    state.type = 0;
    parts.type.value = "0";
  }
  const percentiles = atPercentiles();
  parts.slider.disabled = !percentiles;
  if (percentiles) {
    Object.assign(parts.slider, { min: 0, max: chosen.x.length - 1, value: position() });
    parts.slider.setAttribute("aria-valuetext", positionName(position()));
  }
  parts.sliderValue.textContent = percentiles ? `${chosen.x[position()]}` : "–";
  parts.note.textContent = chosen.note;
  hideTip();
  drawCurves();
  drawDots();
}

/** A labelled list to choose one of. */
function chooser(label, options, choose) {
  const select = element("select", { "aria-label": label }, ...options.map((text, i) => element("option", { value: i }, text)));
  select.addEventListener("change", () => {
    choose(Number(select.value));
    draw();
  });
  return [element("label", { class: "choice" }, element("span", {}, label), select), select];
}

/** A set of boxes, each of which puts a thing into a set or takes it out; at least one stays where one must. */
function boxes(legend, entries, chosen, needed) {
  const field = element("fieldset", {}, element("legend", {}, legend));
  for (const { value, text, model } of entries) {
    const box = element("input", { type: "checkbox" });
    box.checked = chosen.has(value);
    box.addEventListener("change", () => {
      if (box.checked) chosen.add(value);
      else if (!needed || chosen.size > 1) chosen.delete(value);
      else box.checked = true;
      draw();
    });
    const swatch = model ? [element("i", { class: `swatch ${model.dash}`, style: `--colour: ${model.colour}` })] : [];
    field.append(element("label", {}, box, ...swatch, text));
  }
  if (entries.length > 3) {
    const all = element("button", { type: "button" }, "all");
    all.addEventListener("click", () => {
      for (const box of field.querySelectorAll("input:not(:checked)")) box.click();
    });
    field.append(all);
  }
  return field;
}

function build() {
  const [measureChoice] = chooser("Measure", data.measures.map(({ label }) => label), (i) => { state.measure = i; });
  const [typeChoice, type] = chooser("Type of anomaly", data.types, (i) => { state.type = i; });
  const slider = element("input", { type: "range", step: 1, "aria-label": "Percentile" });
  slider.addEventListener("input", () => {
    state.percentile = measure().x[Number(slider.value)];
    draw();
  });
  const sliderValue = element("output");
  Object.assign(parts, {
    type, slider, sliderValue,
    curves: element("div", { class: "curves" }), curvesKey: element("p", { class: "keys" }),
    dots: element("div", { class: "dots" }), dotsKey: element("p", { class: "keys" }), dotsTitle: element("h3"),
    note: element("p", { class: "note" }), table: element("table"),
    tip: element("div", { class: "tip", role: "status" }),
  });
  const numbers = element("details", {}, element("summary", {}, "The same as numbers"), element("div", { class: "scroll" }, parts.table));
  const extras = [{ value: "chance", text: "chance" }, { value: "references", text: "references" }];
  if (data.curves.some((record) => record.u)) extras.push({ value: "published", text: "published" });
  root.replaceChildren(
    element("div", { class: "controls" },
      measureChoice, typeChoice,
      element("label", { class: "choice" }, element("span", {}, "Percentile"), slider, sliderValue),
      boxes("Models", data.models.map((model, value) => ({ value, text: model.label, model })), state.models, true),
      boxes("Explainers", data.explainers.map((text, value) => ({ value, text })), state.explainers, true),
      boxes("Show", extras, state.shown, false)),
    parts.note, parts.curves, parts.curvesKey, parts.dotsTitle, parts.dots, parts.dotsKey, numbers, parts.tip);
  draw();
  window.addEventListener("beforeprint", () => { numbers.open = true; });
  document.addEventListener("pointerdown", (event) => {
    if (!event.target.closest("#explorer svg")) hideTip();
  });
  let width = root.clientWidth;
  new ResizeObserver(() => {
    if (root.clientWidth && root.clientWidth !== width) {
      width = root.clientWidth;
      draw();
    }
  }).observe(root);
}

build();
