// The verdicts on one dimension at a glance: a tick a picture, approved ones above the line, rejected ones below, and where the bar is
// and would be. Beside it the same is said in numbers.

const SVG = "http://www.w3.org/2000/svg";
const [WIDTH, HEIGHT, MIDDLE, TALL] = [420, 74, 32, 20];

function drawn(tag, attributes, text) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  if (text !== undefined) element.textContent = text;
  return element;
}

export function plot({ title, values, threshold, suggestion }) {
  const lines = [threshold, ...(suggestion ? [suggestion.threshold] : [])];
  const all = [...values.approved, ...values.rejected, ...lines];
  const [low, high] = [Math.min(...all), Math.max(...all)];
  const x = (value) => 8 + ((value - low) / (high - low || 1)) * (WIDTH - 16);
  const said = `${title}: ${values.approved.length} approved values and ${values.rejected.length} rejected ones from ${number(low)} to ${number(high)}`;
  const svg = drawn("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, class: "cs-r-plot", role: "img", "aria-label": said });
  const band = suggestion?.band;
  if (band) svg.append(drawn("rect", { x: x(band[0]), y: MIDDLE - TALL - 4, width: Math.max(1, x(band[1]) - x(band[0])), height: 2 * TALL + 8, class: "cs-r-band" }));
  const ticks = (list, from, to, kind) => list.length && svg.append(drawn("path", { d: list.map((value) => `M${x(value).toFixed(1)} ${from}V${to}`).join(""), class: kind }));
  ticks(values.approved, MIDDLE - 2, MIDDLE - TALL, "cs-r-approved");
  ticks(values.rejected, MIDDLE + 2, MIDDLE + TALL, "cs-r-rejected");
  svg.append(drawn("path", { d: `M8 ${MIDDLE}H${WIDTH - 8}`, class: "cs-r-axis" }));
  const bar = (value, kind) => svg.append(drawn("path", { d: `M${x(value).toFixed(1)} ${MIDDLE - TALL - 6}V${MIDDLE + TALL + 6}`, class: kind }));
  bar(threshold, "cs-r-now");
  if (suggestion) bar(suggestion.threshold, "cs-r-then");
  const label = (value, anchor) => drawn("text", { x: x(value), y: HEIGHT - 4, "text-anchor": anchor }, number(value));
  svg.append(label(low, "start"), label(high, "end"));
  const middle = suggestion?.threshold ?? threshold;
  if (x(middle) > 60 && x(middle) < WIDTH - 60) svg.append(label(middle, "middle"));
  return svg;
}

/** Four digits, as thresholds have them. */
export const number = (value) => String(Number(value.toPrecision(4)));
