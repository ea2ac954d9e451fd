// Safety: what is looked for in prompts before anything is drawn, edited as versions; a prompt tried out; what was found lately.
// A part of the Quality tab.

import { Refused, api } from "./api.js";
import { debounced, h, plural, words } from "./dom.js";
import { studio } from "./studio.js";
import { toast } from "./toast.js";

const ACTIONS = [["refuse", "Refuse"], ["ask", "Ask first"], ["mark", "Only mark"]];
const KINDS = [["sexual", "Sexual"], ["violent", "Violent"], ["hateful", "Hateful"], ["brand", "Brand"]];
const DONE = { refused: "refused", asked: "asked about", confirmed: "confirmed", marked: "marked" };
const TRY_MS = 200;

export class CsSafety extends HTMLElement {
  connectedCallback() {
    if (this.firstChild) return;
    this.list = null;
    this.tryOut = debounced(() => this.try(), TRY_MS);
    this.prompt = h("input", { type: "text", id: "cs-sf-try", placeholder: "Try a prompt", oninput: this.tryOut });
    this.findings = h("div", { class: "cs-sf-findings", role: "status" });
    this.action = choose("cs-sf-action", ACTIONS, (value) => this.edit(() => (this.list.action = value)));
    this.rules = h("div", { class: "cs-sf-rules" });
    this.classifiers = h("div", { class: "cs-sf-rows" });
    this.pictures = h("div", { class: "cs-sf-rows" });
    this.versions = h("ol", { class: "cs-sf-versions" });
    this.counts = h("ul", { class: "cs-sf-counts" });
    this.note = h("input", { type: "text", id: "cs-sf-note", maxlength: 200, placeholder: "What changed, in a few words" });
    this.wrong = h("p", { class: "cs-error", role: "alert" });
    this.bar = h("form", { class: "cs-sf-bar", hidden: true, onsubmit: (event) => this.save(event) },
      h("label", { for: "cs-sf-note", text: "Note" }), this.note, h("button", { class: "cs-primary", text: "Save as a new version" }),
      h("button", { type: "button", class: "cs-plain", text: "Discard changes", onclick: () => this.show(this.view) }), this.wrong);
    this.file = h("input", { type: "file", accept: ".toml", hidden: true, "aria-label": "A safety list as TOML", onchange: () => this.take() });
    this.admins = h("div", { class: "cs-sf-acts" },
      h("button", { type: "button", class: "cs-plain", text: "Add a rule", onclick: () => this.add() }),
      h("button", { type: "button", class: "cs-plain", text: "Import TOML", onclick: () => this.file.click() }), this.file);
    this.append(
      h("section", {}, h("h3", { text: "Try it out" }), h("label", { class: "cs-quiet", for: "cs-sf-try", text: "What the rules below find in a prompt. Nothing is drawn or written down." }), this.prompt, this.findings),
      h("section", {}, h("h3", { text: "Prompts" }),
        h("p", { class: "cs-sf-line" }, h("label", { for: "cs-sf-action", text: "When a rule finds something" }), this.action),
        h("p", { class: "cs-quiet", text: "Refuse: it is not drawn. Ask first: it is drawn once the person has confirmed it. Only mark: it is drawn. Each is written down, without the prompt." }),
        this.rules, this.admins),
      h("section", {}, h("h3", { text: "Classifiers of prompts" }), h("p", { class: "cs-quiet", text: "They read a prompt before its first picture where they were downloaded (Scorers): from here on a prompt counts as found." }), this.classifiers),
      h("section", {}, h("h3", { text: "Pictures" }), h("p", { class: "cs-quiet", text: "From here on a picture is written down as an incident. Whether it is rejected is for the profile to say." }), this.pictures),
      this.bar,
      h("section", {}, h("h3", { text: "Found lately" }), this.counts),
      h("section", {}, h("h3", { text: "Versions" }), this.versions,
        h("button", { type: "button", class: "cs-bare", text: "Export TOML", onclick: () => download("safety.toml", this.view.toml) })),
    );
    studio.on("tab", (tab) => tab === "quality" && !this.edited && this.load());
    if (studio.tab === "quality") this.load();
  }

  get edited() {
    return !this.bar.hidden;
  }

  async load() {
    this.show(await api.safety());
  }

  show(view) {
    this.view = view;
    this.list = structuredClone(view.list);
    this.bar.hidden = true;
    this.wrong.textContent = this.note.value = "";
    this.action.value = this.list.action;
    this.draw();
    this.admins.hidden = !view.admin;
    this.versions.replaceChildren(...view.versions.map((one) => this.version(one)));
    const counts = view.incidents.counts.map(({ kind, rule, action, picture, count }) => h("li", {}, h("b", { text: String(count) }), ` ${picture ? "pictures" : "prompts"} ${DONE[action]}: ${this.named(rule)} (${kind})`));
    this.counts.replaceChildren(...(counts.length ? counts : [h("li", { class: "cs-quiet", text: `Nothing in the last ${view.incidents.days} days.` })]));
    this.lock();
    this.try();
  }

  draw() {
    this.rules.replaceChildren(...this.list.rules.map((rule) => this.rule(rule)));
    this.classifiers.replaceChildren(...this.list.classifiers.map((one) => this.row(one.title, one, "threshold", "% sure", choose("", [["", "As the list says"], ...ACTIONS], (value) => this.edit(() => (one.action = value)), one.action, `${one.title}: action`))));
    this.pictures.replaceChildren(...Object.keys(this.list.pictures).map((name) => this.row(words(name), this.list.pictures, name, "of 100")));
  }

  /** Who may not change it reads it. */
  lock() {
    for (const field of this.querySelectorAll("input:not(#cs-sf-try), select, textarea")) field.disabled = !this.view.admin;
  }

