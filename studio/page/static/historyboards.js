// Where to look: everything, the trash, or one of the boards; and what is done to boards themselves.

import { Refused, api } from "./api.js";
import { h, icon, set } from "./dom.js";
import { menuAt } from "./menus.js";
import { toast } from "./toast.js";

const PICTURE = "application/x-contact-sheet-picture"; // what a tile carries when it is dragged; see drop.js

export class Boards extends EventTarget {
  /** go(place): see Filters.go. put(ids, board): puts pictures on a board. */
  constructor({ go, put }) {
    super();
    Object.assign(this, { go, put });
    this.boards = [];
    this.place = { kind: "all" };
    this.list = h("ul", { class: "cs-places" });
    this.element = h("nav", { class: "cs-boards", "aria-label": "Boards" }, this.list);
    this.show({ total: null, trashed: 0 });
  }

  async fetch(facets) {
    const { boards } = await api.boards();
    this.boards = boards;
    this.show(facets);
    this.dispatchEvent(new Event("change"));
  }

  get mine() {
    return this.boards.filter((board) => board.mine);
  }

  show(facets = this.facets) {
    this.facets = facets;
    const focused = this.list.contains(document.activeElement) ? document.activeElement.dataset.place : null;
    this.list.replaceChildren(
      this.entry({ kind: "all" }, "All pictures", facets.total),
      ...this.boards.map((board) => this.entry({ kind: "board", board }, board.name, board.pictures)),
      h("li", { class: "cs-place-new" }, h("button", { type: "button", class: "cs-place", onclick: () => this.ask() }, h("span", { class: "cs-place-name", text: "New board" }))),
      this.entry({ kind: "pinned" }, "Pinned", facets.pinned),
      this.entry({ kind: "trash" }, "Trash", facets.trashed),
    );
    if (focused) this.list.querySelector(`[data-place="${CSS.escape(focused)}"]`)?.focus();
  }

  entry(place, name, count) {
    const key = place.board ? `board ${place.board.id}` : place.kind;
    const here = this.place.kind === place.kind && this.place.board?.id === place.board?.id;
    const said = count === null || count === undefined ? "" : count.toLocaleString("en-GB");
    const button = h("button", { type: "button", class: "cs-place", data: { place: key }, "aria-current": here ? "true" : null, title: place.board && !place.board.mine ? `Shared by ${place.board.person}` : null, onclick: () => this.choose(place) },
      place.board ? h("span", { class: "cs-cover", "aria-hidden": "true" }, place.board.cover && h("img", { src: place.board.cover, alt: "", loading: "lazy" })) : null,
      h("span", { class: "cs-place-name", text: name }), h("span", { class: "cs-place-count", text: said }));
    const item = h("li", {}, button);
    if (!place.board?.mine) return item;
    item.append(h("button", { type: "button", class: "cs-place-more", "aria-label": `More for the board ${name}`, title: "Rename, move, delete", onclick: (event) => this.menu(event.currentTarget, place.board) }, icon("more")));
    // A picture dragged here is put on the board.
    item.addEventListener("dragover", (event) => event.dataTransfer.types.includes(PICTURE) && (event.preventDefault(), event.stopPropagation(), item.toggleAttribute("data-over", true)));
    item.addEventListener("dragleave", () => item.removeAttribute("data-over"));
    item.addEventListener("drop", (event) => {
      event.preventDefault();
      event.stopPropagation();
      item.removeAttribute("data-over");
      this.put([Number(event.dataTransfer.getData(PICTURE))], place.board);
    });
    return item;
  }

  choose(place) {
    this.place = place;
    this.show();
    this.go(place);
  }

  menu(button, board) {
    const ids = this.mine.map((one) => one.id);
    const at = ids.indexOf(board.id);
    const moved = (to) => {
      const order = ids.filter((id) => id !== board.id);
      order.splice(to, 0, board.id);
      return this.attempt(async () => void ({ boards: this.boards } = await api.orderBoards(order)));
    };
    menuAt(button, [
      ["Rename", "", () => this.ask(board)],
      ...(at > 0 ? [["Move up", "", () => moved(at - 1)]] : []),
      ...(at < ids.length - 1 ? [["Move down", "", () => moved(at + 1)]] : []),
      ["Delete the board", "its pictures stay in the history", () => this.attempt(async () => {
        ({ boards: this.boards } = await api.board(board.id, "/delete", {}));
        if (this.place.board?.id === board.id) this.choose({ kind: "all" });
        toast(`The board ${board.name} is gone; its pictures are not.`);
      })],
    ]);
  }

  /** Asks for a name, in place. `then` is called with the board that was made or renamed. */
  ask(board = null, then = null) {
    const old = this.list.querySelector(board ? `[data-place="board ${board.id}"]` : ".cs-place-new .cs-place");
    const error = h("span", { class: "cs-error", id: "cs-board-error", role: "alert", hidden: true });
    const input = h("input", { class: "cs-choice cs-board-name", type: "text", maxlength: "80", value: board?.name ?? "", "aria-label": board ? `New name of the board ${board.name}` : "Name of the new board", "aria-describedby": error.id, placeholder: "Name" });
    const form = h("form", { class: "cs-board-form", onsubmit: (event) => (event.preventDefault(), save()) }, input, h("button", { type: "submit", class: "cs-plain", text: board ? "Rename" : "Make" }), error);
    const stop = () => (form.isConnected ? this.show() : null);
    const save = async () => {
      try {
        const made = board ? await api.board(board.id, "", { name: input.value }) : await api.newBoard(input.value);
        this.boards = board ? this.boards.map((one) => (one.id === made.id ? made : one)) : [...this.mine, made, ...this.boards.filter((one) => !one.mine)];
        this.show();
        this.list.querySelector(`[data-place="board ${made.id}"]`)?.focus();
        this.dispatchEvent(new Event("change"));
        then?.(made);
      } catch (refused) {
        if (!(refused instanceof Refused)) throw refused;
        set(error, { text: refused.message, hidden: false });
        input.setAttribute("aria-invalid", "true");
        input.focus();
      }
    };
    form.addEventListener("keydown", (event) => event.key === "Escape" && (event.stopPropagation(), stop()));
    form.addEventListener("focusout", (event) => form.contains(event.relatedTarget) || input.value.trim() || stop());
    old.closest("li").replaceChildren(form);
    form.scrollIntoView({ block: "nearest", inline: "nearest" });
    input.focus();
    input.select();
  }

  async attempt(act) {
    try {
      await act();
      this.show();
      this.dispatchEvent(new Event("change"));
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      toast(error.message, { wrong: true });
    }
  }
}
