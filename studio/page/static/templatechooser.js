// The form's template: which one, and its variables as typed fields. With one chosen it stands in the prompt's place.

import { Refused, api } from "./api.js";
import { h, set } from "./dom.js";
import { Likeness } from "./likeness.js";
import { studio } from "./studio.js";

export class TemplateChooser {
  /** form: what it stands in; changed(): something is to be remembered and read again. */
  constructor(form, changed) {
    Object.assign(this, { form, changed, view: null, fields: new Map(), templates: [], edit: null, turn: 0 });
    this.select = h("select", { id: "cs-template", onchange: () => this.choose(this.select.value) });
    const browse = h("button", { type: "button", class: "cs-link", text: "Browse", title: "Templates with pictures, in their tab", onclick: () => studio.show("templates") });
    this.about = h("p", { class: "cs-quiet cs-t-about" });
    this.variables = h("div", { class: "cs-t-values" });
    this.writes = h("button", { type: "button", class: "cs-link", text: "Write the whole prompt by hand", onclick: () => this.write() });
    this.error = h("p", { class: "cs-error", id: "cs-template-error", hidden: true });
    this.box = h("div", { class: "cs-field cs-t-chooser" }, h("div", { class: "cs-label" }, h("label", { for: "cs-template", text: "Template" }), browse), this.select, this.error, this.about, this.variables, this.writes);
    this.list();
    this.show();
    studio.on("about", () => this.read());
    studio.on("templates", () => this.read());
    studio.on("use template", ({ name, values }) => this.use(name, values));
  }

  get name() {
    return this.view?.name ?? null;
  }

  async read() {
    try {
      this.templates = (await api.templates()).templates;
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      return; // told by the head; what was chosen stays
    }
    this.list();
    if (this.wanted) await this.choose(this.wanted.name, this.wanted.values, this.wanted);
    else if (this.view && !this.templates.some(({ name, version }) => name === this.name && version === this.view.version)) await this.choose(this.name, this.values());
  }

  list() {
    const uses = new Map();
    for (const one of this.templates) uses.set(one.use || "Others", [...(uses.get(one.use || "Others") ?? []), one]);
    const groups = [...uses].sort(([a], [b]) => a.localeCompare(b)).map(([use, some]) => h("optgroup", { label: use }, some.map(({ name, title }) => h("option", { value: name, text: title }))));
    this.select.replaceChildren(h("option", { value: "", text: "None: a prompt of your own" }), ...groups);
    this.select.value = this.name ?? "";
  }

  /** From the tab: the template with its values, and the form made ready for it. */
  async use(name, values) {
    await this.choose(name, values);
    const tier = this.view?.tier ?? (studio.facts(studio.tab) ? studio.tab : studio.tier);
    studio.show(tier);
    this.suit();
    (this.variables.querySelector("input, select, textarea, button") ?? this.select).focus({ preventScroll: true });
    this.box.scrollIntoView({ block: "start" });
  }

  /** "" for none. values: to begin with; of: an earlier request's version and edit. */
  async choose(name, values = {}, { version = null, edit = null, quiet = false } = {}) {
    const turn = ++this.turn;
    this.wanted = null;
    this.error.hidden = true;
    if (!name) {
      this.view = this.edit = null;
      return this.drawn();
    }
    let view;
    try {
      view = await api.template(name, version);
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      if (turn !== this.turn) return;
      if (error.status === 0) this.wanted = { name, values, version, edit };
      else set(this.error, { text: error.message, hidden: null });
      return;
    }
    if (turn !== this.turn) return;
    const other = this.name !== name;
    Object.assign(this, { view, edit, version });
    this.draw({ ...(other ? this.shared() : {}), ...values });
    if (other && !quiet) this.suit();
    this.drawn();
  }

  /** Values of the template before that the new one has a variable for. */
  shared() {
    return Object.fromEntries([...this.fields].map(([name, field]) => [name, field.value()]).filter(([, value]) => value !== null));
  }

  /** What the template asks for besides its words. */
  suit() {
    if (!this.view) return;
    const radio = [...this.form.sizes.querySelectorAll("input")].find(({ value }) => value === this.view.size);
    if (radio) radio.checked = true;
    this.form.showPixels();
    if (this.view.profile) {
      this.form.wishes.wanted = this.view.profile;
      this.form.wishes.profile.value = this.view.profile;
      this.form.wishes.list();
    }
  }

  drawn() {
    this.select.value = this.name ?? "";
    this.show();
    this.changed();
  }

  draw(values) {
    this.fields = new Map(this.view.fields.map((variable) => [variable.name, field(variable, values[variable.name] ?? null, () => this.changed())]));
    this.variables.replaceChildren(...[...this.fields.values()].map(({ box }) => box));
  }

  show() {
    const chosen = Boolean(this.view);
    const byHand = this.edit !== null;
    this.about.textContent = this.view?.about ?? "";
    this.about.hidden = !this.about.textContent;
    this.variables.hidden = !chosen;
    this.writes.hidden = !chosen;
    this.writes.textContent = byHand ? "Back to the template\u2019s own words" : "Write the whole prompt by hand";
    const prompt = this.form.fields.prompt;
    if (prompt) prompt.box.hidden = chosen && !byHand;
    const { draft, keep } = this.view?.template ?? {};
    const facts = studio.facts();
    if (facts) {
      this.form.draft.placeholder = String(draft ?? facts.draft);
      this.form.keep.placeholder = String(keep ?? facts.keep);
    }
  }

