// The Insights tab: how much passes, why the rest does not, whether people agree, and what a kept picture costs.

import { Refused, api } from "./api.js";
import { debounced, figure, h, plural, set } from "./dom.js";
import { Agreement, Alarm, Reasons, Safety, Scores, Signals, change, cost, delivered, interval, judged, much, percent, text } from "./insightspanels.js";
import { Failures } from "./failures.js";
import { Trials } from "./insightstrials.js";
import { Costs } from "./insightscosts.js";
import { sparkline } from "./insightsplot.js";
import { studio } from "./studio.js";

const RANGES = [["7", "7 days"], ["30", "30 days"], ["90", "90 days"], ["365", "A year"], ["all", "All"]];
const SETTLE_MS = 1500;

export class CsInsights extends HTMLElement {
  connectedCallback() {
    if (this.firstChild) return;
    this.asked = { range: "30", since: "", until: "", person: null, card: "" };
    this.voice = h("p", { class: "cs-voice", role: "status" });
    this.head = this.controls();
    this.trouble = h("p", { class: "cs-error", role: "alert", hidden: true });
    this.empty = h("div", { class: "cs-empty", hidden: true });
    this.tiles = h("ul", { class: "cs-glance", "aria-label": "At a glance" });
    this.courses = [judged(), delivered(), cost(), text()];
    this.people = [new Agreement(), new Signals()];
    this.own = [new Reasons(), new Scores(), new Safety(), new Alarm(), new Failures(), new Costs(), new Trials()];
    const [reasons, scores, safety, alarm, failures, costs, trials] = this.own;
    const [said, filled, time, words] = this.courses;
    const [agreement, signals] = this.people;
    const column = (...panels) => h("div", { class: "cs-insights-column" }, ...panels.map((panel) => panel.element));
    this.body = h("div", { class: "cs-insights-body" }, this.tiles,
      h("div", { class: "cs-insights-pair" }, column(said), column(filled)), column(reasons, failures, scores, trials),
      h("div", { class: "cs-insights-pair" }, column(costs), column(costs.gpu)),
      h("div", { class: "cs-insights-pair" }, column(agreement, time, alarm), column(signals, safety, words)));
    this.append(this.voice, this.head, this.trouble, this.empty, this.body);
    studio.on("tab", (tab) => tab === "insights" && this.load());
    studio.on("found", () => this.shown && this.load());
    // Figures move when a job ends, not with each of its pictures.
    const again = debounced(() => this.shown && this.load(), SETTLE_MS);
    studio.on("job", (job) => !["queued", "running"].includes(job.state) && again());
    if (this.shown) this.load();
  }

  get shown() {
    return studio.tab === "insights";
  }

  controls() {
    this.ranges = h("div", { class: "cs-ranges", role: "group", "aria-label": "Period" }, ...RANGES.map(([range, name]) => h("button", { type: "button", class: "cs-range", text: name, data: { range }, onclick: () => this.ask({ range, since: "", until: "" }) })));
    const day = (label) => h("input", { type: "date", class: "cs-choice", "aria-label": label, onchange: () => this.ask({ range: "", since: this.since.value, until: this.until.value }) });
    this.since = day("From");
    this.until = day("Until");
    const choice = (label, name) => h("select", { class: "cs-choice", "aria-label": label, onchange: (event) => this.ask({ [name]: event.target.value }) });
    this.card = choice("Model", "card");
    this.person = choice("Whose pictures", "person");
    this.note = h("span", { class: "cs-quiet" });
    return h("div", { class: "cs-insights-head" }, this.ranges, h("span", { class: "cs-dates" }, this.since, h("span", { class: "cs-quiet", text: "to" }), this.until), this.card, this.person, this.note);
  }

  ask(changes) {
    Object.assign(this.asked, changes);
    return this.load();
  }

  get query() {
    const { range, since, until, person, card } = this.asked;
    const given = { ...(range ? { range } : { since, until }), ...(person ? { person } : {}), ...(card ? { card } : {}) };
    return new URLSearchParams(Object.entries(given).filter(([, value]) => value)).toString();
  }

  async load() {
    const turn = (this.turn = {});
    const query = this.query;
    this.body.setAttribute("aria-busy", "true");
    for (const panel of [...this.courses, ...this.people]) panel.link(query);
    try {
      // Two answers feed several panels each; those with choices of their own ask for themselves.
      const [overview, people] = await Promise.all([api.insights("overview", query), api.insights("people", query), ...this.own.map((panel) => panel.load(query))]);
      if (this.turn !== turn) return;
      this.say("");
      this.show(overview);
      for (const panel of this.courses) panel.show(overview);
      for (const panel of this.people) panel.show(people);
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      if (this.turn === turn) this.say(error.message);
    } finally {
      if (this.turn === turn) this.body.removeAttribute("aria-busy");
    }
  }

