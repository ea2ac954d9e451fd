// What a request says of quality: the profile it is held to, what the picture must show, and how far to go until enough pass.

import { Refused, api } from "./api.js";
import { Chips, readColours, readWords } from "./chips.js";
import { h, plural, set } from "./dom.js";
import { Likeness } from "./likeness.js";
import { studio } from "./studio.js";

const USUAL = "generic";
const LIMITS = { texts: 8, palette: 12, retries: 8 };
const NAMED = 5; // of what a profile asks for; the rest is in its tab
const NUMBERS = ["retries", "images", "seconds"];

export class Wishes {
  /** field(name, label, input, note, shown): makes a field of the form; number(name, min, max, step): an input; changed(): something is to be remembered. */
  constructor({ field, number, changed }) {
    this.changed = changed;
    this.usual = USUAL;
    this.branded = null; // the brand that a request is drawn for: it brings colours, and may name a profile
    this.turned = null; // the ladder: true or false by a person's hand, null as the tier's data says
    this.ladder = h("input", { id: "cs-ladder", type: "checkbox", role: "switch", onchange: () => this.turn() });
    this.ladderNote = h("span", { class: "cs-quiet" });
    this.ladderRow = h("label", { class: "cs-ladder", for: "cs-ladder" }, this.ladder, h("span", {}, h("span", { text: "Draft first, finish the best" }), this.ladderNote));
    this.profile = h("select", { id: "cs-profile", onchange: () => this.asks() });
    this.asked = h("span");
    this.lacks = h("p", { class: "cs-quiet cs-profile-asks", role: "status" });
    const edit = h("button", { type: "button", class: "cs-link", text: "What it asks", title: "Profiles with their bounds and rules, in the Quality tab", onclick: () => studio.show("quality") });
    this.about = h("p", { class: "cs-quiet cs-profile-asks" }, this.asked, " ", edit);
    const picker = h("input", { type: "color", class: "cs-colour-pick", "aria-label": "Pick a colour", title: "Pick a colour", value: "#808080", onchange: () => this.palette.add(picker.value.toUpperCase()) });
    this.texts = new Chips({ id: "cs-texts", label: "Words it must show", placeholder: "SUMMER SALE", read: readWords, show: (text) => [h("span", { text })], most: LIMITS.texts, wrong: "Write the words.", changed: () => this.told() });
    this.palette = new Chips({ id: "cs-palette", label: "Colours to keep to", placeholder: "#1A2B3C, #FFFFFF", read: readColours, show: swatch, most: LIMITS.palette, wrong: "Write a colour like #1A2B3C.", changed: () => this.told(), tools: [picker] });
    this.likeness = new Likeness({ changed: () => this.told() });
    this.retries = number("retries", 0, LIMITS.retries);
    this.images = number("images", 1, 10000);
    this.seconds = number("seconds", 1, 604800, 0.1);
    this.images.placeholder = this.seconds.placeholder = "any";
    this.state = h("span", { class: "cs-summary-state" });
    this.element = h("details", { class: "cs-advanced cs-wishes", ontoggle: () => changed() }, h("summary", {}, h("span", { text: "Quality" }), this.state),
      field("profile", "Profile", this.profile, null, h("div", {}, this.profile, this.about, this.lacks)),
      field("texts", "Words it must show", this.texts.input, h("span", { class: "cs-quiet", text: "or \u201cquoted\u201d in the prompt" }), this.texts.element),
      field("palette", "Colours to keep to", this.palette.input, null, this.palette.element),
      field("likeness", "Must look like", this.likeness.input, null, this.likeness.element),
      field("retries", "While too few pass", this.retries, h("span", { class: "cs-quiet", text: "new seeds, up to" }), h("div", { class: "cs-budget" },
        captioned("rounds", "Rounds of new seeds at most", this.retries), captioned("pictures", "Pictures at most", this.images), captioned("seconds", "Seconds of drawing at most", this.seconds))),
    );
    this.profiles = [];
    this.needs = new Map();
    this.wanted = USUAL;
    studio.on("tab", () => studio.facts(studio.tab) && this.read()); // they may have been changed in their tab
    studio.on("about", () => this.read());
    studio.on("profiles", () => this.read());
  }

