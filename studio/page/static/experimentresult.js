// What an experiment shows: the answer in a sentence, how sure it is, and all else that was measured beside it.

import { Refused, api } from "./api.js";
import { duration, h, plural, set } from "./dom.js";
import { Course, bar } from "./experimentplot.js";
import { Pairs } from "./experimentpairs.js";
import { changesOf } from "./experimentversions.js";
import { Vote } from "./experimentvote.js";
import { menuAt } from "./menus.js";
import { studio } from "./studio.js";
import { toast } from "./toast.js";
import { Versions } from "./versions.js";

const MORE = [20, 50, 100];

export class Result {
  /** changed(experiment): what the server answered to an act. removed(id). */
  constructor({ changed, removed }) {
    Object.assign(this, { changed, removed, experiment: null });
    this.course = new Course();
    this.pairs = new Pairs();
    this.vote = new Vote();
    this.versions = new Versions(null, changesOf);
    this.heading = h("h2", { tabindex: "-1" });
    this.about = h("p", { class: "cs-quiet" });
    this.acts = h("div", { class: "cs-x-acts" });
    this.answer = h("p", { class: "cs-x-answer" });
    this.note = h("p", { class: "cs-quiet" });
    this.progress = h("progress", { max: "1", "aria-label": "Pairs that count, of those planned" });
    this.trouble = h("p", { class: "cs-error", role: "alert" });
    this.sides = h("div", { class: "cs-x-sides" });
    this.tiles = h("ul", { class: "cs-x-tiles", "aria-label": "Beside it" });
    this.table = h("tbody");
    this.versus = h("p", { class: "cs-quiet" });
    this.left = h("details", { class: "cs-x-left", hidden: true });
    this.dimensions = h("section", {},
      h("h3", { text: "Every dimension" }), this.versus,
      h("div", { class: "cs-x-scroll", tabindex: "0", role: "region", "aria-label": "Every dimension" }, h("table", { class: "cs-x-table" }, h("thead", {}, h("tr", {}, ...["Dimension", "A", "B", "B is better by", "", "B wins"].map((text) => h("th", { scope: "col", text })))), this.table)));
    this.element = h("section", { class: "cs-x-result", hidden: true, "aria-label": "Experiment" },
      h("header", { class: "cs-x-head" }, h("div", {}, this.heading, this.about), this.acts), this.trouble, this.sides,
      h("div", { class: "cs-x-card" }, this.answer, this.progress, this.note, this.course.element, this.tiles), this.left, this.dimensions, this.pairs.element, this.versions.element);
  }

  show(experiment) {
    const same = this.experiment?.id === experiment.id;
    this.experiment = experiment;
    const { result, design } = experiment;
    this.heading.textContent = experiment.title;
    this.about.textContent = [design.about, experiment.mine ? null : `by ${experiment.person}`].filter(Boolean).join(" · ");
    this.layActs();
    this.layWhat();
    const decided = ["a", "b"].includes(result.which);
    set(this.answer, { text: result.text, "data-which": result.which });
    this.progress.value = result.counted / Math.max(1, result.planned);
    this.progress.hidden = experiment.state === "ended";
    this.note.textContent = this.words(experiment, decided);
    this.trouble.textContent = experiment.error ? [experiment.error.what, experiment.error.why, experiment.error.todo].filter(Boolean).join(" ") : "";
    this.course.show(result, design);
    this.tiles.replaceChildren(...this.layTiles(result, design));
    this.layDimensions(result, design);
    this.layLeft(result.left_out);
    this.pairs.show(experiment, same);
    if (!same) this.versions.show(experiment);
    this.versions.element.hidden = experiment.versions.length < 2;
  }

