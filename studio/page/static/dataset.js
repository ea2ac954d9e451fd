// <cs-dataset>: the pictures a LoRA is trained on. A list of datasets, then one of them: bring pictures, see how each is cropped and what is
// wrong with it, write or propose captions. With `fixed` it has no list: whoever places it says which one by open(id).
//
// It tells, bubbling: "cs-dataset" with the dataset as the server sends it (null for the list), after every change.

import { Refused, api } from "./api.js";
import { bringAll } from "./datasetbring.js";
import { DatasetTile } from "./datasettile.js";
import { h, icon, plural, set } from "./dom.js";
import { studio } from "./studio.js";

const OURS = "application/x-contact-sheet-picture";
const KINDS = "image/png,image/jpeg,image/webp,image/tiff,image/bmp,.tif,.tiff,.zip,.txt,.caption,.jsonl";
const SIZES = [256, 512, 768, 1024];
const ICONS = { bad: "fail", warn: "warn", note: "none" };
const SHOWN = [["all", "All"], ["wrong", "With warnings"], ["bare", "Without caption"]];

export class CsDataset extends HTMLElement {
  connectedCallback() {
    if (this.firstChild) return;
    this.view = null;
    this.tiles = new Map();
    this.turn = 0;
    this.wrong = h("p", { class: "cs-error", role: "alert" });
    this.list = h("div", { class: "cs-ds-list" });
    this.one = h("div", { class: "cs-ds-one", hidden: true });
    this.append(this.list, this.wrong, this.one);
    this.build();
    for (const name of ["dragenter", "dragover", "dragleave", "drop"]) this.addEventListener(name, (event) => this.dragged(event));
    studio.on("dataset", (told) => this.heard(told));
    studio.on("captioners", () => {
      this.about = null;
      if (this.view) this.open(this.view.id);
    });
    studio.on("found", () => (this.view ? this.open(this.view.id) : this.showList()));
    if (!this.hasAttribute("fixed")) this.showList();
  }

  // What may be asked of it.

  /** Shows a dataset. */
  open(id) {
    return this.tried(async () => {
      this.about ??= await api.datasets();
      this.show(await api.dataset(id));
    });
  }

  /** Shows the list, and the way to a new one. */
  showList() {
    return this.tried(async () => {
      const about = (this.about = await api.datasets());
      this.view = null;
      this.list.hidden = false;
      this.one.hidden = true;
      this.drawList(about);
      this.tell();
    });
  }

  // The list.

  drawList({ datasets, kinds, cards }) {
    const title = h("input", { type: "text", id: "cs-ds-title", maxlength: 80, placeholder: "Blue ceramic", autocomplete: "off" });
    const trigger = h("input", { type: "text", id: "cs-ds-trigger", maxlength: 40, placeholder: "blucer", autocomplete: "off", spellcheck: "false" });
    const card = h("select", { id: "cs-ds-card" }, ...cards.map(({ name, title: words, here }) => h("option", { value: name, text: here ? words : `${words} (not on this machine)` })));
    card.value = studio.facts()?.card && cards.some(({ name }) => name === studio.facts().card) ? studio.facts().card : (cards.find(({ here }) => here) ?? cards[0]).name;
    const heard = h("p", { class: "cs-quiet cs-ds-heard" });
    const offer = () => {
      const words = wellHeard(cards, card.value);
      trigger.placeholder = words[0] ?? "blucer";
      offered(heard, words, (word) => (trigger.value = word));
    };
    card.addEventListener("change", offer);
    offer();
    const kind = h("div", { class: "cs-ds-kinds", role: "radiogroup", "aria-label": "What the LoRA is to learn" }, ...kinds.map((one, place) =>
      h("label", { class: "cs-ds-kind" }, h("input", { type: "radio", name: "cs-ds-kind", value: one.name, checked: place === 0 }), h("b", { text: one.title }), h("span", { class: "cs-quiet", text: one.about }))));
    const begin = h("form", { class: "cs-ds-new", onsubmit: (event) => {
      event.preventDefault();
      this.tried(async () => this.show(await api.newDataset({ title: title.value, trigger: trigger.value, card: card.value, kind: kind.querySelector(":checked").value })));
    } },
    h("h3", { text: "New dataset" }), kind,
    h("div", { class: "cs-ds-fields" },
      field("Title", title), field("Trigger word", trigger, "A made-up word that calls what was learned"), field("For", card),
      h("button", { type: "submit", class: "cs-primary", text: "Create" }), heard));
    const tiles = datasets.map((one) => h("li", {}, h("button", { type: "button", class: "cs-ds-card", onclick: () => this.open(one.id) },
      one.cover ? h("img", { src: one.cover, alt: "", loading: "lazy", draggable: "false" }) : h("span", { class: "cs-ds-blank", "aria-hidden": "true" }),
      h("b", { text: one.title }), h("span", { class: "cs-quiet", text: `${plural(one.count, "picture")} · ${kinds.find(({ name }) => name === one.kind)?.title ?? one.kind} · ${one.card_title}` }))));
    this.list.replaceChildren(
      ...(tiles.length ? [h("h3", { text: "Datasets" }), h("ul", { class: "cs-ds-cards" }, ...tiles)] : []), begin);
  }

