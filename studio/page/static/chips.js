// A short list that a person makes: words that a picture must show, colours that it should keep to.

import { h, icon } from "./dom.js";

export class Chips {
  /**
   * id, label: of its input. read(text) gives the values in what was typed, [] where there are none; show(value) what stands in a chip.
   * most: of them; wrong: what to say of what cannot be read; changed(): something is to be remembered; tools: further controls.
   */
  constructor({ id, label, placeholder, read, show, most, wrong, changed, tools = [] }) {
    Object.assign(this, { label, read, render: show, most, wrong, changed });
    this.values = [];
    this.list = h("ul", { class: "cs-tokens", "aria-label": label, hidden: true });
    this.input = h("input", { id, type: "text", autocomplete: "off", placeholder, maxlength: 400, onkeydown: (event) => this.key(event), onchange: () => this.take() });
    this.said = h("p", { class: "cs-quiet cs-tokens-said", role: "status" });
    this.element = h("div", { class: "cs-tokens-field" }, this.list, h("div", { class: "cs-with-tools" }, this.input, ...tools), this.said);
  }

  key(event) {
    if (event.key === "Enter" && !event.ctrlKey && !event.metaKey && this.input.value.trim()) {
      event.preventDefault();
      this.take();
    } else if (event.key === "Backspace" && !this.input.value && this.values.length) {
      event.preventDefault();
      this.remove(this.values.at(-1));
    }
  }

  /** Takes over what was typed; what cannot be read stays to be mended. */
  take() {
    const text = this.input.value.trim();
    if (!text) return this.say("");
    const found = this.read(text);
    if (!found.length) return this.say(this.wrong);
    this.input.value = "";
    this.add(...found);
  }

  add(...values) {
    const fresh = [...new Set(values)].filter((value) => !this.values.includes(value));
    const room = this.most - this.values.length;
    this.set([...this.values, ...fresh.slice(0, room)]);
    this.say(fresh.length > room ? `At most ${this.most}.` : "");
    this.changed();
  }

  remove(value) {
    const at = this.values.indexOf(value);
    const focused = this.list.contains(document.activeElement);
    this.set(this.values.filter((one) => one !== value));
    this.say("");
    this.changed();
    if (focused) (this.list.querySelectorAll("button")[Math.min(at, this.values.length - 1)] ?? this.input).focus();
  }

  set(values) {
    this.values = [...values];
    this.list.hidden = !this.values.length;
    this.list.replaceChildren(...this.values.map((value) => h("li", { class: "cs-token" }, ...this.render(value),
      h("button", { type: "button", "aria-label": `Remove ${value}`, onclick: () => this.remove(value) }, icon("close")))));
  }

  say(text) {
    this.said.textContent = text;
  }
}

/** Words between commas or quotation marks, or all of it. */
export const readWords = (text) => {
  const quoted = [...text.matchAll(/["\u201c\u201e\u00ab]([^"\u201c\u201d\u00bb]+)["\u201d\u201c\u00bb]/g)].map((match) => match[1]);
  return (quoted.length ? quoted : text.split(",")).map((one) => one.trim().slice(0, 80)).filter(Boolean);
};

/** Every "#1A2B3C", "1a2b3c" or "#fff" in a text, as "#1A2B3C". */
export const readColours = (text) => [...text.matchAll(/#([0-9a-f]{6}|[0-9a-f]{3})\b|\b[0-9a-f]{6}\b/gi)].map((match) => {
  const digits = (match[1] ?? match[0]).toUpperCase();
  return `#${digits.length === 3 ? [...digits].map((one) => one + one).join("") : digits}`;
});
