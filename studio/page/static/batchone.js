// One batch: where it stands, its rows with what they gave, and what can be done about it.

import { api } from "./api.js";
import { STATES, progress, standing, tried } from "./batch.js";
import { debounced, duration, h, plural, set } from "./dom.js";
import { openLoupe } from "./loupe.js";

const QUIET_MS = 700;

export class OneBatch {
  constructor(id, { vary, again, gone }) {
    Object.assign(this, { id, vary, startAgain: again, gone, state: "" });
    this.title = h("h2", { tabindex: "-1" });
    this.words = h("p", { class: "cs-quiet", "aria-live": "polite" });
    this.bar = h("div");
    this.acts = h("div", { class: "cs-b-acts" });
    this.filters = h("div", { class: "cs-b-filters", role: "group", "aria-label": "Which rows" });
    this.list = h("ol", { class: "cs-b-rows" });
    this.more = h("button", { type: "button", class: "cs-plain", text: "More rows", hidden: true, onclick: () => this.rows(this.next) });
    this.wrong = h("p", { class: "cs-error", role: "alert" });
    this.results = h("section", { class: "cs-b-results", hidden: true });
    this.versions = h("details", { class: "cs-b-versions", hidden: true });
    this.element = h("div", { class: "cs-b-one" }, h("header", {}, this.title, this.words, this.bar, this.acts, this.wrong), this.results, this.filters, this.list, this.more, this.versions);
    this.again = debounced(() => this.rows(), QUIET_MS);
    this.load();
  }

  async load() {
    await tried(async () => {
      this.batch = await api.batches(`/${this.id}`);
      this.draw();
      await this.rows();
      if (this.batch.kind === "variants") await this.stand();
    }, this.wrong);
  }

  heard(batch) {
    this.batch = { ...this.batch, ...batch };
    this.draw();
    this.again();
  }

  draw() {
    const { batch } = this;
    this.title.textContent = batch.title;
    const left = batch.eta === null ? "" : `, ${duration(batch.eta)} left`;
    this.words.textContent = `${standing(batch)}, ${plural(batch.delivered, "picture")} delivered${left}. ${batch.setup?.fields.where === "cloud allowed" ? "Cloud allowed. " : ""}${batch.why}`;
    this.bar.replaceChildren(progress(batch));
    const act = (text, run, extra = {}) => h("button", { type: "button", class: "cs-plain", text, onclick: run, ...extra });
    const post = (path, data = {}) => () => tried(async () => this.heard(await api.batches(`/${this.id}/${path}`, data)), this.wrong);
    const { counts } = batch;
    const left_ = counts.waiting + counts.open;
    const again = ["failed", "short", "stopped"].filter((state) => counts[state]);
    const words = { failed: "failed", short: "fell short", stopped: "were stopped" };
    const focused = document.activeElement?.closest(".cs-b-acts") ? document.activeElement.textContent : null;
    this.acts.replaceChildren(...[
      left_ && (batch.state === "paused" ? act("Resume", post("resume"), { class: "cs-primary" }) : act("Pause", post("pause"))),
      left_ && act("Stop", post("stop")),
      ...again.map((state) => act(`Again: ${counts[state]} that ${words[state]}`, post("again", { states: [state] }))),
      batch.delivered > 0 && h("a", { class: "cs-plain", href: `/api/batches/${this.id}/files.zip`, download: "", text: "ZIP of what was kept" }),
      h("a", { class: "cs-plain", href: `/api/batches/${this.id}/results.csv`, download: "", text: "Table of scores" }),
      act("Use this setup again", () => this.reuse()),
      !left_ && act("Put away", async () => (await tried(() => api.batches(`/${this.id}/remove`, {}), this.wrong)) && this.gone()),
    ].filter(Boolean));
    if (focused) [...this.acts.children].find((one) => one.textContent === focused)?.focus();
    this.filters.replaceChildren(...[["", "All", batch.rows], ...Object.entries(STATES).map(([state, word]) => [state, word, counts[state]])].filter(([state, , count]) => count || !state).map(([state, word, count]) =>
      h("button", { type: "button", class: "cs-b-filter", "aria-pressed": String(this.state === state), text: `${word} ${count}`, onclick: () => ((this.state = state), this.draw(), this.rows()) })));
    this.drawVersions();
  }

  /** A new batch that begins with this one's rows and setup. */
  reuse() {
    return tried(async () => {
      const start = await api.batches(`/${this.id}/setup`, {});
      if (this.batch.kind === "variants") this.vary(start, `New ad variants, set up as ${this.batch.title}`);
      else this.startAgain(start);
    }, this.wrong);
  }

  drawVersions() {
    const { versions } = this.batch;
    if (!versions) return;
    this.versions.hidden = versions.length < 2;
    this.versions.replaceChildren(h("summary", { text: "Versions of the setup" }), h("ul", {}, ...versions.map((one) => h("li", {}, h("b", { text: `Version ${one.version}` }), h("span", { text: [one.person, one.note, ...one.changes].filter(Boolean).join(" · ") })))));
  }

