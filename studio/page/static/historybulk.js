// The bar at the foot of the history while pictures are selected: what can be done to all of them at once.

import { h, icon, plural, set } from "./dom.js";
import { askAt, menuAt } from "./menus.js";
import { studio } from "./studio.js";
import { take } from "./take.js";

const SURE_SECONDS = 5;

export class Bulk {
  /** history: the element of the tab, which does what is asked here. */
  constructor(history) {
    this.history = history;
    const button = (text, run, kind = "cs-plain") => h("button", { type: "button", class: kind, text, onclick: run });
    const opens = (text, run) => h("button", { type: "button", class: "cs-plain cs-opens", "aria-haspopup": "true", "aria-expanded": "false", onclick: (event) => run(event.currentTarget) }, h("span", { text }), icon("open"));
    this.count = h("strong", { role: "status" });
    this.everything = button("", () => history.selectAll(), "cs-link");
    this.delete = button("Delete for good", () => this.sure());
    this.here = [
      button("Pick", () => history.flag(true)),
      button("Reject", () => history.flag(false)),
      opens("Stars", (at) => menuAt(at, [5, 4, 3, 2, 1, 0].map((stars) => [stars ? plural(stars, "star") : "No stars", "", () => history.rate(stars)]))),
      opens("Tag", (at) => this.tags(at)),
      opens("Board", (at) => this.boards(at)),
      opens("Download", (at) => this.download(at)),
      (this.share = opens("Share", (at) => this.shares(at))),
      button("To the trash", () => history.trash()),
    ];
    this.there = [button("Restore", () => history.restore(), "cs-primary"), this.delete];
    this.element = h("div", { class: "cs-bulk", role: "toolbar", "aria-label": "Selected pictures", hidden: true },
      h("span", { class: "cs-bulk-count" }, this.count, this.everything),
      h("span", { class: "cs-bulk-acts" }, ...this.here, ...this.there),
      h("button", { type: "button", class: "cs-tool cs-bulk-clear", "aria-label": "Clear the selection", title: "Clear the selection (Esc)", onclick: () => history.clearSelection() }, icon("close")));
  }

  show(selected, total, trash) {
    set(this.element, { hidden: !selected });
    this.count.textContent = `${selected.toLocaleString("en-GB")} selected`;
    set(this.everything, { text: "Select all", hidden: total === null || selected >= total });
    for (const one of this.here) one.hidden = trash;
    for (const one of this.there) one.hidden = !trash;
    this.share.hidden ||= !studio.about?.login;
    if (!selected) this.calm();
  }

  tags(at) {
    const { grid, filters } = this.history;
    const on = new Set(grid.images.filter((image) => grid.selected.has(image.id)).flatMap((image) => image.tags));
    const add = () => askAt(at, "Tag", Object.keys(filters.facets.tags), (tag) => this.history.tag(tag));
    if (!on.size) add();
    else menuAt(at, [["Add a tag", "", add], ...[...on].sort().map((tag) => [`Remove "${tag}"`, "", () => this.history.untag(tag)])]);
  }

  boards(at) {
    const { boards, filters } = this.history;
    const here = filters.place.kind === "board" && filters.place.board.mine ? filters.place.board : null;
    menuAt(at, [
      ...boards.mine.filter((board) => board.id !== here?.id).map((board) => [board.name, plural(board.pictures, "picture"), () => this.history.put(this.history.grid.meant, board)]),
      ["New board", "", () => {
        const ids = this.history.grid.meant;
        boards.ask(null, (board) => this.history.put(ids, board));
      }],
      ...(here ? [["Take off this board", "they stay in the history", () => this.history.takeOff(here)]] : []),
      ...(here && filters.sort.value === "board" ? [["To the front of this board", "", () => this.history.toFront(here)]] : []),
    ]);
  }

  download(at) {
    const ids = () => this.history.grid.meant;
    menuAt(at, [
      ["ZIP", "with a manifest: settings, scores, licences", () => take(ids(), "zip", false)],
      ["ZIP without settings", "prompts, seeds and scores are left out", () => take(ids(), "zip", true)],
      ["Sheet as PNG", "labelled, job by job", () => take(ids(), "png", false)],
      ["Sheet as PDF", "to print", () => take(ids(), "pdf", false)],
    ]);
  }

  shares(at) {
    menuAt(at, [
      ["With everyone here", "they can look, and not change anything", () => this.history.share("*")],
      ...(studio.about.projects ?? []).map((project) => [`With ${project.title ?? project}`, "", () => this.history.share(project.name ?? project)]),
      ["With nobody", "", () => this.history.share(null)],
    ]);
  }

  /** Deleting asks a second time, at the same place, for a few seconds. */
  sure() {
    if (this.asked) {
      this.calm();
      this.history.deleteForGood();
      return;
    }
    this.delete.textContent = `Really delete ${plural(this.history.grid.selected.size, "picture")}`;
    this.delete.classList.add("cs-danger");
    this.asked = setTimeout(() => this.calm(), SURE_SECONDS * 1000);
  }

  calm() {
    clearTimeout(this.asked);
    this.asked = null;
    this.delete.textContent = "Delete for good";
    this.delete.classList.remove("cs-danger");
  }
}
