// The bars of a profile, a row a dimension: what it is, how recent pictures lie, the threshold, and what failing does.

import { bound as exact, h, icon, plural, set } from "./dom.js";
import { menuAt } from "./menus.js";
import { spread } from "./qualityspread.js";

const BOUNDS = [[">=", "at least"], ["<=", "at most"]];
const GATES = [["hard", "is rejected"], ["measured", "is rejected, where measured"], ["advisory", "passes, with a note"]];
const NEEDS = { texts: "needs words to show", palette: "needs a palette", likeness: "needs a reference picture", nothing: "" };
const WORDS = { ">=": "at least", "<=": "at most" };

export class Bars {
  constructor(changed) {
    Object.assign(this, { changed, card: "", rows: [] });
    this.models = h("select", { id: "cs-q-card", onchange: () => this.choose(this.models.value) });
    this.list = h("ol", { class: "cs-q-bars" });
    this.kinds = h("select", { "aria-label": "A dimension to add", onchange: () => this.pick() });
    this.colour = h("input", { type: "color", value: "#ffffff", "aria-label": "Which colour", hidden: true });
    this.adds = h("button", { type: "button", class: "cs-plain", text: "Add", disabled: true, onclick: () => this.add() });
    this.adding = h("div", { class: "cs-q-add" }, this.kinds, this.colour, this.adds);
    this.hint = h("p", { class: "cs-quiet" });
    this.element = h("section", { class: "cs-q-part-of", "aria-labelledby": "cs-q-bars-title" },
      h("div", { class: "cs-q-bars-head" }, h("h3", { id: "cs-q-bars-title", text: "Bars" }), h("label", { for: "cs-q-card", text: "for" }), this.models), this.hint,
      h("div", { class: "cs-q-columns", "aria-hidden": "true" }, ...["Dimension", "Recent pictures", "Threshold", "A picture that fails"].map((text) => h("span", { text })), h("span")),
      this.list, this.adding);
  }

  /** data: the profile, changed in place. facts: everything that can be measured, and the models. */
  show(data, facts) {
    data.dimensions ??= {};
    Object.assign(this, { data, facts, outlook: null });
    this.known = new Map(facts.dimensions.map((one) => [one.name, one]));
    const own = (card) => (this.differs(card) ? " (differs)" : "");
    this.models.replaceChildren(h("option", { value: "", text: "every model" }), ...facts.cards.map(({ name, title }) => h("option", { value: name, text: `${title}${own(name)}` })));
    this.models.value = this.card;
    this.fill();
  }

  differs(card) {
    const { thresholds, gates, learned } = this.data;
    return Object.keys(thresholds?.[card] ?? {}).length || Object.keys(gates?.[card] ?? {}).length || (learned ?? []).some((one) => one.card === card);
  }

  choose(card) {
    this.card = card;
    this.fill();
    if (this.outlook) this.spread(this.outlook);
  }

  /** Builds the rows anew, with the focus where it was. */
  fill(focus = null) {
    this.hint.textContent = this.card ? "What is left empty holds as for every model." : "In this order; the first that fail are told first.";
    this.rows = Object.keys(this.data.dimensions).map((name) => new Row(this, name));
    this.list.replaceChildren(...this.rows.map((row) => row.element));
    this.adding.hidden = Boolean(this.card);
    this.offer();
    if (focus) this.rows.find(({ name }) => name === focus)?.more.focus({ preventScroll: true });
  }

  offer() {
    const groups = new Map();
    for (const one of this.facts.dimensions) {
      if (one.argument === "none" && one.name in this.data.dimensions) continue;
      groups.set(one.scorer_title, [...(groups.get(one.scorer_title) ?? []), one]);
    }
    this.kinds.replaceChildren(h("option", { value: "", text: "Add a dimension ..." }), ...[...groups].map(([label, some]) => h("optgroup", { label }, ...some.map(({ name, title }) => h("option", { value: name, text: title })))));
    this.pick();
  }

  pick() {
    this.adds.disabled = !this.kinds.value;
    this.colour.hidden = this.known.get(this.kinds.value)?.argument !== "colour";
  }

