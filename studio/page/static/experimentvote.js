// Blind votes by key: two pictures of one pair, left and right. Which is which only the server knows.

import { Refused, api } from "./api.js";
import { Dialog } from "./dialog.js";
import { h, plural, set } from "./dom.js";
import { words } from "./experimentpairs.js";
import { toast } from "./toast.js";

export class Vote extends Dialog {
  constructor() {
    const title = h("h2", { text: "Which is better?" });
    const asked = h("p", { class: "cs-v-asked" });
    const count = h("p", { class: "cs-quiet", role: "status" });
    const side = (name, key) => h("button", { type: "button", class: "cs-v-side", "aria-keyshortcuts": key, onclick: () => this.say(name) }, h("img", { alt: "" }), h("span", { class: "cs-v-word" }, h("kbd", { text: key === "ArrowLeft" ? "←" : "→", "aria-hidden": "true" }), h("span", { text: name === "left" ? "Left is better" : "Right is better" })));
    const button = (text, key, run, spoken) => h("button", { type: "button", class: "cs-plain", onclick: run, "aria-keyshortcuts": spoken ?? key }, h("span", { text }), h("kbd", { text: key, "aria-hidden": "true" }));
    const sides = { left: side("left", "ArrowLeft"), right: side("right", "ArrowRight") };
    const tools = h("div", { class: "cs-v-tools" },
      button("No difference", "↓", () => this.say("tie"), "ArrowDown"), button("Nothing to say", "Space", () => this.say("pass")), button("Undo", "U", () => this.undo()), button("Close", "Esc", () => this.close(), "Escape"));
    const stage = h("div", { class: "cs-v-stage" }, sides.left, sides.right);
    const empty = h("div", { class: "cs-empty", hidden: true }, h("h2", { text: "Nothing waits for you" }), h("p", { text: "Pairs come here as they are drawn. Leave this open, or come back later." }));
    super("vote", { "aria-label": "Blind vote" }, h("header", { class: "cs-v-head" }, h("div", {}, title, asked), count), stage, empty, tools);
    Object.assign(this, { asked, count, sides, stage, empty, tools, turn: Promise.resolve() });
    this.element.addEventListener("keydown", (event) => this.key(event), { capture: true });
  }

  async open(experiment) {
    this.experiment = experiment;
    this.show();
    await this.next(async () => this.lay(await api.votes(experiment.id)));
  }

  lay(found) {
    this.found = found;
    const [pair] = found.pairs;
    this.pair = pair ?? null;
    this.stage.hidden = !pair;
    this.empty.hidden = Boolean(pair);
    this.empty.querySelector("p").textContent = found.closed ? "The experiment has its answer." : "Pairs come here as they are drawn. Leave this open, or come back later.";
    for (const button of [...this.tools.querySelectorAll("button")].slice(0, 2)) set(button, { disabled: !pair });
    this.count.textContent = [plural(found.left, "pair") + " left", found.given ? `${found.given} judged` : ""].filter(Boolean).join(" · ");
    this.asked.textContent = pair ? words(Object.fromEntries(Object.entries(pair.asked).filter(([name]) => name === "prompt" || name === "values"))) : "";
    if (!pair) {
      clearTimeout(this.again);
      if (!found.closed) this.again = setTimeout(() => this.shown && this.open(this.experiment), 3000);
      return;
    }
    for (const [name, button] of Object.entries(this.sides)) {
      set(button.querySelector("img"), { src: pair[name], alt: `The picture on the ${name}` });
    }
    for (const one of found.pairs.slice(1)) for (const name of ["left", "right"]) new Image().src = one[name];
    if (!this.element.contains(document.activeElement) || document.activeElement.disabled) this.sides.left.focus({ preventScroll: true });
  }

  say(choice) {
    const { pair } = this;
    if (!pair) return;
    this.pair = null; // until the next one is there, a second key is none
    this.next(async () => this.lay(await api.vote(this.experiment.id, pair.number, choice)), pair);
  }

  undo() {
    this.next(async () => this.lay(await api.undoVote(this.experiment.id)), this.pair);
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
    const act = { ArrowLeft: () => this.say("left"), ArrowRight: () => this.say("right"), ArrowDown: () => this.say("tie"), " ": () => this.say("pass"), u: () => this.undo(), U: () => this.undo() }[event.key];
    if (!act) return;
    event.preventDefault();
    event.stopPropagation();
    act();
  }

  closed() {
    clearTimeout(this.again);
    super.closed();
  }

  /** One after the other, in the order of the keys. `back`: the pair that stays where this is refused. */
  next(run, back = null) {
    const turn = this.turn.then(async () => {
      try {
        await run();
      } catch (error) {
        if (!(error instanceof Refused)) throw error;
        this.pair = back;
        toast(error.message, { wrong: true });
        if (back && error.status === 409) this.lay(await api.votes(this.experiment.id));
      }
    });
    this.turn = turn.then(() => {}, () => {});
    return turn;
  }
}
