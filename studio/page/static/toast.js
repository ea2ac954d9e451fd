// A quiet word at the foot of the page, also over a dialog.

import { h } from "./dom.js";

const hosts = new WeakMap(); // where it stands -> its element; a live region has to be there before it speaks

/** Shows `text` for a while and has it read out. `wrong`: it is a refusal. */
export function toast(text, { wrong = false, seconds = 4 } = {}) {
  const open = [...document.querySelectorAll("dialog[open]")].at(-1);
  const host = open ?? document.querySelector(".gradio-container") ?? document.body;
  const told = element(host);
  told.classList.toggle("cs-toast-wrong", wrong);
  told.setAttribute("role", wrong ? "alert" : "status");
  told.textContent = text;
  clearTimeout(told.timer);
  told.timer = setTimeout(() => (told.textContent = ""), (wrong ? 2 : 1) * seconds * 1000);
}

function element(host) {
  let told = hosts.get(host);
  if (!told?.isConnected) {
    told = h("p", { class: "cs-toast", role: "status", "aria-live": "polite" });
    host.append(told);
    hosts.set(host, told);
  }
  return told;
}
