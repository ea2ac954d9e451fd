// The parts of a prompt: what a person chooses beside the text, and under it, in colours, what the model is going to read.

import { api, Refused } from "./api.js";
import { debounced, h, plural, set } from "./dom.js";
import { studio } from "./studio.js";
import { WordLists } from "./wordlists.js";

const TITLES = { quality: "Quality", subject: "Subject", description: "Description", context: "Place", style: "Style", season: "Season", composition: "Composition", technical: "Technical", brand: "Brand", trigger: "Trigger words", edit: "By hand" };
const FIELDS = [["use", "For"], ["context", "Place"], ["style", "Style"], ["season", "Season"]];
const ENCODERS = { clip: "CLIP", t5: "T5", llm: "Language model" };
// What makes a prompt mean something else than itself.
const SYNTAX = /\{[^{}]*[|}]|__\S|<lora:|\([^()]*:\s*[\d.]+\s*\)|\\[\\{}|$_<()[\]]/;

export class PromptParts {
  /** prompt: the prompt's field; asked(): the request as the form would send it; changed(): something is to be remembered. */
  constructor({ prompt, asked, changed }) {
    Object.assign(this, { prompt, asked, changed });
    this.edits = {}; // a part's kind -> what a person wrote in its place
    this.offered = {};
    this.inputs = Object.fromEntries(FIELDS.map(([name]) => [name, this.input(name)]));
    this.state = h("span", { class: "cs-summary-state" });
    this.lists = new WordLists({ insert: (name) => this.insert(name) });
    this.chosen = h("details", { class: "cs-advanced cs-parts", ontoggle: () => this.changed() },
      h("summary", {}, h("span", { text: "Parts" }), this.state),
      h("div", { class: "cs-parts-fields" }, FIELDS.map(([name, label]) => h("div", { class: "cs-field" }, h("label", { for: `cs-part-${name}` }, h("span", { text: label })), this.inputs[name], this.options(name)))),
      this.lists.element,
    );
    this.text = h("p", { class: "cs-reads-text" });
    this.legend = h("ul", { class: "cs-reads-legend", "aria-label": "Parts of the prompt" });
    this.counts = h("p", { class: "cs-counts cs-quiet" });
    this.notes = h("ul", { class: "cs-reads-notes", "aria-live": "polite" });
    this.said = h("section", { class: "cs-reads", "aria-label": "What the model reads", hidden: true }, this.text, this.legend, this.counts, this.notes);
    this.later = debounced(() => this.ask(), 250);
    this.turn = 0;
    prompt.input.addEventListener("input", () => this.read());
    studio.on("about", () => this.offer());
    studio.on("wildcards", () => this.read());
  }

  input(name) {
    const told = () => (this.tell(), this.read(), this.changed());
    if (name === "use") return h("select", { id: "cs-part-use", onchange: told });
    return h("input", { id: `cs-part-${name}`, type: "text", list: `cs-part-${name}-list`, autocomplete: "off", maxlength: 400, placeholder: "any, or your own words", oninput: told });
  }

  options(name) {
    return name === "use" ? null : h("datalist", { id: `cs-part-${name}-list` });
  }

  /** Asks which names there are, once. */
  async offer() {
    this.read();
    if (this.asking) return;
    this.asking = true;
    try {
      this.offered = await api.parts();
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      this.asking = false; // again when the studio answers
      return;
    }
    const use = this.inputs.use.value || this.wantedUse || "";
    this.inputs.use.replaceChildren(h("option", { value: "", text: "nothing in particular" }), ...this.offered.use.map(({ name, about }) => h("option", { value: name, text: name, title: about })));
    this.inputs.use.value = use;
    for (const [name] of FIELDS.slice(1)) {
      this.chosen.querySelector(`#cs-part-${name}-list`).replaceChildren(...this.offered[name].map(({ name: value, says }) => h("option", { value, label: says })));
    }
    this.tell();
  }

  /** What is chosen, in the line that stays when it is folded. */
  tell() {
    const words = FIELDS.map(([name]) => this.inputs[name].value.trim()).filter(Boolean);
    const edited = Object.keys(this.edits).length;
    if (edited) words.push(plural(edited, "edit"));
    this.state.textContent = words.join(", ");
  }

  /** The parts as the door takes them; {} when nothing is chosen. */
  request() {
    const parts = {};
    for (const [name] of FIELDS) if (this.value(name)) parts[name] = this.value(name);
    if (Object.keys(this.edits).length) parts.edits = this.edits;
    return Object.keys(parts).length ? { parts } : {};
  }

  value(name) {
    return this.inputs[name].value.trim() || (name === "use" && !this.offered.use ? this.wantedUse ?? "" : "");
  }

  fill(request) {
    this.recall(request.source?.parts ?? {});
    this.read();
  }

  kept() {
    return { ...this.request().parts, open: this.chosen.open };
  }

  recall(kept = {}) {
    for (const [name] of FIELDS) this.inputs[name].value = kept[name] ?? "";
    this.wantedUse = kept.use ?? "";
    this.edits = { ...kept.edits };
    this.chosen.open = Boolean(kept.open) || FIELDS.some(([name]) => kept[name]);
    this.tell();
  }

  insert(name) {
    const { input } = this.prompt;
    input.setRangeText(`__${name}__`, input.selectionStart, input.selectionEnd, "end");
    input.dispatchEvent(new Event("input", { bubbles: true }));
    input.focus();
  }

  /** To be called whenever what the prompt is made of has changed. */
  read() {
    this.later();
  }

