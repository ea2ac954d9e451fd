// One template: its texts, its variables, what it would come to, and its versions. A change is kept in the page until saved.

import { Refused, api } from "./api.js";
import { debounced, h, set } from "./dom.js";
import { studio } from "./studio.js";
import { openProduction } from "./production.js";
import { tried } from "./settings.js";
import { TemplateVariables } from "./templatevariables.js";
import { Versions } from "./versions.js";
import { toast } from "./toast.js";

const TRY_MS = 300;
const PARTS = ["quality", "subject", "description", "context", "style", "season", "composition", "technical", "use"];
const PART_TITLES = { context: "Place", use: "For" };
const SIZES = ["1:1", "4:5", "3:2", "16:9", "9:16", "banner"];
const TEXTS = [["title", "Title", 1], ["use", "Use", 1], ["tags", "Tags, with commas", 1], ["about", "What it is for", 2]];

export class TemplateEditor {
  /** told: back(), saved(name), take(name, button), copy(name, button). */
  constructor(told) {
    Object.assign(this, { told, view: null, data: null, profiles: [], asToml: false, turn: 0 });
    this.heading = h("h2", { tabindex: "-1" });
    this.about = h("p", { class: "cs-quiet" });
    this.copies = h("button", { type: "button", class: "cs-bare", text: "Duplicate", onclick: () => told.copy(this.view.name, this.copies) });
    this.takes = h("button", { type: "button", class: "cs-bare", text: "Export", "aria-haspopup": "menu", onclick: () => told.take(this.view.name, this.takes) });
    this.produces = h("button", { type: "button", class: "cs-bare", text: "Take to production", title: "As it is saved: as Python with diffusers, as TOML or JSON, or as a request to a provider", onclick: () => openProduction({ template: { name: this.view.name, version: this.view.version }, family: studio.about.family }, this.view.title) });
    this.removes = h("button", { type: "button", class: "cs-bare", text: "Remove", onclick: () => this.remove() });
    this.form = h("div", { class: "cs-t-form", oninput: () => this.touched(), onchange: () => this.touched() });
    this.tomls = h("button", { type: "button", class: "cs-bare", text: "Edit as TOML", onclick: () => this.turnOver() });
    this.toml = h("textarea", { class: "cs-t-toml", rows: 26, spellcheck: "false", "aria-label": "The template as TOML", hidden: true, oninput: () => this.touched() });
    this.variables = new TemplateVariables(() => this.touched());
    this.versions = new Versions((version) => this.restore(version), async ({ name }, old, now) => (await api.templateChanges(name, old, now)).changes);
    this.thumb = h("img", { class: "cs-t-big", alt: "What it made" });
    this.text = h("p", { class: "cs-t-text" });
    this.facts = h("ul", { class: "cs-t-facts" });
    this.wrong = h("p", { class: "cs-error", role: "alert" });
    this.note = h("input", { type: "text", maxlength: 200, placeholder: "Why (optional)", "aria-label": "Why this was changed" });
    this.saves = h("button", { type: "button", class: "cs-primary", text: "Save", onclick: () => this.save() });
    this.drops = h("button", { type: "button", class: "cs-plain", text: "Discard", onclick: () => this.discard() });
    this.keeping = h("div", { class: "cs-t-keeping", hidden: true }, this.note, this.drops, this.saves);
    this.element = h("section", { class: "cs-t-one", "aria-label": "The chosen template" },
      h("button", { type: "button", class: "cs-bare cs-t-back", text: "All templates", onclick: () => this.leave() }),
      h("div", { class: "cs-t-head" }, h("div", {}, this.heading, this.about),
        h("div", { class: "cs-t-acts" }, this.copies, this.takes, this.produces, this.removes, h("button", { type: "button", class: "cs-primary", text: "Use", onclick: () => studio.say("use template", { name: this.view.name, values: this.view.example }) }))),
      h("div", { class: "cs-t-columns" },
        h("div", { class: "cs-t-write" }, h("div", { class: "cs-t-over" }, h("h3", { text: "What it says" }), this.tomls), this.form, this.variables.element, this.toml),
        h("aside", { class: "cs-t-side", "aria-label": "What it would come to" }, this.thumb, h("h3", { text: "With its example" }), this.text, this.facts, this.wrong, this.keeping)),
      this.versions.element);
    this.trySoon = debounced(() => this.attempt(), TRY_MS);
  }

  get edited() {
    return !this.keeping.hidden;
  }

  async open(name) {
    const [view, { profiles }] = await Promise.all([api.template(name), api.profiles()]);
    Object.assign(this, { view, profiles });
    this.show();
  }