  words({ state, result, design }, decided) {
    const kind = result.primary.outcome.title;
    const counted = `${plural(result.counted, "pair")} of at most ${result.planned}`;
    const way = state === "running" ? (result.under_way ? `${plural(result.under_way, "pair")} under way.` : "Waiting.") : state === "paused" ? "Paused." : "";
    if (decided) return `Sure after ${plural(result.at, "pair")}, decided by: ${kind}. Chance alone would give such an answer in at most 5 % of experiments.`;
    if (result.which === "same") return `Sure after ${plural(result.at, "pair")}, decided by: ${kind}.`;
    if (result.which === "none") return `${counted}, decided by: ${kind}. A smaller difference may be there; the interval says how large at most.`;
    return `${counted}, decided by: ${kind}. ${way} ${design.outcome.kind === "preference" && state === "running" ? "It needs people's votes." : ""}`;
  }

  layWhat() {
    const { design } = this.experiment;
    const line = (fields) => Object.entries(fields).map(([name, value]) => `${name} ${say(value)}`).join(", ");
    const rows = design.rows.length === 1 && !Object.keys(design.rows[0]).length ? "one prompt" : plural(design.rows.length, "row of values", "rows of values");
    this.sides.replaceChildren(
      ...design.sides.map((side, i) => h("p", {}, h("b", { class: "cs-x-letter", data: { arm: "ab"[i] }, text: "AB"[i] }), h("span", {}, h("b", { text: side.title === "AB"[i] ? "" : side.title }), " ", h("span", { class: "cs-quiet", text: line(side.fields) })))),
      h("p", { class: "cs-quiet", text: `Both: ${[line(design.base), rows, `profile ${design.profile}`].filter(Boolean).join(" · ")}` }));
  }

  layActs() {
    const { id, state, finding, mine, result, design } = this.experiment;
    const focused = this.acts.contains(document.activeElement) ? document.activeElement.dataset.act : null;
    const button = (act, text, run, kind = "cs-plain") => h("button", { type: "button", class: kind, data: { act }, text, onclick: run });
    const votable = result.drawn > 0 && !(state === "ended" && design.outcome.kind === "preference" && finding !== "none");
    const more = mine && state === "ended" && ["none", "stopped"].includes(finding);
    this.acts.replaceChildren(...[
      votable && button("vote", "Vote blind", () => this.vote.open(this.experiment), design.outcome.kind === "preference" ? "cs-primary" : "cs-plain"),
      mine && state === "running" && button("pause", "Pause", () => this.act("pause")),
      mine && state === "paused" && button("start", "Go on", () => this.act("start"), "cs-primary"),
      mine && ["running", "paused"].includes(state) && button("stop", "Stop", () => this.act("stop")),
      more && button("extend", "More pairs", (event) => menuAt(event.currentTarget, MORE.map((pairs) => [`${pairs} more pairs`, `${2 * pairs} pictures`, () => this.act("extend", { pairs })]))),
      button("copy", "Copy", () => this.copy()),
      h("a", { class: "cs-plain", href: `/api/experiments/${id}/csv`, download: "", text: "CSV" }),
      mine && studio.about?.login && button("share", this.experiment.shared ? "Shared" : "Share", (event) => this.share(event.currentTarget)),
      mine && state === "ended" && button("remove", "Remove", () => this.remove()),
    ].filter(Boolean));
    if (focused) (this.acts.querySelector(`[data-act="${focused}"]`) ?? this.heading).focus({ preventScroll: true });
  }

  async act(act, data = {}) {
    await this.tried(async () => this.changed(await api.actExperiment(this.experiment.id, act, data)));
  }

  copy() {
    return this.tried(async () => {
      this.changed(await api.actExperiment(this.experiment.id, "duplicate", {}));
      toast("A draft with the same design and fresh seeds.");
    });
  }

  share(button) {
    const choices = [[null, "Nobody else"], ["*", "Everyone"], ...(studio.about.projects ?? []).map(({ name, title }) => [name, title])];
    menuAt(button, choices.map(([name, text]) => [text, name === this.experiment.shared ? "as it is" : "", () => this.act("share", { with: name })]));
  }

  remove() {
    const { id } = this.experiment;
    return this.tried(async () => {
      await api.actExperiment(id, "remove", {});
      this.removed(id);
    });
  }

  async tried(run) {
    try {
      await run();
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      toast(error.message, { wrong: true });
    }
  }