  // One.

  build() {
    this.files = h("input", { type: "file", id: "cs-ds-files", class: "cs-voice", multiple: true, accept: KINDS, onchange: () => this.take(this.files) });
    this.folder = h("input", { type: "file", id: "cs-ds-folder", class: "cs-voice", webkitdirectory: true, onchange: () => this.take(this.folder) });
    this.called = h("input", { type: "text", class: "cs-ds-name", maxlength: 80, "aria-label": "Title of the dataset", onchange: () => this.change({ title: this.called.value }) }); // an element has a title of its own
    this.kind = h("select", { id: "cs-ds-kind-of", onchange: () => this.change({ kind: this.kind.value }) });
    this.trigger = h("input", { type: "text", id: "cs-ds-trigger-of", maxlength: 40, autocomplete: "off", spellcheck: "false", onchange: () => this.change({ trigger: this.trigger.value }) });
    this.names = h("p", { class: "cs-quiet cs-ds-heard" });
    this.card = h("select", { id: "cs-ds-card-of", onchange: () => this.change({ card: this.card.value }) });
    this.size = h("select", { id: "cs-ds-size", onchange: () => this.change({ resolution: Number(this.size.value) }) });
    this.fit = h("select", { id: "cs-ds-fit", onchange: () => this.change({ fit: this.fit.value }) },
      h("option", { value: "bucket", text: "Each picture's own" }), h("option", { value: "square", text: "Square" }));
    this.advice = h("p", { class: "cs-quiet" });
    this.zone = h("div", { class: "cs-ds-drop" },
      h("p", {}, h("label", { class: "cs-plain", for: "cs-ds-files", text: "Choose pictures" }), this.files, h("label", { class: "cs-plain", for: "cs-ds-folder", text: "Choose a folder" }), this.folder, h("span", { text: "or drop pictures, a folder or a ZIP here" })),
      h("p", { class: "cs-quiet", text: "Captions come along in .txt files of the same name. Frames from the sheet and the history can be dragged here too." }));
    this.bringing = h("div", { class: "cs-ds-bringing", role: "status" });
    this.findings = h("ul", { class: "cs-ds-findings", "aria-label": "About the whole dataset" });
    this.proposing = h("div", { class: "cs-ds-propose" });
    this.find = h("input", { type: "text", "aria-label": "Words to find in captions", placeholder: "find", autocomplete: "off" });
    this.instead = h("input", { type: "text", "aria-label": "Words to put instead", placeholder: "replace with", autocomplete: "off" });
    this.filter = h("div", { class: "cs-ds-filter", role: "group", "aria-label": "Which pictures are shown" });
    this.which = "all";
    this.grid = h("ul", { class: "cs-ds-grid" });
    this.none = h("p", { class: "cs-quiet cs-ds-none", hidden: true });
    this.out = h("p", { class: "cs-quiet cs-ds-out" });
    this.made = h("div", { class: "cs-ds-made" });
    const back = this.hasAttribute("fixed") ? "" : h("button", { type: "button", class: "cs-plain", onclick: () => this.showList() }, icon("left"), h("span", { text: "All datasets" }));
    this.tools = h("div", { class: "cs-ds-tools" }, this.filter, this.proposing,
      h("form", { class: "cs-ds-replace", onsubmit: (event) => (event.preventDefault(), this.replace()) }, this.find, this.instead, h("button", { type: "submit", class: "cs-plain", text: "Replace in captions" })));
    this.one.append(h("div", { class: "cs-ds-head" }, back, this.called),
      h("div", { class: "cs-ds-fields" }, field("It learns", this.kind), field("Trigger word", this.trigger), field("For", this.card), field("Size", this.size), field("Shape", this.fit), this.names),
      this.advice, this.zone, this.bringing, this.findings, this.tools, this.grid, this.none, this.out, this.made);
  }

