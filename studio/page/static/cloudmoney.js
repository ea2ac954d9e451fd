// Money in the Cloud tab: what may be spent and what is, credits for people, and charges of which nobody knows whether they were billed.

import { api } from "./api.js";
import { h, icon, set } from "./dom.js";
import { dollars, exact, plainDollars, readDollars } from "./money.js";
import { tried } from "./settings.js";
import { studio } from "./studio.js";

const FULL = 0.8; // of a limit: from here on it is worth a look
const PERIODS = [["day", "a day"], ["month", "a month"]];
export const FEATURES = { generate: "request", batch: "batch", experiment: "experiment", evaluation: "evaluation", training: "training", test: "test" };

/** How much of a limit is gone, as a bar with its words beside it. */
export function meter(label, spent, limit) {
  const share = limit ? Math.min(1, spent / limit) : spent ? 1 : 0;
  const bar = h("span", { class: "cs-meter", role: "meter", "aria-label": label, "aria-valuemin": 0, "aria-valuemax": 100, "aria-valuenow": Math.round(100 * share), "aria-valuetext": `${dollars(spent)} of ${dollars(limit)}`, data: { full: String(share >= FULL) } }, h("span"));
  bar.firstChild.style.width = `${100 * share}%`;
  return bar;
}

/** A field for an amount in dollars. */
export function amountField(id, label, micro, more = {}) {
  const input = h("input", { type: "text", inputmode: "decimal", id, autocomplete: "off", "aria-label": label, ...more });
  input.value = input.dataset.was = plainDollars(micro);
  return { input, element: h("span", { class: "cs-amount" }, h("span", { "aria-hidden": "true", text: "$" }), input) };
}

/** Builds something anew, with the focus where it was and what is being typed there kept. */
export function rebuilt(root, build) {
  const field = root.contains(document.activeElement) ? document.activeElement : null;
  const typed = field?.dataset.was !== undefined && field.value !== field.dataset.was ? field.value : null;
  build();
  const again = field?.id && root.querySelector(`#${CSS.escape(field.id)}`);
  if (!again || again === field) return;
  if (typed !== null) again.value = typed;
  again.focus({ preventScroll: true });
}

/** What a field holds, or undefined with the field marked and the reason in `wrong`. */
export function amountOf({ input }, wrong) {
  const micro = readDollars(input.value);
  set(input, { "aria-invalid": micro === undefined ? "true" : null });
  if (micro === undefined) wrong.textContent = "Write an amount like 5 or 0.50.";
  return micro;
}

/** What may be spent: the studio's budgets, those of people and projects, and the form for another. `changed()`: ask for everything again. */
export class Budgets {
  constructor(changed) {
    this.changed = changed;
    this.wrong = h("p", { class: "cs-error", role: "alert" });
    this.rows = h("ul", { class: "cs-list cs-budgets" });
    this.add = h("form", { class: "cs-inline", hidden: true, onsubmit: (event) => this.added(event) });
    this.element = section("Budgets", "What is reserved or paid counts. A request that cannot be afforded is refused before it is sent; every limit that concerns it must hold. Days and months are in UTC.", this.rows, this.add, this.wrong);
  }

  show({ budgets, people, projects }, admin) {
    rebuilt(this.rows, () => this.rows.replaceChildren(...budgets.map((one) => this.row(one, admin))));
    this.rows.hidden = !budgets.length;
    this.add.hidden = !admin;
    if (admin) this.offer(budgets, people, projects);
  }

  row(one, admin) {
    const key = `${one.scope}-${one.name || "studio"}`.replaceAll(/\W/g, "-");
    const part = ([period, each]) => {
      const limit = one[`${period}_micro`], spent = one[`${period}_spent_micro`];
      const words = h("span", { class: "cs-budget-words" }, h("b", { text: spent === null ? "" : dollars(spent) }), spent === null ? "" : limit === null ? ` spent, no limit ${each}` : ` of ${dollars(limit)} ${each}`);
      const field = admin && amountField(`cs-budget-${key}-${period}`, `${one.title}, ${each}, in dollars`, limit, { placeholder: "no limit", onchange: () => this.set(one, period, field) });
      return h("div", { class: "cs-budget-part" }, h("div", { class: "cs-budget-said" }, words, limit !== null && spent !== null ? meter(`${one.title}, ${each}`, spent, limit) : null), field ? h("span", { class: "cs-budget-field" }, field.element, h("span", { class: "cs-quiet", text: each })) : null);
    };
    return h("li", { data: { budget: key } }, h("div", { class: "cs-budget-name" }, h("b", { text: one.title }), one.about ? h("span", { class: "cs-quiet", text: one.about }) : null), ...PERIODS.map(part));
  }

