// Where a key goes from a frame: to the one beside it, the one above or below, the first or the last.

/** The frame that `act` leads to from `from`; `frames`: all there are, in the order of the sheet. undefined where there is none. */
export function neighbour(frames, from, act) {
  const at = frames.indexOf(from);
  if (act === "right") return frames[at + 1];
  if (act === "left") return frames[at - 1];
  if (act === "first") return frames[0];
  if (act === "last") return frames.at(-1);
  // The nearest frame of the next row, whatever the rows look like.
  const here = from.getBoundingClientRect();
  const down = act === "down";
  const boxes = frames.map((one) => [one, one.getBoundingClientRect()]).filter(([, { top }]) => (down ? top > here.top + 1 : top < here.top - 1));
  const edge = (down ? Math.min : Math.max)(...boxes.map(([, { top }]) => top));
  const middle = (box) => box.left + box.width / 2;
  const row = boxes.filter(([, { top }]) => Math.abs(top - edge) < 2);
  return row.sort(([, a], [, b]) => Math.abs(middle(a) - middle(here)) - Math.abs(middle(b) - middle(here)))[0]?.[0];
}
