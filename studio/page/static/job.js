// One job on the sheet: a head that says how it goes, and its frames on strips of film. A ladder has two: what is finished, large and
// first, and the drafts it was chosen from, small and quiet.

import { api, Refused } from "./api.js";
import { providerOf } from "./clouds.js";
import { deeds } from "./deeds.js";
import { debounced, duration, h, icon, plural, set } from "./dom.js";
import { JobTools } from "./jobtools.js";
import { dollars } from "./money.js";
import { Strip } from "./strip.js";
import { studio } from "./studio.js";

const RANKS = { kept: 0, spare: 1, review: 2, rejected: 3 };
const RUNS = ["queued", "running"];
const AGAIN_MS = 250; // several hints that there is more to ask for are one

export class Job {
  /** `job`: as the server lists it, without images. `open(frame, event)`: a frame was clicked; `tell(text)` speaks to a screen reader; `shown(frame)`, `mounted(frame)`: see frame.js; `changed(job)`: other frames of it are shown. */
  constructor(job, { open, tell, shown, mounted, changed }) {
    this.id = job.id;
    this.tell = tell;
    this.changed = () => changed(this);
    this.sorted = false;
    this.byId = new Map(); // id of a picture -> its frame
    this.title = h("h2", { id: `cs-job-${job.id}` }, h("span", { class: "cs-job-id", text: `#${job.id}` }), " ", h("span", { class: "cs-job-prompt", text: job.prompt, title: job.prompt }));
    // What a promoted picture came from.
    this.origin = job.parent ? h("img", { class: "cs-origin", src: `/thumb/${job.parent}.webp`, alt: `from picture ${job.parent}`, title: `Made from picture ${job.parent}` }) : null;
    this.how = h("span", { class: "cs-how" });
    this.tools = new JobTools(this);
    this.trouble = h("p", { class: "cs-error cs-trouble", role: "alert", hidden: true });
    this.outcome = h("p", { class: "cs-outcome", hidden: true });
    this.route = h("p", { class: "cs-route", hidden: true }); // where it is drawn, and why there
    this.element = h("section", { class: "cs-job", "aria-labelledby": this.title.id },
      h("div", { class: "cs-job-head" }, this.origin, this.title, this.how, this.tools.element), this.trouble, this.route, this.outcome);
    this.element.job = this;
    this.later = debounced(() => this.load(), AGAIN_MS);
    const hooks = {
      open, shown, mounted,
      keep: (image) => this.decide(image, true, "kept"),
      restore: (image) => this.decide(image, null, "restored"),
      relation: (frame) => this.relation(frame),
      stage: (frame) => this.ladder && (this.drafts.frames.has(frame.number) ? "draft" : "finished"),
    };
    this.ladder = Boolean(job.ladder);
    const strip = (stage, label) => new Strip({ stage, label: `${label} of job ${job.id}`, size: sizeOf(job), hooks, changed: this.changed, over: !RUNS.includes(job.state) });
    this.strips = this.ladder ? [strip("final", "Finished frames"), strip("draft", "Drafts")] : [strip("", "Frames")];
    this.finals = this.strips[0];
    this.drafts = this.strips.at(-1);
    this.drafts.fill(1, job.draft);
    if (this.ladder && RUNS.includes(job.state)) this.finals.reserve(job.keep);
    this.element.append(...this.strips.map((one) => one.element));
    this.update(job);
  }

  balance(width) {
    for (const strip of this.strips) strip.balance(width, this.element.hasAttribute("data-latest"));
  }

  get running() {
    return RUNS.includes(this.job.state);
  }

  /** The frame of this number, or null. */
  frame(number) {
    return this.drafts.frame(number) ?? this.finals.frame(number);
  }

  /** The first frame on the sheet. */
  get first() {
    return this.shown()[0] ?? this.drafts.frame(1);
  }

  /** Every frame there is, in no order of a sheet. */
  get frames() {
    return this.strips.flatMap((strip) => [...strip.frames.values()]);
  }

  /** Its frames in the order of the sheet, without those in the trash or not looked at. */
  shown() {
    return this.strips.flatMap((strip) => strip.shown());
  }

  /** Its drawn images in that order. */
  images() {
    return this.shown().map((frame) => frame.image).filter((image) => image?.state === "drawn");
  }

  /** Every drawn image that is not in the trash, in the order of the sheet. */
  every() {
    return this.strips.flatMap((strip) => strip.all()).filter((frame) => frame.image?.state === "drawn" && !frame.element.hidden).map((frame) => frame.image);
  }

  /** The images are asked for when the job first comes into view, and again whenever something may have been missed. */
  async load() {
    this.loaded = true;
    const turn = (this.turn = (this.turn ?? 0) + 1);
    const told = (this.told = new Set());
    const job = await api.job(this.id);
    if (turn !== this.turn) return; // asked again since: this answer is older than what is shown
    // What an event told meanwhile is newer, too.
    for (const image of job.images) if (!told.has(image.number)) this.put(image);
    for (const strip of this.strips) strip.watch();
    // What was deleted from the trash is no longer told of.
    const there = new Set(job.images.map((image) => image.number));
    if (!RUNS.includes(job.state)) for (const frame of this.frames) if (!there.has(frame.number)) frame.element.hidden = true;
    this.update(job);
    if (job.state === "done") this.sort(false);
  }

