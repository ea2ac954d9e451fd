// Versions of a LoRA side by side: the same sample of two of them, one over the other, with a divider between.

import { plural } from "./dom.js";
import { Sides } from "./sides.js";

let compare = null;

/** Opens two versions of `lora` that have samples. */
export function compareVersions(lora, left, right) {
  compare ??= new LoraCompare();
  compare.open(lora, left, right);
}

class LoraCompare extends Sides {
  constructor() {
    super({ label: "Compare versions", chosen: "Version", shown: "sample", close: "Close compare" });
  }

  open(lora, left, right) {
    Object.assign(this, { lora, sample: 0 });
    const there = lora.versions.filter(({ samples }) => samples.length);
    this.openWith(there.map(({ number }) => [number, named(lora, number)]), left, right);
  }

  /** How many samples both have. */
  get count() {
    return Math.min(...[this.left, this.right].map((side) => this.samples(side).length));
  }

  samples({ select }) {
    return this.lora.versions.find(({ number }) => number === Number(select.value)).samples;
  }

  turn(by) {
    this.sample = (this.sample + by + this.count) % this.count;
    this.draw();
  }

  draw() {
    this.sample = Math.min(this.sample, this.count - 1);
    this.place.textContent = `sample ${this.sample + 1} of ${this.count}`;
    for (const side of [this.left, this.right]) this.put(side, this.samples(side)[this.sample], `sample ${this.sample + 1} of version ${side.select.value}`);
    this.element.setAttribute("aria-label", `Compare versions of ${this.lora.title}, ${plural(this.count, "sample")}`);
  }
}

function named(lora, number) {
  const stands = Object.keys(lora.aliases).filter((alias) => lora.aliases[alias] === number);
  return [`v${number}`, ...stands].join(" · ");
}
