// What pictures cost, in the Insights tab: this machine's time and providers' bills, by what they were for; and when a GPU pays.

import { api } from "./api.js";
import { figure, h, icon, plural } from "./dom.js";
import { Panel, change, much } from "./insightspanels.js";
import { Bars } from "./insightsplot.js";
import { amountField, amountOf } from "./cloudmoney.js";
import { dollars, exact } from "./money.js";
import { tried } from "./settings.js";
import { studio } from "./studio.js";

const BY = { tier: "tier", template: "template", feature: "what for", provider: "where", person: "person" };
const SHOWN = 12;

/** The cost of a period. It asks for itself, and hands the answer on to the panel about GPUs. */
export class Costs extends Panel {
  constructor() {
    super("costs", "What pictures cost", "This machine's time by its rate, and what providers were paid or have reserved. What was drawn and not kept is in it.");
    this.by = h("select", { "aria-label": "Cost by", onchange: () => this.load(this.query) });
    this.tools.prepend(this.by);
    this.offer(["tier", "template", "feature", "provider"]);
    this.rate = new RateForm(() => this.load(this.query));
    this.gpu = new BreakEven();
  }

  offer(names) {
    if (this.by.options.length === names.length) return;
    this.by.replaceChildren(...names.map((value) => h("option", { value, text: `by ${BY[value]}` })));
  }

  get own() {
    return `&by=${this.by.value}`;
  }

  show(answer) {
    const chosen = this.by.value;
    this.offer(studio.about?.login ? Object.keys(BY) : Object.keys(BY).filter((name) => name !== "person"));
    this.by.value = chosen;
    this.gpu.show(answer.break_even);
    this.rate.show(answer.rate, answer.may_set_rate);
    const { totals, before, steps, step, course, groups, drift, rate } = answer;
    const alarm = drift?.alarm ? h("p", { class: "cs-cost-alarm", role: "status" }, icon("warn"), ` ${drift.words}`) : null;
    if (!totals.drawn && !totals.all_micro && !totals.seconds) {
      this.fill(alarm, h("p", { class: "cs-none", text: "Nothing was drawn or paid in these days." }), this.rate.element);
      return;
    }
    const priced = totals.local_micro !== null;
    const parts = [priced ? `${dollars(totals.local_micro)} of this machine's time` : "", totals.charges ? `${dollars(totals.cloud_micro)} to providers for ${plural(totals.charges, "call")}` : "nothing to providers", totals.held_micro ? `${dollars(totals.held_micro)} of it only reserved` : ""].filter(Boolean).join(", ");
    const changed = before && change(totals.per_kept_micro, before.per_kept_micro, { better: "lower", say: dollars });
    const said = h("p", { class: "cs-said" }, h("b", { text: dollars(totals.per_kept_micro), title: exact(totals.per_kept_micro) }), ` ${totals.kept ? `a kept picture, of ${much(totals.kept)}` : "a kept picture: none was kept"}`, changed ? " · " : "", changed);
    const spent = h("p", { class: "cs-quiet", text: `${dollars(totals.all_micro)} in all: ${parts}.` });
    const series = [["This machine", "local"], ["Providers", "cloud"]].map(([name, kind]) => ({ name, kind, values: course.map((one) => one[`${kind}_micro`] ?? 0) })).filter((one) => one.values.some(Boolean));
    const bars = series.length && steps.length > 1 ? new Bars({ label: "Cost over time", steps, step, say: dollars, series }).element : null;
    this.fill(alarm, said, spent, bars, ...this.table(answer.by, groups, priced),
      drift && !drift.alarm ? h("p", { class: "cs-quiet", text: drift.words }) : null,
      rate || !answer.may_set_rate ? null : h("p", { class: "cs-quiet", text: "This machine's time is not priced until its rate is set." }), this.rate.element);
  }

