// What the loupe, compare, survey and the list of keys have in common: a modal dialog with the sheet's keys.

import { deeds } from "./deeds.js";
import { h } from "./dom.js";
import { dispatch } from "./keys.js";
import { studio } from "./studio.js";

const all = [];

/** Closes every dialog, for the focus goes on to somewhere else than where they were opened. */
export function closeAll() {
  for (const dialog of all) {
    dialog.from = null;
    dialog.element.close();
  }
}

export class Dialog {
  /** kind: its class, "cs-" before it. named: its attributes, a label among them. Subclasses set `acts` for their keys. */
  constructor(kind, named, ...content) {
    this.acts = {};
    all.push(this);
    this.element = h("dialog", { class: `cs-dialog cs-${kind}`, ...named, onkeydown: (event) => dispatch(event, this.acts), onclose: () => this.closed(), onclick: (event) => event.target === this.element && this.close() }, ...content);
    // Inside Gradio's container, so that its fonts and colours hold here too.
    (document.querySelector(".gradio-container") ?? document.body).append(this.element);
  }

  /** The acts that every dialog over pictures has. */
  common() {
    return { undo: () => deeds.undo(), redo: () => deeds.redo(), help: () => studio.say("help"), grid: () => this.close() };
  }

  get shown() {
    return this.element.open;
  }

  show() {
    if (this.shown) return;
    this.from = document.activeElement;
    this.element.showModal();
  }

  close() {
    this.element.close();
  }

  closed() {
    if (this.from?.isConnected) this.from.focus({ preventScroll: true });
    this.from = null;
  }
}
