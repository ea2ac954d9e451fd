// What is compared: chosen before anything is drawn. While it is written, the server says what it would cost, and what it could find.

import { Refused, api } from "./api.js";
import { clouds } from "./clouds.js";
import { debounced, duration, h, plural, set } from "./dom.js";
import { Rows } from "./experimentrows.js";
import { changesOf } from "./experimentversions.js";
import { studio } from "./studio.js";
import { Versions } from "./versions.js";

const PLAN_MS = 350;
// What may set A and B apart, in the order in which it is offered.
const FIELDS = { template: "Template", steps: "Steps", guidance: "Guidance", tier: "Tier", family: "Family of models", size: "Size", prompt: "Prompt", negative: "Negative prompt" };
const OUTCOMES = [
  ["passes", "Passes the quality profile", "Of how many pairs one side passes and the other does not."],
  ["dimension", "A dimension", "How much better one side is, pair by pair, in one of the scores."],
  ["preference", "What people prefer", "Blind votes: two pictures side by side, nobody knows which is which."],
];

export class Design {
  /** saved(experiment), started(experiment): told what the server answered. */
  constructor({ saved, started }) {
    Object.assign(this, { saved, started, templates: [], known: {}, experiment: null });
    this.plan = debounced(() => this.ask(), PLAN_MS);
    this.learned = new Promise((told) => (this.tell = told));
    this.build();
  }

  /** From the moment it is asked for, also while it is not seen yet. */
  get open() {
    return Boolean(this.opening);
  }

  /** Whether they go without saving. */
  leave() {
    return window.confirm("Leave this design? What you changed is not saved.");
  }

  build() {
    const changed = () => this.changed();
    this.title = h("input", { type: "text", maxlength: "80", id: "cs-x-title", placeholder: "Which steps are enough?", oninput: changed });
    this.about = h("input", { type: "text", maxlength: "600", id: "cs-x-about", placeholder: "What you want to know, and why", oninput: changed });
    this.template = h("select", { id: "cs-x-template", onchange: () => this.templateChosen() });
    this.family = h("select", { id: "cs-x-family", onchange: () => this.familyChosen() });
    this.tier = h("select", { id: "cs-x-tier", onchange: () => this.tierChosen() });
    this.size = h("select", { id: "cs-x-size", onchange: changed });
    this.names = ["A", "B"].map((letter) => h("input", { type: "text", maxlength: "60", "aria-label": `Name of ${letter}`, placeholder: letter, oninput: changed }));
    this.add = h("select", { "aria-label": "Another setting that differs", onchange: () => this.differ(this.add.value) });
    this.differs = h("div", { class: "cs-x-differs", role: "table", "aria-label": "What sets A and B apart" });
    this.rows = new Rows(changed);
    this.kinds = OUTCOMES.map(([kind, name, about]) => h("label", { class: "cs-x-kind" }, h("input", { type: "radio", name: "cs-x-outcome", value: kind, onchange: () => this.outcomeChosen() }), h("span", {}, h("b", { text: name }), h("small", { text: about }))));
    this.profile = h("select", { id: "cs-x-profile", onchange: changed });
    this.dimension = h("select", { id: "cs-x-dimension", onchange: () => this.outcomeChosen() });
    this.votes = h("input", { type: "number", id: "cs-x-votes", min: "1", max: "9", value: "1", oninput: changed });
    this.pairs = h("input", { type: "number", id: "cs-x-pairs", min: "4", max: "1000", value: "60", oninput: changed });
    this.least = h("input", { type: "number", id: "cs-x-least", min: "0", max: "100", step: "any", value: "0", oninput: changed });
    this.about_dimension = h("p", { class: "cs-quiet" });
    this.wrong = h("p", { class: "cs-error", role: "alert" });
    this.cost = h("p", { class: "cs-x-cost", role: "status" });
    this.save = h("button", { type: "button", class: "cs-plain", text: "Save draft", onclick: () => this.keep(false) });
    this.go = h("button", { type: "button", class: "cs-primary", text: "Start", onclick: () => this.keep(true) });
    this.state = h("p", { class: "cs-quiet" });
    this.note = h("input", { type: "text", maxlength: "200", id: "cs-x-note", "aria-label": "Note on this version", placeholder: "What you changed, and why", autocomplete: "off" });
    this.versions = new Versions((version) => this.restore(version), changesOf);
    const field = (label, control, note) => h("div", { class: "cs-x-field" }, h("label", { for: control.id, text: label }), control, note ? h("small", { class: "cs-quiet", text: note }) : null);
    this.fields = {
      profile: field("Quality profile", this.profile, "Both sides are judged by it."),
      dimension: field("Dimension", this.dimension),
      votes: field("People per pair", this.votes, "A pair counts once that many have looked."),
      least: field("Smallest difference that matters", this.least, "0: any. Else the studio also stops once the difference is surely smaller."),
    };
    this.element = h("section", { class: "cs-x-design", hidden: true, "aria-label": "Design of an experiment" },
      h("header", { class: "cs-x-head" }, (this.heading = h("h2", { text: "New experiment", tabindex: "-1" })), this.state),
      h("div", { class: "cs-x-two" }, field("Title", this.title), field("Question", this.about)),
      h("h3", { text: "What sets A and B apart" }), this.differs,
      h("h3", { text: "The same for both" }),
      h("div", { class: "cs-x-four" }, field("Template", this.template), field("Family of models", this.family), field("Tier", this.tier), field("Size", this.size)),
      h("h3", { text: "Over" }), this.rows.element,
      h("h3", { text: "What decides" }),
      h("fieldset", { class: "cs-x-kinds" }, h("legend", { class: "cs-voice", text: "The outcome that decides" }), ...this.kinds),
      h("div", { class: "cs-x-four" }, ...Object.values(this.fields), field("Pairs at most", this.pairs, "It stops earlier when it is sure.")), this.about_dimension,
      h("div", { class: "cs-x-foot" }, this.wrong, this.cost, h("div", { class: "cs-x-acts" }, this.note, this.save, this.go)),
      this.versions.element);
  }

