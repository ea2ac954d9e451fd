// One LoRA: what it is and who may use it, where its aliases stand and stood, and its versions.

import { api } from "./api.js";
import { h } from "./dom.js";
import { evaluations } from "./evaluation.js";
import { aliases, badge, called, kindOf, KINDS, version, when } from "./lorafacts.js";
import { compareVersions } from "./loracompare.js";
import { LoraTrial } from "./loratrial.js";
import { promote } from "./lorapromote.js";
import { versionOf } from "./loraversion.js";
import { tried } from "./settings.js";
import { studio } from "./studio.js";

const ACCESS = { private: "yours alone", project: "the project's", everyone: "everybody's" };

export class LoraOne {
  /** back(): to the gallery. changed(): something of it is different now. train(name): trains it again. bring(): asks for files that become versions of it. */
  constructor({ back, changed, train, bring }) {
    Object.assign(this, { changed, train, lora: null, unfolded: new Set() });
    this.heading = h("h2", { tabindex: "-1" });
    this.facts = h("p", { class: "cs-quiet" });
    this.about = h("p", { class: "cs-lo-about" });
    this.uses = h("button", { type: "button", class: "cs-primary", text: "Use", onclick: () => studio.say("wear lora", { name: this.lora.name }) });
    this.compares = h("button", { type: "button", class: "cs-plain", text: "Compare versions", onclick: () => this.compare() });
    this.edits = h("button", { type: "button", class: "cs-plain", text: "Edit", "aria-expanded": "false", onclick: () => this.edit() });
    this.throws = h("button", { type: "button", class: "cs-plain", text: "To the trash", onclick: () => this.sure() });
    this.brings = h("button", { type: "button", class: "cs-plain", text: "Bring a version", title: "A file that becomes its next version; dropping one here does the same", onclick: bring });
    this.wrong = h("p", { class: "cs-error", role: "alert" });
    this.stale = h("p", { class: "cs-lo-stale", hidden: true });
    this.form = h("form", { class: "cs-lo-edit", hidden: true, onsubmit: (event) => (event.preventDefault(), this.save()) });
    this.stands = h("section", { class: "cs-lo-stands", "aria-label": "Aliases" });
    this.trial = new LoraTrial(() => this.changed());
    this.evaluations = h("cs-evaluations", { class: "cs-ev" });
    this.versions = h("ol", { class: "cs-lo-versions", "aria-label": "Versions", reversed: true });
    this.moves = h("details", { class: "cs-lo-moves" });
    this.element = h("div", { class: "cs-lo-one" },
      h("button", { type: "button", class: "cs-bare cs-lo-back", text: "All LoRAs", onclick: back }),
      h("div", { class: "cs-lo-title" }, h("div", {}, this.heading, this.facts, this.about), h("div", { class: "cs-lo-acts" }, this.edits, this.throws, this.brings, this.compares, this.uses)),
      this.wrong, this.stale, this.form, this.stands, this.evaluations, this.versions, this.moves);
  }

  async open(name, asked) {
    this.unfolded.clear();
    this.form.hidden = true;
    this.edits.setAttribute("aria-expanded", "false");
    this.wrong.textContent = "";
    this.show(await api.lora(name, asked), asked);
  }

  async refresh(asked) {
    this.show(await api.lora(this.lora.name, asked), asked);
  }

