// The Cloud tab: whether it is on and what it has cost, the providers, what may be spent, and the ledger.

import { Refused, api } from "./api.js";
import { clouds } from "./clouds.js";
import { Ledger } from "./cloudledger.js";
import { Budgets, Credits, Uncertain, amountField, amountOf, meter, section } from "./cloudmoney.js";
import { ProviderCard } from "./cloudprovider.js";
import { debounced, h, icon, plural, set } from "./dom.js";
import { dollars } from "./money.js";
import { tried } from "./settings.js";
import { studio } from "./studio.js";

const SETTLE_MS = 400;

export class CsCloud extends HTMLElement {
  connectedCallback() {
    if (this.firstChild) return;
    this.cards = new Map();
    this.voice = h("p", { class: "cs-voice", role: "status" });
    this.trouble = h("p", { class: "cs-error", role: "alert", hidden: true });
    this.demo = h("p", { class: "cs-cloud-demo", hidden: true }, h("b", { text: "Play money. " }), "These providers run on this machine: no key is asked for, nothing leaves it and nothing is billed.");
    this.off = h("section", { class: "cs-cloud-off", "aria-labelledby": "cs-cloud-off-title", hidden: true });
    this.head = h("div", { class: "cs-cloud-head", hidden: true });
    this.notes = h("div", { class: "cs-cloud-notes" });
    this.list = h("ul", { class: "cs-cards" });
    this.providers = section("Providers", "", this.list);
    this.providersAbout = h("p", { class: "cs-quiet" });
    this.list.before(this.providersAbout);
    const again = () => this.load();
    this.uncertain = new Uncertain(again);
    this.budgets = new Budgets(again);
    this.credits = new Credits(again);
    this.ledger = new Ledger();
    this.body = h("div", { class: "cs-cloud-body", hidden: true }, this.uncertain.element, this.providers, this.budgets.element, this.credits.element, this.ledger.element);
    this.append(this.voice, this.trouble, this.demo, this.off, this.head, this.notes, this.body);
    studio.on("tab", (tab) => tab === "cloud" && this.load());
    studio.on("found", () => this.shown && this.load());
    studio.on("cloud", debounced(() => this.shown && this.load(), SETTLE_MS));
    studio.on("clouds", () => this.shown && this.money && this.show());
    if (this.shown) this.load();
  }

  get shown() {
    return studio.tab === "cloud";
  }

  async load() {
    const turn = (this.turn = {});
    try {
      const [view, money] = await Promise.all([api.cloud(), api.money(), this.ledger.load()]);
      if (this.turn !== turn) return;
      set(this.trouble, { text: "", hidden: true });
      this.money = money;
      clouds.set(view); // which shows it
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      if (this.turn === turn) set(this.trouble, { text: error.message, hidden: null });
    }
  }

  get view() {
    return clouds.view;
  }

  show() {
    const { view, money } = this;
    const titles = (name) => view.providers.find((one) => one.name === name)?.title ?? name;
    this.body.hidden = false;
    this.demo.hidden = !view.demo;
    this.off.hidden = view.enabled;
    this.head.hidden = !view.enabled;
    if (view.enabled) this.glance(view, money);
    else this.begin(view, money);
    this.note(view, money);
    this.ledger.name(view.providers);
    this.uncertain.show(money.uncertain, view.admin, titles);
    this.showProviders(view);
    this.budgets.element.hidden = !view.enabled && !view.budget_set; // until then the three steps above ask for one
    this.budgets.show(money, view.admin);
    this.credits.show(money, view.admin);
    if (!view.enabled && !view.budget_set) this.credits.element.hidden = true;
    this.ledger.element.hidden = !view.enabled && !money.total;
    this.say(view.enabled ? `The cloud is on. ${dollars(view.today_micro)} today.` : "The cloud is off.");
  }

  say(text) {
    if (this.voice.textContent !== text) this.voice.textContent = text;
  }

  /** While it is off: what that means, and the three steps. */
  begin(view, money) {
    if (this.off.contains(document.activeElement) && document.activeElement.matches("input")) return; // somebody is typing
    const keyed = view.providers.filter((one) => one.key.source || (!one.key.needed && !one.why));
    const studios = view.budget_set ? money.budgets.find((one) => one.scope === "studio") : null;
    const step = (done, title, ...content) => h("li", { data: { done: String(done) } }, h("span", { class: "cs-step-mark" }, done ? icon("pass") : null), h("div", {}, h("h3", { text: title }), ...content));
    const wrong = h("p", { class: "cs-error", role: "alert" });
    this.day = amountField("cs-begin-day", "Budget a day, in dollars", studios ? studios.day_micro : 5_000_000, { disabled: !view.admin });
    this.month = amountField("cs-begin-month", "Budget a month, in dollars", studios ? studios.month_micro : 50_000_000, { disabled: !view.admin });
    const names = keyed.map((one) => one.title);
    this.off.replaceChildren(
      h("h2", { id: "cs-cloud-off-title", text: "The cloud is off" }),
      h("p", { text: "Everything is drawn on this machine, and nothing is sent to a provider or spent, whatever keys are here." }),
      h("p", { text: "To switch it on, give one provider a key, set a budget and press Switch on; then a request that says “Cloud allowed” may go to a provider when this machine is busy or too small, and only within the budget." }),
      view.admin ? h("form", { class: "cs-cloud-steps", onsubmit: (event) => {
        event.preventDefault();
        this.switchOn(keyed, wrong);
      } }, h("ol", {},
        step(names.length > 0, "A provider", h("p", { class: "cs-quiet", text: names.length ? `${listed(names)} ${names.length === 1 ? "has" : "have"} what is needed.` : "None has a key yet: give one below." })),
        step(Boolean(studios), "A budget", h("div", { class: "cs-begin-budget" }, labelled(this.day, "a day"), labelled(this.month, "a month"))),
      ), wrong, h("button", { type: "submit", class: "cs-primary", text: "Switch on", disabled: !names.length })) : h("p", { class: "cs-quiet", text: "An admin can do that." }),
    );
  }