  /** What may decide: dimensions, as the server lists them. */
  learn({ dimensions }) {
    this.dimensions = dimensions.filter((one) => one.argument === "none");
    fill(this.dimension, this.dimensions.map(({ name, title, generic }) => [name, generic ? title : `${title} (where the profile asks for it)`]));
    this.tell();
  }

  /** Opens a draft, or a new design where there is none. */
  async start(experiment) {
    const turn = (this.opening = {});
    const [profiles, templates] = await Promise.all([api.profiles(), api.templates(), this.learned]);
    if (this.opening !== turn) return;
    this.experiment = experiment;
    this.templates = templates.templates;
    this.profile_titles = profiles.profiles;
    fill(this.profile, profiles.profiles.map(({ name, title }) => [name, title]));
    fill(this.template, [["", "None: prompts"], ...this.templates.map(({ name, title }) => [name, title])]);
    fill(this.family, studio.about.families.filter(({ usable }) => usable).map(({ name, title }) => [name, title]));
    const first = { title: "", about: "", base: { family: studio.family, tier: studio.facts() ? studio.tier : "preview" }, sides: [{ title: "", fields: { steps: null } }, { title: "", fields: { steps: null } }], rows: [{ prompt: "" }], outcome: { kind: "passes" }, pairs: 60, least: 0, votes: 1, profile: "generic" };
    this.edited = false;
    await this.put(experiment?.design ?? first);
    if (this.opening !== turn) return;
    this.heading.textContent = experiment ? experiment.title : "New experiment";
    this.state.textContent = experiment ? `Draft, version ${experiment.version}` : "Nothing is drawn before you start it.";
    this.element.hidden = false;
    this.wrong.textContent = this.note.value = "";
    this.versions.element.hidden = !experiment;
    if (experiment) this.versions.show(experiment);
    if (!experiment) this.title.focus({ preventScroll: true });
    this.plan();
  }

  close() {
    this.opening = null;
    this.element.hidden = true;
    this.edited = false;
  }

