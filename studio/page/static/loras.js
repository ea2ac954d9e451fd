// The LoRAs tab: a gallery to search, those that fit the chosen model first; files come in by drop; one LoRA open with its versions.

import { api } from "./api.js";
import { duration, h, plural } from "./dom.js";
import { aliases, called, kindOf, picture, size, version } from "./lorafacts.js";
import { LoraFolders } from "./lorafolders.js";
import { LoraImport } from "./loraimport.js";
import { LoraOne } from "./loraone.js";
import { LoraTrain } from "./loratrain.js";
import { tried } from "./settings.js";
import { studio } from "./studio.js";

export class CsLoras extends HTMLElement {
  connectedCallback() {
    if (this.firstChild) return;
    Object.assign(this, { facts: null, open: null, turn: 0 });
    this.search = h("input", { type: "search", id: "cs-lo-search", placeholder: "Search LoRAs", "aria-label": "Search LoRAs", autocomplete: "off", oninput: () => this.list() });
    this.file = h("input", { type: "file", accept: ".safetensors", multiple: true, hidden: true, "aria-label": "LoRA files", onchange: () => this.bring(this.file) });
    this.brings = h("button", { type: "button", class: "cs-primary", text: "Bring files", title: "safetensors as diffusers, ComfyUI, Forge, kohya or ai-toolkit write them", onclick: () => this.file.click() });
    this.trains = h("button", { type: "button", class: "cs-plain", text: "Train a LoRA", onclick: () => this.train() });
    this.told = h("p", { class: "cs-quiet", role: "status" });
    this.running = h("p", { class: "cs-lo-running", hidden: true });
    this.wrong = h("p", { class: "cs-error", role: "alert" });
    this.coming = new LoraImport(() => this.load());
    this.grid = h("ul", { class: "cs-lo-grid" });
    this.none = h("div", { class: "cs-empty", hidden: true });
    this.folders = new LoraFolders(() => this.load());
    this.trash = h("details", { class: "cs-lo-trash", hidden: true });
    this.gallery = h("div", {}, h("div", { class: "cs-lo-bar" }, this.search, this.brings, this.trains, this.told), this.running, this.wrong, this.grid, this.none, this.trash, this.folders.element);
    this.one = new LoraOne({ back: () => this.show(null), changed: () => this.load(), train: (lora) => this.train({ step: "settings", lora }), bring: () => this.file.click() });
    this.one.element.hidden = true;
    this.append(this.file, this.coming.element, this.gallery, this.one.element);
    for (const name of ["dragenter", "dragover", "dragleave", "drop"]) this.addEventListener(name, (event) => this.dragged(event));
    studio.on("tab", () => this.shown && this.load());
    for (const name of ["found", "loras", "choice", "dataset"]) studio.on(name, () => this.shown && this.load());
    studio.on("training", ({ event }) => this.shown && event === "state" && this.load());
    if (this.shown) this.load();
  }

  get shown() {
    return studio.tab === "loras";
  }

  async load() {
    if (!studio.about) return;
    const turn = ++this.turn;
    const asked = { family: studio.family, tier: this.tier() };
    const [facts, { trainings }] = await Promise.all([api.loras(asked), api.trainings()]);
    if (turn !== this.turn) return;
    this.facts = facts;
    this.folders.suit();
    this.runs(trainings);
    this.list();
    if (this.open) await this.one.refresh(asked);
  }

  /** The tier that a LoRA would be worn on: the chosen one, or the first that wears any. */
  tier() {
    const tiers = studio.about.families.find(({ name }) => name === studio.family)?.tiers ?? [];
    return studio.facts()?.loras ? studio.tier : (tiers.find(({ loras }) => loras)?.name ?? studio.tier);
  }

  found() {
    const words = this.search.value.toLowerCase().split(/\s+/).filter(Boolean);
    return this.facts.loras.filter((lora) => {
      const said = [lora.title, lora.name, lora.about, lora.kind, lora.owner, lora.base, lora.licence, ...lora.triggers].join(" ").toLowerCase();
      return words.every((word) => said.includes(word));
    });
  }

  list() {
    if (!this.facts) return;
    const { loras, trash } = this.facts;
    const found = this.found();
    const focused = this.grid.contains(document.activeElement) ? document.activeElement.dataset.name : null;
    const model = studio.facts(this.tier())?.card_title ?? "";
    const fit = found.filter(({ fits }) => fits).length;
    this.told.textContent = !loras.length ? "" : `${found.length === loras.length ? plural(found.length, "LoRA") : `${found.length} of ${plural(loras.length, "LoRA")}`}${found.length ? `, ${fit} for ${model}` : ""}`;
    this.grid.replaceChildren(...found.map((lora) => this.card(lora)));
    if (focused) [...this.grid.querySelectorAll(".cs-lo-open")].find(({ dataset }) => dataset.name === focused)?.focus({ preventScroll: true });
    this.search.disabled = !loras.length;
    this.none.hidden = found.length > 0;
    this.none.replaceChildren(...(loras.length
      ? [h("p", { text: "No LoRA fits these words." }), h("button", { type: "button", class: "cs-plain", text: "Show all", onclick: () => this.clear() })]
      : [h("h2", { text: "No LoRA yet" }), h("p", { text: "A LoRA teaches a model a style, a product or a world of its own. Drop .safetensors files here, and the studio finds out which model each was made for; or train one on pictures of your own." }),
        h("p", { class: "cs-quiet", text: "From diffusers, ComfyUI, Forge, kohya or ai-toolkit. Pickles (.pt, .ckpt) are never loaded." })]));
    this.trash.hidden = !trash.length;
    this.trash.replaceChildren(h("summary", { text: `In the trash (${trash.length})` }), h("ul", {}, ...trash.map((one) => h("li", {},
      h("span", {}, h("b", { text: `${one.title} v${one.number}` }), h("span", { class: "cs-quiet", text: ` ${size(one.bytes)} · by ${one.by}` })),
      h("button", { type: "button", class: "cs-plain", text: "Restore", "aria-label": `Restore ${one.title} v${one.number}`, onclick: () => this.restore(one) })))));
  }

