// Under the prompt: a quiet line with earlier results for a similar prompt, and the button for a picture of one's own.

import { api, Refused } from "./api.js";
import { debounced, h, plural } from "./dom.js";
import { fileButton } from "./drop.js";
import { openLoupe } from "./loupe.js";
import { studio } from "./studio.js";

const WAIT_MS = 600; // of quiet typing

export class Offers {
  /** input: the prompt's field. */
  constructor(input) {
    this.input = input;
    this.said = h("span", { class: "cs-offers-said", role: "status" });
    this.list = h("span", { class: "cs-offers-list" });
    this.element = h("div", { class: "cs-offers" }, h("div", { class: "cs-offers-found" }, this.said, this.list), fileButton());
    this.later = debounced(() => this.ask(), WAIT_MS);
    input.addEventListener("input", () => this.later());
    for (const event of ["reuse", "example", "about", "vary"]) studio.on(event, () => this.later());
    // A picture that was just drawn is an earlier result from now on.
    studio.on("job", (job) => job.state === "done" && ((this.asked = null), this.later()));
    this.turn = 0;
  }

  async ask() {
    const prompt = this.input.value.trim();
    if (prompt === this.asked) return;
    this.asked = prompt;
    const turn = ++this.turn;
    let found = { results: [], total: 0 };
    if (prompt) {
      try {
        found = await api.similar(prompt);
      } catch (error) {
        if (!(error instanceof Refused)) throw error;
        this.asked = null; // what cannot be read is refused, in words, when it is sent
      }
    }
    if (turn === this.turn) this.show(found);
  }

  show({ results, total }) {
    const pinned = results.filter((one) => one.pinned).length;
    const exact = results.some((one) => one.exact);
    const what = pinned === results.length ? plural(total, "pinned picture") : `${total} earlier ${total === 1 ? "result" : "results"}`;
    this.said.textContent = results.length ? `${what} for ${exact && total === 1 ? "this" : "a similar"} prompt` : "";
    const images = results.map((one) => one.image);
    this.list.replaceChildren(...results.map(({ image, similarity, pinned: inLibrary }) => {
      const told = `${image.prompt}, ${inLibrary ? "pinned, " : ""}${Math.round(similarity * 100)} % alike`;
      return h("button", { type: "button", class: "cs-offer", "aria-label": told, title: told, data: inLibrary ? { pinned: "" } : {}, onclick: () => openLoupe(image, images) },
        h("img", { src: image.thumb, alt: "", loading: "lazy", draggable: "false" }));
    }));
  }
}
