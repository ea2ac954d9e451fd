// The pictures of the history in rows of equal height under the day they were made, however many there are: only the rows near the
// window are in the document. Selection is by id, so it holds for pictures that are not.

import { VERDICTS } from "./frame.js";
import { h, icon } from "./dom.js";
import { held, spoken } from "./scores.js";
import { showStars, starred } from "./stars.js";
import { studio } from "./studio.js";

const NEAR = 900; // pixels above and below the window that are kept drawn
const HEADING = 44;

export class Grid extends EventTarget {
  /** open(image, images): a person wants to see one large. more(): the end is near. */
  constructor({ open, more }) {
    super();
    Object.assign(this, { open, more });
    this.headings = h("div", { class: "cs-grid-days" });
    this.list = h("div", { class: "cs-grid-list", role: "listbox", "aria-multiselectable": "true", "aria-label": "Pictures" });
    this.element = h("div", { class: "cs-grid" }, this.headings, this.list);
    this.selected = new Set();
    this.reset();
    this.list.addEventListener("click", (event) => this.clicked(event));
    this.list.addEventListener("focusin", (event) => this.at(event.target.closest(".cs-tile")));
    addEventListener("scroll", () => this.soon(), { passive: true });
    new ResizeObserver(() => this.element.isConnected && this.element.clientWidth && this.element.clientWidth !== this.width && this.layout()).observe(this.element);
  }

  reset() {
    this.images = [];
    this.places = new Map(); // id -> index
    this.shown = new Map(); // id -> tile
    this.rows = [];
    this.days = [];
    this.current = null; // id of the tile that Tab reaches
    this.anchor = null;
    this.total = null;
    this.name = null;
    this.list.replaceChildren();
    this.headings.replaceChildren();
    this.drawnDays = new Map(); // text and place -> heading
    this.element.style.height = "";
  }

  /** dated: whether the order is one of days. */
  add(images, dated) {
    this.dated = dated;
    for (const image of images) {
      if (this.places.has(image.id)) continue;
      this.places.set(image.id, this.images.length);
      this.images.push(image);
    }
    this.current ??= this.images[0]?.id ?? null;
    this.layout();
  }

  remove(ids) {
    const gone = new Set(ids);
    const focused = this.list.contains(document.activeElement);
    const place = this.places.get(this.current) ?? 0;
    const left = this.images.filter((image) => !gone.has(image.id));
    for (const id of gone) this.selected.delete(id);
    if (gone.has(this.current)) this.current = (left[Math.min(place - this.images.slice(0, place).filter((image) => gone.has(image.id)).length, left.length - 1)] ?? null)?.id ?? null;
    this.images = left;
    this.places = new Map(left.map((image, i) => [image.id, i]));
    this.layout();
    if (focused) this.focus();
    this.changed();
  }

  change(image) {
    const place = this.places.get(image.id);
    if (place === undefined) return false;
    const before = this.images[place];
    // What is told to everybody does not know of one's own boards.
    this.images[place] = image.mine ? image : { ...image, boards: before.boards };
    const tile = this.shown.get(image.id);
    if (tile) this.suit(tile, this.images[place]);
    return true;
  }

  // Where everything lies.

  layout() {
    const width = this.element.clientWidth;
    if (!width) return;
    this.width = width;
    const narrow = width < 560;
    const [target, gap] = narrow ? [118, 5] : [188, 8];
    this.rows = [];
    this.days = [];
    let [top, row, sum, day, above] = [0, [], 0, null, null];
    const nameOf = this.names();
    const end = (last) => {
      if (!row.length) return;
      const full = (width - gap * (row.length - 1)) / sum;
      // What is left of the last row is not stretched over the width, but as high as the row above.
      const height = Math.round(last && full > target ? above ?? target : full);
      above = height;
      let left = 0;
      this.rows.push({ top, height, tiles: row.map((index) => {
        const image = this.images[index];
        const span = Math.min(width, Math.round((image.width / image.height) * height));
        const tile = { index, left, width: span };
        left += span + gap;
        return tile;
      }) });
      top += height + gap;
      [row, sum] = [[], 0];
    };
    this.images.forEach((image, index) => {
      const made = this.dated ? nameOf(image.created) : null;
      if (made !== day) {
        end(true);
        if (top) top += 10;
        this.days.push({ top, text: made });
        if (made !== null) top += HEADING;
        [day, above] = [made, null];
      }
      row.push(index);
      sum += image.width / image.height;
      if (sum * target + gap * (row.length - 1) >= width) end(false);
    });
    end(true);
    this.height = top;
    this.element.style.height = `${top}px`;
    this.draw();
  }

