// X/Y/Z grids: one request drawn for every combination of values, the second half of the Experiments tab.

import { Refused, api } from "./api.js";
import { debounced, duration, h, plural, set } from "./dom.js";
import { GridView } from "./gridview.js";
import { studio } from "./studio.js";

const TAB = "experiments";
const LETTERS = ["x", "y", "z"];
const PLACES = { x: "across", y: "down", z: "a part each" };
const SETTLE_MS = 350;
const AGAIN_MS = 900;
const NUMBERS = "Like 4, 8, 12 or 4-20 (+4) or 1-7 [5]";
// value -> [name, what to write, the values there are to choose from]
const FIELDS = {
  words: ["Words of the prompt", "The word that is there first: red, blue, green"],
  seed: ["Seed", NUMBERS],
  guidance: ["Guidance", NUMBERS],
  steps: ["Steps", NUMBERS],
  size: ["Size", "Names, with commas between", () => studio.facts()?.sizes.map((one) => one.name)],
  tier: ["Tier", "Names, with commas between", () => studio.about?.families.find((one) => one.name === studio.family)?.tiers.map((one) => one.name)],
  family: ["Model family", "Names, with commas between", () => studio.about?.families.filter((one) => one.usable !== false).map((one) => one.name)],
  prompt: ["Prompt", "Whole prompts, one a line"],
  negative: ["Negative prompt", "One a line"],
  strength: ["Strength of the start picture", NUMBERS],
  profile: ["Quality profile", "Names, with commas between"],
  brand: ["Brand", "Names, with commas between"],
  template: ["Template", "Names, with commas between"],
  "template.version": ["Template version", NUMBERS],
};

export class CsGrids extends HTMLElement {
  connectedCallback() {
    if (this.firstChild) return;
    this.view = new GridView({ closed: () => this.closed(), changed: () => this.list() });
    this.settle = debounced(() => this.plan(), SETTLE_MS);
    this.again = debounced(() => this.shown && this.list(), AGAIN_MS);
    this.build();
    studio.on("tab", () => this.shown && this.opened());
    studio.on("found", () => this.shown && this.opened());
    studio.on("job", () => this.shown && this.again());
    if (this.shown) this.opened();
  }

  get shown() {
    return studio.tab === TAB;
  }

  build() {
    this.prompt = h("textarea", { id: "cs-grid-prompt", rows: 2, maxlength: 4000, oninput: () => this.settle() });
    this.like = h("p", { class: "cs-quiet cs-grid-like" });
    this.axes = LETTERS.map((letter) => new AxisRow(letter, () => this.settle()));
    this.told = h("div", { class: "cs-grid-told", role: "status" });
    this.refused = h("ul", { class: "cs-grid-refused", hidden: true });
    this.trouble = h("p", { class: "cs-error", role: "alert", hidden: true });
    this.button = h("button", { type: "submit", class: "cs-primary", text: "Draw the grid", disabled: true });
    this.form = h("form", { class: "cs-grid-form", "aria-label": "A new grid", novalidate: true, onsubmit: (event) => this.start(event) },
      h("div", { class: "cs-grid-base" }, h("label", { for: this.prompt.id, text: "Prompt" }), this.prompt, this.like),
      h("div", { class: "cs-grid-axes" }, this.axes.map((axis) => axis.element)),
      h("div", { class: "cs-grid-send" }, this.told, this.refused, this.trouble, this.button));
    this.cards = h("ul", { class: "cs-grid-cards", "aria-label": "Grids" });
    this.none = h("p", { class: "cs-grid-none cs-quiet", hidden: true, text: "No grid yet. Choose a field and its values, and what it comes to is told before anything is drawn." });
    this.making = h("div", { class: "cs-grid-making" }, this.form, this.none, this.cards);
    this.append(h("header", { class: "cs-grid-head" }, h("h2", { text: "Grids" }), h("p", { class: "cs-quiet", text: "One request, drawn once for each combination of values, everything else the same, the seed too." })), this.making, this.view.element);
  }

  async opened() {
    this.takeForm();
    await this.list();
    if (this.view.shown) await this.view.load();
  }

