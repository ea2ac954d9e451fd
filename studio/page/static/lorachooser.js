// The form's LoRAs: which ones a request wears, how strongly, in which version. What the tier or the model cannot wear stays in the
// list, says why, and is not sent: it comes back when the tier does.

import { Refused, api } from "./api.js";
import { h, icon, set } from "./dom.js";
import { called, picture, version } from "./lorafacts.js";
import { studio } from "./studio.js";

const USUAL = { least: -1, most: 2, limit: 4, step: 0.05 }; // the slider's ends; the field beside it goes as far as the studio takes

export class LoraChooser {
  /** form: what it stands in; changed(): something is to be remembered and read again. */
  constructor(form, changed) {
    Object.assign(this, { form, changed, rows: [], known: new Map(), limit: null, turn: 0, asked: "" });
    this.count = h("span", { class: "cs-quiet", id: "cs-lora-count" });
    const browse = h("button", { type: "button", class: "cs-link", text: "Browse", title: "LoRAs with pictures, in their tab", onclick: () => studio.show("loras") });
    this.select = h("select", { id: "cs-lora", "aria-describedby": "cs-lora-count", onchange: () => this.picked() });
    this.list = h("ul", { class: "cs-lo-worn", "aria-label": "LoRAs of this request" });
    this.error = h("p", { class: "cs-error", id: "cs-lora-error", hidden: true });
    this.box = h("div", { class: "cs-field cs-lo-chooser", hidden: true },
      h("div", { class: "cs-label" }, h("label", { for: "cs-lora" }, h("span", { text: "LoRAs " }), this.count), browse), this.list, this.select, this.error);
    studio.on("about", () => this.read());
    studio.on("choice", () => this.read());
    studio.on("loras", () => this.read());
    studio.on("found", () => this.read());
    studio.on("wear lora", (choice) => this.use(choice));
  }

  /** Which there are for the chosen model. */
  async read() {
    const turn = ++this.turn;
    const asked = { family: studio.family, tier: studio.tier };
    let found;
    try {
      found = await api.loras(asked);
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      return; // told by the head; what was chosen stays
    }
    if (turn !== this.turn) return;
    this.known = new Map(found.loras.map((lora) => [lora.name, lora]));
    this.limit = found.limit;
    this.show();
    if (this.rows.length) this.changed();
  }

  show() {
    this.box.hidden = !this.known.size && !this.rows.length;
    this.list.hidden = !this.rows.length;
    if (this.rows.some(({ element }, place) => this.list.children[place] !== element) || this.rows.length !== this.list.children.length) this.list.replaceChildren(...this.rows.map(({ element }) => element));
    for (const [row, why] of this.reasons()) row.show(this.known.get(row.name), why);
    const title = studio.facts()?.title ?? "This tier";
    const sent = this.sent().length;
    this.count.textContent = this.limit === 0 ? `${title}: base model only` : this.limit ? `${sent} of ${this.limit}` : "";
    const free = [...this.known.values()].filter(({ name, current }) => current && !this.rows.some((row) => row.name === name));
    const option = ({ name, title: words, triggers }) => h("option", { value: name, text: triggers.length ? `${words} (${triggers[0]})` : words });
    const fit = free.filter(({ fits }) => fits);
    const rest = free.filter(({ fits }) => !fits);
    const full = this.limit === 0 ? `${title} wears none` : this.limit !== null && sent >= this.limit ? `${title} wears no more` : "Add a LoRA";
    this.select.replaceChildren(h("option", { value: "", text: fit.length || full !== "Add a LoRA" ? full : rest.length ? "None fits this model" : "All are added" }), ...fit.map(option),
      ...(rest.length ? [h("optgroup", { label: "For other models", disabled: true }, rest.map(option))] : []));
    this.select.disabled = full !== "Add a LoRA" || !fit.length;
    this.select.hidden = this.limit === 0;
  }

  /** Row -> why it is not sent; "" for one that is. */
  reasons() {
    let worn = 0;
    return new Map(this.rows.map((row) => {
      const why = this.unworn(row) || (this.limit !== null && worn >= this.limit ? `Off: ${studio.facts()?.title ?? "this tier"} wears ${this.limit} at the most.` : "");
      if (!why) worn += 1;
      return [row, why];
    }));
  }

  /** Why a row would not be sent by itself. */
  unworn(row) {
    if (this.limit === null) return row.on ? "" : "Off";
    const lora = this.known.get(row.name);
    const title = studio.facts()?.title ?? "This tier";
    if (!lora || !lora.versions.length) return "It is not here any more.";
    const chosen = row.version === null ? null : version(lora, row.version);
    if (row.version !== null && !chosen) return `Version ${row.version} is not here any more.`;
    if (this.limit === 0) return `Off: ${title} draws with the base model only.`;
    if (!lora.fits && (!chosen || chosen.card === lora.card)) return `Off: ${lora.misfit || `it does not fit ${studio.facts()?.card_title ?? "this model"}.`}`;
    return row.on ? "" : "Off";
  }

  sent() {
    return [...this.reasons()].filter(([, why]) => !why).map(([row]) => row);
  }

  picked() {
    const name = this.select.value;
    if (!name) return;
    this.add({ name });
    this.list.lastElementChild.querySelector("input[type=range]").focus();
  }

  add({ name, weight = 1, version: number = null, on = true }) {
    let row = this.rows.find((one) => one.name === name);
    if (row) Object.assign(row, { version: number, on: true });
    else this.rows.push((row = new Worn({ name, weight, version: number, on }, this)));
    this.again();
    return row;
  }