  /** After somebody has saved; what is being changed here stays. templates: those that there are by now. */
  async refresh(templates) {
    if (!this.view || this.edited) return;
    const { name, version } = this.view;
    const known = templates.find((one) => one.name === name);
    if (!known) return this.told.back(); // it was removed
    if (known.version === version) return;
    let view;
    try {
      view = await api.template(name);
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      return this.told.back();
    }
    if (this.view.name !== name || this.edited || view.version === version) return;
    this.view = view;
    this.show();
  }

  show() {
    const { title, about, thumb, shipped, version } = this.view;
    this.data = structuredClone(this.view.template);
    this.heading.textContent = title;
    this.about.textContent = about;
    this.thumb.hidden = !thumb;
    if (thumb) this.thumb.src = thumb;
    this.removes.textContent = shipped ? "Hide" : "Remove";
    this.keeping.hidden = true;
    this.note.value = this.wrong.textContent = "";
    this.base = version;
    this.asToml = false;
    this.draw();
    this.versions.show(this.view);
    this.attempt();
  }

  draw() {
    this.toml.hidden = !this.asToml;
    this.form.hidden = this.variables.element.hidden = this.asToml;
    this.tomls.textContent = this.asToml ? "Edit as a form" : "Edit as TOML";
    const { data } = this;
    const fields = TEXTS.map(([name, label, rows]) => this.field(name, label, rows, name === "tags" ? (data.tags ?? []).join(", ") : data[name] ?? "", (value) => this.put(data, name, name === "tags" ? value.split(",").map((one) => one.trim().toLowerCase()).filter(Boolean) : value)));
    const texts = [];
    if (data.prompt !== undefined || !data.parts) texts.push(this.field("prompt", "Prompt", 4, data.prompt ?? "", (value) => this.put(data, "prompt", value)));
    for (const part of PARTS.filter((one) => data.parts?.[one] !== undefined)) texts.push(this.field(`part-${part}`, PART_TITLES[part] ?? part[0].toUpperCase() + part.slice(1), 1, data.parts[part], (value) => (data.parts[part] = value)));
    const missing = PARTS.filter((one) => data.parts?.[one] === undefined && !(one === "subject" && data.prompt !== undefined));
    const more = h("select", { "aria-label": "Add a part", onchange: () => {
      if (!more.value) return;
      (data.parts ??= {})[more.value] = "";
      const added = more.value;
      this.draw();
      this.form.querySelector(`#cs-t-part-${added}`)?.focus();
    } }, h("option", { value: "", text: "Add a part \u2026" }), missing.map((one) => h("option", { value: one, text: PART_TITLES[one] ?? one })));
    texts.push(h("div", { class: "cs-t-more" }, more, h("p", { class: "cs-quiet", text: "$name is a variable, $$ a dollar; {a|b}, __list__ and <lora:name:0.8> as elsewhere." })));
    texts.push(this.field("negative", "Negative prompt", 1, data.negative ?? "", (value) => this.put(data, "negative", value), "sent only to models that read one"));
    const tiers = studio.about?.families[0]?.tiers.map(({ name, title }) => [name, title]) ?? [];
    const chosen = h("div", { class: "cs-t-row" },
      this.select("tier", "Tier", [["", "as chosen"], ...tiers]), this.select("size", "Size", [["", "as chosen"], ...SIZES.map((one) => [one, one])]),
      this.number("draft", "Draft"), this.number("keep", "Keep"),
      this.select("profile", "Quality profile", [["", "as chosen"], ...this.profileNames()]));
    this.form.replaceChildren(...fields, ...texts, chosen);
    this.variables.show(data);
  }

  /** Those of this studio, and the one that the template names wherever it came from. */
  profileNames() {
    const names = this.profiles.map(({ name, title }) => [name, title]);
    const own = this.data.profile;
    return own && !names.some(([name]) => name === own) ? [...names, [own, `${own} (not in this studio)`]] : names;
  }

  put(data, name, value) {
    if (value === "" || (Array.isArray(value) && !value.length)) delete data[name];
    else data[name] = value;
    if (name === "prompt" && !value && data.parts?.subject === undefined) data.prompt = "";
  }

  field(name, label, rows, value, write, hint = "") {
    const id = `cs-t-${name}`;
    const long = rows > 1 || value.length > 60 || name.startsWith("part") || name === "negative";
    const input = long ? h("textarea", { id, rows, oninput: () => write(input.value) }) : h("input", { id, type: "text", oninput: () => write(input.value) });
    input.value = value;
    return h("div", { class: `cs-t-field cs-t-field-${name}` }, h("label", { for: id }, h("span", { text: label }), hint ? h("span", { class: "cs-quiet", text: hint }) : null), input);
  }

  select(name, label, options) {
    const input = h("select", { id: `cs-t-${name}`, onchange: () => this.put(this.data, name, input.value) }, options.map(([value, text]) => h("option", { value, text })));
    input.value = this.data[name] ?? "";
    return h("div", { class: "cs-t-field" }, h("label", { for: input.id, text: label }), input);
  }

