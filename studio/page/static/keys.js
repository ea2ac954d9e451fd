// The keys of the sheet: those photographers cull with. One table says what each does; the places (sheet, loupe, compare, survey) say how.

const PLAIN = {
  ArrowLeft: "left", ArrowRight: "right", ArrowUp: "up", ArrowDown: "down", Home: "first", End: "last", PageUp: "before", PageDown: "after",
  p: "pick", x: "reject", u: "unflag", g: "grid", e: "loupe", c: "compare", n: "survey", z: "zoom", "+": "closer", "=": "closer", "-": "farther",
  t: "raise", v: "vary", Escape: "cancel", "?": "help",
};
const WITH_CTRL = { z: "undo", y: "redo", "Shift+z": "redo", a: "all", " ": "toggle", Enter: "generate", "Shift+Enter": "front" };

/** What `?` lists, in its order: the keys as they are printed, what they do, and the acts they stand for. */
export const HELP = [
  ["Move and select", [
    [["←", "→", "↑", "↓"], "From frame to frame; in the loupe from picture to picture", ["left", "right", "up", "down"]],
    [["Home", "End"], "First frame, last frame", ["first", "last"]],
    [["Shift ←", "Shift →"], "Select onwards (or Shift and a click)", []],
    [["Ctrl Space"], "Select or deselect a frame (or Ctrl and a click)", ["toggle"]],
    [["Ctrl A"], "Select every frame of this job", ["all"]],
  ]],
  ["Judge", [
    [["P"], "Pick: keep the frame", ["pick"]],
    [["X"], "Reject it; in the survey, also take it out", ["reject"]],
    [["U"], "Unflag: leave it to what was measured", ["unflag"]],
    [["1", "2", "3", "4", "5"], "Stars", ["star"]],
    [["0"], "No stars", ["star"]],
    [["Shift"], "With any of these: and on to the next frame", []],
    [["Ctrl Z"], "Take back what was last decided", ["undo"]],
    [["Ctrl Shift Z", "Ctrl Y"], "Do it again", ["redo"]],
  ]],
  ["Look", [
    [["E", "Enter"], "Loupe: one picture large, with its scores", ["loupe"]],
    [["C"], "Compare two: ← → move the slider, ↑ ↓ choose a side, Page Up and Page Down put another frame there", ["compare", "before", "after"]],
    [["N"], "Survey: the selected or kept frames side by side; Esc takes one out", ["survey"]],
    [["Z"], "1:1, at the same spot in every picture shown; Shift and the arrows move the spot", ["zoom"]],
    [["+", "−"], "Closer, farther", ["closer", "farther"]],
    [["G"], "Back to the grid", ["grid"]],
  ]],
  ["Draw", [
    [["T"], "To the next tier", ["raise"]],
    [["V"], "Vary: start from this picture", ["vary"]],
    [["Ctrl Enter"], "Generate", ["generate"]],
    [["Ctrl Shift Enter"], "Generate at the front of the queue", ["front"]],
    [["Esc"], "Close what is open; twice: cancel the running job", ["cancel"]],
    [["?"], "These keys", ["help"]],
  ]],
];

/** Every act a key stands for. */
export const ACTS = [...new Set([...Object.values(PLAIN), ...Object.values(WITH_CTRL), "star"])];

/** What a key event asks for: {act, shift, stars}, or null. Letters are read by what is printed on the key, stars by its place: on some keyboards digits need Shift. */
export function actOf(event) {
  if (event.altKey || event.isComposing) return null;
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  const shift = event.shiftKey;
  if (event.ctrlKey || event.metaKey) {
    const act = WITH_CTRL[(shift ? "Shift+" : "") + key];
    return act ? { act, shift } : null;
  }
  const digit = /^Digit([0-5])$/.exec(event.code)?.[1] ?? (/^[0-5]$/.test(key) ? key : null);
  if (digit !== null && key !== "?") return { act: "star", shift, stars: Number(digit) };
  const act = PLAIN[key];
  return act ? { act, shift } : null;
}

/** Whether keys belong to what has the focus: a field that text is typed into, or a list to choose from. */
export const typing = (target) => target.matches("textarea, select, [contenteditable], input:not([type=range], [type=radio], [type=checkbox])");

/** Runs what the event asks for if `acts` has it; whether it had. */
export function dispatch(event, acts) {
  if (event.defaultPrevented || typing(event.target)) return false;
  const asked = actOf(event);
  if (!asked || !acts[asked.act] || (event.repeat && !MOVES.has(asked.act))) return false;
  // `false` says that there was nothing to do: then the key is the browser's again.
  if (acts[asked.act](asked) === false) return false;
  event.preventDefault();
  return true;
}

const MOVES = new Set(["left", "right", "up", "down", "before", "after", "closer", "farther", "undo", "redo"]);
