// One job on the sheet: a head that says how it goes, and its frames on strips of film.

import { api, Refused } from "./api.js";
import { deeds } from "./deeds.js";
import { duration, h, plural, reorder, set } from "./dom.js";
import { Frame } from "./frame.js";
import { JobTools } from "./jobtools.js";
import { studio } from "./studio.js";

const RANKS = { kept: 0, spare: 1, review: 2, rejected: 3 };
const RUNS = ["queued", "running"];
// What a frame of the latest job and of an older one takes of the sheet, as the side of a square (px); many frames are smaller.
const SIDES = [[12, 250], [48, 180], [240, 130]];
const OLDER = 165;
const LARGEST = 420;
const LEAST = 148; // pixels wide: number, verdict and reason still fit

export class Job {
  /** `job`: as the server lists it, without images. `open(frame, event)`: a frame was clicked; `tell(text)` speaks to a screen reader. */
  constructor(job, { open, tell }) {
    this.id = job.id;
    this.tell = tell;
    this.sorted = false;
    this.waiting = new Map(); // what was told of frames before they were here
    this.title = h("h2", { id: `cs-job-${job.id}` }, h("span", { class: "cs-job-id", text: `#${job.id}` }), " ", h("span", { class: "cs-job-prompt", text: job.prompt, title: job.prompt }));
    // What a promoted picture came from.
    this.origin = job.parent ? h("img", { class: "cs-origin", src: `/thumb/${job.parent}.webp`, alt: `from picture ${job.parent}`, title: `Made from picture ${job.parent}` }) : null;
    this.how = h("span", { class: "cs-how" });
    this.tools = new JobTools(this);
    this.trouble = h("p", { class: "cs-error cs-trouble", role: "alert", hidden: true });
    this.list = h("ol", { class: "cs-frames", "aria-label": `Frames of job ${job.id}` });
    this.element = h("section", { class: "cs-job", "aria-labelledby": this.title.id },
      h("div", { class: "cs-job-head" }, this.origin, this.title, this.how, this.tools.element), this.trouble, this.list);
    this.element.job = this;
    const [width, height] = sizeOf(job);
    this.aspect = width / height;
    this.frames = Array.from({ length: job.draft }, (_, i) => new Frame(i + 1, width, height, {
      open,
      keep: (image) => this.keep(image),
    }));
    this.list.append(...this.frames.map((frame) => frame.element));
    this.update(job);
  }

  /** Chooses the columns for a sheet `width` pixels wide. A sheet of few frames shows them large, but not larger than they are good for. */
  balance(width) {
    if (!width) return;
    const latest = this.element.hasAttribute("data-latest");
    const { draft } = this.job;
    const [, large] = SIDES.find(([most]) => draft <= most);
    // Frames of every shape take the same area: a banner is wide and low, a 9:16 narrow and high.
    const of = (side) => Math.max(LEAST, side * Math.sqrt(this.aspect));
    const most = Math.max(width < 400 && this.aspect > 1.6 ? 1 : 2, Math.floor(width / of(latest ? large : Math.min(large, OLDER))));
    const rows = Math.ceil(draft / most);
    this.list.style.setProperty("--columns", Math.ceil(draft / rows));
    this.list.style.setProperty("--most", `${Math.round(of(latest ? LARGEST : OLDER * 1.3))}px`);
  }

  get running() {
    return RUNS.includes(this.job.state);
  }

  /** Its frames in the order of the sheet, without those in the trash. */
  shown() {
    return [...this.list.children].filter((element) => !element.hidden).map((element) => element.frame);
  }

  /** Its drawn images in that order. */
  images() {
    return this.shown().map((frame) => frame.image).filter((image) => image?.state === "drawn");
  }

  /** The images are asked for when the job first comes into view, and again whenever something may have been missed. */
  async load() {
    this.loaded = true;
    const turn = (this.turn = (this.turn ?? 0) + 1);
    const told = (this.told = new Set());
    const job = await api.job(this.id);
    if (turn !== this.turn) return; // asked again since: this answer is older than what is shown
    // What an event told meanwhile is newer, too.
    for (const image of job.images) if (!told.has(image.number)) this.frames[image.number - 1]?.show(image);
    this.update(job);
    // What was deleted from the trash is no longer told of.
    const there = new Set(job.images.map((image) => image.number));
    if (!this.running) for (const frame of this.frames) if (!there.has(frame.number)) frame.element.hidden = true;
    this.say();
    if (job.state === "done") this.sort(false);
  }

