// The verdicts on one dimension at a glance: a tick a picture, approved ones above the line, rejected ones below, and where the bar is
// and would be. Beside it the same is said in numbers.

import { h } from "./dom.js";

const SVG = "http://www.w3.org/2000/svg";
const [WIDTH, HEIGHT, MIDDLE, TALL] = [1000, 64, 32, 24]; // stretched to the room there is; strokes and words are not

function drawn(tag, attributes) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}

export function plot({ title, values, threshold, suggestion }) {
  const all = [...values.approved, ...values.rejected, threshold, suggestion.threshold];
  const [low, high] = [Math.min(...all), Math.max(...all)];
  const share = (value) => 0.015 + (0.97 * (value - low)) / (high - low || 1);
  const x = (value) => (share(value) * WIDTH).toFixed(1);
  const said = `${title}: ${values.approved.length} approved values and ${values.rejected.length} rejected ones from ${number(low)} to ${number(high)}`;
  const svg = drawn("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", class: "cs-r-plot", role: "img", "aria-label": said });
  const { band } = suggestion;
  if (band) svg.append(drawn("rect", { x: x(band[0]), y: 0, width: Math.max(1, x(band[1]) - x(band[0])), height: HEIGHT, class: "cs-r-band" }));
  const lines = (list, from, to, kind) => list.length && svg.append(drawn("path", { d: list.map((value) => `M${x(value)} ${from}V${to}`).join(""), class: kind }));
  lines(values.approved, MIDDLE - 2, MIDDLE - TALL, "cs-r-approved");
  lines(values.rejected, MIDDLE + 2, MIDDLE + TALL, "cs-r-rejected");
  svg.append(drawn("path", { d: `M0 ${MIDDLE}H${WIDTH}`, class: "cs-r-axis" }));
  lines([threshold], 0, HEIGHT, "cs-r-now");
  lines([suggestion.threshold], 0, HEIGHT, "cs-r-then");
  const labels = h("div", { class: "cs-r-labels", "aria-hidden": "true" }, h("span", { text: number(low) }), h("span", { text: number(high) }));
  const at = share(suggestion.threshold);
  if (at > 0.15 && at < 0.85) {
    const middle = h("b", { text: number(suggestion.threshold) });
    middle.style.left = `${at * 100}%`;
    labels.append(middle);
  }
  return h("div", {}, svg, labels);
}

/** Four digits, as thresholds have them. */
export const number = (value) => String(Number(value.toPrecision(4)));