  async set(one, period, field) {
    const micro = amountOf(field, this.wrong);
    if (micro === undefined) return;
    const amounts = { day_micro: one.day_micro, month_micro: one.month_micro, [`${period}_micro`]: micro };
    if (await tried(() => api.setBudget({ scope: one.scope, name: one.name, ...amounts }), `${one.title}: kept.`, this.wrong)) await this.changed();
  }

  /** Whom a budget of their own can be set for. */
  offer(budgets, people, projects) {
    const has = new Set(budgets.map((one) => `${one.scope} ${one.name}`));
    const options = [
      ...(has.has("studio ") ? [] : [["studio ", "The studio"]]),
      ...(studio.about?.login ? [["person *", "Each person"], ...people.map((one) => [`person ${one.name}`, one.title || one.name])] : []),
      ...(projects.length ? [["project *", "Each project"], ...projects.map((one) => [`project ${one.name}`, `Project ${one.title}`])] : []),
    ].filter(([value]) => !has.has(value));
    this.add.hidden = !options.length;
    if (!options.length || this.add.contains(document.activeElement)) return;
    this.whose = h("select", { id: "cs-budget-whose" }, ...options.map(([value, text]) => h("option", { value, text })));
    this.fields = PERIODS.map(([period, each]) => ({ period, ...amountField(`cs-budget-new-${period}`, `New budget ${each}, in dollars`, null), each }));
    const labelled = ({ input, element, each }) => h("div", { class: "cs-field" }, h("label", { for: input.id, text: each[0].toUpperCase() + each.slice(1) }), element);
    this.add.replaceChildren(h("div", { class: "cs-field" }, h("label", { for: "cs-budget-whose", text: "A budget of their own" }), this.whose), ...this.fields.map(labelled), h("button", { type: "submit", class: "cs-plain", text: "Set it" }));
  }

  async added(event) {
    event.preventDefault();
    this.wrong.textContent = "";
    const amounts = {};
    for (const field of this.fields) {
      const micro = amountOf(field, this.wrong);
      if (micro === undefined) return;
      amounts[`${field.period}_micro`] = micro;
    }
    const [scope, ...name] = this.whose.value.split(" ");
    const done = await tried(() => api.setBudget({ scope, name: name.join(" "), ...amounts }), "The budget is kept.", this.wrong);
    if (!done) return;
    document.activeElement?.blur();
    await this.changed();
  }
}

/** Credits: what people were given. Whoever has some can spend no more than that, whatever the budgets allow. */
export class Credits {
  constructor(changed) {
    this.changed = changed;
    this.wrong = h("p", { class: "cs-error", role: "alert" });
    this.rows = h("ul", { class: "cs-list" });
    this.form = h("form", { class: "cs-inline", hidden: true, onsubmit: (event) => this.give(event) });
    this.element = section("Credits", "Whoever was given credit spends that and no more, within the budgets. Nobody needs any.", this.rows, this.form, this.wrong);
  }

  show({ credits, people }, admin) {
    this.element.hidden = !studio.about?.login && !credits.length; // whoever is alone gives nobody anything
    this.rows.hidden = !credits.length;
    this.rows.replaceChildren(...credits.map((one) => h("li", { class: "cs-list-head" }, h("b", { text: one.title || one.person }), h("span", { class: "cs-credit" }, h("span", {}, h("b", { text: dollars(one.left_micro) }), ` left of ${dollars(one.granted_micro)}`), meter(`Credit of ${one.title || one.person}`, one.spent_micro, one.granted_micro)))));
    this.form.hidden = !admin;
    if (!admin || this.form.contains(document.activeElement)) return;
    this.who = h("select", { id: "cs-credit-who" }, ...people.map((one) => h("option", { value: one.name, text: one.title || one.name })));
    this.amount = amountField("cs-credit-amount", "Credit in dollars", null);
    this.note = h("input", { type: "text", id: "cs-credit-note", maxlength: 200, autocomplete: "off" });
    const field = (label, input, element = input) => h("div", { class: "cs-field" }, h("label", { for: input.id, text: label }), element);
    this.form.replaceChildren(field("Give credit to", this.who), field("Dollars", this.amount.input, this.amount.element), field("What for", this.note), h("button", { type: "submit", class: "cs-plain", text: "Give" }));
  }