  async switchOn(keyed, wrong) {
    wrong.textContent = "";
    const day = amountOf(this.day, wrong), month = amountOf(this.month, wrong);
    if (day === undefined || month === undefined) return;
    if (!day && !month) {
      wrong.textContent = "Set a budget for a day or a month: without one nothing may be spent.";
      this.day.input.focus();
      return;
    }
    const chosen = this.used.filter((name) => keyed.some((one) => one.name === name));
    await tried(async () => {
      await api.setBudget({ scope: "studio", name: "", day_micro: day, month_micro: month });
      await api.cloudSettings({ providers: chosen.length ? chosen : keyed.map((one) => one.name), enabled: true });
    }, "The cloud is on.", wrong);
    document.activeElement?.blur();
    await this.load();
  }

  /** While it is on: what was spent, what is left, what is out. */
  glance(view, money) {
    const studios = money.budgets.find((one) => one.scope === "studio");
    const tile = (title, value, foot, extra = null) => h("li", { class: "cs-number-tile" }, h("span", { class: "cs-number-title", text: title }), h("b", { text: value }), extra, h("span", { class: "cs-number-foot" }, foot));
    const spent = (period, title) => {
      const limit = studios?.[`${period}_micro`] ?? null, much = studios ? studios[`${period}_spent_micro`] : period === "day" ? view.today_micro : 0;
      return tile(title, dollars(much), limit === null ? "no limit" : `of ${dollars(limit)}`, limit === null ? null : meter(title, much, limit));
    };
    const tiles = [
      spent("day", "Today"), spent("month", "This month"),
      tile("You may still spend", money.left_micro === null ? "–" : dollars(money.left_micro), money.left_micro === null ? "no budget is set" : money.tightest ?? "now"),
      tile("Pictures today", String(view.today_images), view.today_images ? `${dollars(Math.round(view.today_micro / view.today_images))} each` : "none from a provider"),
      tile("Under way", String(view.under_way), view.under_way ? "calls at providers" : "no call is out"),
    ];
    const again = this.head.contains(document.activeElement) ? document.activeElement.id : "";
    const off = h("button", { type: "button", class: "cs-plain", id: "cs-cloud-switch", text: "Switch off", onclick: () => this.change({ enabled: false }, this.trouble, "The cloud is off: nothing more is sent. What was sent is still collected.") });
    this.head.replaceChildren(
      h("div", { class: "cs-cloud-line" }, h("p", { class: "cs-state", data: { mark: view.ready ? "pass" : "warn" } }, icon(view.ready ? "pass" : "warn"), h("span", { text: view.ready ? `The cloud is on: a request that allows it goes to a provider when this machine ${view.wait_seconds ? `would keep it waiting for more than ${view.wait_seconds} s` : "is busy"}.` : `The cloud is on, but nothing can go there. ${view.why}` })), view.admin ? off : null),
      h("ul", { class: "cs-glance", "aria-label": "Money at a glance" }, ...tiles));
    if (again) this.head.querySelector(`#${again}`)?.focus();
  }

  /** Bills that drift from the table of prices, and budgets that are nearly gone. */
  note(view, money) {
    const lines = [];
    if (view.enabled && view.note) lines.push(["fail", view.note]);
    if (money.drift?.alarm) lines.push(["fail", money.drift.words]);
    for (const words of money.warnings ?? []) lines.push(["warn", words]);
    this.notes.replaceChildren(...lines.map(([mark, words]) => h("p", { class: "cs-state cs-cloud-note", role: "status", data: { mark } }, icon("warn"), h("span", { text: words }))));
  }

  get used() {
    return this.view.providers.filter((one) => one.enabled).map((one) => one.name);
  }

  showProviders(view) {
    const out = view.providers.filter((one) => one.enabled && one.usable).length;
    this.providersAbout.textContent = `${out ? `${plural(out, "provider")} can be used.` : "None can be used yet."} Previews go to the cheapest, standard pictures to the quickest, premium ones to the best, of those that can draw what is asked and are well.`;
    for (const provider of view.providers) {
      if (!this.cards.has(provider.name)) {
        const card = new ProviderCard((changes, wrong) => this.change(changes, wrong));
        this.cards.set(provider.name, card);
        this.list.append(card.element);
      }
      this.cards.get(provider.name).show(provider, view.admin, this.used);
    }
  }

  /** Changes the cloud's settings; what was refused is shown in `wrong`. */
  async change(changes, wrong, words = "Kept.") {
    const done = await tried(async () => clouds.set(await api.cloudSettings(changes)), words, wrong);
    if (wrong === this.trouble) this.trouble.hidden = done;
    return done;
  }
}

const labelled = ({ input, element }, words) => h("label", { class: "cs-begin-field", for: input.id }, element, h("span", { text: words }));

function listed(names) {
  return names.length < 2 ? names.join("") : `${names.slice(0, -1).join(", ")} and ${names.at(-1)}`;
}
