// The Models tab: a quiet list by family, each model with what it needs, where it lies, and the one thing to do next.

import { api } from "./api.js";
import { duration, h, icon, set } from "./dom.js";
import { ModelTools } from "./modeltools.js";
import { studio } from "./studio.js";
import { toast } from "./toast.js";

export const size = (bytes) => (bytes >= 1e9 ? `${(bytes / 1e9).toFixed(bytes < 1e10 ? 1 : 0)} GB` : bytes >= 1e6 ? `${Math.round(bytes / 1e6)} MB` : `${Math.ceil(bytes / 1e3)} kB`);

const MARKS = { fits: "pass", offload: "pass", slow: "warn", no: "fail" };
const PARTS = { transformer: "transformer", text_encoder: "text encoder", text_encoder_2: "text encoder" };

export class CsModels extends HTMLElement {
  connectedCallback() {
    if (this.firstChild) return;
    this.rows = new Map();
    this.voice = h("p", { class: "cs-voice", role: "status" });
    this.head = h("div", { class: "cs-models-head" });
    this.tools = new ModelTools(() => this.load());
    this.groups = h("div", { class: "cs-groups" });
    this.append(this.voice, this.head, this.tools.element, this.groups);
    studio.on("tab", (tab) => tab === "models" && this.load());
    studio.on("found", () => this.shown && this.load());
    studio.on("models", () => this.shown && this.load());
    studio.on("download", (told) => this.told(told));
    if (this.shown) this.load();
  }

  get shown() {
    return studio.tab === "models";
  }

  async load() {
    const view = await api.models();
    this.head.replaceChildren(
      ...[h("p", {}, h("b", { text: view.machine }), ` · ${size(view.disk.free)} free at `, h("code", { text: view.disk.path })),
      view.chosen && h("p", { class: "cs-quiet", text: view.chosen }),
      !view.admin && h("p", { class: "cs-quiet", text: "An admin downloads and removes models and accepts their licences." })].filter(Boolean),
    );
    this.tools.show(view);
    for (const group of view.groups) this.group(group, view);
  }

  group(group, view) {
    const id = `cs-group-${group.name || "more"}`;
    let section = this.groups.querySelector(`#${id}`);
    if (!section) {
      section = h("section", { id, "aria-labelledby": `${id}-title` }, h("h2", { id: `${id}-title`, text: group.title }), h("p", { class: "cs-quiet", text: group.about }), h("ul", { class: "cs-cards" }));
      this.groups.append(section);
    }
    for (const card of group.cards) {
      const key = `${group.name}/${card.name}`;
      if (!this.rows.has(key)) {
        const row = new Row(group.name, (changed) => this.changed(changed), () => this.tools.open("token"));
        this.rows.set(key, row);
        section.querySelector("ul").append(row.element);
      }
      this.rows.get(key).show(card, view.admin, view.token);
    }
  }

  /** A card as an answer of the studio's has it. It may stand in two families. */
  changed(card) {
    for (const row of this.rows.values()) if (row.card.name === card.name) row.show({ ...card, tiers: row.card.tiers }, row.admin);
    studio.refresh();
  }

  told(download) {
    if (download.card.includes(":")) return; // a scorer's
    for (const row of this.rows.values()) if (row.card?.name === download.card) row.told(download);
    if (download.state === "running" || download.state === "waiting") return;
    const title = [...this.rows.values()].find((row) => row.card?.name === download.card)?.card.title ?? download.card;
    if (download.state === "done") toast(`${title} is here.`);
    this.voice.textContent = `${title}: download ${download.state}.`;
    if (this.shown) this.load();
    if (download.state === "done") studio.refresh();
  }
}

/** One model. `asked`: the question that is open below it: "", "licence" or "remove". */
class Row {
  constructor(family, changed, giveToken) {
    Object.assign(this, { family, changed, giveToken, asked: "", card: null, admin: false });
    this.element = h("li", { class: "cs-card" });
  }

