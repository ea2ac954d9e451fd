// Plots that a person reads at a glance: lines and stacked bars over time, drawn as plain SVG at the width there is, each with its
// table behind it. A pointer or the arrow keys tell the values of one step.

import { h, set } from "./dom.js";

const SVG = "http://www.w3.org/2000/svg";
const HEIGHT = 190;
const EDGE = { top: 10, right: 8, bottom: 24, left: 44 };
const MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(" ");

/** "2026-11-21" as a step of a plot is called: "21 Nov", or "Nov 2026" where a step is a month. */
export function dayWords(day, step = "day") {
  const [year, month, date] = day.split("-").map(Number);
  return step === "month" ? `${MONTHS[month - 1]} ${year}` : `${date} ${MONTHS[month - 1]}`;
}

/** Every plot is drawn anew when its width changes. */
class Plot {
  /** steps: first days. step: "day", "week" or "month". series: [{name, values, kind}], a value for each step, null for none. */
  constructor({ label, steps, step, series, say = String, unit = "" }) {
    Object.assign(this, { label, steps, step, series, say, unit, at: null });
    this.svg = node("svg", { "aria-hidden": "true" });
    this.tip = h("div", { class: "cs-plot-tip", hidden: true });
    this.area = h("div", {
      class: "cs-plot-area", tabindex: "0", role: "img", "aria-label": `${label}. ${this.summary()} The arrow keys tell each value; the table below has them all.`,
      onpointermove: (event) => this.point(event), onpointerleave: () => this.show(null), onblur: () => this.show(null), onkeydown: (event) => this.key(event),
    }, this.svg, this.tip);
    this.voice = h("p", { class: "cs-voice", role: "status" });
    this.element = h("figure", { class: "cs-plot" }, this.legend(), this.area, this.voice, this.table());
    new ResizeObserver(() => this.draw()).observe(this.area);
  }

  legend() {
    if (this.series.length < 2) return null;
    return h("ul", { class: "cs-legend" }, ...this.series.map((one, i) => h("li", {}, this.sample(one, i), one.name)));
  }

  summary() {
    return this.series.map((one) => {
      const known = one.values.filter((value) => value !== null);
      return known.length ? `${one.name}: ${this.say(known[0])} to ${this.say(known.at(-1))}${this.unit}, at most ${this.say(Math.max(...known))}.` : `${one.name}: nothing.`;
    }).join(" ");
  }

  table() {
    const head = h("tr", {}, h("th", { scope: "col", text: { day: "Day", week: "Week from", month: "Month" }[this.step] }), ...this.series.map((one) => h("th", { scope: "col", text: one.name })));
    const row = (day, i) => h("tr", {}, h("th", { scope: "row", text: dayWords(day, this.step) }), ...this.series.map((one) => h("td", { text: one.values[i] === null ? "" : `${this.say(one.values[i])}${this.unit}` })));
    const body = h("tbody", {});
    // Made when it is looked at: a page of plots has thousands of cells.
    const details = h("details", { class: "cs-plot-table", ontoggle: () => details.open && !body.firstChild && body.append(...this.steps.map(row)) },
      h("summary", { text: "Table", "aria-label": `Table: ${this.label}` }), h("div", { class: "cs-scroll", tabindex: "0", role: "region", "aria-label": this.label }, h("table", {}, h("thead", {}, head), body)));
    return details;
  }

  draw() {
    this.width = this.area.clientWidth;
    if (!this.width) return;
    set(this.svg, { width: this.width, height: HEIGHT, viewBox: `0 0 ${this.width} ${HEIGHT}` });
    this.inner = this.width - EDGE.left - EDGE.right;
    const [low, high] = this.extent();
    const ticks = niceTicks(low, high, 4).filter((value) => !this.whole || Number.isInteger(value));
    this.low = Math.min(low, ticks[0]);
    this.high = Math.max(high, ticks.at(-1));
    const across = ticks.flatMap((value) => [
      node("line", { class: "cs-grid", x1: EDGE.left, x2: this.width - EDGE.right, y1: this.y(value), y2: this.y(value) }),
      words(this.say(value), { class: "cs-tick-text", x: EDGE.left - 7, y: this.y(value) + 4, "text-anchor": "end" }),
    ]);
    const every = Math.ceil((this.steps.length * (this.step === "month" ? 74 : 62)) / this.inner);
    const along = this.steps.map((day, i) => (i % every ? null : words(dayWords(day, this.step), { class: "cs-tick-text", x: this.x(i), y: HEIGHT - 6, "text-anchor": i === 0 && this.steps.length > 3 ? "start" : "middle" })));
    this.rule = node("line", { class: "cs-rule", y1: EDGE.top, y2: HEIGHT - EDGE.bottom, visibility: "hidden" });
    this.svg.replaceChildren(...across, ...along.filter((text, i) => text && this.x(i) < this.width - 20), ...this.marks(), this.rule);
  }