  number(name, label) {
    const input = h("input", { id: `cs-t-${name}`, type: "number", min: 1, max: 240, placeholder: "as chosen", oninput: () => this.put(this.data, name, input.value === "" ? "" : Number(input.value)) });
    input.value = this.data[name] ?? "";
    return h("div", { class: "cs-t-field" }, h("label", { for: input.id, text: label }), input);
  }

  /** What is being written, as the door takes it. */
  draft() {
    return this.asToml ? { toml: this.toml.value } : { template: this.data };
  }

  touched() {
    this.keeping.hidden = false;
    this.trySoon();
  }

  /** From the form to TOML and back; what was not saved goes along. */
  async turnOver() {
    if (this.asToml) {
      const back = await api.tryTemplate(this.view.name, { toml: this.toml.value });
      if (back.wrong) return this.refuse(back.wrong);
      this.data = back.template;
    } else {
      const there = this.edited ? await api.tryTemplate(this.view.name, { template: this.data }) : { toml: this.view.toml };
      if (there.wrong) return this.refuse(there.wrong);
      this.toml.value = there.toml;
    }
    this.asToml = !this.asToml;
    this.draw();
    (this.asToml ? this.toml : this.tomls).focus();
  }

  async attempt() {
    const turn = ++this.turn;
    const found = await api.tryTemplate(this.view.name, { ...this.draft(), family: studio.family });
    if (turn !== this.turn) return;
    this.saves.disabled = Boolean(found.wrong);
    if (found.wrong) return this.refuse(found.wrong);
    this.wrong.textContent = "";
    for (const field of this.element.querySelectorAll("[aria-invalid]")) set(field, { "aria-invalid": null });
    this.text.replaceChildren(...pieces(found));
    const { tier, size, profile, draft, keep } = found.request;
    const unknown = [...new Set(found.unknown.map(({ word }) => word))];
    const lines = [
      [tier, size, draft && `${draft} drafts`, keep && `${keep} kept`, profile && `held to ${profile}`].filter(Boolean).join(", "),
      Object.entries(found.counts).map(([name, [count, most]]) => `${name.toUpperCase()} ${count} of ${most} tokens`).join(", "),
      found.negative ? `Negative: ${found.negative}${found.negative_used ? "" : " (ignored: this model reads none)"}` : "",
      unknown.length ? `Not in this model\u2019s world: ${unknown.join(", ")}` : "",
      found.varies ? "Another seed may give other words." : "",
      ...found.notes,
    ];
    this.facts.replaceChildren(...lines.filter(Boolean).map((text) => h("li", { text })));
  }

  refuse(wrong) {
    this.wrong.textContent = new Refused(wrong).message;
    this.text.replaceChildren();
    this.facts.replaceChildren();
    for (const field of this.element.querySelectorAll("[aria-invalid]")) set(field, { "aria-invalid": null });
    const id = `cs-t-${(wrong.field ?? "").replace(/^parts\./, "part-").split(".").slice(0, 1)}`;
    const place = this.form.querySelector(`#${CSS.escape(id)}`);
    if (place) set(place, { "aria-invalid": "true" });
    this.variables.mark(wrong.field ?? "");
  }

  async save() {
    const { name } = this.view;
    const note = this.note.value;
    let view;
    if (!(await tried(async () => (view = await api.saveTemplate(name, { ...this.draft(), note, base: this.base })), "", this.wrong))) return;
    toast(`${view.title}: version ${view.version} is used from now on.`);
    this.keeping.hidden = true;
    this.view = view;
    this.show();
  }

  discard() {
    this.show();
    this.heading.focus({ preventScroll: true });
  }

  leave() {
    if (this.edited) toast("What was changed and not saved is gone.");
    this.keeping.hidden = true;
    this.told.back();
  }

  async restore(version) {
    const { name } = this.view;
    if (!(await tried(async () => (this.view = await api.restoreTemplate(name, version)), version ? `Version ${version} is used again.` : "As shipped again.", this.wrong))) return;
    this.show();
  }

  async remove() {
    const { name, title } = this.view;
    if (!(await tried(() => api.removeTemplate(name), `${title} is out of the list. It can be restored below the gallery.`, this.wrong))) return;
    this.keeping.hidden = true;
    this.told.back();
  }
}

/** The composed text with its parts told apart. */
function pieces({ text, pieces: found }) {
  const letters = Array.from(text);
  const shown = [];
  let at = 0;
  for (const { kind, start, end } of found) {
    shown.push(letters.slice(at, start).join(""), h("span", { class: "cs-t-piece", data: { kind }, title: kind, text: letters.slice(start, end).join("") }));
    at = end;
  }
  return [...shown, letters.slice(at).join("")];
}
