// Taking a picture or a template to production: as a Python program, as TOML or JSON, or as a provider's request; to read, to copy, to download.

import { Refused, api } from "./api.js";
import { Dialog } from "./dialog.js";
import { h, icon } from "./dom.js";
import { toast } from "./toast.js";

const KINDS = [
  ["python", "Python", "Draws it with diffusers and no studio."],
  ["toml", "TOML", "To keep beside your code, and to run again from the shell."],
  ["json", "JSON", "The same for other programs."],
  ["cloud", "Provider", "Asks a provider to draw it, as this studio would: the key stays in your environment."],
];
const LANGUAGES = [["python", "Python"], ["curl", "curl"]];
let dialog = null;

/** what: {image: id}, or {template: {name, version}} with values, seed, family and tier if wanted. about: which one, in words. */
export function openProduction(what, about) {
  dialog ??= new Production();
  dialog.open(what, about);
}

class Production extends Dialog {
  constructor() {
    const title = h("h2", { id: "cs-production-title" });
    const close = h("button", { type: "button", class: "cs-tool cs-close", "aria-label": "Close", onclick: () => this.close() }, icon("close"));
    const tabs = h("div", { class: "cs-production-kinds", role: "tablist", "aria-label": "Format" });
    const about = h("p", { class: "cs-production-about" });
    const choice = (label, onchange) => h("select", { class: "cs-choice", "aria-label": label, onchange });
    const provider = choice("Provider", () => this.ask({ provider: provider.value, model: null }));
    const model = choice("Model", () => this.ask({ model: model.value }));
    const language = choice("Written for", () => this.ask({ language: language.value }));
    fill(language, LANGUAGES, "python");
    const price = h("span", { class: "cs-production-price" });
    const cloud = h("div", { class: "cs-production-cloud", hidden: true }, provider, model, language, price);
    const command = h("code", { class: "cs-production-command" });
    const notes = h("ul", { class: "cs-production-notes", hidden: true });
    const text = h("pre", { class: "cs-production-text", tabindex: "0", role: "tabpanel", id: "cs-production-text" });
    const trouble = h("p", { class: "cs-error", role: "alert", hidden: true });
    const copy = h("button", { type: "button", class: "cs-plain", text: "Copy", onclick: () => this.copy() });
    const download = h("button", { type: "button", class: "cs-primary", text: "Download", onclick: () => this.download() });
    super("production", { "aria-labelledby": title.id }, h("div", { class: "cs-production-head" }, title, close), tabs, about, cloud, text, trouble, notes,
      h("div", { class: "cs-production-foot" }, command, copy, download));
    this.asked = { provider: null, model: null, language: "python" };
    Object.assign(this, { provider, model, language, price, cloud });
    Object.assign(this, { title, about, command, notes, text, trouble, buttons: [copy, download], downloads: download });
    this.tabs = KINDS.map(([kind, name]) => h("button", {
      type: "button", role: "tab", id: `cs-production-${kind}`, "aria-controls": text.id, text: name, data: { kind }, onclick: () => this.choose(kind),
    }));
    tabs.append(...this.tabs);
    tabs.addEventListener("keydown", (event) => this.along(event));
  }

  open(what, about) {
    this.what = what;
    this.asked.model = null;
    this.title.textContent = `Take to production: ${about}`;
    super.show();
    this.choose(this.kind ?? "python");
    this.tabs.find((tab) => tab.dataset.kind === this.kind).focus();
  }

  along(event) {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    event.stopPropagation();
    const next = this.tabs[(this.tabs.indexOf(document.activeElement) + step + this.tabs.length) % this.tabs.length];
    next.focus();
    this.choose(next.dataset.kind);
  }

  async choose(kind) {
    this.kind = kind;
    for (const tab of this.tabs) {
      const on = tab.dataset.kind === kind;
      tab.setAttribute("aria-selected", String(on));
      tab.tabIndex = on ? 0 : -1;
    }
    this.text.setAttribute("aria-labelledby", `cs-production-${kind}`);
    this.cloud.hidden = kind !== "cloud";
    await this.take();
  }

  /** changes: another provider, model or language. */
  async ask(changes) {
    Object.assign(this.asked, changes);
    await this.take();
  }

  /** What the server is asked for; null for what is nothing. */
  wanted() {
    if (this.kind !== "cloud") return { ...this.what, as: this.kind };
    const { provider, model, language } = this.asked;
    return { ...this.what, as: language, provider, model };
  }

  async take() {
    this.taken = null;
    const turn = (this.turn = (this.turn ?? 0) + 1);
    await this.attempt(async () => {
      if (this.kind === "cloud" && !this.provider.options.length) {
        const known = await api.productionProviders();
        fill(this.provider, known.map(({ name, title }) => [name, title]), known.some(({ name }) => name === "fal") ? "fal" : known[0].name);
        this.asked.provider = this.provider.value;
      }
      const taken = await api.production(this.wanted());
      if (this.turn === turn) this.show(taken);
    }, () => this.turn === turn);
  }

  show(taken) {
    this.taken = taken;
    this.describe();
    if (taken.cloud) {
      fill(this.model, taken.cloud.models.map((one) => [one.model, `${one.model_title}, ${one.price}`]), taken.cloud.model);
      this.model.hidden = false;
      this.price.textContent = `${taken.cloud.price} a picture by its prices`;
    }
    this.text.textContent = taken.text;
    this.text.scrollTop = 0;
    this.command.textContent = taken.command;
    this.command.title = taken.command;
    const beside = taken.files.length ? [`${taken.files.map((file) => file.name).join(", ")} must lie beside it: the download is a ZIP with both.`] : [];
    this.notes.replaceChildren(...[...beside, ...taken.notes].map((note) => h("li", { text: note })));
    this.notes.hidden = !this.notes.childElementCount;
    this.downloads.textContent = taken.files.length ? "Download ZIP" : `Download ${taken.name}`;
    for (const button of this.buttons) button.disabled = false;
  }

  describe() {
    this.about.textContent = KINDS.find(([kind]) => kind === this.kind)[2];
  }

  /** current: whether nothing newer was asked for meanwhile. */
  async attempt(act, current = () => true) {
    this.trouble.hidden = true;
    try {
      await act();
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      if (!current()) return;
      this.describe();
      this.notes.hidden = this.model.hidden = true;
      this.price.textContent = "";
      this.text.textContent = "";
      this.command.textContent = "";
      this.trouble.textContent = error.message;
      this.trouble.hidden = false;
      for (const button of this.buttons) button.disabled = true;
    }
  }

  async copy() {
    try {
      await navigator.clipboard.writeText(this.taken.text);
      toast("Copied");
    } catch {
      // Refused by the browser (no https on a LAN, or no permission): selected, so that one key copies it.
      getSelection().selectAllChildren(this.text);
      toast("Selected: copy it with Ctrl+C");
    }
  }

  async download() {
    const { name, text, files } = this.taken;
    const asked = this.wanted();
    await this.attempt(async () => {
      const content = files.length ? await api.productionFiles(asked) : new Blob([text], { type: "text/plain" });
      const url = URL.createObjectURL(content);
      h("a", { href: url, download: files.length ? name.replace(/\.\w+$/, ".zip") : name }).click();
      setTimeout(() => URL.revokeObjectURL(url), 60000);
    });
  }
}

function fill(list, options, chosen) {
  list.replaceChildren(...options.map(([value, text]) => h("option", { value, text })));
  list.value = chosen;
}