  /** The middle of a step. */
  x(i) {
    return EDGE.left + ((i + 0.5) * this.inner) / this.steps.length;
  }

  y(value) {
    return HEIGHT - EDGE.bottom - ((value - this.low) / (this.high - this.low || 1)) * (HEIGHT - EDGE.top - EDGE.bottom);
  }

  point(event) {
    const x = event.clientX - this.area.getBoundingClientRect().left;
    const i = Math.floor(((x - EDGE.left) / this.inner) * this.steps.length);
    this.show(i >= 0 && i < this.steps.length ? i : null);
  }

  key(event) {
    const to = { ArrowLeft: (this.at ?? this.steps.length) - 1, ArrowRight: (this.at ?? -1) + 1, Home: 0, End: this.steps.length - 1 }[event.key];
    if (event.key === "Escape") this.show(null);
    if (to === undefined) return;
    event.preventDefault();
    this.show(Math.min(this.steps.length - 1, Math.max(0, to)));
    this.voice.textContent = [...this.tip.children].map((child) => child.textContent).join(", ");
  }

  show(i) {
    this.at = i;
    this.tip.hidden = i === null;
    this.rule?.setAttribute("visibility", i === null ? "hidden" : "visible");
    if (i === null || !this.rule) return;
    set(this.rule, { x1: this.x(i), x2: this.x(i) });
    const lines = this.series.map((one) => h("span", { text: `${one.name} ${one.values[i] === null ? "–" : this.say(one.values[i]) + this.unit}` }));
    this.tip.replaceChildren(h("b", { text: this.step === "week" ? `Week from ${dayWords(this.steps[i])}` : dayWords(this.steps[i], this.step) }), ...lines);
    const left = Math.min(this.width - this.tip.offsetWidth - 4, Math.max(4, this.x(i) + 10));
    this.tip.style.left = `${this.x(i) + 10 > left ? Math.max(4, this.x(i) - 10 - this.tip.offsetWidth) : left}px`;
  }
}

/** Lines over time. series: {name, values, spread?, threshold?}: spread is drawn as a band about the first line, thresholds as steps. */
export class Lines extends Plot {
  constructor({ from = null, to = null, ...given }) {
    super(given);
    Object.assign(this, { from, to });
  }

  extent() {
    const all = this.series.flatMap((one, i) => one.values.flatMap((value, at) => (value === null ? [] : [value, one.threshold?.[at] ?? value, ...(i === 0 && one.spread ? [value - one.spread[at], value + one.spread[at]] : [])])));
    if (!all.length) return [this.from ?? 0, this.to ?? 1];
    const [low, high] = [Math.min(...all), Math.max(...all)];
    const room = (high - low) * 0.08 || Math.abs(high) * 0.1 || 1;
    const bounded = (value) => Math.min(this.to ?? Infinity, Math.max(this.from ?? -Infinity, value));
    return [bounded(low - room), bounded(high + room)];
  }

  sample(one, i) {
    const svg = node("svg", { class: "cs-sample", viewBox: "0 0 26 10", width: 26, height: 10, "aria-hidden": "true" });
    svg.append(node("line", { class: `cs-line-${i}`, x1: 1, x2: 25, y1: 5, y2: 5 }));
    return svg;
  }

