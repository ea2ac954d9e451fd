// The History tab: every picture there is, found by words and filters, judged, sorted onto boards, thrown away and taken back.

import { Refused, api } from "./api.js";
import { Boards } from "./historyboards.js";
import { Bulk } from "./historybulk.js";
import { Filters } from "./historyfilters.js";
import { Grid } from "./historygrid.js";
import { culling } from "./cull.js";
import { deeds } from "./deeds.js";
import { h, plural, set } from "./dom.js";
import { dispatch, typing } from "./keys.js";
import { openLoupe } from "./loupe.js";
import { studio } from "./studio.js";
import { toast } from "./toast.js";

const PAGE = 100;
const ONE_BY_ONE = 60; // so many are judged one by one, which can be undone; more at once, which cannot
const OWN_MS = 1500; // what is told so soon after a deed of ours is its echo

export class CsHistory extends HTMLElement {
  connectedCallback() {
    if (this.firstChild) return;
    this.filters = new Filters();
    this.grid = new Grid({ open: (image, images) => openLoupe(image, images), more: () => this.more() });
    this.boards = new Boards({ go: (place) => this.filters.go(place), put: (ids, board) => this.put(ids, board) });
    this.bulk = new Bulk(this);
    this.count = h("span", { class: "cs-history-count", role: "status" });
    this.news = h("button", { type: "button", class: "cs-news", hidden: true, text: "New pictures", onclick: () => this.reload(true) });
    this.trashNote = h("div", { class: "cs-trash-note", hidden: true }, h("span", { text: "Thrown away, and still there. How long is set in Settings." }), this.emptier = h("button", { type: "button", class: "cs-plain", text: "Empty the trash", onclick: () => this.emptyTrash() }));
    this.nothing = h("div", { class: "cs-nothing" });
    this.end = h("div", { class: "cs-end" });
    this.append(
      this.boards.element,
      h("div", { class: "cs-history-main" },
        h("div", { class: "cs-history-head" },
          h("div", { class: "cs-history-bar" }, this.filters.text, this.filters.toggle, this.filters.sort, this.count, this.news),
          this.filters.row, this.filters.chips),
        this.trashNote, this.nothing, this.grid.element, this.end),
      this.bulk.element);
    this.stale = true; // nothing is asked for until the tab is opened
    this.own = 0;
    this.acts = this.keys();
    this.filters.addEventListener("change", () => {
      this.grid.select([]); // nothing is done to pictures that are no longer in sight
      this.reload();
    });
    this.grid.addEventListener("change", () => this.bar());
    this.addEventListener("keydown", (event) => this.key(event));
    studio.on("tab", () => this.opened());
    studio.on("find", () => this.seek());
    this.seek();
    studio.on("image", (image) => this.changed(image));
    studio.on("history", () => Date.now() - this.own > OWN_MS && this.behind());
    studio.on("found", () => ((this.stale = true), this.opened()));
    this.opened();
  }

  get shown() {
    return studio.tab === "history";
  }

  /** What another tab wants to be found; it may have asked before this one was ever opened. */
  seek() {
    const { sought } = studio;
    studio.sought = null;
    if (sought) this.filters.only(sought.text, sought.filters);
  }

  opened() {
    this.bulk.element.classList.toggle("cs-away", !this.shown);
    if (this.shown && this.stale) this.reload();
    else if (this.shown) requestAnimationFrame(() => this.grid.layout());
  }

  /** Something is new since: said where the tab is open, fetched with the next visit where it is not. */
  behind() {
    if (this.shown) this.news.hidden = false;
    else this.stale = true;
  }

  changed(image) {
    if (this.grid.places.has(image.id) && (image.trashed === null) === (this.filters.place.kind !== "trash")) this.grid.change(image);
    else if (this.grid.places.has(image.id)) this.grid.remove([image.id]);
    else if (image.state === "drawn" && Date.now() - this.own > OWN_MS) this.behind();
  }

  // Asking.

