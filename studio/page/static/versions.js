// The versions of what people make: who saved which when and why, what changed word by word, and the way back.

import { h } from "./dom.js";

export class Versions {
  /** restore(version): null where nothing can be restored; changes(view, old, now): [{key, old, new}]. */
  constructor(restore, changes) {
    Object.assign(this, { restore, changes });
    this.summary = h("summary");
    this.list = h("ol", { class: "cs-t-versions", reversed: true });
    this.element = h("details", { class: "cs-t-history" }, this.summary, this.list);
  }

  /** view: what has `version` and `versions`, newest first. */
  show(view) {
    this.view = view;
    this.summary.textContent = `Versions (${view.versions.length})`;
    this.list.replaceChildren(...view.versions.map((one, i) => this.entry(one, view.versions[i + 1])));
  }

  entry(one, before) {
    const current = one.version === this.view.version;
    const what = h("dl", { class: "cs-t-diff", hidden: true });
    const shows = before && !one.removed && !before.removed ? h("button", { type: "button", class: "cs-bare", text: "Changes", "aria-expanded": "false", "aria-label": `Changes of version ${one.version}`, onclick: () => this.compare(shows, what, before.version, one.version) }) : null;
    const back = current || one.removed || !this.restore ? null : h("button", { type: "button", class: "cs-bare", text: "Restore", "aria-label": one.version ? `Restore version ${one.version}` : "Restore as shipped", onclick: () => this.restore(one.version) });
    return h("li", {}, h("div", { class: "cs-t-version" },
      h("span", {}, h("b", { text: one.version ? `Version ${one.version}` : "As shipped" }), current ? h("span", { class: "cs-t-current", text: "in use" }) : null),
      h("span", { class: "cs-quiet", text: [one.version ? one.note || "No note" : "", one.person, one.created && when(one.created)].filter(Boolean).join(" · ") }),
      h("span", {}, shows, back)), what);
  }

  async compare(button, place, old, now) {
    const open = place.hidden;
    if (open && !place.firstChild) {
      const changes = await this.changes(this.view, old, now);
      place.replaceChildren(...changes.flatMap(({ key, old: was, new: is }) => [h("dt", { text: key }), h("dd", {}, ...differing(was ?? "", is ?? ""))]));
      if (!changes.length) place.replaceChildren(h("dt", { text: "Nothing differs." }));
    }
    place.hidden = !open;
    button.setAttribute("aria-expanded", String(open));
  }
}

/** Words that went, and words that came; what both have in common stands as it is. */
function differing(was, is) {
  const [old, now] = [was, is].map((text) => text.split(/(\s+)/));
  const most = Array.from({ length: old.length + 1 }, () => new Uint16Array(now.length + 1)); // longest common runs, from the end
  for (let i = old.length - 1; i >= 0; i--) for (let j = now.length - 1; j >= 0; j--) most[i][j] = old[i] === now[j] ? most[i + 1][j + 1] + 1 : Math.max(most[i + 1][j], most[i][j + 1]);
  const shown = [];
  const put = (tag, word) => (shown.at(-1)?.localName === tag ? (shown.at(-1).textContent += word) : shown.push(h(tag, { text: word })));
  let [i, j] = [0, 0];
  while (i < old.length || j < now.length) {
    if (i < old.length && j < now.length && old[i] === now[j]) (put("span", old[i]), i++, j++);
    else if (j >= now.length || (i < old.length && most[i + 1][j] >= most[i][j + 1])) put("del", old[i++]);
    else put("ins", now[j++]);
  }
  return shown;
}

const when = (time) => new Date(time).toLocaleString("en-GB", { day: "numeric", month: "short", year: "numeric", hour: "2-digit", minute: "2-digit" });
