// What a person adds to a picture in the loupe: tags and a note. Saved when the field is left, or with Enter.

import { Refused, api } from "./api.js";
import { h, icon, set } from "./dom.js";
import { studio } from "./studio.js";

export class Notes {
  constructor() {
    this.tags = h("ul", { class: "cs-tags", "aria-label": "Tags" });
    this.input = h("input", { type: "text", class: "cs-choice cs-tag-input", "aria-label": "Add a tag", placeholder: "Add a tag", maxlength: "60", autocomplete: "off", onkeydown: (event) => this.typed(event), onchange: () => this.add() });
    this.note = h("textarea", { class: "cs-choice cs-note-input", "aria-label": "Note", placeholder: "A note to yourself; the search finds it", maxlength: "4000", rows: "2", onchange: () => this.write() });
    this.trouble = h("p", { class: "cs-error", role: "alert", hidden: true });
    this.element = h("div", { class: "cs-notes" }, this.tags, this.note, this.trouble);
  }

  show(image) {
    const other = this.image?.id !== image.id;
    this.image = image;
    const may = image.mine !== false;
    const names = image.tags ?? [];
    const focused = document.activeElement === this.input;
    this.tags.replaceChildren(
      ...names.map((tag) => h("li", { class: "cs-tag" }, h("span", { text: tag }), may ? h("button", { type: "button", "aria-label": `Remove the tag ${tag}`, onclick: () => this.save(names.filter((one) => one !== tag)) }, icon("close")) : null)),
      ...(may ? [h("li", {}, this.input)] : []));
    if (focused) this.input.focus();
    if (other) {
      this.input.value = "";
      this.say("");
    }
    if (other || document.activeElement !== this.note) this.note.value = image.note ?? "";
    set(this.note, { readonly: !may });
  }

  typed(event) {
    if (event.key === "Enter" || (event.key === "," && this.input.value.trim())) {
      event.preventDefault();
      this.add();
    } else if (event.key === "Backspace" && !this.input.value && this.image.tags.length) this.save(this.image.tags.slice(0, -1));
  }

  add() {
    const tag = this.input.value.trim();
    this.input.value = "";
    if (tag) this.save([...this.image.tags, tag]);
  }

  save(tags) {
    return this.attempt(() => api.tag(this.image.id, tags));
  }

  write() {
    return this.attempt(() => api.note(this.image.id, this.note.value));
  }

  async attempt(ask) {
    try {
      const image = await ask();
      this.say("");
      studio.say("image", image);
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      this.say(error.message);
    }
  }

  say(trouble) {
    set(this.trouble, { text: trouble, hidden: !trouble });
  }
}
