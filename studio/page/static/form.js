// The form: prompt, counts, size, seed, and what few need. It is read and posted as JSON; the door's refusals land at their fields.

import { api, Refused } from "./api.js";
import { BrandChooser } from "./brandchooser.js";
import { clouds } from "./clouds.js";
import { h, set, shape } from "./dom.js";
import { actOf } from "./keys.js";
import { LoraChooser } from "./lorachooser.js";
import { Offers } from "./offers.js";
import { Prompt } from "./prompt.js";
import { PromptParts } from "./promptparts.js";
import { Seed } from "./seed.js";
import { Start } from "./start.js";
import { studio } from "./studio.js";
import { TemplateChooser } from "./templatechooser.js";
import { Wishes } from "./wishes.js";
import { Refine } from "./refine.js";
import { Where } from "./where.js";

const REMEMBERED = "contact-sheet.form";
const NUMBERS = ["draft", "keep", "steps", "guidance"];
// Where the fields of a request stand on the form; the rest is told above the button.
const PLACE = { seeds: "seed", strength: "start", image: "start", role: "start", parent: "start" };

export class CsForm extends HTMLElement {
  connectedCallback() {
    if (this.firstChild) return;
    this.fields = {}; // name -> {box, input, error}
    this.build();
    this.recall();
    studio.on("about", () => this.suit());
    studio.on("choice", () => this.suit());
    studio.on("clouds", () => this.suitFamilies());
    studio.on("reuse", (request) => this.fill(request));
    studio.on("vary", (image) => this.vary(image));
    studio.on("start from", (picture) => this.startFrom(picture));
    studio.on("likeness", (picture) => this.resemble(picture));
    studio.on("generate", (how) => this.submit(null, how));
    studio.on("example", (prompt) => this.example(prompt));
    if (studio.about) this.suit();
  }

  build() {
    this.prompt = new Prompt();
    this.draft = this.number("draft", 1, 240);
    this.keep = this.number("keep", 1, 240);
    this.steps = this.number("steps", 1, 200);
    this.guidance = this.number("guidance", 0, 30, 0.1);
    this.seed = new Seed({ latest: () => document.querySelector("cs-sheet")?.latestSeed() ?? null, changed: () => this.remember() });
    this.start = new Start({ changed: () => this.remember() });
    this.wishes = new Wishes({ field: (...given) => this.field(...given), number: (...given) => this.number(...given), changed: () => this.remember() });
    this.where = new Where({ asked: () => this.request(), changed: () => this.remember() });
    this.negative = h("input", { id: "cs-negative", type: "text", autocomplete: "off", maxlength: 1000 });
    this.family = h("select", { id: "cs-family", onchange: () => studio.choose({ family: this.family.value }) });
    this.sizes = h("div", { class: "cs-sizes", role: "radiogroup", "aria-labelledby": "cs-size-label" });
    this.pixels = h("span", { class: "cs-quiet" });
    this.alert = h("p", { class: "cs-error cs-form-error", role: "alert", hidden: true });
    this.parts = new PromptParts({ prompt: this.prompt, asked: () => this.request(), changed: () => this.remember() });
    this.button = h("button", { type: "submit", class: "cs-primary" }, h("span", { text: "Generate" }), h("kbd", { text: "Ctrl Enter" }));
    this.advanced = h("details", { class: "cs-advanced" }, h("summary", { text: "Advanced" }),
      h("div", { class: "cs-pair" }, this.field("steps", "Steps", this.steps), this.field("guidance", "Guidance", this.guidance)),
      this.field("negative", "Negative prompt", this.negative, (this.negativeNote = h("span", { class: "cs-quiet" }))),
      (this.familyField = this.field("family", "Model family", this.family)),
    );
    this.template = new TemplateChooser(this, () => {
      this.remember();
      this.parts.read();
    });
    this.brand = new BrandChooser(this, () => {
      this.remember();
      this.parts.read();
    });
    this.loras = new LoraChooser(this, () => {
      this.remember();
      this.parts.read();
    });
    this.fields.loras = { box: this.loras.box, input: this.loras.select, error: this.loras.error };
    this.fields.brand = { box: this.brand.box, input: this.brand.select, error: this.brand.error };
    this.fields.budget = { ...this.fields.retries, input: this.wishes.images };
    this.form = h("form", { novalidate: true, "aria-label": "What to draw", onsubmit: (event) => this.submit(event), onkeydown: (event) => this.key(event), oninput: (event) => this.typed(event), "oncs-refused": ({ detail }) => this.refuse(new Refused({ field: detail.field, what: detail.error.message }, 0)) },
      this.template.box,
      this.field("prompt", "Prompt", this.prompt.input, null, this.prompt.element),
      this.parts.said,
      new Refine(this.prompt.input).element,
      new Offers(this.prompt.input).element,
      this.parts.chosen,
      this.loras.box,
      this.brand.box,
      (this.start.box = this.field("start", "Start from", this.start.strength, null, this.start.element)),
      h("div", { class: "cs-pair" }, this.field("draft", "Draft", this.draft), this.field("keep", "Keep", this.keep)),
      (this.fields.ladder = { box: this.wishes.ladderRow, input: this.wishes.ladder, error: h("p", { class: "cs-error", id: "cs-ladder-error", hidden: true }) }).box,
      this.fields.ladder.error,
      this.sizeField(),
      this.field("seed", "Seed", this.seed.input, null, this.seed.element),
      this.wishes.element,
      this.advanced,
      h("div", { class: "cs-send" }, (this.where.box = this.field("where", "Where", this.where.input, null, this.where.element)), this.alert, this.button),
    );
    this.append(this.form);
  }

