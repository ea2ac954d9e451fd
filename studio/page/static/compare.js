// Compare two: one picture over the other, and a slider between them.

import { culling } from "./cull.js";
import { Dialog } from "./dialog.js";
import { Divider } from "./divider.js";
import { h, icon } from "./dom.js";
import { VERDICTS, verdictSaid } from "./frame.js";
import { showStars, starred } from "./stars.js";
import { studio } from "./studio.js";
import { Zoom } from "./zoom.js";

const SIDES = ["left", "right"];
let compare = null;

/** Opens two pictures; `pool` are those that Page Up and Page Down put in their places. */
export function openCompare(left, right, pool) {
  compare ??= new Compare();
  compare.open(left, right, pool);
}

class Compare extends Dialog {
  constructor() {
    const side = (name) => {
      const button = h("button", { type: "button", class: "cs-side-name", onclick: () => this.choose(name) });
      const img = h("img", { alt: "", draggable: "false" });
      const stars = h("span", { class: "cs-stars", "aria-hidden": "true" });
      return { name, button, img, stars, text: h("span"), badge: h("span", { class: "cs-badge" }) };
    };
    const [left, right] = SIDES.map(side);
    for (const one of [left, right]) one.button.append(one.text, one.stars, one.badge);
    const zoom = new Zoom();
    const divider = new Divider(right.img, left.img, { free: () => !zoom.on });
    const { slider, over, stage } = divider;
    const zoomed = h("button", { type: "button", class: "cs-plain", text: "1:1", title: "1:1 at the same spot (Z)", onclick: () => this.zoom.toggle() });
    const close = h("button", { type: "button", class: "cs-tool cs-close", "aria-label": "Close compare", onclick: () => this.close() }, icon("close"));
    super("compare", { "aria-label": "Compare two" }, h("div", { class: "cs-view-head" }, left.button, h("span", { class: "cs-view-tools" }, zoomed), right.button, close), stage, slider);
    Object.assign(this, { left, right, divider, slider, over, stage, zoomed, zoom });
    this.zoom.addEventListener("change", () => zoomed.setAttribute("aria-pressed", String(this.zoom.on)));
    this.acts = {
      ...this.common(), ...culling(() => [this.side.image], () => this.turn(1)),
      up: (asked) => this.upDown(asked, "left"), down: (asked) => this.upDown(asked, "right"),
      left: (asked) => this.sideways(asked, -1), right: (asked) => this.sideways(asked, 1),
      before: () => this.turn(-1), after: () => this.turn(1),
      zoom: () => this.zoom.toggle(), closer: () => this.zoom.closer(), farther: () => this.zoom.farther(), compare: () => this.close(),
    };
    studio.on("image", (image) => this.shown && this.changed(image));
  }

  open(left, right, pool) {
    this.pool = pool;
    this.divider.to(50);
    this.show();
    this.put(this.left, left);
    this.put(this.right, right);
    this.choose("right");
    this.slider.focus();
  }

  get side() {
    return this[this.chosen];
  }

  /** The side that keys and Page Up / Page Down mean. */
  choose(name) {
    this.chosen = name;
    for (const one of SIDES) this[one].button.setAttribute("aria-pressed", String(one === name));
  }

  put(side, image) {
    side.image = image;
    side.img.src = image.url;
    side.img.alt = `${side.name}: frame ${image.number} of job ${image.job}`;
    // Fitted in the same box: a picture of another size is set beside it as large as it fits.
    this.stage.style.setProperty("--most", `${Math.max(this.left.image?.width ?? 0, this.right.image?.width ?? 0, image.width) * 3}px`);
    if (this.left.image && this.right.image) {
      this.zoom.add(this.stage, this.right.img, this.right.image);
      this.zoom.add(this.over, this.left.img, this.left.image);
    }
    this.label(side);
  }

  label(side) {
    const { image } = side;
    const tier = studio.facts(image.tier)?.title ?? image.tier;
    side.text.textContent = `#${image.job} · ${image.number}  ${tier}`;
    side.badge.textContent = VERDICTS[image.verdict] ?? "";
    side.button.dataset.verdict = image.verdict ?? "";
    showStars(side.stars, image.rating);
    side.button.setAttribute("aria-label", `${side.name}: frame ${image.number} of job ${image.job}, ${tier}, ${verdictSaid(image)}, ${starred(image.rating)}`);
  }

  changed(image) {
    for (const name of SIDES) {
      if (this[name].image?.id !== image.id) continue;
      this[name].image = image;
      this.label(this[name]);
    }
  }

  /** Puts the next picture of the pool on the chosen side, never the one that the other side shows. */
  turn(step) {
    const other = this[this.chosen === "left" ? "right" : "left"].image.id;
    const at = this.pool.findIndex((image) => image.id === this.side.image.id);
    let next = at + step;
    if (this.pool[next]?.id === other) next += step;
    if (this.pool[next]) this.put(this.side, this.pool[next]);
  }

  upDown({ act, shift }, name) {
    if (shift && this.zoom.step(act)) return;
    this.choose(name);
  }

  /** The slider's own keys do it where it has the focus; elsewhere in the dialog they do it all the same. */
  sideways({ act, shift }, sign) {
    if (shift && this.zoom.step(act)) return;
    this.divider.by(2 * sign);
  }

  closed() {
    this.zoom.clear();
    for (const name of SIDES) {
      this[name].img.removeAttribute("src");
      this[name].image = null;
    }
    super.closed();
  }
}