  add() {
    const kind = this.known.get(this.kinds.value);
    const name = kind.argument === "colour" ? `${kind.name}:${this.colour.value.toUpperCase()}` : kind.name;
    this.data.dimensions[name] ??= { bound: kind.better === "higher" ? ">=" : "<=", threshold: starting(kind), gate: "advisory" };
    this.fill();
    this.rows.find((row) => row.name === name).threshold.focus();
    this.changed();
  }

  move(name, step) {
    const names = Object.keys(this.data.dimensions);
    const place = names.indexOf(name);
    if (!(place + step in names)) return;
    names.splice(place, 1);
    names.splice(place + step, 0, name);
    this.data.dimensions = Object.fromEntries(names.map((one) => [one, this.data.dimensions[one]]));
    this.fill(name);
    this.changed();
  }

  remove(name) {
    const place = Object.keys(this.data.dimensions).indexOf(name);
    delete this.data.dimensions[name];
    for (const group of ["thresholds", "gates", "doubt"]) for (const own of Object.values(this.data[group] ?? {})) delete own[name];
    this.data.ranks = (this.data.ranks ?? []).filter((one) => one !== name);
    this.data.learned = (this.data.learned ?? []).filter((one) => one.dimension !== name);
    this.fill(Object.keys(this.data.dimensions)[Math.max(0, place - 1)]);
    this.changed();
  }

  rank(name) {
    const ranks = this.data.ranks ?? [];
    this.data.ranks = ranks.includes(name) ? ranks.filter((one) => one !== name) : [...ranks, name];
    this.fill(name);
    this.changed();
  }

  /** Sets what differs for the chosen model; undefined takes it back. */
  differ(group, name, value) {
    const all = (this.data[group] ??= {});
    const own = (all[this.card] ??= {});
    if (value === undefined) delete own[name];
    else own[name] = value;
    if (!Object.keys(own).length) delete all[this.card];
    this.changed();
  }

  forget(learned) {
    this.data.learned = this.data.learned.filter((one) => one !== learned);
    this.fill(learned.dimension);
    this.changed();
  }

  /** What keeps the profile from being tried: a number that is none. */
  missing() {
    for (const [name, bar] of Object.entries(this.data.dimensions)) {
      if (!Number.isFinite(bar.threshold)) return { field: `dimensions.${name}.threshold`, words: `${this.title(name)} needs a threshold.` };
      if (("low" in bar || "high" in bar) && !(Number.isFinite(bar.low) && Number.isFinite(bar.high))) return { field: `dimensions.${name}.low`, words: `${this.title(name)}: people decide between two numbers.` };
    }
    return null;
  }

  title(name) {
    const [plain, argument] = name.split(":");
    return `${this.known.get(plain)?.title ?? plain}${argument ? ` from ${argument}` : ""}`;
  }

  mark(wrong) {
    for (const row of this.rows) row.mark(wrong);
  }

  /** How recent pictures lie in each dimension, and which of them a rule has taken over. */
  spread(outlook) {
    this.outlook = outlook;
    const said = new Map(outlook.rules.flatMap((rule) => rule.dimensions.map((name) => [name, rule.text])));
    for (const row of this.rows) row.spread(outlook.dimensions[row.name], outlook.pictures, said.get(row.name));
  }
}

