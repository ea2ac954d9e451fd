// What was measured of the frame under the pointer or the keyboard. One for the whole sheet: it moves to the frame that is asked about.

import { h, icon } from "./dom.js";
import { betterThan, held, limitOf, measured, missing, reasonSaid, standing, titleOf, unexplained, valueOf } from "./scores.js";

const EDGE = 8; // pixels from the window's edges
const MOST = 14; // lines: the rest is in the loupe

export class Tip {
  /** Listens on `sheet`, an element with frames in it. */
  constructor(sheet) {
    this.element = h("div", { class: "cs-tip", "aria-hidden": "true" });
    this.pointed = this.focused = null;
    sheet.addEventListener("pointerover", (event) => {
      this.pointed = event.pointerType === "touch" ? null : event.target.closest(".cs-foot")?.closest(".cs-frame")?.frame ?? null;
      this.show();
    });
    sheet.addEventListener("pointerleave", () => {
      this.pointed = null;
      this.show();
    });
    sheet.addEventListener("focusin", ({ target }) => {
      this.focused = target.matches(".cs-shot:focus-visible") ? target.closest(".cs-frame").frame : null;
      this.show();
    });
    sheet.addEventListener("focusout", () => {
      this.focused = null;
      this.show();
    });
  }

  /** A frame shows something new. */
  changed(frame) {
    if (this.frame === frame) this.fill();
  }

  show() {
    const frame = this.pointed ?? this.focused;
    if (frame === this.frame) return;
    this.frame = frame;
    this.element.remove();
    if (frame) this.fill();
  }

  fill() {
    const { image, element } = this.frame;
    if (!image?.scores.length) {
      this.element.remove();
      return;
    }
    const lines = [...held(image), ...measured(image)];
    const left = missing(image).length;
    const more = [lines.length > MOST ? `${lines.length - MOST} more in the loupe` : "", left ? `${left} not scored` : ""].filter(Boolean).join(" · ");
    this.element.replaceChildren(
      ...unexplained(image).map((reason) => h("p", { text: reasonSaid(reason, image.scores) })),
      ...lines.slice(0, MOST).map(line),
      ...(more ? [h("p", { class: "cs-tip-more", text: more })] : []));
    if (this.element.parentElement !== element) element.append(this.element);
    this.place(element);
  }

  /** Below the frame, or above it where the window ends, and never beyond its sides: the picture itself stays in sight. */
  place(element) {
    Object.assign(this.element.style, { left: "0px", top: "100%", bottom: "auto" });
    const box = element.getBoundingClientRect();
    const { width, height } = this.element.getBoundingClientRect();
    const room = document.documentElement.clientWidth;
    this.element.style.left = `${Math.max(EDGE - box.left, Math.min(0, room - EDGE - width - box.left))}px`;
    if (box.bottom + height > innerHeight - EDGE && box.top - height > EDGE) Object.assign(this.element.style, { top: "auto", bottom: "100%" });
  }
}

/** "Sharpness  71  at least 55  better than 62 %" */
function line(score) {
  const place = betterThan(score);
  return h("div", { class: "cs-tip-line", data: { standing: standing(score) } },
    icon(standing(score)), h("span", { text: titleOf(score) }), h("b", { text: valueOf(score) }),
    h("span", { text: limitOf(score).replace(", advice only", "") }), h("span", { text: place === null ? "" : `better than ${place} %` }));
}
