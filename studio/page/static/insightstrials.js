// Candidates of LoRAs that were tried out in live use, beside the production versions that the other requests got.

import { h } from "./dom.js";
import { Panel, percent } from "./insightspanels.js";

const TITLES = { passed: "Passed", picked: "Picked by people", kept: "Kept" };

export class Trials extends Panel {
  constructor() {
    super("trials", "LoRA candidates in live use", "A share of the requests that name no version gets the candidate, by chance. Intervals count a request as one, however many pictures it has.");
  }

  show({ trials }) {
    this.element.hidden = !trials.length;
    const bounds = (one) => (one ? ` ${percent(one.low)} to ${percent(one.high)}` : "");
    const cell = (one) => h("td", {}, one ? [h("b", { text: percent(one.value) }), h("span", { class: "cs-quiet", text: `${bounds(one)}, of ${one.n}` })] : "–");
    const points = (value) => `${value > 0 ? "+" : value < 0 ? "−" : ""}${Math.abs(Math.round(100 * value))}`;
    const change = (one) => h("td", {}, one ? [h("b", { text: points(one.value) }), h("span", { class: "cs-quiet", text: ` ${points(one.low)} to ${points(one.high)} points` })] : "–");
    this.fill(...trials.map(({ title, production, candidate, requests, measures, words }) => h("div", { class: "cs-trial" },
      h("h3", { text: title }), h("p", { text: words }),
      h("div", { class: "cs-scroll", tabindex: "0", role: "region", "aria-label": `Trial of ${title}` }, h("table", { class: "cs-figures" },
        h("thead", {}, h("tr", {}, h("th", { scope: "col", text: "Of their pictures" }), h("th", { scope: "col", text: `v${production}, in ${requests[0]} requests` }), h("th", { scope: "col", text: `v${candidate}, in ${requests[1]} requests` }), h("th", { scope: "col", text: "Difference" }))),
        h("tbody", {}, ...measures.map((one) => h("tr", {}, h("th", { scope: "row", text: TITLES[one.name] }), cell(one.production), cell(one.candidate), change(one.difference)))))))));
  }
}
