// Stars: shown on a frame, chosen in the loupe.

import { h, icon, plural } from "./dom.js";

export const MOST = 5;

/** "no stars", "3 stars" */
export const starred = (rating) => (rating ? plural(rating, "star") : "no stars");

/** The stars of a frame, for eyes only: its name says them too. */
export function showStars(element, rating) {
  element.hidden = !rating;
  if (Number(element.dataset.rating ?? 0) === (rating ?? 0)) return;
  element.dataset.rating = rating ?? 0;
  element.replaceChildren(...Array.from({ length: rating ?? 0 }, () => icon("star")));
}

/** A choice of 0 to 5 stars; `choose(stars)` is called when a person chose. */
export class Stars {
  constructor(choose) {
    this.choose = choose;
    this.buttons = Array.from({ length: MOST }, (_, i) => h("button", { type: "button", class: "cs-star", "aria-label": plural(i + 1, "star"), onclick: () => this.chosen(i + 1) }, icon("star")));
    this.element = h("div", { class: "cs-star-row", role: "group", "aria-label": "Stars" }, this.buttons);
  }

  show(rating) {
    this.rating = rating ?? 0;
    this.buttons.forEach((button, i) => {
      button.classList.toggle("cs-star-on", i < this.rating);
      button.setAttribute("aria-pressed", String(i + 1 === this.rating));
    });
  }

  /** The stars it has already: takes them away. */
  chosen(stars) {
    this.choose(stars === this.rating ? 0 : stars);
  }
}
