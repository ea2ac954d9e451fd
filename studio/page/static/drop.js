// Pictures that come from outside: dropped on the page, pasted, or chosen by a button; and pictures of the history dragged to the form.
// A menu asks what for: their settings, to start from, or to show to the model.

import { api, Refused } from "./api.js";
import { Dialog, closeAll } from "./dialog.js";
import { h, set } from "./dom.js";
import { studio } from "./studio.js";
import { toast } from "./toast.js";

const OURS = "application/x-contact-sheet-picture";
const KINDS = "image/png,image/jpeg,image/webp";

/** Listens for the whole page. */
export function startDrops() {
  const veil = h("div", { class: "cs-veil", "aria-hidden": "true", hidden: true }, h("p", { text: "Drop the picture to use it" }));
  (document.querySelector(".gradio-container") ?? document.body).append(veil);
  let dragged = false; // from this very page: its files are the browser's idea, not the person's
  const carries = (event) => [...(event.dataTransfer?.types ?? [])].some((type) => type === OURS || (type === "Files" && !dragged));
  const over = (event) => {
    if (!carries(event)) return;
    event.preventDefault();
    event.dataTransfer.dropEffect = "copy";
    veil.hidden = false;
  };
  window.addEventListener("dragenter", over);
  window.addEventListener("dragover", over);
  window.addEventListener("dragleave", (event) => event.relatedTarget === null && (veil.hidden = true));
  window.addEventListener("drop", (event) => {
    veil.hidden = true;
    if (!carries(event)) return;
    event.preventDefault();
    const id = event.dataTransfer.getData(OURS);
    // A place that takes a picture for one thing only needs no menu.
    const place = event.target.closest?.("[data-cs-drop]");
    if (place) place.dispatchEvent(new CustomEvent("cs-drop", { detail: id ? { id: Number(id) } : { file: imageOf(event.dataTransfer.files) } }));
    else if (id) usePicture(Number(id));
    else useFiles(event.dataTransfer.files);
  });
  window.addEventListener("paste", (event) => {
    const files = [...(event.clipboardData?.files ?? [])].filter((file) => file.type.startsWith("image/"));
    if (!files.length || event.clipboardData.types.includes("text/plain")) return; // words are for the field that has the focus
    event.preventDefault();
    useFiles(files);
  });
  // Frames and tiles are buttons; they can be dragged once the pointer is down on them.
  window.addEventListener("pointerdown", (event) => {
    const element = event.target.closest?.(".cs-shot, .cs-tile");
    if (element) element.draggable = pictureOf(element)?.state === "drawn";
  }, true);
  window.addEventListener("dragstart", (event) => {
    dragged = true;
    const picture = pictureOf(event.target.closest?.(".cs-shot, .cs-tile"));
    if (!picture) return;
    event.dataTransfer.setData(OURS, String(picture.id));
    event.dataTransfer.effectAllowed = "copy";
  });
  window.addEventListener("dragend", () => {
    dragged = false;
    veil.hidden = true;
  });
  studio.on("use picture", (id) => usePicture(id));
}

function pictureOf(element) {
  return element?.image ?? element?.closest(".cs-frame")?.frame?.image ?? null;
}

/** A button that opens the file dialog, for those who do not drag. */
export function fileButton() {
  const input = h("input", { type: "file", accept: KINDS, hidden: true, tabindex: "-1", "aria-hidden": "true", onchange: () => {
    useFiles(input.files);
    input.value = ""; // the same file may be chosen again
  } });
  return h("span", { class: "cs-bring-button" }, h("button", { type: "button", class: "cs-link", text: "Use a picture", title: "Take its settings, start from it, or show it to the model. Dropping or pasting one does the same.", onclick: () => input.click() }), input);
}

const imageOf = (files) => [...files].find((one) => one.type.startsWith("image/")) ?? files[0];

async function useFiles(files) {
  const file = imageOf(files);
  if (!file) return;
  if (files.length > 1) toast(`One picture at a time: this is ${file.name}.`);
  await attempt(async () => {
    const brought = await api.bring(file, studio.family, studio.tier);
    ask({ image: brought.upload, thumb: brought.thumb, name: file.name, words: file.name, tool: brought.tool, form: brought.form, unmapped: brought.unmapped });
  });
}

