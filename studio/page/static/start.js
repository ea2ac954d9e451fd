// The picture that a run starts from, or that is shown to the model: a variation of a candidate, or a picture that was dropped.

import { h, icon } from "./dom.js";
import { studio } from "./studio.js";

const ROLES = { img2img: "Start from it", reference: "Show it to the model" };
// How far a variation goes by itself: the composition stays, surfaces and details are drawn anew.
const USUAL = 0.6;

// A picture of the studio has a number, one that a person brought a long name.
const brought = (image) => typeof image === "string";

export class Start {
  /** changed(): something is to be remembered. */
  constructor({ changed }) {
    this.changed = changed;
    this.picture = null; // {image, role, strength, parent, words}
    this.thumb = h("img", { class: "cs-start-thumb", alt: "", width: 44, height: 44 });
    this.words = h("span", { class: "cs-start-words" });
    this.role = h("select", { id: "cs-role", "aria-label": "What the picture is for", onchange: () => this.put({ role: this.role.value }) });
    this.strength = h("input", { id: "cs-strength", type: "range", min: 0.05, max: 1, step: 0.05, "aria-label": "How much may change", oninput: () => this.put({ strength: Number(this.strength.value) }) });
    this.said = h("output", { for: "cs-strength" });
    this.scale = h("div", { class: "cs-start-scale" }, h("span", { class: "cs-quiet", text: "Change" }), this.strength, this.said);
    const remove = h("button", { type: "button", class: "cs-tool", "aria-label": "Start from noise again", title: "Start from noise again", onclick: () => this.clear() }, icon("close"));
    this.element = h("div", { class: "cs-start" }, h("div", { class: "cs-start-row" }, this.thumb, h("div", { class: "cs-start-what" }, this.words, this.role), remove), this.scale);
  }

  /** The field of the form that this stands in; hidden while there is no picture. */
  set box(box) {
    this.field = box;
    this.show();
  }

  get roles() {
    return studio.facts()?.roles ?? [];
  }

  /** A variation of a candidate: the same request, started from its picture. */
  vary(image) {
    this.picture = { image: image.id, role: this.roles[0] ?? "img2img", strength: USUAL, parent: image.id, words: `Variation of frame ${image.number} of job ${image.job}` };
    this.show();
  }

  /** A picture to start from or to show: {image: a number of the history or the name of one that was brought, role, words}. */
  use({ image, role, words }) {
    this.picture = { image, role, strength: USUAL, parent: null, words };
    this.show();
  }

  /** As an earlier request had it. */
  fill({ image, role, strength, parent }) {
    const has = image !== null && image !== undefined && role && role !== "none";
    this.picture = has ? { image, role, strength: strength ?? USUAL, parent: parent === image ? parent : null, words: brought(image) ? "A picture you brought" : `Picture ${image}` } : null;
    this.show();
  }

  clear() {
    this.picture = null;
    this.show();
    this.changed();
    document.querySelector("#cs-prompt")?.focus();
  }

  put(part) {
    Object.assign(this.picture, part);
    this.show();
    this.changed();
  }

  /** Shows the picture, fitted to what the chosen tier can do with one. */
  show() {
    if (this.field) this.field.hidden = !this.picture;
    if (!this.picture) return;
    const { image, role, strength, words } = this.picture;
    const source = brought(image) ? `/upload/${image}.webp` : `/thumb/${image}.webp`;
    if (this.thumb.getAttribute("src") !== source) this.thumb.src = source;
    this.words.textContent = words;
    const roles = this.roles.includes(role) ? this.roles : [role, ...this.roles]; // what this tier cannot do is refused in words when it is sent
    this.role.replaceChildren(...roles.map((name) => h("option", { value: name, text: ROLES[name] ?? name })));
    this.role.value = role;
    this.role.hidden = roles.length < 2;
    this.scale.hidden = role !== "img2img";
    this.strength.value = strength;
    this.said.textContent = `${Math.round(strength * 100)} %`;
    this.strength.setAttribute("aria-valuetext", this.said.textContent);
  }

  /** Its part of the request. */
  request() {
    if (!this.picture) return {};
    const { image, role, strength, parent } = this.picture;
    return { image, role, ...(role === "img2img" ? { strength } : {}), ...(parent ? { parent } : {}) };
  }
}
