// A new batch from a catalogue: the table, what goes where, and what would come of it, on one page from top to bottom.

import { api } from "./api.js";
import { tried } from "./batch.js";
import { Problems, Rows } from "./batchrows.js";
import { debounced, duration, h, plural, words } from "./dom.js";
import { studio } from "./studio.js";
import { Where } from "./where.js";

const PLAIN = { prompt: "Prompt", negative: "Negative prompt", size: "Size", tier: "Tier", seed: "Seed", draft: "Candidates", keep: "To keep", texts: "Words in the picture", palette: "Palette", likeness: "Must look like" };
const PICTURES = 50; // names in one request
const SMALL = 200; // rows that are all checked again after each change

export class NewBatch {
  /** again: {catalogue, setup, title} of an earlier batch, whose setup is the start of this one. */
  constructor({ started }, again = null) {
    this.started = started;
    this.rest = {}; // what an earlier setup says and this page has no field for
    this.columns = {};
    this.values = {};
    this.templates = [];
    this.chosen = [];
    this.check = debounced(() => this.look(), 350);
    // Its price comes with the check of the rows; what changes in the cloud meanwhile is no reason to check them all again.
    this.where = new Where({ name: "b-where", changed: () => this.check(), price: () => this.element.isConnected && this.where.value !== this.priced && this.check(), family: () => this.rest.family ?? studio.family });
    this.wrong = h("p", { class: "cs-error", role: "alert" });
    this.file = h("input", { type: "file", id: "cs-b-file", accept: ".csv,.tsv,.txt,.xlsx,.json,.jsonl", class: "cs-voice", onchange: () => this.take(this.file.files[0]) });
    this.paste = h("textarea", { id: "cs-b-paste", rows: 4, placeholder: "product,colour\nred mug,#C0392B" });
    this.path = h("input", { type: "text", id: "cs-b-path", placeholder: "/srv/catalogues/autumn.xlsx", autocomplete: "off" });
    this.drop = h("div", { class: "cs-b-drop", ondragover: (event) => this.over(event, true), ondragleave: (event) => this.over(event, false), ondrop: (event) => this.dropped(event) },
      h("p", {}, h("label", { class: "cs-plain", for: "cs-b-file", text: "Choose a file" }), this.file, h("span", { text: " or drop one here" })),
      h("p", { class: "cs-quiet", text: "CSV, Excel or JSON. The first row names the columns; each row after it is one picture to make." }));
    this.server = h("details", {}, h("summary", { text: "From this server" }), h("label", { for: "cs-b-path", text: "Whole path of the file" }), h("div", { class: "cs-b-line" }, this.path,
      h("button", { type: "button", class: "cs-plain", text: "Read it", onclick: () => this.brought(() => api.batches("/catalogues/from", { path: this.path.value })) })));
    this.rows = new Rows({ changed: (line) => this.mended(line) });
    this.source = h("section", {}, h("h3", { text: "1  Catalogue" }), this.drop,
      h("details", {}, h("summary", { text: "Paste a table" }), h("label", { for: "cs-b-paste", text: "Rows, with the columns' names first" }), this.paste,
        h("button", { type: "button", class: "cs-plain", text: "Read it", onclick: () => this.brought(() => api.bringTable(new Blob([this.paste.value]), "pasted.csv")) })),
      this.server, this.wrong, (this.table = h("div", { class: "cs-b-table", hidden: true })));
    this.mapping = h("section", { hidden: true });
    this.outlook = h("section", { hidden: true });
    this.element = h("div", { class: "cs-b-new" }, h("h2", { tabindex: "-1", text: again ? `New batch, set up as ${again.title}` : "New batch from a catalogue" }), this.source, this.mapping, this.outlook);
    this.server.hidden = !studio.about?.admin;
    if (again) this.reuse(again);
  }