  /** Asks which profiles there are. */
  async read() {
    try {
      const { profiles, dimensions } = await api.profiles();
      this.profiles = profiles;
      this.needs = new Map(dimensions.map(({ name, needs }) => [name, needs]));
    } catch (error) {
      // Told by the head where the studio is away; a profile can still be named by what was chosen before.
      if (!(error instanceof Refused)) throw error;
      if (error.status !== 0) this.asked.textContent = error.message;
      return;
    }
    this.list();
  }

  list() {
    const chosen = this.profile.value || this.wanted;
    const known = this.profiles.some(({ name }) => name === this.wanted) || !this.profiles.length ? [] : [{ name: this.wanted, title: `${this.wanted} (removed)` }];
    const options = [...this.profiles, ...known];
    this.profile.replaceChildren(...options.map(({ name, title }) => h("option", { value: name, text: title })));
    this.profile.value = options.some(({ name }) => name === chosen) ? chosen : this.wanted;
    this.asks();
  }

  /** A profile that goes with something else that was chosen. */
  choose(name) {
    this.wanted = this.profile.value = name;
    this.list();
  }

  /** Says what the chosen profile asks for. */
  asks() {
    this.wanted = this.profile.value || this.wanted;
    const profile = this.profiles.find(({ name }) => name === this.wanted);
    this.asked.textContent = profile ? askedBy(profile) : "";
    this.told();
  }

  /** Fits the fields to the chosen tier. */
  suit() {
    const facts = studio.facts();
    const drafts = facts?.ladder && studio.facts(facts.ladder.draft);
    this.ladderRow.hidden = !drafts;
    this.ladder.checked = Boolean(drafts) && this.turned !== false;
    this.ladderNote.textContent = drafts ? `${drafts.title} drafts, ${facts.ladder.steps} steps; the best again as ${facts.title}, ${facts.steps} steps` : "";
    this.retries.placeholder = String(this.ladder.checked ? facts.ladder.retries : 0);
    this.summarise();
  }

  turn() {
    this.turned = this.ladder.checked ? null : false;
    this.told();
    this.suit();
  }

  told() {
    this.summarise();
    this.warn();
    this.changed();
  }