  named(rule) {
    return [...this.view.list.rules, ...this.view.list.classifiers].find(({ name }) => name === rule)?.title ?? words(rule);
  }

  rule(rule) {
    const title = h("b", { text: rule.title });
    const facts = h("span", { class: "cs-quiet" });
    const say = () => {
      const action = ACTIONS.find(([name]) => name === (rule.action || this.list.action))[1];
      title.textContent = rule.title;
      facts.textContent = `${KINDS.find(([name]) => name === rule.kind)[1]} · ${action.toLowerCase()} · ${plural(rule.words.length, "word")}`;
    };
    say();
    const field = (key, text, control) => h("label", { class: "cs-sf-field" }, h("span", { text }), control);
    const line = (key, text) => field(key, text, h("input", { type: "text", value: rule[key] ?? "", oninput: ({ target }) => this.edit(() => (rule[key] = target.value), say) }));
    const many = (key, text) => field(key, text, h("textarea", { rows: key === "words" ? 4 : 2, oninput: ({ target }) => this.edit(() => (rule[key] = split(target.value)), say) }, (rule[key] ?? []).join(", ")));
    return h("details", { class: "cs-sf-rule", data: { name: rule.name } }, h("summary", {}, title, facts),
      h("div", { class: "cs-sf-fields" }, line("title", "Title"), line("about", "What it is about"),
        field("kind", "Kind", choose("", KINDS, (value) => this.edit(() => (rule.kind = value), say), rule.kind)),
        field("action", "Action", choose("", [["", "As the list says"], ...ACTIONS], (value) => this.edit(() => (rule.action = value), say), rule.action)),
        many("words", "Words and phrases, with commas between; behead* finds what begins so"), many("with", "Only beside one of these (empty: always)"), many("unless", "Harmless phrases, taken out before looking"),
        this.view.admin ? h("button", { type: "button", class: "cs-bare", text: "Remove this rule", onclick: () => this.edit(() => (this.list.rules = this.list.rules.filter((one) => one !== rule)), () => this.draw()) }) : null));
  }

  row(title, owner, key, unit, ...more) {
    const number = h("input", { type: "number", min: 0, max: 100, step: "any", value: owner[key], "aria-label": `${title}: from`, oninput: ({ target }) => this.edit(() => (owner[key] = target.valueAsNumber)) });
    return h("div", { class: "cs-sf-row" }, h("span", { text: title }), h("span", { class: "cs-sf-from" }, "from ", number, ` ${unit}`), ...more);
  }

  version({ version, person, note, created }) {
    const when = created ? new Date(created).toLocaleString("en-GB", { dateStyle: "medium", timeStyle: "short" }) : "";
    const now = version === this.view.version;
    return h("li", {}, h("b", { text: version ? `Version ${version}` : "As shipped" }), h("span", { class: "cs-quiet", text: [version ? note : "", person, when].filter(Boolean).join(" · ") }),
      now ? h("span", { class: "cs-sf-now", text: "in force" }) : this.view.admin ? h("button", { type: "button", class: "cs-bare", text: "Restore", "aria-label": `Restore ${version ? `version ${version}` : "the list as shipped"}`, onclick: () => this.attempt(() => api.restoreSafety(version)) }) : null);
  }

  edit(change, then) {
    change();
    then?.();
    this.bar.hidden = false;
    this.tryOut();
  }

  add() {
    const names = new Set(this.list.rules.map(({ name }) => name));
    let count = 1;
    while (names.has(`own_${count}`)) count += 1;
    this.edit(() => this.list.rules.push({ name: `own_${count}`, title: "New rule", about: "", kind: "brand", action: "", words: [], with: [], unless: [] }), () => this.draw());
    const made = this.rules.lastElementChild;
    made.open = true;
    made.querySelector("input").select();
  }

  async try() {
    const prompt = this.prompt.value;
    if (!prompt.trim()) {
      this.findings.replaceChildren();
      return;
    }
    try {
      const { findings } = await api.trySafety(prompt, this.edited ? this.list : undefined);
      if (prompt !== this.prompt.value) return;
      const rows = findings.map(({ title, action, words: found }) => h("p", {}, h("b", { text: title }), ` finds ${found.map((word) => `"${word}"`).join(", ")}: ${ACTIONS.find(([name]) => name === action)[1].toLowerCase()}.`));
      this.findings.replaceChildren(...(rows.length ? rows : [h("p", { class: "cs-quiet", text: "Nothing is found; it would be drawn." })]));
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      this.findings.replaceChildren(h("p", { class: "cs-error", text: error.message }));
    }
  }

  save(event) {
    event.preventDefault();
    return this.attempt(() => api.saveSafety(this.list, this.note.value, this.view.version), "The new version holds from now on.");
  }

  async take() {
    const [file] = this.file.files;
    this.file.value = "";
    if (file) await this.attempt(async () => api.saveSafety(await file.text(), `Imported ${file.name}`.slice(0, 200), this.view.version), "Imported as a new version.");
  }

  async attempt(run, said = "Restored as a new version.") {
    try {
      this.show(await run());
      toast(said);
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      this.wrong.textContent = error.message;
      if (this.bar.hidden) toast(error.message, { wrong: true });
    }
  }
}

const split = (text) => text.split(/[,\n]/).map((word) => word.trim()).filter(Boolean);

function choose(id, options, run, value, label) {
  const made = h("select", { id: id || null, "aria-label": label ?? null, onchange: () => run(made.value) }, ...options.map(([name, text]) => h("option", { value: name, text })));
  if (value !== undefined) made.value = value;
  return made;
}

function download(name, text) {
  const url = URL.createObjectURL(new Blob([text], { type: "application/toml" }));
  h("a", { href: url, download: name }).click();
  URL.revokeObjectURL(url);
}
