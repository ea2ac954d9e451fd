// One picture at a time, and a word on it. The next ones are fetched while this one is looked at; nothing tells what was measured before
// somebody asks. The server is the truth: verdicts reach it in the order they were given, and what it refuses is said and left.

import { Refused, api } from "./api.js";
import { h, icon, plural, set } from "./dom.js";
import { typing } from "./keys.js";
import { Measures } from "./measures.js";
import { studio } from "./studio.js";
import { toast } from "./toast.js";
import { Zoom } from "./zoom.js";

const AHEAD = 6; // pictures this window holds, the one on show included
const REFILL = 4;
const REMEMBERED = 10;
const LARGEST = 3; // times a picture's own pixels: larger would judge the browser's resampling
const WAIT_MS = 1500; // until an empty backlog is asked again after something was drawn
const KEYS = {
  p: "approve", a: "approve", x: "reject", r: "reject", u: "undo", Backspace: "undo", s: "scores", " ": "pass", ArrowRight: "pass",
  z: "zoom", "+": "closer", "=": "closer", "-": "farther",
};

/** This window's word: two windows are handed different pictures. */
function seat() {
  const kept = sessionStorage.getItem("contact-sheet.seat") ?? Array.from(crypto.getRandomValues(new Uint32Array(3)), (part) => part.toString(36)).join("");
  sessionStorage.setItem("contact-sheet.seat", kept);
  return kept;
}

export class Looking {
  /** learn(): the thresholds are asked for. active(): whether keys and news are for this place. within(element): whether it is part of it. */
  constructor({ learn, active, within }) {
    Object.assign(this, { learn, active, within });
    this.seat = seat();
    this.items = [];
    this.said = []; // the last ones, newest first: {id, thumb, approved}
    this.marked = new Set();
    this.gone = new Set(); // those that the server has not heard of yet that they are done with
    this.left = null;
    this.turn = Promise.resolve();
    this.zoom = new Zoom();
    this.count = h("p", { class: "cs-r-count", role: "status" });
    this.voice = h("p", { class: "cs-voice", "aria-live": "polite" });
    this.build();
    this.element = h("div", { class: "cs-r-looking" }, this.empty, this.desk, this.voice);
    document.addEventListener("keydown", (event) => this.key(event));
    for (const news of ["image", "job"]) studio.on(news, () => this.news());
  }

  build() {
    this.picture = h("img", { draggable: "false" });
    this.stage = h("div", { class: "cs-r-stage", tabindex: "0", role: "group", "aria-label": "The picture to judge" }, this.picture);
    this.prompt = h("h2", { class: "cs-r-prompt" });
    this.facts = h("p", { class: "cs-quiet" });
    this.wanted = h("div", { class: "cs-r-wanted" });
    this.reasons = h("ol", { class: "cs-r-reasons", "aria-label": "Reasons to reject it" });
    const button = (text, key, kind, run, spoken) => h("button", { type: "button", class: kind, onclick: run, "aria-keyshortcuts": spoken ?? key }, h("span", { text }), h("kbd", { text: key, "aria-hidden": "true" }));
    this.approve = button("Approve", "P", "cs-primary cs-r-word", () => this.say(true));
    this.reject = button("Reject", "X", "cs-plain cs-r-word", () => this.say(false));
    this.back = button("Undo", "U", "cs-plain", () => this.undo());
    this.ask = button("Show scores", "S", "cs-plain", () => this.scores());
    this.pass = button("Leave to others", "→", "cs-plain", () => this.passOn(), "ArrowRight");
    this.measures = new Measures({ leave: () => {} });
    this.strip = h("ol", { class: "cs-r-strip", "aria-label": "Judged last" });
    this.side = h("aside", { class: "cs-r-side", "aria-label": "What was asked for" },
      this.prompt, this.facts, this.wanted,
      h("div", { class: "cs-r-words" }, this.reject, this.approve),
      h("h3", { text: "Rejected for" }), this.reasons,
      h("div", { class: "cs-r-tools" }, this.back, this.pass, this.ask), this.measures.element);
    this.desk = h("div", { class: "cs-r-desk", hidden: true }, h("div", { class: "cs-r-table" }, this.stage, this.strip), this.side);
    this.empty = h("div", { class: "cs-empty", hidden: true },
      h("h2", { text: "Nothing waits for you" }),
      h("p", { text: "Pictures come here that the studio cannot decide about, those close to a threshold, and a few of the others at random." }),
      h("p", { class: "cs-quiet", text: "What you say of them decides, and teaches the thresholds." }),
      h("div", { class: "cs-r-tools" }, h("button", { type: "button", class: "cs-plain", text: "See the thresholds", onclick: () => this.learn() }), this.backAgain = h("button", { type: "button", class: "cs-plain", text: "Undo the last one", hidden: true, onclick: () => this.undo() })));
  }