  async reload(top = false) {
    this.stale = false;
    this.news.hidden = true;
    const turn = (this.turn = (this.turn ?? 0) + 1);
    this.busy = true;
    if (top) scrollTo(0, 0);
    const query = this.filters.query;
    query.append("limit", PAGE);
    let answer;
    try {
      answer = await api.history(query);
    } catch (error) {
      if (!(error instanceof Refused) || error.status === 0) throw error;
      if (turn === this.turn) this.refused(error);
      return;
    } finally {
      if (turn === this.turn) this.busy = false;
    }
    if (turn !== this.turn) return; // something else was asked for meanwhile
    this.grid.reset();
    this.take(answer);
    this.grid.select([...this.grid.selected]);
    this.known();
  }

  refused(error) {
    this.grid.reset();
    this.count.textContent = "";
    this.nothing.replaceChildren(h("div", { class: "cs-empty" }, h("h2", { text: "This cannot be searched for" }), h("p", { text: error.message }), this.button("Clear search and filters", () => this.filters.clear())));
  }

  async more() {
    if (this.busy || !this.next || this.stale) return;
    this.busy = true;
    const turn = this.turn;
    const query = this.filters.query;
    query.append("limit", PAGE);
    query.append("after", this.next);
    try {
      const answer = await api.history(query);
      if (turn === this.turn) this.take(answer);
    } finally {
      if (turn === this.turn) this.busy = false;
    }
  }

  take({ images, next, total, total_exact: exact }) {
    this.next = next;
    this.busy = false;
    if (total !== null) Object.assign(this.grid, { total: exact ? total : null }) && Object.assign(this, { total, exact });
    this.nothing.replaceChildren(...(images.length || this.grid.images.length ? [] : [this.empty()]));
    this.grid.list.hidden = !images.length && !this.grid.images.length;
    this.grid.add(images, this.filters.dated);
    this.tell();
  }

  /** What there is to filter by, and how many pictures lie where. */
  async known() {
    const facets = await api.facets();
    this.filters.known(facets);
    await this.boards.fetch(facets);
    if (this.place?.board) this.place = this.boards.boards.find((board) => board.id === this.place.board.id) ?? this.place;
    this.tell();
  }

  tell() {
    const all = !this.filters.narrowed && this.filters.place.kind === "all" ? this.filters.facets.total : null;
    const total = all || this.total;
    const more = !all && !this.exact;
    this.count.textContent = total ? `${total.toLocaleString("en-GB")}${more ? "+" : ""} ${total === 1 ? "picture" : "pictures"}` : "";
    set(this.trashNote, { hidden: this.filters.place.kind !== "trash" || !this.grid.images.length });
    this.end.textContent = !this.next && this.grid.images.length > 30 ? "That is all" : "";
    this.bar();
  }

  bar() {
    this.bulk.show(this.grid.selected.size, this.next || this.grid.images.length > this.grid.selected.size ? Infinity : this.grid.images.length, this.filters.place.kind === "trash");
    this.toggleAttribute("data-bulk", this.grid.selected.size > 0);
  }

  button(text, run, kind = "cs-primary") {
    return h("p", {}, h("button", { type: "button", class: kind, text, onclick: run }));
  }

  empty() {
    const say = (title, words, button) => h("div", { class: "cs-empty" }, h("h2", { text: title }), h("p", { text: words }), button);
    if (this.filters.narrowed) return say("No picture matches", "Each filter narrows what is found, and every word has to occur in the prompt, a tag or a note.", this.button("Clear search and filters", () => this.filters.clear()));
    if (this.filters.place.kind === "trash") return say("The trash is empty", "Pictures that you throw away wait here, so that they can be taken back.", this.button("All pictures", () => this.boards.choose({ kind: "all" }), "cs-plain"));
    if (this.filters.place.kind === "pinned") return say("Nothing is pinned yet", "Pin a finished picture in the loupe: it is served first when somebody asks for the same, and never expires.", this.button("All pictures", () => this.boards.choose({ kind: "all" }), "cs-plain"));
    if (this.filters.place.kind === "board") return say("Nothing on this board yet", "Select pictures and choose Board, or drag one onto the board's name.", this.button("Look through all pictures", () => this.boards.choose({ kind: "all" })));
    return say("Nothing here yet", "Every picture that is drawn is kept here with its scores and settings, rejected ones too. Write a prompt to draw the first.", this.button("Write a prompt", () => { studio.show("preview"); document.querySelector("#cs-prompt")?.focus(); }));
  }