  number(name, min, max, step = 1) {
    return h("input", { id: `cs-${name}`, type: "number", inputmode: step < 1 ? "decimal" : "numeric", min, max, step, autocomplete: "off" });
  }

  /** A label, its input and the place of its error. `shown`: what stands on the page where the input is part of more. */
  field(name, label, input, note = null, shown = input) {
    const error = h("p", { class: "cs-error", id: `cs-${name}-error`, hidden: true });
    const box = h("div", { class: `cs-field cs-field-${name}` }, h("label", { for: input.id }, h("span", { text: label }), note), shown, error);
    this.fields[name] = { box, input, error };
    return box;
  }

  sizeField() {
    const error = h("p", { class: "cs-error", id: "cs-size-error", hidden: true });
    const box = h("div", { class: "cs-field" }, h("div", { class: "cs-label", id: "cs-size-label" }, h("span", { text: "Size" }), this.pixels), this.sizes, error);
    this.fields.size = { box, get input() { return box.querySelector("input:checked") ?? box.querySelector("input"); }, error };
    return box;
  }

  /** Fits the fields to the chosen family and tier. What a person typed stays. */
  suit() {
    const facts = studio.facts();
    if (!facts) return;
    for (const name of ["draft", "keep", "steps"]) this[name].placeholder = String(facts[name]);
    this.guidance.placeholder = facts.guidance_used ? String(facts.guidance) : "not used";
    this.guidance.disabled = !facts.guidance_used;
    this.negative.disabled = !facts.negative_used;
    this.negativeNote.textContent = facts.negative_used ? "" : "ignored by this model";
    this.draft.max = this.keep.max = studio.about.limits.draft;
    this.prompt.limit = studio.about.limits.prompt;
    this.suitFamilies();
    this.suitSizes(facts.sizes);
    this.start.show();
    this.wishes.suit();
    this.prompt.read();
    this.parts.read();
    this.template.show();
  }

