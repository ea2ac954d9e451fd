// What is asked of the history: the search box, the row of filters, and a chip for each filter that is on.

import { debounced, h, icon, set, words } from "./dom.js";
import { studio } from "./studio.js";

const VERDICTS = [["kept", "Kept"], ["spare", "Spare"], ["rejected", "Rejected"], ["review", "To review"]];
const SORTS = [["newest", "Newest first"], ["oldest", "Oldest first"], ["rating", "Best rated"]];
const LABELS = { tier: "Tier", card: "Model", lora: "LoRA", verdict: "Verdict", rating: "Rating", person: "By", tag: "Tag", template: "Template", failed: "Rejected for", since: "From", until: "To", score: "Score" };

export class Filters extends EventTarget {
  /** Tells "change" when something else is asked for. */
  constructor() {
    super();
    this.on = []; // [name, value], in the order they were chosen
    this.place = { kind: "all" }; // or {kind: "trash"}, {kind: "pinned"}, {kind: "board", board}
    const later = debounced(() => this.changed(), 180);
    this.text = h("input", { type: "search", class: "cs-search", "aria-label": "Search prompts, tags and notes", placeholder: "Search prompts, tags, notes", autocomplete: "off", spellcheck: "false", maxlength: "400", oninput: later, onkeydown: (event) => this.typed(event) });
    this.sort = this.choice("Sort", [], () => this.changed());
    this.toggle = h("button", { type: "button", class: "cs-plain cs-filter-toggle", "aria-expanded": "false", "aria-controls": "cs-filter-row", onclick: () => this.fold(this.row.hidden) }, h("span", { text: "Filters" }), h("b", { hidden: true }), icon("open"));
    this.row = h("div", { class: "cs-filter-row", id: "cs-filter-row", role: "group", "aria-label": "Filters", hidden: true });
    this.chips = h("ul", { class: "cs-chips", "aria-label": "Filters that are on", hidden: true });
    this.build();
    this.known({ tiers: {}, cards: {}, verdicts: {}, persons: {}, tags: {}, loras: [], dimensions: [] });
  }

  choice(label, options, run) {
    return h("select", { class: "cs-choice", "aria-label": label, onchange: run }, options);
  }

  build() {
    const adds = (name) => this.choice(LABELS[name], [], (event) => {
      if (event.target.value) this.add(name, event.target.value);
      event.target.value = "";
    });
    this.selects = Object.fromEntries(["verdict", "rating", "tier", "card", "lora", "tag", "person"].map((name) => [name, adds(name)]));
    const date = (name) => h("input", { type: "date", class: "cs-choice", "aria-label": name === "since" ? "From day" : "To day", onchange: (event) => this.add(name, event.target.value) });
    this.dates = { since: date("since"), until: date("until") };
    this.dimension = this.choice("Score to filter by", [], () => this.bounds());
    const bound = (label) => h("input", { type: "number", class: "cs-choice cs-bound", step: "any", "aria-label": label, placeholder: label.toLowerCase(), onchange: () => this.score(), onkeydown: (event) => event.key === "Enter" && this.score() });
    this.low = bound("Least");
    this.high = bound("Most");
    this.ends = h("span", { class: "cs-bounds", hidden: true }, this.low, "to", this.high);
    this.row.append(...Object.values(this.selects), h("span", { class: "cs-score-filter" }, this.dimension, this.ends), h("span", { class: "cs-dates" }, h("span", { "aria-hidden": "true", text: "From" }), this.dates.since, h("span", { "aria-hidden": "true", text: "to" }), this.dates.until));
  }

  /** Fills the lists with what there is; see GET /api/history/facets. */
  known(facets) {
    this.facets = facets;
    const option = (value, text) => h("option", { value, text });
    const counted = (counts, name = (one) => one) => Object.entries(counts).map(([value, count]) => option(value, `${name(value)}  (${count.toLocaleString("en-GB")})`));
    const fill = (select, label, options) => {
      const chosen = select.value; // somebody may be about to filter by it
      select.replaceChildren(option("", label), ...options);
      select.value = options.some((one) => one.value === chosen) ? chosen : "";
      select.hidden = !options.length;
    };
    const title = (tier) => studio.facts(tier)?.title ?? tier;
    const said = Object.fromEntries(VERDICTS);
    fill(this.selects.verdict, "Verdict", counted(facets.verdicts, (one) => said[one] ?? one));
    fill(this.selects.rating, "Rating", [...[1, 2, 3, 4, 5].map((stars) => option(String(stars), stars === 5 ? "5 stars" : `${stars} or more`)), option("none", "Not rated")]);
    fill(this.selects.tier, "Tier", counted(facets.tiers, title));
    fill(this.selects.card, "Model", counted(facets.cards, modelTitle));
    fill(this.selects.lora, "LoRA", facets.loras.map((name) => option(name, name)));
    fill(this.selects.tag, "Tag", counted(facets.tags));
    fill(this.selects.person, "By", Object.keys(facets.persons).length > 1 ? counted(facets.persons) : []);
    fill(this.dimension, "Score", facets.dimensions.filter((one) => one.least !== null).map((one) => option(one.name, words(one.name))));
    this.orders();
  }

  orders() {
    const chosen = this.sort.value || "newest";
    const best = this.facets.dimensions.filter((one) => one.least !== null && one.least !== one.most).map((one) => [`best:${one.name}`, `Best ${words(one.name)}`]);
    const all = [...(this.place.kind === "board" ? [["board", "In board order"]] : []), ...SORTS, ...best];
    this.sort.replaceChildren(...all.map(([value, text]) => h("option", { value, text })));
    this.sort.value = all.some(([value]) => value === chosen) ? chosen : all[0][0];
  }

