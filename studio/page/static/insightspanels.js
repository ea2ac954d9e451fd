// The panels of the Insights tab. Each is made once, asks for its own answer, and shows it; what it shows is also there as a table.

import { api } from "./api.js";
import { figure, h, icon, plural, set } from "./dom.js";
import { Bars, Lines } from "./insightsplot.js";

export const percent = (share) => (share === null || share === undefined ? "–" : `${(100 * share).toFixed(share > 0 && share < 0.0995 ? 1 : 0)} %`);
export const much = (number) => Math.round(number).toLocaleString("en-GB");

/** A section with a title, what stands beside it, and a link to the same as CSV. */
export class Panel {
  constructor(name, title, about = "") {
    this.name = name;
    this.csv = h("a", { class: "cs-csv", download: true, text: "CSV", "aria-label": `${title} as CSV` });
    this.tools = h("div", { class: "cs-panel-tools" }, this.csv);
    this.body = h("div", { class: "cs-panel-body" });
    const id = `cs-insights-${title.toLowerCase().replaceAll(/\W+/g, "-")}`;
    this.element = h("section", { class: "cs-insights-panel", "aria-labelledby": id }, h("header", {}, h("h2", { id, text: title }), this.tools), about ? h("p", { class: "cs-quiet", text: about }) : null, this.body);
  }

  /** The panel's own part of the query. */
  get own() {
    return "";
  }

  link(query) {
    set(this.csv, { href: `/api/insights/${this.name}.csv?${query}${this.own}` });
  }

  async load(query) {
    const turn = (this.turn = {});
    this.query = query;
    this.link(query);
    const answer = await api.insights(this.name, query + this.own);
    if (this.turn === turn) this.show(answer);
  }

  fill(...content) {
    this.body.replaceChildren(...content.filter(Boolean));
  }

  none(text) {
    this.fill(h("p", { class: "cs-none", text }));
  }
}

/** What the scores said of pictures, and which requests were filled: from the overview that the tiles are made of. */
export class Course extends Panel {
  constructor(title, about, draw) {
    super("overview", title, about);
    this.draw = draw;
  }

  show(answer) {
    const plot = this.draw(answer.course, { steps: answer.course.map((one) => one.first), step: answer.period.step });
    if (plot) this.fill(plot.element);
    else this.none("Nothing in these days.");
  }
}

export const judged = () => new Course("What the scores said", "Every picture that was measured, drafts too.", (course, given) => {
  if (!course.some((one) => one.judged)) return null;
  const series = [["Passed", "passed"], ["Undecided", "review"], ["Rejected", "rejected"]].map(([name, kind]) => ({ name, kind, values: course.map((one) => one[kind]) }));
  return new Bars({ ...given, label: "Pictures by verdict", say: much, series });
});

export const delivered = () => new Course("Requests filled", "Whether as many pictures were kept as a request asked for.", (course, given) => {
  if (!course.some((one) => one.requests)) return null;
  const series = [["Filled", "filled"], ["In part", "partly"], ["Nothing kept", "empty"]].map(([name, kind]) => ({ name, kind, values: course.map((one) => one[kind]) }));
  return new Bars({ ...given, label: "Requests by what was delivered", say: much, series });
});

export const cost = () => new Course("Device time per kept picture", "All drawing, rejected pictures and drafts included, over the pictures kept.", (course, given) => {
  if (!course.some((one) => one.seconds_per_kept !== null)) return null;
  return new Lines({ ...given, label: "Seconds per kept picture", unit: " s", say: figure, from: 0, series: [{ name: "Seconds", values: course.map((one) => one.seconds_per_kept) }] });
});

export const text = () => new Course("Words that can be read", "How well the worst of the words asked for can be read; 100 is letter for letter.", (course, given) => {
  if (!course.some((one) => one.text_match !== null)) return null;
  return new Lines({ ...given, label: "Text match", say: figure, to: 100, series: [{ name: "Text match", values: course.map((one) => one.text_match) }] });
});

const BY = { card: "model", tier: "tier", profile: "profile", template: "template", lora: "LoRA" };
const COLUMNS = 6;

