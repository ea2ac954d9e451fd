// Where a request may be drawn: on this machine, or also by a provider, with what that is expected to cost before anything is sent.

import { Refused, api } from "./api.js";
import { clouds } from "./clouds.js";
import { debounced, h, set } from "./dom.js";
import { dollars } from "./money.js";
import { studio } from "./studio.js";

const SETTLE_MS = 350;
const PLACES = [["local", "On this machine"], ["cloud allowed", "Cloud allowed"]];

export class Where {
  /**
   * asked(): the request as the form has it, may throw Refused; changed(): something is to be remembered. name: its own on the page.
   * price(): in place of asking for the price of asked(), has somebody `tell` it. family(): whose pictures are drawn.
   */
  constructor({ asked, changed, name = "where", price = null, family = () => studio.family }) {
    Object.assign(this, { asked, family });
    this.chosen = "local";
    this.radios = PLACES.map(([value]) => h("input", { type: "radio", name, id: `cs-${name}-${value.split(" ")[0]}`, value, onchange: () => {
      this.chosen = value;
      changed();
      this.show();
    } }));
    this.modes = h("div", { class: "cs-where", role: "radiogroup", "aria-label": "Where it may be drawn" }, ...this.radios.map((radio, i) => h("label", { class: "cs-seed-mode" }, radio, h("span", { text: PLACES[i][1] }))));
    this.said = h("p", { class: "cs-quiet cs-where-said", role: "status" });
    this.terms = h("p", { class: "cs-quiet cs-where-terms" });
    this.element = h("div", {}, this.modes, this.said, this.terms);
    this.ask = price ?? debounced(() => this.quote(), SETTLE_MS);
    studio.on("clouds", () => this.show());
    studio.on("choice", () => this.show());
  }

  /** What labels and errors point at. */
  get input() {
    return this.radios[1];
  }

  set box(box) {
    this.field = box;
    this.show();
  }

  /** Where the chosen family is not on this machine there is nothing to choose. */
  get only() {
    const family = this.family();
    return studio.about?.families.find((one) => one.name === family)?.usable === false && clouds.serves(family);
  }

  get value() {
    const { view } = clouds;
    if (!view?.enabled || view.stay) return "local";
    return this.only ? "cloud allowed" : this.chosen;
  }

  show() {
    const { view } = clouds;
    if (this.field) this.field.hidden = !view?.enabled;
    if (!view?.enabled) return;
    const [here, cloud] = this.radios;
    cloud.disabled = view.stay || !view.ready;
    here.disabled = this.only;
    for (const radio of this.radios) radio.checked = radio.value === this.value;
    if (this.value !== "local" && view.ready) this.ask();
    else this.say(view.stay ? "Settings say that yours stay here." : this.value !== "local" || !view.ready ? view.why : "");
  }

  /** To be called when anything of the request has changed. */
  changed() {
    if (this.field && !this.field.hidden && this.value !== "local") this.ask();
  }

  async quote() {
    if (this.value === "local") return;
    let request;
    try {
      request = { ...this.asked(), where: this.value };
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      this.say(""); // its own field says what is wrong
      return;
    }
    if (!request.prompt.trim() && !request.template) request.prompt = "…"; // a price needs no words
    const turn = (this.turn = {});
    try {
      const quote = await api.quote(request);
      if (this.turn === turn) this.tell(quote);
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      if (this.turn === turn) this.say(error.status === 0 ? "" : error.message);
    }
  }

  tell(quote) {
    set(this.terms, { text: quote.licence_words ?? "" });
    if (!quote.able) {
      this.say([quote.local_words, quote.why].filter(Boolean).join(" "));
      return;
    }
    const { expected_micro: expected, at_most_micro: most } = quote;
    const price = most > expected ? `${dollars(expected)} to ${dollars(most)}` : dollars(expected);
    const left = quote.left_micro === null ? "" : ` ${dollars(quote.left_micro)} may still be spent.`;
    this.said.replaceChildren(...[quote.local_words && `${quote.local_words} In the cloud: `, h("b", { text: price }), `, ${quote.words}.${left}`].filter(Boolean));
  }

  say(text) {
    set(this.said, { text });
    set(this.terms, { text: "" });
  }

  /** Its part of the request: what stays here is not said. */
  request() {
    return this.value === "local" ? {} : { where: this.value };
  }

  fill(request) {
    this.choose(request.where);
  }

  kept() {
    return this.chosen;
  }

  recall(kept) {
    this.choose(kept);
  }

  choose(place) {
    this.chosen = place === "cloud allowed" ? place : "local";
    this.show();
  }
}
