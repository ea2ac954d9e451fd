// Survey several: pictures side by side, as large as they fit; one after the other is taken out until the best are left.

import { culling } from "./cull.js";
import { Dialog } from "./dialog.js";
import { h, icon } from "./dom.js";
import { VERDICTS, verdictSaid } from "./frame.js";
import { openLoupe } from "./loupe.js";
import { openCompare } from "./compare.js";
import { showStars, starred } from "./stars.js";
import { studio } from "./studio.js";
import { Zoom } from "./zoom.js";

const GAP = 14;
const FOOT = 34;
const LARGEST = 3; // times a picture's own pixels: larger would judge the browser's resampling
let survey = null;

export function openSurvey(images) {
  survey ??= new Survey();
  survey.open(images);
}

class Survey extends Dialog {
  constructor() {
    const title = h("h2", { id: "cs-survey-title" });
    const zoomed = h("button", { type: "button", class: "cs-plain", text: "1:1", title: "1:1 at the same spot (Z)", onclick: () => this.zoom.toggle() });
    const close = h("button", { type: "button", class: "cs-tool cs-close", "aria-label": "Close the survey", onclick: () => this.close() }, icon("close"));
    const list = h("ul", { class: "cs-survey-tiles", "aria-labelledby": title.id });
    super("survey", { "aria-labelledby": title.id }, h("div", { class: "cs-view-head" }, title, h("span", { class: "cs-quiet cs-hint", text: "P picks, X rejects and takes out, Esc takes out, G back to the grid" }), h("span", { class: "cs-view-tools" }, zoomed, close)), list);
    Object.assign(this, { title, list });
    this.tiles = [];
    this.zoom = new Zoom();
    this.zoom.addEventListener("change", () => {
      zoomed.setAttribute("aria-pressed", String(this.zoom.on));
      this.arrange();
    });
    const cull = culling(() => [this.tile?.image], () => this.go(1));
    this.acts = {
      ...this.common(), ...cull,
      reject: (asked) => this.reject(cull, asked),
      cancel: () => this.take(this.tile),
      loupe: () => openLoupe(this.tile.image, this.images),
      compare: () => this.compare(),
      left: (asked) => this.move(asked, -1), right: (asked) => this.move(asked, 1), up: (asked) => this.move(asked, -this.columns), down: (asked) => this.move(asked, this.columns),
      first: () => this.go(-this.tiles.length), last: () => this.go(this.tiles.length),
      zoom: () => this.zoom.toggle(), closer: () => this.zoom.closer(), farther: () => this.zoom.farther(), survey: () => this.close(),
    };
    new ResizeObserver(() => this.arrange()).observe(list);
    studio.on("image", (image) => this.shown && this.changed(image));
  }

  get images() {
    return this.tiles.map((tile) => tile.image);
  }

  get tile() {
    return this.tiles.find((tile) => tile.button === document.activeElement) ?? this.tiles.find((tile) => tile.button.tabIndex === 0);
  }

  open(images) {
    this.order = images.map((image) => image.id);
    this.rejected = new Set(); // taken out by rejecting: back when that is undone
    this.tiles = images.map((image) => this.make(image));
    this.list.replaceChildren(...this.tiles.map((tile) => tile.element));
    this.show();
    this.arrange();
    this.focus(this.tiles[0]);
  }

  make(image) {
    const img = h("img", { src: image.url, alt: "", draggable: "false" });
    const button = h("button", { type: "button", class: "cs-survey-shot", tabindex: "-1", onfocus: () => this.rove(tile), ondblclick: () => openLoupe(tile.image, this.images) }, img);
    const stars = h("span", { class: "cs-stars", "aria-hidden": "true" });
    const badge = h("span", { class: "cs-badge" });
    const out = h("button", { type: "button", class: "cs-out", tabindex: "-1", "aria-label": `Take frame ${image.number} out`, title: "Take out", onclick: () => this.take(tile) }, icon("close"));
    const element = h("li", {}, button, h("div", { class: "cs-survey-foot" }, h("span", { class: "cs-number", text: `#${image.job} · ${image.number}` }), stars, badge, out));
    const tile = { image, img, button, stars, badge, element };
    this.zoom.add(button, img, image);
    this.label(tile);
    return tile;
  }

