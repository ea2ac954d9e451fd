// Refine: a language model proposes a better prompt. What it would change is shown with its reasons, and a person takes it or leaves it.

import { Refused, ask } from "./api.js";
import { h, set } from "./dom.js";
import { RefineSetup } from "./refinesetup.js";
import { studio } from "./studio.js";

export class Refine {
  /** input: the prompt's field, which is changed only when a person says so. */
  constructor(input) {
    this.input = input;
    this.button = h("button", { type: "button", class: "cs-link", text: "Refine", "aria-expanded": "false", onclick: () => this.toggle() });
    this.panel = h("div", { class: "cs-refine", role: "region", "aria-label": "Refine the prompt", hidden: true });
    this.element = h("div", { class: "cs-refine-box" }, this.button, this.panel);
    this.turn = 0;
  }

  async toggle() {
    if (!this.panel.hidden) return this.close();
    this.open(h("p", { class: "cs-quiet", role: "status", text: "Asking the language model…" }));
    await this.attempt(async (now) => {
      const about = (this.about = await ask("/api/refine"));
      if (!now()) return;
      if (!about.ready) return this.offline(about);
      const prompt = this.input.value;
      let found = await ask("/api/refine", { prompt, family: studio.family, tier: studio.tier });
      while (found.asked) {
        if (!now()) return void ask(`/api/refine/asked/${found.asked}/drop`, {});
        this.open(h("p", { class: "cs-quiet", role: "status", text: found.words }), this.tools());
        found = await ask(`/api/refine/asked/${found.asked}`);
      }
      if (now()) this.proposal(prompt, found, about);
    });
  }

  /** Runs `act` with a question: whether its answer is still wanted. */
  async attempt(act) {
    const turn = ++this.turn;
    try {
      await act(() => turn === this.turn && !this.panel.hidden);
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      if (turn === this.turn) this.open(h("p", { class: "cs-error", role: "alert", text: error.message }), this.tools(...(this.about?.may_set ? [this.setUp(this.about)] : [])));
    }
  }

  open(...content) {
    set(this.panel, { hidden: false });
    this.button.setAttribute("aria-expanded", "true");
    this.panel.replaceChildren(...content);
  }

  close() {
    this.turn++;
    this.panel.hidden = true;
    this.button.setAttribute("aria-expanded", "false");
    this.button.focus();
  }

  /** A model on this machine does not sample: asked again, it says the same. */
  proposal(prompt, { prompt: better, reasons, diff, model }, about) {
    const said = { same: "span", add: "ins", remove: "del" };
    const pieces = diff.map(({ kind, text }) => h(said[kind], { text }));
    const take = h("button", { type: "button", class: "cs-primary", text: "Use this prompt", onclick: () => this.take(prompt, better) });
    const again = h("button", { type: "button", class: "cs-plain", text: "Propose another", onclick: () => this.again() });
    this.open(
      h("p", { class: "cs-refine-diff", "aria-label": `Proposed: ${better}` }, ...pieces),
      reasons.length ? h("ul", { class: "cs-refine-reasons" }, ...reasons.map((text) => h("li", { text }))) : h("p", { class: "cs-quiet", text: "It gave no reasons." }),
      h("p", { class: "cs-quiet", text: `Proposed by ${model}. Nothing is changed until you say so.` }),
      this.tools(take, ...(about.sampled ? [again] : []), ...(about.may_set ? [this.setUp(about)] : [])),
    );
    take.focus();
  }

  again() {
    this.panel.hidden = true;
    this.toggle();
  }

  /** Into the field as if it were typed, so that undo brings the old one back. */
  take(prompt, better) {
    if (this.input.value !== prompt) {
      this.open(h("p", { class: "cs-error", role: "alert", text: "The prompt has changed since; ask again." }), this.tools());
      return;
    }
    this.input.focus();
    this.input.select();
    // The one way that keeps the browser's own undo; where it is gone the value is set.
    if (!document.execCommand("insertText", false, better)) {
      this.input.value = better;
      this.input.dispatchEvent(new Event("input", { bubbles: true }));
    }
    this.close();
    this.input.focus();
  }

  offline(about) {
    this.open(h("p", { text: about.why }), this.tools(...(about.may_set ? [this.setUp(about)] : [])));
  }

  tools(...buttons) {
    return h("div", { class: "cs-refine-tools" }, ...buttons, h("button", { type: "button", class: "cs-bare", text: "Close", onclick: () => this.close() }));
  }

  setUp(about) {
    return h("button", { type: "button", class: "cs-plain", text: "Set up", onclick: () => this.settings(about) });
  }

  settings(about) {
    const done = (now) => {
      if (now.ready) this.open(h("p", { role: "status", text: `Set up: ${now.model}.` }), this.tools(h("button", { type: "button", class: "cs-primary", text: "Refine the prompt", onclick: () => this.again() })));
      else this.offline(now);
    };
    const setup = new RefineSetup(about, done);
    this.open(setup.element, this.tools(setup.save));
    setup.focus();
  }
}
