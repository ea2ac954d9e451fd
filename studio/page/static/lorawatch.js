// Trainings as they go: what waits and runs, and one of them with its curves, its samples and what can be done.

import { api } from "./api.js";
import { duration, h, plural, set } from "./dom.js";
import { curve, number } from "./loracurve.js";
import { when } from "./lorafacts.js";
import { tried } from "./settings.js";
import { studio } from "./studio.js";

const STATES = { queued: "waits", starting: "begins", running: "is training", stopping: "is stopping", stopped: "stopped", done: "done", failed: "failed", cancelled: "cancelled" };
const DEEDS = {
  stop: ["Pause", "Writes a checkpoint and lets go of the device"], resume: ["Go on", "From its last checkpoint"],
  keep: ["Stop and keep the best", "Ends it now: the best so far becomes a version"], cancel: ["Cancel", "Nothing comes of it"], remove: ["Remove", "The version that it became stays"],
};
const LOOK_MS = 1000; // between two looks at the same training, however much is told

export class LoraWatch {
  /** opens(name): shows the LoRA that came of one. */
  constructor(opens) {
    Object.assign(this, { opens, id: null, view: null, due: null, latest: 0, chosen: null, turn: 0 });
    this.list = h("ul", { class: "cs-lt-list", "aria-label": "Trainings" });
    this.wrong = h("p", { class: "cs-error", role: "alert" });
    this.heading = h("h3", { tabindex: "-1" });
    this.state = h("p", { role: "status" });
    this.bar = h("progress", { max: 1, value: 0, "aria-label": "Steps done" });
    this.deeds = h("div", { class: "cs-lo-acts" });
    this.failure = h("div", { class: "cs-lt-failure", role: "alert", hidden: true });
    this.figures = h("dl", { class: "cs-lo-facts" });
    this.plot = h("div");
    this.slider = h("input", { type: "range", min: 0, step: 1, "aria-label": "Samples after so many steps", oninput: () => this.sampled(Number(this.slider.value)) });
    this.step = h("output");
    this.pictures = h("ul", { class: "cs-lo-samples" });
    this.samples = h("section", { class: "cs-lt-samples" }, h("h4", { text: "Samples" }), this.pictures, h("div", { class: "cs-lt-slide" }, this.slider, this.step));
    this.notes = h("ul", { class: "cs-lt-notes", "aria-label": "Notes" });
    this.settings = h("details", { class: "cs-lo-more" });
    this.one = h("article", { class: "cs-lo-version", hidden: true }, h("div", { class: "cs-lo-vhead" }, this.heading, this.deeds), this.state, this.bar, this.failure, this.figures, this.plot, this.samples, this.notes, this.settings);
    this.none = h("p", { class: "cs-quiet", text: "Nothing has been trained here yet." });
    this.element = h("div", { class: "cs-lt-watch" }, this.wrong, this.one, this.list, this.none);
    studio.on("training", (told) => this.heard(told));
  }

  get shown() {
    return this.element.isConnected && !this.element.closest("[hidden]");
  }

  /** id: the one to open; the newest where none is open yet. */
  async load(id = this.id) {
    const turn = ++this.turn;
    const { trainings, others } = await api.trainings();
    if (turn !== this.turn) return;
    this.id = id ?? trainings[0]?.id ?? null;
    this.none.hidden = trainings.length > 0;
    this.list.replaceChildren(...trainings.map((one) => this.entry(one)), ...others.map((one) => h("li", { class: "cs-quiet", text: `Somebody else's ${STATES[one.state] ?? one.state}, step ${one.step} of ${one.steps}${one.eta ? `, ${duration(one.eta)} left` : ""}` })));
    this.one.hidden = this.id === null;
    if (this.id !== null) await this.look();
  }

  entry({ id, title, state, step, steps, eta, created, number: version }) {
    const said = state === "running" ? `step ${step} of ${steps}${eta ? `, ${duration(eta)} left` : ""}` : state === "done" && version ? `became v${version}` : STATES[state] ?? state;
    return h("li", {}, h("button", { type: "button", class: "cs-lt-entry", "aria-pressed": String(id === this.id), onclick: () => this.pick(id) }, h("b", { text: title }), h("span", { class: "cs-quiet", text: `${said} · ${when(created)}` })));
  }

  async pick(id) {
    this.chosen = null;
    await this.load(id);
    this.heading.focus();
  }

  heard({ id, event }) {
    if (!this.shown) return;
    if (event === "state") this.load();
    else if (id === this.id) this.soon();
  }

