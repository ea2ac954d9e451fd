// One provider in the Cloud tab: how it is doing, what it costs, where its key comes from, and its models with their prices.

import { api } from "./api.js";
import { clouds } from "./clouds.js";
import { duration, h, icon, plural, set } from "./dom.js";
import { dollars, plainDollars, readDollars } from "./money.js";
import { tried } from "./settings.js";
import { studio } from "./studio.js";

const MARKS = { closed: "pass", "half-open": "warn", open: "fail" };

export class ProviderCard {
  /** change(changes): changes the cloud's settings, true when that was done. */
  constructor(change) {
    this.change = change;
    this.asked = ""; // the question that is open below it: "", "key" or "settings"
    this.element = h("li", { class: "cs-card cs-provider" });
    this.body = h("div", { class: "cs-provider-body" });
    this.wrong = h("p", { class: "cs-error", role: "alert" });
    this.models = h("details", { class: "cs-provider-models" }, h("summary"), h("div", { class: "cs-scroll", tabindex: "0", role: "region" }));
    this.question = h("div", { hidden: true });
    this.element.append(this.body, this.wrong, this.question, this.models);
  }

  /** used: which providers requests may go to, by name. */
  show(provider, admin, used) {
    Object.assign(this, { provider, admin, used });
    const focused = document.activeElement?.closest?.("[data-act]");
    const again = this.body.contains(focused) ? focused.dataset.act : "";
    set(this.element, { data: { provider: provider.name, usable: String(provider.usable) } });
    this.body.replaceChildren(h("div", { class: "cs-card-text" }, this.title(), this.figures(), this.state()), this.acts());
    this.ask(this.asked);
    this.list();
    if (again) this.body.querySelector(`[data-act="${again}"]`)?.focus();
  }

  title() {
    const { title, health_words: said, health, calls, name } = this.provider;
    const mark = calls ? h("span", { class: "cs-health", data: { mark: MARKS[health] } }, icon(MARKS[health]), said) : h("span", { class: "cs-health cs-quiet", text: said });
    return h("h3", { id: `cs-provider-${name}` }, title, mark);
  }

  figures() {
    const { from_micro: from, seconds, today_micro: today, today_images: images, under_way: out, concurrency, error_rate: wrong, calls } = this.provider;
    const figure = (name, value, foot) => h("div", {}, h("dt", { text: name }), h("dd", {}, h("b", { text: value }), foot && h("span", { class: "cs-quiet", text: foot })));
    const slow = seconds.p95 === null ? "" : `1 in 20 over ${time(seconds.p95)}`;
    return h("dl", { class: "cs-provider-figures" },
      figure("A picture of 1 megapixel", from === null ? "–" : dollars(from), from === null ? "no price is set" : "the cheapest model"),
      figure("Takes", seconds.p50 === null ? "–" : time(seconds.p50), seconds.learned ? slow : seconds.p50 === null ? "" : "a first guess, until it was called"),
      figure("Today", dollars(today), plural(images, "picture")),
      figure("Calls", calls ? `${calls}` : "none yet", calls ? (wrong ? `${percent(wrong)} failed` : "none failed") : ""),
      figure("At once", out ? `${out} of ${concurrency}` : `up to ${concurrency}`, out ? "are out now" : ""),
    );
  }

  state() {
    const { key, why, usable, tested } = this.provider;
    const lines = [];
    const line = (mark, ...words) => lines.push(h("p", { class: "cs-state", data: { mark } }, icon(mark), h("span", { class: "cs-line" }, ...words)));
    if (key.source === "demo") { /* said once, above all of them */ } else if (key.source) line("pass", ...keyWords(key.source));
    else if (key.needed) line("none", key.trouble ? "No key: set " : "No key: give one here, or set ", ...key.names.flatMap((name, i) => [i ? " or " : "", h("code", { text: name })]), ` before the studio starts.${key.trouble ? " This machine has no keyring to keep one in." : ""}`);
    if (!usable && why && (key.source || !key.needed)) line("warn", why);
    if (tested) line(tested.ok ? "pass" : "fail", `${tested.words}${tested.credit_micro === null || tested.credit_micro === undefined ? "" : ` Its account has ${dollars(tested.credit_micro)} left.`} `, h("span", { class: "cs-quiet", text: `Tested ${ago(tested.when)}.` }));
    return h("div", { class: "cs-provider-state" }, ...lines);
  }