async function usePicture(id) {
  await attempt(async () => {
    const image = await api.image(id);
    const form = { ...image.request, seed: image.seed, seeds: undefined };
    ask({ image: id, thumb: image.thumb, name: `Picture ${id}`, words: `Frame ${image.number} of job ${image.job}`, tool: "Contact Sheet", form, unmapped: [] });
  });
}

async function attempt(act) {
  try {
    await act();
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    toast(error.message, { wrong: true });
  }
}

let menu = null;

function ask(picture) {
  menu ??= new Menu();
  menu.ask(picture);
}

class Menu extends Dialog {
  constructor() {
    const title = h("h2", { id: "cs-bring-title", text: "Use this picture" });
    const thumb = h("img", { class: "cs-bring-thumb", alt: "", draggable: "false" });
    const name = h("p", { class: "cs-bring-name" });
    const choices = h("div", { class: "cs-bring-choices" });
    const unmapped = h("details", { class: "cs-unmapped" });
    super("bring", { "aria-labelledby": title.id }, h("div", { class: "cs-bring-head" }, thumb, h("div", {}, title, name)), choices, unmapped,
      h("p", { class: "cs-bring-foot" }, h("button", { type: "button", class: "cs-plain", text: "Cancel", onclick: () => this.close() })));
    Object.assign(this, { thumb, name, choices, unmapped });
    this.element.addEventListener("keydown", (event) => this.key(event));
  }

  ask(picture) {
    closeAll();
    this.picture = picture;
    this.thumb.src = picture.thumb;
    this.name.textContent = picture.name;
    const { form, tool, unmapped } = picture;
    const own = tool === "Contact Sheet";
    const family = form && studio.about.families.find((one) => one.name === form.family);
    const missing = family?.usable === false ? ` ${family.title} is not on this machine yet.` : "";
    const settings = !form ? "There are none in this file." : own ? `Prompt, size, seed and the rest fill the form.${missing}` : `Written by ${tool}${unmapped.length ? `; ${unmapped.length} of them have no place here` : ""}.${missing}`;
    const title = studio.facts()?.card_title ?? "This model";
    this.choices.replaceChildren(
      this.choice("1", "Use its settings", settings, Boolean(form), () => studio.say("reuse", { ...this.picture.form, prompt: this.picture.form.prompt ?? "" })),
      this.role("2", "img2img", "Start from it", "The prompt changes it, as far as you allow.", `${title} cannot start from a picture.`),
      this.role("3", "reference", "Show it to the model", "As a reference for what to draw.", `${title} takes no reference picture.`),
      this.choice("4", "It must look like this", "Every result is measured against it: the product, or the person.", true, () => {
        const { image, words } = this.picture;
        if (document.documentElement.dataset.csTab !== "tier") studio.show(studio.tier);
        studio.say("likeness", { image, words });
      }),
    );
    this.unmapped.hidden = !unmapped.length;
    this.unmapped.open = false;
    this.unmapped.replaceChildren(h("summary", { text: `What has no place here (${unmapped.length})` }),
      h("dl", {}, ...unmapped.flatMap((one) => [h("dt", { text: one.name }), h("dd", {}, h("code", { text: one.value }), h("span", { text: one.why }))])));
    this.show();
    this.choices.querySelector("button:not([aria-disabled])")?.focus();
  }

  role(key, role, text, note, cannot) {
    const can = studio.facts()?.roles?.includes(role) ?? false;
    return this.choice(key, text, can ? note : cannot, can, () => {
      const { image, words } = this.picture;
      if (document.documentElement.dataset.csTab !== "tier") studio.show(studio.tier);
      studio.say("start from", { image, role, words });
    });
  }

  choice(key, text, note, can, run) {
    const choose = () => {
      if (!can) return;
      this.from = null; // the form takes the focus
      this.close();
      run();
    };
    return set(h("button", { type: "button", class: "cs-bring-choice", onclick: choose, data: { key } },
      h("kbd", { text: key }), h("span", { class: "cs-bring-text", text }), h("span", { class: "cs-bring-note", text: note })), { "aria-disabled": can ? null : "true", "aria-keyshortcuts": key });
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const buttons = [...this.choices.children];
    const chosen = buttons.find((one) => one.dataset.key === event.key);
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!chosen && !step) return;
    event.preventDefault();
    if (chosen) chosen.click();
    else buttons[(buttons.indexOf(document.activeElement) + step + buttons.length) % buttons.length].focus();
  }
}
