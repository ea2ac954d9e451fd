// The queue, as a panel below the head: what is drawn and what waits, in order, and everything that may be changed about it.
//
// It is asked for while it is open and something was told, once a second at the most; steps are shown as they are told.

import { api, Refused } from "./api.js";
import { duration, h, icon, plural, set } from "./dom.js";
import { studio } from "./studio.js";

const GATHER_MS = 1000;
const PRIORITIES = [[1, "Before all others"], [0, "Normal"], [-1, "When nothing else waits"]];
const TONIGHT = 2; // o'clock

/** The panel; `button` opens and closes it and has the focus back afterwards. */
export class Queue {
  constructor(button) {
    this.button = button;
    this.rows = new Map(); // job id -> Row
    this.title = h("h2", { id: "cs-queue-title", text: "Queue" });
    this.sum = h("span", { class: "cs-quiet" });
    this.hold = h("button", { type: "button", class: "cs-plain", onclick: () => this.attempt(() => (this.paused ? api.resumeQueue() : api.pauseQueue())) });
    const close = h("button", { type: "button", class: "cs-tool", "aria-label": "Close the queue", title: "Close (Esc)", onclick: () => this.close() }, icon("close"));
    this.notice = h("p", { class: "cs-queue-notice", hidden: true });
    this.alert = h("p", { class: "cs-error", role: "alert", hidden: true });
    this.list = h("ol", { class: "cs-queue-list", "aria-labelledby": "cs-queue-title" });
    this.nothing = h("p", { class: "cs-quiet cs-queue-none", text: "Nothing is drawn and nothing waits.", hidden: true });
    this.hint = h("p", { class: "cs-quiet cs-queue-hint", hidden: true }, h("kbd", { text: "↑" }), " ", h("kbd", { text: "↓" }), " choose a job, ", h("kbd", { text: "Alt ↑" }), " ", h("kbd", { text: "Alt ↓" }), " move it, ", h("kbd", { text: "Alt Home" }), " to the front");
    this.voice = h("p", { class: "cs-voice", role: "status", "aria-live": "polite" });
    this.element = h("section", { class: "cs-queue", id: "cs-queue", role: "dialog", "aria-labelledby": "cs-queue-title", hidden: true, onkeydown: (event) => this.key(event) },
      h("header", {}, this.title, this.sum, this.hold, close), this.notice, this.alert, this.list, this.nothing, this.hint, this.voice);
    this.list.addEventListener("focusin", (event) => this.rove(event.target.closest("li")?.row));
    (document.querySelector(".gradio-container") ?? document.body).append(this.element);
    set(button, { "aria-haspopup": "dialog", "aria-controls": "cs-queue", "aria-expanded": "false" });
    button.addEventListener("click", () => (this.shown ? this.close() : this.open()));
    for (const name of ["job", "device", "found"]) studio.on(name, () => this.soon());
    studio.on("step", (step) => this.rows.get(step.job)?.step(step));
  }

  get shown() {
    return !this.element.hidden;
  }

  async open() {
    this.element.hidden = false;
    set(this.button, { "aria-expanded": "true" });
    await this.refresh();
    ([...this.rows.values()].find((row) => row.element.tabIndex === 0)?.element ?? this.element.querySelector("button:not([hidden])")).focus();
  }

  close() {
    this.element.hidden = true;
    set(this.button, { "aria-expanded": "false" });
    this.button.focus();
  }

  soon() {
    if (!this.shown || this.timer) return;
    this.timer = setTimeout(() => {
      this.timer = null;
      if (this.shown) this.refresh();
    }, GATHER_MS);
  }

  async refresh() {
    this.show(await api.queue());
  }

  show({ jobs, paused, why, yours_to_pause: may }) {
    this.paused = paused;
    this.hold.hidden = !may;
    this.hold.textContent = paused ? "Resume queue" : "Pause queue";
    set(this.notice, { hidden: !paused, text: paused ? `Nothing new is started. ${why}` : "" });
    const known = jobs.filter((job) => !job.paused && job.eta !== null);
    const last = known.length === jobs.length && jobs.length ? Math.max(...known.map((job) => job.eta)) : null;
    this.sum.textContent = [jobs.length ? plural(jobs.length, "job") : "", last ? `done in ${duration(last)}` : ""].filter(Boolean).join(", ");
    this.nothing.hidden = jobs.length > 0;
    this.hint.hidden = !jobs.some((job) => job.yours_to_change);
    this.fill(jobs);
  }