  /** Those whose weights are here, or that a provider draws. */
  suitFamilies() {
    if (!studio.about) return;
    const usable = studio.about.families.filter((family) => family.usable !== false || clouds.serves(family.name));
    const same = usable.length === this.family.options.length && usable.every(({ name }, i) => this.family.options[i].value === name);
    this.familyField.hidden = usable.length < 2;
    if (!same) this.family.replaceChildren(...usable.map((family) => h("option", { value: family.name, text: family.title })));
    this.family.value = studio.family;
  }

  suitSizes(sizes) {
    const chosen = this.size();
    const names = sizes.map((size) => size.name);
    this.sizes.replaceChildren(...sizes.map((size) => h("label", { class: "cs-size", title: `${size.width} × ${size.height}` },
      h("input", { type: "radio", name: "size", value: size.name, checked: size.name === (names.includes(chosen) ? chosen : names[0]), onchange: () => this.showPixels() }),
      shape(size.width, size.height), h("span", { text: size.name }))));
    this.showPixels();
  }

  showPixels() {
    const size = studio.facts()?.sizes.find((one) => one.name === this.size());
    this.pixels.textContent = size ? `${size.width} × ${size.height}` : "";
  }

  size() {
    return this.sizes.querySelector("input:checked")?.value ?? this.wanted ?? null;
  }

  /** The request as the door takes it; what is left empty is the tier's own. */
  request() {
    const request = { prompt: this.prompt.input.value, family: studio.family, tier: studio.tier, size: this.size() };
    for (const name of NUMBERS) {
      const input = this[name];
      // A number field that holds something else reads as "": the text itself is gone, so the door cannot tell; we do.
      if (input.validity.badInput) throw new Refused({ field: name, what: "This is not a number." }, 0);
      if (input.value !== "" && !input.disabled) request[name] = Number(input.value);
    }
    const seed = this.seed.value();
    if (seed !== undefined) request.seed = seed;
    if (this.negative.value && !this.negative.disabled) request.negative = this.negative.value;
    return { ...request, ...this.template.request(), ...this.brand.request(), ...this.parts.request(), ...this.loras.request(), ...this.wishes.request(), ...this.start.request(), ...this.where.request() };
  }

  /** Sends the request; `front`: before whatever else of this person's waits; `confirmed`: also what safety asks about. */
  async submit(event, { front = false, confirmed = false } = {}) {
    event?.preventDefault();
    if (this.busy) return;
    this.clear();
    this.busy = true;
    set(this.button, { "aria-busy": "true" });
    try {
      const job = await api.submit({ ...this.request(), ...(front ? { front } : {}), ...(confirmed ? { safety: "confirmed" } : {}) });
      this.seed.ran(job);
      this.remember();
      studio.say("submitted", job);
    } catch (error) {
      this.refuse(error);
    } finally {
      this.busy = false;
      set(this.button, { "aria-busy": null });
    }
  }

  refuse(error) {
    if (!(error instanceof Refused)) throw error;
    const name = (error.field ?? "").split(".")[0];
    const place = this.template.place(error.field) ?? this.fields[PLACE[name] ?? name];
    if (!place || place.box.hidden) {
      set(this.alert, { text: error.message, hidden: null });
      // What safety asks about, a person may confirm.
      if (name === "safety") this.alert.append(" ", h("button", { type: "button", class: "cs-plain", text: "Draw it anyway", onclick: () => this.submit(null, { confirmed: true }) }));
      return;
    }
    set(place.error, { text: error.message, hidden: null });
    set(place.input, { "aria-invalid": "true", "aria-describedby": place.error.id });
    const folded = place.box.closest("details");
    if (folded) folded.open = true;
    place.input.focus();
  }

  clear() {
    this.alert.hidden = true;
    for (const { input, error } of [...Object.values(this.fields), ...this.template.places]) {
      error.hidden = true;
      if (input) set(input, { "aria-invalid": null, "aria-describedby": null });
    }
  }

  typed(event) {
    for (const { input, error } of [...Object.values(this.fields), ...this.template.places]) {
      if (input === event.target && !error.hidden) {
        error.hidden = true;
        set(input, { "aria-invalid": null, "aria-describedby": null });
      }
    }
    this.remember();
  }

