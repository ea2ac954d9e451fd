// Which language model refines prompts: one behind an address, or one that runs on this machine, with its download. An admin's.

import { Refused, ask } from "./api.js";
import { h, set } from "./dom.js";
import { studio } from "./studio.js";

const BUSY = ["running", "waiting"];
const OTHER = "other";
const link = (url, text) => h("a", { href: url, target: "_blank", rel: "noopener noreferrer", text });
const size = (bytes) => (bytes >= 1e9 ? `${(bytes / 1e9).toFixed(2)} GB` : `${Math.round(bytes / 1e6)} MB`);

export class RefineSetup {
  /** about: as GET /api/refine says. done(about) is called once it is saved. */
  constructor(about, done) {
    Object.assign(this, { about, done, models: new Map() });
    this.trouble = h("p", { class: "cs-error", role: "alert", hidden: true });
    this.voice = h("p", { class: "cs-voice", role: "status" });
    this.save = h("button", { type: "button", class: "cs-primary", text: "Save", onclick: () => this.keep() });
    const where = (local, text) => this.radio("where", text, Boolean(about.local) === local, () => this.show(local));
    this.server = h("div", { class: "cs-refine-part" }, ...this.fields());
    this.other = this.field("place", "Folder, or repository in Hugging Face's cache", { type: "text", value: about.local.includes("/") ? about.local : "", placeholder: "/models/qwen or OWNER/NAME" });
    this.list = h("div", { class: "cs-refine-models", role: "radiogroup", "aria-label": "Which one" });
    this.here = h("div", { class: "cs-refine-part" }, this.list);
    this.element = h("div", { class: "cs-refine-setup" },
      h("div", { class: "cs-refine-where", role: "radiogroup", "aria-label": "Where it runs" }, where(false, "On a server"), where(true, "On this machine")),
      this.server, this.here, this.trouble, this.voice);
    this.show(Boolean(about.local));
    this.hear = (told) => this.told(told);
    studio.on("download", this.hear);
    this.load();
  }

  focus() {
    (this.local ? this.element.querySelector("input:checked") : this.url).focus();
  }

  show(local) {
    this.local = local;
    set(this.server, { hidden: local });
    set(this.here, { hidden: !local });
  }

  radio(name, text, checked, onchange, ...more) {
    const input = h("input", { type: "radio", name: `cs-refine-${name}`, onchange });
    input.checked = checked;
    return h("label", { class: "cs-refine-radio" }, input, h("span", {}, text, ...more));
  }

  field(name, label, more) {
    this[name] = h("input", { id: `cs-refine-${name}`, class: "cs-choice", autocomplete: "off", spellcheck: "false", ...more, onkeydown: (event) => {
      if (event.key !== "Enter") return;
      event.preventDefault(); // not the form around it
      this.keep();
    } });
    if (more.value) this[name].value = more.value;
    return h("label", { class: "cs-refine-field", for: this[name].id }, h("span", { text: label }), this[name]);
  }

  fields() {
    const { url, model, key, local } = this.about;
    return [
      this.field("url", "Address (empty switches it off)", { type: "url", value: url, placeholder: "http://localhost:11434/v1" }),
      this.field("model", "Model", { type: "text", value: local ? "" : model, placeholder: "qwen3:4b" }),
      this.field("key", key ? "Key (one is set; empty keeps it)" : "Key, if it needs one", { type: "password" }),
    ];
  }

  async load() {
    await this.attempt(async () => {
      const { models } = await ask("/api/refine/models");
      const chosen = this.about.local;
      this.chosen ??= models.some(({ name }) => name === chosen) ? chosen : chosen ? OTHER : models[0].name;
      this.list.replaceChildren(...models.map((model) => this.row(model)), this.otherRow());
    });
  }

  row(model) {
    const { name, title, about, state, download, licence, page } = model;
    const line = h("span", { class: "cs-quiet" });
    const box = h("div", { class: "cs-refine-model", data: { name, state } }, this.radio("model", title, this.chosen === name, () => this.choose(name)), h("p", { class: "cs-quiet", text: about }), h("p", {}, line, ...(BUSY.includes(state) ? [] : [" ", link(licence.url, licence.name), ", ", link(page, "its page"), "."])));
    const acts = h("div", { class: "cs-refine-tools" });
    const add = (text, act, data = {}, kind = "cs-plain") => acts.append(h("button", { type: "button", class: kind, text, "aria-label": `${text}: ${title}`, onclick: () => this.act(name, act, data) }));
    if (state === "ready") {
      line.textContent = `Is here, at ${model.path}.`;
      add("Remove", "remove", { confirm: name }, "cs-bare");
    } else if (BUSY.includes(state)) {
      line.textContent = arrived(download);
      add("Cancel", "cancel");
    } else if (state === "missing") {
      line.textContent = `Not downloaded: ${model.size}.`;
      add(`Download ${model.size}`, "download");
    } else {
      line.textContent = state === "failed" ? `${download.error.what} ${download.error.why} ${download.error.todo}` : `Stopped at ${size(download.done)}. What arrived is kept.`;
      add("Resume", "download");
      add("Discard", "discard", {}, "cs-bare");
    }
    box.append(acts);
    this.models.set(name, { model, line });
    return box;
  }

  otherRow() {
    return h("div", { class: "cs-refine-model" }, this.radio("model", "Another one", this.chosen === OTHER, () => this.choose(OTHER)), h("p", { class: "cs-quiet", text: "Any causal language model for transformers with a chat template, as safetensors." }), this.other);
  }

  choose(name) {
    this.chosen = name;
    if (name === OTHER) this.place.focus();
  }

  told(download) {
    if (!this.element.isConnected) return;
    const [kind, name] = download.card.split(":");
    const known = kind === "language" && this.models.get(name);
    if (!known) return;
    if (download.state === known.model.state) known.line.textContent = arrived(download);
    else this.load();
    if (!BUSY.includes(download.state)) this.voice.textContent = download.state === "done" ? `${known.model.title} is here.` : `${known.model.title}: download ${download.state}.`;
  }

  async act(name, act, data) {
    await this.attempt(() => ask(`/api/refine/models/${name}/${act}`, data));
    await this.load();
    this.list.querySelector(`[data-name="${CSS.escape(name)}"] button`)?.focus();
  }

  async keep() {
    const place = this.chosen === OTHER ? this.place.value : this.chosen;
    if (this.local && !place) return set(this.trouble, { text: "Write where the model lies, or choose one that is offered.", hidden: false });
    await this.attempt(async () => {
      const { url, model, key } = this;
      this.done(await ask("/api/refine/settings", this.local ? { local: place } : { url: url.value, model: model.value, ...(key.value ? { key: key.value } : {}) }));
    });
  }

  async attempt(act) {
    try {
      set(this.trouble, { hidden: true });
      await act();
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      set(this.trouble, { text: error.message, hidden: false });
    }
  }
}

/** "4 MB of 1000 MB · 2 MB/s" */
function arrived(download) {
  if (download.state === "waiting") return "Waits for another download to end.";
  if (!download.total) return "Asking the hub ...";
  return [`${size(download.done)} of ${size(download.total)}`, download.rate ? `${size(download.rate)}/s` : ""].filter(Boolean).join(" · ");
}