class Row {
  constructor(bars, name) {
    Object.assign(this, { bars, name, known: bars.known.get(name.split(":")[0]), bar: bars.data.dimensions[name], seen: null });
    const title = bars.title(name);
    const id = `cs-q-bar-${++count}`;
    const { card, data } = bars;
    this.own = { threshold: data.thresholds?.[card]?.[name], gate: data.gates?.[card]?.[name] };

    this.bound = h("select", { "aria-label": `${title}: at least or at most`, disabled: Boolean(card), onchange: () => this.set("bound", this.bound.value) }, ...BOUNDS.map(([value, text]) => h("option", { value, text })));
    this.bound.value = this.bar.bound;
    this.threshold = h("input", { type: "number", step: "any", min: this.known.low, max: this.known.high, "aria-label": `Threshold of ${title}`, "aria-describedby": `${id}-notes`, placeholder: card ? exact(this.bar.threshold) : "", oninput: () => this.number("threshold", this.threshold) });
    this.threshold.value = card ? this.own.threshold ?? "" : this.bar.threshold ?? "";
    const usual = GATES.find(([value]) => value === this.bar.gate)[1];
    this.gate = h("select", { "aria-label": `${title}: a picture that fails`, onchange: () => this.gated() }, ...(card ? [h("option", { value: "", text: `as usual: ${usual}` })] : []), ...GATES.map(([value, text]) => h("option", { value, text })));
    this.gate.value = card ? this.own.gate ?? "" : this.bar.gate;
    this.more = h("button", { type: "button", class: "cs-tool", "aria-label": `More for ${title}`, "aria-haspopup": "menu", onclick: () => this.menu() }, icon("more"));
    this.plot = h("div", { class: "cs-q-plot", "aria-hidden": "true" });
    this.notes = h("p", { class: "cs-q-notes", id: `${id}-notes` });
    this.band = h("div", { class: "cs-q-band", hidden: true });
    this.badges = h("div", { class: "cs-q-badges" }, ...this.badged());
    this.element = h("li", { class: "cs-q-bar", data: { name }, onkeydown: (event) => this.key(event) },
      h("div", { class: "cs-q-what" }, h("b", { text: title }), this.badges, h("p", { class: "cs-quiet", text: this.known.about })),
      h("div", { class: "cs-q-recent" }, this.plot, this.notes),
      h("div", { class: "cs-q-limit" }, this.bound, this.threshold, h("span", { class: "cs-quiet", text: this.known.unit })),
      this.gate, card ? h("span") : this.more, this.band);
    if (!card && ("low" in this.bar || "high" in this.bar)) this.openBand();
    if (card && this.own.threshold !== undefined) this.element.classList.add("cs-q-differs");
  }

  badged() {
    const { data, card } = this.bars;
    const place = (data.ranks ?? []).indexOf(this.name);
    const some = [];
    if (place >= 0) some.push(h("span", { class: "cs-q-badge", text: "ranks" , title: "Orders the pictures that pass" }));
    if (this.known.needs !== "nothing") some.push(h("span", { class: "cs-q-badge", text: NEEDS[this.known.needs] }));
    for (const one of (data.learned ?? []).filter((learned) => learned.dimension === this.name && (!card || learned.card === card))) {
      const model = this.bars.facts.cards.find(({ name }) => name === one.card)?.title ?? one.card;
      some.push(h("span", { class: "cs-q-badge cs-q-learned" }, `${model}: learned ${WORDS[one.bound ?? this.bar.bound]} ${exact(one.threshold)} from ${plural(one.verdicts, "verdict")} `, h("button", { type: "button", class: "cs-bare", text: "Forget", "aria-label": `Forget what was learned for ${this.bars.title(this.name)}, ${model}`, onclick: () => this.bars.forget(one) })));
    }
    for (const [name, doubt] of Object.entries(data.doubt ?? {})) {
      if (!(this.name in doubt) || (card && card !== name)) continue;
      const model = this.bars.facts.cards.find((one) => one.name === name)?.title ?? name;
      const when = `${WORDS[this.bar.bound]} ${exact(doubt[this.name])} where at most ${round(100 * doubt.share)} % of a round pass: where others fail, one that passes is likelier to be spoilt`;
      some.push(h("span", { class: "cs-q-badge", title: when, text: `${model}: ${exact(doubt[this.name])} in doubt` }));
    }
    return some;
  }

  menu() {
    const { bars, name } = this;
    const ranks = (bars.data.ranks ?? []).includes(name);
    const names = Object.keys(bars.data.dimensions);
    const entries = [
      names[0] !== name && ["Move up", "Alt+Up", () => bars.move(name, -1)],
      names.at(-1) !== name && ["Move down", "Alt+Down", () => bars.move(name, 1)],
      [ranks ? "No longer rank by it" : "Rank what passes by it", "", () => bars.rank(name)],
      "low" in this.bar ? ["Let the threshold decide", "", () => this.closeBand()] : ["Let people decide near it", "", () => this.openBand(true)],
      ["Take it out", "", () => bars.remove(name)],
    ];
    menuAt(this.more, entries.filter(Boolean));
  }