  key(event) {
    const asked = actOf(event);
    if (asked?.act === "generate" || asked?.act === "front") {
      event.preventDefault();
      this.submit(null, { front: asked.act === "front" });
    } else if (asked?.act === "cancel") {
      studio.say("give up"); // asks to be pressed again
    }
  }

  /** Takes over the settings of an earlier request, its tier included. */
  fill(request) {
    this.clear();
    this.wanted = request.size;
    const family = studio.about.families.some((one) => one.name === request.family) ? request.family : studio.family;
    const tier = request.tier ?? studio.tier;
    studio.choose({ family, tier });
    studio.show(tier);
    const facts = studio.facts();
    this.prompt.input.value = request.source ? request.source.prompt ?? "" : request.prompt; // as it was written, not as it was drawn
    for (const name of NUMBERS) {
      const value = request[name];
      // The tier's own values stay unsaid, so that they follow when the tier is changed.
      this[name].value = value === null || value === undefined || value === facts?.[name] ? "" : String(value);
    }
    this.negative.value = (request.source ? request.source.negative : request.negative) ?? "";
    this.seed.set(request.seed ?? request.seeds?.[0] ?? "");
    this.start.fill(request);
    this.wishes.fill(this.brand.without(request));
    this.where.fill(request);
    this.parts.fill(request);
    this.loras.fill(request);
    this.brand.fill(request);
    this.template.fill(request);
    const radio = [...this.sizes.querySelectorAll("input")].find((one) => one.value === request.size);
    if (radio) radio.checked = true;
    this.showPixels();
    this.prompt.read();
    this.remember();
    this.prompt.input.focus();
  }

  /** A picture that was brought, or one of the history: the settings stay as they are. */
  startFrom(picture) {
    this.start.use(picture);
    this.remember();
    (picture.role === "img2img" ? this.start.strength : this.prompt.input).focus();
  }

  /** A picture that the result must look like. */
  resemble(picture) {
    this.wishes.element.open = true;
    this.wishes.likeness.use(picture);
    this.wishes.element.scrollIntoView({ block: "nearest" });
  }

  /** A variation of a candidate: its request, started from its picture, with noise drawn anew each run. */
  async vary(image) {
    const { request } = await api.image(image.id);
    this.fill({ ...request, seed: "", seeds: undefined });
    this.start.vary(image);
    this.remember();
    this.button.focus();
    this.scrollIntoView({ block: "nearest" });
  }

  example(prompt) {
    this.template.choose("");
    this.prompt.input.value = prompt;
    this.prompt.read();
    this.remember();
    this.prompt.input.focus();
  }

  // A reload loses nothing that was typed.
  remember() {
    const kept = { prompt: this.prompt.input.value, ...this.seed.kept(), size: this.size(), start: this.start.picture, wishes: this.wishes.kept(), where: this.where.kept(), parts: this.parts.kept(), loras: this.loras.kept(), template: this.template.kept(), brand: this.brand.kept() };
    for (const name of [...NUMBERS, "negative"]) kept[name] = this[name].value;
    localStorage.setItem(REMEMBERED, JSON.stringify(kept));
    this.where.changed();
  }

  recall() {
    const kept = JSON.parse(localStorage.getItem(REMEMBERED) ?? "{}");
    this.prompt.input.value = kept.prompt ?? "";
    this.wanted = kept.size;
    this.seed.recall(kept);
    this.start.picture = kept.start ?? null;
    this.start.show();
    this.wishes.recall(kept.wishes);
    this.where.recall(kept.where);
    this.parts.recall(kept.parts);
    this.loras.recall(kept.loras);
    this.template.recall(kept.template);
    this.brand.recall(kept.brand);
    for (const name of [...NUMBERS, "negative"]) this[name].value = kept[name] ?? "";
  }
}