  get item() {
    return this.items[0];
  }

  /** Fetches what is missing; what is on show stays. */
  load() {
    return this.next(() => this.fill());
  }

  async fill() {
    const found = await api.reviewNext(this.seat, AHEAD);
    const known = new Set([...this.items.map(({ id }) => id), ...this.gone]);
    const handed = new Set(found.items.map(({ id }) => id));
    const first = this.item;
    // What is not this window's any more (its time ran out, somebody decided) goes, but for the one that is being looked at.
    this.items = [...this.items.filter((item) => item === first || handed.has(item.id)), ...found.items.filter(({ id }) => !known.has(id))];
    Object.assign(this, { left: Math.max(0, found.left - this.gone.size), more: found.more, given: found.given + this.gone.size, others: found.others });
    if (this.item !== first || this.desk.hidden) this.show();
    this.tell();
  }

  show() {
    const { item } = this;
    const focused = document.activeElement;
    this.desk.hidden = !item;
    this.empty.hidden = Boolean(item);
    this.backAgain.hidden = !this.said.length;
    if (!item) {
      this.zoom.clear();
      if (focused && this.within(focused) && !focused.checkVisibility()) this.empty.querySelector("button").focus();
      return;
    }
    this.marked = new Set(item.said && !item.said.approved ? item.said.reasons : []);
    set(this.picture, { src: item.url, alt: `Picture ${item.id}: ${item.prompt}` });
    this.picture.style.setProperty("--most", `${Math.max(item.width, item.height) * LARGEST}px`);
    this.zoom.clear();
    this.zoom.add(this.stage, this.picture, item);
    this.prompt.textContent = item.prompt;
    this.facts.textContent = [item.card_title, `${item.width} × ${item.height}`, item.stage === "draft" ? "a draft" : null, `job ${item.job}, picture ${item.number}`, item.person === studio.about?.person ? null : `by ${item.person}`].filter(Boolean).join(" · ");
    this.wants(item);
    this.choices(item);
    this.measures.element.hidden = true;
    set(this.ask, { disabled: false });
    this.laid();
    for (const { url } of this.items.slice(1, 4)) new Image().src = url;
    if (focused && this.within(focused) && !focused.checkVisibility()) this.stage.focus({ preventScroll: true });
  }

  /** What it must show, besides the prompt. */
  wants({ texts, palette, likeness }) {
    this.wanted.replaceChildren(
      ...(texts.length ? [h("p", {}, h("span", { class: "cs-quiet", text: "Must say " }), ...texts.map((text) => h("q", { text })))] : []),
      ...(palette.length ? [h("p", { class: "cs-r-palette" }, h("span", { class: "cs-quiet", text: "Colours " }), ...palette.map((colour) => swatch(colour)))] : []),
      ...(likeness ? [h("figure", {}, h("img", { src: likeness, alt: "The picture it should be like" }), h("figcaption", { class: "cs-quiet", text: "Should be like this" }))] : []),
    );
  }

  choices({ reasons }) {
    this.reasons.replaceChildren(...reasons.map(({ dimension, title }, i) => h("li", {},
      h("button", { type: "button", class: "cs-r-reason", data: { dimension }, "aria-pressed": String(this.marked.has(dimension)), "aria-keyshortcuts": i < 9 ? String(i + 1) : null, onclick: () => this.mark(dimension) },
        h("kbd", { text: i < 9 ? String(i + 1) : "", "aria-hidden": "true" }), h("span", { text: title })))));
  }

  mark(dimension) {
    if (!this.marked.delete(dimension)) this.marked.add(dimension);
    for (const button of this.reasons.querySelectorAll("button")) set(button, { "aria-pressed": String(this.marked.has(button.dataset.dimension)) });
  }

  /** A word on the picture on show; the next one comes at once. */
  say(approved) {
    const { item } = this;
    if (!item) return;
    const reasons = approved ? [] : item.reasons.map(({ dimension }) => dimension).filter((dimension) => this.marked.has(dimension));
    this.items.shift();
    this.gone.add(item.id);
    this.said = [{ ...item, approved }, ...this.said].slice(0, REMEMBERED);
    if (this.left !== null) this.left = Math.max(0, this.left - 1);
    this.given += 1;
    this.voice.textContent = `${approved ? "Approved" : "Rejected"}.${this.items.length ? ` Next: ${this.items[0].prompt}` : ""}`;
    this.show();
    this.tell();
    this.next(async () => {
      try {
        await api.reviewSay(item.id, this.seat, approved, reasons);
      } catch (error) {
        if (!(error instanceof Refused)) throw error;
        this.said = this.said.filter(({ id }) => id !== item.id);
        this.laid();
        toast(error.message, { wrong: true });
      } finally {
        this.gone.delete(item.id);
      }
      if (this.items.length < REFILL) await this.fill();
    });
  }

