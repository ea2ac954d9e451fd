// The Batch tab: batches by their progress on the left; a new one, or the one that was chosen, beside it.

import { Refused, api } from "./api.js";
import { NewBatch } from "./batchnew.js";
import { OneBatch } from "./batchone.js";
import { NewVariants } from "./batchvariants.js";
import { h, set } from "./dom.js";
import { studio } from "./studio.js";

export const STATES = { waiting: "waiting", open: "under way", done: "done", short: "fell short", failed: "failed", stopped: "stopped" };

/** Rows that have ended, in a share of all. */
export const share = ({ counts, rows }) => (rows ? (rows - counts.waiting - counts.open) / rows : 0);

export function progress(batch) {
  const bar = h("span", { class: "cs-b-bar", "aria-hidden": "true" });
  for (const state of ["done", "short", "failed", "stopped", "open"]) {
    if (!batch.counts[state]) continue;
    const part = h("span", { data: { state } });
    part.style.flexGrow = batch.counts[state];
    bar.append(part);
  }
  const rest = h("span", { data: { state: "waiting" } });
  rest.style.flexGrow = batch.counts.waiting || (batch.rows ? 0 : 1);
  bar.append(rest);
  return bar;
}

/** "running, 3 of 24 rows", "paused", "waits for 22:00" */
export function standing(batch) {
  const ended = batch.rows - batch.counts.waiting - batch.counts.open;
  const word = batch.state === "later" ? `waits for ${batch.off_peak.from}` : batch.state;
  const trouble = batch.counts.failed ? `, ${batch.counts.failed} failed` : "";
  return `${word}, ${ended} of ${batch.rows} ${batch.rows === 1 ? "row" : "rows"}${trouble}`;
}

export class CsBatch extends HTMLElement {
  connectedCallback() {
    if (this.firstChild) return;
    this.batches = [];
    this.stale = true;
    this.list = h("ul", { class: "cs-b-list" });
    this.none = h("p", { class: "cs-quiet cs-b-none", text: "No batch yet." });
    this.wrong = h("p", { class: "cs-error", role: "alert" });
    this.room = h("div", { class: "cs-b-room" });
    const begin = (text, open) => h("button", { type: "button", class: "cs-plain", text, onclick: open });
    this.append(h("div", { class: "cs-b-tab" },
      h("nav", { class: "cs-b-side", "aria-label": "Batches" },
        h("div", { class: "cs-b-begin" }, begin("From a catalogue", () => this.begin()), begin("Ad variants", () => this.vary())),
        this.list, this.none, this.wrong),
      this.room));
    studio.on("tab", () => this.opened());
    studio.on("found", () => ((this.stale = true), this.opened()));
    studio.on("batch", (batch) => this.heard(batch));
    this.opened();
  }

  opened() {
    if (studio.tab !== "batch" || !this.stale) return;
    this.stale = false;
    this.load();
  }

  async load() {
    try {
      this.batches = (await api.batches()).batches;
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      this.stale = true;
      this.wrong.textContent = error.message;
      return;
    }
    this.wrong.textContent = "";
    this.draw();
    if (this.shown) return; // what a person has begun stays, also when the list is asked for again
    if (this.batches.length) this.open(this.batches[0].id);
    else this.begin();
  }

  heard(batch) {
    if (studio.tab !== "batch") {
      this.stale = true;
      if (!this.chosen) return;
    }
    const place = this.batches.findIndex((one) => one.id === batch.id);
    if (batch.removed) this.batches = this.batches.filter((one) => one.id !== batch.id);
    else if (place < 0) this.batches.unshift(batch);
    else this.batches[place] = batch;
    this.draw();
    if (this.shown instanceof OneBatch && this.chosen === batch.id) this.shown.heard(batch);
  }

  draw() {
    this.none.hidden = this.batches.length > 0;
    const focused = document.activeElement?.closest?.(".cs-b-entry")?.dataset.id;
    this.list.replaceChildren(...this.batches.map((batch) => h("li", {},
      h("button", { type: "button", class: "cs-b-entry", data: { id: String(batch.id) }, "aria-current": batch.id === this.chosen ? "true" : null, onclick: () => this.open(batch.id) },
        h("b", { text: batch.title }), h("small", { text: standing(batch) }), progress(batch)))));
    if (focused) this.list.querySelector(`[data-id="${focused}"]`)?.focus();
  }

  show(part, id = null) {
    this.shown?.left?.();
    this.chosen = id;
    this.shown = part;
    this.room.replaceChildren(part.element);
    this.draw();
  }

  open(id) {
    this.show(new OneBatch(id, { vary: (plan, title) => this.vary(plan, title), again: (start) => this.begin(start), gone: () => this.gone() }), id);
  }

  gone() {
    this.chosen = this.shown = null;
    this.load();
  }

  /** again: an earlier batch's rows and setup to begin with. */
  begin(again = null) {
    this.show(new NewBatch({ started: (batch) => this.started(batch) }, again));
    if (again) this.room.querySelector("h2").focus();
  }

  vary(plan = null, title = undefined) {
    this.show(new NewVariants({ started: (batch) => this.started(batch) }, plan, title));
  }

  started(batch) {
    this.heard(batch);
    this.open(batch.id);
    this.room.querySelector("h2")?.focus();
  }
}

/** Runs `act`; what the door refuses is told at `wrong`. True when it went well. */
export async function tried(act, wrong) {
  set(wrong, { text: "" });
  try {
    await act();
    return true;
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    wrong.textContent = error.message;
    return false;
  }
}