  /** What is not on an axis is as on the form. */
  takeForm() {
    const form = document.querySelector("cs-form");
    let base;
    try {
      base = form.request();
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      base = { family: studio.family, tier: studio.tier, prompt: "" }; // a number on the form that is none
    }
    if (!this.base || this.prompt.value === (this.base.prompt ?? "")) this.prompt.value = base.prompt ?? "";
    this.base = base;
    const facts = studio.facts();
    const own = ["guidance", "steps", "negative", "profile", "seed", "brand"].filter((name) => ![undefined, null, ""].includes(base[name])).map((name) => `${name} ${base[name]}`);
    const template = base.template?.name ?? base.template;
    this.like.textContent = `The rest as on the form: ${[template ? `template ${template}` : "", facts?.title ?? base.tier, base.size, ...own].filter(Boolean).join(", ")}.`;
    // Also those that are left empty on the form.
    const variables = template ? [...new Set([...(form.template?.fields?.keys() ?? []), ...Object.keys(base.values ?? {})])] : [];
    this.prompt.placeholder = template ? "The template's own" : "";
    for (const axis of this.axes) axis.offer(variables, Boolean(template));
    this.settle();
  }

  async list() {
    const { grids } = await api.grids();
    this.none.hidden = grids.length > 0;
    this.cards.replaceChildren(...grids.map((one) => card(one, () => this.open(one.id))));
  }

  request() {
    const axes = this.axes.filter((axis) => axis.field).map((axis) => axis.asked());
    const base = { ...this.base, prompt: this.prompt.value };
    return { base, ...Object.fromEntries(axes.map((axis, at) => [LETTERS[at], axis])) };
  }

  /** What it comes to, before it starts. */
  async plan() {
    const turn = (this.turn = {});
    this.clear();
    const ready = this.axes.some((axis) => axis.field && axis.values.value.trim());
    if (!ready || !this.base) {
      this.tell("Choose a field and its values.", null);
      return;
    }
    try {
      const plan = await api.planGrid(this.request());
      if (this.turn !== turn) return;
      if (plan.error) this.refuse(new Refused(plan.error, 422));
      else this.show(plan);
    } catch (error) {
      if (!(error instanceof Refused) || error.status === 0) throw error;
      if (this.turn === turn) this.refuse(error);
    }
  }

  show(plan) {
    const [columns, rows, parts] = plan.shape;
    const able = plan.cells - plan.refused_cells;
    const time = plan.seconds === null ? "never timed on this machine" : plan.seconds < 1 ? "under a second" : `about ${duration(plan.seconds)}`;
    const wait = plan.ahead ? `, after ${duration(plan.ahead)} of what is queued` : "";
    const sheet = plan.sheet ? `, a sheet of ${plan.sheet.width.toLocaleString("en-GB")} × ${plan.sheet.height.toLocaleString("en-GB")} pixels` : "";
    this.tell(`${[columns, rows, parts].slice(0, plan.axes.length).join(" × ")}: ${plural(plan.pictures, "picture")} in ${plural(plan.jobs, "job")}, ${time}${wait}${sheet}.`, plan);
    this.refused.hidden = !plan.refused.length;
    this.refused.replaceChildren(...plan.refused.map((one) => h("li", {}, h("b", { text: one.labels.join(" · ") }), ` ${[one.what, one.why, one.todo].filter(Boolean).join(" ")}`)),
      ...(plan.refused_cells > plan.refused.length ? [h("li", { class: "cs-quiet", text: `and ${plural(plan.refused_cells - plan.refused.length, "more cell")}` })] : []));
    this.button.textContent = plan.refused_cells ? `Draw the other ${able}` : `Draw ${plural(plan.pictures, "picture")}`;
    this.button.disabled = !able;
  }

  tell(words, plan) {
    this.told.textContent = words;
    this.planned = plan;
    if (!plan) {
      this.button.textContent = "Draw the grid";
      this.button.disabled = true;
      this.refused.hidden = true;
    }
  }

  clear() {
    this.trouble.hidden = true;
    for (const axis of this.axes) axis.refuse("");
  }