  show(lora, asked = this.asked) {
    Object.assign(this, { lora, asked });
    const { title, kind, owner, access, project, about, versions, may_change: may } = lora;
    this.heading.textContent = title;
    const whose = access === "project" ? `of the project ${studio.about.projects.find(({ name }) => name === project)?.title ?? project}` : access === "private" && !lora.mine ? `${owner}'s alone` : ACCESS[access];
    this.facts.replaceChildren(h("code", { text: lora.name }), ` · ${kindOf(kind)}${studio.about.login ? ` · by ${owner}, ${whose}` : ""}`, ...(lora.triggers.length ? [" · called by ", ...called(lora.triggers).flatMap((word, i) => (i ? [" ", word] : [word]))] : []));
    this.about.textContent = about;
    this.about.hidden = !about;
    this.uses.disabled = !lora.fits;
    this.uses.title = lora.fits ? "Adds it to the form" : lora.misfit;
    this.uses.hidden = !versions.length;
    this.compares.hidden = versions.filter(({ samples }) => samples.length).length < 2;
    this.edits.hidden = this.brings.hidden = !may;
    this.throws.hidden = !(lora.mine || studio.about.admin) || !versions.length;
    this.stale.hidden = !lora.stale;
    if (lora.stale) this.stale.replaceChildren(h("span", { text: `Its dataset, ${lora.stale.title}, has changed since v${lora.stale.version} was trained: ${lora.stale.words} ` }), may ? h("button", { type: "button", class: "cs-link", text: "Train it again", onclick: () => this.train(lora.name) }) : "");
    this.aliases();
    const focused = this.versions.contains(document.activeElement) ? document.activeElement.getAttribute("aria-label") : null;
    this.versions.replaceChildren(...versions.map((one) => versionOf(this, one)));
    if (focused) [...this.versions.querySelectorAll("button, a, summary")].find((one) => one.getAttribute("aria-label") === focused)?.focus({ preventScroll: true });
    if (!versions.length) this.versions.replaceChildren(h("li", { class: "cs-quiet", text: "No version yet: bring one, or drop a file here." }));
    this.history();
    this.evaluations.show(lora);
  }

  /** Where production and candidate stand, and the way back. */
  aliases() {
    const { lora } = this;
    const line = (alias, none) => {
      const at = lora.aliases[alias];
      const moves = lora.moves.filter((one) => one.alias === alias);
      const before = moves.some(({ from }) => from !== null && version(lora, from));
      return h("div", {}, badge(alias), h("b", { text: at ? `v${at}` : "none" }), h("span", { class: "cs-quiet", text: at ? (moves[0] ? `since ${when(moves[0].when)}, by ${moves[0].by}` : "") : none }),
        lora.may_change && before ? h("button", { type: "button", class: "cs-plain", text: "Roll back", "aria-label": `Roll ${alias} back`, onclick: () => this.back(alias) }) : null,
        lora.may_change && alias === "candidate" && at ? h("button", { type: "button", class: "cs-plain", text: "Promote", "aria-label": `Promote v${at} to production`, onclick: () => this.promote(at) }) : null,
        lora.may_change && at ? h("button", { type: "button", class: "cs-bare", text: "Take off", "aria-label": `Take ${alias} off`, onclick: () => this.move(alias, null) }) : null);
    };
    const newest = lora.current ? `Requests that name no version take the newest, v${lora.current}.` : "";
    this.stands.replaceChildren(line("production", newest), line("candidate", "The one that is being tried."), this.trial.element);
    this.trial.show(lora);
    this.stands.hidden = !lora.versions.length;
  }

  history() {
    const { moves } = this.lora;
    const open = this.moves.open;
    this.moves.hidden = !moves.length;
    this.moves.replaceChildren(h("summary", { text: `Where the aliases stood (${moves.length})` }), h("ol", {}, ...moves.map((one) => h("li", {},
      badge(one.alias), h("span", { text: one.to === null ? `taken off v${one.from}` : `${one.back ? "rolled back to" : "to"} v${one.to}${one.from === null ? "" : ` from v${one.from}`}${one.forced ? ", forced" : ""}` }),
      h("span", { class: "cs-quiet", text: [one.by, when(one.when), one.reason].filter(Boolean).join(" · ") })))));
    this.moves.open = open;
  }

  // What is done to it.

  async done(act, words) {
    if (await tried(act, words, this.wrong)) await this.changed();
    else this.wrong.scrollIntoView({ block: "nearest" });
  }

  promote(number) {
    const act = async (reason, forced, looked) => {
      if (looked) await evaluations.look(this.lora.name, number);
      await api.loraDo(this.lora.name, "alias", { alias: "production", version: number, reason, forced });
    };
    promote(this.lora, number, act, () => this.changed());
  }

