// The versions of a profile: who saved which when and why, what changed, and the way back.

import { api } from "./api.js";
import { h } from "./dom.js";

export class Versions {
  constructor(restore) {
    this.restore = restore;
    this.summary = h("summary");
    this.list = h("ol", { class: "cs-q-versions", reversed: true });
    this.element = h("details", { class: "cs-q-part-of" }, this.summary, this.list);
  }

  show(view) {
    this.view = view;
    this.summary.textContent = `Versions (${view.versions.length})`;
    this.list.replaceChildren(...view.versions.map((one, i) => this.entry(one, view.versions[i + 1])));
  }

  entry(one, before) {
    const current = one.version === this.view.version;
    const what = h("ul", { class: "cs-q-diff", hidden: true });
    const shows = before && !one.removed && !before.removed ? h("button", { type: "button", class: "cs-bare", text: "Changes", "aria-expanded": "false", "aria-label": `Changes of version ${one.version}`, onclick: () => this.compare(shows, what, before.version, one.version) }) : null;
    const back = current || one.removed ? null : h("button", { type: "button", class: "cs-bare", text: "Restore", "aria-label": one.version ? `Restore version ${one.version}` : "Restore as shipped", onclick: () => this.restore(one.version) });
    return h("li", {}, h("div", { class: "cs-q-version" },
      h("span", {}, h("b", { text: one.version ? `Version ${one.version}` : "As shipped" }), current ? h("span", { class: "cs-q-current", text: "in use" }) : null),
      h("span", { class: "cs-quiet", text: [one.version ? one.note || "No note" : "", one.person, one.created && when(one.created)].filter(Boolean).join(" · ") }),
      h("span", { class: "cs-q-version-acts" }, shows, back)), what);
  }

  async compare(button, place, old, now) {
    const open = place.hidden;
    if (open && !place.firstChild) {
      const { changes } = await api.profileChanges(this.view.name, old, now);
      place.replaceChildren(...(changes.length ? changes : ["Nothing differs."]).map((text) => h("li", { text })));
    }
    place.hidden = !open;
    button.setAttribute("aria-expanded", String(open));
  }
}

const when = (time) => new Date(time).toLocaleString("en-GB", { day: "numeric", month: "short", year: "numeric", hour: "2-digit", minute: "2-digit" });
