// Training a LoRA in three steps: the pictures, the settings, and watching it. Settings come proposed for this machine; few have to be touched.

import { Refused, api } from "./api.js";
import { duration, h, plural, words } from "./dom.js";
import { LoraWatch } from "./lorawatch.js";

const STEPS = [["images", "Images"], ["settings", "Settings"], ["watch", "Watch"]];
const GIVES_WAY = [["previews", "To previews"], ["jobs", "To every picture"], ["never", "To nothing"]];
const PLAIN = ["steps", "rank", "rate"]; // what is worth a thought; the rest is folded away
const TITLES = { steps: "Steps", rank: "Rank", rate: "Learning rate", ema: "EMA decay", sigma_mean: "Noise, mean", sigma_std: "Noise, spread", sigma_uniform: "Noise, even share", validation: "Share held out", patience: "Patience (0: never stop early)" };
const CHOICES = { optimizer: ["adamw", "adamw8bit", "prodigy"], schedule: ["constant", "linear", "cosine"], precision: ["fp32", "bf16"], quantise: ["none", "fp8", "nf4"] };

export class LoraTrain {
  /** back(): to the gallery. opens(name): shows a LoRA. */
  constructor({ back, opens }) {
    Object.assign(this, { dataset: null, lora: "", proposal: null, inputs: new Map() });
    this.heading = h("h2", { tabindex: "-1", text: "Train a LoRA" });
    this.tabs = new Map(STEPS.map(([name, text], i) => [name, h("button", { type: "button", onclick: () => this.go(name) }, h("span", { "aria-hidden": "true", text: String(i + 1) }), text)]));
    this.watch = new LoraWatch(opens);
    this.pictures = h("cs-dataset");
    this.next = h("button", { type: "button", class: "cs-primary", text: "Next: settings", onclick: () => this.go("settings") });
    this.lacks = h("p", { class: "cs-quiet", role: "status" });
    this.wrong = h("p", { class: "cs-error", role: "alert" });
    this.form = h("form", { class: "cs-lt-settings", novalidate: true, onsubmit: (event) => (event.preventDefault(), this.begin()) });
    this.panels = { images: h("div", {}, this.pictures, h("div", { class: "cs-lt-next" }, this.lacks, this.next)), settings: h("div", {}, this.wrong, this.form), watch: this.watch.element };
    this.element = h("div", { class: "cs-lt" }, h("button", { type: "button", class: "cs-bare cs-lo-back", text: "All LoRAs", onclick: back }), this.heading,
      h("nav", { class: "cs-lt-steps", "aria-label": "Steps of a training" }, ...this.tabs.values()), ...Object.values(this.panels));
    this.pictures.addEventListener("cs-dataset", ({ detail }) => this.has(detail));
    this.show("images");
  }

  /** step: where to begin. lora: one that was trained here, to be trained again; training: the one to watch. */
  async open({ step = "images", lora = "", training = undefined } = {}) {
    if (lora) {
      await this.pictures.showList(); // its dataset is the studio's to know
      this.lora = lora;
    }
    await this.go(step, training);
    this.heading.focus();
  }

  has(dataset) {
    if (dataset?.id !== this.dataset?.id && this.dataset) this.lora = "";
    this.dataset = dataset;
    const bad = dataset && !dataset.ready;
    this.next.disabled = !dataset || bad;
    this.next.hidden = !dataset;
    this.lacks.textContent = bad ? "It can be trained on when what is told above is seen to." : "";
    this.tabs.get("settings").disabled = this.next.disabled;
  }

  show(step) {
    this.step = step;
    for (const [name, button] of this.tabs) button.setAttribute("aria-current", name === step ? "step" : "false");
    for (const [name, panel] of Object.entries(this.panels)) panel.hidden = name !== step;
    this.tabs.get("settings").disabled = !this.dataset?.ready;
  }

  async go(step, training) {
    this.show(step);
    if (step === "settings") await this.propose();
    if (step === "watch") await this.watch.load(training);
  }

  // Settings.

  async propose() {
    this.wrong.textContent = "";
    try {
      this.proposal = await api.proposeTraining({ ...(this.dataset ? { dataset: this.dataset.id } : {}), ...(this.lora ? { lora: this.lora } : {}) });
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      this.form.replaceChildren();
      this.wrong.textContent = error.message;
      return;
    }
    this.draw();
  }