  /** Shows a picture in its frame, on the strip of its stage. */
  put(image) {
    const strip = this.ladder && image.stage === "final" ? this.finals : this.drafts;
    const count = strip.frames.size;
    const frame = strip.make(image.number);
    const judged = frame.image?.verdict;
    frame.show(image);
    this.byId.set(image.id, frame);
    if (this.ladder && strip === this.drafts) strip.divide(image, frame, this.job.prompt);
    if (!judged && image.verdict) strip.sift(frame);
    // The other end of "finished as 9" may be here already.
    const other = this.ladder && this.byId.get(strip === this.finals ? image.parent : image.finished);
    if (other?.image) other.show(other.image);
    return strip.frames.size > count;
  }

  /** What a draft was finished as, what a finished picture came from. */
  relation(frame) {
    if (!this.ladder || !frame.image) return null;
    const final = this.finals.frames.has(frame.number);
    const other = this.byId.get(final ? frame.image.parent : frame.image.finished);
    if (!other || other === frame) return null;
    return { text: final ? `from draft ${other.number}` : `finished as ${other.number}`, go: () => studio.say("frame", other.image) };
  }

  update(job) {
    const before = this.job;
    this.job = { ...this.job, ...job };
    this.element.dataset.state = job.state;
    this.tools.show(this.job, this.running);
    if (job.error) set(this.trouble, { text: [job.error.what, job.error.why, job.error.todo].filter(Boolean).join(" "), hidden: null });
    if (!this.running) this.finals.reserve(0);
    this.say();
    if (before && RUNS.includes(before.state) && !this.running) this.finish();
    // A new round, or drafts being finished: frames that are not known here.
    else if (this.loaded && this.ladder && before && stageOf(before) !== stageOf(this.job)) this.later();
  }

  async finish() {
    await this.load(); // an event may have been lost on the way; the verdicts come from the database
    if (this.job.state === "done") this.sort(true);
    this.say();
    this.tell(`Job ${this.id} ${this.job.state}: ${this.short ? this.job.outcome : this.summary()}`);
  }

  step({ numbers, step, steps, eta }) {
    for (const number of numbers) {
      const frame = this.frame(number);
      if (frame) frame.step(step, steps);
      else if (this.loaded) this.later();
    }
    this.update({ ...this.job, state: "running", step, steps, eta });
  }

  preview({ number, src }) {
    this.frame(number)?.preview(src);
  }

  image(image) {
    this.told?.add(image.number);
    const isNew = image.state === "drawn" && this.frame(image.number)?.image?.state !== "drawn";
    if (this.put(image)) {
      for (const strip of this.strips) strip.watch();
      this.changed();
    }
    if (isNew && !this.ladder) this.job.done = Math.max(this.job.done, this.drawn(this.drafts));
    this.say();
    if (isNew && this.running && this.drawn(this.drafts) < this.drafts.frames.size) this.tell(`${this.drawn(this.drafts)} of ${this.drafts.frames.size} drawn`);
  }

  drawn(strip) {
    let count = 0;
    for (const { image } of strip.frames.values()) if (image?.state === "drawn" && !image.trashed) count += 1;
    return count;
  }

  /** Keepers first, by rank; drafts of a ladder stay as they were drawn. Happens once: what a person decides later moves nothing under their hand. */
  sort(calmly) {
    if (this.sorted) return;
    this.sorted = true;
    this.finals.sort(({ image, number }) => [RANKS[image?.verdict] ?? 4, image?.rank ?? 1e6, number], calmly);
  }

  say() {
    const { state, step, steps, eta, draft, done, round, rounds } = this.job;
    const tier = studio.facts(this.job.tier, this.job.family)?.title ?? this.job.tier;
    const parts = [tier];
    if (this.job.cached) parts.push("from history");
    if (state === "queued") parts.push("queued");
    if (this.running && this.job.paused) parts.push("paused");
    if (state === "running") {
      if (round > 0) parts.push(`round ${round + 1}${rounds > round ? ` of at most ${rounds}` : ""}`);
      parts.push(step ? `step ${step}/${steps}` : "starting");
      if (!this.ladder) parts.push(...(done ? [`${done} of ${Math.max(draft, this.drafts.frames.size)} drawn`] : []));
    }
    if (this.running && !this.job.paused && eta !== null && eta !== undefined) parts.push(eta < 1 ? "nearly done" : `${duration(eta)} left`);
    if (!this.running) parts.push(...(state === "done" ? [] : [state]), ...(done ? [this.summary()] : []));
    const { where, route, cost_micro: cost, expected_micro: expected } = this.job;
    if (cost) parts.push(dollars(cost));
    else if (expected && this.running) parts.push(`about ${dollars(expected)}`);
    this.how.replaceChildren(...parts.map((part) => h("span", { text: part })));
    const words = (!this.running && this.drawnAt()) || route;
    set(this.route, { hidden: where !== "cloud allowed" || !words, text: words ?? "", title: words === route ? null : route });
    if (this.ladder) {
      this.finals.tally(this.finished());
      this.finals.element.hidden = !this.finals.frames.size && !this.finals.places.length;
      this.drafts.tally(this.running ? `${this.drawn(this.drafts)} of ${this.drafts.frames.size} drawn` : this.drafted());
    } else this.drafts.tally("");
    this.admit();
  }