  table(by, groups, priced) {
    const amount = (micro) => h("td", { text: micro ? dollars(micro) : "", title: micro ? exact(micro) : null });
    const head = h("tr", {}, ...[BY[by][0].toUpperCase() + BY[by].slice(1), "Pictures", "Kept", "Device time", ...(priced ? ["This machine"] : []), "Providers", "A kept one"].map((name) => h("th", { scope: "col", text: name })));
    const row = (group) => h("tr", {}, h("th", { scope: "row", text: group.title }), h("td", { text: group.drawn ? much(group.drawn) : "" }), h("td", { text: group.drawn ? much(group.kept) : "" }), h("td", { text: group.seconds ? time(group.seconds) : "" }),
      priced ? amount(group.local_micro) : null, amount(group.cloud_micro), h("td", { text: group.per_kept_micro === null ? "–" : dollars(group.per_kept_micro), title: group.per_kept_micro === null ? null : exact(group.per_kept_micro) }));
    const more = groups.length - SHOWN;
    return [h("div", { class: "cs-scroll", tabindex: "0", role: "region", "aria-label": `Cost by ${BY[by]}` }, h("table", { class: "cs-figures" }, h("thead", {}, head), h("tbody", {}, ...groups.slice(0, SHOWN).map(row)))),
      more > 0 ? h("p", { class: "cs-quiet", text: `${more} more cost less; the CSV has them all.` }) : null];
  }
}

/** What an admin says of this machine: a price an hour, or its power and the tariff; and what it cost to buy. */
class RateForm {
  constructor(changed) {
    this.changed = changed;
    this.wrong = h("p", { class: "cs-error", role: "alert" });
    this.summary = h("summary");
    this.form = h("form", { class: "cs-rate", onsubmit: (event) => this.keep(event) });
    this.element = h("details", { class: "cs-rate-details" }, this.summary, this.form, this.wrong);
  }

  show(rate, admin) {
    this.summary.textContent = rate ? `This machine: ${rate.words}${rate.monthly_micro ? `, and it loses ${dollars(rate.monthly_micro)} a month` : ""}` : "Set what this machine costs";
    this.element.hidden = !rate && !admin;
    if (this.form.contains(document.activeElement) && this.form.firstChild) return; // nobody types into what is built anew
    if (!admin) {
      this.form.replaceChildren(h("p", { class: "cs-quiet", text: "An admin sets it." }));
      return;
    }
    this.power = h("select", { id: "cs-rate-how", onchange: () => this.fields() }, h("option", { value: "hour", text: "a price an hour" }), h("option", { value: "power", text: "its power and the tariff" }));
    this.power.value = rate && rate.watts !== null ? "power" : "hour";
    this.hour = amountField("cs-rate-hour", "A price an hour, in dollars", rate && rate.watts === null ? rate.hour_micro : null);
    this.tariff = amountField("cs-rate-tariff", "A kilowatt hour, in dollars", rate?.tariff_micro ?? null);
    this.watts = h("input", { type: "text", inputmode: "decimal", id: "cs-rate-watts", autocomplete: "off", "aria-label": "Power under load, in watts" });
    this.watts.value = rate?.watts ?? "";
    this.machine = amountField("cs-rate-machine", "What the machine cost, in dollars", rate?.machine_micro ?? null);
    this.months = h("input", { type: "text", inputmode: "numeric", id: "cs-rate-months", autocomplete: "off", "aria-label": "Months that it is to last" });
    this.months.value = rate?.months ?? "";
    const field = (label, input, element = input) => h("div", { class: "cs-rate-field" }, h("label", { for: input.id, text: label }), element);
    this.byHour = field("An hour", this.hour.input, this.hour.element);
    this.byPower = [field("Watts", this.watts), field("A kWh", this.tariff.input, this.tariff.element)];
    this.form.replaceChildren(field("Reckoned by", this.power), this.byHour, ...this.byPower, field("The machine cost", this.machine.input, this.machine.element), field("Lasts, months", this.months), h("button", { type: "submit", class: "cs-plain", text: "Keep" }),
      h("p", { class: "cs-quiet", text: "From today on; the first also for what was before. What it cost to buy counts in when a GPU pays, not in a picture's cost." }));
    this.fields();
  }

  fields() {
    this.byHour.hidden = this.power.value !== "hour";
    for (const field of this.byPower) field.hidden = this.power.value !== "power";
  }

