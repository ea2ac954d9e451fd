// The sheet: the latest jobs, newest first, kept true by the event stream. Its keys act only while it has the focus.

import { api } from "./api.js";
import { h } from "./dom.js";
import { Job } from "./job.js";
import { openLoupe } from "./loupe.js";
import { studio } from "./studio.js";

const SHOWN = 24; // jobs; what is older is in History
const EXAMPLES = [
  "a red mug on a wooden table",
  "a teal vase in a white studio, soft light",
  "a yellow lamp in a city at night",
  "a black teapot on a marble kitchen counter, close-up",
  "a white shoe on the beach",
  "a purple candle in the snow",
];

export class CsSheet extends HTMLElement {
  connectedCallback() {
    if (this.firstChild) return;
    this.jobs = new Map();
    this.list = h("div", { class: "cs-jobs" });
    this.voice = h("p", { class: "cs-voice", role: "status", "aria-live": "polite" });
    this.append(this.list, this.voice);
    this.setAttribute("role", "region");
    this.setAttribute("aria-label", "Sheet");
    // Old jobs load their pictures when they come near the window.
    this.eye = new IntersectionObserver((seen) => {
      for (const { isIntersecting, target } of seen) if (isIntersecting && !target.job.loaded) target.job.load();
    }, { rootMargin: "400px" });
    new ResizeObserver(() => this.balance()).observe(this.list);
    this.addEventListener("keydown", (event) => this.key(event));
    this.addEventListener("focusin", (event) => this.focused(event.target.closest(".cs-frame")));
    studio.on("about", () => this.jobs.size || this.refresh());
    studio.on("found", () => this.refresh());
    studio.on("submitted", (job) => this.add(job, true));
    studio.on("promoted", (job) => this.promoted(job));
    studio.on("job", (job) => this.told(job));
    studio.on("step", (step) => this.jobs.get(step.job)?.step(step));
    studio.on("preview", (preview) => this.jobs.get(preview.job)?.preview(preview));
    studio.on("image", (image) => this.jobs.get(image.job)?.image(image));
    if (studio.about) this.refresh();
  }

  /** Asks for everything again: after a reload, or when events may have been missed. */
  async refresh() {
    const { jobs } = await api.jobs();
    const shown = jobs.slice(0, SHOWN);
    for (const job of [...shown].reverse()) {
      const known = this.jobs.get(job.id);
      if (!known) this.add(job);
      else if (known.loaded) known.load();
    }
    if (!this.jobs.size) this.list.replaceChildren(this.empty());
    this.rove();
  }

  told(job) {
    const known = this.jobs.get(job.id);
    if (known) known.update(job);
    else this.add(job);
  }

  add(job, show = false) {
    let view = this.jobs.get(job.id);
    if (!view) {
      this.list.querySelector(".cs-empty")?.remove();
      view = new Job(job, { open: (image, images) => openLoupe(image, images), tell: (text) => this.tell(text) });
      this.jobs.set(job.id, view);
      const next = [...this.list.children].find((element) => element.job.id < job.id);
      this.list.insertBefore(view.element, next ?? null);
      this.eye.observe(view.element);
      for (const element of this.list.children) element.toggleAttribute("data-latest", element === this.list.firstElementChild);
      this.balance();
    }
    if (!show) return;
    view.load();
    this.tell(`Job ${job.id} queued, ${job.draft} to draw`);
    this.rove(view.frames[0].element);
    // Narrow windows have the form above the sheet: bring the new job into sight.
    if (view.element.getBoundingClientRect().top > innerHeight * 0.6) view.element.scrollIntoView({ block: "start", behavior: "smooth" });
  }

  /** Rows of equal length where the width allows: eight frames in 4 + 4, not in 5 + 3. */
  balance() {
    for (const { job } of this.list.children) job?.balance(this.list.clientWidth);
  }

  /** A picture goes on to another tier: the sheet shows it, also when it was asked for in the history. */
  promoted(job) {
    if (document.documentElement.dataset.csTab !== "tier") studio.show(studio.tier);
    this.add(job, true);
    this.list.firstElementChild.job.frames[0].shot.focus({ preventScroll: true });
    this.scrollIntoView({ block: "start" });
  }

  latestSeed() {
    const latest = this.list.firstElementChild?.job;
    return latest?.job.request.seed ?? latest?.frames[0]?.image?.seed ?? null;
  }

  tell(text) {
    this.voice.textContent = text;
  }

  empty() {
    const choose = (prompt) => h("li", {}, h("button", { type: "button", class: "cs-example", text: prompt, onclick: () => studio.say("example", prompt) }));
    return h("div", { class: "cs-empty" },
      h("div", { class: "cs-blank", "aria-hidden": "true" }, ...Array.from({ length: 8 }, (_, i) => h("span", { text: String(i + 1) }))),
      h("h2", { text: "Write a prompt" }),
      h("p", { text: "Every candidate is drawn, measured and shown here as a contact sheet; the best of those that pass are kept. Start with one of these:" }),
      h("ul", { class: "cs-examples" }, EXAMPLES.map(choose)),
      h("p", { class: "cs-quiet", text: "The model that ships with the studio draws twelve kinds of product in eight places. It is small and does make mistakes; it shows how the studio works, not how FLUX looks." }),
    );
  }

  // Keys. One frame of the sheet is a stop of the Tab key; the arrows go from frame to frame.

  frames() {
    return [...this.list.querySelectorAll(".cs-frame")];
  }

  rove(element = null) {
    const frames = this.frames();
    const chosen = element ?? frames.find((one) => one.frame.shot.tabIndex === 0) ?? frames[0];
    for (const one of frames) {
      one.frame.shot.tabIndex = one === chosen ? 0 : -1;
      one.frame.restore.tabIndex = one === chosen ? 0 : -1;
    }
  }

  focused(frame) {
    if (frame) this.rove(frame);
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const frame = event.target.closest(".cs-frame");
    const job = event.target.closest(".cs-job")?.job;
    if (event.key === "Escape" && job?.running) {
      event.preventDefault();
      job.cancel();
      return;
    }
    if (!frame) return;
    const next = this.neighbour(frame, event.key);
    if (!next) return;
    event.preventDefault();
    next.frame.shot.focus();
    next.scrollIntoView({ block: "nearest" });
  }

  neighbour(frame, key) {
    const frames = this.frames();
    const at = frames.indexOf(frame);
    if (key === "ArrowRight") return frames[at + 1];
    if (key === "ArrowLeft") return frames[at - 1];
    if (key === "Home") return frames[0];
    if (key === "End") return frames.at(-1);
    if (key !== "ArrowDown" && key !== "ArrowUp") return null;
    // The nearest frame of the next row, whatever the rows look like.
    const here = frame.getBoundingClientRect();
    const down = key === "ArrowDown";
    const rows = frames.filter((one) => {
      const top = one.getBoundingClientRect().top;
      return down ? top > here.top + 1 : top < here.top - 1;
    });
    const edge = (down ? Math.min : Math.max)(...rows.map((one) => one.getBoundingClientRect().top));
    const row = rows.filter((one) => Math.abs(one.getBoundingClientRect().top - edge) < 2);
    const distance = (one) => Math.abs(one.getBoundingClientRect().left - here.left);
    return row.sort((a, b) => distance(a) - distance(b))[0];
  }
}
