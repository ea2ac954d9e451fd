// The loupe: one picture large on neutral grey, what was measured, how it was made, where it came from, what can be done with it.

import { api, Refused } from "./api.js";
import { openCompare } from "./compare.js";
import { culling, vary } from "./cull.js";
import { deeds } from "./deeds.js";
import { Dialog } from "./dialog.js";
import { VERDICTS, verdictSaid } from "./frame.js";
import { Measures } from "./measures.js";
import { duration, h, icon, set } from "./dom.js";
import { placeOf } from "./clouds.js";
import { CsComments } from "./comments.js";
import { exact } from "./money.js";
import { Notes } from "./notes.js";
import { Post } from "./post.js";
import { openProduction } from "./production.js";
import { pinSeed } from "./seedlibrary.js";
import { Stars, starred } from "./stars.js";
import { studio } from "./studio.js";
import { Zoom } from "./zoom.js";

let loupe = null;

/** Opens the loupe on an image; the arrow keys go through `images`. */
export function openLoupe(image, images) {
  loupe ??= new Loupe();
  loupe.open(image, images);
}

class Loupe extends Dialog {
  constructor() {
    const title = h("h2", { id: "cs-loupe-title" });
    const table = h("div", { class: "cs-table" });
    const side = h("div", { class: "cs-side", tabindex: "-1" });
    super("loupe", { "aria-labelledby": title.id }, table, side);
    Object.assign(this, { title, table });
    this.picture = h("img", { class: "cs-big", draggable: "false" });
    this.verdict = h("span", { class: "cs-badge" });
    this.stars = new Stars((stars) => deeds.rate([this.image], stars));
    this.prompt = h("p", { class: "cs-loupe-prompt" });
    this.actions = h("div", { class: "cs-actions" });
    this.trouble = h("p", { class: "cs-error", role: "alert", hidden: true });
    this.measures = new Measures({ leave: () => this.leave() });
    this.facts = h("dl", { class: "cs-parameters" });
    this.notes = new Notes();
    this.comments = new CsComments();
    this.post = new Post({ shown: (url) => this.image && set(this.picture, { src: url ?? this.image.url }), changed: (image) => this.image?.id === image.id && this.quick(image) });
    this.lineage = h("div", { class: "cs-lineage" });
    const turn = (name, step, label) => h("button", { type: "button", class: `cs-turn cs-turn-${name}`, "aria-label": label, onclick: () => this.go(step) }, icon(name));
    this.previous = turn("left", -1, "Previous picture");
    this.next = turn("right", 1, "Next picture");
    const close = h("button", { type: "button", class: "cs-tool cs-close", "aria-label": "Close the loupe", onclick: () => this.close() }, icon("close"));
    const part = (label, ...content) => h("section", {}, h("h3", { text: label }), ...content);
    this.zoom = new Zoom();
    this.zoomed = h("button", { type: "button", class: "cs-plain", text: "1:1", title: "1:1 at the same spot in every picture (Z)", onclick: () => this.zoom.toggle() });
    this.zoom.addEventListener("change", () => this.zoomed.setAttribute("aria-pressed", String(this.zoom.on)));
    // The stage lies under the buttons that turn to the next picture.
    this.stage = h("div", { class: "cs-loupe-stage", tabindex: "-1", autofocus: true }, this.picture);
    table.append(this.stage, this.previous, this.next);
    side.append(
      h("div", { class: "cs-side-head" }, title, this.verdict, this.stars.element, this.zoomed, close),
      this.prompt, this.actions, this.trouble,
      part("Scores", this.measures.element),
      part("Tags and note", this.notes.element),
      part("Comments", this.comments),
      h("section", {}, this.post.element),
      (this.family = part("Lineage", this.lineage)),
      part("Parameters", this.facts),
    );
    this.acts = {
      ...this.common(), ...culling(() => [this.image], () => this.go(1)),
      left: (asked) => this.move(asked, -1), right: (asked) => this.move(asked, 1), up: (asked) => this.move(asked, 0), down: (asked) => this.move(asked, 0),
      first: () => this.go(-this.images.length), last: () => this.go(this.images.length),
      zoom: () => this.zoom.toggle(), closer: () => this.zoom.closer(), farther: () => this.zoom.farther(),
      loupe: () => this.close(), compare: () => this.compare(),
    };
    studio.on("image", (image) => image.id === this.image?.id && this.shown && this.fetch(image.id));
  }

