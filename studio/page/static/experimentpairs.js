// The paired contact sheet: what one value and one seed gave in both ways, side by side. Blind votes come before looking.

import { api } from "./api.js";
import { h, icon, plural, set } from "./dom.js";

export class Pairs {
  constructor() {
    this.sheet = h("ol", { class: "cs-x-pairs" });
    this.only = h("select", { "aria-label": "Which pairs", onchange: () => this.filter() }, ...[["all", "All pairs"], ["a", "A is better"], ["b", "B is better"], ["passes", "Only one passes"]].map(([value, text]) => h("option", { value, text })));
    this.more = h("button", { type: "button", class: "cs-plain", text: "More pairs", hidden: true, onclick: () => this.load(false) });
    this.reveal = h("button", { type: "button", class: "cs-plain", text: "Show the pairs", onclick: () => this.open() });
    this.warning = h("p", { class: "cs-quiet", text: "People decide this experiment: who has seen which side is which votes no longer blind." });
    this.blind = h("div", { class: "cs-x-blind", hidden: true }, this.warning, this.reveal);
    this.body = h("div", {}, this.sheet, this.more);
    this.element = h("section", { class: "cs-x-sheet" }, h("header", {}, h("h3", { text: "Pair by pair" }), this.only), this.blind, this.body);
    this.opened = new Set();
  }

  show(experiment, same) {
    const changed = !same || experiment.result.drawn !== this.drawn;
    this.experiment = experiment;
    this.drawn = experiment.result.drawn;
    const blind = experiment.design.outcome.kind === "preference" && experiment.state !== "ended" && !this.opened.has(experiment.id);
    this.element.hidden = !experiment.result.drawn;
    this.blind.hidden = !blind;
    this.body.hidden = this.only.hidden = blind;
    if (!same) this.sheet.replaceChildren();
    if (!blind && changed) this.load(!same || !this.sheet.children.length);
  }

  open() {
    this.opened.add(this.experiment.id);
    this.show(this.experiment, false);
  }

  /** The next pairs; those that are there stay, and what was still being drawn is filled in. */
  async load(anew) {
    const { id } = this.experiment;
    const turn = (this.turn = {});
    const items = [...this.sheet.children];
    const waits = items.findIndex((item) => !item.dataset.done);
    const after = anew ? 0 : waits < 0 ? items.length : waits;
    const { pairs, next } = await api.experimentPairs(id, after);
    if (this.turn !== turn || this.experiment.id !== id) return; // a later answer knows more
    while (this.sheet.children.length > after) this.sheet.lastChild.remove();
    this.sheet.append(...pairs.map((pair) => this.pair(pair)));
    this.more.hidden = next === null;
    this.filter();
  }

  pair(pair) {
    const done = Boolean(pair.a && pair.b) || Boolean(pair.why);
    const better = pair.difference > 0 ? "b" : pair.difference < 0 ? "a" : "";
    const asked = words(pair.values) || "the same prompt";
    return h("li", { class: "cs-x-pair", data: { done: done ? "yes" : "", better, split: String(Boolean(pair.a && pair.b && pair.a.passed !== pair.b.passed)) } },
      h("div", { class: "cs-x-two-up" }, this.picture(pair, "a", better), this.picture(pair, "b", better)),
      h("p", { class: "cs-x-caption" }, h("span", { class: "cs-x-number", text: String(pair.number) }), h("span", { text: pair.why || asked, title: `${asked} · seed ${pair.seed}` })));
  }

  picture(pair, arm, better) {
    const seen = pair[arm];
    const name = `${arm.toUpperCase()} of pair ${pair.number}`;
    if (!seen) return h("div", { class: "cs-x-frame cs-x-waits" }, h("span", { class: "cs-voice", text: `${name}: ${pair.why || "not drawn yet"}` }));
    const verdict = seen.passed ? "passes" : seen.verdict === "review" ? "not decided" : `fails: ${seen.reasons.join(", ")}`;
    const mark = h("span", { class: "cs-x-mark", data: { passed: String(seen.passed) } }, icon(seen.passed ? "pass" : seen.verdict === "review" ? "warn" : "fail"));
    const letter = h("b", { class: "cs-x-letter", data: { arm }, text: arm.toUpperCase() });
    if (!seen.url) return h("div", { class: "cs-x-frame cs-x-waits" }, h("span", { class: "cs-x-gone", text: "thrown away" }), letter, mark);
    return h("a", { class: "cs-x-frame", href: seen.url, target: "_blank", rel: "noopener", "data-better": better === arm, title: verdict },
      h("img", { src: seen.thumb, alt: `${name}: ${words(pair.values)}. It ${verdict}.`, loading: "lazy", decoding: "async" }), letter, mark);
  }

  filter() {
    const only = this.only.value;
    for (const item of this.sheet.children) item.hidden = !(only === "all" || item.dataset.better === only || (only === "passes" && item.dataset.split === "true"));
    const shown = [...this.sheet.children].filter((item) => !item.hidden).length;
    set(this.sheet, { "aria-label": plural(shown, "pair") });
  }
}

/** What a row sets, in words. */
export function words(values) {
  const told = { ...values, ...(values.values ?? {}) };
  delete told.values;
  return Object.entries(told).map(([name, value]) => (name === "prompt" ? value : `${name} ${typeof value === "object" ? JSON.stringify(value) : value}`)).join(", ");
}