  /** An earlier batch's rows, as they stand, and its setup; another file may be chosen in their place. */
  reuse({ catalogue, setup, title }) {
    return tried(async () => {
      this.templates = (await api.templates()).templates;
      const { values = {}, ...fields } = setup.fields;
      Object.assign(this, { catalogue, title, columns: { ...setup.columns }, values: { ...values }, chosen: setup.templates.map(({ name }) => name) });
      this.versions = Object.fromEntries(setup.templates.map(({ name, version }) => [name, version]));
      this.rest = Object.fromEntries(Object.entries(fields).filter(([name, value]) => !["draft", "keep", "where"].includes(name) && !(name === "family" && value === studio.family)));
      this.drop.hidden = true;
      this.drop.before(h("p", { class: "cs-b-line cs-b-kept" }, h("span", { text: "The rows of that batch, as they stand by now." }), h("button", { type: "button", class: "cs-link", text: "Choose another file", onclick: (event) => {
        event.target.closest("p").remove();
        this.drop.hidden = false;
      } })));
      this.showTable();
      await this.showMapping();
      for (const [name, input] of Object.entries(this.settings)) input.value = fields[name] ?? "";
      if (setup.label) this.label.value = setup.label;
      this.where.choose(fields.where);
      this.night.checked = Boolean(setup.off_peak);
      if (setup.off_peak) [this.from.value, this.until.value] = [setup.off_peak.from, setup.off_peak.until];
      this.look();
    }, this.wrong);
  }

  over(event, on) {
    event.preventDefault();
    event.stopPropagation();
    this.drop.toggleAttribute("data-over", on);
  }

  dropped(event) {
    this.over(event, false);
    this.take(event.dataTransfer.files[0]);
  }

  take(file) {
    if (file) this.brought(() => api.bringTable(file, file.name));
    this.file.value = "";
  }

  brought(ask) {
    return tried(async () => {
      this.catalogue = await ask();
      if (!this.templates.length) this.templates = (await api.templates()).templates;
      this.title = this.catalogue.name.replace(/\.[a-z]+$/i, "");
      this.showTable();
      if (this.versions && Object.values(this.columns).every((name) => this.catalogue.columns.some((one) => one.name === name))) {
        await this.showMapping(); // the same columns: the mapping still holds
        return this.look();
      }
      await this.guess();
    }, this.wrong);
  }

  showTable() {
    const { catalogue } = this;
    this.table.hidden = false;
    this.rows.show(catalogue);
    this.table.replaceChildren(
      h("p", {}, h("b", { text: catalogue.name }), h("span", { class: "cs-quiet", text: `  ${plural(catalogue.rows, "row")}, ${plural(catalogue.columns.length, "column")}. ${catalogue.notes.join(" ")}` })),
      this.rows.element,
      catalogue.files.named ? this.pictures() : "");
  }

  /** The pictures that cells name, which have to be brought too. */
  pictures() {
    const { files } = this.catalogue;
    const wrong = h("p", { class: "cs-error", role: "alert" });
    const input = h("input", { type: "file", id: "cs-b-pictures", multiple: true, accept: "image/png,image/jpeg,image/webp", class: "cs-voice", onchange: () => this.bringPictures([...input.files], wrong) });
    const folder = h("input", { type: "text", "aria-label": "Folder of this server with the pictures", placeholder: "/srv/pictures", autocomplete: "off" });
    const missing = files.missing.slice(0, 6).join(", ") + (files.missing_count > 6 ? " and more" : "");
    return h("div", { class: "cs-b-pictures" },
      h("p", { text: files.missing_count ? `${files.missing_count} of ${plural(files.named, "picture")} that cells name are not here yet: ${missing}.` : `All ${plural(files.named, "picture")} that cells name are here.` }),
      h("div", { class: "cs-b-line" }, h("label", { class: "cs-plain", for: "cs-b-pictures", text: "Add pictures" }), input,
        ...(studio.about?.admin ? [folder, h("button", { type: "button", class: "cs-plain", text: "Take from this folder", onclick: () => tried(async () => this.gotPictures(await api.batches(`/catalogues/${this.catalogue.id}/pictures`, { folder: folder.value })), wrong) })] : [])), wrong);
  }

