// The prompt's field: grows with the text, underlines the words the model does not know, counts tokens quietly.

import { api, Refused } from "./api.js";
import { debounced, h } from "./dom.js";
import { studio } from "./studio.js";

const NAMES = { clip: "CLIP", t5: "T5" };

export class Prompt {
  limit = 4000;

  constructor() {
    this.input = h("textarea", { id: "cs-prompt", rows: 4, spellcheck: "false", placeholder: "a red mug on a wooden table", "aria-describedby": "cs-prompt-words" });
    // A textarea cannot underline part of itself: the same text lies behind it, invisible but for the lines under unknown words.
    this.behind = h("div", { class: "cs-behind", "aria-hidden": "true" });
    this.unknown = h("p", { class: "cs-unknown", id: "cs-prompt-words" });
    this.counts = h("p", { class: "cs-counts cs-quiet" });
    this.element = h("div", { class: "cs-prompt" }, h("div", { class: "cs-paper" }, this.behind, this.input), this.counts, this.unknown);
    this.later = debounced(() => this.ask(), 250);
    this.input.addEventListener("input", () => this.read());
    this.input.addEventListener("scroll", () => (this.behind.scrollTop = this.input.scrollTop));
    this.turn = 0;
  }

  /** To be called whenever the text, the family or the tier has changed. */
  read() {
    this.behind.textContent = ""; // lines drawn for another text would stand under the wrong words
    if (this.marked && this.marked.text === this.input.value) this.underline(this.marked.spans);
    this.later();
  }

  async ask() {
    const text = this.input.value;
    const turn = ++this.turn;
    if (!text.trim()) {
      this.marked = null;
      this.behind.textContent = this.unknown.textContent = this.counts.textContent = "";
      return;
    }
    let reading;
    try {
      reading = await api.words(text, studio.family, studio.tier);
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      reading = { counts: {}, unknown: [], knows: "", cut: "" }; // a prompt that cannot be read is refused, in words, when it is sent
    }
    if (turn === this.turn && text === this.input.value) this.show(text, reading);
  }

  show(text, { counts, unknown, knows, cut }) {
    // The server counts characters, the browser UTF-16 halves of them.
    const at = offsets(text);
    const spans = unknown.map((one) => [at(one.start), at(one.end)]);
    this.marked = { text, spans };
    this.underline(spans);
    const names = [...new Set(unknown.map((one) => one.word))];
    this.unknown.replaceChildren(...(names.length ? [...quoted(names), names.length === 1 ? " is not in this model's world." : " are not in this model's world.", knows ? ` ${knows}.` : ""] : []));
    if (cut) this.unknown.append(h("span", { class: "cs-cut", text: `The model reads no further than its limit; cut: "${cut}"` }));
    const full = Object.values(counts).some(([used, most]) => used > most);
    this.counts.textContent = Object.entries(counts).map(([name, [used, most]]) => `${NAMES[name] ?? name} ${used}/${most}`).join("   ");
    this.counts.classList.toggle("cs-full", full);
    this.counts.title = "Tokens of the prompt in each text encoder, and how many it reads";
  }

  underline(spans) {
    const text = this.input.value;
    let at = 0;
    this.behind.textContent = "";
    for (const [start, end] of spans) {
      this.behind.append(text.slice(at, start), h("mark", { text: text.slice(start, end) }));
      at = end;
    }
    this.behind.append(text.slice(at), "\n");
    this.behind.scrollTop = this.input.scrollTop;
  }
}

function offsets(text) {
  const starts = [];
  let at = 0;
  for (const character of text) {
    starts.push(at);
    at += character.length;
  }
  starts.push(at);
  return (index) => starts[Math.min(index, starts.length - 1)];
}

function quoted(names) {
  return names.slice(0, 6).flatMap((name, i) => [i ? ", " : "", h("b", { text: name })]).concat(names.length > 6 ? [` and ${names.length - 6} more`] : []);
}
