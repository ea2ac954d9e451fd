// The Review tab: the pictures that wait for a person, and the thresholds that their verdicts teach.

import { h, set } from "./dom.js";
import { Learned } from "./reviewlearned.js";
import { Looking } from "./reviewlooking.js";
import { studio } from "./studio.js";

const PARTS = [["pictures", "Pictures"], ["thresholds", "Thresholds"]];

export class CsReview extends HTMLElement {
  connectedCallback() {
    if (this.firstChild) return;
    this.open = "pictures";
    this.looking = new Looking({ learn: () => this.show("thresholds"), active: () => this.shown && this.open === "pictures", within: (element) => this.contains(element) });
    this.learned = new Learned({ look: () => this.show("pictures") });
    this.panels = { pictures: this.looking.element, thresholds: this.learned.element };
    this.tabs = PARTS.map(([name, text]) => h("button", { type: "button", class: "cs-r-part", text, onclick: () => this.show(name) }));
    this.append(h("nav", { class: "cs-r-parts", "aria-label": "Parts of the review" }, ...this.tabs, this.looking.count), ...Object.values(this.panels));
    studio.on("tab", () => this.load());
    studio.on("found", () => this.load());
    this.show("pictures");
  }

  get shown() {
    return studio.tab === "review";
  }

  show(part) {
    this.open = part;
    PARTS.forEach(([name], i) => {
      this.panels[name].hidden = name !== part;
      set(this.tabs[i], { "aria-current": name === part ? "page" : null });
    });
    this.load();
  }

  load() {
    if (!this.shown) return;
    if (this.open === "pictures") this.looking.load();
    else this.learned.load();
  }
}