  bringPictures(files, wrong) {
    return tried(async () => {
      let named = {};
      for (const [place, file] of files.entries()) {
        wrong.textContent = `${place + 1} of ${files.length} ...`;
        named[file.name] = (await api.bring(file, "", "")).upload;
        if (Object.keys(named).length === PICTURES || place === files.length - 1) {
          this.gotPictures(await api.batches(`/catalogues/${this.catalogue.id}/pictures`, { pictures: named }));
          named = {};
        }
      }
    }, wrong);
  }

  gotPictures(catalogue) {
    this.catalogue = catalogue;
    this.showTable();
    this.check();
  }

  async guess() {
    const templates = this.chosen.map((name) => ({ name }));
    const { columns } = await api.batches(`/catalogues/${this.catalogue.id}/guess`, { templates });
    this.columns = { ...columns };
    await this.showMapping();
    this.look();
  }

  async showMapping() {
    this.variables = new Map();
    for (const name of this.chosen) for (const [variable, facts] of Object.entries((await api.template(name, this.versions?.[name] ?? null)).template.variables ?? {})) if (!this.variables.has(variable)) this.variables.set(variable, { ...facts, name: variable });
    const add = h("select", { id: "cs-b-template", onchange: () => this.addTemplate(add.value) }, h("option", { value: "", text: this.chosen.length ? "Add another template" : "Choose a template" }),
      ...this.templates.filter(({ name }) => !this.chosen.includes(name)).map(({ name, title }) => h("option", { value: name, text: title })));
    const chips = this.chosen.map((name) => h("button", { type: "button", class: "cs-b-chip", title: "Take it out", text: this.called(name), onclick: () => this.dropTemplate(name) }));
    const targets = [...[...this.variables.values()].map((one) => [`values.${one.name}`, one.title, one]), ...Object.entries(PLAIN).filter(([name]) => !(this.chosen.length && name === "prompt")).map(([name, title]) => [name, title, null])];
    const optional = targets.filter(([name, , variable]) => !variable && name !== "prompt" && !this.columns[name]);
    const first = targets.filter((one) => !optional.includes(one));
    const kept = this.settings ? { draft: this.settings.draft.value, keep: this.settings.keep.value, from: this.from.value, until: this.until.value, night: this.night.checked, label: this.label.value } : null;
    this.settings = { draft: h("input", { type: "number", id: "cs-b-draft", min: 1, max: 240, oninput: () => this.check() }), keep: h("input", { type: "number", id: "cs-b-keep", min: 1, max: 240, oninput: () => this.check() }) };
    this.from = h("input", { type: "time", id: "cs-b-from", "aria-label": "From", value: "22:00", onchange: () => this.check() });
    this.until = h("input", { type: "time", id: "cs-b-until", "aria-label": "Until", value: "06:00", onchange: () => this.check() });
    this.night = h("input", { type: "checkbox", onchange: () => this.check() });
    this.label = h("select", { id: "cs-b-label" }, ...this.catalogue.columns.map(({ name }) => h("option", { value: name, text: name })));
    if (kept) {
      for (const name of ["draft", "keep"]) this.settings[name].value = kept[name];
      for (const name of ["from", "until"]) this[name].value = kept[name];
      this.night.checked = kept.night;
      if (this.catalogue.columns.some(({ name }) => name === kept.label)) this.label.value = kept.label;
    }
    const pair = (text, input) => h("div", { class: "cs-b-field" }, h("label", { for: input.id, text }), input);
    this.mapping.hidden = false;
    this.mapping.replaceChildren(h("h3", { text: "2  What goes where" }),
      h("div", { class: "cs-b-line" }, h("label", { for: add.id, text: "Templates" }), ...chips, add),
      h("p", { class: "cs-quiet", text: this.chosen.length ? "Each row is drawn with each template." : "Without a template each row brings a prompt of its own." }),
      h("div", { class: "cs-b-map" }, ...first.map((target) => this.place(...target))),
      optional.length ? h("details", {}, h("summary", { text: "More that columns can say" }), h("div", { class: "cs-b-map" }, ...optional.map((target) => this.place(...target)))) : "",
      h("div", { class: "cs-b-line cs-b-all" }, pair("Candidates a row", this.settings.draft), pair("To keep a row", this.settings.keep), pair("Call rows by", this.label)),
      Object.keys(this.rest).length ? h("p", { class: "cs-b-line cs-quiet" }, h("span", { text: `Also from that batch: ${Object.entries(this.rest).map(([name, value]) => `${words(name)} ${typeof value === "object" ? JSON.stringify(value) : value}`).join(", ")}.` }), h("button", { type: "button", class: "cs-link", text: "Leave out", onclick: () => tried(async () => ((this.rest = {}), await this.showMapping(), this.look()), this.wrong) })) : "",
      h("label", { class: "cs-check" }, this.night, h("span", { text: "Only between" }), this.from, h("span", { text: "and" }), this.until));
  }