  /** Where to look: everywhere, in the trash, on a board. */
  go(place) {
    const onBoard = this.place.kind === "board";
    this.place = place;
    this.orders();
    if (place.kind === "board") this.sort.value = "board";
    else if (onBoard && this.sort.value === "board") this.sort.value = "newest";
    this.changed();
  }

  fold(open) {
    this.row.hidden = !open;
    set(this.toggle, { "aria-expanded": String(open) });
  }

  bounds() {
    const one = this.facets.dimensions.find(({ name }) => name === this.dimension.value);
    this.ends.hidden = !one;
    if (!one) return;
    this.low.value = this.high.value = "";
    this.low.placeholder = String(Math.floor(one.least));
    this.high.placeholder = String(Math.ceil(one.most));
    this.low.focus();
  }

  score() {
    const [name, low, high] = [this.dimension.value, this.low.value, this.high.value];
    if (!name) return;
    this.on = this.on.filter(([field, value]) => field !== "score" || !value.startsWith(`${name}:`));
    if (low || high) this.on.push(["score", `${name}:${low}..${high}`]);
    this.changed();
  }

  add(name, value) {
    const alone = ["rating", "since", "until"].includes(name);
    this.on = this.on.filter(([field, one]) => (alone ? field !== name : field !== name || one !== value));
    if (value) this.on.push([name, value]);
    this.changed();
  }

  drop(name, value) {
    this.on = this.on.filter(([field, one]) => field !== name || one !== value);
    if (this.dates[name]) this.dates[name].value = "";
    if (name === "score") [this.dimension.value, this.ends.hidden] = ["", true];
    this.changed();
    (this.chips.querySelector("button") ?? this.toggle).focus();
  }

  /** Asks for just this: words and [name, value] pairs. */
  only(text, on) {
    this.clear(false);
    this.text.value = text;
    this.on = on;
    if (this.place.kind !== "all") this.go({ kind: "all" });
    else this.changed();
  }

  clear(tell = true) {
    this.on = [];
    this.text.value = "";
    for (const input of Object.values(this.dates)) input.value = "";
    [this.dimension.value, this.ends.hidden] = ["", true];
    if (tell) this.changed();
  }

  typed(event) {
    if (event.key !== "Escape" || !this.text.value) return;
    event.preventDefault();
    this.text.value = "";
    this.changed();
  }

  get narrowed() {
    return this.on.length > 0 || this.text.value.trim() !== "";
  }

  get dated() {
    return ["newest", "oldest"].includes(this.sort.value);
  }

  /** As the address asks it. */
  get query() {
    const asked = new URLSearchParams();
    if (this.text.value.trim()) asked.append("q", this.text.value.trim());
    for (const [name, value] of this.on) asked.append(name, name === "since" || name === "until" ? moment(name, value) : value);
    if (this.place.kind === "trash") asked.append("trashed", "1");
    if (this.place.kind === "pinned") asked.append("pinned", "1");
    if (this.place.kind === "board") asked.append("board", this.place.board.id);
    asked.append("sort", this.sort.value);
    return asked;
  }

  changed() {
    this.chips.replaceChildren(...this.on.map(([name, value]) => this.chip(name, value)), ...(this.on.length > 1 ? [h("li", {}, h("button", { type: "button", class: "cs-chip-all", text: "Clear all", onclick: () => this.clear() }))] : []));
    this.chips.hidden = !this.on.length;
    const count = this.toggle.querySelector("b");
    set(count, { text: String(this.on.length), hidden: !this.on.length });
    this.dispatchEvent(new Event("change"));
  }

  chip(name, value) {
    const text = said(name, value);
    return h("li", {}, h("button", { type: "button", class: "cs-chip", "aria-label": `Remove the filter ${text}`, onclick: () => this.drop(name, value) }, h("span", { text }), icon("close")));
  }
}

const modelTitle = (card) => studio.about?.families.flatMap((family) => family.tiers).find((tier) => tier.card === card)?.card_title ?? card;

/** "Sharpness 50 to 80", "From 3 May 2026": a filter in words. */
function said(name, value) {
  if (name === "score") {
    const [dimension, ends] = value.split(":");
    const [low, high] = ends.split("..");
    const range = low && high ? `${low} to ${high}` : low ? `at least ${low}` : `at most ${high}`;
    return `${words(dimension)} ${range}`;
  }
  if (name === "rating") return value === "none" ? "Not rated" : value === "5" ? "5 stars" : `${value} stars or more`;
  if (name === "verdict") return Object.fromEntries(VERDICTS)[value] ?? value;
  if (name === "tier") return studio.facts(value)?.title ?? value;
  if (name === "card") return modelTitle(value);
  if (name === "since" || name === "until") return `${LABELS[name]} ${new Date(`${value}T12:00`).toLocaleDateString("en-GB", { day: "numeric", month: "short", year: "numeric" })}`;
  return `${LABELS[name]}: ${name === "failed" ? words(value) : value}`;
}

/** A day as people here count it, as a moment of UTC. */
function moment(name, day) {
  const at = new Date(`${day}T00:00`);
  if (name === "until") at.setDate(at.getDate() + 1);
  return Number.isNaN(at.getTime()) ? day : at.toISOString();
}
