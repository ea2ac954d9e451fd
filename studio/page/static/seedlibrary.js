// The seed library: seeds that were pinned with their pictures, chosen again from the form.

import { Refused, api } from "./api.js";
import { h, icon, set } from "./dom.js";
import { studio } from "./studio.js";
import { toast } from "./toast.js";

export class SeedLibrary {
  /** take(seed): the form is to hold it. */
  constructor({ take }) {
    this.take = take;
    this.list = h("ul", { class: "cs-seed-list" });
    this.panel = h("div", { class: "cs-menu cs-seed-library", popover: "auto", role: "dialog", "aria-label": "Pinned seeds", ontoggle: (event) => this.toggled(event) }, this.list);
    this.button = h("button", { type: "button", class: "cs-tool-button cs-seed-open", "aria-label": "Pinned seeds", title: "Pinned seeds", "aria-expanded": "false", onclick: () => this.open() }, icon("grid"));
  }

  async open() {
    (document.querySelector(".gradio-container") ?? document.body).append(this.panel);
    await this.fill();
    this.panel.showPopover();
    const at = this.button.getBoundingClientRect();
    const { width, height } = this.panel.getBoundingClientRect();
    this.panel.style.left = `${Math.max(8, Math.min(at.left, innerWidth - width - 8))}px`;
    this.panel.style.top = `${at.bottom + 4 + height <= innerHeight ? at.bottom + 4 : Math.max(8, at.top - height - 4)}px`;
    this.panel.querySelector("button")?.focus();
  }

  toggled(event) {
    const open = event.newState === "open";
    set(this.button, { "aria-expanded": String(open) });
    if (!open && (this.panel.contains(document.activeElement) || document.activeElement === document.body)) this.button.focus({ preventScroll: true });
  }

  async fill() {
    const { seeds } = await api.seeds(templateOnForm());
    const facts = studio.facts();
    const none = h("li", { class: "cs-quiet cs-seed-none", text: "No seed is pinned. Open a picture with a composition you like, and pin its seed." });
    this.list.replaceChildren(...(seeds.length ? seeds.map((one) => this.entry(one, facts)) : [none]));
  }

  entry(one, facts) {
    // The same seed gives the same picture only where its noise has the same shape, and the same model reads it.
    const same = facts && facts.card === one.card && facts.sizes.some((size) => size.width * one.height === size.height * one.width);
    const about = [one.template || "any template", `${one.width} × ${one.height}`, same ? "" : "drawn by another model or size: it gives another picture here"].filter(Boolean).join(" · ");
    const name = one.title || one.prompt.slice(0, 60);
    return h("li", {},
      h("button", { type: "button", class: "cs-seed-take", "aria-label": `Use seed ${one.seed}: ${name}`, onclick: () => this.chose(one) }, h("img", { src: one.picture, alt: "", loading: "lazy" }), h("span", {}, h("b", { text: one.seed }), h("span", { text: name }), h("small", { text: about }))),
      h("button", { type: "button", class: "cs-tool", "aria-label": `Unpin seed ${one.seed}`, title: "Unpin", onclick: () => this.remove(one) }, icon("close")));
  }

  chose(one) {
    this.panel.hidePopover();
    this.take(one.seed);
  }

  async remove(one) {
    await api.seedDo(one.id, "/delete", {});
    await this.fill();
    (this.panel.querySelector("button") ?? this.button).focus();
  }
}

/** The name of the template on the form, "" for none. */
function templateOnForm() {
  try {
    const { template } = document.querySelector("cs-form").request();
    return template?.name ?? template ?? "";
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    return ""; // something else on the form is not right yet
  }
}

/** Keeps the seed of a picture for its own template. */
export async function pinSeed(image) {
  try {
    const kept = await api.pinSeed(image.id);
    toast(`Seed ${kept.seed} is pinned${kept.template ? ` to ${kept.template}` : ""}: it is at the seed of the form.`);
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    toast(error.message, { wrong: true });
  }
}
