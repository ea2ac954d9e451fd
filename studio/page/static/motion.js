// Motion: less of it where the system or the person asks for less. Styles and scripts look at one attribute of the document.

import { h } from "./dom.js";

const KEPT = "contact-sheet.motion";
const system = matchMedia("(prefers-reduced-motion: reduce)");

function apply() {
  const reduced = system.matches || localStorage.getItem(KEPT) === "reduce";
  document.documentElement.dataset.csMotion = reduced ? "reduce" : "full";
}

export function startMotion() {
  apply();
  system.addEventListener("change", apply);
  // Another tab of this browser may have set it.
  window.addEventListener("storage", (event) => event.key === KEPT && apply());
}

/** The setting: kept in this browser, for it belongs to the eyes before it. */
export class CsMotion extends HTMLElement {
  connectedCallback() {
    if (this.firstChild) return;
    this.box = h("input", { type: "checkbox", onchange: () => this.choose() });
    this.note = h("span", { class: "cs-quiet" });
    this.append(h("label", { class: "cs-check" }, this.box, h("span", { text: "Reduce motion" })), this.note);
    this.show();
    system.addEventListener("change", () => this.show());
  }

  show() {
    this.box.checked = system.matches || localStorage.getItem(KEPT) === "reduce";
    this.box.disabled = system.matches;
    this.note.textContent = system.matches ? "Your system asks for it." : "Nothing slides or fades. Kept in this browser.";
  }

  choose() {
    localStorage.setItem(KEPT, this.box.checked ? "reduce" : "full");
    apply();
  }
}