  async put(design) {
    this.title.value = design.title === "Untitled experiment" ? "" : design.title;
    this.about.value = design.about ?? "";
    this.family.value = design.base.family ?? studio.family;
    this.fillTiers(design.base.tier);
    this.size.value = design.base.size ?? this.size.value;
    this.template.value = design.base.template?.name ?? "";
    this.version = design.base.template?.version ?? null;
    this.rest = Object.fromEntries(Object.entries(design.base).filter(([name]) => !["family", "tier", "size", "template"].includes(name)));
    this.names.forEach((input, i) => (input.value = design.sides[i].title === "AB"[i] ? "" : design.sides[i].title));
    this.set = {};
    for (const name of new Set(design.sides.flatMap(({ fields }) => Object.keys(fields)))) this.set[name] = design.sides.map(({ fields }) => fields[name] ?? null);
    for (const kind of this.kinds) kind.firstChild.checked = kind.firstChild.value === design.outcome.kind;
    if (design.outcome.dimension) this.dimension.value = design.outcome.dimension;
    this.profile.value = design.profile;
    this.votes.value = design.votes;
    this.pairs.value = design.pairs;
    this.least.value = design.outcome.kind === "passes" ? Number((design.least * 100).toFixed(4)) : design.least;
    this.layDiffers();
    await this.layRows(design.rows);
    this.layOutcome();
  }

  fillTiers(wanted) {
    const family = studio.about.families.find(({ name }) => name === this.family.value);
    fill(this.tier, family.tiers.map(({ name, title }) => [name, title]));
    if (family.tiers.some(({ name }) => name === wanted)) this.tier.value = wanted;
    const size = this.size.value;
    fill(this.size, (studio.facts(this.tier.value, family.name)?.sizes ?? []).map(({ name, width, height }) => [name, `${name} · ${width} × ${height}`]));
    if ([...this.size.options].some(({ value }) => value === size)) this.size.value = size;
  }

  familyChosen() {
    this.fillTiers(this.tier.value);
    this.layDiffers();
    this.changed();
  }

  tierChosen() {
    this.fillTiers(this.tier.value);
    this.layDiffers();
    this.changed();
  }

  async templateChosen() {
    this.version = null;
    await this.layRows([]);
    this.changed();
  }

  // What differs.

  differ(name) {
    this.add.value = "";
    if (!name) return;
    this.set[name] = [null, null];
    this.layDiffers();
    this.changed();
    this.differs.querySelector(`[data-field="${name}"] :is(input, select, textarea)`)?.focus();
  }

  layDiffers() {
    this.controls = {};
    const lines = Object.keys(this.set).map((name) => {
      const pair = [0, 1].map((i) => this.control(name, i));
      this.controls[name] = pair;
      return h("div", { class: "cs-x-differ", role: "row", data: { field: name } },
        h("span", { role: "rowheader", text: FIELDS[name] ?? name }), h("span", { role: "cell" }, pair[0].element), h("span", { role: "cell" }, pair[1].element),
        h("span", { role: "cell" }, h("button", { type: "button", class: "cs-bare", text: "Same for both", "aria-label": `${FIELDS[name] ?? name}: the same for both`, onclick: () => this.same(name) })));
    });
    const left = Object.keys(FIELDS).filter((name) => !(name in this.set));
    fill(this.add, [["", Object.keys(this.set).length ? "Another setting …" : "Choose what differs …"], ...left.map((name) => [name, FIELDS[name]])]);
    this.differs.replaceChildren(
      h("div", { class: "cs-x-differ cs-x-differ-head", role: "row" }, h("span", { role: "columnheader", text: "" }), ...this.names.map((input, i) => h("span", { role: "columnheader" }, h("b", { class: "cs-x-letter", data: { arm: "ab"[i] }, text: "AB"[i] }), input)), h("span", { role: "columnheader", text: "" })),
      ...lines, h("div", { class: "cs-x-differ", role: "row" }, h("span", { role: "cell" }, this.add)));
  }

  same(name) {
    delete this.set[name];
    this.layDiffers();
    if (name === "template" || name === "prompt") this.layRows(this.rows.value);
    this.changed();
    this.add.focus();
  }