  /** Under the day they were made, or where days have only a picture or two (as a search leaves them) the month. Decided once a list. */
  names() {
    if (this.dated && this.images.length && !this.name) {
      const days = new Set(this.images.map((image) => (image.created ?? "").slice(0, 10))).size;
      this.name = days > 3 && this.images.length / days < 7 ? monthOf : dayOf;
    }
    return this.name;
  }

  soon() {
    this.waiting ??= requestAnimationFrame(() => {
      this.waiting = null;
      if (this.element.offsetParent) this.draw();
    });
  }

  /** Puts the rows near the window into the document, and takes the others out. */
  draw() {
    const offset = this.element.getBoundingClientRect().top;
    const [low, high] = [-offset - NEAR, -offset + innerHeight + NEAR];
    const wanted = new Map();
    for (let i = this.firstRow(low); i < this.rows.length && this.rows[i].top < high; i++) for (const tile of this.rows[i].tiles) wanted.set(this.images[tile.index].id, [this.rows[i], tile]);
    // The one that has the focus stays, or the keyboard would be lost by scrolling.
    if (this.current !== null && !wanted.has(this.current) && this.shown.get(this.current) === document.activeElement) wanted.set(this.current, this.find(this.current));
    for (const [id, tile] of this.shown) {
      if (wanted.has(id)) continue;
      tile.querySelector("img").removeAttribute("src"); // a picture that went by is not loaded any further
      tile.remove();
      this.shown.delete(id);
    }
    const fresh = [];
    for (const [id, [row, place]] of wanted) {
      let tile = this.shown.get(id);
      if (!tile) {
        tile = this.make(this.images[place.index]);
        this.shown.set(id, tile);
        fresh.push(tile);
      }
      // Only what changed: most tiles lie where they lay, and each write costs the browser a look at the whole.
      const lies = `top:${row.top}px;left:${place.left}px;width:${place.width}px;height:${row.height}px`;
      if (tile.lies !== lies || tile.index !== place.index) {
        Object.assign(tile, { lies, index: place.index }).style.cssText = lies;
        tile.setAttribute("aria-posinset", place.index + 1);
        tile.setAttribute("aria-setsize", this.total ?? -1);
      }
      const stop = id === this.current ? 0 : -1;
      if (tile.tabIndex !== stop) tile.tabIndex = stop;
    }
    this.list.append(...fresh);
    for (const day of this.days) {
      const near = day.text !== null && day.top > low && day.top < high;
      const key = `${day.top} ${day.text}`;
      const there = this.drawnDays.get(key);
      if (near && !there) {
        const heading = h("h2", { text: day.text });
        heading.style.top = `${day.top}px`;
        this.drawnDays.set(key, heading);
        this.headings.append(heading);
      } else if (!near && there) {
        there.remove();
        this.drawnDays.delete(key);
      }
    }
    const named = new Set(this.days.map((day) => `${day.top} ${day.text}`));
    for (const [key, heading] of this.drawnDays) if (!named.has(key)) heading.remove(), this.drawnDays.delete(key);
    if (this.images.length && high > this.height - NEAR) this.more();
  }

  firstRow(low) {
    let [from, to] = [0, this.rows.length];
    while (from < to) {
      const middle = (from + to) >> 1;
      if (this.rows[middle].top + this.rows[middle].height < low) from = middle + 1;
      else to = middle;
    }
    return from;
  }

  find(id) {
    const index = this.places.get(id);
    for (const row of this.rows) {
      const tile = row.tiles.find((one) => one.index === index);
      if (tile) return [row, tile];
    }
    return null;
  }

  make(image) {
    const tile = h("div", { class: "cs-tile", role: "option", draggable: "true" },
      h("img", { alt: "", decoding: "async", draggable: "false", src: image.thumb }),
      h("span", { class: "cs-tile-check", "aria-hidden": "true" }, icon("pass")),
      h("span", { class: "cs-stars cs-tile-stars", hidden: true }),
      h("span", { class: "cs-tile-foot" }, h("span", { class: "cs-tile-prompt" }), h("span", { class: "cs-badge" })));
    tile.querySelector("img").addEventListener("error", () => (tile.dataset.missing = ""));
    this.suit(tile, image);
    return tile;
  }

