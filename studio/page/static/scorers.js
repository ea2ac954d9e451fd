// What measures pictures: each scorer with its dimensions, what it needs, and the one thing to do next. A part of the Quality tab.

import { Refused, api } from "./api.js";
import { duration, h, icon, plural, set } from "./dom.js";
import { studio } from "./studio.js";
import { toast } from "./toast.js";

const BUSY = ["running", "waiting"];
const GROUPS = [[true, "Every picture", "Measured on every picture that is drawn."], [false, "Where a profile asks", "Measured where the profile of a request asks for one of their dimensions."]];

const size = (bytes) => (bytes >= 1e9 ? `${(bytes / 1e9).toFixed(1)} GB` : bytes >= 1e6 ? `${Math.round(bytes / 1e6)} MB` : `${Math.ceil(bytes / 1e3)} kB`);
const link = (url, text) => h("a", { href: url, target: "_blank", rel: "noopener noreferrer", text });

export class CsScorers extends HTMLElement {
  connectedCallback() {
    if (this.firstChild) return;
    this.rows = new Map();
    this.voice = h("p", { class: "cs-voice", role: "status" });
    this.head = h("p", { class: "cs-quiet" });
    this.lists = GROUPS.map(([, title, about]) => ({ title, about, list: h("ul", { class: "cs-sc-list" }) }));
    this.append(this.voice, this.head, ...this.lists.map(({ title, about, list }) => h("section", { "aria-label": title }, h("h3", { text: title }), h("p", { class: "cs-quiet", text: about }), list)));
    studio.on("tab", (tab) => tab === "quality" && this.load());
    studio.on("found", () => this.shown && this.load());
    studio.on("scorers", () => this.shown && this.load());
    studio.on("download", (told) => this.told(told));
    if (this.shown) this.load();
  }

  get shown() {
    return studio.tab === "quality";
  }

  async load() {
    const view = await api.scorers();
    this.head.replaceChildren(`What is downloaded lies at `, h("code", { text: view.disk.path }), `, where ${size(view.disk.free)} are free.`, ...(view.admin ? [] : [" An admin downloads and removes it."]));
    for (const scorer of view.scorers) {
      if (!this.rows.has(scorer.name)) {
        const row = new Row((text) => (this.voice.textContent = text));
        this.rows.set(scorer.name, row);
        this.lists[scorer.generic ? 0 : 1].list.append(row.element);
      }
      this.rows.get(scorer.name).show(scorer, view.admin);
    }
  }

  told(download) {
    const [kind, name] = download.card.split(":");
    const row = kind === "scorer" && this.rows.get(name);
    if (!row) return;
    row.told(download);
    if (BUSY.includes(download.state)) return;
    const words = download.state === "done" ? `What ${row.scorer.title} needs is here.` : `${row.scorer.title}: download ${download.state}.`;
    if (this.shown) toast(words, { wrong: download.state === "failed" });
    this.voice.textContent = words;
    if (this.shown) this.load();
  }
}

/** One scorer. `asked`: the question that is open below it: "", "opt-in" or "remove". */
class Row {
  constructor(speak) {
    Object.assign(this, { speak, asked: "", scorer: null, admin: false });
    this.element = h("li", { class: "cs-sc-row" });
  }

  show(scorer, admin) {
    Object.assign(this, { scorer, admin });
    const focused = this.element.contains(document.activeElement);
    set(this.element, { data: { state: scorer.state, name: scorer.name } });
    this.bar = scorer.weights && BUSY.includes(scorer.state) ? this.progress() : null;
    const text = h("div", { class: "cs-sc-text" }, h("h4", { text: scorer.title }), h("p", { class: "cs-quiet", text: scorer.about }), this.dimensions(), this.status());
    this.element.replaceChildren(text, this.acts(), ...[this.bar, this.question()].filter(Boolean));
    if (focused) this.element.querySelector("button")?.focus();
  }

  told(download) {
    this.scorer.download = download;
    if (download.state !== this.scorer.state) {
      if (download.state !== "done") this.show({ ...this.scorer, state: download.state }, this.admin);
      return;
    }
    this.line.textContent = arrived(download);
    if (this.bar) this.fill();
  }

  dimensions() {
    const { dimensions, milliseconds } = this.scorer;
    const cost = milliseconds < 1 ? "under 1 ms" : milliseconds < 1000 ? `${Math.round(milliseconds)} ms` : `${(milliseconds / 1000).toFixed(1)} s`;
    const chips = dimensions.map(({ title, about, unit }) => h("li", { class: "cs-sc-dimension", title: about }, title, unit ? h("small", { text: ` ${unit}` }) : null));
    return h("ul", { class: "cs-sc-dimensions", "aria-label": "Dimensions" }, ...chips, h("li", { class: "cs-quiet", text: `${milliseconds < 1 ? "" : "about "}${cost} a picture` }));
  }

