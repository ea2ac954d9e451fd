// Two pictures of an evaluation, one over the other with a divider between: the same prompt and seed, without the LoRA or at some weight.

import { Dialog } from "./dialog.js";
import { Divider } from "./divider.js";
import { h, icon } from "./dom.js";

let look = null;

/** Opens a picture of an evaluation over the base's. */
export function lookAt(view, cell) {
  look ??= new EvaluationLook();
  look.open(view, cell);
}

const worn = ({ number, against }, { arm, weight }) => (arm === "base" ? "Without the LoRA" : `v${arm === "version" ? number : against} at ${weight}`);

class EvaluationLook extends Dialog {
  constructor() {
    const side = (name) => ({ name, img: h("img", { alt: "", draggable: "false" }), select: h("select", { "aria-label": `Picture on the ${name}`, onchange: () => this.draw() }) });
    const [left, right] = ["left", "right"].map(side);
    const divider = new Divider(right.img, left.img);
    const place = h("output");
    const step = (by, name, label) => h("button", { type: "button", class: "cs-tool", "aria-label": label, title: label, onclick: () => this.turn(by) }, icon(name));
    const tools = h("span", { class: "cs-view-tools" }, step(-1, "left", "The picture before"), place, step(1, "right", "The next picture"));
    const close = h("button", { type: "button", class: "cs-tool cs-close", "aria-label": "Close", onclick: () => this.close() }, icon("close"));
    super("compare", { "aria-label": "Pictures of an evaluation" }, h("div", { class: "cs-view-head cs-lo-sides" }, left.select, tools, right.select, close), divider.stage, divider.slider);
    Object.assign(this, { left, right, divider, place });
    this.element.classList.add("cs-lo-compare");
    this.element.addEventListener("keydown", (event) => {
      const by = { PageUp: -1, PageDown: 1 }[event.key];
      if (!by) return;
      event.preventDefault();
      this.turn(by);
    });
  }

  open(view, cell) {
    Object.assign(this, { view, part: cell.part, prompt: cell.prompt, picture: cell.picture });
    const key = ({ arm, weight }) => `${arm} ${weight}`;
    const kinds = [...new Map(view.cells.filter(({ part }) => part === cell.part).map((one) => [key(one), one])).values()];
    for (const [side, chosen] of [[this.left, "base 0"], [this.right, cell.arm === "base" ? "version 1" : key(cell)]]) {
      side.select.replaceChildren(...kinds.map((one) => h("option", { value: key(one), text: worn(view, one) })));
      side.select.value = chosen;
    }
    this.divider.to(50);
    this.draw();
    this.show();
    this.divider.slider.focus();
  }

  turn(by) {
    const { pictures } = this.view.setup;
    const count = this.view.setup[this.part].length * pictures;
    const at = (this.prompt * pictures + this.picture + by + count) % count;
    Object.assign(this, { prompt: Math.floor(at / pictures), picture: at % pictures });
    this.draw();
  }

  draw() {
    const prompt = this.view.setup[this.part][this.prompt];
    this.place.textContent = `prompt ${this.prompt + 1}, seed ${this.picture + 1}`;
    this.place.title = prompt;
    for (const side of [this.left, this.right]) {
      const [arm, weight] = side.select.value.split(" ");
      const cell = this.view.cells.find((one) => one.part === this.part && one.arm === arm && one.weight === Number(weight) && one.prompt === this.prompt && one.picture === this.picture);
      if (cell?.src) side.img.src = cell.src;
      else side.img.removeAttribute("src");
      side.img.alt = `${side.name}: ${side.select.selectedOptions[0]?.text ?? ""}, ${prompt}`;
    }
    this.divider.stage.style.setProperty("--most", "100%");
  }

  closed() {
    for (const side of [this.left, this.right]) side.img.removeAttribute("src");
    super.closed();
  }
}
