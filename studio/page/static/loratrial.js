// A candidate tried out in live use: a share of the requests that name no version gets it, and what came of that so far.

import { ask } from "./api.js";
import { h } from "./dom.js";
import { tried } from "./settings.js";

const SHARES = [[0, "no requests"], [0.05, "5 % of requests"], [0.1, "10 % of requests"], [0.25, "25 % of requests"], [0.5, "half of the requests"]];

export class LoraTrial {
  /** changed(): it was set. */
  constructor(changed) {
    this.changed = changed;
    this.share = h("select", { id: "cs-lo-trial", onchange: () => this.set() });
    this.said = h("p", { class: "cs-quiet", role: "status" });
    this.wrong = h("p", { class: "cs-error", role: "alert" });
    this.label = h("label", { for: "cs-lo-trial" });
    this.element = h("div", { class: "cs-lo-trial", hidden: true }, this.label, this.share, this.said, this.wrong);
  }

  async show(lora) {
    this.lora = lora;
    const { production, candidate } = lora.aliases;
    this.element.hidden = !production || !candidate;
    if (this.element.hidden) return;
    const trial = await ask(`/api/trials/${encodeURIComponent(lora.name)}`);
    if (lora !== this.lora) return;
    this.label.textContent = `Tried out: v${candidate} instead of v${production} in`;
    const shares = SHARES.some(([value]) => value === (trial.share ?? 0)) ? SHARES : [...SHARES, [trial.share, `${Math.round(100 * trial.share)} % of requests`]];
    this.share.replaceChildren(...shares.map(([value, text]) => h("option", { value, text })));
    this.share.value = trial.share ?? 0;
    this.share.disabled = !lora.may_change;
    const { found } = trial;
    this.said.textContent = found ? `${found.requests[1]} requests with v${candidate}, ${found.requests[0]} with v${production}. ${found.words}` : trial.share ? "Nothing was drawn yet. Insights compares the two." : "";
  }

  async set() {
    if (await tried(() => ask("/api/trials", { lora: this.lora.name, share: Number(this.share.value) }), this.share.value === "0" ? "The trial has ended." : "The trial is on.", this.wrong)) await this.changed();
  }
}