  suit(tile, image) {
    tile.image = image;
    tile.dataset.verdict = image.verdict ?? "";
    tile.setAttribute("aria-selected", String(this.selected.has(image.id)));
    tile.querySelector(".cs-tile-prompt").textContent = image.prompt;
    tile.querySelector(".cs-badge").textContent = VERDICTS[image.verdict] ?? "";
    showStars(tile.querySelector(".cs-tile-stars"), image.rating);
    const tier = studio.facts(image.tier)?.title ?? image.tier;
    const by = image.mine ? null : `by ${image.person}`;
    tile.setAttribute("aria-label", [`Picture ${image.id}`, image.prompt, tier, image.verdict, image.rating && starred(image.rating), by, ...image.tags, ...held(image).map(spoken)].filter(Boolean).join(", "));
    tile.title = `${image.prompt}\n${[tier, `job ${image.job}, frame ${image.number}`, by].filter(Boolean).join(", ")}`;
  }

  // Selection.

  changed() {
    for (const [id, tile] of this.shown) tile.setAttribute("aria-selected", String(this.selected.has(id)));
    this.element.toggleAttribute("data-selecting", this.selected.size > 0);
    this.dispatchEvent(new Event("change"));
  }

  select(ids) {
    this.selected = new Set(ids);
    this.changed();
  }

  toggle(id) {
    if (!this.selected.delete(id)) this.selected.add(id);
    this.anchor = id;
    this.changed();
  }

  /** From where the selection began to `id`, and nothing else. */
  extend(id) {
    const from = this.places.get(this.anchor ?? this.current) ?? 0;
    const to = this.places.get(id);
    this.anchor ??= this.current;
    this.select(this.images.slice(Math.min(from, to), Math.max(from, to) + 1).map((image) => image.id));
  }

  /** What an act is meant for: the selection, or the picture that has the focus. */
  get meant() {
    if (this.selected.size) return [...this.selected];
    return this.list.contains(document.activeElement) && this.current !== null ? [this.current] : [];
  }

  clicked(event) {
    const tile = event.target.closest(".cs-tile");
    if (!tile) return;
    const id = tile.image.id;
    this.at(tile);
    if (event.shiftKey) this.extend(id);
    else if (event.ctrlKey || event.metaKey || event.target.closest(".cs-tile-check") || this.selected.size) this.toggle(id);
    else this.open(tile.image, this.images);
    tile.focus({ preventScroll: true });
  }

  // Moving.

  at(tile) {
    if (!tile || tile.image.id === this.current) return;
    const before = this.shown.get(this.current);
    if (before) before.tabIndex = -1;
    this.current = tile.image.id;
    tile.tabIndex = 0;
  }

  /** Brings the current picture into sight and gives it the focus. */
  focus() {
    const found = this.current === null ? null : this.find(this.current);
    if (!found) return;
    const [row] = found;
    const top = this.element.getBoundingClientRect().top + row.top;
    const free = document.querySelector(".cs-history-head")?.getBoundingClientRect().bottom ?? 0;
    if (top < free + 8) scrollBy(0, top - free - 8);
    else if (top + row.height > innerHeight - 70) scrollBy(0, top + row.height - innerHeight + 70);
    this.draw();
    this.shown.get(this.current)?.focus({ preventScroll: true });
  }

  /** step: pictures onwards or back; extending: with Shift. False when there is nowhere to go. */
  go(step, extending = false) {
    const from = this.places.get(this.current) ?? 0;
    const to = Math.max(0, Math.min(this.images.length - 1, from + step));
    if (to === from) return false;
    if (extending) this.anchor ??= this.current;
    else this.anchor = null;
    this.current = this.images[to].id;
    if (extending) this.extend(this.current);
    this.focus();
    return true;
  }

  /** The picture above (-1) or below (1) the current one. */
  leap(sign, extending = false) {
    const found = this.find(this.current);
    if (!found) return false;
    const [row, tile] = found;
    const next = this.rows[this.rows.indexOf(row) + sign];
    if (!next) return false;
    const centre = (one) => one.left + one.width / 2;
    const nearest = [...next.tiles].sort((a, b) => Math.abs(centre(a) - centre(tile)) - Math.abs(centre(b) - centre(tile)))[0];
    return this.go(nearest.index - tile.index, extending);
  }
}

function monthOf(created) {
  return created ? new Date(created).toLocaleDateString("en-GB", { month: "long", year: "numeric" }) : "Undated";
}

function dayOf(created) {
  if (!created) return "Undated";
  const day = new Date(created);
  const days = Math.round((new Date().setHours(0, 0, 0, 0) - new Date(day).setHours(0, 0, 0, 0)) / 86_400_000);
  if (days === 0) return "Today";
  if (days === 1) return "Yesterday";
  return day.toLocaleDateString("en-GB", { weekday: "long", day: "numeric", month: "long", year: "numeric" });
}
