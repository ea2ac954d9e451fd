// One frame of a sheet: its number, the picture as it comes to be, its verdict, a mark a dimension.
//
// A sheet of 240 has the contents of those near the window in the document alone: a frame far from it is a place of the right size,
// with its button, so that keys, names and the selection know no difference. See strip.js.

import { h, set } from "./dom.js";
import { held, marks, reasonSaid, spoken, why } from "./scores.js";
import { showStars, starred } from "./stars.js";

export const VERDICTS = { kept: "KEPT", spare: "spare", rejected: "rejected", review: "review" };
const SPOKEN = 8; // scores in a frame's name; the tip and the loupe have all

/** "kept by you", "to be reviewed", "not judged yet", for ears. */
export function verdictSaid(image) {
  if (!image.verdict) return "not judged yet";
  const byHand = image.kept_by_person === true || image.kept_by_person === false;
  return `${image.verdict === "review" ? "to be reviewed" : image.verdict}${byHand ? " by you" : ""}`;
}

// Small pictures are shown as they are; of large ones the thumbnail will do on the sheet.
const SMALL = 400_000;

export class Frame {
  /**
   * `number` counts from 1. `hooks`: open(frame, event), keep(image) and restore(image) when a person asks for it; relation(frame) gives
   * {text, go} of the frame it was finished as or from, or null; shown(frame): it shows something new; mounted(frame).
   */
  constructor(number, width, height, hooks) {
    this.number = number;
    this.hooks = hooks;
    this.image = null;
    this.shot = h("button", { type: "button", class: "cs-shot", tabindex: "-1", onclick: (event) => hooks.open(this, event) });
    this.shot.style.aspectRatio = `${width} / ${height}`;
    this.element = h("li", { class: "cs-frame", data: { state: "waiting" } }, this.shot);
    this.element.frame = this;
    this.name();
  }

  /** Puts its contents into the document. */
  mount() {
    if (this.mounted) return;
    this.mounted = true;
    if (!this.img) this.build();
    this.element.dataset.mounted = "";
    this.shot.append(this.img, this.bar);
    this.element.prepend(this.edge);
    this.shot.after(this.foot);
    if (this.stale) this.render();
    this.hooks.mounted?.(this);
  }

  /** Takes them out again; where the focus is in them, they stay. */
  unmount() {
    if (!this.mounted || this.foot.contains(document.activeElement)) return;
    this.mounted = false;
    delete this.element.dataset.mounted;
    for (const part of [this.edge, this.foot, this.img, this.bar]) part.remove();
  }

  build() {
    this.img = h("img", { alt: "", draggable: "false", decoding: "async" });
    if (this.previewed) this.img.src = this.previewed;
    this.bar = h("span", { class: "cs-bar" });
    this.badge = h("span", { class: "cs-badge" });
    this.stars = h("span", { class: "cs-stars", "aria-hidden": "true", hidden: true });
    this.edge = h("div", { class: "cs-edge" }, h("span", { class: "cs-number", text: String(this.number) }), this.stars, this.badge);
    this.why = h("span", { class: "cs-why" });
    this.marks = h("span");
    this.restore = h("button", { type: "button", class: "cs-restore", tabindex: this.shot.tabIndex, hidden: true, onclick: () => (this.image.kept_by_person === false ? this.hooks.restore(this.image) : this.hooks.keep(this.image)) });
    this.foot = h("div", { class: "cs-foot" }, this.marks, h("div", { class: "cs-note" }, this.why, this.restore));
    this.stale = true;
  }

  /** What SQLite knows of it. */
  show(image) {
    if (this.image?.state === "drawn" && image.state !== "drawn") return; // told late: what is drawn stays drawn
    this.image = image;
    this.element.hidden = Boolean(image.trashed);
    set(this.element, { data: { state: image.state, verdict: image.verdict ?? "" } });
    this.stale = true;
    if (this.mounted) this.render();
    this.name();
    this.hooks.shown?.(this);
  }

