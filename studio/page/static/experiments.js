// The Experiments tab: two ways to make a picture compared over the same values and seeds; and grids over any fields.

import { Refused, api } from "./api.js";
import { h, plural, set } from "./dom.js";
import { Design } from "./experimentdesign.js";
import { Result } from "./experimentresult.js";
import { studio } from "./studio.js";
import { toast } from "./toast.js";

const PARTS = [["experiments", "A/B experiments"], ["grids", "Grids"]];
const STATES = { draft: "Draft", running: "Running", paused: "Paused", ended: "Ended" };
const NEWS_MS = 700;

export class CsExperiments extends HTMLElement {
  connectedCallback() {
    if (this.firstChild) return;
    this.chosen = null;
    this.list = h("ul", { class: "cs-x-list" });
    this.wrong = h("p", { class: "cs-error", role: "alert" });
    this.design = new Design({ saved: (experiment) => this.show(experiment), started: (experiment) => this.show(experiment) });
    this.result = new Result({ changed: (experiment) => this.show(experiment), removed: (id) => this.removed(id) });
    this.empty = h("div", { class: "cs-empty", hidden: true },
      h("h2", { text: "Which of the two is better?" }),
      h("p", { text: "Compare two versions of a template, two models, or two settings over the same values and the same seeds. What decides is chosen beforehand, and the studio stops as soon as it is sure." }),
      h("button", { type: "button", class: "cs-primary", text: "New experiment", onclick: () => this.begin() }));
    this.main = h("div", { class: "cs-x-main" }, this.empty, this.design.element, this.result.element);
    this.panels = {
      experiments: h("div", { class: "cs-x-desk" },
        h("nav", { class: "cs-x-side", "aria-label": "Experiments" }, h("button", { type: "button", class: "cs-plain", text: "New experiment", onclick: () => this.begin() }), this.list, this.wrong), this.main),
      grids: h("div", { hidden: true }, h("cs-grids")),
    };
    this.tabs = PARTS.map(([name, text]) => h("button", { type: "button", class: "cs-x-part", text, "aria-current": name === "experiments" ? "page" : null, onclick: () => this.part(name) }));
    this.append(h("nav", { class: "cs-x-parts", "aria-label": "Parts of the experiments" }, ...this.tabs), ...Object.values(this.panels));
    studio.on("tab", (tab) => tab === "experiments" && this.load());
    studio.on("found", () => this.shown && this.load());
    studio.on("experiment", (news) => this.news(news));
    if (this.shown) this.load();
  }

  get shown() {
    return studio.tab === "experiments";
  }

  part(name) {
    PARTS.forEach(([one], i) => {
      this.panels[one].hidden = one !== name;
      set(this.tabs[i], { "aria-current": one === name ? "page" : null });
    });
  }

  async load() {
    if (this.loading) return;
    this.loading = true;
    const turn = this.turn;
    try {
      this.facts = await api.experiments();
      this.wrong.textContent = "";
      this.design.learn(this.facts);
      this.fill();
      if (this.design.open || this.turn !== turn) return; // somebody has begun or chosen something meanwhile
      const ids = this.facts.experiments.map(({ id }) => id);
      const id = ids.includes(this.chosen) ? this.chosen : ids[0];
      if (id === undefined) this.show(null);
      else await this.open(id);
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      this.wrong.textContent = error.message;
    } finally {
      this.loading = false;
    }
  }

  fill() {
    this.list.replaceChildren(...this.facts.experiments.map((one) => this.entry(one)));
  }

  entry({ id, title, state, finding, counted, planned, text, mine, person }) {
    const where = state === "draft" ? "Draft" : state === "ended" ? text : `${STATES[state]} · ${counted} of ${plural(planned, "pair")}`;
    return h("li", {}, h("button", { type: "button", class: "cs-x-entry", data: { id, state, finding: finding ?? "" }, "aria-current": id === this.chosen ? "true" : null, onclick: () => this.choose(id) },
      h("b", { text: title }), h("small", { text: mine ? where : `${person} · ${where}` })));
  }

  choose(id) {
    if (this.design.open && this.design.edited && id !== this.chosen && !this.design.leave()) return;
    this.design.close();
    this.open(id);
  }

  async open(id) {
    const turn = (this.turn = {});
    this.chosen = id;
    this.mark();
    const experiment = await api.experiment(id);
    if (this.turn === turn) this.show(experiment);
  }

  mark() {
    for (const button of this.list.querySelectorAll("button")) set(button, { "aria-current": Number(button.dataset.id) === this.chosen ? "true" : null });
  }

  begin() {
    if (this.design.open && this.design.edited && !this.design.leave()) return;
    this.turn = {}; // what is on its way is not shown over it
    this.chosen = null;
    this.mark();
    this.empty.hidden = true;
    this.result.element.hidden = true;
    this.design.start(null);
  }

  /** An experiment as the server says it is; null: there is none. */
  show(experiment) {
    this.empty.hidden = Boolean(experiment);
    this.chosen = experiment?.id ?? null;
    const draft = experiment?.state === "draft" && experiment.mine;
    if (draft) this.design.start(experiment);
    else this.design.close();
    this.result.element.hidden = !experiment || draft;
    if (experiment && !draft) this.result.show(experiment);
    if (experiment) this.told(experiment);
    this.mark();
  }

  /** The list's line of an experiment, without asking for the others. */
  told(experiment) {
    const at = this.facts.experiments.findIndex(({ id }) => id === experiment.id);
    if (at < 0) this.facts.experiments.unshift(experiment);
    else this.facts.experiments[at] = experiment;
    this.fill();
  }

  removed(id) {
    this.chosen = null;
    toast("The experiment is off the list. Its pictures stay in the history.");
    this.offer = id;
    this.load();
  }

  /** Something has changed: asked for at most every so often, for pairs come quickly. */
  news({ id }) {
    if (!this.shown || this.soon) return;
    this.soon = setTimeout(async () => {
      this.soon = null;
      if (!this.facts || this.design.open) return;
      const here = this.result.experiment?.id;
      if (here === undefined || id !== here) await this.load();
      else await this.open(here);
    }, NEWS_MS);
  }
}