  key(event) {
    const step = event.altKey && { ArrowUp: -1, ArrowDown: 1 }[event.key];
    if (!step || this.bars.card) return;
    event.preventDefault();
    this.bars.move(this.name, step);
  }

  set(key, value) {
    this.bar[key] = value;
    this.draw();
    this.bars.changed();
  }

  number(key, field) {
    const value = field.value === "" ? undefined : Number(field.value);
    if (this.bars.card) {
      this.own.threshold = value;
      this.element.classList.toggle("cs-q-differs", value !== undefined);
      this.bars.differ("thresholds", this.name, value);
      this.draw();
    } else this.set(key, value ?? null);
  }

  gated() {
    if (!this.bars.card) this.set("gate", this.gate.value);
    else this.bars.differ("gates", this.name, this.gate.value || undefined);
  }

  /** Two numbers between which people decide; new ones stand a little to either side of the threshold. */
  openBand(fresh = false) {
    if (fresh) {
      const step = Math.max(1, Math.abs(this.bar.threshold) * 0.1);
      Object.assign(this.bar, { low: round(Math.max(this.known.low, this.bar.threshold - step)), high: round(Math.min(this.known.high, this.bar.threshold + step)) });
      this.bars.changed();
    }
    const title = this.bars.title(this.name);
    const field = (key, words) => {
      const input = h("input", { type: "number", step: "any", "aria-label": `${title}: people decide ${words}`, oninput: () => this.set(key, input.value === "" ? null : Number(input.value)) });
      input.value = this.bar[key] ?? "";
      return input;
    };
    const fields = [field("low", "from"), field("high", "to")];
    this.band.replaceChildren(h("span", { text: "People decide between" }), fields[0], h("span", { text: "and" }), fields[1]);
    this.band.hidden = false;
    if (fresh) fields[0].focus();
  }

  closeBand() {
    delete this.bar.low;
    delete this.bar.high;
    this.band.hidden = true;
    this.draw();
    this.bars.changed();
    this.more.focus();
  }

  mark(wrong) {
    const mine = wrong?.field?.startsWith(`dimensions.${this.name}.`) || wrong?.field === `thresholds.${this.bars.card}.${this.name}`;
    set(this.threshold, { "aria-invalid": String(Boolean(mine)) });
  }

  spread(seen, pictures, rule) {
    this.seen = seen ?? null;
    for (const field of [this.threshold, this.gate, this.more]) field.disabled = Boolean(rule);
    this.bound.disabled = Boolean(rule || this.bars.card);
    if (!pictures) this.notes.textContent = rule ? `The rule "${rule}" decides.` : "";
    else this.notes.textContent = [rule ? `The rule "${rule}" decides` : "", ...this.told(pictures)].filter(Boolean).join(" · ");
    this.draw();
  }

  told(pictures) {
    const { fails, undecided, unmeasured } = this.seen ?? { fails: 0, undecided: 0, unmeasured: pictures };
    if (unmeasured === pictures) return ["not measured yet"];
    return [fails ? `${fails} fail` : "all pass", undecided ? `${undecided} to people` : "", unmeasured ? `${unmeasured} not measured` : ""];
  }

  draw() {
    const threshold = this.bars.card ? this.own.threshold ?? this.bar.threshold : this.bar.threshold;
    this.plot.replaceChildren(...(this.seen && this.seen.bins.some(Boolean) ? [spread(this.seen, this.bar.bound, threshold)] : []));
  }
}

let count = 0;

/** A threshold to begin with: in the middle of what a dimension can be, or none of it where less is better. */
function starting({ better, low, high }) {
  if (better === "lower") return high > 100 ? low : round(low + (high - low) / 4);
  return high > 100 ? low : round((Math.max(0, low) + high) / 2);
}

const round = (value) => Number(value.toPrecision(3));
