// Frames in rows, as strips of film lie on a light table: all of a job's, or those of one stage of it. However many there are, the
// contents of those near the window alone are in the document.

import { h, icon, reorder, set } from "./dom.js";
import { Frame } from "./frame.js";

const NEAR = "900px 0px"; // above and below the window
const FEW = 32; // up to here every frame has its contents in the document
const CALM = 48; // more than these do not slide into their places, they are there
const CHOOSABLE = 24; // more than these can be looked at by verdict
// What a frame takes of the sheet, as the side of a square (px): many are smaller.
const LATEST = [[12, 250], [48, 180], [240, 128]];
const OLDER = 165;
const SKETCH = [[24, 124], [240, 108]];
const FOLDED = 12; // more drafts than these of a job that is over are shown when they are asked for
const LARGEST = 420;
const LEAST = { large: 148, dense: 116, sketch: 100 }; // pixels wide: number, verdict and reason still fit
const NARROW = 560;
const CHOICES = { kept: "Kept", spare: "Spare", review: "To review", rejected: "Rejected" };

const eye = new IntersectionObserver((seen) => {
  for (const { isIntersecting, target } of seen) {
    if (isIntersecting) target.frame.mount();
    else target.frame.unmount();
  }
}, { rootMargin: NEAR });

export class Strip {
  /** stage: "" for all of a job, "final" or "draft" for a part of it, with `label`. size: [width, height] of its pictures. hooks: of its frames, see frame.js; changed(): what is shown of it is another part. over: nothing more will come. */
  constructor({ stage, label, size, hooks, changed, over }) {
    Object.assign(this, { stage, size, hooks, changed, over });
    this.folded = false;
    this.aspect = size[0] / size[1];
    this.frames = new Map(); // number -> Frame
    this.places = []; // empty frames, where pictures will come
    this.choice = null;
    this.list = h("ol", { class: "cs-frames", "aria-label": label });
    this.said = h("span", { class: "cs-strip-said" });
    this.choices = h("span", { class: "cs-strip-choices", role: "group", "aria-label": "Show", hidden: true });
    this.handle = stage === "draft" ? h("button", { type: "button", class: "cs-strip-handle", "aria-expanded": "true", onclick: () => this.fold(!this.folded) }, icon("open"), h("span", { text: "Drafts" })) : null;
    const title = stage ? h("h3", {}, this.handle ?? "Finished") : null;
    this.head = h("div", { class: "cs-strip-head", hidden: !stage }, title, this.said, this.choices);
    this.element = h("div", { class: "cs-strip", data: { stage } }, this.head, this.list);
  }

  frame(number) {
    return this.frames.get(number) ?? null;
  }

  /** The frame of this number, made at the end of the strip where there is none. */
  make(number) {
    const known = this.frames.get(number);
    if (known) return known;
    const frame = new Frame(number, ...this.size, this.hooks);
    this.frames.set(number, frame);
    if (this.folded) this.sift(frame);
    const place = this.places.shift();
    // In the order of the numbers, whoever comes first.
    const after = [...this.frames.values()].find((other) => other.number > number && other.element.isConnected);
    if (after) {
      after.element.before(frame.element);
      place?.remove();
    } else if (place) place.replaceWith(frame.element);
    else this.list.append(frame.element);
    return frame;
  }

  /** A line where a round of retries begins, with what it was asked for where that is not the job's `prompt`. */
  divide(image, frame, prompt) {
    if (!image.round || this.rounds?.has(image.round)) return;
    (this.rounds ??= new Set()).add(image.round);
    const words = image.prompt && image.prompt !== prompt ? `: asked for “${image.prompt}”` : "";
    frame.element.before(h("li", { class: "cs-round", text: `Round ${image.round + 1}${words}` }));
  }

  /** Makes the frames `from`..`to` at once, and sees to it that those near the window have their contents. */
  fill(from, to) {
    for (let number = from; number <= to; number++) this.make(number);
    if (this.over && this.handle && this.frames.size > FOLDED) this.fold(true);
    this.watch();
  }

  /** Drafts can be put away. */
  fold(folded) {
    this.folded = folded;
    this.list.hidden = folded;
    set(this.handle, { "aria-expanded": String(!folded) });
    for (const frame of this.frames.values()) this.sift(frame);
    this.changed?.();
  }

  /** As many frames and empty places as will be, so that nothing moves when pictures come. */
  reserve(count) {
    const wanted = Math.max(0, count - this.frames.size);
    while (this.places.length > wanted) this.places.pop().remove();
    while (this.places.length < wanted) {
      const place = h("li", { class: "cs-vacant", "aria-hidden": "true" }, h("span"));
      place.firstChild.style.aspectRatio = this.size.join(" / ");
      this.places.push(place);
      this.list.append(place);
    }
  }

