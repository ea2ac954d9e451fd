// What can be done with a whole job, at the right of its head: stop it, hold it, draw it again, take it away.

import { api } from "./api.js";
import { h, icon, set } from "./dom.js";
import { studio } from "./studio.js";
import { take } from "./take.js";

let menus = 0;

export class JobTools {
  /** `view`: the job on the sheet. */
  constructor(view) {
    this.view = view;
    const plain = (text, run) => h("button", { type: "button", class: "cs-plain", text, hidden: true, onclick: run });
    this.stop = plain("Cancel", () => view.cancel());
    this.hold = plain("Pause", () => view.attempt(async () => view.update(await (view.job.paused ? api.resume(view.id) : api.pause(view.id)))));
    this.again = plain("Generate again", () => this.draw({ ...view.job.request, again: true }));
    this.reuse = h("button", { type: "button", class: "cs-plain cs-reuse", text: "Reuse settings", onclick: () => studio.say("reuse", view.job.request) });
    this.menu = h("div", { class: "cs-menu", id: `cs-job-menu-${++menus}`, popover: "auto", onclick: () => this.menu.hidePopover(), ontoggle: (event) => this.toggled(event) });
    this.more = h("button", { type: "button", class: "cs-plain cs-more", "aria-label": `More for job ${view.id}`, title: "More", popovertarget: this.menu.id, "aria-expanded": "false" }, icon("more"));
    this.element = h("span", { class: "cs-job-tools" }, this.stop, this.hold, this.again, this.reuse, this.more, this.menu);
  }

  /** Fits the tools to the job as it is now. */
  show(job, running) {
    const mine = job.mine !== false;
    this.stop.hidden = !running || !mine;
    this.hold.hidden = !running || !mine || job.paused === undefined;
    this.hold.textContent = job.paused ? "Resume" : "Pause";
    this.again.hidden = running || !job.cached;
    set(this.more, { hidden: running && !job.done });
  }

  toggled(event) {
    const open = event.newState === "open";
    set(this.more, { "aria-expanded": String(open) });
    if (!open) return;
    this.menu.replaceChildren(...this.entries());
    // Below its button, its right edge under the button's, and inside the window.
    const at = this.more.getBoundingClientRect();
    const { width, height } = this.menu.getBoundingClientRect();
    const below = at.bottom + 4 + height <= innerHeight;
    this.menu.style.left = `${Math.max(8, at.right - width)}px`;
    this.menu.style.top = `${below ? at.bottom + 4 : Math.max(8, at.top - height - 4)}px`;
    this.menu.querySelector("button, a")?.focus();
  }

  entries() {
    const { job } = this.view;
    const entry = (text, note, run) => h("button", { type: "button", onclick: run }, h("span", { text }), h("small", { text: note }));
    const file = (text, note, kind, choose = () => true) => entry(text, note, () => this.take(kind, choose));
    const { seed, seeds, ...rest } = job.request;
    return [
      entry("Draw more", "the same, from new seeds", () => this.draw(rest)),
      ...(job.cached ? [] : [entry("Generate again", "the same seeds, not from history", () => this.draw({ ...job.request, again: true }))]),
      file("Keepers", "a ZIP with their settings and scores", "zip", (image) => image.verdict === "kept"),
      file("All pictures", "the same of every frame", "zip"),
      file("Sheet as PNG", "labelled, in the order shown", "png"),
      file("Sheet as PDF", "to print", "pdf"),
      ...(studio.about?.login && job.person === studio.about.person ? this.shares(job) : []),
    ];
  }

  /** Whom the job and all its pictures are shown to. */
  shares(job) {
    const to = [["*", "everyone here"], ...studio.about.projects.map(({ name, title }) => [name, title])];
    const share = (shared) => this.view.attempt(async () => this.view.update(await api.shareJob(job.id, shared)));
    const entry = (text, note, shared) => h("button", { type: "button", onclick: () => share(shared) }, h("span", { text }), h("small", { text: note }));
    return [
      ...to.filter(([name]) => name !== job.shared).map(([name, title]) => entry(`Share with ${title}`, "they can look, and not change anything", name)),
      ...(job.shared ? [entry("Share with nobody", `now with ${to.find(([name]) => name === job.shared)?.[1] ?? job.shared}`, null)] : []),
    ];
  }

  async take(kind, choose) {
    if (!this.view.loaded) await this.view.load();
    // Also what is put away or not of the verdict that is looked at.
    await take(this.view.every().filter(choose).map((image) => image.id), kind);
  }

  draw(request) {
    return this.view.attempt(async () => studio.say("submitted", await api.submit(request)));
  }
}
