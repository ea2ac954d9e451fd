// The seed: drawn anew each run, held, or going on from run to run.

import { h } from "./dom.js";
import { SeedLibrary } from "./seedlibrary.js";

const MODES = [
  ["random", "Random", "Drawn anew each run"],
  ["fixed", "Fixed", "The same each run"],
  ["next", "+1", "Each run goes on with the seed after the last one drawn"],
];
const DRAWN_LIMIT = 2 ** 32; // as the studio draws them: short enough to read aloud

export class Seed {
  /** latest(): the seed of the latest job, or null. changed(): something is to be remembered. */
  constructor({ latest, changed }) {
    this.latest = latest;
    this.changed = changed;
    this.input = h("input", { id: "cs-seed", type: "text", inputmode: "numeric", autocomplete: "off", placeholder: "random", maxlength: 20, oninput: () => this.typed() });
    const radio = ([value, label, title]) => h("label", { class: "cs-seed-mode", title }, h("input", { type: "radio", name: "seed-mode", value, checked: value === "random", onchange: () => this.chose(value) }), h("span", { text: label }));
    this.modes = h("div", { class: "cs-seed-modes", role: "radiogroup", "aria-label": "Seed of each run" }, MODES.map(radio));
    this.library = new SeedLibrary({ take: (seed) => {
      this.set(seed);
      changed();
      this.input.focus();
    } });
    this.element = h("div", { class: "cs-with-tools cs-seed" }, this.modes, this.input, this.library.button);
  }

  get mode() {
    return this.modes.querySelector("input:checked").value;
  }

  set mode(mode) {
    const input = [...this.modes.querySelectorAll("input")].find((one) => one.value === mode);
    if (input) input.checked = true;
  }

  /** A seed to hold, or "" for a random one. */
  set(seed) {
    this.input.value = String(seed);
    this.typed();
  }

  typed() {
    if (!this.input.value.trim()) this.mode = "random";
    else if (this.mode === "random") this.mode = "fixed";
  }

  chose(mode) {
    if (mode === "random") this.input.value = "";
    else if (!this.input.value.trim()) this.input.value = String(this.latest() ?? Math.floor(Math.random() * DRAWN_LIMIT));
    this.changed();
  }

  /** What the request says: a number, undefined for a random one, or what was typed where it is none, to be refused in words. */
  value() {
    const typed = this.input.value.trim();
    if (!typed) return undefined;
    // 2 ** 63 - 1 does not fit a JavaScript number: a seed that would lose digits goes as it was typed.
    return /^\d+$/.test(typed) && Number.isSafeInteger(Number(typed)) ? Number(typed) : typed;
  }

  /** A run was sent: "+1" goes on after its last seed. */
  ran(job) {
    if (this.mode !== "next") return;
    const last = job.request.seeds?.at(-1) ?? job.request.seed + job.draft - 1;
    if (Number.isSafeInteger(last + 1)) this.input.value = String(last + 1);
  }

  kept() {
    return { seed: this.input.value, seedMode: this.mode };
  }

  recall({ seed = "", seedMode = seed ? "fixed" : "random" }) {
    this.input.value = seed;
    this.mode = seedMode;
  }
}