/** Why pictures were rejected: in all as bars, and as a table shaded by share for each of what they were made with. */
export class Reasons extends Panel {
  constructor() {
    super("reasons", "Why pictures were rejected");
    this.by = h("select", { "aria-label": "Rejected by", onchange: () => this.load(this.query) }, ...Object.entries(BY).map(([value, name]) => h("option", { value, text: `by ${name}` })));
    this.tools.prepend(this.by);
  }

  get own() {
    return `&by=${this.by.value}`;
  }

  show({ by, judged, reasons, groups, left_out }) {
    if (!judged) {
      this.none("Nothing was measured in these days.");
      return;
    }
    const shown = reasons.slice(0, COLUMNS);
    const most = Math.max(0.01, ...groups.flatMap((group) => shown.map((one) => (group.reasons[one.name] ?? 0) / Math.max(1, group.judged))));
    const cell = (group, one) => {
      const share = (group.reasons[one.name] ?? 0) / Math.max(1, group.judged);
      const td = h("td", { class: "cs-heat", text: group.judged ? percent(share) : "", title: `${much(group.reasons[one.name] ?? 0)} of ${much(group.judged)}` });
      td.style.setProperty("--heat", `${Math.round((100 * share) / most)}%`);
      return td;
    };
    const head = h("tr", {}, h("th", { scope: "col", text: BY[by][0].toUpperCase() + BY[by].slice(1) }), ...["Measured", "Passed", "s per kept"].map((name) => h("th", { scope: "col", text: name })), ...shown.map((one) => h("th", { scope: "col", text: one.title })));
    const rows = groups.map((group) => h("tr", {}, h("th", { scope: "row", text: group.title }), h("td", { text: much(group.judged) }), h("td", { text: percent(group.pass_rate?.value), title: interval(group.pass_rate) }), h("td", { text: group.seconds_per_kept === null ? "–" : figure(group.seconds_per_kept) }), ...shown.map((one) => cell(group, one))));
    this.fill(
      reasons.length ? barTable("What rejected pictures failed", reasons.map((one) => ({ title: one.title, value: one.share.value, said: percent(one.share.value), note: `${much(one.n)} of ${much(judged)}` }))) : h("p", { class: "cs-none", text: "Nothing was rejected in these days." }),
      scrolled(`Rejected by ${BY[by]}`, h("table", { class: "cs-figures" }, h("thead", {}, head), h("tbody", {}, ...rows))),
      left_out ? h("p", { class: "cs-quiet", text: `${left_out} more are in no row; the most used are shown.` }) : null,
    );
  }
}

/** The course of one dimension by model, and all dimensions in a line each. */
export class Scores extends Panel {
  constructor() {
    super("scores", "Scores over time", "Finished pictures. The band holds about two thirds of the first line's pictures; steps are thresholds.");
    this.dimension = "";
    this.list = h("select", { "aria-label": "Dimension", onchange: () => this.choose(this.list.value) });
    this.tools.prepend(this.list);
  }

  get own() {
    return this.dimension ? `&dimension=${encodeURIComponent(this.dimension)}` : "";
  }

  choose(dimension) {
    this.dimension = dimension;
    return this.load(this.query);
  }

  show({ steps, step, dimensions, dimension, lines }) {
    this.list.hidden = !dimensions.length;
    if (!dimensions.length) {
      this.none("Nothing was measured in these days.");
      return;
    }
    this.list.replaceChildren(...dimensions.map((one) => h("option", { value: one.name, text: one.title })));
    this.list.value = dimension;
    const chosen = dimensions.find((one) => one.name === dimension);
    const unit = chosen.unit ? ` ${chosen.unit}` : "";
    const series = lines.map((line) => ({ name: line.title, values: line.points.map((one) => one.mean), spread: line.points.map((one) => one.spread), threshold: line.points.map((one) => one.threshold) }));
    const plot = new Lines({ label: `${chosen.title}, mean`, steps, step, unit, say: figure, series });
    const changed = lines.flatMap((line) => line.versions.slice(1).map((one) => `${line.title}: measured by version ${one.version} from ${one.day} on; values before and after it do not compare.`));
    const pick = (one) => h("button", { type: "button", class: "cs-bare", text: one.title, "aria-pressed": String(one.name === dimension), onclick: async () => {
      await this.choose(one.name);
      this.body.querySelector('.cs-figures [aria-pressed="true"]')?.focus();
    } });
    const row = (one) => h("tr", {}, h("th", { scope: "row" }, pick(one)), h("td", { text: one.mean === null ? "–" : figure(one.mean) + (one.unit ? ` ${one.unit}` : "") }), h("td", { text: one.spread === null ? "–" : `± ${figure(one.spread)}` }), h("td", { text: percent(one.failed?.value), title: interval(one.failed) }), h("td", { text: much(one.n) }), h("td", { text: one.unscored ? much(one.unscored) : "" }));
    const head = h("tr", {}, ...["Dimension", "Mean", "Spread", "Failed", "Measured", "Not scored"].map((name) => h("th", { scope: "col", text: name })));
    this.fill(plot.element, ...changed.map((words) => h("p", { class: "cs-quiet", text: words })), scrolled("Every dimension", h("table", { class: "cs-figures" }, h("thead", {}, head), h("tbody", {}, ...dimensions.map(row)))));
  }
}

