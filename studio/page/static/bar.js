// The bar over the sheet: what the keys do, for those who use the pointer, and what is selected.

import { deeds } from "./deeds.js";
import { h, icon, plural, set } from "./dom.js";

/** A toolbar is one stop of the Tab key; the arrows go from button to button. */
export class Bar {
  /** acts: those of the sheet, see keys.js. */
  constructor(acts, selection, zoom) {
    const run = (act, asked = {}) => () => acts[act]({ act, shift: false, ...asked });
    const tool = (act, image, label, key) => h("button", { type: "button", class: "cs-bar-tool", title: `${label} (${key})`, "aria-label": label, onclick: run(act) }, icon(image), h("span", { text: label }));
    const word = (act, label, key, asked) => h("button", { type: "button", class: "cs-bar-tool", title: `${label} (${key})`, onclick: run(act, asked), text: label });
    this.count = h("span", { class: "cs-bar-count" });
    this.chosen = h("span", { class: "cs-bar-chosen", hidden: true }, this.count,
      word("pick", "Pick", "P"), word("reject", "Reject", "X"), word("unflag", "Unflag", "U"), word("raise", "To next tier", "T"), word("take", "ZIP", "download"), word("cancel", "Clear", "Esc"));
    this.zoomed = tool("zoom", "loupe", "1:1", "Z");
    this.undo = tool("undo", "undo", "Undo", "Ctrl Z");
    this.redo = tool("redo", "redo", "Redo", "Ctrl Shift Z");
    this.element = h("div", { class: "cs-sheet-bar", role: "toolbar", "aria-label": "Sheet", onkeydown: (event) => this.key(event), onfocusin: (event) => this.rove(event.target) },
      this.chosen,
      h("span", { class: "cs-bar-look" }, tool("compare", "compare", "Compare", "C"), tool("survey", "survey", "Survey", "N"), this.zoomed),
      h("span", { class: "cs-bar-back" }, this.undo, this.redo),
      h("button", { type: "button", class: "cs-bar-tool cs-bar-keys", title: "Every key (?)", onclick: run("help") }, h("span", { text: "Keys" }), h("kbd", { text: "?" })));
    const show = () => this.show(selection, zoom);
    for (const told of [selection, zoom, deeds]) told.addEventListener("change", show);
    show();
  }

  show(selection, zoom) {
    this.chosen.hidden = !selection.size;
    this.count.textContent = `${plural(selection.size, "frame")} selected`;
    set(this.zoomed, { "aria-pressed": String(zoom.on) });
    // Not `disabled`: the focus would be lost with the last step back.
    set(this.undo, { "aria-disabled": String(!deeds.undoable) });
    set(this.redo, { "aria-disabled": String(!deeds.redoable) });
    this.rove();
  }

  get buttons() {
    return [...this.element.querySelectorAll("button")].filter((button) => !button.closest("[hidden]"));
  }

  rove(chosen = null) {
    const { buttons } = this;
    const stop = buttons.includes(chosen) ? chosen : buttons.find((button) => button.tabIndex === 0 && button.hasAttribute("tabindex")) ?? buttons[0];
    for (const button of this.element.querySelectorAll("button")) button.setAttribute("tabindex", button === stop ? "0" : "-1");
  }

  key(event) {
    const { buttons } = this;
    const at = buttons.indexOf(event.target);
    const next = { ArrowRight: buttons[at + 1], ArrowLeft: buttons[at - 1], Home: buttons[0], End: buttons.at(-1) }[event.key];
    if (!next || event.shiftKey || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    next.focus();
  }
}