  acts() {
    const box = h("div", { class: "cs-card-acts" });
    const { name, title, enabled, key, settings } = this.provider;
    const use = h("input", { type: "checkbox", role: "switch", id: `cs-use-${name}`, data: { act: "use" }, "aria-label": `Use ${title}`, disabled: !this.admin, onchange: () => this.use(use.checked) });
    use.checked = enabled;
    box.append(h("label", { class: "cs-switch", for: use.id }, use, h("span", { text: "Use it" })));
    if (!this.admin) return box;
    const add = (act, text, spoken, run) => box.append(h("button", { type: "button", class: "cs-plain", text, data: { act }, "aria-label": `${spoken} ${title}`, onclick: run }));
    if (settings) add("settings", "Address…", "Address and price of", () => this.ask(this.asked === "settings" ? "" : "settings", true));
    if (key.source !== "demo" && !key.trouble) add("key", key.keyring ? "Change key…" : "Give a key…", key.keyring ? "Change the key of" : "Give a key for", () => this.ask(this.asked === "key" ? "" : "key", true));
    if ((key.source || !key.needed) && this.provider.models.length) add("test", this.testing ? "Testing …" : "Test", "Test", () => this.test());
    return box;
  }

  /** Opens one of the questions below it, or none. */
  ask(what, focus = false) {
    const same = what === this.asked && this.question.firstChild;
    this.asked = what;
    this.question.hidden = !what;
    if (!what) this.question.replaceChildren();
    else if (!same || focus) this.question.replaceChildren(what === "key" ? this.keyForm() : this.settingsForm()); // what is being typed stays
    if (focus) (this.question.querySelector("input") ?? this.body.querySelector("button"))?.focus();
  }

  keyForm() {
    const { name, title, key } = this.provider;
    const field = h("input", { type: "password", id: `cs-key-${name}`, autocomplete: "off", spellcheck: "false", maxlength: 512 });
    const wrong = h("p", { class: "cs-error", role: "alert" });
    const drop = key.keyring && h("button", { type: "button", class: "cs-bare", text: "Forget the one kept here", onclick: () => this.done(() => api.forgetKey(name), `${title}: its key is forgotten.`, wrong) });
    return h("form", { class: "cs-confirm", onsubmit: (event) => {
      event.preventDefault();
      this.done(() => api.giveKey(name, field.value), `${title}: the key is in this machine's keyring.`, wrong);
    } },
      h("label", { for: field.id, text: `Key of ${title}` }), field,
      h("p", { class: "cs-quiet", text: "It goes into the keyring of the machine that the studio runs on, and to the provider with each call: into no file, log, picture or page." }), wrong,
      h("div", { class: "cs-confirm-acts" }, h("button", { type: "submit", class: "cs-primary", text: "Keep it" }), h("button", { type: "button", class: "cs-plain", text: "Not now", onclick: () => this.ask("", true) }), drop));
  }

  settingsForm() {
    const { name, settings } = this.provider;
    const field = (key, label, value, more = {}) => {
      const input = h("input", { type: "text", id: `cs-${name}-${key}`, autocomplete: "off", spellcheck: "false", ...more });
      input.value = value ?? "";
      return { input, element: h("div", { class: "cs-field" }, h("label", { for: input.id, text: label }), input) };
    };
    const url = field("url", "Address", settings.base_url, { placeholder: "http://gpu.example:8000/v1" });
    const model = field("model", "Model, as it calls it", settings.model, { placeholder: "flux-schnell" });
    const price = field("price", "Price of a picture, in dollars", plainDollars(settings.price_micro), { placeholder: "0 for a machine of your own", inputmode: "decimal" });
    const wrong = h("p", { class: "cs-error", role: "alert" });
    return h("form", { class: "cs-confirm", onsubmit: async (event) => {
      event.preventDefault();
      const micro = readDollars(price.input.value);
      set(price.input, { "aria-invalid": String(micro === undefined) });
      if (micro === undefined) wrong.textContent = "Write the price like 0.003.";
      else if (await this.change({ openai: { base_url: url.input.value, model: model.input.value, price_micro: micro } }, wrong)) this.ask("", true);
    } }, h("div", { class: "cs-confirm-fields" }, url.element, model.element, price.element), wrong,
      h("div", { class: "cs-confirm-acts" }, h("button", { type: "submit", class: "cs-primary", text: "Keep it" }), h("button", { type: "button", class: "cs-plain", text: "Not now", onclick: () => this.ask("", true) })));
  }