  open(image, images) {
    this.images = [...images];
    super.show();
    this.quick(image);
    this.fetch(image.id);
  }

  /** What is known at once; the rest (request, lineage) is asked for. */
  quick(image) {
    this.image = image;
    const place = this.images.findIndex((one) => one.id === image.id);
    if (place >= 0) this.images[place] = image; // as it is now, for whoever comes back to it
    const alt = `Frame ${image.number} of job ${image.job}, ${verdictSaid(image)}, ${starred(image.rating)}: ${image.prompt}`;
    set(this.picture, { src: image.url, width: image.width, height: image.height, alt });
    this.zoom.add(this.stage, this.picture, image);
    this.stars.show(image.rating);
    this.notes.show(image);
    this.comments.show(image);
    this.post.show(image);
    // Not beyond three times its pixels: larger would judge the browser's resampling.
    this.picture.style.maxWidth = `${image.width * 3}px`;
    this.picture.style.maxHeight = `${image.height * 3}px`;
    this.title.textContent = `#${image.job} · ${image.number}`;
    this.element.dataset.verdict = image.verdict ?? "";
    this.verdict.textContent = VERDICTS[image.verdict] ?? "";
    this.prompt.textContent = image.prompt;
    this.measures.show(image);
    this.buttons(image, null);
    const at = this.images.findIndex((one) => one.id === image.id);
    const focused = document.activeElement;
    this.previous.disabled = at <= 0;
    this.next.disabled = at < 0 || at >= this.images.length - 1;
    // A button that had the focus may be gone now, and the keys with it.
    if (this.shown && (!this.element.contains(focused) || focused.disabled)) this.stage.focus();
  }

  async fetch(id) {
    let image;
    try {
      image = await api.image(id);
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      this.say(error.message);
      return;
    }
    if (this.image.id !== id) return;
    this.quick(image);
    this.say("");
    this.buttons(image, image.request);
    this.parameters(image);
    this.family.hidden = image.lineage.length < 2;
    this.lineage.replaceChildren(...image.lineage.map((one) => this.relative(one)));
  }

  relative({ id, tier, thumb }) {
    const current = id === this.image.id;
    const title = studio.facts(tier)?.title ?? tier;
    return h("button", { type: "button", class: "cs-relative", "aria-current": current ? "true" : null, "aria-label": `${title}, picture ${id}`, onclick: () => current || this.visit(id) },
      h("img", { src: thumb, alt: "", loading: "lazy" }), h("span", { text: title }));
  }

  async visit(id) {
    this.image = { ...this.image, id };
    await this.fetch(id);
  }

  buttons(image, request) {
    const facts = request && studio.about.families.find((family) => family.name === request.family);
    const tiers = facts ? facts.tiers.slice(facts.tiers.findIndex((tier) => tier.name === image.tier) + 1) : [];
    const button = (text, run, kind = "cs-plain") => h("button", { type: "button", class: kind, text, onclick: run });
    const decide = image.verdict === "kept" ? button("Reject", () => this.keep(false)) : button(image.verdict === "rejected" || image.verdict === "review" ? "Keep anyway" : "Keep", () => this.keep(true));
    this.actions.replaceChildren(
      ...tiers.map((tier, i) => button(`To ${tier.title}`, () => this.promote(tier.name), i ? "cs-plain" : "cs-primary")),
      ...(image.verdict ? [decide] : []),
      h("a", { class: "cs-plain", href: `${image.url}?download=1`, download: true, text: "Download" }),
      ...(request ? [button("Vary", () => vary(image)), button("Reuse settings", () => this.reuse(request))] : []),
      ...(request ? [button("Use as…", () => studio.say("use picture", image.id))] : []),
      ...(image.mine ? [button(image.pinned ? "Unpin" : "Pin", () => this.pin(!image.pinned))] : []),
      button("Pin seed", () => pinSeed(image)),
      button("Copy seed", (event) => this.copy(event.currentTarget, image.seed)),
      button("Take to production…", () => openProduction({ image: image.id }, `#${image.job} · ${image.number}`)),
    );
  }