  label(tile) {
    const { image } = tile;
    tile.element.dataset.verdict = image.verdict ?? "";
    tile.badge.textContent = VERDICTS[image.verdict] ?? "";
    showStars(tile.stars, image.rating);
    tile.button.setAttribute("aria-label", `Frame ${image.number} of job ${image.job}, ${verdictSaid(image)}, ${starred(image.rating)}`);
  }

  changed(image) {
    const tile = this.tiles.find((one) => one.image.id === image.id);
    if (tile) {
      tile.image = image;
      this.label(tile);
    } else if (this.rejected.has(image.id) && image.verdict !== "rejected") {
      this.rejected.delete(image.id);
      this.restore(image);
    }
  }

  /** Back where it was in the row. */
  restore(image) {
    const place = (one) => this.order.indexOf(one.id);
    const at = this.tiles.findIndex((tile) => place(tile.image) > place(image));
    const tile = this.make(image);
    this.list.insertBefore(tile.element, at < 0 ? null : this.tiles[at].element);
    this.tiles.splice(at < 0 ? this.tiles.length : at, 0, tile);
    this.arrange();
    this.focus(tile);
  }

  reject(cull, asked) {
    const { tile } = this;
    this.rejected.add(tile.image.id);
    cull.reject({ ...asked, shift: false });
    if (this.tiles.length > 1) this.take(tile);
  }

  /** Takes a picture out of the row; nothing else happens to it. With the last one the survey is over. */
  take(tile) {
    if (this.tiles.length <= 1) {
      this.close();
      return;
    }
    const at = this.tiles.indexOf(tile);
    this.tiles.splice(at, 1);
    this.zoom.remove(tile.button);
    tile.element.remove();
    this.arrange();
    this.focus(this.tiles[Math.min(at, this.tiles.length - 1)]);
  }

  compare() {
    const [first, second] = this.tiles.length > 1 ? [this.tile, this.tiles[this.tiles.indexOf(this.tile) + 1] ?? this.tiles[0]] : [];
    if (second) openCompare(first.image, second.image, this.images);
  }

  move({ act, shift }, step) {
    if (shift && this.zoom.step(act)) return;
    this.go(step);
  }

  go(step) {
    const at = this.tiles.indexOf(this.tile);
    this.focus(this.tiles[Math.min(this.tiles.length - 1, Math.max(0, at + step))]);
  }

  focus(tile) {
    this.rove(tile);
    tile.button.focus();
  }

  rove(chosen) {
    for (const tile of this.tiles) tile.button.tabIndex = tile === chosen ? 0 : -1;
    this.title.textContent = `Survey: ${this.tiles.length} frame${this.tiles.length === 1 ? "" : "s"}`;
  }

  /** As many columns as make the pictures largest. */
  arrange() {
    const [room, tall] = [this.list.clientWidth, this.list.clientHeight];
    if (!this.tiles.length || !room) return;
    const aspects = this.images.map((image) => image.width / image.height);
    const area = (columns) => {
      const rows = Math.ceil(this.tiles.length / columns);
      const [w, t] = [(room - GAP * (columns - 1)) / columns, (tall - GAP * (rows - 1)) / rows - FOOT];
      return aspects.reduce((sum, aspect) => sum + Math.min(w, t * aspect) ** 2 / aspect, 0);
    };
    const counts = this.tiles.map((_, i) => i + 1);
    this.columns = counts.reduce((best, columns) => (area(columns) > area(best) ? columns : best));
    const rows = Math.ceil(this.tiles.length / this.columns);
    this.list.style.setProperty("--columns", this.columns);
    this.list.style.setProperty("--rows", rows);
    const [w, t] = [(room - GAP * (this.columns - 1)) / this.columns, (tall - GAP * (rows - 1)) / rows - FOOT];
    for (const { image, button } of this.tiles) {
      // At 1:1 a picture takes all the room there is.
      const scale = Math.min(w / image.width, t / image.height, LARGEST);
      button.style.width = `${Math.floor(this.zoom.on ? w : image.width * scale)}px`;
      button.style.height = `${Math.floor(this.zoom.on ? t : image.height * scale)}px`;
    }
  }

  closed() {
    this.zoom.clear();
    this.tiles = [];
    this.list.replaceChildren();
    super.closed();
  }
}
