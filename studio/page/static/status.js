// The right end of the head, and each tier's facts in a sentence.

import { h, icon, plural } from "./dom.js";
import { Queue } from "./queue.js";
import { studio } from "./studio.js";

/** "CPU ready", "2 queued", or that the connection is lost. A button: it opens the queue. */
export class CsStatus extends HTMLElement {
  connectedCallback() {
    if (this.firstChild) return;
    this.dot = h("span", { class: "cs-dot", "aria-hidden": "true" });
    this.text = h("span", { class: "cs-status-words" });
    this.queued = h("span", { class: "cs-queued" });
    this.button = h("button", { type: "button", class: "cs-status-button" }, this.dot, this.text, this.queued, icon("open"));
    // A button in a live region would be read out as one at every change, so the words are told beside it.
    this.voice = h("span", { class: "cs-voice", role: "status" });
    this.append(this.button, this.voice);
    this.queue = new Queue(this.button);
    studio.on("device", (told) => this.show(told));
    studio.on("lost", () => this.lost());
    this.text.textContent = "Connecting ...";
    if (studio.about) this.show(studio.about);
  }

  show({ device, queued, paused }) {
    this.dot.dataset.state = device.state;
    this.text.textContent = [device.words, device.state].filter(Boolean).join(" · ");
    this.queued.textContent = [queued ? `${queued} queued` : "", paused ? "paused" : ""].filter(Boolean).join(", ");
    this.button.title = [this.text.textContent, device.note, paused, "Show the queue"].filter(Boolean).join("\n");
    this.say(paused ? `The queue is paused. ${paused}` : device.state === "down" ? device.note : "");
  }

  say(text) {
    if (this.voice.textContent !== text) this.voice.textContent = text;
  }

  lost() {
    this.dot.dataset.state = "lost";
    this.text.textContent = "Reconnecting ...";
    this.queued.textContent = "";
    this.say(this.text.textContent);
    this.button.title = "The studio does not answer. What it was drawing goes on, or goes on when it is started again.";
  }
}

const PURPOSE = { preview: "quick drafts", standard: "a careful drawing", premium: "the finished picture" };

/** "4 steps, 256 px: quick drafts", as the panel of a tier's tab. */
export class CsFacts extends HTMLElement {
  connectedCallback() {
    studio.on("about", () => this.show());
    studio.on("choice", () => this.show());
    this.show();
  }

  show() {
    const facts = studio.facts(this.getAttribute("tier"));
    if (!facts) return;
    const size = facts.sizes[0];
    const pixels = size.width === size.height ? `${size.width} px` : `${size.width} × ${size.height} px`;
    const purpose = PURPOSE[facts.name] ?? facts.title;
    const next = facts.next ? `, the best go on to ${studio.facts(facts.next)?.title ?? facts.next}` : "";
    this.replaceChildren(h("p", {}, h("b", { text: `${plural(facts.steps, "step")}, ${pixels}: ${purpose}` }), next), h("span", { text: facts.card_title }));
  }
}

