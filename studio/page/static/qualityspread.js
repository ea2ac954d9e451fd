// How the values of recent pictures lie, as a small plot: bars, those on the wrong side in red, and a line where the threshold is.

const SVG = "http://www.w3.org/2000/svg";
const [WIDTH, HEIGHT] = [144, 26];

function drawn(tag, attributes) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}

/** seen: {low, high, bins}. The plot reaches from the least to the greatest of the values and the threshold. */
export function spread({ low, high, bins }, bound, threshold) {
  const known = Number.isFinite(threshold);
  const [from, to] = known ? [Math.min(low, threshold), Math.max(high, threshold)] : [low, high];
  const x = (value) => 1 + ((value - from) / (to - from || 1)) * (WIDTH - 2);
  const svg = drawn("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, width: WIDTH, height: HEIGHT });
  const most = Math.max(...bins);
  const width = (high - low) / bins.length;
  bins.forEach((many, i) => {
    if (!many) return;
    const middle = low + (i + 0.5) * width;
    const fails = known && (bound === ">=" ? middle < threshold : middle > threshold);
    const tall = Math.max(2, (HEIGHT - 3) * Math.sqrt(many / most)); // the square root, so that the few that fail can be seen
    const wide = Math.max(2.5, x(low + width) - x(low) - 0.5);
    svg.append(drawn("rect", { x: Math.min(WIDTH - wide, x(low + i * width)), y: HEIGHT - 1 - tall, width: wide, height: tall, class: fails ? "cs-q-fails" : "cs-q-passes" }));
  });
  svg.append(drawn("line", { x1: 0, x2: WIDTH, y1: HEIGHT - 0.5, y2: HEIGHT - 0.5, class: "cs-q-base" }));
  if (known) svg.append(drawn("line", { x1: x(threshold), x2: x(threshold), y1: 0, y2: HEIGHT, class: "cs-q-line" }));
  return svg;
}