  /** A template's title, and its version where it is not the newest. */
  called(name) {
    const found = this.templates.find((one) => one.name === name);
    const version = this.versions?.[name] ?? null;
    const old = version !== null && version !== found?.version ? `, ${version ? `version ${version}` : "as shipped"}` : "";
    return `${found?.title ?? name}${old}`;
  }

  /** A line of the mapping: a target, the column that fills it, and what holds where the cell is empty. */
  place(target, title, variable) {
    const id = `cs-b-to-${target.replace(".", "-")}`;
    const select = h("select", { id, onchange: () => this.mapped(target, select.value) }, h("option", { value: "", text: variable?.required && (variable.default ?? null) === null ? "Choose a column" : "No column" }), ...this.catalogue.columns.map(({ name }) => h("option", { value: name, text: name })));
    select.value = this.columns[target] ?? "";
    const fixed = variable && variable.type !== "image" ? h("input", { type: "text", "aria-label": `${title} where the cell is empty`, placeholder: variable.default === null || variable.default === undefined ? "where empty" : String(variable.default), value: this.values[variable.name] ?? "", autocomplete: "off", oninput: (event) => ((this.values[variable.name] = event.target.value), this.check()) }) : h("span");
    return h("div", { class: "cs-b-target" }, h("label", { for: id, text: title }), select, fixed);
  }

  mapped(target, column) {
    if (column) this.columns[target] = column;
    else delete this.columns[target];
    this.check();
  }

  addTemplate(name) {
    if (!name) return;
    this.chosen.push(name);
    tried(() => this.guess(), this.wrong);
  }

  dropTemplate(name) {
    this.chosen = this.chosen.filter((one) => one !== name);
    delete this.versions?.[name]; // added again it is the newest
    tried(() => this.guess(), this.wrong);
  }

  asked() {
    const fields = { family: studio.family, tier: null, ...this.rest, ...this.where.request() };
    for (const [name, input] of Object.entries(this.settings)) if (input.value !== "") fields[name] = Number(input.value);
    const values = Object.fromEntries(Object.entries(this.values).filter(([name, value]) => value !== "" && this.variables.has(name)));
    if (Object.keys(values).length) fields.values = values;
    return { catalogue: this.catalogue.id, templates: this.chosen.map((name) => ({ name, version: this.versions?.[name] ?? null })), columns: this.columns, fields, label: this.label.value, off_peak: this.night.checked ? { from: this.from.value, until: this.until.value } : null };
  }