  /** One side's control of a setting: {element, value}. */
  control(name, i) {
    const label = `${FIELDS[name] ?? name} of ${"AB"[i]}`;
    const value = this.set[name][i];
    const facts = studio.facts(this.tier.value, this.family.value);
    const told = (read) => (event) => {
      this.set[name][i] = read(event.target.value);
      this.changed();
    };
    if (name === "template") return this.templateControl(label, i);
    if (name === "steps" || name === "guidance") {
      return { element: h("input", { type: "number", step: name === "steps" ? "1" : "0.1", min: "0", value, "aria-label": label, placeholder: String(facts?.[name] ?? ""), oninput: told((text) => (text === "" ? null : Number(text))) }) };
    }
    if (name === "prompt" || name === "negative") {
      return { element: h("textarea", { rows: "2", "aria-label": label, text: value ?? "", oninput: (event) => {
        told((text) => text || null)(event);
        if (name === "prompt") this.layRows(this.rows.value);
      } }) };
    }
    const options = {
      tier: () => [...this.tier.options].map((one) => [one.value, one.text]), family: () => [...this.family.options].map((one) => [one.value, one.text]), size: () => [...this.size.options].map((one) => [one.value, one.text]),
    }[name]?.();
    if (!options) return { element: h("code", { text: JSON.stringify(value) }) };
    const select = h("select", { "aria-label": label, onchange: told((text) => text || null) });
    fill(select, [["", "as below"], ...options]);
    select.value = value ?? "";
    return { element: select };
  }

  templateControl(label, i) {
    const given = this.set.template[i];
    const name = h("select", { "aria-label": label });
    const version = h("select", { "aria-label": `Version of the template of ${"AB"[i]}` });
    fill(name, [["", "Choose …"], ...this.templates.map((one) => [one.name, one.title])]);
    name.value = given?.name ?? "";
    const tell = async () => {
      const known = name.value ? await this.template_of(name.value) : null;
      const chosen = version.value;
      fill(version, (known?.versions ?? []).filter(({ removed }) => !removed).map((one) => [one.version, one.version ? `version ${one.version}` : "as shipped"]));
      version.value = [...version.options].some((one) => one.value === chosen) ? chosen : (known?.version ?? "");
      this.set.template[i] = name.value ? { name: name.value, version: Number(version.value) } : null;
      await this.layRows(this.rows.value);
      this.changed();
    };
    name.addEventListener("change", () => {
      version.value = "";
      tell();
    });
    version.addEventListener("change", tell);
    if (given) this.template_of(given.name).then((known) => {
      fill(version, known.versions.filter(({ removed }) => !removed).map((one) => [one.version, one.version ? `version ${one.version}` : "as shipped"]));
      version.value = given.version ?? known.version;
    });
    return { element: h("span", { class: "cs-x-template" }, name, version) };
  }

  async template_of(name) {
    this.known[name] ??= await api.template(name);
    return this.known[name];
  }

  // Over what.

  /** Columns: the variables of every template in play, else a prompt. */
  async layRows(rows) {
    const names = [...new Set([this.template.value, ...(this.set.template ?? []).map((one) => one?.name)].filter(Boolean))];
    const found = await Promise.all(names.map((name) => this.template_of(name)));
    const fields = new Map(found.flatMap((one) => one.fields.map((field) => [field.name, field])));
    const promptSet = (this.set.prompt ?? []).some(Boolean);
    if (names.length) this.rows.columns([...fields.values()].map((one) => ({ key: one.name, title: one.title || one.name, kind: one.type ?? one.kind, choices: one.choices })), rows.map((row) => row.values ?? {}), "values", Object.assign({}, ...found.map((one) => one.example)));
    else if (promptSet) this.rows.columns([], [], "none");
    else this.rows.columns([{ key: "prompt", title: "Prompt", wide: true }], rows.map((row) => ({ prompt: row.prompt ?? "" })), "prompt", { prompt: "a red mug on a wooden table" });
  }

  // What decides.

  get kind() {
    return this.kinds.find((one) => one.firstChild.checked)?.firstChild.value ?? "passes";
  }

  outcomeChosen() {
    this.layOutcome();
    this.changed();
  }

  layOutcome() {
    const chosen = this.dimensions.find(({ name }) => name === this.dimension.value);
    this.fields.dimension.hidden = this.kind !== "dimension";
    this.fields.votes.hidden = this.kind !== "preference";
    this.fields.least.hidden = this.kind === "preference" || (this.kind === "dimension" && !chosen?.reach);
    const reach = chosen?.reach ? ` A difference of more than ${chosen.reach} counts as ${chosen.reach}.` : " It has no usual size of a difference, so what counts is which side is better.";
    this.about_dimension.textContent = this.kind === "dimension" && chosen ? `${chosen.about}${reach}` : "";
  }

  // What it comes to.

