// Lists of words behind __name__: put into the prompt by a click, looked at, written and taken away in a dialog.

import { api, Refused } from "./api.js";
import { Dialog } from "./dialog.js";
import { h, plural, set } from "./dom.js";
import { studio } from "./studio.js";

export class WordLists {
  /** insert(name): puts a list into the prompt. */
  constructor({ insert }) {
    this.insert = insert;
    this.list = h("ul", { class: "cs-lists" });
    const edit = h("button", { type: "button", class: "cs-link", text: "Look at them, add your own", onclick: () => this.open() });
    this.element = h("div", { class: "cs-lists-field" }, h("div", { class: "cs-label" }, h("span", { text: "Lists of words" }), edit), this.list,
      h("p", { class: "cs-quiet", text: "A click puts one in: each seed draws a line of it. {red|blue} draws one of these, {2$$, $$a|b|c} two." }));
    studio.on("about", () => this.read());
    studio.on("wildcards", () => this.read());
  }

  async read() {
    try {
      this.rows = (await api.wildcards()).wildcards;
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      return; // the head tells that the studio is away
    }
    this.list.replaceChildren(...this.rows.map(({ name, sample, lines, wrong }) => h("li", {},
      h("button", { type: "button", class: "cs-token", title: wrong || `${plural(lines, "line")}: ${sample.join(", ")}`, disabled: Boolean(wrong), onclick: () => this.insert(name) }, h("code", { text: `__${name}__` })))));
    this.choices();
  }

  build() {
    this.name = h("input", { id: "cs-list-name", type: "text", list: "cs-list-names", autocomplete: "off", maxlength: 100, onchange: () => this.look(this.name.value.trim()) });
    this.names = h("datalist", { id: "cs-list-names" });
    this.lines = h("textarea", { id: "cs-list-text", rows: 14, spellcheck: "false", placeholder: "one entry a line\n3::three times as often\n# a remark" });
    this.error = h("p", { class: "cs-error", role: "alert", hidden: true });
    this.facts = h("p", { class: "cs-quiet", role: "status" });
    this.remove = h("button", { type: "button", class: "cs-plain", text: "Remove", onclick: () => this.act(() => api.dropWildcard(this.name.value.trim()), "Removed; it lies in the trash of the data folder.") });
    const save = h("button", { type: "submit", class: "cs-primary", text: "Save" });
    this.dialog = new Dialog("lists-dialog", { "aria-label": "Lists of words" },
      h("form", { onsubmit: (event) => (event.preventDefault(), this.act(() => api.saveWildcard(this.name.value.trim(), this.lines.value), "Saved.")) },
        h("h2", { text: "Lists of words" }),
        h("div", { class: "cs-field" }, h("label", { for: "cs-list-name" }, h("span", { text: "Name" }), h("span", { class: "cs-quiet", text: "of a list there is, or a new one" })), this.name, this.names),
        h("div", { class: "cs-field" }, h("label", { for: "cs-list-text" }, h("span", { text: "Entries" })), this.lines),
        this.error, this.facts,
        h("div", { class: "cs-dialog-acts" }, this.remove, h("button", { type: "button", class: "cs-plain", text: "Close", onclick: () => this.dialog.close() }), save)));
  }

  choices() {
    this.names?.replaceChildren(...(this.rows ?? []).map(({ name }) => h("option", { value: name })));
  }

  open() {
    if (!this.dialog) this.build();
    this.choices();
    this.dialog.show();
    if (!this.name.value && this.rows?.length) this.look(this.rows[0].name);
  }

  async look(name) {
    this.say("");
    const row = this.rows?.find((one) => one.name === name);
    this.remove.disabled = !row || row.shipped;
    if (!row) {
      this.facts.textContent = name ? "A new list." : "";
      return;
    }
    this.name.value = name;
    this.facts.textContent = row.shipped ? "It ships with the studio; what you save covers it." : row.covers ? "Yours; it covers one that ships." : "Yours.";
    try {
      this.lines.value = (await api.wildcard(name)).text;
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      this.lines.value = "";
      this.say(error.message);
    }
  }

  async act(send, done) {
    try {
      await send();
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      this.say(error.message);
      return;
    }
    await this.read();
    await this.look(this.name.value.trim());
    this.facts.textContent = done;
  }

  say(text) {
    set(this.error, { text, hidden: text ? null : true });
  }
}
