// Brands, in the Templates tab: what every picture of a brand has in common, with the versions of it.

import { Refused, ask } from "./api.js";
import { h, plural, set } from "./dom.js";
import { studio } from "./studio.js";

const list = (words) => words.split(/[,\n]/).map((one) => one.trim()).filter(Boolean);
const LISTS = [["words", "Words in every prompt", "clean look, warm light"], ["avoid", "Words to avoid", "people, clutter"], ["palette", "Colours", "#1A2B3C, #F5F0E8"], ["projects", "Chosen for the projects", "trail"]];
const FLAGS = [["logo_free", "Without logos"], ["usual", "For everybody who names no brand"], ["always", "Its LoRAs ride in every request"]];

export class CsBrands extends HTMLElement {
  connectedCallback() {
    if (this.firstChild) return;
    this.list = h("ul", { class: "cs-brand-list" });
    this.body = h("div", {});
    this.trouble = h("p", { class: "cs-error", role: "alert", hidden: true });
    this.append(h("details", { class: "cs-brands", ontoggle: (event) => event.target.open && this.load() },
      h("summary", { text: "Brands" }),
      h("p", { class: "cs-quiet", text: "What all pictures of a brand share. Requests take the brand they name, else that of your project, else the usual one." }),
      this.list, h("button", { type: "button", class: "cs-plain", text: "New brand", onclick: () => this.edit(null) }), this.trouble, this.body));
    studio.on("brands", () => this.querySelector("details").open && this.load());
  }

  async load() {
    await this.attempt(async () => {
      const { brands, removed, chosen } = await ask("/api/brands");
      const rows = brands.map((one) => h("li", {},
        h("button", { type: "button", class: "cs-bare", text: one.title, onclick: () => this.open(one.name) }),
        h("span", { class: "cs-brand-colours", "aria-hidden": "true" }, ...one.palette.map((colour) => this.chip(colour))),
        h("span", { class: "cs-quiet", text: [one.name === chosen ? "yours without saying so" : "", plural(one.version, "version")].filter(Boolean).join(" · ") })));
      const gone = removed.map((one) => h("li", {}, h("button", { type: "button", class: "cs-bare", text: `Restore ${one.title}`, onclick: () => this.restore(one.name, one.version) })));
      this.list.replaceChildren(...rows, ...gone, ...(rows.length ? [] : [h("li", { class: "cs-quiet", text: "No brand yet." })]));
    });
  }

  chip(colour) {
    const chip = h("span", { class: "cs-brand-chip" });
    chip.style.background = colour;
    return chip;
  }

  async open(name) {
    await this.attempt(async () => this.edit(await ask(`/api/brands/${encodeURIComponent(name)}`)));
  }

  /** brand: null for a new one. */
  edit(brand) {
    const field = (name, label, input) => {
      input.id = `cs-brand-${name}`;
      return h("label", { class: "cs-brand-field", for: input.id }, h("span", { text: label }), input);
    };
    const text = (value, placeholder = "") => Object.assign(h("input", { type: "text", class: "cs-choice", placeholder, autocomplete: "off" }), { value });
    const inputs = { name: text(brand?.name ?? "", "acme-outdoor"), title: text(brand?.title ?? "", "Acme Outdoor"), profile: text(brand?.profile ?? "", "product-hero"), note: text("") };
    for (const [name, , example] of LISTS) inputs[name] = text((brand?.[name] ?? []).join(", "), example);
    inputs.loras = text((brand?.loras ?? []).map((one) => `${one.name}:${one.weight}`).join(", "), "acme-look:0.8");
    for (const [name] of FLAGS) inputs[name] = h("input", { type: "checkbox", checked: brand?.[name] ?? false });
    const save = () => this.attempt(async () => {
      const said = { title: inputs.title.value, profile: inputs.profile.value.trim() };
      if (brand?.about) said.about = brand.about;
      for (const [name] of LISTS) said[name] = list(inputs[name].value);
      for (const [name] of FLAGS) said[name] = inputs[name].checked;
      said.loras = list(inputs.loras.value).map((one) => {
        const [name, weight] = one.split(":");
        return { name: name.trim(), weight: weight === undefined ? 1 : Number(weight) };
      });
      const body = { brand: said, note: inputs.note.value };
      const path = brand ? `/api/brands/${encodeURIComponent(brand.name)}` : "/api/brands";
      this.edit(await ask(path, brand ? { ...body, base: brand.version } : { ...body, name: inputs.name.value.trim() }));
      await this.load();
    });
    const button = (kind, words, run) => h("button", { type: "button", class: kind, text: words, onclick: run });
    this.body.replaceChildren(h("div", { class: "cs-brand-form" },
      ...(brand ? [] : [field("name", "Name in requests", inputs.name)]), field("title", "Title", inputs.title),
      ...LISTS.map(([name, label]) => field(name, label, inputs[name])),
      field("loras", "LoRAs, always on", inputs.loras), field("profile", "Quality profile", inputs.profile),
      ...FLAGS.map(([name, label]) => field(name, label, inputs[name])), field("note", "Note on this change", inputs.note),
      h("div", { class: "cs-actions" }, button("cs-primary", "Save", save),
        ...(brand ? [button("cs-plain", "Remove", () => this.remove(brand.name)), h("a", { class: "cs-plain", href: `/api/brands/${encodeURIComponent(brand.name)}/toml`, download: true, text: "Export TOML" })] : []),
        button("cs-bare", "Close", () => this.body.replaceChildren())),
      ...(brand ? [h("ul", { class: "cs-brand-list" }, ...brand.versions.map((one) => this.version(brand, one)))] : []),
    ));
    (brand ? inputs.title : inputs.name).focus();
  }

  version(brand, { version, person, note, created, removed }) {
    const says = h("span", { class: "cs-quiet", text: [`Version ${version}`, person, new Date(created).toLocaleString(), note].filter(Boolean).join(" · ") });
    const change = h("span", {});
    const show = async () => this.attempt(async () => {
      const { changes } = await ask(`/api/brands/${encodeURIComponent(brand.name)}/changes?old=${version}&new=${brand.version}`);
      change.textContent = changes.map((one) => `${one.key}: ${one.old ?? "nothing"} → ${one.new ?? "nothing"}`).join("; ") || "The same as now.";
    });
    const tools = version === brand.version || removed ? [] : [
      h("button", { type: "button", class: "cs-bare", text: "Changes since", "aria-label": `Changes since version ${version}`, onclick: show }),
      h("button", { type: "button", class: "cs-bare", text: "Restore", "aria-label": `Restore version ${version}`, onclick: () => this.restore(brand.name, version) })];
    return h("li", {}, says, ...tools, change);
  }

  async restore(name, version) {
    await this.attempt(async () => {
      this.edit(await ask(`/api/brands/${encodeURIComponent(name)}/restore`, { version }));
      await this.load();
    });
  }

  async remove(name) {
    await this.attempt(async () => {
      await ask(`/api/brands/${encodeURIComponent(name)}/remove`, {});
      this.body.replaceChildren();
      await this.load(); // where it can be restored
    });
  }

  async attempt(act) {
    try {
      await act();
      set(this.trouble, { hidden: true });
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      set(this.trouble, { text: error.message, hidden: false });
    }
  }
}