  /** Asks what would come of it by now. */
  async look() {
    const asked = this.asked();
    this.priced = this.where.value;
    const turn = (this.turn = (this.turn ?? 0) + 1);
    this.outlook.hidden = !this.chosen.length && !this.columns.prompt && !this.rest.prompt; // nothing says yet what to draw
    if (this.outlook.hidden) return this.rows.told([]);
    let found = null;
    this.build();
    const fine = await tried(async () => (found = await api.batches("/check", asked)), this.sayWrong);
    if (turn !== this.turn) return; // something was changed meanwhile
    this.say(fine ? found : null);
  }

  /** A row says something else: it alone is checked at once, and all of them where that is quick. */
  async mended(line) {
    if (this.outlook.hidden || !this.found || this.catalogue.rows <= SMALL) return this.look();
    const turn = (this.turn = (this.turn ?? 0) + 1);
    const { found } = this;
    const one = await api.batches("/check", { ...this.asked(), lines: [line] });
    if (turn !== this.turn) return this.look(); // two at once: neither knows of the other
    const was = found.problems.filter((problem) => problem.line === line);
    const bad = one.bad - new Set(was.map(({ template }) => template)).size;
    this.say({ ...found, bad: found.bad + bad, good: found.good - bad, problem_count: found.problem_count + one.problem_count - was.length,
      problems: [...found.problems.filter((problem) => problem.line !== line), ...one.problems].sort((a, b) => a.line - b.line) });
  }

  /** The third part, once: what is written in it stays while rows are checked again. */
  build() {
    if (this.outlook.firstChild) return;
    this.sayWrong = h("p", { class: "cs-error", role: "alert" });
    this.sum = h("p", { class: "cs-b-sum", role: "status" });
    this.problems = new Problems(this.rows, () => this.go);
    this.prompts = h("ol", { class: "cs-b-first", "aria-label": "The first prompts" });
    this.name = h("input", { type: "text", id: "cs-b-title", maxlength: 80, oninput: () => (this.title = this.name.value) });
    this.go = h("button", { type: "button", class: "cs-primary", onclick: () => this.start() });
    this.begin = h("div", { class: "cs-b-line" }, h("label", { for: this.name.id, text: "Title" }), this.name, this.go);
    const place = h("div", { class: "cs-b-where", hidden: true }, h("span", { class: "cs-b-where-label", text: "Where" }), this.where.element);
    this.outlook.replaceChildren(h("h3", { text: "3  Check and start" }), this.sum, this.problems.element, this.prompts, place, this.begin, this.sayWrong);
    this.where.box = place;
  }

  /** found: what the check said; null where it refused the batch as a whole. */
  say(found) {
    this.found = found;
    for (const part of [this.sum, this.prompts, this.begin]) part.hidden = !found;
    if (found) this.tell(found);
    this.rows.told(found?.problems ?? []);
    this.problems.told(found?.problems ?? [], found?.problem_count ?? 0);
  }

  tell(found) {
    const time = found.seconds ? `, about ${duration(found.seconds)}` : "";
    this.sum.replaceChildren(h("b", { text: `${found.good} of ${found.tasks} can be drawn` }), h("span", { class: "cs-quiet", text: `  ${plural(found.draft, "candidate")}, ${found.keep} to be kept${time}` }));
    if (found.quote) this.where.tell(found.quote);
    else this.where.show();
    this.prompts.replaceChildren(...found.first.map((one) => h("li", {}, h("b", { text: one.label }), h("span", { text: one.prompt }), h("small", { class: "cs-quiet", text: [one.template, one.tier, one.size].filter(Boolean).join(" · ") }))));
    if (document.activeElement !== this.name) this.name.value = this.title;
    this.go.textContent = found.bad ? `Start with the ${plural(found.good, "good row")}` : `Start ${plural(found.good, "row")}`;
    this.go.disabled = !found.good;
  }

  async start() {
    await tried(async () => this.started(await api.batches("", { ...this.asked(), title: this.name.value, leave_out: this.found.bad > 0 })), this.sayWrong);
  }
}
