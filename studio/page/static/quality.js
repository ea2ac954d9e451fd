// The Quality tab: profiles with their bars and rules, what measures them, and safety. Profiles: the list on the left, one open beside it.

import { h, plural, set } from "./dom.js";
import { api } from "./api.js";
import { ProfileEditor } from "./qualityprofile.js";
import { askAt } from "./menus.js";
import { studio } from "./studio.js";
import { tried } from "./settings.js";

const PARTS = [["profiles", "Profiles"], ["scorers", "Scorers"], ["safety", "Safety"]];

export class CsQuality extends HTMLElement {
  connectedCallback() {
    if (this.firstChild) return;
    this.chosen = null;
    this.wrong = h("p", { class: "cs-error", role: "alert" });
    this.list = h("ul", { class: "cs-q-list" });
    this.removed = h("div", { class: "cs-q-removed", hidden: true });
    this.file = h("input", { type: "file", accept: ".toml", hidden: true, "aria-label": "A profile as TOML", onchange: () => this.take() });
    this.editor = new ProfileEditor({ changed: () => this.load(), marked: (name, edited) => this.mark(name, edited), copy: (button) => this.copy(button), gone: () => this.open("generic") });
    this.panels = {
      profiles: h("div", { class: "cs-q-profiles" },
        h("nav", { class: "cs-q-side", "aria-label": "Quality profiles" }, this.list, h("button", { type: "button", class: "cs-plain", text: "Import TOML", onclick: () => this.file.click() }), this.file, this.removed, this.wrong),
        this.editor.element),
      scorers: h("div", { hidden: true }, h("cs-scorers")),
      safety: h("div", { hidden: true }, h("cs-safety")),
    };
    this.tabs = PARTS.map(([name, text]) => h("button", { type: "button", class: "cs-q-part", text, "aria-current": name === "profiles" ? "page" : null, onclick: () => this.show(name) }));
    this.append(h("nav", { class: "cs-q-parts", "aria-label": "Parts of quality" }, ...this.tabs), ...Object.values(this.panels));
    studio.on("tab", (tab) => tab === "quality" && this.load());
    studio.on("found", () => this.shown && this.load());
    studio.on("profiles", ({ name }) => this.shown && this.told(name));
    if (this.shown) this.load();
  }

  get shown() {
    return studio.tab === "quality";
  }

  /** Shows a part: profiles, scorers or safety. */
  show(part) {
    PARTS.forEach(([name], i) => {
      this.panels[name].hidden = name !== part;
      set(this.tabs[i], { "aria-current": name === part ? "page" : null });
    });
  }

  async load() {
    const facts = await api.profiles();
    this.facts = facts;
    this.list.replaceChildren(...facts.profiles.map((profile) => this.entry(profile)));
    this.removed.hidden = !facts.removed.length;
    this.removed.replaceChildren(h("p", { class: "cs-quiet", text: "Removed" }), ...facts.removed.map((one) => h("button", { type: "button", class: "cs-bare", text: `Restore ${one.title}`, onclick: () => this.restore(one) })));
    const names = facts.profiles.map(({ name }) => name);
    await this.open(names.includes(this.chosen) ? this.chosen : names[0]);
  }

  entry({ name, title, version, shipped, asks }) {
    const state = !shipped ? `version ${version}` : version ? `changed, version ${version}` : "as shipped";
    return h("li", {}, h("button", { type: "button", class: "cs-q-entry", data: { name }, "aria-current": name === this.chosen ? "true" : null, onclick: () => this.open(name) },
      h("b", { text: title }), h("small", {}, h("span", { class: "cs-q-edited", text: "Edited · ", hidden: !this.editor.edited(name) }), `${plural(asks.length, "bar")} · ${state}`)));
  }

  async open(name) {
    this.chosen = name;
    for (const button of this.list.querySelectorAll("button")) set(button, { "aria-current": button.dataset.name === name ? "true" : null });
    await this.editor.open(name, this.facts);
  }

  mark(name, edited) {
    const entry = [...this.list.querySelectorAll("button")].find((button) => button.dataset.name === name);
    if (entry) entry.querySelector(".cs-q-edited").hidden = !edited;
  }

  /** Somebody has saved a profile, perhaps this page itself. */
  async told(name) {
    this.editor.forget(name);
    await this.load();
  }

  copy(button) {
    askAt(button, "Title of the copy", [], async (title) => {
      const name = named(title, this.facts.profiles.map((one) => one.name));
      if (await tried(() => api.newProfile({ name, from: this.chosen, title }), `${title}: a copy to change.`, this.wrong)) await this.arrive(name);
    });
  }

  async take() {
    const [file] = this.file.files;
    this.file.value = "";
    if (!file) return;
    const name = named(file.name.replace(/\.toml$/i, ""), this.facts.profiles.map((one) => one.name));
    const done = await tried(async () => api.newProfile({ name, toml: await file.text(), note: `Imported from ${file.name}`.slice(0, 200) }), `${file.name} is here as ${name}.`, this.wrong);
    if (done) await this.arrive(name);
  }

  async restore({ name, title, version }) {
    if (await tried(() => api.restoreProfile(name, version), `${title} is back.`, this.wrong)) await this.arrive(name);
  }

  async arrive(name) {
    this.chosen = name;
    await this.load();
  }
}

/** A free name for a profile, from its title. */
function named(title, taken) {
  const plain = title.normalize("NFKD").toLowerCase().replace(/[^a-z0-9]+/g, "-").replace(/^-+|-+$/g, "").slice(0, 36).replace(/-+$/, "") || "profile";
  if (!taken.includes(plain)) return plain;
  for (let i = 2; ; i++) if (!taken.includes(`${plain}-${i}`)) return `${plain}-${i}`;
}
