// The sheet of an evaluation: one prompt at a time, versions in rows, weights in columns, the base in front; and what was measured.

import { figure, h, icon } from "./dom.js";
import { lookAt } from "./evaluationlook.js";

const PARTS = [["concept", "Its concept"], ["ordinary", "Other prompts"]];
const SAID = { waiting: "not drawn yet", gone: "deleted since", lost: "could not be drawn" };
export const percent = (value) => `${Math.round(100 * value)} %`;
const span = (one, say) => (one ? `${say(one.low)} to ${say(one.high)}` : "");
const signed = (value) => `${value > 0 ? "+" : ""}${figure(value)}`.replace("-", "−");

export class EvaluationSheet {
  constructor() {
    Object.assign(this, { view: null, part: "concept", prompt: 0, picture: 0 });
    this.parts = h("div", { class: "cs-ev-parts", role: "group", "aria-label": "Prompts shown" }, ...PARTS.map(([name, text]) => h("button", { type: "button", class: "cs-plain", text, data: { part: name }, onclick: () => this.go({ part: name, prompt: 0 }) })));
    const step = (by, name, label) => h("button", { type: "button", class: "cs-tool", "aria-label": label, title: label, onclick: () => this.turn(by) }, icon(name));
    this.place = h("output", { class: "cs-quiet" });
    this.words = h("p", { class: "cs-ev-prompt" });
    this.seeds = h("div", { class: "cs-ev-parts", role: "group", "aria-label": "Seed" });
    this.table = h("table", { class: "cs-ev-table" });
    this.measures = h("div", { class: "cs-ev-scroll", tabindex: "0", role: "region", "aria-label": "What was measured" });
    this.element = h("div", { class: "cs-ev-sheet" },
      h("div", { class: "cs-ev-tools" }, this.parts, h("span", { class: "cs-ev-turn" }, step(-1, "left", "The prompt before"), this.place, step(1, "right", "The next prompt")), this.seeds), this.words,
      h("div", { class: "cs-ev-scroll", tabindex: "0", role: "region", "aria-label": "Pictures by version and weight" }, this.table), this.measures);
  }

  show(view) {
    if (view.id !== this.view?.id) Object.assign(this, { part: "concept", prompt: 0, picture: 0 });
    this.view = view;
    this.draw();
    this.measured();
  }

  go(where) {
    Object.assign(this, where);
    this.draw();
  }

  turn(by) {
    const count = this.prompts.length;
    this.go({ prompt: (this.prompt + by + count) % count });
  }

  get prompts() {
    return this.view.setup[this.part];
  }

  cell(arm, weight) {
    return this.view.cells.find((one) => one.part === this.part && one.arm === arm && one.weight === weight && one.prompt === this.prompt && one.picture === this.picture);
  }

  draw() {
    const { setup, number, against, finding } = this.view;
    const concept = this.part === "concept";
    for (const button of this.parts.children) button.setAttribute("aria-pressed", String(button.dataset.part === this.part));
    this.place.textContent = `prompt ${this.prompt + 1} of ${this.prompts.length}`;
    this.words.textContent = this.prompts[this.prompt];
    this.seeds.replaceChildren(...Array.from({ length: setup.pictures }, (_, at) => h("button", { type: "button", class: "cs-plain", text: `Seed ${this.cellSeed(at)}`, "aria-pressed": String(at === this.picture), onclick: () => this.go({ picture: at }) })));
    const weights = concept ? setup.weights : [1];
    const arms = [["version", `v${number}`], ...(against ? [["against", `v${against}`]] : [])];
    const rowOf = (arm, weight) => finding?.rows.find((one) => one.arm === arm && one.weight === weight);
    const line = ([arm, title], at) => h("tr", {}, at ? null : h("td", { rowspan: arms.length, class: "cs-ev-base" }, this.frame(this.cell("base", 0), "without the LoRA")),
      h("th", { scope: "row", text: title }), ...weights.map((weight) => {
        const hit = concept ? rowOf(arm, weight)?.hit : finding?.drift.find((one) => one.arm === arm)?.leak;
        const said = hit ? h("span", { class: "cs-ev-hit", title: `95 % interval ${span(hit, percent)}`, text: concept ? `hit ${hit.hits} of ${hit.n}` : `shows it ${hit.hits} of ${hit.n}` }) : null;
        return h("td", { data: concept && finding && arm === "version" && finding.weights.includes(weight) ? { fit: "" } : {} }, this.frame(this.cell(arm, weight), `${title} at weight ${weight}`), said);
      }));
    this.table.replaceChildren(h("thead", {}, h("tr", {}, h("th", { scope: "col", text: "Without" }), h("td"), ...weights.map((weight) => h("th", { scope: "col", text: `weight ${weight}` })))), h("tbody", {}, ...arms.map(line)));
  }