  draw() {
    const { dataset, lora, settings, words: said, missing, parent, seconds, ready } = this.proposal;
    this.inputs.clear();
    this.name = h("input", { type: "text", id: "cs-lt-name", maxlength: 60, autocomplete: "off", spellcheck: "false", onchange: () => this.named() });
    this.name.value = lora;
    this.way = h("select", { id: "cs-lt-way" }, ...GIVES_WAY.map(([value, text]) => h("option", { value, text })));
    this.note = h("input", { type: "text", id: "cs-lt-note", maxlength: 500, autocomplete: "off", placeholder: "What is tried this time" });
    this.judged = h("input", { type: "checkbox", id: "cs-lt-evaluate" });
    this.judged.checked = this.proposal.evaluate;
    const rest = Object.keys(settings).filter((name) => !PLAIN.includes(name) && !["samples", "prior"].includes(name));
    this.samples = h("textarea", { id: "cs-lt-samples", rows: 3 });
    this.samples.value = (settings.samples ?? []).map(({ prompt }) => prompt).join("\n");
    this.toml = h("textarea", { id: "cs-lt-toml", rows: 3, spellcheck: "false", placeholder: "[prior]\nweight = 0.5" });
    const time = seconds ? ` The last one like it took about ${duration(seconds)}.` : "";
    this.begins = h("button", { type: "submit", class: "cs-primary", text: "Begin training", disabled: Boolean(missing) || !ready });
    this.form.replaceChildren(
      h("p", {}, h("b", { text: dataset.title }), ` · ${plural(dataset.count, "picture")} · ${dataset.card_title}${dataset.trigger ? " · " : ""}`, dataset.trigger ? h("code", { text: dataset.trigger }) : ""),
      h("p", { class: "cs-quiet", text: `${said}.${time}` }),
      missing ? h("p", { class: "cs-error", text: missing }) : "",
      h("div", { class: "cs-lt-fields" }, field("Name of the LoRA", this.name, parent ? `its next version, after v${parent}` : "a new one"), ...PLAIN.filter((name) => name in settings).map((name) => this.setting(name, settings[name])), field("It gives way", this.way), field("Note", this.note), field("Evaluate it afterwards", this.judged)),
      field("Drawn while it trains, a prompt a line", this.samples),
      h("details", { class: "cs-lt-advanced" }, h("summary", { text: "Advanced" }), h("div", { class: "cs-lt-fields" }, ...rest.map((name) => this.setting(name, settings[name]))), field("Anything else, as TOML", this.toml)),
      h("div", { class: "cs-lo-acts" }, this.begins));
  }

  setting(name, value) {
    const id = `cs-lt-set-${name}`;
    let input;
    if (typeof value === "boolean") input = h("input", { type: "checkbox", id, checked: value });
    else if (CHOICES[name]) {
      input = h("select", { id }, ...CHOICES[name].map((one) => h("option", { value: one, text: one })));
      input.value = value;
    } else {
      input = h("input", { type: "text", id, autocomplete: "off", ...(typeof value === "number" ? { inputmode: "decimal" } : {}) });
      input.value = Array.isArray(value) ? value.join(", ") : String(value);
    }
    const error = h("p", { class: "cs-error", id: `${id}-error` });
    this.inputs.set(name, { input, error, was: value });
    const title = TITLES[name] ?? words(name).replace(/^./, (letter) => letter.toUpperCase());
    return h("div", { class: "cs-lo-field" }, h("label", { for: id, text: title }), input, error);
  }

  /** Another name may mean another LoRA, with a version to follow. */
  async named() {
    this.lora = this.name.value.trim();
    await this.propose();
  }

  /** What differs from the proposal, each as the kind of value it was. */
  changed() {
    const settings = {};
    for (const [name, { input, was }] of this.inputs) {
      const value = input.type === "checkbox" ? input.checked : read(input.value, was);
      if (JSON.stringify(value) !== JSON.stringify(was)) settings[name] = value;
    }
    const before = this.proposal.settings.samples ?? [];
    const prompts = this.samples.value.split("\n").map((line) => line.trim()).filter(Boolean);
    if (JSON.stringify(prompts) !== JSON.stringify(before.map(({ prompt }) => prompt))) settings.samples = prompts.map((prompt, i) => ({ seed: before[i]?.seed ?? i + 1, prompt }));
    return settings;
  }

  async begin() {
    if (this.busy) return;
    this.busy = true;
    this.wrong.textContent = "";
    for (const { input, error } of this.inputs.values()) {
      error.textContent = "";
      input.removeAttribute("aria-invalid");
    }
    try {
      const asked = { dataset: this.proposal.dataset.id, lora: this.name.value.trim(), settings: this.changed(), gives_way: this.way.value, note: this.note.value, evaluate: this.judged.checked };
      if (this.toml.value.trim()) asked.toml = this.toml.value;
      const { id } = await api.newTraining(asked);
      await this.go("watch", id);
      this.watch.heading.focus();
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      this.refuse(error);
    } finally {
      this.busy = false;
    }
  }

  refuse(error) {
    const place = this.inputs.get((error.field ?? "").split(".")[1]);
    if (!place) {
      this.wrong.textContent = error.message;
      this.wrong.scrollIntoView({ block: "nearest" });
      return;
    }
    place.error.textContent = error.message;
    place.input.setAttribute("aria-invalid", "true");
    place.input.setAttribute("aria-describedby", place.error.id);
    const folded = place.input.closest("details");
    if (folded) folded.open = true;
    place.input.focus();
  }
}

/** A field's text as the kind of value that `was` is; what cannot be read goes as it is, for the studio to refuse by name. */
function read(written, was) {
  const number = (one) => (one.trim() !== "" && Number.isFinite(Number(one)) ? Number(one) : one);
  if (Array.isArray(was)) return written.split(",").map((one) => one.trim()).filter(Boolean).map((one) => (was.every((other) => typeof other === "string") && was.length ? one : number(one)));
  return typeof was === "number" ? number(written) : written;
}

function field(text, input, hint = "") {
  return h("div", { class: "cs-lo-field" }, h("label", { for: input.id }, text, hint ? h("span", { class: "cs-quiet", text: ` ${hint}` }) : null), input);
}
