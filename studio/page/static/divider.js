// One picture over another, and a divider between them that a slider, keys and the pointer move.

import { h, icon } from "./dom.js";

export class Divider {
  /** under, over: the images. free(): whether the pointer moves it from anywhere, or only from its handle. */
  constructor(under, over, { free = () => true, label = "Where the left picture ends" } = {}) {
    this.slider = h("input", { type: "range", class: "cs-slider", min: 0, max: 100, step: 1, value: 50, "aria-label": label, oninput: () => this.slide() });
    const handle = h("span", { class: "cs-divider", "aria-hidden": "true", data: { csHandle: "" } }, h("span", {}, icon("left"), icon("right")));
    this.over = h("div", { class: "cs-over" }, over);
    this.stage = h("div", { class: "cs-stage" }, under, this.over, handle);
    this.drag(free);
    this.slide();
  }

  /** Puts it at `percent` of the width. */
  to(percent) {
    this.slider.value = percent;
    this.slide();
  }

  by(percent) {
    this.to(Number(this.slider.value) + percent);
  }

  slide() {
    const at = Number(this.slider.value);
    this.stage.style.setProperty("--at", `${at}%`);
    this.slider.setAttribute("aria-valuetext", `${at} % left, ${100 - at} % right`);
  }

  drag(free) {
    let dragging = false;
    const follow = (event) => {
      const box = this.stage.getBoundingClientRect();
      this.to(((event.clientX - box.left) / box.width) * 100);
    };
    this.stage.addEventListener("pointerdown", (event) => {
      if (event.button || (!free() && !event.target.closest("[data-cs-handle]"))) return;
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
}
