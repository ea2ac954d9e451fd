// The rules of a profile: sentences, and below each how the studio understood it.

import { Refused, api } from "./api.js";
import { debounced, h, icon } from "./dom.js";

const READ_MS = 250;

export class Rules {
  constructor(changed) {
    this.changed = changed;
    this.rows = [];
    this.list = h("ul", { class: "cs-q-rules" });
    this.known = h("datalist", { id: "cs-q-sentences" });
    this.empty = h("p", { class: "cs-quiet", text: "No rule yet. A rule is a sentence that a picture must keep to; it wins over the bars above." });
    this.chips = h("div", { class: "cs-q-chips", role: "group", "aria-label": "Sentences to start from" });
    this.adds = h("button", { type: "button", class: "cs-plain", text: "Add a rule", onclick: () => this.add("") });
    this.element = h("section", { class: "cs-q-part-of", "aria-labelledby": "cs-q-rules-title" },
      h("h3", { id: "cs-q-rules-title", text: "Rules" }), this.empty, this.list, h("div", { class: "cs-q-add" }, this.adds, this.chips), this.known);
  }

  /** data: the profile, changed in place. understood: the rules as the studio last read them. */
  show(data, facts, understood) {
    Object.assign(this, { data, facts, rows: [] });
    this.known.replaceChildren(...facts.examples.map(({ text }) => h("option", { value: text })));
    const words = new Map(understood.map((rule) => [rule.text, rule.words]));
    this.list.replaceChildren();
    for (const text of data.rules ?? []) this.row(text, words.get(text) ?? "");
    this.offer();
  }

  add(text) {
    const row = this.row(text, "");
    this.keep();
    row.input.focus();
    if (text) row.read();
  }

  row(text, words) {
    const id = `cs-q-rule-${++count}`;
    const row = { input: h("input", { type: "text", id, maxlength: 200, list: "cs-q-sentences", autocomplete: "off", placeholder: "no visible text", "aria-label": "Rule", "aria-describedby": `${id}-words` }), asked: 0 };
    row.input.value = text;
    row.words = h("p", { class: "cs-q-words", id: `${id}-words`, "aria-live": "polite" });
    row.element = h("li", {}, row.input, h("button", { type: "button", class: "cs-tool", "aria-label": "Take the rule out", onclick: () => this.remove(row) }, icon("close")), row.words);
    row.read = () => this.read(row);
    const soon = debounced(row.read, READ_MS);
    row.input.addEventListener("input", () => {
      this.keep();
      soon();
    });
    this.say(row, words, true);
    this.rows.push(row);
    this.list.append(row.element);
    if (text && !words) row.read();
    return row;
  }

  /** Asks how the sentence is understood. */
  async read(row) {
    const asked = ++row.asked;
    const text = row.input.value;
    let [words, good] = ["", true];
    if (text.trim()) {
      const read = await api.rule(text);
      [words, good] = read.wrong ? [new Refused(read.wrong).message, false] : [read.words, true];
    }
    if (asked === row.asked) this.say(row, words, good);
  }

  say(row, words, good) {
    row.words.replaceChildren(...(words ? [icon(good ? "pass" : "fail"), h("span", { text: words })] : []));
    row.words.dataset.mark = good ? "pass" : "fail";
    row.input.setAttribute("aria-invalid", String(!good));
  }

  remove(row) {
    const place = this.rows.indexOf(row);
    this.rows.splice(place, 1);
    row.element.remove();
    this.keep();
    (this.rows[Math.min(place, this.rows.length - 1)]?.input ?? this.adds).focus();
  }

  /** A sentence that is still empty is not part of the profile yet. */
  keep() {
    this.data.rules = this.rows.map((row) => row.input.value.trim()).filter(Boolean);
    this.offer();
    this.changed();
  }

  offer() {
    const said = new Set((this.data.rules ?? []).map((text) => text.toLowerCase()));
    this.empty.hidden = this.rows.length > 0;
    this.chips.replaceChildren(...this.facts.examples.filter(({ text }) => !said.has(text.toLowerCase())).slice(0, 8).map(({ text, words }) => h("button", { type: "button", class: "cs-q-chip", text, title: words, onclick: () => this.add(text) })));
  }

  /** Shows at its rule what is wrong with the whole: two sentences about the same dimension, for one. */
  mark(wrong) {
    const place = wrong?.field?.match(/^rules\.(\d+)$/)?.[1];
    if (place === undefined) return;
    const row = this.rows.filter((one) => one.input.value.trim())[Number(place)];
    if (row) this.say(row, wrong.words, false);
  }
}

let count = 0;