  update(job) {
    const before = this.job?.state;
    this.job = { ...this.job, ...job };
    this.element.dataset.state = job.state;
    this.tools.show(this.job, this.running);
    if (job.error) set(this.trouble, { text: [job.error.what, job.error.why, job.error.todo].filter(Boolean).join(" "), hidden: null });
    this.say();
    if (before && RUNS.includes(before) && !this.running) this.finish();
  }

  async finish() {
    await this.load(); // an event may have been lost on the way; the verdicts come from the database
    if (this.job.state === "done") this.sort(true);
    this.say();
    this.tell(`Job ${this.id} ${this.job.state}: ${this.summary()}`);
  }

  step({ numbers, step, steps, eta }) {
    for (const number of numbers) this.frames[number - 1]?.step(step, steps);
    this.update({ ...this.job, state: "running", step, steps, eta });
  }

  preview({ number, src }) {
    this.frames[number - 1]?.preview(src);
  }

  image(image) {
    const frame = this.frames[image.number - 1];
    if (!frame) return;
    this.told?.add(image.number);
    const isNew = image.state === "drawn" && frame.image?.state !== "drawn";
    frame.show(image);
    if (!isNew) {
      this.say();
      return;
    }
    const done = this.images().length;
    this.job.done = Math.max(this.job.done, done);
    this.say();
    if (this.running && done < this.job.draft) this.tell(`${done} of ${this.job.draft} drawn`);
  }

  /** Keepers first, by rank. Happens once: what a person decides later moves nothing under their hand. */
  sort(calmly) {
    if (this.sorted) return;
    this.sorted = true;
    const key = ({ image, number }) => [RANKS[image?.verdict] ?? 4, image?.rank ?? 1e6, number];
    const order = [...this.frames].sort((a, b) => compare(key(a), key(b))).map((frame) => frame.element);
    reorder(this.list, order, calmly);
  }

  say() {
    const { state, step, steps, eta, done, draft } = this.job;
    const tier = studio.facts(this.job.tier, this.job.family)?.title ?? this.job.tier;
    const parts = [tier];
    if (this.job.cached) parts.push("from history");
    if (state === "queued") parts.push("queued");
    if (this.running && this.job.paused) parts.push("paused");
    if (state === "running") {
      parts.push(step ? `step ${step}/${steps}` : "starting", ...(done ? [`${done} of ${draft} drawn`] : []));
    }
    if (this.running && !this.job.paused && eta !== null && eta !== undefined) parts.push(eta < 1 ? "nearly done" : `${duration(eta)} left`);
    if (!this.running) parts.push(...(state === "done" ? [] : [state]), ...(done ? [this.summary()] : []));
    this.how.replaceChildren(...parts.map((part) => h("span", { text: part })));
  }

  /** "2 kept, 4 spare, 2 rejected" */
  summary() {
    const counts = {};
    for (const { image } of this.shown()) if (image?.verdict) counts[image.verdict] = (counts[image.verdict] ?? 0) + 1;
    const said = Object.keys(RANKS).filter((verdict) => counts[verdict]).map((verdict) => `${counts[verdict]} ${verdict === "review" ? "to review" : verdict}`);
    return said.join(", ") || `${plural(this.job.done, "picture")} drawn`;
  }

  async cancel() {
    await this.attempt(async () => this.update(await api.cancel(this.id)));
  }

  async keep(image) {
    await deeds.flag([image], true);
    this.tell(`Frame ${image.number} kept`);
    this.frames[image.number - 1].shot.focus({ preventScroll: true });
  }

  async attempt(act) {
    try {
      await act();
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      set(this.trouble, { text: error.message, hidden: null });
    }
  }
}

function sizeOf(job) {
  const size = studio.facts(job.tier, job.family)?.sizes.find((one) => one.name === job.request.size);
  return size ? [size.width, size.height] : [1, 1];
}

function compare(a, b) {
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return a[i] - b[i];
  return 0;
}
