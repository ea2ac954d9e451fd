// Ad variants: a brief, what may differ, and the variations that would be drawn, each of which can still be changed.

import { Refused, api } from "./api.js";
import { tried } from "./batch.js";
import { debounced, h, icon, plural } from "./dom.js";
import { studio } from "./studio.js";
import { Where } from "./where.js";

const PRICE_MS = 350;

export class NewVariants {
  /** plan: variations around the winners of an earlier batch. */
  constructor({ started }, plan = null, title = plan ? "More around the winners" : "New ad variants") {
    this.started = started;
    this.plan = plan;
    this.where = new Where({ name: "b-where", changed: () => {}, price: debounced(() => this.price(), PRICE_MS), family: () => this.plan?.fields?.family ?? studio.family });
    this.where.choose(plan?.fields?.where);
    this.wrong = h("p", { class: "cs-error", role: "alert" });
    this.brief = h("textarea", { id: "cs-b-brief", rows: 2, maxlength: 1000, placeholder: "a red ceramic mug with a wooden lid" });
    this.brief.value = plan?.brief ?? "";
    this.count = h("input", { type: "number", id: "cs-b-count", min: 1, max: 40, value: plan?.variations.length ?? 12 });
    this.axes = h("div", { class: "cs-b-axes" });
    this.found = h("section", { hidden: true });
    this.element = h("div", { class: "cs-b-new" }, h("h2", { tabindex: "-1", text: title }),
      h("section", {}, h("label", { for: "cs-b-brief", text: "What is advertised" }), this.brief,
        h("p", { class: "cs-quiet", text: "One brief becomes a set of variations, spread so that every option is seen about equally often. An axis is left out when its options are empty." }), this.axes,
        h("div", { class: "cs-b-line" }, h("label", { for: "cs-b-count", text: "Variations" }), this.count, h("button", { type: "button", class: "cs-plain", text: plan ? "Spread anew" : "Propose variations", onclick: () => this.propose() })), this.wrong), this.found);
    tried(async () => {
      this.drawAxes(plan ? plan.axes : (await api.batches("/variants/axes")).axes);
      if (plan) this.show(plan);
    }, this.wrong);
  }

  drawAxes(axes) {
    this.boxes = axes.map((axis, place) => {
      const box = h("textarea", { id: `cs-b-axis-${place}`, rows: 6 });
      box.value = axis.options.join("\n");
      return { axis, box };
    });
    this.axes.replaceChildren(...this.boxes.map(({ axis, box }) => h("div", { class: "cs-b-field" }, h("label", { for: box.id, text: axis.name }), box)));
  }

  given() {
    return this.boxes.map(({ axis, box }) => ({ name: axis.name, target: axis.target, options: box.value.split("\n").map((line) => line.trim()).filter(Boolean) })).filter(({ options }) => options.length);
  }

  propose() {
    return tried(async () => this.show(await api.batches("/variants/plan", { brief: this.brief.value, axes: this.given(), count: Number(this.count.value) || null })), this.wrong);
  }

  show({ axes, variations, possible }) {
    this.names = axes;
    const wrong = h("p", { class: "cs-error", role: "alert" });
    this.lines = variations.map((one) => ({ ...one }));
    const body = h("tbody");
    const start = h("button", { type: "button", class: "cs-primary", onclick: () => this.start(wrong) });
    const draw = () => {
      start.textContent = `Draw ${plural(this.lines.length, "variation")}`;
      body.replaceChildren(...this.lines.map((line, place) => h("tr", {}, h("th", { scope: "row", text: String(place + 1) }),
        ...axes.map(({ name }) => h("td", {}, h("input", { type: "text", "aria-label": `${name} of variation ${place + 1}`, value: line[name] ?? "", maxlength: 200, oninput: (event) => (line[name] = event.target.value) }))),
        h("td", {}, h("button", { type: "button", class: "cs-tool", "aria-label": `Leave out variation ${place + 1}`, onclick: () => ((this.lines = this.lines.filter((one) => one !== line)), draw(), this.where.changed()) }, icon("close"))))));
    };
    draw();
    this.found.hidden = false;
    const place = h("div", { class: "cs-b-where", hidden: true }, h("span", { class: "cs-b-where-label", text: "Where" }), this.where.element);
    this.found.replaceChildren(h("h3", { text: "Variations" }), h("p", { class: "cs-quiet", text: `${variations.length} of ${possible} combinations. Change what you like before they are drawn.` }),
      h("div", { class: "cs-b-scroll", tabindex: "0", role: "region", "aria-label": "Variations" }, h("table", { class: "cs-b-plan" }, h("thead", {}, h("tr", {}, h("th", { scope: "col", text: "" }), ...axes.map(({ name }) => h("th", { scope: "col", text: name })), h("th", { scope: "col" }, h("span", { class: "cs-voice", text: "Leave out" })))), body)),
      place, h("div", { class: "cs-b-line" }, start), wrong);
    this.where.box = place;
  }

  start(wrong) {
    return tried(async () => this.started(await api.batches("/variants", this.asked())), wrong);
  }

  /** What they would cost at providers; what is wrong with them is said when they are started. */
  async price() {
    if (!this.element.isConnected || !this.lines?.length || this.where.value === "local") return;
    const turn = (this.turn = {});
    try {
      const { quote } = await api.batches("/variants/check", this.asked());
      if (this.turn === turn && quote) this.where.tell(quote);
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      if (this.turn === turn) this.where.say(error.message);
    }
  }

  asked() {
    const options = (name) => [...new Set([...(this.names.find((axis) => axis.name === name)?.options ?? []), ...this.lines.map((line) => (line[name] ?? "").trim())])].filter(Boolean);
    const axes = this.names.map(({ name, target }) => ({ name, target, options: options(name) }));
    const fields = { ...(this.plan?.fields ?? { family: studio.family }), where: this.where.value };
    return { brief: this.brief.value, axes, variations: this.lines, fields, ...(this.plan?.template ? { template: this.plan.template } : {}), ...(this.plan ? { parent: this.plan.parent ?? null, title: this.plan.title } : {}) };
  }
}