  async ask() {
    const turn = ++this.turn;
    let request;
    try {
      request = this.asked();
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      return; // a number that is none: told at its field when it is sent
    }
    const { parts, template, brand, edit, prompt } = request;
    if (!(parts || template || brand || edit || SYNTAX.test(prompt)) || !(prompt.trim() || template)) return this.hide();
    let composed;
    try {
      composed = await api.compose(request);
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      composed = { wrong: { what: error.message } };
    }
    if (turn === this.turn) this.show(composed);
  }

  hide() {
    this.said.hidden = true;
    this.prompt.counts.hidden = this.prompt.unknown.hidden = false;
  }

  show(composed) {
    if (this.said.querySelector("textarea")) return; // somebody is writing in it
    this.said.hidden = false;
    this.prompt.counts.hidden = this.prompt.unknown.hidden = true; // those of the whole stand below
    const { wrong } = composed;
    if (wrong) {
      this.text.replaceChildren();
      this.legend.replaceChildren();
      this.counts.textContent = "";
      this.notes.replaceChildren(h("li", { class: "cs-error", text: [wrong.what, wrong.why, wrong.todo].filter(Boolean).join(" ") }));
      return;
    }
    this.draw(composed);
    this.explain(composed);
  }

  /** The text with its parts in colour; what no encoder will read is struck out. */
  draw({ text, pieces, cut }) {
    const letters = Array.from(text); // the server counts characters, not UTF-16
    const end = cut && text.endsWith(cut) ? letters.length - Array.from(cut).length : letters.length;
    const shown = [];
    const put = (from, to, piece) => {
      for (const [start, stop, lost] of [[from, Math.min(to, end), false], [Math.max(from, end), to, true]]) {
        if (start < stop) shown.push(piece ? this.piece(piece, letters.slice(start, stop).join(""), lost) : h("span", { class: lost ? "cs-piece-cut" : null, text: letters.slice(start, stop).join("") }));
      }
    };
    let at = 0;
    for (const piece of pieces) {
      put(at, piece.start, null);
      put(piece.start, piece.end, piece);
      at = piece.end;
    }
    put(at, letters.length, null);
    this.text.replaceChildren(...shown);
    const kinds = [...new Set(pieces.map(({ kind }) => kind))];
    this.legend.replaceChildren(...kinds.map((kind) => h("li", { data: { kind }, onpointerenter: () => this.mark(kind), onpointerleave: () => this.mark(null) }, TITLES[kind] ?? kind)),
      ...Object.keys(this.edits).map((kind) => h("li", { class: "cs-reads-undo" }, h("button", { type: "button", class: "cs-link", text: `${TITLES[kind] ?? kind} as it was`, title: "Drop what was written by hand", onclick: () => this.write(kind, null) }))));
  }

  piece(piece, text, lost) {
    const kind = piece.of || piece.kind;
    const mine = kind !== "subject" && kind !== "edit" && kind in TITLES;
    const title = `${TITLES[piece.kind] ?? piece.kind}${piece.of ? `: ${TITLES[piece.of]}` : ""}${lost ? ", cut: the model reads no further" : ""}. ${mine ? "Click to write it yourself." : "Click to go to the prompt."}`;
    const act = () => (mine ? this.edit(kind, piece.text) : this.prompt.input.focus());
    // No <button>: it would not break across lines as words do.
    const key = (event) => (event.key === "Enter" || event.key === " ") && !event.ctrlKey && !event.metaKey && (event.preventDefault(), act());
    return h("span", { role: "button", tabindex: "0", class: `cs-piece${lost ? " cs-piece-cut" : ""}`, data: { kind: piece.kind }, title, text, onclick: act, onkeydown: key });
  }

  mark(kind) {
    for (const one of this.text.querySelectorAll(".cs-piece")) one.classList.toggle("cs-piece-dim", kind !== null && one.dataset.kind !== kind);
  }

  /** A part to be written by hand, in its place. Enter takes it, Escape leaves it as it was. */
  edit(kind, text) {
    const own = h("textarea", { class: "cs-reads-edit", rows: 2, "aria-label": `${TITLES[kind]}, by hand` });
    own.value = text;
    let over = false;
    const done = (value) => {
      if (over) return;
      over = true;
      own.remove();
      if (value === null || value === text) this.read();
      else this.write(kind, value);
    };
    own.addEventListener("keydown", (event) => {
      event.stopPropagation(); // the form's own keys wait
      if (event.key === "Escape") done(null);
      else if (event.key === "Enter" && !event.shiftKey) (event.preventDefault(), done(own.value.trim()));
    });
    own.addEventListener("blur", () => done(own.value.trim()));
    this.legend.before(own);
    own.focus();
    own.select();
  }

  write(kind, text) {
    if (text === null) delete this.edits[kind];
    else this.edits[kind] = text;
    this.tell();
    this.changed();
    this.ask();
  }

  explain({ counts, cut, unknown, knows, notes, negative, negative_used: used, loras, varies }) {
    const full = Object.values(counts).some(([count, most]) => count > most);
    this.counts.textContent = Object.entries(counts).map(([name, [count, most]]) => `${ENCODERS[name] ?? name} ${count}/${most}`).join("   ");
    set(this.counts, { title: "Tokens of the whole prompt in each text encoder, and how many it reads" });
    this.counts.classList.toggle("cs-full", full);
    const names = [...new Set(unknown.map(({ word }) => word))];
    const lines = [
      cut ? "What is struck out is cut: the model reads no further." : "",
      names.length ? `Not in this model's world: ${names.join(", ")}.${knows ? ` ${knows}.` : ""}` : "",
      ...notes,
      negative && !used ? `The negative prompt is not sent: this model reads none. (${negative})` : "",
      loras.length ? `LoRAs: ${loras.map(({ name, weight }) => `${name} ${weight}`).join(", ")}.` : "",
      varies ? "Another seed may give other words." : "",
    ];
    this.notes.replaceChildren(...lines.filter(Boolean).map((text) => h("li", { text })));
  }
}