  /** Says what the profile measures and this request does not tell. */
  warn() {
    const profile = this.profiles.find(({ name }) => name === this.wanted);
    const needed = new Set(profile?.asks.map(({ dimension }) => this.needs.get(dimension.split(":")[0])));
    const lacking = [["texts", "words", this.texts.values.length || /["\u201c\u00ab]/.test(document.querySelector("#cs-prompt")?.value ?? "")], ["palette", "colours", this.palette.values.length || this.branded?.palette.length], ["likeness", "likeness", this.likeness.picture]].filter(([name, , given]) => needed.has(name) && !given).map(([, said]) => said);
    this.lacks.textContent = lacking.length ? `It also measures ${lacking.join(" and ")}, once you give them below.` : "";
  }

  /** What is set, beside the closed heading. */
  summarise() {
    const profile = this.profiles.find(({ name }) => name === this.wanted);
    const said = [profile?.title ?? "", this.texts.values.length ? plural(this.texts.values.length, "text") : "", this.palette.values.length ? plural(this.palette.values.length, "colour") : "", this.likeness.picture ? "a likeness" : "", this.images.value || this.seconds.value ? "a budget" : ""];
    this.state.textContent = said.filter(Boolean).join(" · ");
  }

  /** Its part of the request: what is left as it is usual stays unsaid. */
  request() {
    for (const name of NUMBERS) if (this[name].validity.badInput) throw new Refused({ field: name === "retries" ? name : "budget", what: "This is not a number." }, 0);
    // What was typed and not confirmed is meant all the same; what cannot be read is refused where it stands.
    for (const [name, chips] of [["texts", this.texts], ["palette", this.palette]]) {
      chips.take();
      if (chips.input.value.trim()) throw new Refused({ field: name, what: chips.wrong }, 0);
    }
    const request = {};
    if (this.wanted !== USUAL || this.branded?.profile) request.profile = this.wanted;
    if (this.texts.values.length) request.texts = this.texts.values;
    if (this.palette.values.length) request.palette = this.palette.values;
    if (this.likeness.picture) request.likeness = this.likeness.picture.image;
    if (!this.ladderRow.hidden && this.turned !== null) request.ladder = this.turned;
    if (this.retries.value !== "") request.retries = Number(this.retries.value);
    const budget = { ...(this.images.value !== "" ? { images: Number(this.images.value) } : {}), ...(this.seconds.value !== "" ? { seconds: Number(this.seconds.value) } : {}) };
    if (Object.keys(budget).length) request.budget = budget;
    return request;
  }

  /** As an earlier request had it. */
  fill(request) {
    const facts = studio.facts();
    this.wanted = request.profile ?? USUAL;
    this.profile.value = this.wanted;
    if (this.profile.value !== this.wanted && this.profiles.length) this.list();
    this.texts.set(request.texts ?? []);
    this.palette.set(request.palette ?? []);
    this.likeness.fill(request.likeness);
    // Where there is nothing to choose from, no ladder was meant either way.
    this.turned = facts?.ladder && request.ladder === false && request.draft > request.keep ? false : null;
    this.retries.value = whereOther(request.retries, request.ladder ? facts?.ladder?.retries ?? 0 : 0);
    this.images.value = request.budget?.images ?? "";
    this.seconds.value = request.budget?.seconds ?? "";
    this.suit();
    this.asks();
  }

  kept() {
    return { profile: this.wanted, texts: this.texts.values, palette: this.palette.values, likeness: this.likeness.picture, ladder: this.turned, open: this.element.open, ...Object.fromEntries(NUMBERS.map((name) => [name, this[name].value])) };
  }

  recall({ profile = USUAL, texts = [], palette = [], likeness = null, ladder = null, open = false, ...numbers } = {}) {
    this.wanted = profile;
    this.texts.set(texts);
    this.palette.set(palette);
    this.likeness.set(likeness);
    this.turned = ladder;
    this.element.open = open;
    for (const name of NUMBERS) this[name].value = numbers[name] ?? "";
    this.summarise();
  }
}

const whereOther = (value, usual) => (value === undefined || value === null || value === usual ? "" : String(value));

/** The profile's own words, and what it asks for: "Rejects by resolution, sharpness; advises on adherence." */
function askedBy({ about, asks }) {
  const named = (list) => {
    const titles = list.map(({ title }) => (/^[A-Z][a-z]/.test(title) ? title[0].toLowerCase() + title.slice(1) : title));
    return titles.length > NAMED + 1 ? `${titles.slice(0, NAMED).join(", ")} and ${titles.length - NAMED} more` : titles.join(", ");
  };
  const gates = asks.filter(({ gate }) => gate !== "advisory");
  const advice = asks.filter(({ gate }) => gate === "advisory");
  return [about, gates.length ? `Rejects by ${named(gates)}${advice.length ? `; advises on ${named(advice)}` : ""}.` : ""].filter(Boolean).join(" ");
}

function captioned(caption, label, input) {
  set(input, { "aria-label": label, title: label });
  return h("div", { class: "cs-captioned" }, input, h("span", { class: "cs-quiet", "aria-hidden": "true", text: caption }));
}

function swatch(colour) {
  const spot = h("span", { class: "cs-colour-spot", "aria-hidden": "true" });
  spot.style.background = colour;
  return [spot, h("code", { text: colour })];
}
