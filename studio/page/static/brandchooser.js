// The form's brand: the project's own without a word, another or none by a person's hand. It says why it is there and what it brings.

import { Refused, ask } from "./api.js";
import { h, set } from "./dom.js";
import { studio } from "./studio.js";

const NAMED = 4; // words that are told; the rest stands in the preview

export class BrandChooser {
  /** form: what it stands in; changed(): something is to be remembered and read again. */
  constructor(form, changed) {
    Object.assign(this, { form, changed, brands: [], chosen: null, why: null, choice: null, applied: undefined });
    this.select = h("select", { id: "cs-brand", "aria-describedby": "cs-brand-why", onchange: () => this.take(this.select.value) });
    this.says = h("p", { class: "cs-quiet cs-brand-why", id: "cs-brand-why" });
    this.error = h("p", { class: "cs-error", id: "cs-brand-error", hidden: true });
    const edit = h("button", { type: "button", class: "cs-link", text: "Edit", title: "Brands, in the Templates tab", onclick: () => this.edit() });
    this.box = h("div", { class: "cs-field cs-brand-chooser", hidden: true }, h("div", { class: "cs-label" }, h("label", { for: "cs-brand", text: "Brand" }), edit), this.select, this.error, this.says);
    studio.on("about", () => this.read());
    studio.on("brands", () => this.read());
  }

  /** The brand that a request would be drawn for; null for none. */
  get brand() {
    return this.brands.find(({ name }) => name === this.name) ?? null;
  }

  get name() {
    return this.choice ?? this.chosen ?? "";
  }

  async read() {
    try {
      Object.assign(this, await ask("/api/brands").then(({ brands, chosen, why }) => ({ brands, chosen, why, known: true })));
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      return; // told by the head; what was chosen stays
    }
    this.list();
    this.apply();
    this.changed();
  }

  list() {
    const gone = this.choice && !this.brand ? [h("option", { value: this.choice, text: `${this.choice} (removed)` })] : [];
    this.select.replaceChildren(h("option", { value: "", text: "None" }), ...this.brands.map(({ name, title }) => h("option", { value: name, text: title })), ...gone);
    this.select.value = this.name;
    this.box.hidden = !this.brands.length && !gone.length;
    this.tell();
  }

  /** A person's word; the one that would have been chosen anyway goes on following the project. */
  take(name) {
    this.choice = name === (this.chosen ?? "") ? null : name;
    delete this.form.parts.edits.brand; // what was written in place of another brand's words
    this.error.hidden = true;
    this.list();
    this.apply();
    this.changed();
  }

  /** Why it is this one, and what it brings. */
  tell() {
    const { brand } = this;
    const why = this.choice !== null ? "" : this.reason();
    const words = brand?.words ?? [];
    const colours = (brand?.palette ?? []).map((colour) => {
      const spot = h("span", { class: "cs-colour-spot", title: colour });
      spot.style.background = colour;
      return spot;
    });
    const adds = words.length ? `Adds ${words.slice(0, NAMED).join(", ")}${words.length > NAMED ? " …" : ""}.` : "";
    this.says.replaceChildren(...[
      why && h("b", { text: why }), adds && h("span", { text: adds }),
      colours.length > 0 && h("span", { class: "cs-brand-spots", role: "img", "aria-label": `Colours ${brand.palette.join(", ")}` }, colours),
    ].filter(Boolean).flatMap((part, i) => (i ? [" ", part] : [part])));
    this.says.hidden = !this.says.childNodes.length;
  }

  reason() {
    const { by = null, projects = [] } = this.why ?? {};
    const named = projects.length > 1 ? `${projects.slice(0, -1).join(", ")} and ${projects.at(-1)}` : projects[0];
    const several = projects.length > 1 ? `${named} have brands of their own: choose one.` : "";
    if (by === "project") return `From project${projects.length > 1 ? "s" : ""} ${named}.`;
    if (by === "usual") return ["The usual one here.", several].filter(Boolean).join(" ");
    return several || (by === "always" ? "Rides in every request." : "");
  }

  /** Its quality profile is chosen with it, and given up with it, unless a person chose another. */
  apply() {
    const { wishes } = this.form;
    const profile = this.brand?.profile ?? null;
    wishes.branded = this.brand;
    if (this.applied !== undefined && this.applied.name !== this.name) {
      if (profile && wishes.wanted === (this.applied.profile ?? wishes.usual)) wishes.choose(profile);
      else if (!profile && this.applied.profile && wishes.wanted === this.applied.profile) wishes.choose(wishes.usual);
    } else if (this.applied === undefined && profile && wishes.wanted === wishes.usual) wishes.choose(profile);
    this.applied = { name: this.name, profile };
    wishes.told();
  }

  edit() {
    studio.show("templates");
    const brands = document.querySelector(".cs-brands");
    if (!brands) return;
    brands.open = true;
    brands.scrollIntoView({ block: "nearest" });
    brands.querySelector("summary").focus();
  }

  /** Its part of the request: what the page shows is what is drawn, "" being none. */
  request() {
    return this.known && (this.brands.length || this.choice) ? { brand: this.name } : {};
  }

  /** A request without what its brand brought, which the form must not take for a person's own. */
  without(request) {
    const brand = this.brands.find(({ name }) => name === request.brand);
    return brand && JSON.stringify(request.palette ?? []) === JSON.stringify(brand.palette) ? { ...request, palette: [] } : request;
  }

  fill(request) {
    const name = request.brand ?? "";
    this.choice = name === (this.chosen ?? "") ? null : name;
    this.list();
    this.applied = { name: this.name, profile: this.brand?.profile ?? null }; // the profile is the request's
    this.apply();
  }

  kept() {
    return { choice: this.choice, applied: this.applied };
  }

  recall({ choice = null, applied } = {}) {
    Object.assign(this, { choice, applied });
  }
}