  marks() {
    return this.series.flatMap((one, i) => {
      const made = [];
      if (i === 0 && one.spread) made.push(...runs(one.values).map((run) => node("path", { class: "cs-band", d: this.band(one, run) })));
      if (one.threshold) made.push(...runs(one.threshold).map((run) => node("path", { class: `cs-bar-line cs-bar-line-${i}`, d: this.stairs(one.threshold, run) })));
      for (const run of runs(one.values)) {
        made.push(node("path", { class: `cs-line cs-line-${i}`, d: run.map((at, place) => `${place ? "L" : "M"}${this.x(at)} ${this.y(one.values[at])}`).join("") }));
        if (run.length === 1 || this.steps.length <= 14) made.push(...run.map((at) => node("circle", { class: `cs-spot cs-spot-${i}`, cx: this.x(at), cy: this.y(one.values[at]), r: 2.6 })));
      }
      return made;
    });
  }

  band(one, run) {
    const edge = (sign) => run.map((at) => `${this.x(at)} ${this.y(one.values[at] + sign * one.spread[at])}`);
    return `M${edge(1).join("L")}L${edge(-1).reverse().join("L")}Z`;
  }

  stairs(values, run) {
    const half = this.inner / this.steps.length / 2;
    return run.map((at, place) => `${place ? "L" : "M"}${this.x(at) - half} ${this.y(values[at])}H${this.x(at) + half}`).join("");
  }
}

/** Bars over time, one above the other. series: {name, values, kind}: kind names the colour. */
export class Bars extends Plot {
  whole = true;

  extent() {
    return [0, Math.max(1, ...this.steps.map((_, i) => this.series.reduce((sum, one) => sum + (one.values[i] ?? 0), 0)))];
  }

  sample(one) {
    return h("span", { class: "cs-swatch", data: { kind: one.kind }, "aria-hidden": "true" });
  }

  marks() {
    const wide = Math.min(46, Math.max(1, (this.inner / this.steps.length) * 0.74));
    return this.steps.flatMap((_, i) => {
      let below = 0;
      return this.series.map((one) => {
        const value = one.values[i] ?? 0;
        const top = this.y(below + value);
        const bar = node("rect", { class: "cs-block", "data-kind": one.kind, x: this.x(i) - wide / 2, width: wide, y: top, height: Math.max(0, this.y(below) - top) });
        below += value;
        return value ? bar : null;
      });
    }).filter(Boolean);
  }
}

/** A line without axes, for beside a number. */
export function sparkline(values) {
  const [width, height] = [96, 26];
  const svg = node("svg", { class: "cs-spark", viewBox: `0 0 ${width} ${height}`, width, height, "aria-hidden": "true" });
  const known = values.filter((value) => value !== null);
  if (known.length < 2) return svg;
  const [low, high] = [Math.min(...known), Math.max(...known)];
  const x = (i) => 2 + (i * (width - 4)) / (values.length - 1);
  const y = (value) => (high === low ? height / 2 : height - 3 - ((value - low) / (high - low)) * (height - 6));
  for (const run of runs(values)) {
    if (run.length === 1) svg.append(node("circle", { cx: x(run[0]), cy: y(values[run[0]]), r: 1.4 }));
    else svg.append(node("path", { d: run.map((at, place) => `${place ? "L" : "M"}${x(at).toFixed(1)} ${y(values[at]).toFixed(1)}`).join("") }));
  }
  return svg;
}

/** Places of values that follow one another without a gap. */
function runs(values) {
  const found = [];
  values.forEach((value, i) => {
    if (value === null || value === undefined) return;
    if (found.at(-1)?.at(-1) === i - 1) found.at(-1).push(i);
    else found.push([i]);
  });
  return found;
}

/** About `count` round numbers that lie within low..high. */
export function niceTicks(low, high, count) {
  const raw = (high - low || 1) / count;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 2.5, 5, 10].map((one) => one * power).find((one) => one >= raw);
  const ticks = [];
  for (let value = Math.ceil(low / step - 1e-9) * step; value <= high + step * 1e-9; value += step) ticks.push(Number(value.toPrecision(10)));
  return ticks.length ? ticks : [low];
}

function node(name, attributes) {
  return set(document.createElementNS(SVG, name), attributes);
}

function words(text, attributes) {
  const element = node("text", attributes);
  element.textContent = text;
  return element;
}
