// One grid: its cells as a table with the values beside them, live while it is drawn.

import { Refused, api } from "./api.js";
import { debounced, duration, figure, h, icon, plural, set } from "./dom.js";
import { openLoupe } from "./loupe.js";
import { studio } from "./studio.js";
import { toast } from "./toast.js";

const AGAIN_MS = 700;
const SAID = { waiting: "waits", drawing: "is being drawn", missing: "not drawn", gone: "thrown away", refused: "cannot be drawn" };

export class GridView {
  /** closed(): it was left. changed(): what the list of grids says is old. */
  constructor({ closed, changed }) {
    Object.assign(this, { closed, changed, page: 0 });
    this.title = h("h3", { tabindex: "-1" });
    this.state = h("span", { class: "cs-quiet", role: "status" });
    const act = (name, text) => h("button", { type: "button", class: "cs-plain", text, hidden: true, onclick: () => this.act(name) });
    this.acts = { pause: act("pause", "Pause"), resume: act("resume", "Resume"), cancel: act("cancel", "Cancel") };
    const link = (text) => h("a", { class: "cs-plain cs-grid-link", download: true, text });
    this.sheet = link("Sheet");
    this.csv = link("CSV");
    this.remove = h("button", { type: "button", class: "cs-plain", text: "Delete", title: "Its pictures stay in the history", onclick: () => this.drop() });
    this.size = h("input", { type: "range", min: 72, max: 420, step: 4, value: 180, "aria-label": "Size of a cell", oninput: () => this.fit() });
    this.score = h("select", { class: "cs-choice", "aria-label": "Score shown under each cell", onchange: () => this.draw() });
    this.parts = h("div", { class: "cs-grid-parts", role: "group", hidden: true });
    this.trouble = h("p", { class: "cs-error", role: "alert", hidden: true });
    this.table = h("table", { class: "cs-grid-table" });
    this.scroll = h("div", { class: "cs-grid-scroll", tabindex: "0", role: "region", "aria-label": "Cells" }, this.table);
    const back = h("button", { type: "button", class: "cs-plain", onclick: () => this.leave() }, icon("left"), h("span", { text: "All grids" }));
    this.element = h("div", { class: "cs-grid-view", hidden: true },
      h("div", { class: "cs-grid-bar" }, back, this.title, this.state, h("span", { class: "cs-grid-tools" }, ...Object.values(this.acts), this.sheet, this.csv, this.remove)),
      h("div", { class: "cs-grid-bar" }, this.parts, this.score, this.size), this.trouble, this.scroll);
    this.fit();
    const again = debounced(() => this.shown && this.load(), AGAIN_MS);
    studio.on("image", (image) => this.took(image));
    studio.on("job", (job) => this.shown && this.grid?.jobs.includes(job.id) && again());
  }

  get shown() {
    return !this.element.hidden && studio.tab === "experiments";
  }

  async open(id, grid = null) {
    Object.assign(this, { id, page: 0, grid: null });
    this.element.hidden = false;
    this.table.replaceChildren();
    if (grid) this.show(grid);
    else await this.load();
    this.title.focus();
  }

  leave() {
    this.element.hidden = true;
    this.grid = null;
    this.closed();
  }

  async load() {
    const id = this.id;
    const grid = await api.grid(id);
    if (id === this.id && !this.element.hidden) this.show(grid);
  }

  show(grid) {
    this.grid = grid;
    this.title.textContent = grid.title;
    const { drawn, missing, refused } = grid.counts;
    const rest = [missing ? `${plural(missing, "cell")} missing` : "", refused ? `${refused} cannot be drawn` : ""].filter(Boolean);
    const eta = grid.eta ? `, ${duration(grid.eta)} left` : "";
    this.state.textContent = [`${drawn} of ${grid.cells.length} drawn${grid.state === "paused" ? ", paused" : eta}`, ...rest].join(" · ");
    set(this.trouble, { text: grid.state === "stopped" && grid.error ? grid.error : "", hidden: !(grid.state === "stopped" && grid.error) });
    this.acts.pause.hidden = grid.state !== "running";
    this.acts.cancel.hidden = !["running", "paused"].includes(grid.state);
    this.acts.resume.hidden = !["paused", "stopped"].includes(grid.state);
    this.acts.resume.textContent = grid.state === "stopped" ? "Draw what is missing" : "Resume";
    set(this.sheet, { href: `/api/grids/${grid.id}/sheet.png`, hidden: !drawn });
    set(this.csv, { href: `/api/grids/${grid.id}/cells.csv` });
    this.showParts();
    this.showScores();
    this.draw();
  }