  show(view) {
    this.turn += 1;
    const other = this.view?.id !== view.id;
    this.view = view;
    this.list.hidden = true;
    this.one.hidden = false;
    if (other) {
      this.tiles.clear();
      this.which = "all";
      this.bringing.replaceChildren();
    }
    this.fields(view);
    this.findings.replaceChildren(...view.findings.map(finding));
    this.findings.hidden = !view.findings.length;
    this.offers(view);
    this.pictures(view);
    this.history(view);
    this.tell();
  }

  fields(view) {
    const { kinds, cards } = this.about;
    const options = (select, pairs, value) => {
      select.replaceChildren(...pairs.map(([name, text]) => h("option", { value: name, text })));
      select.value = value;
    };
    options(this.kind, kinds.map(({ name, title }) => [name, title]), view.kind);
    options(this.card, cards.map(({ name, title, here }) => [name, here ? title : `${title} (not here)`]), view.card);
    options(this.size, [...new Set([...SIZES, view.resolution])].sort((a, b) => a - b).map((side) => [side, `about ${side} x ${side}`]), view.resolution);
    this.fit.value = view.fit;
    for (const [input, value] of [[this.called, view.title], [this.trigger, view.trigger]]) if (document.activeElement !== input) input.value = value;
    for (const input of [this.called, this.kind, this.trigger, this.card, this.size, this.fit]) input.disabled = !view.mine;
    const words = view.mine && !view.trigger ? wellHeard(cards, view.card) : [];
    offered(this.names, words, (word) => this.change({ trigger: word }));
    this.advice.textContent = view.advice;
    this.zone.hidden = !view.mine;
  }

  pictures(view) {
    const shown = view.images.filter((image) => this.passes(image));
    const counts = { all: view.images.length, wrong: view.images.filter(hasWarning).length, bare: view.images.filter(({ caption }) => !caption).length };
    this.tools.hidden = !view.images.length;
    this.filter.replaceChildren(...SHOWN.map(([name, text]) => h("button", { type: "button", class: "cs-plain", "aria-pressed": String(this.which === name), text: `${text} ${counts[name]}`, onclick: () => ((this.which = name), this.pictures(this.view)) })));
    const there = new Set(view.images.map(({ id }) => id));
    for (const id of this.tiles.keys()) if (!there.has(id)) this.tiles.delete(id);
    const tiles = shown.map((image) => {
      let tile = this.tiles.get(image.id);
      if (!tile) this.tiles.set(image.id, (tile = new DatasetTile(this)));
      tile.show(image, view);
      return tile.element;
    });
    const focused = document.activeElement;
    if (tiles.length !== this.grid.children.length || tiles.some((element, place) => this.grid.children[place] !== element)) this.grid.replaceChildren(...tiles);
    if (focused?.isConnected && focused !== document.activeElement) focused.focus({ preventScroll: true });
    this.none.hidden = shown.length > 0 || !view.images.length;
    this.none.textContent = this.which === "wrong" ? "No picture has a warning." : "Every picture has a caption.";
  }

  passes(image) {
    if (this.which === "wrong") return hasWarning(image);
    return this.which !== "bare" || !image.caption;
  }