  async done(act, words, wrong) {
    if (!(await tried(async () => clouds.put(await act()), words, wrong))) return;
    this.ask("", true);
  }

  async use(wanted) {
    const names = this.used.filter((name) => name !== this.provider.name);
    if (!(await this.change({ providers: wanted ? [...names, this.provider.name] : names }, this.wrong))) this.show(this.provider, this.admin, this.used);
  }

  async test() {
    if (this.testing) return;
    this.testing = true;
    this.show(this.provider, this.admin, this.used);
    await tried(async () => {
      const provider = await api.testProvider(this.provider.name);
      this.testing = false;
      clouds.put(provider);
    }, "", this.wrong);
    this.testing = false;
    this.show(this.provider, this.admin, this.used);
  }

  /** Its models: folded, for a designer chooses a tier and not one of these. */
  list() {
    const { models, title, terms } = this.provider;
    const [summary, scroll] = this.models.children;
    summary.textContent = models.length === 1 ? "1 model and its price" : `${models.length} models and their prices`;
    set(scroll, { "aria-label": `Models of ${title}` });
    this.models.hidden = !models.length;
    const head = ["Model", "Stands in for", "Price", "1 megapixel", "Takes", "Calls", "Can", "Licence of pictures"];
    const rows = models.map((model) => h("tr", {},
      h("th", { scope: "row" }, h("b", { text: model.title }), h("code", { text: model.id })),
      h("td", {}, h("span", { text: Object.entries(model.serves).map(([family, tiers]) => `${familyTitle(family)}: ${tiers.join(", ")}`).join("; ") || "–" })),
      h("td", {}, h("span", { text: model.price }), h("span", { class: "cs-quiet", text: ` ${source(model)}` })),
      h("td", { class: "cs-sum", text: dollars(model.picture_micro) }),
      h("td", { class: "cs-sum", text: model.seconds.p50 === null ? "–" : `${time(model.seconds.p50)}${model.seconds.learned ? "" : " ?"}` }),
      h("td", { class: "cs-sum", text: model.calls ? `${model.calls}${model.error_rate ? `, ${percent(model.error_rate)} failed` : ""}` : "–" }),
      h("td", {}, h("span", { text: model.takes.join(", ") }), model.lacks.length ? h("span", { class: "cs-quiet", text: ` No ${model.lacks.join(", ")}.` }) : null),
      h("td", {}, model.licence_url ? h("a", { href: model.licence_url, target: "_blank", rel: "noopener noreferrer", text: model.licence }) : h("span", { text: model.licence }), h("span", { class: "cs-quiet", text: model.licence_date ? ` ${model.licence_date}` : "" })),
    ));
    const note = terms ? h("p", { class: "cs-quiet" }, h("a", { href: terms, target: "_blank", rel: "noopener noreferrer", text: `Terms of ${title}` }), ". A question mark: a first guess of the time. Calls are billed by the provider's own prices; the ledger compares.") : null;
    scroll.replaceChildren(h("table", {}, h("thead", {}, h("tr", {}, ...head.map((name) => h("th", { scope: "col", text: name })))), h("tbody", {}, ...rows)), ...(note ? [note] : []));
  }
}

function keyWords(source) {
  const [where, name] = source.split(" ");
  return where === "environment" ? ["Its key comes from ", h("code", { text: name }), " in the environment."] : ["Its key is in this machine's keyring."];
}

const familyTitle = (name) => studio.about?.families.find((one) => one.name === name)?.title ?? name;
const source = ({ price_date: day, price_source: where }) => (day ? `${day}${where ? `, ${where}` : ""}` : "");
const percent = (share) => `${(100 * share).toFixed(share > 0 && share < 0.0995 ? 1 : 0)} %`;
const time = (seconds) => (seconds < 9.95 ? `${seconds.toFixed(1)} s` : duration(seconds));

export function ago(when) {
  const seconds = Math.max(0, (Date.now() - new Date(when)) / 1000);
  return seconds < 60 ? "just now" : `${duration(seconds)} ago`;
}