  say(trouble) {
    set(this.trouble, { text: trouble, hidden: !trouble });
  }

  show(answer) {
    const { period, known, totals, before, course, cards, persons } = answer;
    for (const button of this.ranges.children) button.setAttribute("aria-pressed", String(button.dataset.range === this.asked.range));
    if (document.activeElement !== this.since) this.since.value = period.first;
    if (document.activeElement !== this.until) this.until.value = period.last;
    this.fillChoices(cards, persons, answer.person);
    this.note.textContent = `${{ day: "By day", week: "By week", month: "By month" }[period.step]}, in UTC`;
    this.empty.hidden = Boolean(totals.drawn || totals.requests);
    this.body.hidden = !this.empty.hidden;
    if (!this.empty.hidden) this.nothing(known);
    else this.tiles.replaceChildren(...this.glance(totals, before, course));
    this.voice.textContent = `${plural(totals.drawn, "picture")} from ${period.first} to ${period.last}; ${percent(totals.pass_rate?.value)} passed.`;
  }

  nothing(known) {
    const all = h("button", { type: "button", class: "cs-plain", text: "Show everything", onclick: () => this.ask({ range: "all", since: "", until: "", card: "" }) });
    const words = known
      ? [h("h2", { text: "No pictures in these days" }), h("p", { text: `There are some from ${known[0]} to ${known[1]}.` }), all]
      : [h("h2", { text: "Nothing to count yet" }), h("p", { text: "Once pictures are drawn and scored, this tab shows how many pass, why the others do not, and what a kept picture costs." })];
    this.empty.replaceChildren(...words);
  }

  fillChoices(cards, persons, person) {
    this.card.hidden = cards.length < 2;
    fill(this.card, [["", "All models"], ...cards.map((one) => [one.name, one.title])], this.asked.card);
    this.person.hidden = !studio.about?.login || persons.length < 2;
    fill(this.person, [["*", "Everybody's pictures"], ...persons.map((one) => [one.name, one.name === studio.about?.person ? "My pictures" : `Pictures of ${one.title}`])], person ?? "*");
  }

  glance(now, before, course) {
    const points = { say: (value) => figure(100 * value), unit: " points" };
    const both = (name) => [now[name], before?.[name]];
    const share = (name, title, foot) => tile(title, percent(now[name]?.value), change(now[name]?.value, before?.[name]?.value, { ...points, shares: both(name) }), foot, course.map((one) => one[name]?.value ?? null), interval(now[name]));
    return [
      share("pass_rate", "Passed", now.judged ? `of ${much(now.judged)} measured` : "nothing was measured"),
      tile("Kept", much(now.kept), change(now.kept, before?.kept, { say: much, better: "" }), `of ${much(now.drawn)} drawn`, course.map((one) => one.kept)),
      share("filled_rate", "Requests filled", now.requests ? `of ${much(now.requests)}; ${figure(now.delivered_per_request)} delivered each` : "no request was done"),
      tile("Device time per kept", now.seconds_per_kept === null ? "–" : `${figure(now.seconds_per_kept)} s`, change(now.seconds_per_kept, before?.seconds_per_kept, { better: "lower", unit: " s" }), `${hours(now.seconds)} in all`, course.map((one) => one.seconds_per_kept)),
      share("agreement", "People agree", now.verdicts ? `in ${much(now.verdicts)} verdicts` : "nobody was asked"),
      tile("Words readable", now.text_match === null ? "–" : figure(now.text_match), change(now.text_match, before?.text_match), now.text_n ? `of 100, in ${plural(now.text_n, "picture")} with words` : "no words were asked for", course.map((one) => one.text_match)),
      tile("Safety, per 10,000", now.per_10000 === null ? "–" : figure(now.per_10000), change(now.per_10000, before?.per_10000, { better: "lower", shares: both("incident_rate") }), `${much(now.incidents)} marked`, course.map((one) => one.per_10000)),
    ];
  }
}

function tile(title, value, changed, foot, values, about = null) {
  return h("li", { class: "cs-number-tile", title: about ? `95 % interval ${about}` : null }, h("span", { class: "cs-number-title", text: title }), h("b", { text: value }), sparkline(values), h("span", { class: "cs-number-foot" }, changed, changed ? " · " : "", foot));
}

function fill(list, options, chosen) {
  const same = list.options.length === options.length && options.every(([value, name], i) => list.options[i].value === value && list.options[i].text === name);
  if (!same) list.replaceChildren(...options.map(([value, name]) => h("option", { value, text: name })));
  list.value = chosen;
}

function hours(seconds) {
  if (seconds < 90) return `${Math.round(seconds)} s`;
  return seconds < 5400 ? `${Math.round(seconds / 60)} min` : `${much(seconds / 3600)} h`;
}
