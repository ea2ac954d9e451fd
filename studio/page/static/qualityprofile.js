// One quality profile: its bars, its rules, what it would do to recent pictures, and its versions. A change is kept in the page until saved.

import { Refused, api } from "./api.js";
import { debounced, h, plural } from "./dom.js";
import { Bars } from "./qualitybars.js";
import { Rules } from "./qualityrules.js";
import { Versions } from "./qualityversions.js";
import { tried } from "./settings.js";
import { toast } from "./toast.js";

const TRY_MS = 300;

export class ProfileEditor {
  /** told: changed() after a save, marked(name, edited), copy(button), gone() when the profile was removed. */
  constructor(told) {
    Object.assign(this, { told, drafts: new Map(), view: null, asked: 0 });
    this.heading = h("h2", { tabindex: "-1" });
    this.about = h("p", { class: "cs-quiet" });
    this.title = h("input", { type: "text", id: "cs-q-title", maxlength: 60, oninput: () => this.rename("title", this.title) });
    this.purpose = h("textarea", { id: "cs-q-about", rows: 2, maxlength: 600, oninput: () => this.rename("about", this.purpose) });
    this.naming = h("div", { class: "cs-q-naming", hidden: true }, h("label", { for: "cs-q-title", text: "Title" }), this.title, h("label", { for: "cs-q-about", text: "What it is for" }), this.purpose);
    this.renames = h("button", { type: "button", class: "cs-bare", text: "Rename", "aria-expanded": "false", onclick: () => this.name(this.naming.hidden) });
    this.copies = h("button", { type: "button", class: "cs-bare", text: "Duplicate", onclick: () => told.copy(this.copies) });
    this.exports = h("a", { class: "cs-bare", text: "Export TOML", download: "" });
    this.removes = h("button", { type: "button", class: "cs-bare", text: "Remove", onclick: () => this.ask(true) });
    this.sure = h("div", { class: "cs-q-sure", hidden: true });
    this.bars = new Bars(() => this.touched());
    this.rules = new Rules(() => this.touched());
    this.versions = new Versions((version) => this.restore(version));

    this.count = h("p", { class: "cs-q-count", role: "status" });
    this.diff = h("ul", { class: "cs-q-diff" });
    this.wrong = h("p", { class: "cs-error", role: "alert" });
    this.note = h("input", { type: "text", maxlength: 200, placeholder: "Why (optional)", "aria-label": "Why this was changed" });
    this.saves = h("button", { type: "button", class: "cs-primary", text: "Save", onclick: () => this.save() });
    this.drops = h("button", { type: "button", class: "cs-plain", text: "Discard", onclick: () => this.discard() });
    this.keeping = h("div", { class: "cs-q-keeping", hidden: true }, this.note, this.drops, this.saves);
    this.foot = h("div", { class: "cs-q-foot" }, h("div", { class: "cs-q-outlook" }, this.count, this.diff, this.wrong), this.keeping);
    this.element = h("section", { class: "cs-q-profile", "aria-label": "The chosen profile", hidden: true },
      h("div", { class: "cs-q-head" }, h("div", {}, this.heading, this.about), h("div", { class: "cs-q-acts" }, this.renames, this.copies, this.exports, this.removes)),
      this.naming, this.sure, this.bars.element, this.rules.element, this.foot, this.versions.element);
    this.trySoon = debounced(() => this.attempt(), TRY_MS);
  }

  edited(name) {
    return this.drafts.has(name);
  }

  /** What is known of a profile is old, except what is being changed here. */
  forget(name) {
    if (this.view?.name === name && !this.edited(name)) this.view = null;
  }

  async open(name, facts) {
    this.facts = facts;
    const asked = ++this.asked;
    const view = await api.profile(name);
    if (asked !== this.asked) return; // another was chosen meanwhile
    const same = !this.stale && this.view?.name === name && this.view.version === view.version;
    this.view = view;
    if (same && !this.element.hidden) return;
    this.show();
  }

  /** The draft of a profile that is being changed, else what was saved. */
  get data() {
    return this.drafts.get(this.view.name)?.data ?? this.view.profile;
  }

  show() {
    const { name, shipped } = this.view;
    this.stale = false;
    this.element.hidden = false;
    this.sure.hidden = true;
    this.removes.hidden = name === "generic";
    this.exports.href = `/api/profiles/${encodeURIComponent(name)}/toml`;
    this.removes.textContent = shipped ? "Hide" : "Remove";
    this.working = structuredClone(this.data);
    this.title.value = this.working.title;
    this.purpose.value = this.working.about ?? "";
    this.name(false);
    this.wear();
    this.bars.show(this.working, this.facts);
    this.rules.show(this.working, this.facts, this.view.rules);
    this.versions.show(this.view);
    this.wrong.textContent = "";
    this.count.textContent = "Looking at recent pictures ...";
    this.diff.replaceChildren();
    this.keeping.hidden = !this.edited(name);
    this.attempt();
  }

