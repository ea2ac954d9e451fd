// Thresholds that the verdicts suggest: what they would get right and wrong, how much stands behind that, and a click that applies them.

import { Refused, api } from "./api.js";
import { h, plural } from "./dom.js";
import { number, plot } from "./reviewplot.js";
import { studio } from "./studio.js";
import { toast } from "./toast.js";

const ROWS = [
  ["agreement", "Agrees with people", "of all pictures"],
  ["false_accepts", "Lets pass", "of what people reject"],
  ["false_rejects", "Turns away", "of what people approve"],
];

export class Learned {
  /** look(): the pictures are asked for. */
  constructor({ look }) {
    this.look = look;
    this.chosen = { profile: "", card: "", sheet: false };
    this.about = h("select", { id: "cs-r-about", onchange: () => this.choose() });
    this.sheet = h("input", { type: "checkbox", onchange: () => this.choose() });
    this.summary = h("p", { class: "cs-r-summary" });
    this.version = h("p", { class: "cs-r-version", hidden: true });
    this.suggestions = h("div", { class: "cs-r-suggestions" });
    this.apply = h("button", { type: "button", class: "cs-primary", onclick: () => this.applied() });
    this.applying = h("div", { class: "cs-r-apply", hidden: true }, this.apply, h("span", { class: "cs-quiet" }));
    this.others = h("section", { class: "cs-r-others", hidden: true });
    this.element = h("div", { class: "cs-r-learned", hidden: true },
      h("div", { class: "cs-r-head" },
        h("label", { for: "cs-r-about", text: "Profile and model" }), this.about,
        h("label", { class: "cs-check" }, this.sheet, h("span", { text: "Count what was picked or rejected on the sheet too" }))),
      this.summary, this.version, this.suggestions, this.applying, this.others);
    studio.on("profiles", ({ name }) => name === this.view?.profile && !this.element.hidden && studio.tab === "review" && this.load());
  }

  choose() {
    const [profile, card] = JSON.parse(this.about.value);
    this.chosen = { profile, card, sheet: this.sheet.checked };
    this.load();
  }

  async load() {
    const asked = (this.asked = {});
    this.element.setAttribute("aria-busy", "true");
    try {
      const view = await api.thresholds(this.chosen);
      if (this.asked !== asked) return; // something else was chosen meanwhile
      this.view = view;
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      toast(error.message, { wrong: true });
      return;
    } finally {
      this.element.removeAttribute("aria-busy");
    }
    this.show();
  }

  show() {
    const { view } = this;
    const pairs = [...view.about];
    if (!pairs.some(({ profile, card }) => profile === view.profile && card === view.card)) pairs.unshift({ ...view, review: 0, sheet: 0 });
    this.about.replaceChildren(...pairs.map((one) => h("option", { value: JSON.stringify([one.profile, one.card]), selected: one.profile === view.profile && one.card === view.card,
      text: `${one.title} · ${one.card_title} (${plural(one.review, "verdict")}${one.sheet ? `, ${one.sheet} on the sheet` : ""})` })));
    this.summary.textContent = summed(view);
    const found = view.dimensions.filter(({ suggestion }) => suggestion);
    const silent = view.dimensions.filter(({ suggestion }) => !suggestion);
    this.suggestions.replaceChildren(...(found.length ? found.map((one) => this.suggested(one)) : [this.nothing()]));
    this.applying.hidden = !found.length;
    this.count();
    this.others.hidden = !silent.length;
    this.others.replaceChildren(h("h3", { text: "Nothing suggested" }), h("ul", {}, ...silent.map((one) => h("li", {},
      h("b", { text: one.title }), h("span", { class: "cs-quiet", text: ` ${bar(one.bound, one.threshold)}${one.hard ? "" : ", advice only"}` }), h("span", { text: one.why })))));
    this.versioned();
  }

  /** What holds now was learned: it can be taken back. */
  versioned() {
    const { view } = this;
    const learned = view.dimensions.some((one) => one.learned) && view.before !== null;
    this.version.hidden = !learned;
    if (!learned) return;
    const back = view.before === 0 ? "as shipped" : `version ${view.before}`;
    this.version.replaceChildren(h("span", { text: `Version ${view.version} of ${view.title}: ${view.note}` }),
      h("button", { type: "button", class: "cs-plain", text: `Back to ${back}`, onclick: () => this.restore(view.profile, view.before, back) }));
  }

