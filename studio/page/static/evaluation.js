// What evaluations say of a LoRA's versions: begun here, watched, and looked at as a sheet of weights by versions with a verdict in words.

import { ask, Refused } from "./api.js";
import { debounced, duration, h, plural, set } from "./dom.js";
import { EvaluationSheet } from "./evaluationsheet.js";
import { when } from "./lorafacts.js";
import { tried } from "./settings.js";
import { studio } from "./studio.js";

const VERDICTS = { better: "better", worse: "worse", "no difference": "no difference", unfit: "unfit" };
const STATES = { running: "under way", failed: "failed", cancelled: "cancelled" };
const AGAIN_MS = 600;

/** Evaluations over HTTP. */
export const evaluations = {
  of: (lora) => ask(`/api/evaluations?${new URLSearchParams({ lora })}`),
  one: (id) => ask(`/api/evaluations/${id}`),
  proposal: (asked) => ask(`/api/evaluations/proposal?${new URLSearchParams(asked)}`),
  begin: (asked) => ask("/api/evaluations", asked),
  act: (id, act) => ask(`/api/evaluations/${id}/${act}`, {}),
  look: (lora, version) => ask("/api/evaluations/look", { lora, version }),
};

export class CsEvaluations extends HTMLElement {
  connectedCallback() {
    if (this.firstChild) return;
    Object.assign(this, { lora: null, open: null, turn: 0, seen: "" });
    this.heading = h("h3", { tabindex: "-1", text: "Evaluation" });
    this.none = h("p", { class: "cs-quiet" });
    this.begins = h("button", { type: "button", class: "cs-plain", onclick: () => this.ask() });
    this.list = h("div", { class: "cs-ev-list", role: "group", "aria-label": "Evaluations" });
    this.wrong = h("p", { class: "cs-error", role: "alert" });
    this.form = h("form", { class: "cs-ev-form", hidden: true, "aria-label": "A new evaluation", onsubmit: (event) => (event.preventDefault(), this.begin()) });
    this.state = h("p", { class: "cs-quiet", role: "status" });
    this.bar = h("progress", { max: 1, value: 0, "aria-label": "Pictures drawn" });
    this.verdict = h("p", { class: "cs-lo-verdict cs-ev-verdict" });
    this.sheet = new EvaluationSheet();
    this.deeds = h("div", { class: "cs-lo-acts" });
    this.one = h("div", { class: "cs-ev-one", hidden: true }, this.state, this.bar, this.verdict, this.sheet.element, this.deeds);
    this.append(h("div", { class: "cs-ev-head" }, this.heading, this.begins), this.none, this.list, this.wrong, this.form, this.one);
    const again = debounced(() => this.lora && this.load(), AGAIN_MS);
    studio.on("evaluation", ({ lora }) => this.isConnected && lora === this.lora?.name && again());
  }

  /** Shows the evaluations of a LoRA as `LoraOne` has it. */
  async show(lora) {
    const other = lora.name !== this.lora?.name;
    this.lora = lora;
    this.hidden = !lora.versions.length;
    if (other) {
      Object.assign(this, { open: null, chosen: false, seen: "" });
      this.form.hidden = this.one.hidden = true;
      this.wrong.textContent = "";
    }
    if (!this.hidden) await this.load();
  }

  async load() {
    const turn = ++this.turn;
    const { evaluations: found, looks } = await evaluations.of(this.lora.name);
    if (turn !== this.turn) return;
    this.looks = looks;
    this.found = found;
    if (!this.chosen || !found.some(({ id }) => id === this.open)) this.open = (found.find(({ state }) => state === "running") ?? found.find(({ state }) => state === "done") ?? found[0])?.id ?? null;
    this.none.hidden = found.length > 0 || !this.form.hidden;
    this.none.textContent = "None yet. An evaluation draws the same prompts and seeds without the LoRA, with this version and with the one before, over several weights, and says whether the concept is there and what else has changed. Production asks for one.";
    const next = this.next();
    this.begins.hidden = !this.lora.may_change || !this.form.hidden;
    set(this.begins, { text: `Evaluate v${next}` });
    this.draw();
    this.one.hidden = this.open === null || !this.form.hidden;
    if (this.open !== null) await this.look();
  }

  /** The version that most likely is to be evaluated. */
  next() {
    const without = this.lora.versions.find(({ number }) => !this.found.some((one) => one.number === number));
    return this.lora.aliases.candidate ?? without?.number ?? this.lora.versions[0].number;
  }

