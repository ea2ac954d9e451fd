// The course of a training: loss as a thin line, validation as a strong one with its best marked. The same is told in words.

import { h } from "./dom.js";

const SVG = "http://www.w3.org/2000/svg";
const [WIDTH, HEIGHT] = [1000, 220]; // stretched to the room there is; strokes and words are not

/** curves: {loss, validation: [[step, value]]}; best: the step whose weights are kept, null where none is known. */
export function curve({ loss = [], validation = [] }, steps, best) {
  const values = [...loss, ...validation].map(([, value]) => value).sort((a, b) => a - b);
  if (values.length < 2) return h("p", { class: "cs-quiet", text: "The curves begin with the first steps." });
  // One wild step would flatten all the others.
  const [low, high] = [values[0], Math.max(values[Math.floor(values.length * 0.98)], ...validation.map(([, value]) => value))];
  const x = (step) => ((step / Math.max(1, steps)) * WIDTH).toFixed(1);
  const y = (value) => (HEIGHT - 6 - ((Math.min(value, high) - low) / (high - low || 1)) * (HEIGHT - 12)).toFixed(1);
  const line = (points) => points.map(([step, value], i) => `${i ? "L" : "M"}${x(step)} ${y(value)}`).join("");
  const last = validation.at(-1) ?? loss.at(-1);
  const said = `Loss over ${steps} steps${validation.length ? `; validation went from ${number(validation[0][1])} to ${number(last[1])}${best !== null ? `, best at step ${best}` : ""}` : `: ${number(last[1])} now`}.`;
  const svg = node("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img", "aria-label": said });
  if (best) svg.append(node("path", { d: `M${x(best)} 0V${HEIGHT}`, class: "cs-lt-best" }));
  if (loss.length) svg.append(node("path", { d: line(loss), class: "cs-lt-loss" }));
  if (validation.length) svg.append(node("path", { d: line(validation), class: "cs-lt-validation" }));
  return h("figure", { class: "cs-lt-curve" },
    h("ul", { class: "cs-lt-legend", "aria-hidden": "true" }, h("li", { data: { line: "loss" }, text: "loss" }), validation.length ? h("li", { data: { line: "validation" }, text: "validation" }) : null, best ? h("li", { data: { line: "best" }, text: `best, step ${best}` }) : null),
    h("div", { class: "cs-lt-plot" }, h("span", { "aria-hidden": "true", text: number(high) }), h("span", { "aria-hidden": "true", text: number(low) }), svg),
    h("figcaption", { class: "cs-quiet", text: said }));
}

function node(tag, attributes) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}

/** Three digits. */
export const number = (value) => String(Number(value.toPrecision(3)));
