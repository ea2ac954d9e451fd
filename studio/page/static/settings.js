// The settings: yours, the studio's, and with a login the people and their projects. Each change is kept at once.

import { Refused, api } from "./api.js";
import { CsPeople } from "./people.js";
import { h } from "./dom.js";
import { studio } from "./studio.js";
import { toast } from "./toast.js";

const GROUPS = { similar: "Served from history", cache: "Served from history", retention: "What is kept", disk: "What is kept", retraining: "Training LoRAs again", review: "Review", cloud: "Cloud", export: "Export", login: "Login" };
const ELSEWHERE = ["models", "loras"]; // their tabs have places of their own for these
const IN_CLOUD = /^cloud\.(providers|openai)/; // and so has the Cloud tab

/** Runs `act`, says `words` when it is done, and shows what was refused in `place`, or as a toast. True when it was done. */
export async function tried(act, words, place = null) {
  if (place) place.textContent = "";
  try {
    await act();
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    if (place) place.textContent = error.message;
    else toast(error.message, { wrong: true });
    return false;
  }
  if (words) toast(words);
  return true;
}

export class CsSettings extends HTMLElement {
  connectedCallback() {
    if (this.firstChild) return;
    this.own = h("div", { class: "cs-rows" });
    this.shared = h("section", { hidden: true });
    this.people = new CsPeople();
    this.append(h("section", {}, h("h2", { text: "Yours" }), this.own), this.people.yours, this.shared, this.people.element);
    studio.on("tab", (tab) => tab === "settings" && this.load());
    studio.on("found", () => studio.tab === "settings" && this.load());
    if (studio.tab === "settings") this.load();
  }

  async load() {
    const { admin, settings } = await api.settings();
    const shown = settings.filter((one) => !ELSEWHERE.includes(one.group) && !IN_CLOUD.test(one.name) && (one.group !== "login" || studio.about?.login));
    const own = shown.filter((one) => one.own);
    this.own.replaceChildren(this.line("Motion", "cs-motion-box", "", h("cs-motion")), ...own.map((one) => this.row(one)));
    const groups = grouped(shown.filter((one) => !one.own));
    this.shared.hidden = false;
    this.shared.replaceChildren(
      h("h2", { text: "The studio's" }),
      h("p", { class: "cs-quiet", text: admin ? "For everybody." : "For everybody; only an admin may change these." }),
      ...[...groups].flatMap(([title, some]) => [h("h3", { text: title }), some[0].group === "cloud" && cloudWords(), h("div", { class: "cs-rows" }, ...some.map((one) => this.row(one)))]).filter(Boolean),
    );
    if (studio.about?.login) await this.people.load();
  }

  row(setting) {
    const id = `cs-set-${setting.name.replaceAll(".", "-")}`;
    const wrong = h("span", { class: "cs-error", role: "alert", id: `${id}-error` });
    const control = this.control(setting, id, (value) => tried(() => api.set({ [setting.name]: value }), `${setting.title}: kept.`, wrong));
    control.disabled = !setting.may_change;
    control.setAttribute("aria-describedby", `${id}-words ${id}-error`);
    return this.line(setting.title, id, setting.words, h("span", { class: "cs-with-unit" }, control, setting.unit && h("span", { class: "cs-quiet", text: setting.unit })), wrong);
  }

  line(title, id, words, control, wrong = null) {
    const name = id === "cs-motion-box" ? h("span", { class: "cs-row-title", text: title }) : h("label", { class: "cs-row-title", for: id, text: title });
    return h("div", { class: "cs-row" }, h("div", {}, name, words && h("p", { class: "cs-quiet", id: `${id}-words`, text: words })), h("div", { class: "cs-row-control" }, control, wrong));
  }

  control({ kind, value, low, high }, id, keep) {
    if (kind === "switch") {
      const box = h("input", { type: "checkbox", role: "switch", id, onchange: async () => {
        if (!(await keep(box.checked))) box.checked = !box.checked; // refused: it is as it was
      } });
      box.checked = value;
      return box;
    }
    if (kind === "text") {
      const field = h("input", { type: "text", id, autocomplete: "off", spellcheck: "false", onchange: async () => field.setAttribute("aria-invalid", String(!(await keep(field.value)))) });
      field.value = value ?? "";
      return field;
    }
    const field = h("input", { type: "number", id, min: low, max: high, step: kind === "whole" ? 1 : "any", onchange: async () => {
      const kept = await keep(field.value === "" ? null : Number(field.value));
      field.setAttribute("aria-invalid", String(!kept));
    } });
    field.value = value;
    return field;
  }
}

function cloudWords() {
  return h("p", { class: "cs-quiet" }, "Providers, their keys, budgets and the ledger are in the ", h("button", { type: "button", class: "cs-link", text: "Cloud tab", onclick: () => studio.show("cloud") }), ". Without a budget it cannot be switched on.");
}

function grouped(settings) {
  const groups = new Map();
  for (const one of settings) {
    const title = GROUPS[one.group] ?? one.group;
    groups.set(title, [...(groups.get(title) ?? []), one]);
  }
  return groups;
}