  /** Proposed captions: a button, what is under way, or what is missing for it. */
  offers(view) {
    const bare = view.images.filter(({ caption }) => !caption).length;
    const ask = (text, asked) => h("button", { type: "button", class: "cs-plain", text, onclick: () => this.tried(async () => this.show(await api.datasetDo(view.id, "propose", asked))) });
    if (!view.mine) this.proposing.replaceChildren();
    else if (view.asked) this.proposing.replaceChildren(h("span", { role: "status", text: `Looking at ${plural(view.asked, "picture")} ...` }), h("button", { type: "button", class: "cs-plain", text: "Stop", onclick: () => this.tried(async () => this.show(await api.datasetDo(view.id, "propose/stop", {}))) }));
    else if (view.captioner.missing) this.proposing.replaceChildren(h("span", { class: "cs-quiet", text: view.captioner.missing }), ...this.downloads());
    else this.proposing.replaceChildren(...(bare ? [ask(`Propose ${plural(bare, "caption")}`, {})] : []), ...(bare < view.images.length ? [ask("Propose all anew", { replace: true })] : []));
    this.proposing.title = view.captioner.missing ? "" : `By: ${view.captioner.title}`;
  }

  downloads() {
    const offered = this.about?.captioners.find(({ offered: one }) => one);
    if (!offered || !this.about.admin) return [];
    if (["waiting", "running"].includes(offered.state)) return [h("span", { text: "It is being downloaded." })];
    return [h("button", { type: "button", class: "cs-plain", text: `Download ${offered.title} (${offered.size}, ${offered.licence.name})`, onclick: () => this.tried(async () => {
      await api.captioner(offered.name, "download");
      this.about = await api.datasets();
      this.open(this.view.id);
    }) })];
  }

  history(view) {
    const gone = view.removed_images;
    this.out.replaceChildren(...(gone.length && view.mine ? [h("span", { text: `${plural(gone.length, "picture")} left out. ` }), h("button", { type: "button", class: "cs-link", text: "Put back", onclick: () => this.putBack(gone.map(({ id }) => id)) })] : []));
    const versions = view.versions.map((one) => h("li", {}, h("b", { text: `Version ${one.number}` }), h("span", { class: "cs-quiet", text: ` ${plural(one.count, "picture")}, ${new Date(one.created).toLocaleString()}` }),
      one.hash === view.hash ? h("span", { class: "cs-quiet", text: ", as it is now" }) : view.mine ? h("button", { type: "button", class: "cs-link", text: "Restore", onclick: () => this.tried(async () => this.show(await api.datasetDo(view.id, "restore", { version: one.number }))) }) : ""));
    const loras = view.loras.map((one) => h("li", {}, h("b", { text: `${one.name}/v${one.version}` }), h("span", { class: "cs-quiet", text: one.stale ? " was trained before the last changes" : " is up to date" })));
    this.made.replaceChildren(...(loras.length ? [h("h4", { text: "Trained on this" }), h("ul", {}, ...loras)] : []), ...(versions.length ? [h("details", {}, h("summary", { text: "Versions that trainings took" }), h("ul", {}, ...versions))] : []));
  }

  // What is done to it.

  change(fields) {
    return this.tried(async () => this.show(await api.changeDataset(this.view.id, fields)));
  }

  caption(id, text) {
    return this.tried(async () => this.show(await api.datasetDo(this.view.id, "captions", { captions: { [id]: text } })));
  }

  crop(id, crop) {
    return this.tried(async () => this.show(await api.datasetDo(this.view.id, `images/${id}/crop`, { crop })));
  }

  leaveOut(id) {
    return this.tried(async () => this.show(await api.datasetDo(this.view.id, "leave_out", { images: [id] })));
  }

  putBack(images) {
    return this.tried(async () => this.show(await api.datasetDo(this.view.id, "put_back", { images })));
  }

  propose(id) {
    return this.tried(async () => this.show(await api.datasetDo(this.view.id, "propose", { images: [id] })));
  }

  replace() {
    const [find, instead] = [this.find.value, this.instead.value];
    if (!find) return;
    const changed = this.view.images.filter(({ caption }) => caption.includes(find)).map(({ id, caption }) => [id, caption.replaceAll(find, instead)]);
    this.tried(async () => {
      // In pieces: a request holds so many words and no more.
      for (let at = 0; at < changed.length; at += 50) this.show(await api.datasetDo(this.view.id, "captions", { captions: Object.fromEntries(changed.slice(at, at + 50)) }));
      this.bringing.textContent = changed.length ? `${plural(changed.length, "caption")} changed.` : `No caption says "${find}".`;
    });
  }