  /** The prompt's field with the template's words in it, to be changed; or away with it. */
  async write() {
    if (this.edit !== null) this.edit = null;
    else {
      const composed = await api.compose(this.form.request());
      this.edit = composed.text ?? "";
      this.form.prompt.input.value = this.edit;
      this.form.prompt.read();
    }
    this.drawn();
    if (this.edit !== null) this.form.prompt.input.focus();
  }

  values() {
    return Object.fromEntries([...this.fields].map(([name, field]) => [name, field.value()]).filter(([, value]) => value !== null));
  }

  /** Its part of the request; the prompt is the template's own unless it is written by hand. */
  request() {
    if (!this.view) return {};
    const name = this.version === null ? this.name : { name: this.name, version: this.version };
    return { template: name, values: this.values(), prompt: "", ...(this.edit !== null ? { edit: this.form.prompt.input.value } : {}) };
  }

  /** Where a refusal of "values.product" is shown. */
  place(field) {
    const [head, name] = (field ?? "").split(".");
    if (head === "template") return { box: this.box, input: this.select, error: this.error };
    return head === "values" ? this.fields.get(name) ?? null : null;
  }

  get places() {
    return [...this.fields.values(), { input: this.select, error: this.error }];
  }

  fill(request) {
    const edit = request.source?.edit ?? null;
    if (request.template && edit !== null) this.form.prompt.input.value = edit;
    this.choose(request.template?.name ?? "", request.values ?? {}, { edit, quiet: true });
  }

  kept() {
    return this.view ? { name: this.name, values: this.values(), edit: this.edit !== null ? this.form.prompt.input.value : null } : this.wanted;
  }

  recall(kept) {
    this.wanted = kept?.name ? { name: kept.name, values: kept.values ?? {}, edit: kept.edit ?? null, version: null, quiet: true } : null;
  }
}

/** A variable as a field: {box, input, error, value()}. value: what it begins with, null for its default. */
function field(variable, value, changed) {
  const { name, title, type, help, required } = variable;
  const begin = value ?? variable.default;
  const id = `cs-value-${name}`;
  const { input, shown, read } = CONTROLS[type](variable, id, begin, changed);
  const error = h("p", { class: "cs-error", id: `${id}-error`, hidden: true });
  const note = h("span", { class: "cs-quiet", text: required ? "" : "optional" });
  const says = help ? h("p", { class: "cs-quiet cs-t-help", id: `${id}-help`, text: help }) : null;
  if (says) input.setAttribute("aria-describedby", says.id);
  const box = h("div", { class: "cs-field" }, h("label", { for: id }, h("span", { text: title }), note), shown ?? input, says, error);
  return { box, input, error, value: read };
}

const CONTROLS = {
  text({ max_length: most, title }, id, begin, changed) {
    const input = most > 160 ? h("textarea", { id, rows: 2, maxlength: most, oninput: changed }) : h("input", { id, type: "text", maxlength: most, autocomplete: "off", oninput: changed });
    input.value = begin ?? "";
    input.setAttribute("placeholder", title.toLowerCase());
    return { input, read: () => input.value.trim() || null };
  },
  choice({ choices, required }, id, begin, changed) {
    const input = h("select", { id, onchange: changed }, required && begin !== null ? null : h("option", { value: "", text: required ? "Choose \u2026" : "None" }), choices.map((one) => h("option", { value: one, text: one })));
    input.value = begin ?? "";
    return { input, read: () => input.value || null };
  },
  colour({ title }, id, begin, changed) {
    const input = h("input", { id, type: "text", maxlength: 40, autocomplete: "off", placeholder: "#1A2B3C, or navy blue", oninput: () => (follow(), changed()) });
    const pick = h("input", { type: "color", class: "cs-colour-pick", "aria-label": `Pick: ${title}`, title: "Pick a colour", value: "#808080", oninput: () => {
      input.value = pick.value.toUpperCase();
      changed();
    } });
    const follow = () => /^#[0-9a-f]{6}$/i.test(input.value.trim()) && (pick.value = input.value.trim());
    input.value = begin ?? "";
    follow();
    return { input, shown: h("div", { class: "cs-with-tools" }, input, pick), read: () => input.value.trim() || null };
  },
  number({ low, high, whole }, id, begin, changed) {
    const input = h("input", { id, type: "number", min: low, max: high, step: whole ? 1 : "any", oninput: changed, placeholder: low !== null && high !== null ? `${low} to ${high}` : "" });
    input.value = begin ?? "";
    return { input, read: () => {
      if (input.validity.badInput) throw new Refused({ field: `values.${id.slice("cs-value-".length)}`, what: "This is not a number." }, 0);
      return input.value === "" ? null : Number(input.value);
    } };
  },
  image({ name }, id, begin, changed) {
    const picture = new Likeness({ changed, id, field: `values.${name}` });
    picture.fill(begin);
    return { input: picture.input, shown: picture.element, read: () => picture.picture?.image ?? null };
  },
};