  // Doing. Each works on what is meant: the selection, or the picture that has the focus.

  /** Runs a bulk action; what it answered, or null when it was refused. */
  async bulkDo(what, ids, given) {
    this.own = Date.now();
    try {
      const told = await api.bulk(what, ids, given);
      this.own = Date.now();
      if (told.skipped.length) toast(`${told.skipped[0].why}${told.skipped.length > 1 ? ` And ${told.skipped.length - 1} more.` : ""}`, { wrong: true });
      return told;
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      toast(error.message, { wrong: true });
      return null;
    }
  }

  get pictures() {
    const ids = new Set(this.grid.meant);
    return this.grid.images.filter((image) => ids.has(image.id));
  }

  async judge(deed, what, given, change) {
    const ids = this.grid.meant;
    const { pictures } = this;
    if (pictures.length === ids.length && ids.length <= ONE_BY_ONE) {
      this.own = Date.now();
      await deed(pictures);
      return;
    }
    const told = await this.bulkDo(what, ids, given);
    if (!told) return;
    const done = new Set(ids);
    for (const image of this.grid.images) if (done.has(image.id)) this.grid.change({ ...image, ...change(image) });
    toast(`${plural(told.done, "picture")} changed`);
  }

  flag(choice) {
    return this.judge((pictures) => deeds.flag(pictures, choice), "keep", { keep: choice }, () => ({ kept_by_person: choice, verdict: choice ? "kept" : "rejected" }));
  }

  rate(stars) {
    return this.judge((pictures) => deeds.rate(pictures, stars), "rate", { rating: stars }, () => ({ rating: stars }));
  }

  async tag(tag) {
    const told = await this.bulkDo("tag", this.grid.meant, { tag });
    if (told?.done) toast(`${plural(told.done, "picture")} tagged "${tag}"`);
    if (told) this.known();
  }

  async untag(tag) {
    if (await this.bulkDo("untag", this.grid.meant, { tag })) this.known();
  }

  async put(ids, board) {
    const told = await this.bulkDo("board", ids, { board: board.id });
    if (told?.done) toast(`${plural(told.done, "picture")} on ${board.name}`);
    if (told) this.known();
  }

  async takeOff(board) {
    const ids = this.grid.meant;
    if (!(await this.bulkDo("unboard", ids, { board: board.id }))) return;
    this.grid.remove(ids);
    this.gone(ids.length);
  }

  async toFront(board) {
    const first = this.grid.images.find((image) => !this.grid.selected.has(image.id));
    if (!first) return;
    this.own = Date.now();
    await api.board(board.id, "/move", { ids: this.pictures.map((image) => image.id), before: first.id });
    this.reload(true);
  }

  async share(shared) {
    const told = await this.bulkDo("share", this.grid.meant, { shared });
    if (told?.done) toast(shared ? `${plural(told.done, "picture")} shared` : `${plural(told.done, "picture")} no longer shared`);
  }

  async trash() {
    const ids = this.grid.meant;
    if (!ids.length || this.filters.place.kind === "trash") return;
    const told = await this.bulkDo("trash", ids);
    if (!told) return;
    const skipped = new Set(told.skipped.map((one) => one.id));
    const gone = ids.filter((id) => !skipped.has(id));
    this.grid.remove(gone);
    this.gone(gone.length);
    this.offerBack(gone);
  }

  /** "12 in the trash. Undo": for a while, where the eye is. */
  offerBack(ids) {
    if (!ids.length) return;
    this.back?.remove();
    const away = () => back.remove();
    const back = h("div", { class: "cs-undo", role: "status" }, h("span", { text: `${plural(ids.length, "picture")} in the trash` }),
      h("button", { type: "button", class: "cs-link", text: "Undo", onclick: async () => { away(); if (await this.bulkDo("restore", ids)) this.reload(); } }));
    this.back = back;
    this.append(back);
    setTimeout(away, 9000);
  }