  /** Rows stay the same elements, so that neither the focus nor an open line is lost when something moves. */
  fill(jobs) {
    const at = document.activeElement?.closest?.(".cs-queue-list li")?.row;
    const index = at ? [...this.list.children].indexOf(at.element) : -1;
    const inner = at?.element.contains(document.activeElement) ? document.activeElement : null;
    for (const id of this.rows.keys()) {
      if (jobs.some((job) => job.id === id)) continue;
      this.rows.get(id).element.remove();
      this.rows.delete(id);
    }
    const order = jobs.map((job) => {
      if (!this.rows.has(job.id)) this.rows.set(job.id, new Row(job, this));
      const beside = jobs.filter((one) => one.person === job.person && one.mine === job.mine && one.priority === job.priority);
      return this.rows.get(job.id).show(job, { first: beside[0] === job, last: beside.at(-1) === job }).element;
    });
    if (order.some((element, i) => this.list.children[i] !== element)) this.list.append(...order);
    this.rove(at && this.rows.has(at.id) ? at : order.find((element) => element.tabIndex === 0)?.row ?? order[0]?.row);
    if (index < 0 || this.element.contains(document.activeElement)) return;
    // Moved elements lose the focus; that of a job that has gone goes to its neighbour.
    const target = inner?.isConnected && !inner.disabled && !inner.hidden ? inner : at.element.isConnected ? at.element : order[Math.min(index, order.length - 1)];
    (target ?? this.element.querySelector("header button:not([hidden])")).focus();
  }

  /** One job of the list is a stop of the Tab key, and after it its own buttons. */
  rove(row) {
    if (!row) return;
    for (const one of this.rows.values()) one.reach(one === row);
  }

  key(event) {
    if (event.key === "Escape") {
      event.preventDefault();
      this.close();
      return;
    }
    const row = event.target.closest("li")?.row;
    if (!row || event.ctrlKey || event.metaKey || event.shiftKey || event.target.matches("input, select")) return;
    if (event.altKey) {
      const to = { ArrowUp: "up", ArrowDown: "down", Home: "front" }[event.key];
      if (!to) return;
      event.preventDefault();
      if (row.job.yours_to_change) row.move(to);
      return;
    }
    const step = { ArrowUp: -1, ArrowDown: 1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const rows = [...this.list.children];
    rows[rows.indexOf(row.element) + step]?.focus();
  }

  tell(text) {
    this.voice.textContent = text;
  }

  /** Does something and shows the queue afterwards. What was refused is told in place. */
  async attempt(act, said = "") {
    this.alert.hidden = true;
    try {
      await act();
      await this.refresh();
      if (said) this.tell(said);
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      set(this.alert, { text: error.message, hidden: null });
      if (error.status === 409 || error.status === 404) await this.refresh(); // it ended meanwhile
    }
  }
}

class Row {
  constructor(job, queue) {
    this.id = job.id;
    this.queue = queue;
    this.place = h("span", { class: "cs-queue-place" });
    this.prompt = h("span", { class: "cs-queue-prompt" });
    this.how = h("span", { class: "cs-queue-how" });
    this.bar = h("span", { class: "cs-queue-bar", "aria-hidden": "true" });
    const tool = (name, label, act) => h("button", { type: "button", class: "cs-tool cs-queue-tool", "aria-label": `${label}: job ${job.id}`, title: label, onclick: act }, icon(name));
    this.front = tool("front", "To the front", () => this.move("front"));
    this.up = tool("up", "Up", () => this.move("up"));
    this.down = tool("down", "Down", () => this.move("down"));
    this.hold = tool("pause", "Pause", () => this.pause());
    this.when = tool("clock", "Start time and priority", () => this.more());
    this.stop = tool("close", "Cancel", () => this.queue.attempt(() => api.cancel(this.id), `Job ${this.id} cancelled`));
    this.tools = h("span", { class: "cs-queue-tools" }, this.front, this.up, this.down, this.hold, this.when, this.stop);
    this.line = this.details();
    this.element = h("li", { tabindex: "-1" }, this.place, h("span", { class: "cs-queue-text" }, this.prompt, this.how), this.tools, this.bar, this.line);
    this.element.row = this;
    set(this.when, { "aria-expanded": "false" });
  }

  /** The line that opens below: a start time and a priority. */
  details() {
    this.time = h("input", { type: "datetime-local", id: `cs-start-${this.id}` });
    this.priority = h("select", { id: `cs-priority-${this.id}`, onchange: () => this.queue.attempt(() => api.priority(this.id, Number(this.priority.value)), `Job ${this.id}: ${this.priority.selectedOptions[0].text}`) },
      PRIORITIES.map(([value, text]) => h("option", { value, text })));
    const button = (text, act) => h("button", { type: "button", class: "cs-plain", text, onclick: act });
    return h("div", { class: "cs-queue-line", hidden: true },
      h("span", {}, h("label", { for: this.time.id, text: "Start" }), this.time),
      button("Set", () => this.time.value && this.start(new Date(this.time.value))),
      button(`Tonight, ${clock(tonight())}`, () => this.start(tonight())),
      button("At once", () => this.start(null)),
      h("span", {}, h("label", { for: this.priority.id, text: "Priority" }), this.priority));
  }

