// Promotion: a person looks at the samples beside those in production, then says so. What is not ready can be forced, with a reason.

import { Refused } from "./api.js";
import { Dialog } from "./dialog.js";
import { h, set } from "./dom.js";
import { compareVersions } from "./loracompare.js";
import { version } from "./lorafacts.js";
import { toast } from "./toast.js";

const NOT_READY = 409;
let dialog = null;

/** act(reason, forced, looked): does it; looked: a person's word that they have seen what it draws. done(): after it was done. */
export function promote(lora, number, act, done) {
  dialog ??= new Promote();
  dialog.open(lora, number, act, done);
}

class Promote extends Dialog {
  constructor() {
    const title = h("h2", { id: "cs-lo-promote-title" });
    const said = h("p", { class: "cs-quiet" });
    const sides = h("div", { class: "cs-lo-looks" });
    const compares = h("button", { type: "button", class: "cs-plain", text: "Compare on a slider", onclick: () => compareVersions(this.lora, this.before, this.number) });
    const reason = h("input", { type: "text", id: "cs-lo-reason", maxlength: 500, autocomplete: "off" });
    const label = h("label", { for: "cs-lo-reason", text: "Note" });
    const looked = h("input", { type: "checkbox", id: "cs-lo-looked", onchange: () => this.saw() });
    const looks = h("label", { class: "cs-lo-looked", for: looked.id }, looked, "I have looked at what it draws");
    const wrong = h("p", { class: "cs-error", role: "alert" });
    const go = h("button", { type: "submit", class: "cs-primary", text: "Promote" });
    const form = h("form", { onsubmit: (event) => (event.preventDefault(), this.go()) }, looks, h("div", { class: "cs-lo-field" }, label, reason), wrong,
      h("div", { class: "cs-lo-sends" }, h("button", { type: "button", class: "cs-plain", text: "Cancel", onclick: () => this.close() }), go));
    super("lo-promote", { "aria-labelledby": title.id }, title, said, sides, compares, form);
    Object.assign(this, { title, said, sides, compares, looked, reason, label, wrong, goes: go });
  }

  open(lora, number, act, done) {
    Object.assign(this, { lora, number, act, done, forced: false, before: lora.aliases.production ?? null });
    const old = this.before === null ? null : version(lora, this.before);
    const now = version(lora, number);
    this.title.textContent = `v${number} of ${lora.title} to production`;
    this.said.textContent = `From then on every request that names no version is drawn with it${old ? `, no longer with v${this.before}` : ""}. Roll back brings the old one back.`;
    const side = (name, one) => h("section", {}, h("h3", { text: name }), one.samples.length ? h("div", { class: "cs-lo-samples" }, ...one.samples.slice(0, 6).map((url) => h("img", { src: url, alt: "" }))) : h("p", { class: "cs-quiet", text: "It has no samples." }),
      one.verdict ? h("p", { class: "cs-lo-verdict", data: { kind: one.verdict_kind ?? "" }, text: one.verdict }) : null);
    this.sides.replaceChildren(...(old ? [side(`In production: v${this.before}`, old)] : []), side(old ? `Instead: v${number}` : `v${number}`, now));
    this.compares.hidden = !(old?.samples.length && now.samples.length);
    this.reason.value = "";
    this.looked.checked = false;
    this.ask(false);
    this.wrong.textContent = "";
    this.show();
    this.goes.focus();
  }

  ask(forced) {
    this.forced = forced;
    this.label.textContent = forced ? "Why it goes to production all the same" : "Note (if you like)";
    set(this.reason, { required: forced });
    this.goes.textContent = forced ? "Promote all the same" : "Promote";
  }

  /** Who was refused for not having looked can do so now, and need not force it. */
  saw() {
    if (!this.forced || !this.looked.checked) return;
    this.wrong.textContent = "";
    this.ask(false);
  }

  async go() {
    this.wrong.textContent = "";
    try {
      await this.act(this.reason.value, this.forced, this.looked.checked);
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      this.wrong.textContent = error.message;
      if (error.status === NOT_READY && !this.forced) this.ask(true);
      this.reason.focus();
      return;
    }
    this.close();
    toast(`v${this.number} of ${this.lora.title} is in production.`);
    await this.done();
  }
}