  /** Pinned pictures are offered first for a similar prompt. */
  async pin(pinned) {
    await this.attempt(async () => {
      await api.pin(this.image.id, pinned);
      await this.fetch(this.image.id);
      [...this.actions.querySelectorAll("button")].find((one) => one.textContent === (pinned ? "Unpin" : "Pin"))?.focus();
    });
  }

  parameters(image) {
    const rows = [
      ["Seed", image.seed], ["Steps", image.steps], ["Guidance", image.guidance], ["Size", `${image.width} × ${image.height}`],
      ["Tier", studio.facts(image.tier, image.request.family)?.title ?? image.tier],
      ["Model", studio.facts(image.tier, image.request.family)?.card_title ?? image.card],
      ["Drawn at", image.place === undefined ? null : placeOf(image.place)],
      ["Cost", image.cost_micro ? exact(image.cost_micro) : null],
      ["Drawn in", image.seconds === null ? null : image.seconds < 10 ? `${image.seconds.toFixed(1)} s` : duration(image.seconds)],
      ["Made", image.created ? new Date(image.created).toLocaleString() : null],
      ["Stage", image.stage === "draft" ? "draft of a ladder" : null],
      ["Round", image.round ? image.round + 1 : null],
      ["LoRAs", image.request.loras?.map(({ name, version, weight }) => `${name}${version ? `/v${version}` : ""} at ${weight}`).join(", ")],
      ["Profile", image.request.profile],
      ["Words", image.request.texts?.join(", ")],
      ["Colours", image.request.palette?.join(", ")],
      ["Negative", image.request.negative],
    ];
    const given = rows.filter(([, value]) => value !== null && value !== undefined && value !== "");
    this.facts.replaceChildren(...given.flatMap(([name, value]) => [h("dt", { text: name }), h("dd", { text: String(value) })]));
  }

  async attempt(act) {
    try {
      await act();
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      this.say(error.message);
    }
  }

  say(trouble) {
    set(this.trouble, { text: trouble, hidden: !trouble });
  }

  async keep(choice) {
    const again = this.actions.contains(document.activeElement);
    await deeds.flag([this.image], choice);
    await this.fetch(this.image.id);
    if (again) this.actions.querySelector("button")?.focus(); // the buttons were made anew
  }

  async promote(tier) {
    await this.attempt(async () => {
      const job = await api.promote(this.image.id, tier, 1);
      this.from = null; // the new job is where to look next
      this.close();
      studio.say("promoted", job);
    });
  }

  reuse(request) {
    this.from = null;
    this.close();
    studio.say("reuse", { ...request, seed: this.image.seed, seeds: undefined });
  }

  async copy(button, seed) {
    try {
      await navigator.clipboard.writeText(String(seed));
      button.textContent = "Copied";
    } catch {
      // Refused by the browser (no https on a LAN, or no permission): the number is on show instead.
      button.textContent = `Seed ${seed}`;
    }
    setTimeout(() => (button.textContent = "Copy seed"), 1800);
  }

  /** Closes for another tab, which takes the focus. */
  leave() {
    this.from = null;
    this.close();
  }

  go(step) {
    const at = this.images.findIndex((one) => one.id === this.image.id);
    const next = this.images[Math.min(this.images.length - 1, Math.max(0, at + step))];
    if (at < 0 || next.id === this.image.id) return;
    this.quick(next);
    this.fetch(next.id);
    // The one after it, so that the next key shows it at once.
    const after = this.images[this.images.indexOf(next) + Math.sign(step)];
    if (after) new Image().src = after.url;
  }

  move({ act, shift }, step) {
    if (shift && this.zoom.step(act)) return true;
    if (step) this.go(step);
    return step !== 0; // up and down scroll what stands beside the picture
  }

  /** With what it was made from; else with the next picture. */
  async compare() {
    const { image, images } = this;
    const at = images.findIndex((one) => one.id === image.id);
    if (image.parent) await this.attempt(async () => openCompare(await api.image(image.parent), image, [image]));
    else if (images.length > 1) openCompare(image, images[at + 1] ?? images[at - 1], images);
  }

  closed() {
    this.zoom.clear();
    this.picture.removeAttribute("src");
    // Back on the frame last looked at; elsewhere than on the sheet, where the focus was.
    const onSheet = this.from?.closest(".cs-frame");
    super.closed();
    if (onSheet) studio.say("frame", this.image);
  }
}
