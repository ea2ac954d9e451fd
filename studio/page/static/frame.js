// One frame of a sheet: its number, the picture as it comes to be, its verdict, a mark a dimension.

import { bound, figure, h, icon, set, words } from "./dom.js";
import { showStars, starred } from "./stars.js";

export const VERDICTS = { kept: "KEPT", spare: "spare", rejected: "rejected", review: "review" };

/** How a score stands: "pass", "fail" (would reject), "warn" (below, but only advice), "none" (not scored, or no threshold). */
export function standing(score) {
  if (score.passed === null || score.passed === undefined) return "none";
  return score.passed ? "pass" : score.hard ? "fail" : "warn";
}

const SAID = { pass: "passes", fail: "fails", warn: "is low", none: "not scored" };

/** "sharpness 71 passes", for ears. */
export function spoken(score) {
  const name = words(score.dimension);
  return score.value === null ? `${name} not scored` : `${name} ${figure(score.value)} ${SAID[standing(score)].replace("not scored", "")}`.trim();
}

/** "kept by you", "to be reviewed", "not judged yet", for ears. */
export function verdictSaid(image) {
  if (!image.verdict) return "not judged yet";
  const byHand = image.kept_by_person === true || image.kept_by_person === false;
  return `${image.verdict === "review" ? "to be reviewed" : image.verdict}${byHand ? " by you" : ""}`;
}

// Small pictures are shown as they are; of large ones the thumbnail will do on the sheet.
const SMALL = 400_000;

export class Frame {
  /** `number` counts from 1; `open(frame, event)` and `keep(image)` are called when a person asks for it. */
  constructor(number, width, height, { open, keep }) {
    this.number = number;
    this.image = null;
    this.img = h("img", { alt: "", draggable: "false", decoding: "async" });
    this.bar = h("span", { class: "cs-bar" });
    this.shot = h("button", { type: "button", class: "cs-shot", tabindex: "-1", onclick: (event) => open(this, event) }, this.img, this.bar);
    this.shot.style.aspectRatio = `${width} / ${height}`;
    this.badge = h("span", { class: "cs-badge" });
    this.stars = h("span", { class: "cs-stars", "aria-hidden": "true", hidden: true });
    this.marks = h("ul", { class: "cs-marks", "aria-hidden": "true" });
    this.why = h("span", { class: "cs-why" });
    this.restore = h("button", { type: "button", class: "cs-restore", tabindex: "-1", hidden: true, onclick: () => keep(this.image) }, "Keep", h("span", { text: " anyway" }));
    this.tip = h("div", { class: "cs-tip", "aria-hidden": "true" });
    this.element = h("li", { class: "cs-frame", data: { state: "waiting" } },
      h("div", { class: "cs-edge" }, h("span", { class: "cs-number", text: String(number) }), this.stars, this.badge),
      this.shot,
      h("div", { class: "cs-foot" }, this.marks, h("div", { class: "cs-note" }, this.why, this.restore)),
      this.tip,
    );
    this.element.frame = this;
    this.name();
  }

  /** What SQLite knows of it. */
  show(image) {
    if (this.image?.state === "drawn" && image.state !== "drawn") return; // told late: what is drawn stays drawn
    this.image = image;
    this.element.hidden = Boolean(image.trashed);
    const drawn = image.state === "drawn";
    const verdict = image.verdict ?? "";
    set(this.element, { data: { state: image.state, verdict } });
    if (drawn) {
      this.fetch();
      this.bar.style.transform = "";
    }
    showStars(this.stars, image.rating);
    this.badge.textContent = VERDICTS[verdict] ?? "";
    if (image.kept_by_person !== null && image.kept_by_person !== undefined) this.badge.append(h("span", { class: "cs-hand", text: " by you", title: "Decided by a person" }));
    this.marks.replaceChildren(...image.scores.map((score) => h("li", { data: { standing: standing(score) } }, icon(standing(score)))));
    this.why.textContent = verdict === "rejected" || verdict === "review" ? image.reasons.join(", ") : image.state === "failed" ? "could not be drawn" : "";
    this.why.title = this.why.textContent;
    this.restore.hidden = !(verdict === "rejected" || verdict === "review");
    this.tip.replaceChildren(...image.scores.map(line));
    this.name();
  }

  /** Whether every pixel is needed, as at 1:1. */
  set whole(whole) {
    this.isWhole = whole;
    if (this.image?.state === "drawn") this.fetch();
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
    this.bar.style.transform = `scaleX(${step / steps})`;
  }

  preview(source) {
    if (this.image?.state === "drawn") return;
    this.img.src = source;
    this.element.dataset.state = "drawing";
  }

  /** What a screen reader says of it: number, verdict, stars, scores. */
  name() {
    const image = this.image;
    const state = image?.verdict ? verdictSaid(image) : { drawn: "drawn", drawing: "being drawn", failed: "failed" }[image?.state ?? this.element.dataset.state] ?? "waiting";
    const parts = [`Frame ${this.number}`, ...(this.selected ? ["selected"] : []), state, ...(image?.rating ? [starred(image.rating)] : []), ...(image?.verdict === "rejected" ? image.reasons : []), ...(image?.scores ?? []).map(spoken)];
    this.shot.setAttribute("aria-label", parts.join(", "));
  }
}

/** "sharpness  71  at least 55  better than 62 %" */
function line(score) {
  const sign = score.bound === "<=" ? "≤" : "≥";
  const value = score.value === null ? "not scored" : figure(score.value);
  const limit = score.value === null ? score.note : score.threshold === null || score.threshold === undefined ? "" : `${sign} ${bound(score.threshold)}`;
  const place = score.percentile === null || score.percentile === undefined ? "" : `p${Math.round(score.percentile)}`;
  return h("div", { class: "cs-tip-line", data: { standing: standing(score) } }, icon(standing(score)), h("span", { text: words(score.dimension) }), h("b", { text: value }), h("span", { text: limit }), h("span", { text: place }));
}
