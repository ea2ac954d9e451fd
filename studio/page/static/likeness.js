// The picture of the product or the person that the result must resemble: dropped here, chosen as a file, or one of the history.

import { Refused, api } from "./api.js";
import { h, icon, set } from "./dom.js";
import { studio } from "./studio.js";

const brought = (image) => typeof image === "string"; // by the name of its contents; one of the history has a number

export class Likeness {
  /** changed(): something is to be remembered. id: of its button; field: the one that a refusal names. */
  constructor({ changed, id = "cs-likeness", field = "likeness" }) {
    Object.assign(this, { changed, field });
    this.picture = null; // {image, words}
    this.thumb = h("img", { class: "cs-likeness-thumb", alt: "", width: 44, height: 44 });
    this.words = h("span", { class: "cs-likeness-words" });
    const file = h("input", { type: "file", accept: "image/png,image/jpeg,image/webp", hidden: true, tabindex: "-1", "aria-hidden": "true", onchange: () => {
      if (file.files[0]) this.bring(file.files[0]);
      file.value = ""; // the same file may be chosen again
    } });
    this.input = h("button", { type: "button", id, class: "cs-likeness-drop", onclick: () => file.click() }, h("span", { text: "Drop a picture here" }), h("small", { text: "or choose a file; one of the history has it under \u201cUse as\u2026\u201d" }));
    const remove = h("button", { type: "button", class: "cs-tool", "aria-label": "No likeness", title: "No likeness", onclick: () => {
      this.set(null);
      this.changed();
      this.input.focus();
    } }, icon("close"));
    this.chosen = h("div", { class: "cs-start", hidden: true }, h("div", { class: "cs-start-row" }, this.thumb, h("div", { class: "cs-start-what" }, this.words), remove));
    // Where a drop means this and needs no menu; see drop.js.
    this.element = h("div", { class: "cs-likeness", data: { csDrop: "likeness" } }, this.input, this.chosen, file);
    this.element.addEventListener("cs-drop", (event) => this.dropped(event.detail));
  }

  async dropped({ id, file }) {
    if (file) await this.bring(file);
    else this.use({ image: id, words: await named(id) });
  }

  async bring(file) {
    set(this.input, { "aria-busy": "true" });
    try {
      const picture = await api.bring(file, studio.family, studio.tier);
      this.use({ image: picture.upload, words: file.name });
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      this.element.dispatchEvent(new CustomEvent("cs-refused", { bubbles: true, detail: { field: this.field, error } }));
    } finally {
      set(this.input, { "aria-busy": null });
    }
  }

  use(picture) {
    this.set(picture);
    this.changed();
  }

  set(picture) {
    this.picture = picture;
    this.chosen.hidden = !picture;
    this.input.hidden = Boolean(picture);
    if (!picture) return;
    this.thumb.src = brought(picture.image) ? `/upload/${picture.image}.webp` : `/thumb/${picture.image}.webp`;
    this.words.textContent = picture.words;
  }

  /** As an earlier request had it. */
  fill(image) {
    const has = image !== null && image !== undefined;
    this.set(has ? { image, words: brought(image) ? "A picture you brought" : `Picture ${image}` } : null);
  }
}

async function named(id) {
  const image = await api.image(id);
  return `Frame ${image.number} of job ${image.job}`;
}