const SAID = { passed: "The scores passed it", rejected: "The scores rejected it", undecided: "The scores could not tell" };

/** Whether people agree with the scores. */
export class Agreement extends Panel {
  constructor() {
    super("people", "Do people agree?", "Verdicts of reviewers, and what owners kept or rejected on the sheet.");
  }

  show({ steps, step, table, agreement, estimate, course, named, sources }) {
    if (!sources.review && !sources.sheet) {
      this.none("Nobody has judged a picture in these days. The Review tab asks about those that the scores are least sure of.");
      return;
    }
    const cell = (row, column, wrong) => h("td", { class: wrong ? "cs-wrong" : null, text: much(table[row][column]) });
    const rows = Object.entries(SAID).map(([row, said]) => h("tr", {}, h("th", { scope: "row", text: said }), cell(row, "approved", row === "rejected"), cell(row, "refused", row === "passed")));
    const head = h("tr", {}, h("td"), h("th", { scope: "col", text: "People approved" }), h("th", { scope: "col", text: "People refused" }));
    const from = [sources.review ? plural(sources.review, "review") : "", sources.sheet ? `${much(sources.sheet)} flagged on the sheet` : ""].filter(Boolean).join(", ");
    const lines = [
      h("p", { class: "cs-said" }, h("b", { text: agreement ? percent(agreement.value) : "–" }), ` agree where the scores decided (${from})${agreement ? `; 95 % interval ${interval(agreement)}` : ""}.`),
      estimate === null ? null : h("p", { class: "cs-quiet", text: `About ${percent(estimate)} of all pictures: reviewers are mostly shown those close to a bar, so each verdict counts as many as it stands for.` }),
    ];
    const plot = course.some(Boolean) && steps.length > 1 ? new Lines({ label: "Agreement", steps, step, from: 0, to: 1, say: percent, series: [{ name: "Agreement", values: course.map((one) => one?.value ?? null) }] }).element : null;
    const most = Math.max(1, ...named.map((one) => one.n));
    this.fill(...lines, h("table", { class: "cs-figures cs-square" }, h("thead", {}, head), h("tbody", {}, ...rows)), plot,
      named.length ? barTable("What people refused pictures for", named.slice(0, 8).map((one) => ({ title: one.title, value: one.n / most, said: much(one.n) }))) : null);
  }
}

const DEEDS = { star: "Starred", unstar: "Stars taken back", pick: "Picked", reject: "Rejected", unflag: "Unflagged", download: "Downloaded", regenerate: "Drawn again", "keep-anyway": "Kept anyway", restore: "Restored" };

/** What people did with pictures. */
export class Signals extends Panel {
  constructor() {
    super("people", "What people did");
  }

  show({ signals }) {
    if (!signals.length) {
      this.none("No stars, picks or downloads in these days.");
      return;
    }
    const most = signals[0].n;
    this.fill(barTable("What people did with pictures", signals.map((one) => ({ title: DEEDS[one.kind] ?? one.kind, value: one.n / most, said: much(one.n), note: one.n === one.pictures ? "" : plural(one.pictures, "picture") }))));
  }
}

const DONE = { refused: "refused", asked: "asked about", confirmed: "confirmed by a person", marked: "marked" };

/** What safety found. */
export class Safety extends Panel {
  constructor() {
    super("safety", "Safety", "Pictures marked by what was seen in them, and prompts stopped or marked by the list of words.");
  }