  async keep(event) {
    event.preventDefault();
    this.wrong.textContent = "";
    const rate = {};
    const amounts = this.power.value === "hour" ? { hour_micro: this.hour } : { tariff_micro: this.tariff };
    for (const [name, field] of Object.entries({ ...amounts, machine_micro: this.machine })) {
      rate[name] = amountOf(field, this.wrong);
      if (rate[name] === undefined) return;
    }
    if (this.power.value === "power") rate.watts = number(this.watts);
    rate.months = number(this.months);
    if (Object.values(rate).some(Number.isNaN)) {
      this.wrong.textContent = "Watts and months are numbers.";
      return;
    }
    if (!(await tried(() => api.setRate(rate), "The rate is kept.", this.wrong))) return;
    document.activeElement?.blur();
    await this.changed();
  }
}

/** A machine of one's own against providers, by the volume of a month: from the last 30 days, whatever the period is. */
class BreakEven extends Panel {
  constructor() {
    super("costs", "When does a GPU pay?", "From this studio's last 30 days: what a kept picture takes here and costs at providers, at other volumes.");
    this.csv.remove();
  }

  show(answer) {
    this.element.hidden = !answer;
    if (!answer) return;
    if (!answer.known) {
      this.none(answer.words);
      return;
    }
    const { months, tiers } = answer;
    const first = answer.pays_from;
    const head = h("tr", {}, ...["Kept a month", "This machine", "Providers", "Device time"].map((name) => h("th", { scope: "col", text: name })));
    const cheap = (one, place) => ({ class: one.cheaper === place ? "cs-cheaper" : null });
    const row = (one) => h("tr", { data: { own: String(one.own), pays: String(one.pays) } },
      h("th", { scope: "row" }, much(one.kept), one.own ? h("small", { text: " as you do now" }) : null, one.pays ? h("small", { text: " pays from here" }) : null),
      h("td", { ...cheap(one, "here"), title: exact(one.here_micro) }, dollars(one.here_micro), one.cheaper === "here" ? h("span", { class: "cs-voice", text: " the cheaper" }) : null, one.machines > 1 ? h("small", { text: ` ${one.machines} machines` }) : null),
      h("td", { ...cheap(one, "there"), title: exact(one.there_micro) }, dollars(one.there_micro), one.cheaper === "there" ? h("span", { class: "cs-voice", text: " the cheaper" }) : null),
      h("td", { text: time(one.hours * 3600) }));
    const tier = (one) => h("tr", {}, h("th", { scope: "row", text: one.title }), h("td", { text: much(one.drawn) }), h("td", { text: one.seconds === null ? "–" : `${figure(one.seconds)} s` }), h("td", { text: dollars(one.here_micro) }), h("td", {}, dollars(one.there_micro), one.there_micro === null ? null : h("small", { text: one.paid ? " paid" : " by the table" })));
    this.fill(
      h("p", { class: "cs-said" }, h("b", { text: first === null ? "Never" : much(first) }), first === null ? "" : ` kept pictures a month; you keep ${much(answer.kept)}`),
      h("p", { class: "cs-quiet", text: `${answer.words}${answer.few ? " With so few pictures this says little yet." : ""}` }),
      h("div", { class: "cs-scroll", tabindex: "0", role: "region", "aria-label": "Cost of a month by volume" }, h("table", { class: "cs-figures" }, h("thead", {}, head), h("tbody", {}, ...months.map(row)))),
      h("details", { class: "cs-plot-table" }, h("summary", { text: "What it is reckoned from" }),
        h("div", { class: "cs-scroll", tabindex: "0", role: "region", "aria-label": "A picture by tier" }, h("table", { class: "cs-figures" }, h("thead", {}, h("tr", {}, ...["Tier", "Pictures", "Takes here", "Costs here", "Costs there"].map((name) => h("th", { scope: "col", text: name })))), h("tbody", {}, ...tiers.map(tier)))),
        h("p", { class: "cs-quiet", text: `${figure(answer.drawn_per_kept)} pictures are drawn for each that is kept. One machine can make ${much(answer.capacity)} kept pictures a month.` })));
  }
}

function number(input) {
  const said = input.value.trim().replace(",", ".");
  return said ? Number(said) : null;
}

function time(seconds) {
  if (seconds < 90) return `${figure(seconds)} s`;
  return seconds < 5400 ? `${Math.round(seconds / 60)} min` : `${figure(seconds / 3600)} h`;
}
