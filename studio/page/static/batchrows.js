// The rows of a catalogue as a table that can be written in: what is changed is kept at once, before anything is drawn of it.

import { Refused, api } from "./api.js";
import { h, plural, set } from "./dom.js";

const FIRST = 8;
const MORE = 50;

export class Rows {
  /** changed(line): a row says something else by now. */
  constructor({ changed }) {
    Object.assign(this, { changed, problems: new Map(), only: false, cells: new Map(), turn: 0 });
    this.head = h("tr");
    this.body = h("tbody");
    this.wrong = h("p", { class: "cs-error", role: "alert" });
    this.more = h("button", { type: "button", class: "cs-plain", text: "More rows", hidden: true, onclick: () => this.load(this.next) });
    this.filters = [["All rows", false], ["With problems", true]].map(([text, only]) => h("button", { type: "button", class: "cs-b-filter", text, "aria-pressed": String(!only), onclick: () => this.filter(only) }));
    this.element = h("div", { class: "cs-b-edit" },
      (this.bar = h("div", { class: "cs-b-filters", role: "group", "aria-label": "Which rows of the catalogue", hidden: true }, ...this.filters)),
      h("div", { class: "cs-b-scroll", tabindex: "0", role: "region", "aria-label": "First rows" }, h("table", { class: "cs-b-cells" }, h("thead", {}, this.head), this.body)),
      h("div", { class: "cs-b-line" }, this.more, h("span", { class: "cs-quiet", text: "Write in a cell to correct it; the file itself stays as it is." })), this.wrong);
  }

  /** Another catalogue, from its first rows. */
  show(catalogue) {
    const other = this.catalogue?.id !== catalogue.id;
    this.catalogue = catalogue;
    if (!other) return;
    Object.assign(this, { problems: new Map(), only: false });
    this.head.replaceChildren(h("th", { scope: "col", text: catalogue.unit }), ...catalogue.columns.map(({ name }) => h("th", { scope: "col", text: name })));
    this.fill(catalogue.first, catalogue.rows > catalogue.first.length ? catalogue.first.at(-1).line : null, false);
    this.mark();
  }

  fill(rows, next, add) {
    if (!add) {
      this.cells = new Map();
      this.body.replaceChildren();
    }
    this.next = next;
    this.more.hidden = next === null;
    for (const row of rows) this.body.append(this.row(row));
    this.paint();
  }

  row({ line, cells }) {
    return h("tr", { data: { line: String(line) } }, h("th", { scope: "row", text: String(line) }), ...this.catalogue.columns.map(({ name }) => {
      const cell = new Cell(line, name, cells[name] ?? "", this);
      this.cells.set(key(line, name), cell);
      return h("td", {}, cell.input);
    }));
  }

  async load(after = 0) {
    const turn = ++this.turn;
    const lines = this.only ? [...this.problems.keys()].sort((a, b) => a - b).filter((line) => line > after).slice(0, MORE) : [];
    if (this.only && !lines.length) return this.fill([], null, after > 0);
    const found = await api.batches(`/catalogues/${this.catalogue.id}/rows?${new URLSearchParams({ after, limit: after || this.only ? MORE : FIRST, lines: lines.join(",") })}`);
    if (turn === this.turn) this.fill(found.rows, found.next, after > 0);
  }

  filter(only) {
    this.only = only;
    this.mark();
    this.load();
  }

  /** What is wrong with the rows by now: [{line, column, what}]. */
  told(problems) {
    this.problems = new Map();
    for (const one of problems) this.problems.set(one.line, [...(this.problems.get(one.line) ?? []), one]);
    this.mark();
    this.paint();
  }

  mark() {
    this.filters.forEach((button, i) => set(button, { "aria-pressed": String(this.only === Boolean(i)) }));
    this.filters[1].textContent = `With problems ${this.problems.size}`;
    this.bar.hidden = !this.problems.size && !this.only;
  }

