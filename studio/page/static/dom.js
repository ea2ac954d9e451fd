// Building the page. Whatever comes from data enters through textContent or an attribute, never as markup.

const SVG = "http://www.w3.org/2000/svg";

const ICONS = {
  close: "M4 4l8 8M12 4l-8 8",
  left: "M10 3.5L5.5 8l4.5 4.5",
  right: "M6 3.5L10.5 8 6 12.5",
  pass: "M3.5 8.4l3 3 6-6.6",
  fail: "M4.2 4.2l7.6 7.6M11.8 4.2l-7.6 7.6",
  warn: "M8 3.2l5 9.3H3zM8 7v2.4M8 10.9h.01",
  none: "M4.5 8h7",
  front: "M3.5 3h9M8 13V5.8M4.8 9L8 5.8 11.2 9",
  up: "M8 12.5v-9M4.3 7.2L8 3.5l3.7 3.7",
  down: "M8 3.5v9M4.3 8.8L8 12.5l3.7-3.7",
  pause: "M5.5 3.5v9M10.5 3.5v9",
  play: "M5 3.3l7.5 4.7L5 12.7z",
  clock: "M8 2.5a5.5 5.5 0 1 1 0 11 5.5 5.5 0 0 1 0-11zM8 5v3.2l2.2 1.4",
  open: "M4 6l4 4 4-4",
  star: "M8 2.6l1.7 3.5 3.8.5-2.8 2.7.7 3.8L8 11.3l-3.4 1.8.7-3.8-2.8-2.7 3.8-.5z",
  grid: "M3 3h4v4H3zM9 3h4v4H9zM3 9h4v4H3zM9 9h4v4H9z",
  loupe: "M7 3a4 4 0 1 1 0 8 4 4 0 0 1 0-8zM10 10l3 3",
  compare: "M2.5 3.5h11v9h-11zM8 2v12",
  survey: "M2 4h3.4v8H2zM6.3 4h3.4v8H6.3zM10.6 4H14v8h-3.4z",
  undo: "M6 3.5L3 6.5l3 3M3.2 6.5H9a3.5 3.5 0 0 1 0 7H6",
  redo: "M10 3.5l3 3-3 3M12.8 6.5H7a3.5 3.5 0 0 0 0 7h3",
  more: "M3.5 8h.01M8 8h.01M12.5 8h.01",
};

/** An element. Properties starting with "on" are listeners, `text` is textContent, `data` a dataset, the rest are attributes. */
export function h(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  set(element, properties);
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

export function set(element, properties) {
  for (const [name, value] of Object.entries(properties)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "text") element.textContent = value;
    else if (name === "data") Object.assign(element.dataset, value);
    else if (value === true) element.setAttribute(name, "");
    else if (value === false || value === null || value === undefined) element.removeAttribute(name);
    else element.setAttribute(name, value);
  }
  return element;
}

export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  set(svg, { viewBox: "0 0 16 16", "aria-hidden": "true", class: `cs-icon cs-icon-${name}` });
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", ICONS[name]);
  svg.append(path);
  return svg;
}

/** A rectangle of the shape of a picture, at most `box` pixels wide and high. */
export function shape(width, height, box = 18) {
  const scale = box / Math.max(width, height);
  const span = h("span", { class: "cs-shape", "aria-hidden": "true" });
  span.style.width = `${Math.max(4, Math.round(width * scale))}px`;
  span.style.height = `${Math.max(4, Math.round(height * scale))}px`;
  return span;
}

/** Calls `run` once things have been quiet for `wait` milliseconds. */
export function debounced(run, wait) {
  let timer;
  return (...given) => {
    clearTimeout(timer);
    timer = setTimeout(() => run(...given), wait);
  };
}

/** Whether motion is unwelcome; see motion.js. */
export const still = () => document.documentElement.dataset.csMotion === "reduce";

/** Moves the children of `list` into the order given, and the focus with them; calmly: each slides from where it was to where it is. */
export function reorder(list, elements, calmly) {
  if (elements.every((element, i) => list.children[i] === element)) return;
  const focused = document.activeElement;
  const before = new Map(elements.map((element) => [element, element.getBoundingClientRect()]));
  list.append(...elements);
  if (focused && list.contains(focused)) focused.focus({ preventScroll: true });
  if (!calmly || still()) return;
  for (const element of elements) {
    const was = before.get(element);
    const is = element.getBoundingClientRect();
    const [x, y] = [was.left - is.left, was.top - is.top];
    if (!x && !y) continue;
    element.animate([{ transform: `translate(${x}px, ${y}px)` }, { transform: "none" }], { duration: 420, easing: "cubic-bezier(.3, 0, .2, 1)" });
  }
}

export const plural = (count, one, many = `${one}s`) => `${count} ${count === 1 ? one : many}`;

export function duration(seconds) {
  if (seconds < 1) return "under a second";
  if (seconds < 90) return `${Math.round(seconds)} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  return `${(seconds / 3600).toFixed(1)} h`;
}

/** 41.237 -> "41", 0.31234 -> "0.31": as many digits as say something of a score. */
export function figure(value) {
  return String(Math.abs(value) >= 10 ? Math.round(value) : Number(value.toPrecision(2)));
}

/** 99.5 -> "99.5": a threshold as it was set. */
export const bound = (value) => String(Number(value.toPrecision(4)));

export const words = (name) => name.replaceAll("_", " ");
