// Versions of a LoRA side by side: the same sample of two of them, one over the other, with a divider between.

import { Dialog } from "./dialog.js";
import { Divider } from "./divider.js";
import { h, icon, plural } from "./dom.js";

let compare = null;

/** Opens two versions of `lora` that have samples. */
export function compareVersions(lora, left, right) {
  compare ??= new LoraCompare();
  compare.open(lora, left, right);
}

class LoraCompare extends Dialog {
  constructor() {
    const side = (name) => ({ name, img: h("img", { alt: "", draggable: "false" }), select: h("select", { "aria-label": `Version on the ${name}`, onchange: () => this.draw() }) });
    const [left, right] = ["left", "right"].map(side);
    const divider = new Divider(right.img, left.img);
    const place = h("output");
    const step = (by, name, label) => h("button", { type: "button", class: "cs-tool", "aria-label": label, title: label, onclick: () => this.turn(by) }, icon(name));
    const tools = h("span", { class: "cs-view-tools" }, step(-1, "left", "The sample before"), place, step(1, "right", "The next sample"));
    const close = h("button", { type: "button", class: "cs-tool cs-close", "aria-label": "Close compare", onclick: () => this.close() }, icon("close"));
    super("compare", { "aria-label": "Compare versions" }, h("div", { class: "cs-view-head cs-lo-sides" }, left.select, tools, right.select, close), divider.stage, divider.slider);
    Object.assign(this, { left, right, divider, place, sample: 0 });
    this.element.classList.add("cs-lo-compare");
    this.element.addEventListener("keydown", (event) => {
      const by = { PageUp: -1, PageDown: 1 }[event.key];
      if (!by) return;
      event.preventDefault();
      this.turn(by);
    });
  }

  open(lora, left, right) {
    this.lora = lora;
    this.sample = 0;
    const there = lora.versions.filter(({ samples }) => samples.length);
    for (const [side, number] of [[this.left, left], [this.right, right]]) {
      side.select.replaceChildren(...there.map((one) => h("option", { value: one.number, text: named(lora, one.number) })));
      side.select.value = number;
    }
    this.divider.to(50);
    this.draw();
    this.show();
    this.divider.slider.focus();
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
    for (const side of [this.left, this.right]) {
      side.img.src = this.samples(side)[this.sample];
      side.img.alt = `${side.name}: sample ${this.sample + 1} of version ${side.select.value}`;
    }
    this.divider.stage.style.setProperty("--most", "100%");
    this.element.setAttribute("aria-label", `Compare versions of ${this.lora.title}, ${plural(this.count, "sample")}`);
  }

  closed() {
    for (const side of [this.left, this.right]) side.img.removeAttribute("src");
    super.closed();
  }
}

function named(lora, number) {
  const stands = Object.keys(lora.aliases).filter((alias) => lora.aliases[alias] === number);
  return [`v${number}`, ...stands].join(" · ");
}
