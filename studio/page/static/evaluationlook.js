// Two pictures of an evaluation, one over the other with a divider between: the same prompt and seed, without the LoRA or at some weight.

import { Sides } from "./sides.js";

let look = null;

/** Opens a picture of an evaluation over the base's. */
export function lookAt(view, cell) {
  look ??= new EvaluationLook();
  look.open(view, cell);
}

const worn = ({ number, against }, { arm, weight }) => (arm === "base" ? "Without the LoRA" : `v${arm === "version" ? number : against} at ${weight}`);
const key = ({ arm, weight }) => `${arm} ${weight}`;

class EvaluationLook extends Sides {
  constructor() {
    super({ label: "Pictures of an evaluation", chosen: "Picture", shown: "picture", close: "Close" });
  }

  open(view, cell) {
    Object.assign(this, { view, part: cell.part, prompt: cell.prompt, picture: cell.picture });
    const kinds = new Map(view.cells.filter(({ part }) => part === cell.part).map((one) => [key(one), worn(view, one)]));
    this.openWith([...kinds], "base 0", cell.arm === "base" ? "version 1" : key(cell));
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
      this.put(side, cell?.src, `${side.select.selectedOptions[0]?.text ?? ""}, ${prompt}`);
    }
  }
}
