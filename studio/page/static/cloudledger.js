// The ledger: every call that was or may be billed, the newest first.

import { Refused, api } from "./api.js";
import { FEATURES, section } from "./cloudmoney.js";
import { h, plural, set } from "./dom.js";
import { exact } from "./money.js";
import { studio } from "./studio.js";

const STATES = { reserved: "Reserved", submitted: "At the provider", settled: "Paid", released: "Not billed", uncertain: "Uncertain" };
const PAGE = 20;

export class Ledger {
  constructor() {
    this.asked = { state: "", provider: "" };
    this.csv = h("a", { class: "cs-csv", href: "/api/money.csv", download: true, text: "CSV", "aria-label": "The ledger as CSV" });
    const choice = (label, name, options) => h("select", { class: "cs-choice", "aria-label": label, onchange: (event) => this.ask({ [name]: event.target.value }) }, ...options.map(([value, text]) => h("option", { value, text })));
    this.state = choice("State", "state", [["", "All states"], ...Object.entries(STATES)]);
    this.provider = choice("Provider", "provider", [["", "All providers"]]);
    this.wrong = h("p", { class: "cs-error", role: "alert" });
    this.body = h("tbody");
    this.scroll = h("div", { class: "cs-scroll", tabindex: "0", role: "region", "aria-label": "The ledger" },
      h("table", { class: "cs-ledger" }, h("thead", {}, h("tr", {}, ...["When", "For", "By", "At", "State", "Expected", "Paid", "Took"].map((name) => h("th", { scope: "col", text: name, class: name === "By" ? "cs-by" : null })))), this.body));
    this.none = h("p", { class: "cs-quiet cs-none" });
    this.more = h("button", { type: "button", class: "cs-plain", text: "Older ones", hidden: true, onclick: () => this.older() });
    this.element = section("Ledger", "", h("div", { class: "cs-ledger-tools" }, this.state, this.provider, this.csv), this.wrong, this.scroll, this.none, this.more);
  }

  ask(changes) {
    Object.assign(this.asked, changes);
    this.kept = PAGE;
    return this.load();
  }

  get query() {
    return new URLSearchParams(Object.entries(this.asked).filter(([, value]) => value));
  }

  async load() {
    const turn = (this.turn = {});
    this.kept ??= PAGE;
    const query = this.query;
    set(this.csv, { href: `/api/money.csv?${query}` });
    query.set("count", this.kept);
    try {
      const answer = await api.charges(query);
      if (this.turn === turn) this.show(answer);
      this.wrong.textContent = "";
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      if (this.turn === turn) this.wrong.textContent = error.message;
    }
  }

  older() {
    this.kept += PAGE;
    return this.load();
  }

  /** titles: what people call a provider by its name. */
  name(providers) {
    this.titles = new Map(providers.map((one) => [one.name, one.title]));
    const options = [["", "All providers"], ...this.titles];
    if (this.provider.options.length !== options.length) this.provider.replaceChildren(...options.map(([value, text]) => h("option", { value, text })));
    this.provider.value = this.asked.provider;
    if (this.answer) this.show(this.answer);
  }

  show(answer) {
    const { charges, total } = (this.answer = answer);
    this.element.toggleAttribute("data-alone", !studio.about?.login && !charges.some((one) => one.project));
    const asked = this.asked.state || this.asked.provider;
    this.scroll.hidden = !charges.length;
    set(this.none, { hidden: Boolean(charges.length), text: asked ? "No charge is like that." : "Nothing was ever sent to a provider. Each call will be a line here, from the moment its money is reserved." });
    this.more.hidden = charges.length >= total;
    this.more.textContent = `Older ones (${plural(total - charges.length, "line")})`;
    this.body.replaceChildren(...charges.map((one) => this.row(one)));
  }

  row(one) {
    const number = (text, more = {}) => h("td", { class: "cs-sum", text, ...more });
    const whose = [one.person === studio.about?.person && !studio.about?.login ? "" : one.person, one.project && `project ${one.project}`].filter(Boolean).join(", ");
    const pictures = one.numbers?.length ?? 0;
    const off = one.settled_micro !== null && one.settled_micro !== one.expected_micro;
    return h("tr", { data: { state: one.state, charge: one.id } },
      h("td", {}, h("time", { datetime: one.created, title: new Date(one.created).toLocaleString(), text: when(one.created) })),
      h("td", {}, [one.job ? `#${one.job}` : "", one.feature === "generate" && one.job ? "" : FEATURES[one.feature], one.tier].filter(Boolean).join(" · "), h("span", { class: "cs-quiet", text: pictures ? ` ${plural(pictures, "picture")}` : "" }), one.hedge_of ? h("span", { class: "cs-quiet", text: " second request" }) : null),
      h("td", { class: "cs-by", text: whose || "–" }),
      h("td", {}, h("span", { text: this.titles?.get(one.provider) ?? one.provider }), h("span", { class: "cs-quiet", text: ` ${one.model}` })),
      h("td", {}, h("span", { class: "cs-charge-state", data: { state: one.state }, text: STATES[one.state] ?? one.state }), one.error && h("span", { class: "cs-quiet", text: ` ${one.error.what}` })),
      number(exact(one.expected_micro)),
      number(one.settled_micro === null ? (one.state === "released" ? "–" : `${exact(one.reserved_micro)} held`) : exact(one.settled_micro), off ? { class: "cs-sum cs-wrong", title: `Expected ${exact(one.expected_micro)}` } : {}),
      number(one.seconds === null ? "–" : `${one.seconds < 10 ? one.seconds.toFixed(1) : Math.round(one.seconds)} s`),
    );
  }
}

function when(time) {
  const date = new Date(time);
  const day = date.toDateString() === new Date().toDateString() ? "" : `${date.toLocaleDateString("en-GB", { day: "numeric", month: "short" })}, `;
  return `${day}${date.toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit" })}`;
}
