// Charts as SVG, drawn from plain values; explorer.js, which follows this file in the page, decides what they show.

const SVG_NAMESPACE = "http://www.w3.org/2000/svg";

/** An element with attributes and children; text is never taken for markup. */
function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

/** The same for parts of a drawing. */
function shape(name, attributes = {}, ...children) {
  const made = document.createElementNS(SVG_NAMESPACE, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

const isNumber = (value) => value !== null && value !== undefined;

/** Round values between two ends, about four of them. */
function ticksBetween(low, high) {
  const rough = (high - low) / 4 || 1;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map((factor) => factor * power).find((candidate) => candidate >= rough * 0.999);
  const ticks = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + 1e-9 * step; i += 1) ticks.push(i * step);
  return { ticks, digits: Math.max(0, -Math.floor(Math.log10(step) + 1e-9) + (step / power === 2.5 ? 1 : 0)) };
}

/** Ends of an axis that shows all values and 0. */
function extent(values) {
  const known = values.filter(isNumber);
  const high = Math.max(0, ...known);
  const low = Math.min(0, ...known);
  const margin = 0.05 * (high - low || 1);
  return [low < 0 ? low - margin : 0, high + margin];
}

function pathThrough(points) {
  let pen = "M";
  let path = "";
  for (const [x, y] of points) {
    if (!isNumber(y)) {
      pen = "M";
      continue;
    }
    path += `${pen}${x.toFixed(1)} ${y.toFixed(1)}`;
    pen = "L";
  }
  return path;
}

/** A band between two rows of values; nothing where they are unknown. */
function bandBetween(low, high, x, y, attributes) {
  const known = low.map((_, i) => i).filter((i) => isNumber(low[i]) && isNumber(high[i]));
  if (known.length < 2) return "";
  const there = known.map((i) => [x(i), y(high[i])]);
  const back = known.reverse().map((i) => [x(i), y(low[i])]);
  return shape("path", { d: `${pathThrough([...there, ...back])}Z`, ...attributes });
}

/**
 * Curves of one explainer, a line a model.
 *
 * spec: title, label (for who cannot see it), xLabels, marked (position), range ([low, high]), curves (each with
 * model, mean, low, high, chance, published), references (each with name, values).
 * Gives the drawing and `at`, which says which position a horizontal place in it belongs to.
 */
function lineChart(spec, width, height) {
  const left = 36;
  const [right, top, bottom] = [10, 24, 22];
  const last = spec.xLabels.length - 1;
  const x = (i) => left + (last ? i / last : 0.5) * (width - left - right);
  const y = (value) => (isNumber(value) ? top + (1 - (value - spec.range[0]) / (spec.range[1] - spec.range[0])) * (height - top - bottom) : null);
  const line = (values, attributes) => shape("path", { d: pathThrough(values.map((value, i) => [x(i), y(value)])), ...attributes });

  const drawing = shape("svg", { viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "aria-label": spec.label, tabindex: 0 });
  drawing.append(shape("text", { x: left, y: 13, class: "title" }, spec.title));
  const { ticks, digits } = ticksBetween(...spec.range);
  for (const tick of ticks) {
    drawing.append(shape("line", { x1: left, x2: width - right, y1: y(tick), y2: y(tick), class: tick === 0 ? "axis" : "grid" }));
    drawing.append(shape("text", { x: left - 5, y: y(tick) + 3.5, class: "tick y" }, tick.toFixed(digits)));
  }
  const fitting = Math.max(1, Math.floor((width - left) / (10 + 6 * Math.max(...spec.xLabels.map((text) => text.length)))));
  const every = Math.ceil(spec.xLabels.length / fitting);
  spec.xLabels.forEach((text, i) => {
    if ((last - i) % every === 0) drawing.append(shape("text", { x: x(i), y: height - 7, class: "tick x" }, text));
  });
  drawing.append(shape("line", { x1: x(spec.marked), x2: x(spec.marked), y1: top, y2: height - bottom, class: "marked" }));

  for (const { name, values } of spec.references) drawing.append(line(values, { class: `reference ${name}` }));
  for (const curve of spec.curves) {
    const colour = { style: `--colour: ${curve.model.colour}` };
    if (curve.chance) drawing.append(bandBetween(curve.chance.low, curve.chance.high, x, y, { class: "chance", ...colour }));
  }
  for (const curve of spec.curves) {
    const colour = { style: `--colour: ${curve.model.colour}` };
    drawing.append(bandBetween(curve.low, curve.high, x, y, { class: "band", ...colour }));
    if (curve.chance) drawing.append(line(curve.chance.mean, { class: "chance-level", ...colour }));
    if (curve.published) drawing.append(line(curve.published, { class: `published ${curve.model.dash}`, ...colour }));
    drawing.append(line(curve.mean, { class: `curve ${curve.model.dash}`, ...colour }));
    if (isNumber(curve.mean[spec.marked])) {
      drawing.append(shape("circle", { cx: x(spec.marked), cy: y(curve.mean[spec.marked]), r: 3.2, class: "point", ...colour }));
    }
  }
  const at = (place) => Math.min(last, Math.max(0, Math.round(((place - left) / (width - left - right)) * last) || 0));
  return { drawing, at };
}

/**
 * All explainers at one position, a row a model.
 *
 * spec: label, rows (each with title and dots, each with model, mean, low, high, runs, chance, published, pValue,
 * hover), range ([low, high]).
 */
function dotChart(spec, width) {
  const lane = 15;
  const longest = Math.max(...spec.rows.map((row) => row.title.length), 0);
  const [left, right, bottom] = [Math.min(18 + 6.4 * longest, 0.45 * width), 14, 26];
  const heights = spec.rows.map((row) => Math.max(1, row.dots.length) * lane + 12);
  const height = heights.reduce((sum, one) => sum + one, 6) + bottom;
  const x = (value) => left + ((value - spec.range[0]) / (spec.range[1] - spec.range[0])) * (width - left - right);

  const drawing = shape("svg", { viewBox: `0 0 ${width} ${height}`, width, height, role: "group", "aria-label": spec.label });
  const { ticks, digits } = ticksBetween(...spec.range);
  for (const tick of ticks) {
    drawing.append(shape("line", { x1: x(tick), x2: x(tick), y1: 4, y2: height - bottom, class: tick === 0 ? "axis" : "grid" }));
    drawing.append(shape("text", { x: x(tick), y: height - 10, class: "tick x" }, tick.toFixed(digits)));
  }
  let top = 6;
  spec.rows.forEach((row, i) => {
    if (i) drawing.append(shape("line", { x1: 0, x2: width - right, y1: top, y2: top, class: "grid" }));
    drawing.append(shape("text", { x: left - 10, y: top + heights[i] / 2 + 4, class: "row" }, row.title));
    row.dots.forEach((dot, j) => drawing.append(dotLane(dot, x, top + 6 + (j + 0.5) * lane, lane, [left, width - right])));
    top += heights[i];
  });
  return drawing;
}

/** One model's mean with its spread, its runs, its chance level and what was published. */
function dotLane(dot, x, middle, lane, [start, end]) {
  const group = shape("g", { class: "lane", style: `--colour: ${dot.model.colour}`, tabindex: 0, role: "img", "aria-label": dot.hover });
  group.append(shape("rect", { x: start, width: end - start, y: middle - lane / 2, height: lane, class: "target" }));
  if (dot.chance) {
    group.append(shape("rect", { x: x(dot.chance.low), width: Math.max(1, x(dot.chance.high) - x(dot.chance.low)), y: middle - lane / 2 + 2, height: lane - 4, class: "chance" }));
    group.append(shape("line", { x1: x(dot.chance.mean), x2: x(dot.chance.mean), y1: middle - lane / 2 + 2, y2: middle + lane / 2 - 2, class: "chance-level" }));
  }
  if (isNumber(dot.low)) group.append(shape("line", { x1: x(dot.low), x2: x(dot.high), y1: middle, y2: middle, class: "spread" }));
  if (dot.runs.length > 1) {
    for (const run of dot.runs) group.append(shape("line", { x1: x(run), x2: x(run), y1: middle - 3.5, y2: middle + 3.5, class: "run" }));
  }
  if (isNumber(dot.published)) {
    group.append(shape("path", { d: `M${x(dot.published)} ${middle - 5}l5 5l-5 5l-5 -5Z`, class: "published" }));
  }
  const open = isNumber(dot.pValue) && dot.pValue >= 0.05;
  group.append(shape("circle", { cx: x(dot.mean), cy: middle, r: 4.2, class: open ? "dot open" : "dot" }));
  return group;
}

/** What the marks of the charts mean; each key is a sample of the mark and a text. */
function keys(entries) {
  const samples = {
    band: () => [shape("rect", { x: 0, y: 2, width: 24, height: 10, class: "band" }), shape("path", { d: "M0 7H24", class: "curve" })],
    chance: () => [shape("rect", { x: 0, y: 1, width: 24, height: 12, class: "chance" }), shape("path", { d: "M0 7H24", class: "chance-level" })],
    published: () => [shape("path", { d: "M0 7H24", class: "published" })],
    diamond: () => [shape("path", { d: "M12 2l5 5l-5 5l-5 -5Z", class: "published mark" })],
    spread: () => [shape("path", { d: "M0 7H24", class: "spread" }), shape("circle", { cx: 12, cy: 7, r: 4.2, class: "dot" })],
    open: () => [shape("circle", { cx: 12, cy: 7, r: 4.2, class: "dot open" })],
    runs: () => [4, 11, 17].map((x) => shape("path", { d: `M${x} 3V11`, class: "run" })),
  };
  return entries.map(([name, text]) => element("span", { class: "key" },
    shape("svg", { viewBox: "0 0 24 14", width: 24, height: 14, "aria-hidden": "true", style: "--colour: #52606d" },
      ...(samples[name] ?? (() => [shape("path", { d: "M0 7H24", class: `reference ${name}` })]))()), text));
}