  nothing() {
    return h("div", { class: "cs-empty" }, h("h2", { text: this.view.verdicts ? "No threshold to suggest yet" : "No verdicts yet" }),
      h("p", { text: "From 30 verdicts on, each dimension is fitted to what people approve; what does not tell good from bad is left alone." }),
      h("button", { type: "button", class: "cs-plain", text: "Judge pictures", onclick: () => this.look() }));
  }

  suggested(one) {
    const { suggestion } = one;
    const same = Math.abs(suggestion.threshold - one.threshold) < 1e-9 && JSON.stringify(suggestion.band) === JSON.stringify(one.band);
    const box = h("input", { type: "checkbox", name: one.dimension, checked: one.better && !same, onchange: () => this.count() });
    const band = suggestion.band ? `From ${number(suggestion.band[0])} to ${number(suggestion.band[1])} a person decides: ${percent(one.undecided.value)} of pictures.` : "No picture is left undecided.";
    return h("article", { class: "cs-r-suggestion", data: { dimension: one.dimension } },
      h("label", { class: "cs-r-choice" }, box, h("span", {}, h("b", { text: one.title }), h("span", { text: ` ${bar(one.bound, one.threshold)}${one.hard ? "" : ", advice only"}` }), h("span", { class: "cs-r-to", text: ` to ${number(suggestion.threshold)}` }))),
      h("figure", {}, plot(one), h("figcaption", { class: "cs-r-legend" }, key("cs-r-approved", "approved"), key("cs-r-rejected", "rejected"), key("cs-r-now", "now"), key("cs-r-then", "suggested"), ...(suggestion.band ? [key("cs-r-band", "a person decides")] : []))),
      table(one),
      h("p", { class: "cs-quiet" }, h("span", { text: `${plural(one.verdicts, "verdict")} (${one.approved} approved, ${one.rejected} rejected) on ${plural(one.prompts, "prompt")}, ${one.method === "seen" ? "people approve whatever the value, down to the worst one seen" : `${one.method} fit`}; its errors are measured on prompts it was not fitted on. ${band}` }),
        ...(same ? [h("b", { text: " This is what holds now." })] : one.better ? [] : [h("b", { text: " What holds now does as well." })])));
  }

  get ticked() {
    return [...this.suggestions.querySelectorAll("input:checked")].map(({ name }) => name);
  }

  count() {
    const many = this.ticked.length;
    this.apply.textContent = many ? `Apply ${plural(many, "threshold")}` : "Apply";
    this.apply.disabled = !many;
    this.applying.lastChild.textContent = `As a new version of ${this.view.title}, for what is drawn from then on.`;
  }

  async applied() {
    const { profile, card } = this.view;
    await this.change(async () => {
      const { version, before } = await api.applyThresholds({ profile, card, dimensions: this.ticked, sheet: this.chosen.sheet });
      toast(`Saved as version ${version}; version ${before} can be restored`);
    });
  }

  restore(profile, version, words) {
    return this.change(async () => {
      await api.restoreThresholds({ profile, version });
      toast(`Back to ${words}`);
    });
  }

  async change(run) {
    try {
      await run();
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      toast(error.message, { wrong: true });
    }
    await this.load();
    this.about.focus();
  }
}

const bar = (bound, threshold) => `${bound === "<=" ? "at most" : "at least"} ${number(threshold)}`;
const percent = (share) => (share === null || share === undefined ? "–" : share > 0 && share < 0.01 ? `${(100 * share).toFixed(1)} %` : `${Math.round(100 * share)} %`);
const key = (kind, text) => h("span", { class: `cs-r-key ${kind}`, text });

function summed({ verdicts, approved, agreement }) {
  if (!verdicts) return "What people said of this model's pictures teaches where the bars of this profile belong.";
  const agreed = agreement ? ` The studio said the same of ${percent(agreement.value)} of them (${percent(agreement.low)} to ${percent(agreement.high)}).` : "";
  return `${plural(verdicts, "verdict")}, ${approved} approved.${agreed}`;
}

/** Now against what is suggested, each share with its interval. */
function table(one) {
  const cell = (rates, name) => {
    const share = rates?.[name];
    return h("td", {}, h("b", { text: percent(share?.value) }), ...(share?.of ? [h("small", { text: `${percent(share.low)} to ${percent(share.high)}` })] : []));
  };
  return h("table", { class: "cs-r-rates" },
    h("thead", {}, h("tr", {}, h("td"), h("th", { scope: "col", text: "Now" }), h("th", { scope: "col", text: "Suggested" }))),
    h("tbody", {}, ...ROWS.map(([name, title, of]) => h("tr", {}, h("th", { scope: "row" }, h("span", { text: title }), h("small", { text: of })), cell(one.now, name), cell(one.then, name)))));
}