  /** To be called when frames were made. The first of many are there at once, the eye sees the others a moment later. */
  watch() {
    this.watched ??= new Set();
    let first = FEW;
    const few = this.frames.size <= FEW;
    for (const frame of this.frames.values()) {
      if (few || first-- > 0) frame.mount();
      if (few || this.watched.has(frame)) continue;
      this.watched.add(frame);
      eye.observe(frame.element);
    }
  }

  /** No longer on the page. */
  forget() {
    for (const frame of this.watched ?? []) eye.unobserve(frame.element);
  }

  get many() {
    return this.frames.size > CALM;
  }

  /** Its frames in the order of the sheet, without those that are in the trash or not of the verdict that is looked at. */
  shown() {
    return this.all().filter((frame) => !frame.element.hidden && !frame.out);
  }

  /** All of them in that order. */
  all() {
    return [...this.list.children].map((element) => element.frame).filter(Boolean);
  }

  /** Puts the frames into the order of `key`, which gives an array of numbers. */
  sort(key, calmly) {
    const order = [...this.frames.values()].sort((a, b) => compare(key(a), key(b))).map((frame) => frame.element);
    reorder(this.list, order, calmly && !this.many);
    this.list.append(...this.places);
  }

  /** Chooses the columns for a sheet `width` pixels wide. A strip of few frames shows them large, but not larger than they are good for. */
  balance(width, latest) {
    const count = this.frames.size + this.places.length;
    if (!width || !count) return;
    const sketch = this.stage === "draft";
    const large = (sketch ? SKETCH : LATEST).find(([most]) => count <= most)?.[1] ?? (sketch ? SKETCH : LATEST).at(-1)[1];
    const dense = !sketch && count > CALM;
    const least = sketch ? LEAST.sketch : dense ? LEAST.dense : LEAST.large;
    const side = width < NARROW && (dense || sketch) ? least : sketch || latest || dense ? large : Math.min(large, OLDER);
    // Frames of every shape take the same area: a banner is wide and low, a 9:16 narrow and high.
    const of = (one) => Math.max(least, one * Math.sqrt(this.aspect));
    const one = sketch && count <= Math.floor(width / Math.max(least, least * Math.sqrt(this.aspect))); // of few drafts one row
    const most = one ? count : Math.max(width < 400 && this.aspect > 1.6 ? 1 : 2, Math.floor(width / of(side)));
    const rows = Math.ceil(count / most);
    set(this.element, { "data-dense": dense || null });
    this.list.style.setProperty("--columns", rows > 3 ? most : Math.ceil(count / rows));
    this.list.style.setProperty("--most", `${Math.round(of(sketch ? side * 1.15 : latest ? LARGEST : OLDER * 1.3))}px`);
  }

  /** Fits the choices by verdict to what is known now. */
  tally(text) {
    this.said.textContent = text;
    const counts = {};
    for (const { image, element } of this.frames.values()) if (image?.verdict && !element.hidden) counts[image.verdict] = (counts[image.verdict] ?? 0) + 1;
    const known = Object.keys(CHOICES).filter((name) => counts[name]);
    if (this.choice && !counts[this.choice]) this.choose(null);
    this.choices.hidden = this.folded || this.frames.size <= CHOOSABLE || known.length < 2;
    this.head.hidden = !this.stage && this.choices.hidden;
    const wanted = [["", "All", this.frames.size], ...known.map((name) => [name, CHOICES[name], counts[name]])];
    // The same buttons stay, so that the focus does.
    const buttons = new Map([...this.choices.children].map((button) => [button.value, button]));
    const next = wanted.map(([value, label, count]) => {
      const button = buttons.get(value) ?? h("button", { type: "button", class: "cs-choice-chip", value, onclick: () => this.choose(value || null) }, h("span", { text: label }), h("b"));
      button.lastChild.textContent = String(count);
      button.setAttribute("aria-pressed", String((this.choice ?? "") === value));
      return button;
    });
    if (next.length !== this.choices.children.length || next.some((button, i) => this.choices.children[i] !== button)) this.choices.replaceChildren(...next);
  }

  /** Shows those of one verdict alone; null: all. */
  choose(verdict) {
    this.choice = verdict;
    for (const frame of this.frames.values()) this.sift(frame);
    for (const button of this.choices.children) button.setAttribute("aria-pressed", String(button.value === (verdict ?? "")));
    this.changed?.();
  }

  /** What a person decides while they look at one verdict stays until they choose anew: nothing leaves from under their hand. */
  sift(frame) {
    frame.out = this.folded || (this.choice !== null && frame.image?.verdict !== this.choice);
    frame.element.toggleAttribute("data-out", frame.out);
  }
}

function compare(a, b) {
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return a[i] - b[i];
  return 0;
}