  async rows(after = 0) {
    const turn = (this.turn = (this.turn ?? 0) + 1);
    await tried(async () => {
      const wanted = after ? 50 : Math.max(50, this.list.children.length);
      const found = await api.batches(`/${this.id}/rows?${new URLSearchParams({ state: this.state, after, limit: Math.min(200, wanted) })}`);
      if (turn !== this.turn) return;
      const items = found.rows.map((row) => this.row(row));
      if (after) this.list.append(...items);
      else this.list.replaceChildren(...items);
      this.next = found.next;
      this.more.hidden = found.next === null;
    }, this.wrong);
  }

  row(row) {
    const pictures = row.images.map((image) => h("button", { type: "button", class: "cs-b-shot", data: { verdict: image.verdict ?? "" }, "aria-label": `Picture ${image.id} of ${row.label}, ${image.verdict ?? "not judged"}`, onclick: () => openLoupe(image, row.images) }, h("img", { src: image.thumb, alt: "", loading: "lazy", decoding: "async" })));
    const cells = Object.entries(row.cells).map(([name, value]) => `${name}: ${value}`).join(" · ");
    const wrong = row.error ? h("p", { class: "cs-error", text: [row.error.what, row.error.why].filter(Boolean).join(" ") }) : null;
    const tool = ["failed", "short", "stopped"].includes(row.state) ? h("button", { type: "button", class: "cs-bare", text: "Again", "aria-label": `Row ${row.number} again`, onclick: () => tried(async () => this.heard(await api.batches(`/${this.id}/again`, { states: [row.state], row: row.number })), this.wrong) }) : null;
    const win = this.batch.kind === "variants" ? h("button", { type: "button", class: "cs-plain cs-b-win", "aria-pressed": String(row.winner === true), text: "Winner", "aria-label": `Variation ${row.number} is a winner`, onclick: () => this.mark(row) }) : null;
    const results = row.results ? h("small", { class: "cs-quiet", text: said(row.results) }) : null;
    return h("li", { class: "cs-b-row", data: { state: row.state } },
      h("span", { class: "cs-b-number", text: String(row.number) }),
      h("div", { class: "cs-b-text" }, h("b", { text: row.label }), h("small", { class: "cs-quiet", text: [row.template, cells].filter(Boolean).join(" · ") }), results, wrong),
      h("div", { class: "cs-b-shots" }, ...pictures),
      h("div", { class: "cs-b-state" }, h("span", { class: "cs-b-word", text: STATES[row.state] }), row.attempt > 1 ? h("small", { class: "cs-quiet", text: `try ${row.attempt}` }) : null, tool, win));
  }

  // Advertisements.

  async mark(row) {
    await tried(async () => this.stood(await api.batches(`/${this.id}/winner`, { row: row.number, winner: row.winner === true ? null : true })), this.wrong);
    await this.rows();
  }

  async stand() {
    this.stood(await api.batches(`/${this.id}/standing`));
  }

  stood(standing) {
    const file = h("input", { type: "file", id: `cs-b-results-${this.id}`, accept: ".csv,text/csv", class: "cs-voice", onchange: () => this.take(file.files[0]) });
    const more = h("button", { type: "button", class: "cs-primary", text: "More around the winners", disabled: !standing.winners.length, onclick: () => tried(async () => this.vary(await api.batches(`/${this.id}/more`, {})), this.wrong) });
    const known = standing.axes.some((axis) => axis.options.some((option) => option.shown));
    this.results.hidden = false;
    this.results.replaceChildren(
      h("div", { class: "cs-b-line" }, more, h("label", { class: "cs-plain", for: file.id, text: "Read a table of results" }), file,
        h("span", { class: "cs-quiet", text: standing.winners.length ? plural(standing.winners.length, "winner") : standing.by === "results" ? "None leads beyond chance yet; mark winners yourself if you like." : "Mark the variations that did best, or read what they brought." })),
      known ? h("div", { class: "cs-b-standing" }, ...standing.axes.map((axis) => table(axis, standing.by))) : "");
  }

  async take(file) {
    if (!file) return;
    const text = await file.text();
    if (await tried(async () => this.stood(await api.batches(`/${this.id}/results`, { csv: text })), this.wrong)) await this.rows();
  }
}

const percent = (value) => (value === null ? "–" : `${(100 * value).toFixed(value < 0.1 ? 1 : 0)} %`);

/** What each option of an axis brought, with its interval. */
function table(axis, by) {
  const lines = [...axis.options].sort((a, b) => (b.rate ?? -1) - (a.rate ?? -1));
  return h("table", {}, h("caption", { text: axis.axis }), h("thead", {}, h("tr", {}, ...["Option", by === "results" ? "Rate" : "Won", "95 % interval"].map((text) => h("th", { scope: "col", text })))),
    h("tbody", {}, ...lines.map((line) => h("tr", {}, h("th", { scope: "row", text: line.option || "none" }), h("td", { text: percent(line.rate), title: `${line.hits} of ${line.shown}` }), h("td", { class: "cs-quiet", text: line.rate === null ? "–" : `${percent(line.low)} to ${percent(line.high)}` })))));
}

/** "4.2 % of 12000" */
function said(results) {
  return results.shown === undefined ? `score ${results.score}` : `${results.shown ? percent(results.hits / results.shown) : "–"} of ${results.shown} shown`;
}
