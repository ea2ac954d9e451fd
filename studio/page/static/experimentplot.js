// How the answer came: the difference after each pair with its interval, which has left zero when it is sure.

import { h, plural, set } from "./dom.js";

const SVG = "http://www.w3.org/2000/svg";
const HEIGHT = 170;
const EDGE = { top: 10, right: 12, bottom: 26, left: 52 };
const SHOWN = 40; // rows of the table at most

export class Course {
  constructor() {
    this.svg = node("svg", { "aria-hidden": "true" });
    this.area = h("div", { class: "cs-x-plot", role: "img", tabindex: "0" }, this.svg);
    this.body = h("tbody");
    this.head = h("tr");
    this.table = h("details", { class: "cs-plot-table", ontoggle: () => this.rows() }, h("summary", { text: "Table", "aria-label": "Table: the difference after each pair" }),
      h("div", { class: "cs-x-scroll", tabindex: "0", role: "region", "aria-label": "The difference after each pair" }, h("table", { class: "cs-x-table" }, h("thead", {}, this.head), this.body)));
    this.element = h("figure", { class: "cs-x-course" }, this.area, this.table);
    new ResizeObserver(() => this.draw()).observe(this.area);
  }

  show({ course, planned, primary, which, at }, design) {
    // Where only the better side counts, a difference of wins is told as the share of pairs that B wins.
    const shares = design.outcome.kind === "preference" || primary.outcome.reach === null;
    const factor = design.outcome.kind === "passes" ? 100 : 1;
    this.points = course.map((point) => point.map((value) => (shares ? 50 + 50 * value : factor * value)));
    Object.assign(this, { planned, which, at, zero: shares ? 50 : 0, unit: shares ? " %" : "", title: shares ? "Pairs that B wins" : "B is better by" });
    this.element.hidden = !course.length;
    const last = this.points.at(-1);
    if (last) set(this.area, { "aria-label": `${this.title} after each pair. After ${plural(course.length, "pair")}: ${this.say(last[0])}, between ${this.say(last[1])} and ${this.say(last[2])}. The table below has them.` });
    this.head.replaceChildren(...["Pairs", this.title, "at least", "at most"].map((text) => h("th", { scope: "col", text })));
    this.rows();
    this.draw();
  }

  say(value) {
    return `${Math.abs(value) >= 10 ? Math.round(value) : Number(value.toFixed(1))}${this.unit}`;
  }

  rows() {
    if (!this.table.open || !this.points) return;
    const every = Math.ceil(this.points.length / SHOWN);
    const shown = this.points.map((point, i) => [i + 1, point]).filter(([i]) => i % every === 0 || i === this.points.length);
    this.body.replaceChildren(...shown.map(([i, point]) => h("tr", {}, h("th", { scope: "row", text: String(i) }), ...point.map((value) => h("td", { text: this.say(value) })))));
  }

  draw() {
    const width = this.area.clientWidth;
    if (!width || !this.points?.length) return;
    set(this.svg, { width, height: HEIGHT, viewBox: `0 0 ${width} ${HEIGHT}` });
    // What is ruled out in the first few pairs would squeeze the rest: the scale fits what came after them.
    const late = this.points.slice(Math.min(this.points.length - 1, Math.floor(this.points.length / 3)));
    const reach = Math.max(...late.flatMap((point) => point.map((value) => Math.abs(value - this.zero))), 1e-6) * 1.08;
    const x = (i) => EDGE.left + (i / Math.max(this.planned, this.points.length)) * (width - EDGE.left - EDGE.right);
    const y = (value) => EDGE.top + ((reach - Math.max(-reach, Math.min(reach, value - this.zero))) / (2 * reach)) * (HEIGHT - EDGE.top - EDGE.bottom);
    const step = nice(reach / 2);
    const ticks = [-2, -1, 0, 1, 2].map((i) => this.zero + i * step).filter((value) => Math.abs(value - this.zero) <= reach);
    const at = (k) => this.points.map((point, i) => `${x(i + 1)},${y(point[k])}`);
    const ends = [1, 0.5].map((part) => Math.round(this.planned * part)).filter((n) => n > 0);
    this.svg.replaceChildren(
      ...ticks.flatMap((value) => [
        node("line", { class: value === this.zero ? "cs-x-zero" : "cs-x-line", x1: EDGE.left, x2: width - EDGE.right, y1: y(value), y2: y(value) }),
        words(this.say(value), { x: EDGE.left - 8, y: y(value) + 4, "text-anchor": "end" }),
      ]),
      node("polygon", { class: "cs-x-band", points: [...at(1), ...at(2).reverse()].join(" ") }),
      node("polyline", { class: "cs-x-mean", points: at(0).join(" ") }),
      ...(this.at && this.which !== "none" ? [node("line", { class: "cs-x-at", x1: x(this.at), x2: x(this.at), y1: EDGE.top, y2: HEIGHT - EDGE.bottom })] : []),
      ...ends.map((n) => words(n === this.planned ? `${n} pairs` : String(n), { x: x(n), y: HEIGHT - 8, "text-anchor": n === this.planned ? "end" : "middle" })),
    );
  }
}

/** An interval on a line with zero in its middle; `reach`: what its ends stand for. The numbers stand beside it. */
export function bar(mean, low, high, reach) {
  const [width, height] = [120, 18];
  const span = Math.max(Math.abs(low), Math.abs(high), reach / 8) * 1.05;
  const x = (value) => ((value + span) / (2 * span)) * width;
  const svg = node("svg", { width, height, viewBox: `0 0 ${width} ${height}`, "aria-hidden": "true", class: "cs-x-bar", "data-sure": low > 0 ? "b" : high < 0 ? "a" : "" });
  svg.append(node("line", { class: "cs-x-zero", x1: x(0), x2: x(0), y1: 1, y2: height - 1 }), node("line", { class: "cs-x-span", x1: x(low), x2: x(high), y1: height / 2, y2: height / 2 }), node("circle", { class: "cs-x-dot", cx: x(mean), cy: height / 2, r: 3.5 }));
  return svg;
}

function nice(step) {
  const power = 10 ** Math.floor(Math.log10(step));
  return [5, 2, 1].map((factor) => factor * power).find((one) => one <= step) ?? power;
}

function node(name, attributes) {
  return set(document.createElementNS(SVG, name), attributes);
}

function words(text, attributes) {
  const element = node("text", { class: "cs-x-tick", ...attributes });
  element.textContent = text;
  return element;
}
