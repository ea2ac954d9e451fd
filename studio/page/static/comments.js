// Comments on a picture, in the loupe: written by whoever may see it, changed by who wrote them, and taken back after deleting.

import { Refused, api } from "./api.js";
import { h, set } from "./dom.js";
import { studio } from "./studio.js";

const LIMIT = 4000;

export class CsComments extends HTMLElement {
  #image = null;
  #turn = 0;
  #drafts = new Map(); // picture -> what was begun and not sent

  constructor() {
    super();
    this.list = h("ol", { class: "cs-comment-list", "aria-label": "Comments" });
    this.text = field("Write a comment", "For whoever can see this picture", () => this.send());
    this.text.addEventListener("input", () => this.ready());
    this.button = h("button", { type: "submit", class: "cs-plain", text: "Comment" });
    this.trouble = h("p", { class: "cs-error", role: "alert", hidden: true });
    this.form = h("form", { class: "cs-comment-form", onsubmit: (event) => {
      event.preventDefault();
      this.send();
    } }, this.text, this.button);
    studio.on("comment", ({ id }) => id === this.#image && this.closest("dialog")?.open !== false && this.load());
  }

  connectedCallback() {
    if (!this.firstChild) this.append(this.list, this.form, this.trouble);
  }

  /** Shows what was said of a picture. Its `comments`, where known, tells whether there is anything to ask for. */
  show(image) {
    if (image.id === this.#image) return;
    if (this.#image !== null) this.#drafts.set(this.#image, this.text.value);
    this.#image = image.id;
    this.text.value = this.#drafts.get(image.id) ?? "";
    this.ready();
    this.say("");
    this.list.replaceChildren();
    if (image.comments !== 0) this.load();
  }

  async load() {
    await this.attempt(() => api.comments(this.#image));
  }

  async send() {
    const text = this.text.value.trim();
    if (!text || this.button.disabled) return;
    this.button.disabled = true;
    const id = this.#image;
    const sent = await this.attempt(() => api.comment(id, text));
    if (sent) {
      this.#drafts.delete(id);
      if (id === this.#image) this.text.value = "";
      this.list.lastElementChild?.scrollIntoView({ block: "nearest" });
    }
    this.ready();
  }

  ready() {
    this.button.disabled = !this.text.value.trim();
  }

  /** Does something whose answer is all comments on a picture, and shows them; whether it was done. */
  async attempt(ask) {
    const turn = ++this.#turn;
    try {
      const answer = await ask();
      if (answer.image === this.#image && turn === this.#turn) this.fill(answer.comments);
      this.say("");
      return true;
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      this.say(error.message);
      return false;
    }
  }

  /** What is being edited, and what was just deleted, stays as it is. */
  fill(comments) {
    const before = new Map([...this.list.children].map((item) => [Number(item.dataset.id), item]));
    const items = comments.map((comment) => (before.get(comment.id)?.dataset.state === "editing" ? before.get(comment.id) : this.item(comment)));
    const left = new Set(comments.map((comment) => comment.id));
    const gone = [...before].filter(([id, item]) => item.dataset.state === "deleted" && !left.has(id)).map(([, item]) => item);
    const focused = this.list.contains(document.activeElement) ? document.activeElement : null;
    this.list.replaceChildren(...[...items, ...gone].sort((one, other) => one.dataset.id - other.dataset.id));
    if (focused) (focused.isConnected ? focused : this.text).focus({ preventScroll: true });
  }

  item(comment) {
    const item = h("li", { class: "cs-comment", data: { id: comment.id } });
    const bare = (text, run) => h("button", { type: "button", class: "cs-bare", text, "aria-label": `${text} the comment of ${comment.title}, ${when(comment.created)}`, onclick: run });
    const tools = h("span", { class: "cs-comment-tools" }, comment.mine ? bare("Edit", () => this.editing(item, comment)) : null, comment.may_delete ? bare("Delete", () => this.remove(item, comment)) : null);
    const time = h("time", { datetime: comment.created, title: new Date(comment.created).toLocaleString(), text: when(comment.created) });
    item.append(
      h("div", { class: "cs-comment-head" }, h("b", { text: comment.title || comment.person }), time, comment.edited ? h("span", { text: "edited", title: new Date(comment.edited).toLocaleString() }) : null, tools),
      h("p", { text: comment.text }),
    );
    return item;
  }

  editing(item, comment) {
    item.dataset.state = "editing";
    const back = () => {
      const fresh = this.item(comment);
      item.replaceWith(fresh);
      fresh.querySelector("button")?.focus();
    };
    const save = async () => {
      const words = text.value.trim();
      if (!words) return;
      item.dataset.state = "";
      if (!(await this.attempt(() => api.editComment(comment.id, words)))) item.dataset.state = "editing";
    };
    const text = field("Edit the comment", "", save);
    text.value = comment.text;
    text.addEventListener("keydown", (event) => {
      if (event.key !== "Escape") return;
      event.preventDefault(); // or the loupe would close
      event.stopPropagation();
      back();
    });
    const form = h("form", { class: "cs-comment-form", onsubmit: (event) => {
      event.preventDefault();
      save();
    } }, text, h("button", { type: "submit", class: "cs-plain", text: "Save" }), h("button", { type: "button", class: "cs-bare", text: "Cancel", onclick: back }));
    item.replaceChildren(form);
    text.focus();
  }

  async remove(item, comment) {
    item.dataset.state = "deleted";
    const back = h("button", { type: "button", class: "cs-bare", text: "Take it back", onclick: () => {
      item.dataset.state = "";
      this.attempt(() => api.restoreComment(comment.id));
    } });
    item.replaceChildren(h("p", { class: "cs-quiet" }, "Comment deleted. ", back));
    back.focus();
    if (!(await this.attempt(() => api.deleteComment(comment.id)))) item.replaceWith(this.item(comment));
  }

  say(trouble) {
    set(this.trouble, { text: trouble, hidden: !trouble });
  }
}

function field(label, placeholder, send) {
  return h("textarea", { class: "cs-choice cs-note-input", "aria-label": label, placeholder, rows: "2", maxlength: String(LIMIT), onkeydown: (event) => {
    if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
    event.preventDefault();
    event.stopPropagation();
    send();
  } });
}

/** "now", "12 min", "3 h", then the day. */
function when(moment) {
  const date = new Date(moment);
  const minutes = (Date.now() - date) / 60000;
  if (minutes < 1) return "now";
  if (minutes < 60) return `${Math.round(minutes)} min ago`;
  if (minutes < 24 * 60) return `${Math.round(minutes / 60)} h ago`;
  return date.toLocaleDateString("en-GB", { day: "numeric", month: "short", year: date.getFullYear() === new Date().getFullYear() ? undefined : "numeric" });
}