  /** Where its pictures were drawn, once they are known: "4 at Together, 2 on this machine". */
  drawnAt() {
    const counts = new Map();
    for (const { image } of this.frames) if (image?.state === "drawn" && image.place !== undefined) counts.set(providerOf(image.place), (counts.get(providerOf(image.place)) ?? 0) + 1);
    const said = [...counts].sort(([one], [other]) => (one ? 0 : 1) - (other ? 0 : 1)).map(([name, count]) => `${count} ${name ? `at ${name}` : "on this machine"}`);
    return said.length ? `Drawn ${said.join(", ")}.` : "";
  }

  /** Whether fewer passed than were asked for, when it ended: what is deleted later changes nothing of that. */
  get short() {
    const { outcome, state, keep } = this.job;
    return Boolean(outcome) && state === "done" && !outcome.startsWith(`${keep} of ${keep} `);
  }

  /** Says so honestly. */
  admit() {
    const { outcome } = this.job;
    this.outcome.hidden = !this.short;
    if (this.short && this.outcome.dataset.said !== outcome) {
      this.outcome.dataset.said = outcome;
      const { seed, seeds, ...rest } = this.job.request;
      this.outcome.replaceChildren(icon("warn"), h("span", { text: `${outcome[0].toUpperCase()}${outcome.slice(1)}` }),
        h("button", { type: "button", class: "cs-plain", text: "Draw more", title: "The same, from new seeds", onclick: () => this.tools.draw(rest) }));
    }
  }

  /** How the finished ones stand: "the best drafts come here", "1 of 4 drawn", "3 kept, 1 rejected". */
  finished() {
    if (!this.running) return this.counted(this.finals);
    if (!this.finals.frames.size) return "the best drafts come here";
    return `${this.drawn(this.finals)} of ${this.finals.frames.size + this.finals.places.length} drawn`;
  }

  /** What became of the drafts: "24 drawn, 3 finished, 19 rejected". */
  drafted() {
    let [finished, rejected] = [0, 0];
    for (const { image } of this.drafts.frames.values()) {
      if (image?.finished) finished += 1;
      else if (image?.verdict === "rejected") rejected += 1;
    }
    const drawn = this.loaded ? this.drawn(this.drafts) : this.job.funnel?.drafted ?? this.drafts.frames.size;
    return [`${drawn} drawn`, finished && `${finished} finished`, rejected && `${rejected} rejected`].filter(Boolean).join(", ");
  }

  /** "2 kept, 4 spare, 2 rejected" of a strip; "" before anything is judged. */
  counted(strip) {
    const counts = {};
    for (const { image, element } of strip.frames.values()) if (image?.verdict && !element.hidden) counts[image.verdict] = (counts[image.verdict] ?? 0) + 1;
    return Object.keys(RANKS).filter((verdict) => counts[verdict]).map((verdict) => `${counts[verdict]} ${verdict === "review" ? "to review" : verdict}`).join(", ");
  }

  /** What came of it. */
  summary() {
    if (this.ladder && this.finals.frames.size) return `${this.counted(this.finals) || plural(this.drawn(this.finals), "picture")} of ${plural(this.drafts.frames.size, "draft")}`;
    return this.counted(this.drafts) || `${plural(this.job.done, "picture")} drawn`;
  }

  async cancel() {
    await this.attempt(async () => this.update(await api.cancel(this.id)));
  }

  async decide(image, choice, said) {
    await deeds.flag([image], choice);
    this.tell(`Frame ${image.number} ${said}`);
    this.frame(image.number).shot.focus({ preventScroll: true });
  }

  async attempt(act) {
    try {
      await act();
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      set(this.trouble, { text: error.message, hidden: null });
    }
  }

  /** It leaves the sheet. */
  forget() {
    for (const strip of this.strips) strip.forget();
  }
}

/** What tells that frames may have been added. */
const stageOf = ({ round, funnel }) => `${round ?? 0} ${funnel?.drafted ?? 0} ${funnel?.finished ?? 0}`;

function sizeOf(job) {
  const size = studio.facts(job.tier, job.family)?.sizes.find((one) => one.name === job.request.size);
  return size ? [size.width, size.height] : [1, 1];
}