  async give(event) {
    event.preventDefault();
    this.wrong.textContent = "";
    const micro = amountOf(this.amount, this.wrong);
    if (micro === undefined) return;
    const done = await tried(() => api.giveCredit({ person: this.who.value, micro: micro ?? 0, note: this.note.value }), "The credit is given.", this.wrong);
    if (!done) return;
    document.activeElement?.blur();
    await this.changed();
  }
}

/** Charges of which nobody knows what became: money is held for them until somebody says. Those that are alike take one answer. */
export class Uncertain {
  constructor(changed) {
    this.changed = changed;
    this.open = new Set(); // groups whose charges are shown one by one
    this.wrong = h("p", { class: "cs-error", role: "alert" });
    this.rows = h("ul", { class: "cs-list" });
    const about = "What the providers could tell is settled already. These they cannot: their money is held, and the provider's own list of requests or its bill tells.";
    this.element = section("Was this billed?", about, this.rows, this.wrong);
    this.element.classList.add("cs-cloud-ask");
    this.element.hidden = true;
  }

  show(charges, admin, titles) {
    this.element.hidden = !charges.length;
    const again = this.rows.contains(document.activeElement);
    this.rows.replaceChildren(...[...grouped(charges, alike)].map(([key, group]) => this.group(key, group, admin, titles)));
    if (again) (this.rows.querySelector("button") ?? this.element.nextElementSibling?.querySelector("button"))?.focus();
  }

  group(key, charges, admin, titles) {
    const [first] = charges;
    const many = charges.length > 1;
    const held = charges.reduce((sum, charge) => sum + charge.reserved_micro, 0);
    const head = `${exact(held)} by ${titles(first.provider)}${many ? ` · ${charges.length} calls` : ""}`;
    const why = first.error && h("p", { class: "cs-quiet" }, icon("warn"), ` ${words(first)}`);
    const each = many && h("details", { open: this.open.has(key), ontoggle: ({ currentTarget }) => this.open[currentTarget.open ? "add" : "delete"](key) },
      h("summary", { text: "One by one" }),
      ...charges.map((charge) => h("div", { class: "cs-list-head", data: { charge: charge.id } }, h("p", { class: "cs-quiet", text: `${exact(charge.reserved_micro)} · ${about(charge)}` }), this.answers([charge], admin, titles))));
    return h("li", { data: many ? {} : { charge: first.id } },
      h("div", { class: "cs-list-head" },
        h("div", {}, h("b", { text: head }), h("p", { class: "cs-quiet", text: many ? span(charges) : about(first) }), why),
        this.answers(charges, admin, titles)),
      each);
  }

  answers(charges, admin, titles) {
    if (!admin) return null;
    const many = charges.length > 1;
    const expected = charges.reduce((sum, charge) => sum + charge.expected_micro, 0);
    const say = (billed, text) => h("button", { type: "button", class: "cs-plain", text, "aria-label": `${text}: ${exact(expected)} by ${titles(charges[0].provider)}`, onclick: () => this.resolve(charges, billed) });
    return h("div", { class: "cs-tools" }, say(true, many ? "Count all as paid" : "Count as paid"), say(false, many ? "None was billed" : "Was not billed"));
  }

  async resolve(charges, billed) {
    const sum = (name) => exact(charges.reduce((all, charge) => all + charge[name], 0));
    const told = billed ? `${sum("expected_micro")} counts as paid.` : `${sum("reserved_micro")} is free again.`;
    if (await tried(() => api.resolveCharges(charges.map((charge) => charge.id), billed), told, this.wrong)) await this.changed();
  }
}

const words = (charge) => [charge.error?.what, charge.error?.why].filter(Boolean).join(" ");
const alike = (charge) => JSON.stringify([charge.provider, words(charge)]);
const about = (charge) => [charge.job ? `job ${charge.job}` : FEATURES[charge.feature], charge.model, when(charge), charge.request_id && `request ${charge.request_id}`].filter(Boolean).join(" · ");
const when = (charge) => new Date(charge.created).toLocaleString();

/** Of several, the newest first: their models and the time from the first to the last. */
function span(charges) {
  return [[...new Set(charges.map((charge) => charge.model))].join(", "), `${when(charges.at(-1))} to ${when(charges[0])}`].join(" · ");
}

function grouped(all, key) {
  const groups = new Map();
  for (const one of all) groups.set(key(one), [...(groups.get(key(one)) ?? []), one]);
  return groups;
}

export function section(title, about, ...content) {
  const id = `cs-cloud-${title.toLowerCase().replaceAll(/\W+/g, "-")}`;
  return h("section", { "aria-labelledby": id }, h("h2", { id, text: title }), about && h("p", { class: "cs-quiet", text: about }), ...content);
}
