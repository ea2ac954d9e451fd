// Failure modes, a panel of the Insights tab: which words, values and templates go with which rejections. A click opens the pictures.

import { api } from "./api.js";
import { figure, h, plural } from "./dom.js";
import { Panel, much, percent } from "./insightspanels.js";
import { studio } from "./studio.js";

const KINDS = { word: "word", value: "value", template: "template" };
const SHOWN = 4; // features of one finding; more wait behind a title

export class Failures extends Panel {
  constructor() {
    super("failures", "Failure modes", "Words, values and templates that go with more, or fewer, rejections than all others. Only what chance would hardly make is told.");
    this.csv.remove();
    this.outcome = h("select", { "aria-label": "Rejected for", onchange: () => this.load(this.query) }, h("option", { value: "", text: "every reason" }));
    this.tools.append(this.outcome);
  }

  async load(query) {
    const turn = (this.turn = {});
    this.query = query;
    const chosen = this.outcome.value;
    const answer = await api.failures(query + (chosen ? `&outcome=${encodeURIComponent(chosen)}` : ""));
    if (this.turn === turn) this.show(answer);
  }

  show(answer) {
    const chosen = this.outcome.value;
    this.outcome.replaceChildren(h("option", { value: "", text: "every reason" }), ...answer.outcomes.map((one) => h("option", { value: one.name, text: one.title })));
    this.outcome.value = answer.outcomes.some((one) => one.name === chosen) ? chosen : "";
    const { modes, looked, thin, fewest } = answer;
    const enough = `A word counts from ${fewest.prompts} different prompts and ${fewest.pictures} pictures on, with it and without it`;
    if (!looked) {
      this.none(answer.judged ? `There is too little to tell it from. ${enough}.` : "Nothing was measured in these days.");
      return;
    }
    const foot = h("p", { class: "cs-quiet", text: `${much(answer.judged)} pictures of ${plural(answer.requests, "request")}. ${enough}${thin ? `; ${much(thin)} have less` : ""}.` });
    if (!modes.length) {
      this.fill(h("p", { class: "cs-none", text: "Nothing stands out: no word, value or template goes with more rejections than chance would make." }), foot);
      return;
    }
    const head = h("tr", {}, ...["Goes with", "Rejected for", "With it", "Without it", "Times as often", ""].map((text) => h("th", { scope: "col", text })));
    this.fill(h("div", { class: "cs-scroll", tabindex: "0", role: "region", "aria-label": "Failure modes as a table" },
      h("table", { class: "cs-figures cs-failures" }, h("thead", {}, head), h("tbody", {}, ...modes.map((mode) => this.row(mode, answer))))), foot);
  }

  row(mode, answer) {
    const names = mode.features.map(said);
    const feature = h("th", { scope: "row", title: names.join(", ") }, ...mode.features.slice(0, SHOWN).map((one) => h("span", { class: "cs-feature", data: { kind: one.kind } }, h("small", { text: KINDS[one.kind] }), ` ${said(one)}`)),
      names.length > SHOWN ? h("small", { text: `and ${names.length - SHOWN} more, always together` }) : null);
    const share = (side) => h("td", { text: percent(side.share), title: `${much(side.rejected)} of ${much(side.judged)}, ${plural(side.prompts, "prompt")}` }, h("small", { text: ` ${much(side.rejected)} of ${much(side.judged)}` }));
    const more = mode.lift >= 1;
    return h("tr", {}, feature, h("td", { class: "cs-left", text: mode.outcome_title }), share(mode.having), share(mode.others),
      h("td", {}, h("b", { class: more ? "cs-more-often" : "cs-less-often", text: times(mode.lift) }), h("small", { text: mode.high === null ? ` at least ${times(mode.low)}` : ` ${times(mode.low)} to ${times(mode.high)}` })),
      h("td", {}, h("button", { type: "button", class: "cs-bare", text: "Open", "aria-label": `Open the pictures: ${names[0]}, ${mode.outcome_title}`, onclick: () => open(mode, answer) })));
  }
}

const times = (ratio) => (ratio > 0 && ratio < 0.01 ? "under 0.01" : figure(ratio));
const said = ({ kind, name }) => (kind === "value" ? name.replace("=", ": ") : name);

/** The rejected pictures with the finding's first feature, in the history. */
function open(mode, answer) {
  const [{ kind, name }] = mode.features;
  const template = mode.features.find((one) => one.kind === "template");
  const words = kind === "value" ? name.slice(name.indexOf("=") + 1) : kind === "word" ? name : "";
  const filters = template ? [["template", template.name]] : [];
  if (mode.lift >= 1) filters.push(mode.outcome === "any" || mode.outcome === "person" ? ["verdict", "rejected"] : ["failed", mode.outcome]);
  if (answer.card) filters.push(["card", answer.card]);
  filters.push(["since", answer.period.first], ["until", answer.period.last]);
  studio.sought = { text: words ? `"${words.replaceAll('"', " ")}"` : "", filters };
  studio.show("history");
  studio.say("find");
}
