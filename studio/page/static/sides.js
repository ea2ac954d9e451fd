// Two pictures of the same thing in one place, one over the other with a divider between; which two is chosen above them.

import { Dialog } from "./dialog.js";
import { Divider } from "./divider.js";
import { h, icon } from "./dom.js";

/** Who extends it says which picture is `turn(by)` further, and in `draw()` what the sides show. */
export class Sides extends Dialog {
  /** label: of the dialog. chosen: what a side's list offers ("Version"). shown: what one turns through ("sample"). close: its button's label. */
  constructor({ label, chosen, shown, close }) {
    const side = (name) => ({ name, img: h("img", { alt: "", draggable: "false" }), select: h("select", { "aria-label": `${chosen} on the ${name}`, onchange: () => this.draw() }) });
    const [left, right] = ["left", "right"].map(side);
    const divider = new Divider(right.img, left.img);
    const place = h("output");
    const step = (by, name, title) => h("button", { type: "button", class: "cs-tool", "aria-label": title, title, onclick: () => this.turn(by) }, icon(name));
    const tools = h("span", { class: "cs-view-tools" }, step(-1, "left", `The ${shown} before`), place, step(1, "right", `The next ${shown}`));
    const shut = h("button", { type: "button", class: "cs-tool cs-close", "aria-label": close, onclick: () => this.close() }, icon("close"));
    super("compare", { "aria-label": label }, h("div", { class: "cs-view-head cs-lo-sides" }, left.select, tools, right.select, shut), divider.stage, divider.slider);
    Object.assign(this, { left, right, divider, place });
    this.element.classList.add("cs-lo-compare");
    this.element.addEventListener("keydown", (event) => {
      const by = { PageUp: -1, PageDown: 1 }[event.key];
      if (!by) return;
      event.preventDefault();
      this.turn(by);
    });
  }

  /** options: [value, text] of what either side may show. left, right: values. */
  openWith(options, left, right) {
    for (const [side, value] of [[this.left, left], [this.right, right]]) {
      side.select.replaceChildren(...options.map(([value, text]) => h("option", { value, text })));
      side.select.value = value;
    }
    this.divider.to(50);
    this.draw();
    this.show();
    this.divider.slider.focus();
  }

  /** src: of the picture, none for an empty side. */
  put(side, src, words) {
    if (src) side.img.src = src;
    else side.img.removeAttribute("src");
    side.img.alt = `${side.name}: ${words}`;
    this.divider.stage.style.setProperty("--most", "100%");
  }

  closed() {
    for (const side of [this.left, this.right]) side.img.removeAttribute("src");
    super.closed();
  }
}