  soon() {
    clearTimeout(this.due);
    this.due = setTimeout(() => this.shown && this.id !== null && this.look(), Math.max(0, this.latest + LOOK_MS - Date.now()));
  }

  async look() {
    const id = this.id;
    this.latest = Date.now();
    const view = await api.training(id);
    if (id === this.id) this.show(view);
  }

  show(view) {
    this.view = view;
    const { title, state, step, steps, eta, waits, note, trigger, dataset, card_title: card, number: version, curves, samples, notes } = view;
    this.heading.textContent = `${title}${version ? ` v${version}` : ""}`;
    const left = eta ? `, ${duration(eta)} left` : "";
    this.state.textContent = state === "running" ? `Step ${step} of ${steps}${left}.` : [`${STATES[state] ?? state}${step && state !== "done" ? ` at step ${step} of ${steps}` : ""}.`, waits].filter(Boolean).join(" ").replace(/^./, (letter) => letter.toUpperCase());
    set(this.bar, { value: steps ? step / steps : 0 });
    this.bar.hidden = state === "done";
    const focused = this.deeds.contains(document.activeElement) ? document.activeElement.dataset.act : null;
    this.deeds.replaceChildren(...(view.number && state === "done" ? [h("button", { type: "button", class: "cs-primary", text: `Open ${title}`, onclick: () => this.opens(view.lora) })] : []),
      ...view.can.map((act) => h("button", { type: "button", class: "cs-plain", text: DEEDS[act][0], title: DEEDS[act][1], data: { act }, onclick: () => this.do(act) })));
    if (focused) (this.deeds.querySelector(`[data-act="${focused}"]`) ?? this.heading).focus();
    this.failed(view.failure);
    const facts = [["On", card], ["Dataset", `${dataset.title}, ${plural(dataset.count, "picture")}`], trigger ? ["Trigger", trigger] : null, view.loss != null ? ["Loss", number(view.loss)] : null, view.validation != null ? ["Validation", number(view.validation)] : null,
      view.best != null ? ["Best", `${number(view.best)} at step ${view.best_step}`] : null, view.memory ? ["Memory", `${number(view.memory)} GiB`] : null, view.device_seconds ? ["Device time", duration(view.device_seconds)] : null, note ? ["Note", note] : null].filter(Boolean);
    this.figures.replaceChildren(...facts.map(([name, said]) => h("div", {}, h("dt", { text: name }), h("dd", { text: said }))));
    this.plot.replaceChildren(curve(curves, steps, view.best_step ?? null));
    const drawn = samples.filter(({ pictures }) => pictures.length);
    this.samples.hidden = !drawn.length;
    this.drawn = drawn;
    if (drawn.length) {
      const at = this.chosen === null ? drawn.length - 1 : Math.min(this.chosen, drawn.length - 1);
      set(this.slider, { max: drawn.length - 1 });
      this.slider.value = at;
      this.slider.hidden = drawn.length < 2;
      this.sampled(at, this.chosen !== null);
    }
    this.notes.replaceChildren(...notes.filter(Boolean).slice(-6).map((text) => h("li", { text })));
    this.notes.hidden = !this.notes.firstChild;
    const open = this.settings.open;
    this.settings.replaceChildren(h("summary", { text: "Its settings, as TOML" }), h("pre", { class: "cs-lo-config", tabindex: "0", "aria-label": "Settings", text: view.toml }));
    this.settings.open = open;
    this.settings.hidden = !view.toml;
  }

  failed(failure) {
    this.failure.hidden = !failure;
    if (failure) this.failure.replaceChildren(h("b", { text: failure.what }), h("p", { text: [failure.why, failure.todo].filter(Boolean).join(" ") }));
  }

  /** The samples after so many looks; by a person's hand they stay there while others come. */
  sampled(at, held = true) {
    const { step, pictures } = this.drawn[at];
    this.chosen = held && at < this.drawn.length - 1 ? at : null;
    this.step.textContent = `after step ${step}`;
    this.slider.setAttribute("aria-valuetext", `after step ${step}`);
    const key = pictures.join();
    if (this.pictured === key) return;
    this.pictured = key;
    this.pictures.replaceChildren(...pictures.map((url, place) => {
      const prompt = this.view.settings?.samples?.[place]?.prompt ?? "";
      return h("li", {}, h("img", { src: url, alt: prompt || `Sample ${place + 1}`, title: prompt }));
    }));
  }

  async do(act) {
    const id = this.id;
    if (!(await tried(() => api.trainingDo(id, act), "", this.wrong))) return;
    if (act === "remove") this.id = null;
    await this.load();
  }
}