  show(job, { first, last }) {
    this.job = job;
    this.element.dataset.state = job.paused ? "paused" : job.state;
    this.place.textContent = job.paused || job.position === null ? "–" : String(job.position);
    this.prompt.textContent = job.prompt ?? (job.person ? `A job of ${job.person}'s` : "Somebody else's job");
    this.prompt.title = job.prompt ?? "";
    this.element.toggleAttribute("data-others", job.prompt === null);
    this.tools.hidden = !job.yours_to_change;
    this.front.disabled = this.up.disabled = first;
    this.down.disabled = last;
    const word = job.paused ? "Resume" : "Pause";
    set(this.hold, { "aria-label": `${word}: job ${job.id}`, title: word });
    this.hold.replaceChildren(icon(job.paused ? "play" : "pause"));
    if (document.activeElement !== this.priority) this.priority.value = String(job.priority);
    if (document.activeElement !== this.time) this.time.value = local(job.not_before ? new Date(job.not_before) : tonight());
    this.say();
    return this;
  }

  say() {
    const { job } = this;
    const waits = job.not_before && new Date(job.not_before) > new Date();
    const parts = [`#${job.id}`, studio.facts(job.tier, job.family)?.title ?? job.tier];
    if (job.person && !job.mine && job.prompt !== null) parts.push(job.person);
    if (job.priority) parts.push(job.priority > 0 ? "before all others" : "when nothing else waits");
    if (job.paused) parts.push("paused");
    else if (waits) parts.push(`starts ${day(new Date(job.not_before))}`);
    else if (job.state === "running" && job.step) parts.push(`step ${job.step}/${job.steps}`);
    parts.push(job.done ? drawn(job) : `${job.draft} to draw`);
    if (!job.paused && !waits && job.eta !== null && job.eta !== undefined) parts.push(job.eta < 1 ? "nearly done" : `done in ${duration(job.eta)}`);
    this.how.textContent = parts.join(" · ");
    this.bar.style.setProperty("--done", share(job));
    this.element.setAttribute("aria-label", `${this.prompt.textContent}: ${parts.slice(1).join(", ")}`);
  }

  step({ step, steps, eta }) {
    Object.assign(this.job, { state: "running", step, steps, eta });
    this.say();
  }

  reach(chosen) {
    this.element.tabIndex = chosen ? 0 : -1;
    for (const inner of this.element.querySelectorAll("button, input, select")) inner.tabIndex = chosen ? 0 : -1;
  }

  move(to) {
    const words = { front: "moved to the front", up: "moved up", down: "moved down" };
    this.queue.attempt(() => api.move(this.id, to), `Job ${this.id} ${words[to]}`);
  }

  pause() {
    const { paused } = this.job;
    this.queue.attempt(() => (paused ? api.resume(this.id) : api.pause(this.id)), `Job ${this.id} ${paused ? "goes on" : "paused"}`);
  }

  more() {
    this.line.hidden = !this.line.hidden;
    set(this.when, { "aria-expanded": String(!this.line.hidden) });
    if (!this.line.hidden) this.time.focus();
  }

  start(time) {
    this.queue.attempt(() => api.startAt(this.id, time?.toISOString() ?? null), time ? `Job ${this.id} starts ${day(time)}` : `Job ${this.id} starts at once`);
    this.more();
    this.when.focus();
  }
}

/** The next time the clock shows TONIGHT. */
function tonight() {
  const time = new Date();
  time.setHours(TONIGHT, 0, 0, 0);
  if (time <= new Date()) time.setDate(time.getDate() + 1);
  return time;
}

const clock = (time) => time.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });

/** "at 02:00", "tomorrow at 02:00", "on 24 Nov at 02:00" */
function day(time) {
  const days = Math.round((new Date(time).setHours(0, 0, 0, 0) - new Date().setHours(0, 0, 0, 0)) / 86_400_000);
  if (days === 0) return `at ${clock(time)}`;
  return days === 1 ? `tomorrow at ${clock(time)}` : `on ${time.toLocaleDateString([], { day: "numeric", month: "short" })} at ${clock(time)}`;
}

/** As a datetime-local field wants it. */
const local = (time) => new Date(time.getTime() - time.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);

/** "3 of 8 drawn", "8 drafted, 1 finished", "round 2, 11 drawn". Of somebody else's job less is told. */
function drawn({ done, draft, ladder, round, funnel }) {
  const again = round ? `round ${round + 1}, ` : "";
  if (ladder && funnel) return `${again}${funnel.drafted} drafted${funnel.finished ? `, ${funnel.finished} finished` : ""}`;
  return `${again}${done > draft ? `${done} drawn` : `${done} of ${draft} drawn`}`;
}

/** How much of what is known to come is drawn, 0..1. */
function share({ done, draft, keep, ladder, step, steps }) {
  const all = ladder ? draft + keep : draft;
  return Math.min(1, ((done ?? 0) + (step && done < all ? step / steps : 0)) / all);
}