  cellSeed(picture) {
    return this.view.cells.find((one) => one.part === this.part && one.prompt === this.prompt && one.picture === picture)?.seed ?? picture + 1;
  }

  frame(cell, title) {
    if (!cell) return h("span", { class: "cs-ev-frame" });
    if (cell.state !== "drawn") return h("span", { class: "cs-ev-frame", title: cell.why || null, text: SAID[cell.state] });
    return h("button", { type: "button", class: "cs-ev-frame", "aria-label": `Look at ${title}`, onclick: () => lookAt(this.view, cell) }, h("img", { src: cell.thumb, alt: "", loading: "lazy" }));
  }

  /** A line a measure: the base, either version at weight 1, and how much better the new one is than the old. */
  measured() {
    const { finding, number, against } = this.view;
    this.measures.hidden = !finding;
    if (!finding) return;
    const row = (arm) => finding.rows.find((one) => one.arm === arm && one.weight === 1);
    const drift = (arm) => finding.drift.find((one) => one.arm === arm);
    const base = finding.rows[0];
    const cell = (one, say, between = say) => h("td", {}, one ? [h("b", { text: say(one.value) }), h("span", { class: "cs-quiet", text: ` ${span(one, between)}` })] : h("span", { class: "cs-quiet", text: "not measured" }));
    const blank = () => h("td", { class: "cs-quiet", text: "–" });
    const shares = (one) => h("td", {}, one ? [h("b", { text: `${one.hits} of ${one.n}` }), h("span", { class: "cs-quiet", text: ` ${span(one, percent)}` })] : h("span", { class: "cs-quiet", text: "not measured" }));
    const compared = (name, say) => (against ? better(finding.compared?.[name], say) : null);
    const points = (value) => signed(value);
    const share = (value) => `${value > 0 ? "+" : ""}${Math.round(100 * value)} %`.replace("-", "−");
    const sides = ["version", ...(against ? ["against"] : [])];
    const lines = [
      ["Concept is hit", "of the pictures that ask for it", shares(base.hit), ...sides.map((arm) => shares(row(arm)?.hit)), compared("concept", share)],
      ["Adherence, against the base", "how far pictures differ as their prompts do; 100 would be wholly", cell(base.follows, figure), ...sides.map((arm) => cell(row(arm)?.adherence, points)), compared("adherence", points)],
      ["Change on other prompts", "100 %: as much as with another seed", blank(), ...sides.map((arm) => cell(drift(arm)?.change, percent)), compared("drift", share)],
      ["Adherence there", "to prompts without its trigger word", cell(drift("version")?.follows, figure), ...sides.map((arm) => cell(drift(arm)?.adherence, points)), against ? blank() : null],
      ["Concept unasked", "in pictures that do not ask for it", shares(drift("version")?.leak_base), ...sides.map((arm) => shares(drift(arm)?.leak)), against ? blank() : null],
      ["Rejected for flaws", "of the pictures that ask for it", shares(base.flawed), ...sides.map((arm) => shares(row(arm)?.flawed)), compared("flaws", share)],
    ];
    const quality = finding.quality.filter(({ difference }) => difference && (difference.low > 0 || difference.high < 0));
    this.measures.replaceChildren(h("table", { class: "cs-ev-figures" },
      h("caption", { text: "At weight 1, with 95 % intervals over prompts" }),
      h("thead", {}, h("tr", {}, h("td"), ...["Base", `v${number}`, ...(against ? [`v${against}`, `v${number} is better by`] : [])].map((text) => h("th", { scope: "col", text })))),
      h("tbody", {}, ...lines.map(([title, about, ...cells]) => h("tr", {}, h("th", { scope: "row" }, title, h("small", { text: about })), ...cells.filter(Boolean))))),
      quality.length ? h("p", { class: "cs-quiet", text: `Changed for sure, whatever is asked for: ${quality.map(({ title, difference, base: was }) => `${title.toLowerCase()} ${signed(difference.value)} (from ${figure(was)})`).join(", ")}.` }) : "");
  }
}

/** A difference, coloured where it is sure. */
function better(one, say) {
  if (!one) return h("td", { class: "cs-quiet", text: "not measured" });
  return h("td", { data: { sure: one.low > 0 ? "better" : one.high < 0 ? "worse" : "" } }, h("b", { text: say(one.value) }), h("span", { class: "cs-quiet", text: ` ${span(one, say)}` }));
}