  wear() {
    this.heading.textContent = this.working.title || "Untitled";
    this.about.textContent = this.working.about ?? "";
  }

  name(open) {
    this.naming.hidden = !open;
    this.renames.setAttribute("aria-expanded", String(open));
    if (open) this.title.focus();
  }

  rename(key, field) {
    this.working[key] = field.value;
    this.wear();
    this.touched();
  }

  /** Something was changed: it is kept here, tried soon, and saved when asked. */
  touched() {
    const { name, version } = this.view;
    const base = this.drafts.get(name)?.base ?? version;
    this.drafts.set(name, { data: this.working, base });
    this.told.marked(name, true);
    this.keeping.hidden = false;
    this.trySoon();
  }

  /** Asks what would become of recent pictures, and shows what is wrong where it is. */
  async attempt() {
    const { view, working } = this;
    const missing = this.bars.missing();
    const asked = (this.tried = (this.tried ?? 0) + 1);
    let outlook = missing ? null : await api.tryProfile(view.name, working);
    if (asked !== this.tried || view !== this.view) return;
    let wrong = missing;
    if (outlook?.wrong) {
      wrong = { field: outlook.wrong.field, words: plainly(new Refused(outlook.wrong).message) };
      outlook = null;
    }
    this.bars.mark(wrong);
    this.rules.mark(wrong);
    this.wrong.textContent = wrong ? wrong.words : "";
    this.saves.disabled = Boolean(wrong);
    this.diff.replaceChildren(...(outlook?.changes ?? []).map((text) => h("li", { text })));
    if (!outlook) return;
    this.bars.spread(outlook);
    this.count.replaceChildren(...counted(outlook, this.edited(view.name)));
  }

  async save() {
    const { name } = this.view;
    const { data, base } = this.drafts.get(name);
    this.saves.disabled = true;
    let version = null;
    const done = await tried(async () => (version = (await api.saveProfile(name, { profile: data, note: this.note.value, base })).version), "", this.wrong);
    this.saves.disabled = false;
    if (!done) return;
    toast(`${data.title}: version ${version} is used from now on.`);
    this.note.value = "";
    this.drop(name);
    this.told.changed();
  }

  discard() {
    this.drop(this.view.name);
    this.show();
    this.heading.focus({ preventScroll: true });
  }

  drop(name) {
    this.drafts.delete(name);
    this.told.marked(name, false);
    this.stale = true;
  }

  async restore(version) {
    const { name } = this.view;
    if (!(await tried(() => api.restoreProfile(name, version), version ? `Version ${version} is used again.` : "As shipped again."))) return;
    this.drop(name);
    this.told.changed();
  }

  ask(open) {
    this.sure.hidden = !open;
    if (!open) return this.removes.focus();
    const { title, name, jobs } = this.view;
    const used = jobs ? ` ${plural(jobs, "job")} asked for it; their verdicts stay.` : "";
    const yes = h("button", { type: "button", class: "cs-primary", text: this.removes.textContent, onclick: async () => {
      if (!(await tried(() => api.removeProfile(name), `${title} is gone from the list; its versions are kept.`, this.wrong))) return;
      this.drop(name);
      this.told.gone();
      this.told.changed();
    } });
    this.sure.replaceChildren(h("p", { text: `${title} can no longer be asked for.${used} It can be restored from the list.` }), yes, h("button", { type: "button", class: "cs-plain", text: "Keep it", onclick: () => this.ask(false) }));
    yes.focus();
  }
}

/** "Of the last 400 pictures drawn with it 312 pass (now 280), 60 are rejected, 28 go to people." */
function counted({ pictures, of_profile: own, now, would }, edited) {
  if (!pictures) return ["There is no picture yet to try it on."];
  const was = (name) => (edited && now && now[name] !== would[name] ? ` (now ${now[name]})` : "");
  const of = own ? `Of the last ${plural(pictures, "picture")} drawn with it ` : `Of the studio's last ${plural(pictures, "picture")} `;
  return [of, h("b", { text: `${would.passes} ${edited ? "would pass" : "pass"}${was("passes")}` }), `, ${would.rejected} rejected${was("rejected")}, ${would.review} to people${was("review")}.`];
}

/** A refusal without the place in the file, which the page shows by where it stands. */
const plainly = (message) => message.replace(/^.*?cannot be: /, "").replace(/^[^:]*: rules\.\d+: /, "");