  show(card, admin, token = this.token) {
    Object.assign(this, { card, admin, token });
    const focused = this.element.contains(document.activeElement);
    this.element.dataset.state = card.state;
    this.bar = card.state === "running" || (card.download?.done && ["waiting", "stopped", "failed"].includes(card.state)) ? this.progress() : null;
    const lines = h("div", { class: "cs-card-text" }, this.title(), h("p", { class: "cs-quiet", text: card.about }), this.facts(), this.status());
    this.element.replaceChildren(lines, this.acts(), ...[this.bar, this.question()].filter(Boolean));
    if (focused) this.element.querySelector(".cs-card-acts button, .cs-confirm button")?.focus();
  }

  /** Progress moves without anything being built anew. */
  told(download) {
    this.card.download = download;
    if (download.state !== this.card.state || (download.done && !this.bar)) {
      if (download.state !== "done") this.show({ ...this.card, state: this.card.state === "licence" ? "licence" : download.state }, this.admin);
      return;
    }
    this.line.textContent = arrived(download);
    if (this.bar) this.fill();
  }

  title() {
    const tiers = (this.card.tiers ?? []).map((tier) => h("span", { class: "cs-in-tier", text: tier }));
    return h("h3", {}, this.card.title, ...tiers);
  }

  facts() {
    const { needs, licence, parameters, page } = this.card;
    const accepted = licence.accepted ? ` (accepted by ${licence.accepted.person}, ${day(licence.accepted.when)})` : "";
    return h(
      "ul",
      { class: "cs-facts-list" },
      h("li", { data: { mark: MARKS[needs.state] } }, icon(MARKS[needs.state]), needs.words),
      h("li", {}, `${parameters} B parameters, ${needs.memory} GB of memory`),
      h("li", {}, link(licence.url, licence.name), accepted),
      page ? h("li", {}, link(page, "Its page")) : null,
    );
  }

  status() {
    const { state, found, download } = this.card;
    this.line = h("span", { class: "cs-line" });
    const say = (mark, ...content) => {
      this.line.append(...content);
      return h("p", { class: "cs-state", data: { mark } }, mark ? icon(mark) : null, this.line);
    };
    if (state === "running" || state === "waiting") return say("", arrived(download));
    if (download?.error && ["failed", "stopped"].includes(state)) return say(state === "failed" ? "fail" : "", ...failure(download));
    if (state === "stopped") return say("", arrived(download));
    if (found) return say("pass", ...place(found));
    const near = nearby(this.card);
    return near.length ? say("", ...near) : say("", `Not on this machine: ${size(this.card.bytes)} to download.`);
  }

  acts() {
    const { state, found, name, title, bytes } = this.card;
    const usable = state === "ready" && this.card.tiers?.length;
    const box = h("div", { class: "cs-card-acts" });
    const add = (text, run, spoken, kind = "cs-plain") => box.append(h("button", { type: "button", class: kind, text, "aria-label": `${spoken ?? text} ${title}`, onclick: run }));
    if (usable) add("Use", () => this.use());
    if (!this.admin) return box;
    if (state === "licence") add("Accept licence", () => this.ask("licence"), "Accept the licence of");
    else if (state === "missing") add(`Download ${size(bytes)}`, () => this.act("download"), `Download ${size(bytes)},`);
    else if (state === "running" || state === "waiting") add("Cancel", () => this.act("cancel"), "Cancel the download of");
    else if (state === "stopped" || state === "failed") {
      if (wantsToken(this.card.download) && !this.token) add("Give a token", () => this.giveToken(), "Give a token for", "cs-primary");
      else add("Resume", () => this.act("download"), "Resume the download of", "cs-primary");
      add("Discard", () => this.act("discard"), "Discard what arrived of", "cs-bare");
    }
    if (found?.removable && state !== "running") add("Remove", () => this.ask("remove"), "Remove", "cs-bare");
    box.dataset.name = name;
    return box;
  }