  render() {
    this.stale = false;
    const { image } = this;
    if (!image) return;
    const verdict = image.verdict ?? "";
    if (image.state === "drawn") {
      this.fetch();
      this.bar.style.transform = "";
    }
    showStars(this.stars, image.rating);
    this.badge.textContent = VERDICTS[verdict] ?? "";
    const byHand = image.kept_by_person !== null && image.kept_by_person !== undefined;
    if (byHand) this.badge.append(h("span", { class: "cs-hand", text: " by you", title: "Decided by a person" }));
    const drawing = marks(image);
    this.marks.replaceWith(drawing);
    this.marks = drawing;
    this.explain(image, verdict);
    const doubtful = verdict === "rejected" || verdict === "review";
    // What a person has rejected goes back to what was measured; what was measured to be bad is kept all the same.
    this.restore.hidden = !doubtful;
    this.restore.replaceChildren(...(image.kept_by_person === false ? ["Restore"] : ["Keep", h("span", { text: " anyway" })]));
  }

  /** The line below a picture: why it was not kept, else what it was finished as. */
  explain(image, verdict) {
    const doubtful = verdict === "rejected" || verdict === "review";
    const relation = this.hooks.relation?.(this);
    // A spare one has a reason where it is nearly the same as one that is kept.
    if ((doubtful || verdict === "spare") && image.reasons.length) {
      this.why.textContent = why(image);
      this.why.title = image.reasons.map((reason) => reasonSaid(reason, image.scores)).join(", ");
    } else if (relation) {
      this.why.replaceChildren(h("button", { type: "button", class: "cs-relation", tabindex: "-1", text: relation.text, onclick: relation.go }));
      this.why.title = "";
    } else {
      this.why.textContent = this.why.title = image.state === "failed" ? "could not be drawn" : "";
    }
  }

  /** Whether every pixel is needed, as at 1:1. */
  set whole(whole) {
    this.isWhole = whole;
    if (this.mounted && this.image?.state === "drawn") this.fetch();
  }

  fetch() {
    const { width, height, url, thumb } = this.image;
    const source = this.isWhole || width * height <= SMALL ? url : thumb;
    if (this.img.getAttribute("src") !== source) this.develop(source);
  }

  /** Part of what the next key acts on, beside the frame that has the focus. */
  set selected(selected) {
    this.element.toggleAttribute("data-selected", selected);
    this.name();
  }

  get selected() {
    return this.element.hasAttribute("data-selected");
  }

  /** A stop of the Tab key, which one frame of the sheet is. */
  set stop(stop) {
    this.shot.tabIndex = stop ? 0 : -1;
    if (this.restore) this.restore.tabIndex = stop ? 0 : -1;
  }

  /** Puts the picture in place of the preview once it has been decoded, so that nothing flashes. */
  async develop(source) {
    this.source = source;
    const next = new Image();
    next.src = source;
    try {
      await next.decode();
    } catch {
      // The file is gone from the disk: the frame says so instead of showing a broken picture.
      this.why.textContent = "the file is missing";
      return;
    }
    if (this.source !== source) return;
    this.img.src = source;
    this.element.dataset.developed = "";
  }

  step(step, steps) {
    if (this.image?.state === "drawn") return;
    this.element.dataset.state = "drawing";
    if (this.bar) this.bar.style.transform = `scaleX(${step / steps})`;
  }

  preview(source) {
    if (this.image?.state === "drawn") return;
    this.previewed = source;
    if (this.img) this.img.src = source;
    this.element.dataset.state = "drawing";
  }

  /** What a screen reader says of it: number, verdict, stars, scores. */
  name() {
    const image = this.image;
    const state = image?.verdict ? verdictSaid(image) : { drawn: "drawn", drawing: "being drawn", failed: "failed" }[image?.state ?? this.element.dataset.state] ?? "waiting";
    const reasons = image?.verdict === "rejected" ? image.reasons.map((reason) => reasonSaid(reason, image.scores)) : [];
    const stage = this.hooks.stage?.(this);
    const parts = [`Frame ${this.number}`, ...(stage ? [stage] : []), ...(this.selected ? ["selected"] : []), state, ...(image?.rating ? [starred(image.rating)] : []), ...reasons, ...(image ? held(image).slice(0, SPOKEN).map(spoken) : [])];
    this.shot.setAttribute("aria-label", parts.join(", "));
  }
}
