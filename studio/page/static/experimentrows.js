// What changes from pair to pair: a small table that takes what is pasted from a spreadsheet.

import { h, plural, set } from "./dom.js";

const LIMIT = 500;

export class Rows {
  constructor(changed) {
    Object.assign(this, { changed, shape: "prompt", keys: [] });
    this.count = h("p", { class: "cs-quiet" });
    this.body = h("tbody");
    this.head = h("thead");
    this.scroll = h("div", { class: "cs-x-scroll" }, h("table", { class: "cs-x-rows", "aria-label": "What changes from pair to pair", onpaste: (event) => this.paste(event) }, this.head, this.body));
    this.more = h("button", { type: "button", class: "cs-plain", text: "Add a row", onclick: () => this.append({}, true) });
    this.element = h("div", { class: "cs-x-over" }, this.scroll, h("div", { class: "cs-x-acts" }, this.more, this.count));
  }

  /** shape: "prompt", "values" (of a template) or "none" (A and B say it all). example: what stands there faintly. */
  columns(keys, rows, shape, example = {}) {
    Object.assign(this, { keys, shape, example });
    this.scroll.hidden = this.more.hidden = shape === "none" || !keys.length;
    this.head.replaceChildren(h("tr", {}, ...keys.map((key) => h("th", { scope: "col", text: key.title })), h("th", { scope: "col" }, h("span", { class: "cs-voice", text: "Remove" }))));
    this.body.replaceChildren();
    for (const row of rows.length ? rows : [{}]) this.append(row, false);
    this.tell();
  }

  append(values, focus) {
    if (this.body.children.length >= LIMIT) return;
    const place = this.body.children.length + 1;
    const line = h("tr", {}, ...this.keys.map((key) => h("td", {}, this.control(key, values[key.key] ?? "", place))),
      h("td", { class: "cs-x-row-end" }, h("button", { type: "button", class: "cs-bare", text: "Remove", "aria-label": `Remove row ${place}`, onclick: () => this.remove(line) })));
    this.body.append(line);
    if (focus) line.querySelector("input, select, textarea")?.focus();
    if (focus) this.tell();
  }

  control(key, value, place) {
    const named = { "aria-label": `${key.title}, row ${place}`, data: { key: key.key }, oninput: () => this.told() };
    if (key.choices?.length) {
      const select = h("select", named, h("option", { value: "", text: this.example?.[key.key] ?? "" }), ...key.choices.map((one) => h("option", { value: one, text: one })));
      select.value = value;
      return select;
    }
    return h("input", { type: key.kind === "number" ? "number" : "text", step: key.kind === "number" ? "any" : null, value: String(value), placeholder: String(this.example?.[key.key] ?? ""), ...named });
  }

  remove(line) {
    const next = line.nextElementSibling ?? line.previousElementSibling;
    line.remove();
    if (!this.body.children.length) this.append({}, false);
    (next ?? this.body.firstChild).querySelector("input, select")?.focus();
    this.told();
  }

  /** Lines and tabs, as spreadsheets copy them, fill rows and columns from where the caret is. */
  paste(event) {
    const text = event.clipboardData?.getData("text/plain") ?? "";
    const cell = event.target.closest("td");
    if (!cell || !/[\n\t]/.test(text.trim())) return;
    event.preventDefault();
    let line = cell.parentElement;
    const from = [...line.children].indexOf(cell);
    for (const words of text.replace(/\r/g, "").replace(/\n+$/, "").split("\n")) {
      if (!line) {
        this.append({}, false);
        line = this.body.lastChild;
        if (!line || this.body.children.length > LIMIT) break;
      }
      words.split("\t").forEach((word, i) => {
        const control = line.children[from + i]?.querySelector("input, select");
        if (control) control.value = word.trim();
      });
      line = line.nextElementSibling;
    }
    this.told();
  }

  get value() {
    if (this.shape === "none" || !this.keys.length) return [{}];
    const rows = [...this.body.children].map((line) => Object.fromEntries([...line.querySelectorAll("[data-key]")].map((one) => [one.dataset.key, one.type === "number" && one.value !== "" ? Number(one.value) : one.value.trim()]).filter(([, word]) => word !== "")));
    const filled = rows.filter((row) => Object.keys(row).length);
    if (!filled.length) return this.shape === "values" ? [{ values: { ...this.example } }] : [{ prompt: "" }];
    return filled.map((row) => (this.shape === "values" ? { values: row } : row));
  }

  told() {
    this.tell();
    this.changed();
  }

  tell() {
    const filled = this.value.length;
    set(this.more, { disabled: this.body.children.length >= LIMIT });
    this.count.textContent = this.shape === "none" ? "A and B say the whole prompt: every pair has another seed."
      : `${plural(filled, this.shape === "values" ? "set of values" : "prompt", this.shape === "values" ? "sets of values" : "prompts")}. Both sides get each of them with the same seeds. Paste rows from a spreadsheet.`;
  }
}