  question() {
    const { licence, title, found, name } = this.card;
    if (this.asked === "licence" && this.card.state === "licence") {
      return this.panel(
        h("p", {}, "Read the ", link(licence.url, licence.name), `. Accepting it holds for everybody at this studio; your name and the day are kept, and every picture of ${title} names it.`),
        h("button", { type: "button", class: "cs-primary", text: "I have read and accept it", onclick: () => this.act("accept") }),
      );
    }
    if (this.asked === "remove" && found) {
      return this.panel(
        h("p", {}, `Delete ${size(found.bytes)} at `, h("code", { text: found.path }), "? Pictures stay; the model can be downloaded again."),
        h("button", { type: "button", class: "cs-primary", text: `Remove ${title}`, onclick: () => this.act("remove", { confirm: name }) }),
      );
    }
    return null;
  }

  panel(text, button) {
    return h("div", { class: "cs-confirm" }, text, h("div", { class: "cs-confirm-acts" }, button, h("button", { type: "button", class: "cs-plain", text: "Not now", onclick: () => this.ask("") })));
  }

  ask(what) {
    this.asked = this.asked === what ? "" : what;
    this.show(this.card, this.admin);
    (this.element.querySelector(".cs-confirm button") ?? this.element.querySelector(".cs-card-acts button"))?.focus();
  }

  async act(name, data = {}) {
    this.asked = "";
    try {
      const answer = await api.model(this.card.name, name, data);
      if (answer.freed !== undefined) toast(`${size(answer.freed)} freed.`);
      this.changed(answer.card ?? answer);
    } catch (error) {
      if (error.status === undefined) throw error;
      toast(error.message, { wrong: true });
      this.show(this.card, this.admin);
    }
  }

  use() {
    studio.choose({ family: this.family });
    studio.show(this.card.tiers[0]);
  }

  progress() {
    this.bar = h("div", { class: "cs-progress", role: "progressbar", "aria-label": `Download of ${this.card.title}`, "aria-valuemin": 0, "aria-valuemax": 100 }, h("span"));
    this.fill();
    return this.bar;
  }

  fill() {
    const { done, total } = this.card.download;
    const share = total ? Math.min(100, (100 * done) / total) : 0;
    this.bar.firstChild.style.width = `${share}%`;
    set(this.bar, { "aria-valuenow": Math.round(share) });
  }
}

/** "4.1 GB of 15.8 GB · 38 MB/s · 5 min left" */
function arrived({ state, done, total, rate, eta }) {
  if (state === "waiting") return "Waits for another download to end.";
  if (!total) return "Asking the hub ...";
  const much = `${size(done)} of ${size(total)}`;
  if (state === "stopped") return `Stopped at ${much}. What arrived is kept.`;
  return [much, rate ? `${size(rate)}/s` : "", eta !== null && rate ? `${duration(eta)} left` : ""].filter(Boolean).join(" · ");
}

function failure({ error, done, total }) {
  const come = total && done ? ` ${size(done)} of ${size(total)} arrived.` : "";
  const address = error.todo.match(/https?:\/\/\S+?(?=[,.]?(?:\s|$))/)?.[0];
  const [before, after] = address ? error.todo.split(address) : [error.todo, ""];
  return [h("b", { text: error.what }), ` ${error.why}${come} `, before, address ? link(address, address) : "", after];
}

function place(found) {
  const files = found.files.map((one) => h("span", {}, `, its ${PARTS[one.part]} from `, h("code", { text: one.path })));
  const revision = found.revision ? `, revision ${found.revision.slice(0, 8)}` : "";
  return [`${found.words}, ${size(found.bytes)}${revision}`, ...files];
}

const wantsToken = (download) => ["gated", "token"].includes(download?.error?.kind);

/** What lies in another studio's folder: usable parts, or why a file is not. */
function nearby(card) {
  const good = card.nearby.filter((one) => !one.problem);
  if (good.length) {
    const names = good.map((one) => [h("code", { text: one.path }), " "]).flat();
    return [`Its ${[...new Set(good.map((one) => PARTS[one.part]))].join(" and ")} is here: `, ...names, `${size(card.bytes)} are still to come.`];
  }
  return card.nearby.slice(0, 2).map((one) => h("span", {}, h("code", { text: one.path }), ` cannot be used. ${one.problem} `));
}

const link = (url, text) => h("a", { href: url, target: "_blank", rel: "noopener noreferrer", text });
const day = (when) => new Date(when).toLocaleDateString("en-GB", { day: "numeric", month: "long", year: "numeric" });