  take(input) {
    const files = [...input.files];
    input.value = "";
    this.bring(files.map((file) => [file.webkitRelativePath || file.name, file]));
  }

  async bring(files) {
    if (!files.length || !this.view) return;
    const id = this.view.id;
    const left = await bringAll(id, files, (words) => (this.bringing.textContent = words));
    this.bringing.replaceChildren(h("p", { text: left.words }), ...(left.out.length ? [h("details", {}, h("summary", { text: plural(left.count, "file was left out", "files were left out") }), h("ul", {}, ...left.out.map(({ name, why }) => h("li", {}, h("b", { text: name }), h("span", { text: ` ${why}` })))))] : []));
    if (this.view?.id === id) this.open(id);
  }

  async dragged(event) {
    if (!this.view?.mine || ![...event.dataTransfer.types].some((type) => type === "Files" || type === OURS)) return;
    event.preventDefault();
    event.stopPropagation(); // the page's own menu is for one picture
    const veil = document.querySelector(".cs-veil");
    if (veil) veil.hidden = true;
    this.zone.toggleAttribute("data-over", event.type === "dragover" || event.type === "dragenter");
    if (event.type !== "drop") return;
    const ours = event.dataTransfer.getData(OURS);
    if (ours) await this.tried(async () => this.show(await api.datasetDo(this.view.id, "take", { images: [Number(ours)] })));
    else this.bring(await dropped(event.dataTransfer));
  }

  // What is told.

  async heard({ id, arrived }) {
    if (id !== this.view?.id) return;
    if (arrived) {
      this.bringing.textContent = `${plural(arrived, "picture")} of the ZIP ...`;
      return;
    }
    const turn = ++this.turn;
    await this.tried(async () => {
      const view = await api.dataset(id);
      if (turn === this.turn && this.view?.id === id) this.show(view);
    });
  }

  tell() {
    this.dispatchEvent(new CustomEvent("cs-dataset", { bubbles: true, detail: this.view }));
  }

  async tried(act) {
    this.wrong.textContent = "";
    try {
      await act();
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      this.wrong.textContent = error.message;
      this.wrong.scrollIntoView({ block: "nearest" });
    }
  }
}

const hasWarning = ({ findings }) => findings.some(({ level }) => level !== "note");

export function finding({ level, what, todo }) {
  return h("li", { data: { level } }, icon(ICONS[level]), h("span", {}, h("b", { text: what }), todo ? h("span", { text: ` ${todo}` }) : ""));
}

function field(text, input, hint) {
  return h("div", { class: "cs-ds-field" }, h("label", { for: input.id, text }), set(input, hint ? { title: hint } : {}));
}

const OFFERED = 3;
const wellHeard = (cards, name) => (cards.find((card) => card.name === name)?.triggers ?? []).slice(0, OFFERED);

/** Words to call a LoRA by, each at a click. */
function offered(line, words, take) {
  line.hidden = !words.length;
  line.replaceChildren("Trigger words that this model hears well: ", ...words.flatMap((word, i) => [i ? ", " : "", h("button", { type: "button", class: "cs-link", text: word, title: `Call it “${word}”: this model's text encoders tell it from other words`, onclick: () => take(word) })]));
}

/** [path, file] of everything that was dropped, folders and what is in them included. */
async function dropped(transfer) {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean); // before the first await: it is gone after
  if (!entries.length) return [...transfer.files].map((file) => [file.name, file]);
  const found = [];
  const walk = async (entry) => {
    if (entry.isFile) found.push([entry.fullPath.replace(/^\//, ""), await new Promise((done, failed) => entry.file(done, failed))]);
    else {
      const reader = entry.createReader();
      for (let some; (some = await new Promise((done, failed) => reader.readEntries(done, failed))).length; ) for (const one of some) await walk(one);
    }
  };
  for (const entry of entries) await walk(entry);
  return found;
}
