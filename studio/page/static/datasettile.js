// A picture of a dataset: what of it is trained, what is wrong with it, its caption; and the dialog in which its crop is chosen.

import { Dialog } from "./dialog.js";
import { h, icon, set } from "./dom.js";

const SHAPES = [["", "As the size asks"], ["own", "The picture's own"], ["1:1", "1:1"], ["4:5", "4:5"], ["2:3", "2:3"], ["3:2", "3:2"], ["16:9", "16:9"]];
const LEAST = 64;
let editor = null;

export class DatasetTile {
  constructor(owner) {
    this.owner = owner;
    this.img = h("img", { alt: "", loading: "lazy", draggable: "false" });
    this.box = h("span", { class: "cs-ds-box" });
    this.shot = h("button", { type: "button", class: "cs-ds-shot", onclick: () => (editor ??= new Editor()).open(this) }, this.img, this.box);
    this.size = h("span", { class: "cs-quiet" });
    this.text = h("textarea", { rows: 3, maxlength: 2000, placeholder: "No caption yet", onchange: () => this.save(), onkeydown: (event) => event.key === "Enter" && !event.shiftKey && (event.preventDefault(), this.next(event)) });
    this.out = h("button", { type: "button", class: "cs-tool", title: "Leave this picture out", onclick: () => owner.leaveOut(this.image.id) }, icon("close"));
    this.findings = h("ul", { class: "cs-ds-marks" });
    this.element = h("li", { class: "cs-ds-tile" }, this.shot, h("div", { class: "cs-ds-under" }, this.size, this.out), this.text, this.findings);
    this.element.tile = this;
  }

  show(image, view) {
    this.image = image;
    const [left, top, right, bottom] = image.box;
    if (this.img.getAttribute("src") !== image.thumb) this.img.src = image.thumb;
    this.shot.style.setProperty("--shape", image.width / image.height);
    set(this.shot, { "aria-label": `${image.name}: choose its crop`, title: image.name });
    for (const [name, value] of [["left", left / image.width], ["top", top / image.height], ["width", (right - left) / image.width], ["height", (bottom - top) / image.height]]) this.box.style[name] = `${100 * value}%`;
    this.size.textContent = `${image.size.join(" x ")}${image.crop ? ", cropped by hand" : ""}`;
    this.text.setAttribute("aria-label", `Caption of ${image.name}`);
    if (document.activeElement !== this.text || this.text.value === this.kept) this.text.value = image.caption;
    this.kept = image.caption;
    this.text.title = image.written === image.caption ? "" : `Trained as: ${image.written}`;
    this.text.placeholder = image.asked ? "The studio looks at it ..." : "No caption yet";
    this.text.readOnly = !view.mine;
    this.out.hidden = !view.mine;
    this.out.setAttribute("aria-label", `Leave ${image.name} out`);
    const told = image.told ? [{ level: "warn", code: "told", what: image.told, todo: "" }] : [];
    this.findings.replaceChildren(...[...image.findings, ...told].filter(({ code }) => code !== "caption").map(({ level, what, todo }) => h("li", { title: todo, data: { level } }, icon(level === "note" ? "none" : "warn"), h("span", { text: what }))));
    if (editor?.tile === this && editor.shown) editor.put(image, view);
  }

  save() {
    if (this.text.value === this.kept) return;
    this.kept = this.text.value; // leaving the field after Enter is no second change
    this.owner.caption(this.image.id, this.text.value);
  }

  /** To the next picture's caption, as one writes them one after the other. */
  next() {
    this.save();
    this.element.nextElementSibling?.querySelector("textarea")?.focus();
  }
}

/** Drag the frame over the picture, or move it by arrow keys; its corners and + - change its size. */
class Editor extends Dialog {
  constructor() {
    const title = h("h2", { id: "cs-ds-crop-title" });
    const img = h("img", { alt: "", draggable: "false" });
    const corners = ["nw", "ne", "sw", "se"].map((name) => h("span", { class: "cs-ds-corner", data: { corner: name }, "aria-hidden": "true" }));
    const box = h("div", { class: "cs-ds-box", tabindex: "0", role: "group", "aria-label": "Crop: arrow keys move it, plus and minus change its size" }, ...corners);
    const stage = h("div", { class: "cs-ds-stage" }, img, box);
    const shape = h("select", { id: "cs-ds-shape" }, ...SHAPES.map(([value, text]) => h("option", { value, text })));
    const size = h("input", { type: "range", id: "cs-ds-scale", min: 10, max: 100, step: 1 });
    const words = h("p", { class: "cs-quiet", role: "status" });
    const save = h("button", { type: "button", class: "cs-primary", text: "Crop like this", onclick: () => this.save() });
    const close = h("button", { type: "button", class: "cs-tool cs-close", "aria-label": "Close", onclick: () => this.close() }, icon("close"));
    super("ds-crop", { "aria-labelledby": title.id }, h("div", { class: "cs-view-head" }, title, close), stage,
      h("div", { class: "cs-ds-crop-foot" }, h("label", { for: shape.id, text: "Shape" }), shape, h("label", { for: size.id, text: "Size" }), size, words, save));
    Object.assign(this, { title, img, box, stage, shape, size, words, save_: save });
    shape.addEventListener("change", () => this.shaped());
    size.addEventListener("input", () => this.scaled(Number(size.value) / 100));
    box.addEventListener("keydown", (event) => this.keyed(event));
    stage.addEventListener("pointerdown", (event) => this.grabbed(event));
  }

