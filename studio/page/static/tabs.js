// The line of tabs where it is longer than the window: its ends show that there are more, and the chosen one is in sight.

import { h, icon } from "./dom.js";
import { studio } from "./studio.js";

const NEARLY = 2; // px: a fraction of a pixel is no tab
const STEP = 0.7; // of what is seen, so that one tab at least stays in sight

/** Both ends of the line of tabs. For the mouse alone: keys reach every tab, and the line scrolls along. */
export class CsMore extends HTMLElement {
  connectedCallback() {
    if (this.firstChild) return;
    this.left = this.end("left", "Earlier tabs", -1);
    this.right = this.end("right", "More tabs", 1);
    this.append(this.left, this.right);
    studio.on("tab", () => this.list && this.reveal());
    this.find();
  }

  end(side, title, direction) {
    return h(
      "button",
      {
        type: "button", class: `cs-more cs-more-${side}`, title, tabindex: "-1", "aria-hidden": "true", hidden: true,
        onmousedown: (event) => event.preventDefault(), // the focus stays where it is
        onclick: () => this.list.scrollBy({ left: direction * this.list.clientWidth * STEP }),
      },
      icon(side),
    );
  }

  /** Gradio brings the tabs in its own time. */
  find() {
    this.list = document.querySelector("#cs-tabs > .tab-wrapper > [role=tablist]");
    if (!this.list) {
      requestAnimationFrame(() => this.isConnected && this.find());
      return;
    }
    this.list.addEventListener("scroll", () => this.show(), { passive: true });
    const watch = new ResizeObserver(() => this.reveal());
    for (const one of [this.list, ...this.list.children]) watch.observe(one); // their font may come later
    this.reveal();
  }

  show() {
    const { scrollLeft, scrollWidth, clientWidth } = this.list;
    this.left.hidden = scrollLeft <= NEARLY;
    this.right.hidden = scrollLeft >= scrollWidth - clientWidth - NEARLY;
  }

  /** Not by scrollIntoView, which would scroll the page as well. */
  reveal() {
    const chosen = this.list.querySelector(`#cs-tab-${studio.tab}-button`) ?? this.list.querySelector("[aria-selected=true]");
    if (chosen) {
      const seen = this.list.getBoundingClientRect(), at = chosen.getBoundingClientRect();
      const beside = Math.min(parseFloat(getComputedStyle(this.list).scrollPaddingInlineStart) || 0, (seen.width - at.width) / 2);
      const over = Math.max(0, at.right + beside - seen.right) - Math.max(0, seen.left + beside - at.left);
      if (over) this.list.scrollBy({ left: over });
    }
    this.show();
  }
}