  /** Proposes an evaluation of a version. */
  async evaluate(number) {
    this.evaluations.scrollIntoView({ block: "start" });
    await this.evaluations.ask(number);
  }

  move(alias, number) {
    return this.done(() => api.loraDo(this.lora.name, "alias", { alias, version: number }), number === null ? `No version is ${alias} now.` : `v${number} is ${alias}.`);
  }

  back(alias) {
    return this.done(() => api.loraDo(this.lora.name, "alias", { alias, rollback: true }), `${alias} is back where it stood.`);
  }

  throw(number) {
    return this.done(() => api.loraDo(this.lora.name, "trash", { version: number }), number === null ? "All versions are in the trash." : `v${number} is in the trash.`);
  }

  /** A second click does it. */
  sure() {
    if (this.throws.dataset.sure) {
      delete this.throws.dataset.sure;
      this.throws.textContent = "To the trash";
      this.throw(null);
      return;
    }
    this.throws.dataset.sure = "yes";
    this.throws.textContent = "All versions to the trash";
    this.throws.addEventListener("blur", () => {
      delete this.throws.dataset.sure;
      this.throws.textContent = "To the trash";
    }, { once: true });
  }

  compare(number = null) {
    const there = this.lora.versions.filter(({ samples }) => samples.length).map((one) => one.number);
    const production = this.lora.aliases.production;
    const right = number ?? this.lora.aliases.candidate ?? there[0];
    const left = [production, there.find((one) => one < right), ...there].find((one) => there.includes(one) && one !== right);
    compareVersions(this.lora, left, there.includes(right) ? right : there.find((one) => one !== left));
  }

  // Its words.

  edit() {
    this.form.hidden = !this.form.hidden;
    this.edits.setAttribute("aria-expanded", String(!this.form.hidden));
    if (this.form.hidden) return;
    const { title, about, kind, access, project } = this.lora;
    const select = (id, pairs, value) => {
      const made = h("select", { id }, ...pairs.map(([name, text]) => h("option", { value: name, text })));
      made.value = value;
      return made;
    };
    const field = (label, input) => h("div", { class: "cs-lo-field" }, h("label", { for: input.id, text: label }), input);
    const inputs = this.inputs = {
      title: h("input", { type: "text", id: "cs-lo-title", maxlength: 80, autocomplete: "off" }),
      kind: select("cs-lo-kind", KINDS, kind),
      about: h("textarea", { id: "cs-lo-about", maxlength: 2000, rows: 2 }),
    };
    inputs.title.value = title;
    inputs.about.value = about;
    if (studio.about.login && (this.lora.mine || studio.about.admin)) {
      const projects = studio.about.projects.map(({ name, title: words }) => [`project:${name}`, `The project ${words}`]);
      if (access === "project" && !projects.some(([name]) => name === `project:${project}`)) projects.push([`project:${project}`, `The project ${project}`]);
      inputs.access = select("cs-lo-access", [["private", "Its owner alone"], ...projects, ["everyone", "Everybody"]], access === "project" ? `project:${project}` : access);
    }
    this.form.replaceChildren(field("Title", inputs.title), field("It teaches", inputs.kind), ...(inputs.access ? [field("Who may use it", inputs.access)] : []), field("About", inputs.about),
      h("div", { class: "cs-lo-acts" }, h("button", { type: "submit", class: "cs-primary", text: "Save" })));
    inputs.title.focus();
  }

  async save() {
    const { title, kind, about, access } = this.inputs;
    const fields = { title: title.value, kind: kind.value, about: about.value };
    if (access) {
      const [name, project] = access.value.split(/:(.*)/);
      Object.assign(fields, { access: name }, project ? { project } : {});
    }
    await this.done(async () => {
      await api.changeLora(this.lora.name, fields);
      this.edit();
      this.edits.focus();
    }, "Saved.");
  }

  is(number) {
    return aliases(this.lora, number);
  }
}