  draw() {
    this.list.hidden = this.found.length < 2 || !this.form.hidden;
    const focused = this.list.contains(document.activeElement) ? document.activeElement.dataset.id : null;
    this.list.replaceChildren(...this.found.map((one) => h("button", { type: "button", class: "cs-ev-chip", data: { id: one.id, kind: one.verdict ?? "" }, "aria-pressed": String(one.id === this.open), title: `${when(one.created)}, by ${one.person}`, onclick: () => this.pick(one.id) },
      h("b", { text: `v${one.number}` }), ` ${one.against ? `against v${one.against}` : "alone"} `, h("span", { class: "cs-ev-said", text: VERDICTS[one.verdict] ?? STATES[one.state] }))));
    if (focused) this.list.querySelector(`[data-id="${focused}"]`)?.focus({ preventScroll: true });
  }

  async pick(id) {
    Object.assign(this, { open: id, chosen: true });
    this.draw();
    await this.look();
  }

  async look() {
    const id = this.open;
    const view = await evaluations.one(id);
    if (id !== this.open) return;
    const key = JSON.stringify([view.id, view.state, view.done, view.eta, this.looks[view.number] ?? null, view.cells.filter(({ state }) => state === "gone").length]);
    if (key === this.seen) return;
    this.seen = key;
    const { state, done, of, eta, verdict, words, error, number, against, automatic, may_change: may } = view;
    const title = `v${number}${against ? ` against v${against}` : ""}`;
    this.state.textContent = state === "running" ? `${title}: ${done} of ${of} pictures${done === of ? ", being measured" : eta ? `, ${duration(eta)} left for the next ones` : ""}. It is drawn when nothing else waits.`
      : state === "done" ? `${title}, ${when(view.finished)}${automatic ? ", by itself after its training" : `, by ${view.person}`}. ${plural(of, "picture")}.` : `${title}: ${STATES[state]} after ${done} of ${of} pictures.`;
    set(this.bar, { value: of ? done / of : 0 });
    this.bar.hidden = state !== "running";
    this.verdict.hidden = !words && !error;
    this.verdict.dataset.kind = verdict ?? (error ? "unfit" : "");
    this.verdict.textContent = words ?? (error ? [error.what, error.why, error.todo].filter(Boolean).join(" ") : "");
    this.sheet.show(view);
    const button = (text, run, kind = "cs-plain") => h("button", { type: "button", class: kind, text, onclick: run });
    const looked = this.looks[number];
    this.deeds.replaceChildren(...[
      state === "done" && may && !looked ? button("I have looked at these pictures", () => this.looked(number), "cs-primary") : null,
      looked ? h("span", { class: "cs-quiet", text: `${looked.person} looked at v${number}, ${when(looked.created)}.` }) : null,
      may && state === "running" ? button("Cancel", () => this.act(id, "cancel")) : null,
      may && (state === "failed" || state === "cancelled") ? button("Go on with it", () => this.act(id, "resume")) : null,
      may && state !== "running" ? button("Evaluate again", () => this.ask(number, against)) : null,
      may && state !== "running" ? button("Remove", () => this.act(id, "remove"), "cs-bare") : null,
    ].filter(Boolean));
  }

  async act(id, act) {
    if (act === "remove") this.chosen = false;
    if (await tried(() => evaluations.act(id, act), "", this.wrong)) await this.load();
  }

  async looked(number) {
    if (await tried(() => evaluations.look(this.lora.name, number), "", this.wrong)) await this.load();
  }

  // A new one.