  status() {
    const { state, weights, found, download } = this.scorer;
    this.line = h("span");
    const say = (mark, ...content) => {
      this.line.append(...content);
      return h("p", { class: "cs-sc-state", data: { mark } }, mark ? icon(mark) : null, this.line);
    };
    if (!weights) return say("pass", "Comes with the studio.");
    const licence = [link(weights.licence.url, weights.licence.name), ", ", link(weights.page, weights.repo)];
    if (BUSY.includes(state)) return say("", arrived(download));
    if (state === "failed") return say("fail", `${download.error.what} ${download.error.why} ${download.error.todo}`);
    if (state === "stopped") return say("", `Stopped at ${size(download.done)}${download.total ? ` of ${size(download.total)}` : ""}. What arrived is kept.`);
    if (found) return say("pass", `${found.words}, ${size(found.bytes)}, revision ${found.revision.slice(0, 8)}. `, ...licence);
    return say("none", `Not downloaded: ${weights.size}. `, ...licence);
  }

  acts() {
    const { state, weights, found, title, lacking } = this.scorer;
    const box = h("div", { class: "cs-sc-acts" });
    const add = (text, run, kind = "cs-plain") => box.append(h("button", { type: "button", class: kind, text, "aria-label": `${text}: ${title}`, onclick: run }));
    if (!weights) return box;
    if (found && lacking) add(`Measure ${plural(lacking, "picture")}`, () => this.measure());
    if (!this.admin) return box;
    if (state === "missing") add(`Download ${weights.size}`, () => (weights.opt_in ? this.ask("opt-in") : this.act("download")));
    else if (BUSY.includes(state)) add("Cancel", () => this.act("cancel"));
    else if (state === "stopped" || state === "failed") {
      add("Resume", () => this.act("download", weights.opt_in ? { opt_in: true } : {}), "cs-primary");
      add("Discard", () => this.act("discard"), "cs-bare");
    }
    if (found && !BUSY.includes(state)) add("Remove", () => this.ask("remove"), "cs-bare");
    return box;
  }

  question() {
    const { weights, found, title, name } = this.scorer;
    if (this.asked === "opt-in" && !found) {
      return this.panel([h("p", { text: weights.opt_in }), h("p", {}, "Read the ", link(weights.licence.url, weights.licence.name), " first. Your name and the day are kept.")],
        h("button", { type: "button", class: "cs-primary", text: `Download ${weights.size} all the same`, onclick: () => this.act("download", { opt_in: true }) }));
    }
    if (this.asked === "remove" && found) {
      const others = weights.shared.length ? ` ${weights.shared.join(" and ")} use${weights.shared.length === 1 ? "s" : ""} the same files.` : "";
      return this.panel([h("p", {}, `Delete ${size(found.bytes)} at `, h("code", { text: found.path }), `?${others} What was measured stays; new pictures are not scored.`)],
        h("button", { type: "button", class: "cs-primary", text: "Remove", "aria-label": `Remove the model of ${title}`, onclick: () => this.act("remove", { confirm: name }) }));
    }
    return null;
  }

  panel(text, button) {
    return h("div", { class: "cs-sc-question" }, ...text, h("div", { class: "cs-sc-question-acts" }, button, h("button", { type: "button", class: "cs-plain", text: "Not now", onclick: () => this.ask("") })));
  }

  ask(what) {
    this.asked = this.asked === what ? "" : what;
    this.show(this.scorer, this.admin);
    this.element.querySelector(".cs-sc-question button, .cs-sc-acts button")?.focus();
  }

  async act(name, data = {}) {
    this.asked = "";
    await this.attempt(async () => {
      const answer = await api.scorer(this.scorer.name, name, data);
      if (answer.freed !== undefined) toast(`${size(answer.freed)} freed.`);
      this.show({ lacking: 0, ...(answer.scorer ?? answer) }, this.admin);
    });
  }

  async measure() {
    await this.attempt(async () => {
      const { queued } = await api.scoreAgain({ scorer: this.scorer.name });
      toast(`${plural(queued, "picture")} will be measured when nothing else waits.`);
      this.show({ ...this.scorer, lacking: 0 }, this.admin);
    });
  }

  async attempt(run) {
    try {
      await run();
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      toast(error.message, { wrong: true });
      this.show(this.scorer, this.admin);
    }
  }

  progress() {
    this.bar = h("div", { class: "cs-sc-progress", role: "progressbar", "aria-label": `Download for ${this.scorer.title}`, "aria-valuemin": 0, "aria-valuemax": 100 }, h("span"));
    this.fill();
    return this.bar;
  }

  fill() {
    const { done, total } = this.scorer.download ?? {};
    const share = total ? Math.min(100, (100 * done) / total) : 0;
    this.bar.firstChild.style.width = `${share}%`;
    set(this.bar, { "aria-valuenow": Math.round(share) });
  }
}

/** "4 MB of 22 MB · 2 MB/s · 9 s left" */
function arrived({ state, done, total, rate, eta }) {
  if (state === "waiting") return "Waits for another download to end.";
  if (!total) return "Asking the hub ...";
  return [`${size(done)} of ${size(total)}`, rate ? `${size(rate)}/s` : "", eta !== null && rate ? `${duration(eta)} left` : ""].filter(Boolean).join(" · ");
}