  open(tile) {
    this.tile = tile;
    this.put(tile.image, tile.owner.view);
    this.show();
    this.box.focus();
  }

  put(image, view) {
    this.image = image;
    this.title.textContent = image.name;
    this.img.src = image.file;
    this.stage.style.setProperty("--shape", image.width / image.height);
    this.crop = [...image.box];
    this.automatic = !image.crop;
    this.shape.value = image.crop ? "own" : "";
    this.aspect = image.crop ? (image.crop[2] - image.crop[0]) / (image.crop[3] - image.crop[1]) : null;
    this.save_.disabled = this.shape.disabled = this.size.disabled = !view.mine;
    this.draw();
  }

  draw() {
    const [left, top, right, bottom] = this.crop;
    const { width, height } = this.image;
    Object.assign(this.box.style, { left: `${(100 * left) / width}%`, top: `${(100 * top) / height}%`, width: `${(100 * (right - left)) / width}%`, height: `${(100 * (bottom - top)) / height}%` });
    this.size.value = Math.round((100 * (right - left)) / this.widest());
    this.words.textContent = this.automatic ? `As the size asks: ${this.image.size.join(" x ")}` : `${right - left} x ${bottom - top} of ${width} x ${height} pixels`;
  }

  /** The width of the largest crop of the chosen shape. */
  widest() {
    const { width, height } = this.image;
    return Math.min(width, height * this.ratio());
  }

  ratio() {
    const [left, top, right, bottom] = this.crop;
    return this.aspect ?? (right - left) / (bottom - top);
  }

  shaped() {
    const { width, height } = this.image;
    this.automatic = this.shape.value === "";
    if (this.automatic) {
      this.aspect = null;
      this.crop = [0, 0, width, height];
      this.save();
      return;
    }
    const [across, down] = this.shape.value === "own" ? [width, height] : this.shape.value.split(":").map(Number);
    this.aspect = across / down;
    this.scaled(1);
  }

  /** A crop of a share of the widest, about the same middle. */
  scaled(share) {
    const [left, top, right, bottom] = this.crop;
    const ratio = this.ratio();
    this.aspect = ratio;
    const least = Math.max(LEAST, LEAST * ratio);
    const wide = Math.min(this.widest(), Math.max(least, share * this.widest()));
    this.placed((left + right) / 2, (top + bottom) / 2, wide, wide / ratio);
  }

  placed(x, y, wide, high) {
    const { width, height } = this.image;
    const [w, t] = [Math.min(width, Math.round(wide)), Math.min(height, Math.round(high))];
    const left = Math.round(Math.min(Math.max(0, x - w / 2), width - w));
    const top = Math.round(Math.min(Math.max(0, y - t / 2), height - t));
    this.crop = [left, top, left + w, top + t];
    this.automatic = false;
    if (this.shape.value === "") this.shape.value = "own";
    this.draw();
  }

  moved(dx, dy) {
    const [left, top, right, bottom] = this.crop;
    this.placed((left + right) / 2 + dx, (top + bottom) / 2 + dy, right - left, bottom - top);
  }

  keyed(event) {
    const step = (event.shiftKey ? 0.1 : 0.01) * Math.max(this.image.width, this.image.height);
    const moves = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] };
    const share = (this.crop[2] - this.crop[0]) / this.widest();
    if (moves[event.key]) this.moved(...moves[event.key]);
    else if (event.key === "+" || event.key === "-") this.scaled(Math.min(1, share * (event.key === "+" ? 1.05 : 0.95)));
    else if (event.key === "Enter") this.save();
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  grabbed(event) {
    if (event.button || this.save_.disabled) return;
    event.preventDefault();
    this.box.focus({ preventScroll: true });
    const scale = this.image.width / this.stage.clientWidth;
    const corner = event.target.dataset?.corner;
    const start = { x: event.clientX, y: event.clientY, crop: [...this.crop] };
    const move = (to) => {
      const [dx, dy] = [(to.clientX - start.x) * scale, (to.clientY - start.y) * scale];
      const [left, top, right, bottom] = start.crop;
      if (!corner) {
        this.crop = [...start.crop];
        this.moved(dx, dy);
        return;
      }
      // The corner across from the one that is pulled stays where it is.
      const ratio = this.aspect ?? (right - left) / (bottom - top);
      this.aspect = ratio;
      const [fixedX, fixedY] = [corner.includes("w") ? right : left, corner.includes("n") ? bottom : top];
      const room = Math.min(corner.includes("w") ? fixedX : this.image.width - fixedX, (corner.includes("n") ? fixedY : this.image.height - fixedY) * ratio);
      const wide = Math.min(room, Math.max(LEAST, LEAST * ratio, right - left + (corner.includes("w") ? -dx : dx)));
      this.placed(fixedX + ((corner.includes("w") ? -1 : 1) * wide) / 2, fixedY + ((corner.includes("n") ? -1 : 1) * wide) / ratio / 2, wide, wide / ratio);
    };
    const end = () => {
      window.removeEventListener("pointermove", move);
      window.removeEventListener("pointerup", end);
      window.removeEventListener("pointercancel", end);
    };
    window.addEventListener("pointermove", move);
    window.addEventListener("pointerup", end);
    window.addEventListener("pointercancel", end);
  }

  async save() {
    const crop = this.automatic ? null : this.crop;
    await this.tile.owner.crop(this.image.id, crop);
    if (crop) this.close();
  }
}
