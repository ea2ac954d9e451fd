// Post-processing of one picture in the loupe: exact pixels, colour and file, tried before it is kept, and taken back.

import { Refused, ask, send } from "./api.js";
import { debounced, h, set } from "./dom.js";

const DEGREES = [["brightness", "Brightness"], ["contrast", "Contrast"], ["saturation", "Saturation"], ["white_balance", "Warmth"]];
const FITS = [["crop", "Crop to fill"], ["pad", "Pad"], ["resize", "Fit inside"]];
const FORMATS = [["png", "PNG"], ["jpeg", "JPEG"], ["webp", "WebP"]];
const ANCHORS = [["centre", "Centre"], ["top", "Top"], ["bottom", "Bottom"], ["left", "Left"], ["right", "Right"]];

export class Post {
  /** shown: called with the address of a picture to show instead of the original, or null. changed: when it was kept or taken back. */
  constructor({ shown, changed }) {
    Object.assign(this, { shown, changed });
    const number = (name, label, more) => this.input(name, label, h("input", { type: "number", ...more }));
    const choice = (name, label, options) => this.input(name, label, h("select", {}, ...options.map(([value, text]) => h("option", { value, text }))));
    this.inputs = {};
    this.size = h("p", { class: "cs-quiet", role: "status" });
    this.trouble = h("p", { class: "cs-error", role: "alert", hidden: true });
    const button = (kind, text, run) => h("button", { type: "button", class: kind, text, onclick: run });
    this.keep = button("cs-primary", "Process", () => this.save());
    this.undo = button("cs-plain", "As drawn", () => this.act("", { method: "DELETE" }));
    this.reset = button("cs-plain", "As the template says", () => this.act("/reset", { method: "POST" }));
    this.download = h("a", { class: "cs-plain", download: true, text: "Download processed" });
    const tryOut = debounced(() => this.preview(), 200);
    this.fields = h("div", { class: "cs-post-fields", oninput: tryOut },
      number("width", "Width", { min: 1, max: 8192, placeholder: "as drawn" }), number("height", "Height", { min: 1, max: 8192, placeholder: "as drawn" }),
      choice("fit", "Fit", FITS), choice("anchor", "Keep", ANCHORS),
      ...DEGREES.map(([name, label]) => this.input(name, label, h("input", { type: "range", min: -100, max: 100, step: 1 }))),
      choice("format", "File", FORMATS), number("quality", "Quality", { min: 1, max: 100 }),
      this.input("background", "Background", h("input", { type: "text", placeholder: "#FFFFFF or transparent", spellcheck: "false" })),
    );
    this.element = h("details", { class: "cs-post" }, h("summary", { text: "Post-processing" }), this.fields, this.size, this.trouble,
      h("div", { class: "cs-actions" }, this.keep, this.undo, this.reset, this.download));
    this.element.addEventListener("toggle", () => (this.element.open ? this.fetch() : this.leave()));
    this.turn = 0;
    this.ready(false);
  }

  /** Until it is known what the picture has, nothing can be typed that the answer would write over. */
  ready(known) {
    for (const input of Object.values(this.inputs)) input.disabled = !known;
    this.keep.disabled = !known || this.image?.mine === false;
  }

  input(name, label, input) {
    input.id = `cs-post-${name}`;
    this.inputs[name] = input;
    return h("label", { class: "cs-post-field", for: input.id }, h("span", { text: label }), input);
  }

  show(image) {
    const same = this.image?.id === image.id;
    this.image = image;
    const processed = image.processed;
    set(this.download, { href: processed ? `${processed.url}?download=1` : null, hidden: !processed });
    if (same) return;
    this.leave();
    this.ready(false);
    if (this.element.open) this.fetch();
  }

  /** Nothing that was tried stays on show. */
  leave() {
    this.turn++;
    if (this.url) URL.revokeObjectURL(this.url);
    this.url = null;
    this.shown(null);
  }

  async fetch() {
    this.ready(false);
    await this.attempt(async (now) => {
      const found = await ask(`/api/images/${this.image.id}/post`);
      if (now()) this.fill(found);
    });
  }

  fill({ post, width, height, template, own }) {
    const usual = { fit: "crop", anchor: "centre", format: "png", quality: 90, brightness: 0, contrast: 0, saturation: 0, white_balance: 0 };
    for (const [name, input] of Object.entries(this.inputs)) input.value = { ...usual, ...post }[name] ?? "";
    this.ready(true);
    this.undo.hidden = !post;
    this.reset.hidden = !(template && own);
    this.size.textContent = `${width} × ${height} pixels${post && !own ? ", as its template says" : ""}`;
    if (post) this.preview();
    else this.leave();
  }

  /** What the fields say; empty ones say nothing. */
  wanted() {
    const said = {};
    for (const [name, input] of Object.entries(this.inputs)) {
      if (input.value === "") continue;
      said[name] = input.type === "number" || input.type === "range" ? Number(input.value) : input.value.trim();
    }
    if (!(said.width && said.height)) delete said.fit; // of one side the other follows
    return said;
  }

  async preview() {
    await this.attempt(async (now) => {
      const small = await send(`/api/images/${this.image.id}/post/preview`, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(this.wanted()) }, true);
      if (!now()) return;
      if (this.url) URL.revokeObjectURL(this.url);
      this.url = URL.createObjectURL(small);
      this.shown(this.url);
      this.size.textContent = "This is a try; the original stays as it is.";
    });
  }

  async save() {
    await this.act("", { method: "POST", body: JSON.stringify(this.wanted()) });
  }

  async act(path, options) {
    await this.attempt(async (now) => {
      const image = await send(`/api/images/${this.image.id}/post${path}`, { headers: { "Content-Type": "application/json" }, body: "{}", ...options });
      this.changed(image);
      if (!now()) return;
      this.show(image);
      await this.fetch();
    });
  }

  async attempt(act) {
    const turn = ++this.turn;
    try {
      await act(() => turn === this.turn);
      if (turn === this.turn) set(this.trouble, { hidden: true });
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      set(this.trouble, { text: error.message, hidden: false });
    }
  }
}