  show({ steps, step, pictures, prompts, course, rules }) {
    if (!rules.length) {
      this.none(pictures.of ? `Nothing was found in ${much(pictures.of)} pictures.` : "Nothing was drawn in these days.");
      return;
    }
    const said = (one, found, of) => h("p", { class: "cs-said" }, h("b", { text: one.per_10000 === null ? much(one.n) : figure(one.per_10000) }), one.per_10000 === null ? ` ${found}` : ` ${found} per 10,000 ${of} (${much(one.n)} to ${much(one.of)})`);
    const plot = pictures.n && steps.length > 1 ? new Lines({ label: "Pictures marked per 10,000", steps, step, from: 0, say: figure, series: [{ name: "Per 10,000", values: course.map((one) => one.per_10000) }] }).element : null;
    const most = Math.max(...rules.map((one) => one.n));
    this.fill(said(pictures, "marked", "pictures drawn"), prompts.n ? said(prompts, "found in prompts", "requests done") : null, plot,
      barTable("By rule", rules.slice(0, 12).map((one) => ({ title: one.title, value: one.n / most, said: much(one.n), note: `${one.picture ? "picture" : "prompt"}, ${one.kind}, ${DONE[one.action]}` }))));
  }
}

/** Whether choosing by verifiers still serves a verifier that nothing is chosen by. */
export class Alarm extends Panel {
  constructor() {
    super("alarm", "Is the choosing gamed?", "A third verifier chooses nothing; it is only asked where it would put what was chosen.");
  }

  show({ requests, place, known }) {
    if (!known) {
      this.none(requests ? `${plural(requests, "request")} can tell so far; ten are needed.` : "No request of these days was measured by it.");
      return;
    }
    const said = place.high < 0.5
      ? "Worse than chance: what the verifiers prefer is not what fits the prompt. Rank by others, or draft fewer."
      : place.low > 0.5 ? "Better than chance: no sign of gaming." : "No better than chance: the candidates differ in little that it can see.";
    this.fill(h("p", { class: "cs-said", data: { trouble: String(place.high < 0.5) } }, h("b", { text: percent(place.value) }), ` of the other candidates it puts behind the chosen one (95 % interval ${interval(place)}; ${plural(requests, "request")}).`),
      h("p", { class: "cs-quiet", text: said }));
  }
}

/** Rows of a name, a bar and a number: a table, so that it reads without its bars. */
function barTable(label, rows) {
  return h("table", { class: "cs-bars" }, h("caption", { class: "cs-voice", text: label }), h("tbody", {}, ...rows.map(({ title, value, said, note }) => {
    const bar = h("span", { class: "cs-bar-fill" });
    bar.style.width = `${Math.max(value > 0 ? 1 : 0, 100 * value)}%`;
    return h("tr", {}, h("th", { scope: "row", text: title }), h("td", { class: "cs-bar-cell", "aria-hidden": "true" }, bar), h("td", { class: "cs-bar-said" }, said, note ? h("small", { text: note }) : null));
  })));
}

function scrolled(label, table) {
  return h("div", { class: "cs-scroll", tabindex: "0", role: "region", "aria-label": label }, table);
}

/** "68 to 74 %" */
export function interval(share) {
  return share ? `${(100 * share.low).toFixed(0)} to ${(100 * share.high).toFixed(0)} %` : null;
}

/**
 * Better, worse or about the same as before, in words and an arrow. `shares`: both as shares with their intervals, where there are any:
 * what chance alone would do is no change.
 */
export function change(now, before, { better = "higher", say = figure, unit = "", shares = null } = {}) {
  if (now === null || before === null || now === undefined || before === undefined) return null;
  const inside = (value, share) => value >= share.low && value <= share.high;
  const chance = shares ? !shares[0] || !shares[1] || inside(shares[0].value, shares[1]) || inside(shares[1].value, shares[0]) : Math.abs(now - before) <= 0.02 * Math.abs(before);
  if (chance) return h("span", { class: "cs-change", text: "about as before" });
  const by = now - before;
  const good = by > 0 === (better === "higher");
  return h("span", { class: "cs-change", data: better ? { good: String(good) } : {} }, icon(by > 0 ? "up" : "down"), `${say(Math.abs(by))}${unit} ${by > 0 ? "more" : "less"}`);
}