  drop(row) {
    const place = this.rows.indexOf(row);
    this.rows.splice(place, 1);
    this.again();
    (this.rows[Math.min(place, this.rows.length - 1)]?.remove ?? (this.select.disabled ? this.form.prompt.input : this.select)).focus();
  }

  /** Something was chosen. */
  again() {
    this.error.hidden = true;
    this.show();
    this.changed();
  }

  /** From the tab: one more, on a tier that wears it. */
  use({ name, version: number = null }) {
    const wears = (tier) => (studio.facts(tier)?.loras ?? 0) > 0;
    const tiers = studio.about.families.find((one) => one.name === studio.family)?.tiers ?? [];
    studio.show(wears(studio.tier) ? studio.tier : (tiers.find((tier) => wears(tier.name))?.name ?? studio.tier));
    const row = this.add({ name, version: number });
    this.box.scrollIntoView({ block: "nearest" });
    row.slider.focus({ preventScroll: true });
  }

  /** Its part of the request. */
  request() {
    const loras = this.sent().map(({ name, weight, version: number }) => ({ name, weight, ...(number === null ? {} : { version: number }) }));
    return loras.length ? { loras } : {};
  }

  fill(request) {
    this.rows = [];
    for (const one of request.loras ?? []) this.rows.push(new Worn({ name: one.name, weight: one.weight ?? 1, version: one.version ?? null, on: true }, this));
    this.show();
  }

  kept() {
    return this.rows.map(({ name, weight, version: number, on }) => ({ name, weight, version: number, on }));
  }

  recall(kept) {
    this.fill({});
    for (const one of kept ?? []) this.rows.push(new Worn(one, this));
    this.show();
  }
}

/** One that is worn: its weight, its version, on or off. */
class Worn {
  constructor({ name, weight, version: number, on }, chooser) {
    Object.assign(this, { name, weight, version: number, on, chooser });
    this.thumb = h("span", { class: "cs-lo-thumb" });
    this.title = h("b");
    this.switch = h("input", { type: "checkbox", onchange: () => ((this.on = this.switch.checked), chooser.again()) });
    this.versions = h("select", { id: `cs-lora-version-${name}`, class: "cs-lo-version", onchange: () => ((this.version = this.versions.value === "" ? null : Number(this.versions.value)), chooser.again()) });
    this.slider = h("input", { type: "range", min: USUAL.least, max: USUAL.most, step: USUAL.step, oninput: () => this.weigh(this.slider), ondblclick: () => this.to(1) });
    this.number = h("input", { type: "number", inputmode: "decimal", min: -USUAL.limit, max: USUAL.limit, step: USUAL.step, oninput: () => this.weigh(this.number), onblur: () => this.number.value === "" && this.to(this.weight) });
    this.remove = h("button", { type: "button", class: "cs-tool", onclick: () => chooser.drop(this) }, icon("close"));
    this.said = h("p", { class: "cs-quiet" });
    this.element = h("li", { class: "cs-lo-row" },
      h("div", { class: "cs-lo-head" }, this.thumb, h("label", { class: "cs-lo-name" }, this.switch, this.title), this.remove),
      h("div", { class: "cs-lo-weight" }, this.slider, this.number), h("div", { class: "cs-lo-foot" }, this.said, this.versions));
    this.slider.value = this.number.value = weight;
  }

  /** lora: as the studio has it, undefined for one that is gone. why: it is not sent; "" where it is. */
  show(lora, why) {
    const title = lora?.title ?? this.name;
    this.title.textContent = title;
    const shown = lora && version(lora, this.version ?? lora.current);
    const key = `${shown?.samples[0]} ${title}`;
    if (this.thumbed !== key) this.thumb.replaceChildren(lora ? picture(lora, shown ?? undefined) : "");
    this.thumbed = key;
    for (const [input, words] of [[this.switch, `Wear ${title}`], [this.versions, `Version of ${title}`], [this.slider, `Weight of ${title}`], [this.number, `Weight of ${title}, as a number`], [this.remove, `Take ${title} off`]]) input.setAttribute("aria-label", words);
    this.switch.checked = this.on;
    const numbers = (lora?.versions ?? []).map(({ number }) => number);
    const usual = lora?.aliases.production ? `production v${lora.current}` : `newest${lora?.current ? ` v${lora.current}` : ""}`;
    const named = (number) => (lora?.aliases.candidate === number ? `v${number} candidate` : `v${number}`);
    const gone = this.version !== null && !numbers.includes(this.version) ? [h("option", { value: this.version, text: `v${this.version} (gone)` })] : [];
    this.versions.replaceChildren(h("option", { value: "", text: usual }), ...numbers.map((number) => h("option", { value: number, text: named(number) })), ...gone);
    this.versions.value = this.version ?? "";
    set(this.element, { "data-off": why ? "" : null });
    const triggers = shown?.triggers ?? [];
    this.said.replaceChildren(...(why ? [why] : triggers.length ? ["Called by ", ...called(triggers).flatMap((word, i) => (i ? [" ", word] : [word]))] : []));
  }

  weigh(input) {
    const value = Number(input.value);
    if (input.value === "" || !Number.isFinite(value) || Math.abs(value) > USUAL.limit) return;
    this.weight = value;
    (input === this.slider ? this.number : this.slider).value = value;
    this.chooser.changed();
  }

  to(weight) {
    this.weight = weight;
    this.slider.value = this.number.value = weight;
    this.chooser.changed();
  }
}
