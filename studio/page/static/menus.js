// A small menu below a button: entries of [text, note, run], or a form of one field.

import { h } from "./dom.js";

let menu = null;

function opened(button, content) {
  menu?.remove();
  menu = h("div", { class: "cs-menu", popover: "auto" }, content);
  const mine = menu;
  mine.addEventListener("toggle", (event) => {
    button.setAttribute("aria-expanded", String(event.newState === "open"));
    if (event.newState === "closed") {
      if (mine.contains(document.activeElement) || document.activeElement === document.body) button.focus({ preventScroll: true });
      mine.remove();
    }
  });
  mine.addEventListener("keydown", (event) => {
    const items = [...mine.querySelectorAll("button, input")];
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step) {
      event.preventDefault();
      items[(items.indexOf(document.activeElement) + step + items.length) % items.length]?.focus();
    }
    event.stopPropagation(); // its keys are not the grid's
  });
  (document.querySelector("dialog[open]") ?? document.querySelector(".gradio-container") ?? document.body).append(mine);
  mine.showPopover();
  const at = button.getBoundingClientRect();
  const { width, height } = mine.getBoundingClientRect();
  const below = at.bottom + 4 + height <= innerHeight;
  mine.style.left = `${Math.max(8, Math.min(at.left, innerWidth - width - 8))}px`;
  mine.style.top = `${below ? at.bottom + 4 : Math.max(8, at.top - height - 4)}px`;
  (mine.querySelector("input") ?? mine.querySelector("button"))?.focus();
  return mine;
}

/** Opens a menu at `button`. A run is called after the menu has closed. */
export function menuAt(button, entries) {
  const items = entries.map(([text, note, run]) => h("button", { type: "button", onclick: () => {
    mine.hidePopover();
    run();
  } }, h("span", { text }), note ? h("small", { text: note }) : null));
  const mine = opened(button, items);
}

/** Asks for a word at `button`; `run(word)` is called when one was given. known: words to choose from. */
export function askAt(button, label, known, run) {
  const list = h("datalist", { id: "cs-known-words" }, known.map((word) => h("option", { value: word })));
  const input = h("input", { type: "text", class: "cs-choice", "aria-label": label, placeholder: label, maxlength: "60", autocomplete: "off", list: "cs-known-words" });
  const form = h("form", { class: "cs-ask", onsubmit: (event) => {
    event.preventDefault();
    const word = input.value.trim();
    mine.hidePopover();
    if (word) run(word);
  } }, input, h("button", { type: "submit", class: "cs-primary", text: "Add" }), list);
  const mine = opened(button, [form]);
}