  /** Proposes an evaluation of a version; opens the form. */
  async ask(number = this.next(), against = undefined) {
    this.wrong.textContent = "";
    let proposal;
    try {
      proposal = await evaluations.proposal({ lora: this.lora.name, version: number, ...(against === undefined ? {} : { against: against ?? 0 }) });
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      this.wrong.textContent = error.message;
      return;
    }
    const { setup, versions, missing, measured, card } = proposal;
    const area = (id, prompts, rows) => {
      const made = h("textarea", { id, rows, spellcheck: "false" });
      made.value = prompts.join("\n");
      return made;
    };
    const version = h("select", { id: "cs-ev-version", onchange: () => this.ask(Number(version.value)) }, ...this.lora.versions.map((one) => h("option", { value: one.number, text: `v${one.number}` })));
    version.value = number;
    const other = h("select", { id: "cs-ev-against", onchange: () => this.count() }, h("option", { value: "", text: "none" }), ...versions.map((one) => h("option", { value: one, text: `v${one}` })));
    other.value = proposal.against ?? "";
    const pictures = h("select", { id: "cs-ev-pictures", onchange: () => this.count() }, ...[2, 3, 4].map((count) => h("option", { value: count, text: String(count) })));
    pictures.value = setup.pictures;
    const weights = h("input", { type: "text", id: "cs-ev-weights", autocomplete: "off", inputmode: "decimal", oninput: () => this.count() });
    weights.value = setup.weights.join(", ");
    const concept = area("cs-ev-concept", setup.concept, 6);
    const ordinary = area("cs-ev-ordinary", setup.ordinary, 6);
    for (const one of [concept, ordinary]) one.addEventListener("input", () => this.count());
    this.inputs = { version, against: other, pictures, weights, concept, ordinary };
    this.proposal = proposal;
    this.cost = h("p", { class: "cs-quiet" });
    this.starts = h("button", { type: "submit", class: "cs-primary", text: "Begin", disabled: Boolean(missing) });
    const trigger = setup.triggers[0];
    const field = (text, input, hint = "") => h("div", { class: "cs-lo-field" }, h("label", { for: input.id }, text, hint ? h("span", { class: "cs-quiet", text: ` ${hint}` }) : null), input, h("p", { class: "cs-error", id: `${input.id}-error` }));
    this.form.replaceChildren(
      h("div", { class: "cs-ev-fields" }, field("Version", version), field("Compared with", other), field("Pictures a prompt", pictures), field("Weights", weights)),
      h("div", { class: "cs-ev-prompts" }, field("Prompts for its concept", concept, `one a line${trigger ? `, with “${trigger}”` : ""}`), field("Other prompts", ordinary, trigger ? "nothing should change here" : "it has no trigger word: what changes here is told only")),
      measured ? "" : h("p", { class: "cs-quiet", text: "Its dataset is not known here, so how well the concept is hit cannot be measured; adherence, drift and flaws can." }),
      missing ? h("p", { class: "cs-error", text: missing }) : "", this.cost,
      h("div", { class: "cs-lo-acts" }, this.starts, h("button", { type: "button", class: "cs-plain", text: "Cancel", onclick: () => this.close() }), h("span", { class: "cs-quiet", text: `Drawn with ${card} when nothing else waits.` })));
    this.form.hidden = false;
    this.one.hidden = this.none.hidden = this.list.hidden = this.begins.hidden = true;
    this.count();
    version.focus();
  }

  close() {
    this.form.hidden = true;
    this.seen = "";
    this.load().then(() => this.begins.focus());
  }

  asked() {
    const { against, pictures, weights, concept, ordinary } = this.inputs;
    const lines = ({ value }) => value.split("\n").map((line) => line.trim()).filter(Boolean);
    const numbers = weights.value.split(/[,;\s]+/).filter(Boolean).map((one) => (Number.isFinite(Number(one)) ? Number(one) : one));
    return { lora: this.lora.name, version: Number(this.inputs.version.value), against: against.value ? Number(against.value) : null, pictures: Number(pictures.value), weights: numbers, concept: lines(concept), ordinary: lines(ordinary) };
  }

  /** What it comes to, as it is asked for now. */
  count() {
    const { against, pictures, weights, concept, ordinary } = this.asked();
    const arms = against ? 2 : 1;
    const number = pictures * (concept.length * (1 + arms * weights.length) + ordinary.length * (1 + arms));
    const { seconds, pictures: usual } = this.proposal;
    this.cost.textContent = `${plural(number, "picture")}${seconds ? `, about ${duration((seconds * number) / usual)}` : ""}; those that were drawn before come from history.`;
  }

  async begin() {
    for (const input of Object.values(this.inputs)) {
      input.removeAttribute("aria-invalid");
      this.form.querySelector(`#${input.id}-error`).textContent = "";
    }
    this.wrong.textContent = "";
    this.starts.disabled = true;
    try {
      const { id } = await evaluations.begin(this.asked());
      Object.assign(this, { open: id, chosen: true, seen: "" });
      this.form.hidden = true;
      await this.load();
      this.heading.focus();
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      const input = this.inputs[(error.field ?? "").split(".")[0]];
      if (!input) {
        this.wrong.textContent = error.message;
        return;
      }
      set(input, { "aria-invalid": "true", "aria-describedby": `${input.id}-error` });
      this.form.querySelector(`#${input.id}-error`).textContent = error.message;
      input.focus();
    } finally {
      this.starts.disabled = Boolean(this.proposal.missing);
    }
  }
}