  paint() {
    for (const line of this.body.children) {
      const wrong = this.problems.get(Number(line.dataset.line)) ?? [];
      line.toggleAttribute("data-wrong", wrong.length > 0);
      for (const { name } of this.catalogue.columns) this.cells.get(key(line.dataset.line, name)).told(wrong.find(({ column }) => column === name)?.what ?? "");
    }
  }

  /** Keeps what a cell says from now on. True when it went well. */
  async write(line, column, value) {
    this.wrong.textContent = "";
    try {
      const row = await api.batches(`/catalogues/${this.catalogue.id}/rows/${line}`, { cells: { [column]: value } });
      this.cells.get(key(line, column))?.is(row.cells[column] ?? "");
      this.changed(line);
      return true;
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      this.wrong.textContent = `${this.catalogue.unit} ${line}, ${column}: ${error.message}`;
      return false;
    }
  }
}

const key = (line, column) => `${line}\n${column}`;

/** A cell to write in. Enter or leaving it keeps it, Escape puts back what was there. */
export class Cell {
  /** rows.write(line, column, value) keeps it. */
  constructor(line, column, value, rows) {
    Object.assign(this, { line, column, value, rows });
    this.input = h("input", { type: "text", class: "cs-b-cell", "aria-label": `${column}, ${rows.catalogue.unit} ${line}`, autocomplete: "off", value, onchange: () => this.keep(), onkeydown: (event) => this.key(event) });
  }

  key(event) {
    if (event.key === "Enter") this.keep();
    else if (event.key === "Escape" && this.input.value !== this.value) {
      event.stopPropagation();
      this.input.value = this.value;
    }
  }

  async keep() {
    const said = this.input.value;
    if (said === this.value) return;
    const was = this.value;
    this.value = said;
    if (!(await this.rows.write(this.line, this.column, said))) this.value = was; // it stays as it was typed, to be mended
  }

  /** What the server keeps; what is being typed stays. */
  is(value) {
    if (this.input.value === this.value) this.input.value = value;
    this.value = value;
  }

  told(what) {
    set(this.input, { "aria-invalid": what ? "true" : null, title: what || null });
  }
}

/** The problems of a check, each with its cell to write in where there is one. Elements stay while somebody writes in them. */
export class Problems {
  /** after(): what has the focus once the last problem is mended. */
  constructor(rows, after) {
    Object.assign(this, { rows, after, known: new Map() });
    this.count = h("h4");
    this.list = h("ul", { tabindex: "0", "aria-label": "Problems" });
    this.element = h("div", { class: "cs-b-problems", hidden: true }, this.count, this.list);
  }

  told(problems, count) {
    const before = [...this.list.children];
    const place = before.findIndex((one) => one.contains(document.activeElement));
    const known = new Map();
    for (const one of problems) known.set([one.line, one.column, one.template].join("\n"), this.known.get([one.line, one.column, one.template].join("\n")) ?? this.line(one));
    const now = [...known.values()].map(({ element }) => element);
    problems.forEach((one) => known.get([one.line, one.column, one.template].join("\n")).say(one));
    this.known = known;
    before.filter((element) => !now.includes(element)).forEach((element) => element.remove());
    // What is there already is not moved: it may have the focus.
    now.forEach((element, i) => this.list.children[i] !== element && this.list.insertBefore(element, this.list.children[i] ?? null));
    this.count.textContent = plural(count, "problem");
    this.element.hidden = !count;
    if (place >= 0 && !this.list.contains(document.activeElement)) (now.slice(place).concat(now).map((one) => one.querySelector("input")).find(Boolean) ?? this.after()).focus();
  }

  line({ line, column, cell }) {
    const what = h("span");
    const own = column ? new Cell(line, column, cell, this.rows) : null;
    const element = h("li", {}, h("b", { text: `${this.rows.catalogue.unit} ${line}${column ? `, ${column}` : ""}` }), own?.input ?? h("span"), what);
    return { element, say: (one) => {
      what.textContent = one.what;
      own?.is(one.cell);
      own?.told(one.what);
    } };
  }
}