  undo() {
    this.next(async () => {
      try {
        const item = await api.reviewUndo(this.seat);
        this.items = [item, ...this.items.filter(({ id }) => id !== item.id)];
        this.said = this.said.filter(({ id }) => id !== item.id);
        this.left += 1;
        this.given = Math.max(0, this.given - 1);
        this.voice.textContent = `Taken back. ${item.prompt}`;
        this.show();
        this.tell();
      } catch (error) {
        if (!(error instanceof Refused)) throw error;
        toast(error.message, { wrong: error.status !== 409 });
      }
    });
  }

  passOn() {
    const { item } = this;
    if (!item) return;
    this.items.shift();
    this.gone.add(item.id);
    this.show();
    this.next(async () => {
      await api.reviewPass(item.id, this.seat).finally(() => this.gone.delete(item.id));
      await this.fill();
    });
  }

  /** From now on the word on this picture is not a blind one, and the server writes it down so. */
  scores() {
    const { item } = this;
    if (!item || this.ask.disabled) return;
    const focused = document.activeElement === this.ask;
    set(this.ask, { disabled: true });
    this.next(async () => {
      const shown = await api.reviewShow(item.id, this.seat);
      if (this.item !== item) return;
      this.measures.show(shown);
      this.measures.element.hidden = false;
      if (focused) this.stage.focus({ preventScroll: true });
      this.voice.textContent = `${VERDICTS[shown.verdict] ?? "No verdict yet"}. ${shown.reasons.join(", ")}`;
    });
  }

  /** What was judged last, for the eye that wonders. */
  laid() {
    this.strip.replaceChildren(...this.said.map(({ thumb, approved, prompt }) => h("li", { data: { said: approved ? "approved" : "rejected" } },
      h("img", { src: thumb, alt: prompt, title: prompt }), icon(approved ? "pass" : "fail"), h("span", { class: "cs-voice", text: approved ? "approved" : "rejected" }))));
    set(this.back, { disabled: !this.said.length && !this.given });
  }

  tell() {
    const waiting = this.left === null ? "" : `${this.left}${this.more ? "+" : ""} waiting`;
    const parts = [waiting, this.given ? `${this.given} judged` : "", this.others ? `${plural(this.others, "other reviewer")} at it` : ""];
    this.count.textContent = parts.filter(Boolean).join(" · ");
  }

  /** Something was drawn or decided: an empty desk looks again, in a while. */
  news() {
    if (!this.active() || this.item || this.soon) return;
    this.soon = setTimeout(() => {
      this.soon = null;
      if (this.active()) this.load();
    }, WAIT_MS);
  }

  key(event) {
    if (!this.active() || event.defaultPrevented || event.repeat || event.isComposing || document.querySelector("dialog[open]") || typing(event.target)) return;
    // Keys are this tab's while nothing else on the page has the focus.
    if (event.target !== document.body && !this.within(event.target) && !event.target.closest("#cs-tabs [role=tab]")) return;
    const name = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    if (event.ctrlKey || event.metaKey || event.altKey) {
      if (name !== "z" || event.altKey || event.shiftKey) return;
      event.preventDefault();
      this.undo();
      return;
    }
    if (name === " " && event.target.closest("button, summary")) return; // the button's own
    if (name === "ArrowRight" && event.target.closest("[role=tab]")) return; // Gradio's
    const digit = /^Digit([1-9])$/.exec(event.code)?.[1] ?? (/^[1-9]$/.test(name) ? name : null);
    if (digit !== null) {
      const reason = this.item?.reasons[Number(digit) - 1];
      if (!reason) return;
      event.preventDefault();
      this.mark(reason.dimension);
      return;
    }
    const act = KEYS[name];
    if (!act) return;
    event.preventDefault();
    this.acts[act]();
  }

  acts = {
    approve: () => this.say(true), reject: () => this.say(false), undo: () => this.undo(), scores: () => this.scores(), pass: () => this.passOn(),
    zoom: () => this.zoom.toggle(), closer: () => this.zoom.closer(), farther: () => this.zoom.farther(),
  };

  /** One after the other, so that quick keys arrive in the order they were pressed. */
  next(run) {
    const turn = this.turn.then(run);
    // A failure is shown by the page's own handler, and does not stop what comes after it.
    this.turn = turn.then(() => {}, () => {});
    return turn;
  }
}

const VERDICTS = { kept: "The studio would keep it", spare: "It passes", rejected: "The studio rejects it", review: "The studio cannot decide" };

function swatch(colour) {
  const chip = h("span", { class: "cs-r-swatch", role: "img", "aria-label": colour, title: colour });
  chip.style.background = colour;
  return chip;
}