  refuse(error) {
    this.tell("", null);
    const [letter] = (error.field ?? "").split(".");
    const used = this.axes.filter((axis) => axis.field);
    const axis = used[LETTERS.indexOf(letter)];
    if (axis) axis.refuse(error.message);
    else set(this.trouble, { text: error.message, hidden: null });
  }

  async start(event) {
    event.preventDefault();
    if (this.busy || !this.planned) return;
    this.busy = true;
    set(this.button, { "aria-busy": "true" });
    try {
      const grid = await api.startGrid({ ...this.request(), ...(this.planned.refused_cells ? { skip: true } : {}) });
      this.open(grid.id, grid);
      await this.list();
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      this.refuse(error);
    } finally {
      this.busy = false;
      set(this.button, { "aria-busy": null });
    }
  }

  open(id, grid = null) {
    this.making.hidden = true;
    return this.view.open(id, grid);
  }

  closed() {
    this.making.hidden = false;
    this.list();
    this.button.focus();
  }
}

class AxisRow {
  constructor(letter, changed) {
    this.letter = letter;
    this.changed = changed;
    const name = letter.toUpperCase();
    this.select = h("select", { class: "cs-choice", "aria-label": `${name} field`, onchange: () => this.chose() });
    this.values = h("textarea", { class: "cs-grid-values", rows: 1, "aria-label": `${name} values`, maxlength: 8000, disabled: true, oninput: () => changed() });
    this.all = h("button", { type: "button", class: "cs-plain", text: "All", hidden: true, onclick: () => this.fill() });
    this.error = h("p", { class: "cs-error", role: "alert", hidden: true });
    this.element = h("fieldset", { class: "cs-grid-axis" }, h("legend", {}, h("b", { text: name }), h("span", { class: "cs-quiet", text: PLACES[letter] })), this.select, h("div", { class: "cs-grid-values-row" }, this.values, this.all), this.error);
    this.offer([], false);
  }

  get field() {
    return this.select.value;
  }

  /** The fields there are; variables: of the template on the form. */
  offer(variables, template) {
    const chosen = this.select.value;
    const entries = Object.entries(FIELDS).filter(([name]) => (template ? !["words", "prompt"].includes(name) : name !== "template.version"));
    const own = variables.map((name) => [`values.${name}`, [name.replaceAll("_", " "), "Values, with commas between or one a line"]]);
    this.known = Object.fromEntries([...own, ...entries]);
    this.select.replaceChildren(h("option", { value: "", text: this.letter === "x" ? "Choose a field" : "None" }), ...Object.entries(this.known).map(([value, [text]]) => h("option", { value, text })));
    this.select.value = chosen in this.known ? chosen : "";
    this.suit();
  }

  suit() {
    const [, hint, choices] = this.known[this.field] ?? [];
    this.values.disabled = !this.field;
    this.values.placeholder = hint ?? "";
    this.values.rows = ["prompt", "negative"].includes(this.field) ? 3 : 1;
    this.all.hidden = !choices?.()?.length;
  }

  chose() {
    this.values.value = "";
    this.suit();
    this.changed();
    if (this.field) this.values.focus();
  }

  fill() {
    this.values.value = this.known[this.field][2]().join(", ");
    this.changed();
  }

  asked() {
    // One whole prompt on one line is one value, commas and all.
    const text = this.values.value;
    const whole = ["prompt", "negative"].includes(this.field);
    return { field: this.field, values: whole ? text.split("\n").map((line) => line.trim()).filter(Boolean) : text };
  }

  refuse(text) {
    set(this.error, { text, hidden: !text });
    set(this.values, { "aria-invalid": text ? "true" : null });
  }
}

function card(one, open) {
  const state = one.open ? `${one.drawn} of ${one.cells} drawn` : `${one.shape.slice(0, one.axes.length).join(" × ")}`;
  return h("li", {}, h("button", { type: "button", class: "cs-grid-card", onclick: open },
    h("span", { class: "cs-grid-shots", "aria-hidden": "true" }, one.thumbs.map((src) => h("img", { src, alt: "", loading: "lazy" }))),
    h("b", { text: one.title }), h("span", { class: "cs-quiet", text: `${state} · ${one.axes.join(", ")}` })));
}