  async restore() {
    const ids = this.grid.meant;
    const told = await this.bulkDo("restore", ids);
    if (!told) return;
    this.grid.remove(ids);
    this.gone(ids.length);
    toast(`${plural(told.done, "picture")} restored`);
  }

  async deleteForGood() {
    const ids = this.grid.meant;
    const told = await this.bulkDo("delete", ids);
    if (!told) return;
    const skipped = new Set(told.skipped.map((one) => one.id));
    this.grid.remove(ids.filter((id) => !skipped.has(id)));
    this.gone(told.done);
    toast(`${plural(told.done, "picture")} deleted`);
  }

  async emptyTrash() {
    if (!this.sure) {
      this.emptier.textContent = `Really delete ${plural(this.filters.facets.trashed, "picture")}`;
      this.emptier.classList.add("cs-danger");
      this.sure = setTimeout(() => this.calm(), 5000);
      return;
    }
    this.calm();
    this.own = Date.now();
    try {
      const told = await api.emptyTrash();
      toast(`${plural(told.done, "picture")} deleted`);
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      toast(error.message, { wrong: true });
    }
    this.own = Date.now();
    this.reload();
  }

  calm() {
    clearTimeout(this.sure);
    this.sure = null;
    this.emptier.textContent = "Empty the trash";
    this.emptier.classList.remove("cs-danger");
  }

  gone(count) {
    if (this.total !== null) this.total = Math.max(0, this.total - count);
    if (!this.grid.images.length) this.reload();
    else this.known();
  }

  async selectAll() {
    this.grid.select(this.grid.images.map((image) => image.id));
    if (!this.next) return;
    const { ids, cut } = await api.historyIds(this.filters.query);
    this.grid.select(ids);
    if (cut) toast(`The first ${ids.length.toLocaleString("en-GB")} are selected: so many can be changed at once`);
  }

  clearSelection() {
    if (!this.grid.selected.size) return false;
    const inside = this.bulk.element.contains(document.activeElement);
    this.grid.select([]);
    this.grid.anchor = null;
    if (inside) this.grid.focus();
    return true;
  }

  // Keys; see keys.js. They act while the grid or its bar has the focus.

  keys() {
    const { grid } = this;
    return {
      ...culling(() => this.pictures, () => grid.go(1)),
      pick: () => this.flag(true), reject: () => this.flag(false), unflag: () => this.flag(null), star: ({ stars }) => this.rate(stars),
      left: ({ shift }) => grid.go(-1, shift), right: ({ shift }) => grid.go(1, shift),
      up: ({ shift }) => grid.leap(-1, shift), down: ({ shift }) => grid.leap(1, shift),
      first: () => grid.go(-grid.images.length), last: () => grid.go(grid.images.length),
      loupe: () => this.look(), all: () => this.selectAll(), toggle: () => grid.toggle(grid.current),
      cancel: () => this.clearSelection(), help: () => studio.say("help"),
    };
  }

  look() {
    const place = this.grid.places.get(this.grid.current);
    if (place !== undefined) openLoupe(this.grid.images[place], this.grid.images);
  }

  key(event) {
    if (typing(event.target) || event.defaultPrevented) return;
    if (event.key === "/" && !event.ctrlKey && !event.metaKey) {
      event.preventDefault();
      this.filters.text.focus();
      return;
    }
    const inGrid = this.grid.list.contains(event.target);
    if (!inGrid && !(this.bulk.element.contains(event.target) && event.key === "Escape")) return;
    const plain = !event.ctrlKey && !event.metaKey && !event.altKey;
    const own = { " ": () => this.grid.toggle(this.grid.current), Enter: () => this.look(), Delete: () => (this.filters.place.kind === "trash" ? this.bulk.element.hidden || this.bulk.delete.focus() : this.trash()) }[event.key];
    if (plain && own && !event.repeat) {
      event.preventDefault();
      own();
      return;
    }
    dispatch(event, this.acts);
  }
}
