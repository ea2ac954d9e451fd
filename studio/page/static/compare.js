// Compare two: one picture over the other, and a slider between them.

import { culling } from "./cull.js";
import { Dialog } from "./dialog.js";
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
    const slider = h("input", { type: "range", class: "cs-slider", min: 0, max: 100, step: 1, value: 50, "aria-label": "Where the left picture ends", oninput: () => this.slide() });
    const handle = h("span", { class: "cs-divider", "aria-hidden": "true", data: { csHandle: "" } }, h("span", {}, icon("left"), icon("right")));
    const over = h("div", { class: "cs-over" }, left.img);
    const stage = h("div", { class: "cs-stage" }, right.img, over, handle);
    const zoomed = h("button", { type: "button", class: "cs-plain", text: "1:1", title: "1:1 at the same spot (Z)", onclick: () => this.zoom.toggle() });
    const close = h("button", { type: "button", class: "cs-tool cs-close", "aria-label": "Close compare", onclick: () => this.close() }, icon("close"));
    super("compare", { "aria-label": "Compare two" }, h("div", { class: "cs-view-head" }, left.button, h("span", { class: "cs-view-tools" }, zoomed), right.button, close), stage, slider);
    Object.assign(this, { left, right, slider, over, stage, handle, zoomed });
    this.zoom = new Zoom();
    this.zoom.addEventListener("change", () => zoomed.setAttribute("aria-pressed", String(this.zoom.on)));
    this.drag();
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
    this.slider.value = 50;
    this.slide();
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
    this.slider.value = Number(this.slider.value) + 2 * sign;
    this.slide();
  }

  slide() {
    const at = Number(this.slider.value);
    this.stage.style.setProperty("--at", `${at}%`);
    this.slider.setAttribute("aria-valuetext", `${at} % left, ${100 - at} % right`);
  }

  /** The pointer moves the slider: anywhere while the pictures fit, at its handle while they are zoomed. */
  drag() {
    let dragging = false;
    const follow = (event) => {
      const box = this.stage.getBoundingClientRect();
      this.slider.value = ((event.clientX - box.left) / box.width) * 100;
      this.slide();
    };
    this.stage.addEventListener("pointerdown", (event) => {
      if (event.button || (this.zoom.on && !event.target.closest("[data-cs-handle]"))) return;
      dragging = true;
      this.stage.setPointerCapture(event.pointerId);
      follow(event);
    });
    this.stage.addEventListener("pointermove", (event) => dragging && follow(event));
    for (const end of ["pointerup", "pointercancel"]) {
      this.stage.addEventListener(end, () => {
        if (dragging) this.slider.focus();
        dragging = false;
      });
    }
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