  showParts() {
    const axis = this.grid.axes[2];
    this.parts.hidden = !axis;
    if (!axis) return;
    set(this.parts, { "aria-label": axis.title });
    this.parts.replaceChildren(h("span", { class: "cs-quiet", text: axis.title }), ...axis.labels.map((text, at) => h("button", { type: "button", class: "cs-plain", text, "aria-pressed": String(at === this.page), onclick: () => {
      this.page = at;
      this.showParts();
      this.draw();
    } })));
  }

  showScores() {
    const titles = new Map(this.grid.cells.flatMap((cell) => cell.image?.scores ?? []).filter((one) => one.value !== null).map((one) => [one.dimension, one.title]));
    const chosen = this.score.value;
    this.score.hidden = !titles.size;
    this.score.replaceChildren(h("option", { value: "", text: "No score" }), ...[...titles].map(([value, text]) => h("option", { value, text })));
    this.score.value = titles.has(chosen) ? chosen : "";
  }

  fit() {
    this.element.style.setProperty("--cell", `${this.size.value}px`);
  }

  draw() {
    const focused = this.table.contains(document.activeElement) ? document.activeElement.dataset.cell : null;
    const [across, down] = this.grid.axes;
    const [columns, rows] = this.grid.shape;
    const offset = this.page * columns * rows;
    this.span = this.extent();
    this.cells = new Map();
    const head = h("tr", {}, down ? h("td", { class: "cs-grid-corner" }, h("span", { text: across.title }), h("span", { text: down.title })) : null, ...across.labels.map((text) => h("th", { scope: "col", text: down ? text : `${across.title} ${text}` })));
    const line = (row) => h("tr", {}, down ? h("th", { scope: "row", text: down.labels[row] }) : null, ...across.labels.map((_, column) => {
      const number = offset + row * columns + column;
      const td = h("td");
      this.cells.set(number, td);
      this.fill(number);
      return td;
    }));
    this.table.replaceChildren(h("thead", {}, head), h("tbody", {}, ...Array.from({ length: rows }, (_, row) => line(row))));
    if (focused !== null) this.table.querySelector(`[data-cell="${focused}"]`)?.focus({ preventScroll: true });
  }

  fill(number) {
    const cell = this.grid.cells[number];
    const td = this.cells.get(number);
    if (!td) return;
    const words = cell.place.map((at, axis) => `${this.grid.axes[axis].title} ${this.grid.axes[axis].labels[at]}`).join(", ");
    const image = cell.image;
    if (!image) {
      td.replaceChildren(h("div", { class: "cs-grid-empty", data: { state: cell.state }, title: cell.why || null }, h("span", { text: cell.why || SAID[cell.state] })));
      return;
    }
    const score = image.scores.find((one) => one.dimension === this.score.value && one.value !== null);
    const picture = h("img", { src: image.thumb, alt: words, loading: "lazy", width: image.width, height: image.height });
    const open = h("button", { type: "button", class: "cs-grid-cell", data: { cell: number, verdict: image.verdict ?? "" }, title: words, onclick: () => openLoupe(image, this.grid.cells.filter((one) => one.image).map((one) => one.image)), onkeydown: (event) => this.key(event, number) }, picture);
    td.replaceChildren(open);
    if (score) {
      const said = h("span", { class: "cs-grid-score", text: figure(score.value), data: { passed: score.passed === false ? "no" : "yes" } });
      const share = this.span ? (score.value - this.span[0]) / Math.max(1e-9, this.span[1] - this.span[0]) : 0;
      said.style.setProperty("--heat", `${Math.round(100 * (score.better === "lower" ? 1 - share : share))}%`);
      td.append(said);
    }
  }

  extent() {
    const values = this.grid.cells.flatMap((cell) => cell.image?.scores.filter((one) => one.dimension === this.score.value && one.value !== null).map((one) => one.value) ?? []);
    return values.length ? [Math.min(...values), Math.max(...values)] : null;
  }

  key(event, number) {
    const [columns] = this.grid.shape;
    const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns }[event.key];
    if (!step) return;
    event.preventDefault();
    this.table.querySelector(`[data-cell="${number + step}"]`)?.focus();
  }

  /** A picture was drawn or judged: its cell shows it at once. */
  took(image) {
    if (!this.grid || !this.shown) return;
    this.grid.cells.forEach((cell, number) => {
      if (cell.job !== image.job || cell.number !== image.number || image.state !== "drawn" || image.trashed !== null) return;
      Object.assign(cell, { image, state: "drawn" });
      this.fill(number);
    });
  }

  async act(name) {
    try {
      this.show(await api.gridDo(this.id, name));
      this.changed();
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      toast(error.message, { wrong: true });
    }
  }

  async drop() {
    await api.gridDo(this.id, "delete");
    toast("The grid is deleted; its pictures are in the history.");
    this.leave();
  }
}
