// What was measured of one picture, whole: what it is held against as bars, worst first, then what was measured besides, and what could
// not be measured with its reason.

import { h, icon } from "./dom.js";
import { betterThan, held, limitOf, measured, missing, placed, reasonSaid, standing, titleOf, unexplained, valueOf } from "./scores.js";
import { studio } from "./studio.js";

export class Measures {
  /** leave(): the page is to go to another tab. */
  constructor({ leave }) {
    this.leave = leave;
    this.element = h("div", { class: "cs-scores" });
    this.open = new Set(); // what was unfolded stays so from picture to picture
  }

  show(image) {
    const { scores } = image;
    const asked = held(image);
    const besides = measured(image);
    const left = missing(image);
    this.element.replaceChildren(
      ...(scores.length ? [] : [h("p", { class: "cs-quiet", text: "Not measured yet." })]),
      ...unexplained(image).map((reason) => h("p", { class: "cs-score-reason", text: reasonSaid(reason, scores) })),
      ...asked.map((score) => bar(score)),
      ...this.fold("besides", "Measured besides", besides, !asked.length),
      ...this.fold("left", "Not scored", left, false),
      ...(scores.some(({ value }) => value === null) ? [this.elsewhere()] : []),
    );
  }

  /** A list that is unfolded on a click. */
  fold(name, title, scores, open) {
    if (!scores.length) return [];
    const details = h("details", { class: "cs-score-fold", open: open || this.open.has(name), ontoggle: () => (details.open ? this.open.add(name) : this.open.delete(name)) },
      h("summary", {}, h("span", { text: title }), h("span", { class: "cs-quiet", text: ` ${scores.length}` })), ...scores.map(plain));
    return [details];
  }

  /** What is missing can be had: each scorer says in its tab what it needs. */
  elsewhere() {
    return h("p", { class: "cs-score-elsewhere" }, h("button", { type: "button", class: "cs-link", text: "What scorers need, and their downloads", onclick: () => {
      this.leave();
      studio.show("quality");
    } }));
  }
}

const source = (score) => [score.scorer, score.version].filter(Boolean).join(" ");

/** "at least 55 · better than 62 % of this model's pictures here" */
function noteOf(score) {
  if (score.value === null) return score.note;
  const place = betterThan(score);
  return [limitOf(score), place === null ? "" : `better than ${place} % of this model's pictures here`, score.note].filter(Boolean).join(" · ");
}

/** A score as a bar, with a tick at the threshold. */
function bar(score) {
  const track = h("div", { class: "cs-track" });
  if (score.value !== null) {
    const fill = h("span", { class: "cs-fill" });
    fill.style.width = `${placed(score, score.value) * 100}%`;
    const tick = h("span", { class: "cs-tick" });
    tick.style.left = `${placed(score, score.threshold) * 100}%`;
    track.append(fill, tick);
  }
  return h("div", { class: "cs-score", data: { standing: standing(score) }, title: source(score) },
    icon(standing(score)), h("span", { class: "cs-score-name", text: titleOf(score) }), h("b", { text: valueOf(score) }), ...(score.value === null ? [] : [track]), h("span", { class: "cs-score-note", text: noteOf(score) }));
}

/** One that is held against nothing: a line. */
function plain(score) {
  const note = noteOf(score);
  return h("div", { class: "cs-score cs-score-plain", data: { standing: "none" }, title: source(score) },
    h("span", { class: "cs-score-name", text: titleOf(score) }), ...(score.value === null ? [] : [h("b", { text: valueOf(score) })]), ...(note ? [h("span", { class: "cs-score-note", text: note })] : []));
}
