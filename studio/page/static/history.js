// The history: every picture, newest first, in rows of equal height under the day it was made. Thumbnails load as they come near.

import { api } from "./api.js";
import { VERDICTS, spoken } from "./frame.js";
import { h } from "./dom.js";
import { openLoupe } from "./loupe.js";
import { studio } from "./studio.js";

const PAGE = 60;

export class CsHistory extends HTMLElement {
  connectedCallback() {
    if (this.firstChild) return;
    this.days = h("div", { class: "cs-days" });
    this.end = h("div", { class: "cs-end", role: "status" });
    this.append(this.days, this.end);
    this.reset();
    this.stale = true; // nothing is asked for until the tab is opened
    this.eye = new IntersectionObserver((seen) => seen.some((one) => one.isIntersecting) && this.more(), { rootMargin: "800px" });
    this.eye.observe(this.end);
    this.addEventListener("keydown", (event) => this.key(event));
    studio.on("tab", (tab) => tab === "history" && this.opened());
    studio.on("image", (image) => this.changed(image));
    studio.on("found", () => ((this.stale = true), this.shown && this.opened()));
    if (studio.tab === "history") this.opened();
  }

  get shown() {
    return studio.tab === "history";
  }

  reset() {
    this.tiles = new Map(); // id -> element, in the order of the page
    this.next = null;
    this.all = false;
    this.day = null;
    this.days.replaceChildren();
  }

  opened() {
    if (!this.stale) return;
    this.stale = false;
    this.reset();
    this.more();
  }

  changed(image) {
    const tile = this.tiles.get(image.id);
    if (tile) this.suit(tile, image);
    else if (image.state === "drawn") this.stale = true; // new since: the next visit begins at the top
  }

  async more() {
    if (this.busy || this.all || this.stale || !this.shown) return;
    this.busy = true;
    try {
      const { images, next } = await api.images(this.next, PAGE);
      for (const image of images) this.place(image);
      this.next = next;
      this.all = next === null;
    } finally {
      this.busy = false;
    }
    this.end.textContent = this.all && this.tiles.size ? `${this.tiles.size} ${this.tiles.size === 1 ? "picture" : "pictures"}` : "";
    if (!this.tiles.size) this.days.replaceChildren(this.empty());
    // The end may still be in sight, and an observer only tells of changes.
    if (!this.all && this.end.getBoundingClientRect().top < innerHeight + 800) this.more();
  }

  place(image) {
    const day = dayOf(image.created);
    if (day !== this.day) {
      this.day = day;
      this.row = h("div", { class: "cs-day-tiles" });
      this.days.append(h("section", {}, h("h2", { text: day }), this.row));
    }
    const tile = h("button", { type: "button", class: "cs-tile", tabindex: this.tiles.size ? "-1" : "0", onclick: () => openLoupe(tile.image, [...this.tiles.values()].map((one) => one.image)) },
      h("img", { src: image.thumb, alt: "", loading: "lazy", decoding: "async", width: image.width, height: image.height }),
      h("span", { class: "cs-tile-foot" }, h("span", { class: "cs-tile-prompt" }), h("span", { class: "cs-badge" })));
    const aspect = image.width / image.height;
    tile.style.setProperty("--aspect", aspect.toFixed(4));
    this.suit(tile, image);
    this.tiles.set(image.id, tile);
    this.row.append(tile);
  }

  suit(tile, image) {
    tile.image = image;
    tile.dataset.verdict = image.verdict ?? "";
    tile.querySelector(".cs-tile-prompt").textContent = image.prompt;
    tile.querySelector(".cs-badge").textContent = VERDICTS[image.verdict] ?? "";
    const tier = studio.facts(image.tier)?.title ?? image.tier;
    tile.setAttribute("aria-label", [`Picture ${image.id}`, image.prompt, tier, image.verdict, ...image.scores.map(spoken)].filter(Boolean).join(", "));
    tile.title = `${image.prompt}\n${tier}, job ${image.job}, frame ${image.number}`;
  }

  empty() {
    return h("div", { class: "cs-empty" }, h("h2", { text: "Nothing here yet" }),
      h("p", { text: "Every picture that is drawn is kept here with its scores and settings, rejected ones too. Write a prompt to draw the first." }),
      h("p", {}, h("button", { type: "button", class: "cs-primary", text: "Write a prompt", onclick: () => { studio.show("preview"); document.querySelector("#cs-prompt")?.focus(); } })));
  }

  key(event) {
    const tile = event.target.closest(".cs-tile");
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!tile || event.ctrlKey || event.metaKey || event.altKey) return;
    const tiles = [...this.tiles.values()];
    const at = tiles.indexOf(tile);
    const next = step ? tiles[at + step] : event.key === "Home" ? tiles[0] : event.key === "End" ? tiles.at(-1) : this.vertical(tiles, tile, event.key);
    if (!next) return;
    event.preventDefault();
    tile.tabIndex = -1;
    next.tabIndex = 0;
    next.focus();
  }

  vertical(tiles, tile, key) {
    if (key !== "ArrowDown" && key !== "ArrowUp") return null;
    const here = tile.getBoundingClientRect();
    const sign = key === "ArrowDown" ? 1 : -1;
    const rest = tiles.map((one) => [one, one.getBoundingClientRect()]).filter(([, box]) => (box.top - here.top) * sign > 2);
    const edge = Math.min(...rest.map(([, box]) => (box.top - here.top) * sign));
    const row = rest.filter(([, box]) => Math.abs((box.top - here.top) * sign - edge) < 2);
    const centre = (box) => box.left + box.width / 2;
    return row.sort(([, a], [, b]) => Math.abs(centre(a) - centre(here)) - Math.abs(centre(b) - centre(here)))[0]?.[0];
  }
}

function dayOf(created) {
  if (!created) return "Undated";
  const day = new Date(created);
  const days = Math.round((new Date().setHours(0, 0, 0, 0) - new Date(day).setHours(0, 0, 0, 0)) / 86_400_000);
  if (days === 0) return "Today";
  if (days === 1) return "Yesterday";
  return day.toLocaleDateString("en-GB", { weekday: "long", day: "numeric", month: "long", year: "numeric" });
}