  get value() {
    const sides = [0, 1].map((i) => ({ title: this.names[i].value, fields: Object.fromEntries(Object.entries(this.set).map(([name, pair]) => [name, pair[i]]).filter(([, one]) => one !== null)) }));
    const base = { ...this.rest, family: this.family.value, tier: this.tier.value, size: this.size.value || null };
    if (this.template.value) base.template = { name: this.template.value, version: this.version };
    for (const name of Object.keys(base)) if (base[name] === null || (name !== "template" && name in this.set && sides.every(({ fields }) => name in fields))) delete base[name];
    const outcome = this.kind === "dimension" ? { kind: "dimension", dimension: this.dimension.value } : { kind: this.kind };
    const least = this.fields.least.hidden ? 0 : Number(this.least.value || 0) / (this.kind === "passes" ? 100 : 1);
    return { title: this.title.value, about: this.about.value, sides, base, rows: this.rows.value, outcome, least, pairs: Number(this.pairs.value), votes: this.kind === "preference" ? Number(this.votes.value || 1) : 1, profile: this.profile.value };
  }

  changed() {
    this.edited = true;
    this.plan();
  }

  async ask() {
    if (!this.open) return;
    const turn = (this.turn = {});
    const found = await api.planExperiment(this.value);
    if (this.turn !== turn) return;
    set(this.go, { disabled: Boolean(found.wrong) });
    if (found.wrong) {
      this.cost.textContent = [found.wrong.what, found.wrong.why, found.wrong.todo].filter(Boolean).join(" ");
      this.cost.dataset.wrong = "";
      return;
    }
    delete this.cost.dataset.wrong;
    const time = found.seconds === null ? "how long is not known yet" : `about ${duration(found.seconds)}`;
    this.cost.textContent = `At most ${plural(found.pairs, "pair")}, ${plural(found.pictures, "picture")}, ${time}. ${this.finds(found.findable)}${clouds.view?.enabled ? " All of it is drawn on this machine and costs nothing at providers, which draw other noise from a seed." : ""}`;
  }

  finds({ size, known }) {
    const chosen = this.dimensions.find(({ name }) => name === this.dimension.value);
    if (this.kind === "preference") return `A side that ${Math.min(99, Math.round(50 + size * 50))} % prefer is found about four times in five.`;
    if (this.kind === "dimension" && !chosen?.reach) return `A side that is better in ${Math.min(99, Math.round(50 + size * 50))} % of pairs is found about four times in five.`;
    const points = this.kind === "passes" ? 100 * size : size;
    const unit = this.kind === "dimension" && chosen.unit && chosen.unit !== "%" ? chosen.unit : "points";
    return `A difference of ${known ? "" : "about "}${points >= 10 ? Math.round(points) : points.toFixed(1)} ${unit} is found four times in five.`;
  }

  async keep(start) {
    this.wrong.textContent = "";
    for (const button of [this.save, this.go]) set(button, { disabled: true });
    try {
      const data = { note: this.note.value, design: { ...this.value, ...(this.experiment ? { seed: this.experiment.design.seed } : {}) } };
      const same = this.experiment && !this.edited && !this.note.value.trim(); // no version that says nothing
      const saved = same ? this.experiment : this.experiment ? await api.saveExperiment(this.experiment.id, { ...data, base: this.experiment.version }) : await api.newExperiment(data);
      this.experiment = saved;
      this.edited = false;
      if (!start) return this.saved(saved);
      this.started(await this.begin(saved.id, {}));
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      this.wrong.textContent = error.message;
    } finally {
      for (const button of [this.save, this.go]) set(button, { disabled: false });
    }
  }

  /** An earlier design again, as a version of its own: nothing that was saved is lost. */
  async restore(version) {
    if (this.edited && !this.leave()) return;
    try {
      this.saved(await api.restoreDesign(this.experiment.id, version));
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      this.wrong.textContent = error.message;
    }
  }

  async begin(id, given) {
    try {
      return await api.actExperiment(id, "start", given);
    } catch (error) {
      if (!(error instanceof Refused) || error.field !== "safety" || !window.confirm(error.message)) throw error;
      return api.actExperiment(id, "start", { safety: "confirmed" });
    }
  }
}

export function fill(select, options) {
  const value = select.value;
  select.replaceChildren(...options.map(([name, text]) => h("option", { value: name, text })));
  if (options.some(([name]) => String(name) === value)) select.value = value;
}