  card(lora) {
    const { name, title, triggers, base, licence, fits, misfit, current, stale, versions } = lora;
    const used = version(lora, current);
    const states = [lora.aliases.candidate ? h("span", { class: "cs-lo-alias", data: { alias: "candidate" }, text: `candidate v${lora.aliases.candidate}` }) : null, stale ? h("span", { class: "cs-lo-alias", data: { alias: "stale" }, title: stale.words, text: "stale" }) : null].filter(Boolean);
    return h("li", { class: "cs-lo-card", data: fits ? {} : { unfit: "" } },
      h("button", { type: "button", class: "cs-lo-open", data: { name }, title: misfit || null, onclick: () => this.show(name) },
        h("span", { class: "cs-lo-picture" }, picture(lora)),
        h("b", { text: title }),
        triggers.length ? h("span", { class: "cs-lo-called" }, ...called(triggers.slice(0, 3))) : h("span", { class: "cs-quiet", text: `${kindOf(lora.kind)}, no trigger word` }),
        h("small", { text: used ? `${base} · v${current}${aliases(lora, current).includes("production") ? "" : versions.length > 1 ? ", the newest" : ""} · ${size(used.bytes)}` : "no version yet" }),
        licence ? h("small", { text: licence }) : null),
      states.length ? h("span", { class: "cs-lo-states" }, ...states) : null,
      used ? h("button", { type: "button", class: "cs-plain cs-lo-use", text: "Use", "aria-label": `Use ${title}`, disabled: !fits, title: fits ? "Adds it to the form" : misfit, onclick: () => studio.say("wear lora", { name }) }) : null);
  }

  /** What is being trained, where all LoRAs are seen. */
  runs(trainings) {
    const open = trainings.filter(({ state }) => ["running", "starting", "queued"].includes(state));
    this.running.hidden = !trainings.length;
    const first = open.find(({ state }) => state !== "queued") ?? open[0];
    const said = first ? `${first.title} ${first.state === "queued" ? "waits to be trained" : `is being trained: step ${first.step} of ${first.steps}${first.eta ? `, ${duration(first.eta)} left` : ""}`}${open.length > 1 ? `, and ${open.length - 1} more` : ""}.` : `${plural(trainings.length, "training")} so far.`;
    this.running.replaceChildren(h("span", { text: said }), h("button", { type: "button", class: "cs-link", text: first ? "Watch" : "Look at them", onclick: () => this.train({ step: "watch", training: first?.id }) }));
  }

  /** The way to a new one; see LoraTrain.open. */
  async train(how) {
    if (!this.trainer) {
      this.trainer = new LoraTrain({ back: () => this.trained(), opens: (name) => (this.trained(), this.show(name)) });
      this.append(this.trainer.element);
    }
    this.trainer.element.hidden = false;
    this.gallery.hidden = this.one.element.hidden = true;
    this.open = null;
    await this.trainer.open(how);
  }

  /** Back from there. */
  async trained() {
    this.trainer.element.hidden = true;
    await this.show(null);
    this.trains.focus();
  }

  clear() {
    this.search.value = "";
    this.list();
    this.search.focus();
  }

  /** One LoRA, or the gallery for null. */
  async show(name) {
    const before = this.open;
    if (name && !(await tried(() => this.one.open(name, { family: studio.family, tier: this.tier() }), "", this.wrong))) return;
    this.open = name;
    this.gallery.hidden = Boolean(name);
    this.one.element.hidden = !name;
    if (name) return this.one.heading.focus();
    await this.load();
    [...this.grid.querySelectorAll(".cs-lo-open")].find(({ dataset }) => dataset.name === before)?.focus();
  }

  async restore({ name, title, number }) {
    if (await tried(() => api.loraDo(name, "restore", { version: number }), `${title} v${number} is back.`, this.wrong)) await this.load();
  }

  bring(input) {
    const files = [...input.files];
    input.value = "";
    if (files.length) this.coming.take(files, this.open);
  }

  dragged(event) {
    if (![...event.dataTransfer.types].includes("Files") || (this.trainer && !this.trainer.element.hidden)) return;
    event.preventDefault();
    event.stopPropagation(); // the page's own veil is for pictures
    const veil = document.querySelector(".cs-veil");
    if (veil) veil.hidden = true;
    this.toggleAttribute("data-over", event.type === "dragover" || event.type === "dragenter");
    if (event.type !== "drop") return;
    this.coming.take([...event.dataTransfer.files], this.open);
  }
}