  layTiles({ passes, primary, votes, seconds }, design) {
    const share = (hits) => `${hits} of ${passes.n}`;
    const tile = (title, ...lines) => h("li", {}, h("small", { text: title }), ...lines);
    const two = (a, b) => h("p", {}, h("b", { class: "cs-x-letter", data: { arm: "a" }, text: "A" }), h("span", { text: a }), h("b", { class: "cs-x-letter", data: { arm: "b" }, text: "B" }), h("span", { text: b }));
    const tiles = [];
    if (passes.n) {
      const more = passes.difference;
      tiles.push(tile("Pass the profile", two(share(passes.a), share(passes.b)), h("small", { class: "cs-quiet", text: `B passes ${points(more.mean)} points more (${points(more.low)} to ${points(more.high)})` })));
    }
    if (primary.n) tiles.push(tile(design.outcome.kind === "preference" ? "Preferred" : "Wins", two(`${primary.wins[0]}`, `${primary.wins[1]}`), h("small", { class: "cs-quiet", text: `B in ${percent(primary.share)} of pairs, ties half (${percent(primary.share_low)} to ${percent(primary.share_high)})` })));
    if (votes.a + votes.b + votes.tie && design.outcome.kind !== "preference") tiles.push(tile("Blind votes", two(String(votes.a), String(votes.b)), h("small", { class: "cs-quiet", text: plural(votes.tie, "tie") })));
    if (seconds.a !== null || seconds.b !== null) {
      const each = (value) => (value === null ? "from history" : value < 10 ? `${value.toFixed(2)} s` : duration(value));
      tiles.push(tile("A picture takes", two(each(seconds.a), each(seconds.b))));
    }
    return tiles;
  }

  layDimensions({ dimensions, counted }, design) {
    this.dimensions.hidden = !dimensions.length;
    this.versus.textContent = `Means over all pairs. Differences count so that more is better, with an interval that may be looked at at any time. Only ${design.outcome.kind === "dimension" ? "the first one" : "the outcome above"} decides; of ${dimensions.length} others one may well look different by chance.`;
    const ordered = [...dimensions].sort((one, other) => Number(other.primary) - Number(one.primary));
    this.table.replaceChildren(...ordered.map((one) => h("tr", { "data-primary": one.primary },
      h("th", { scope: "row" }, one.title, h("small", { class: "cs-quiet", text: [one.unit, one.better === "lower" ? "less is better" : "", one.primary ? "decides" : ""].filter(Boolean).join(" · ") })),
      h("td", { text: number(one.a) }), h("td", { text: number(one.b) }),
      h("td", { class: "cs-x-by", "data-sure": one.low > 0 ? "b" : one.high < 0 ? "a" : null, text: one.mean === null ? "–" : `${signed(one.mean)} (${signed(one.low)} to ${signed(one.high)})` }),
      h("td", {}, one.mean === null ? "" : bar(one.mean, one.low, one.high, one.reach ?? Math.max(Math.abs(one.low), Math.abs(one.high)))),
      h("td", { text: one.n ? percent(one.share) : "–" }))));
    this.counted = counted;
  }

  layLeft(left) {
    this.left.hidden = !left.length;
    if (!left.length) return;
    this.left.replaceChildren(h("summary", { text: `${plural(left.length, "pair")} left out` }), h("ul", {}, ...left.slice(0, 50).map(({ pair, why }) => h("li", { text: `Pair ${pair}: ${why}` }))));
  }
}

export const number = (value) => (value === null ? "–" : Math.abs(value) >= 100 ? String(Math.round(value)) : value.toFixed(1));
export const signed = (value) => `${value < 0 ? "−" : "+"}${number(Math.abs(value))}`.replace(/^[+−]0\.0$/, "0.0");
const points = (share) => signed(100 * (share ?? 0)).replace(/\.\d$/, "");
const percent = (share) => (share === null ? "–" : `${Math.round(100 * share)} %`);

function say(value) {
  if (value && typeof value === "object" && "name" in value) return value.version ? `${value.name} version ${value.version}` : `${value.name}${value.version === 0 ? " as shipped" : ""}`;
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}
