// The sheet: the latest jobs, newest first, kept true by the event stream. Its keys act only while it has the focus.

import { api } from "./api.js";
import { Bar } from "./bar.js";
import { openCompare } from "./compare.js";
import { blank } from "./blank.js";
import { culling } from "./cull.js";
import { h, still } from "./dom.js";
import { Job } from "./job.js";
import { dispatch } from "./keys.js";
import { openLoupe } from "./loupe.js";
import { neighbour } from "./neighbour.js";
import { Selection } from "./selection.js";
import { studio } from "./studio.js";
import { openSurvey } from "./survey.js";
import { take } from "./take.js";
import { Tip } from "./tip.js";
import { toast } from "./toast.js";
import { Zoom } from "./zoom.js";

// What is older is in History: a sheet has as many jobs, and as many frames, at most (or one job, however many it has).
const SHOWN = 24;
const FRAMES = 720;
const CONFIRM_MS = 3000;
export class CsSheet extends HTMLElement {
  connectedCallback() {
    if (this.firstChild) return;
    this.jobs = new Map();
    this.selection = new Selection();
    this.zoom = new Zoom();
    this.acts = this.keys();
    this.bar = new Bar(this.acts, this.selection, this.zoom);
    this.list = h("div", { class: "cs-jobs" });
    this.voice = h("p", { class: "cs-voice", role: "status", "aria-live": "polite" });
    this.tip = new Tip(this.list);
    this.append(this.bar.element, this.list, this.voice);
    this.bar.element.hidden = true;
    this.setAttribute("role", "region");
    this.setAttribute("aria-label", "Sheet");
    this.tabIndex = -1; // a click between the frames puts the keys here too
    // Old jobs load their pictures when they come near the window.
    this.eye = new IntersectionObserver((seen) => {
      for (const { isIntersecting, target } of seen) if (isIntersecting && !target.job.loaded) target.job.load();
    }, { rootMargin: "400px" });
    new ResizeObserver(() => this.balance()).observe(this.list);
    this.addEventListener("keydown", (event) => dispatch(event, this.acts));
    this.addEventListener("focusin", (event) => this.focused(event.target.closest(".cs-frame")));
    this.listen();
    if (studio.about) this.refresh();
  }

  listen() {
    studio.on("about", () => this.jobs.size || this.refresh());
    studio.on("found", () => this.refresh());
    studio.on("submitted", (job) => this.add(job, true));
    studio.on("promoted", (job) => this.promoted(job));
    studio.on("job", (job) => this.told(job));
    studio.on("step", (step) => this.jobs.get(step.job)?.step(step));
    studio.on("preview", (preview) => this.jobs.get(preview.job)?.preview(preview));
    studio.on("image", (image) => this.jobs.get(image.job)?.image(image));
    studio.on("give up", () => this.giveUp(this.running()));
    studio.on("frame", (image) => this.go(this.jobs.get(image.job)?.frame(image.number)?.element));
  }

  /** Asks for everything again: after a reload, or when events may have been missed. */
  async refresh() {
    const { jobs } = await api.jobs();
    const shown = jobs.slice(0, within(jobs.map((job) => job.draft)));
    for (const job of [...shown].reverse()) {
      const known = this.jobs.get(job.id);
      if (!known) this.add(job);
      else if (known.loaded) known.load();
    }
    if (!this.jobs.size) this.list.replaceChildren(blank());
    this.rove();
  }

  told(job) {
    const known = this.jobs.get(job.id);
    if (known) known.update(job);
    else if (RUNS.includes(job.state) || !this.left || job.id > this.left) this.add(job);
  }

  add(job, show = false) {
    let view = this.jobs.get(job.id);
    if (!view) {
      this.list.querySelector(".cs-empty")?.remove();
      this.bar.element.hidden = false;
      view = new Job(job, {
        open: (frame, event) => this.clicked(frame, event),
        tell: (text) => this.tell(text),
        shown: (frame) => this.tip.changed(frame),
        mounted: (frame) => this.zoom.on && jobOf(frame) === this.zoomedJob && this.zoomFrame(frame),
        changed: (changed) => this.changed(changed),
      });
      this.jobs.set(job.id, view);
      const next = [...this.list.children].find((element) => element.job.id < job.id);
      this.steadily(() => {
        this.list.insertBefore(view.element, next ?? null);
        for (const element of this.list.children) element.toggleAttribute("data-latest", element === this.list.firstElementChild);
        this.balance();
      });
      this.eye.observe(view.element);
      this.trim();
    }
    if (!show) return;
    view.load();
    this.tell(`Job ${job.id} queued, ${job.draft} to draw`);
    this.rove(view.first.element);
    // Narrow windows have the form above the sheet: bring the new job into sight.
    if (view.element.getBoundingClientRect().top > innerHeight * 0.6) view.element.scrollIntoView({ block: "start", behavior: still() ? "auto" : "smooth" });
  }

  /** Runs `change`, which may put something above the frame that has the focus, and keeps that frame where it is on the screen. */
  steadily(change) {
    const frame = this.list.contains(document.activeElement) ? document.activeElement.closest(".cs-frame") : null;
    const was = frame?.getBoundingClientRect().top;
    change();
    if (frame) scrollBy({ top: frame.getBoundingClientRect().top - was, behavior: "instant" });
  }

  /** Lets go of the oldest jobs where the sheet has become too long. */
  trim() {
    const views = [...this.list.children].map((element) => element.job);
    for (const view of views.slice(within(views.map(({ frames }) => frames.length)))) {
      if (view.running || view.element.contains(document.activeElement) || view.frames.some((frame) => this.selection.has(frame))) continue;
      this.left = Math.max(this.left ?? 0, view.id);
      this.eye.unobserve(view.element);
      view.forget();
      view.element.remove();
      this.jobs.delete(view.id);
    }
  }

  /** Other frames of a job are shown than before. */
  changed(view) {
    view.balance(this.list.clientWidth);
    this.rove();
  }

  /** Rows of equal length where the width allows: eight frames in 4 + 4, not in 5 + 3. */
  balance() {
    for (const { job } of this.list.children) job?.balance(this.list.clientWidth);
  }

  /** A picture goes on to another tier: the sheet shows it, also when it was asked for in the history. */
  promoted(job) {
    if (document.documentElement.dataset.csTab !== "tier") studio.show(studio.tier);
    this.add(job, true);
    this.list.firstElementChild.job.first.shot.focus({ preventScroll: true });
    this.scrollIntoView({ block: "start" });
  }

  latestSeed() {
    const latest = this.list.firstElementChild?.job;
    return latest?.job.request.seed ?? latest?.drafts.frame(1)?.image?.seed ?? null;
  }

  /** The job being drawn, or the one that waits longest; of this person's. */
  running() {
    const open = [...this.jobs.values()].filter((view) => view.running && view.job.mine !== false);
    return open.find((view) => view.job.state === "running") ?? open.at(0) ?? null;
  }

  tell(text) {
    this.voice.textContent = text;
  }

  // Keys. One frame of the sheet is a stop of the Tab key; the arrows go from frame to frame.

  keys() {
    const move = (asked) => this.move(asked);
    return {
      ...culling(() => this.meant().map((frame) => frame.image), () => this.go(this.neighbour(this.frame.element, "right"))),
      left: move, right: move, up: move, down: move, first: move, last: move,
      toggle: () => this.frame && this.selection.toggle(this.frame),
      all: () => this.selection.set(this.frame?.element.closest(".cs-job").job.shown() ?? []),
      loupe: () => this.loupe(),
      compare: () => this.compare(),
      survey: () => this.survey(),
      zoom: () => this.zoomFrames(() => this.zoom.toggle()),
      closer: () => this.zoomFrames(() => this.zoom.closer()),
      farther: () => this.zoom.on && this.zoomFrames(() => this.zoom.farther()),
      grid: () => this.go(this.frame?.element),
      generate: () => studio.say("generate", { front: false }),
      front: () => studio.say("generate", { front: true }),
      cancel: () => this.escape(),
      take: () => take(this.meant().map((frame) => frame.image).filter((image) => image?.state === "drawn").map((image) => image.id), "zip"),
      help: () => studio.say("help"),
    };
  }

  /** The frame that has the focus, or had it last. */
  get frame() {
    const focused = document.activeElement?.closest?.("cs-sheet .cs-frame");
    return (focused ?? this.list.querySelector(".cs-shot[tabindex='0']")?.closest(".cs-frame"))?.frame ?? null;
  }

  frames() {
    return [...this.list.querySelectorAll(".cs-frame:not([data-out], [hidden])")];
  }

  all() {
    return this.frames().map((element) => element.frame);
  }

  /** The frames that a key acts on: those selected, or the one with the focus; which is also meant alone where it is not among them. */
  meant() {
    const { frame } = this;
    const selected = this.selection.among(this.all());
    if (!frame) return selected;
    const byPointer = !document.activeElement?.closest?.(".cs-frame"); // a button of the bar means what it says is selected
    return selected.length && (this.selection.has(frame) || byPointer) ? selected : [frame];
  }

  clicked(frame, event) {
    if (event.ctrlKey || event.metaKey) this.selection.toggle(frame);
    else if (event.shiftKey) this.selection.extend(frame, this.all());
    else if (frame.image?.state === "drawn") this.open(frame);
    if (!event.shiftKey) this.selection.start(frame);
  }

  open(frame) {
    const selected = this.selection.has(frame) && this.selection.size > 1 ? this.selection.among(this.all()).map((one) => one.image).filter((image) => image?.state === "drawn") : [];
    openLoupe(frame.image, selected.length ? selected : jobOf(frame).images());
  }

  loupe() {
    const { frame } = this;
    if (frame?.image?.state === "drawn") this.open(frame);
    else toast("There is no picture here yet");
  }

  /** Two that are selected; else the frame and what it was made from, where it stands alone, or its neighbour. */
  async compare() {
    const [first, second, ...more] = this.selection.among(this.all()).map((frame) => frame.image).filter((image) => image?.state === "drawn");
    if (second) {
      openCompare(first, second, [first, second, ...more]);
      return;
    }
    const image = this.frame?.image;
    const images = this.frame ? jobOf(this.frame).images() : [];
    const at = images.indexOf(image);
    if (at < 0) toast("There is no picture here yet");
    else if (images.length > 1) openCompare(image, images[at + 1] ?? images[at - 1], images);
    else if (image.parent) openCompare(await api.image(image.parent), image, [image]);
    else toast("Select two frames to compare: Ctrl and a click");
  }

  /** What is selected; else the keepers of this job, or all of it. */
  survey() {
    const drawn = (frames) => frames.map((frame) => frame.image).filter((image) => image?.state === "drawn");
    const selected = drawn(this.selection.among(this.all()));
    const here = this.frame ? drawn(jobOf(this.frame).shown()) : [];
    const kept = here.filter((image) => image.verdict === "kept");
    const images = [selected, kept, here].find((some) => some.length > 1) ?? [];
    if (images.length) openSurvey(images);
    else toast("There are no two pictures here to put side by side");
  }

  /** 1:1 on the frames of the job with the focus, all at the same spot. */
  zoomFrames(change) {
    if (!this.zoom.on) {
      this.zoomedJob = this.frame && jobOf(this.frame);
      for (const frame of this.zoomedJob?.shown() ?? []) if (frame.mounted) this.zoomFrame(frame);
    }
    change();
    if (!this.zoom.on) this.unzoom();
  }

  zoomFrame(frame) {
    if (frame.image?.state !== "drawn") return;
    frame.whole = true;
    this.zoom.add(frame.shot, frame.img, frame.image);
  }

  unzoom() {
    this.zoom.clear();
    for (const frame of this.all()) if (frame.isWhole) frame.whole = false;
  }

  /** Closes what is open on the sheet, one thing a press: 1:1, the selection, at last the job, which asks to be pressed twice. */
  escape() {
    if (document.querySelector("[popover]:popover-open")) return false; // the browser closes it
    if (this.zoom.on) {
      this.unzoom();
      return true;
    }
    if (this.selection.clear()) return true;
    const here = this.frame && document.activeElement.closest(".cs-job") ? jobOf(this.frame) : null;
    return this.giveUp(here?.running ? here : this.running());
  }

  /** Cancels a job at the second press within a moment, for Esc is pressed lightly. Whether there is one. */
  giveUp(view) {
    if (!view) return false;
    if (this.warned?.view === view && performance.now() - this.warned.at < CONFIRM_MS) {
      this.warned = null;
      view.cancel();
      toast(`Job ${view.id} cancelled`);
    } else {
      this.warned = { view, at: performance.now() };
      toast(`Press Esc again to cancel job ${view.id}`, { seconds: CONFIRM_MS / 1000 });
    }
    return true;
  }

  rove(element = null) {
    const reachable = (frame) => frame?.element.isConnected && !frame.out && !frame.element.hidden;
    const chosen = element?.frame ?? (reachable(this.stop) ? this.stop : this.frames()[0]?.frame);
    if (this.stop && this.stop !== chosen) this.stop.stop = false;
    this.stop = chosen ?? null;
    if (chosen) chosen.stop = true;
  }

  focused(frame) {
    if (frame) this.rove(frame);
  }

  move({ act, shift }) {
    if (shift && this.zoom.step(act)) return true;
    const from = this.frame?.element;
    const next = from && (this.contains(document.activeElement.closest(".cs-frame")) ? this.neighbour(from, act) : from);
    if (!next) return false;
    if (shift) {
      if (!this.selection.size) this.selection.start(from.frame);
      this.selection.extend(next.frame, this.all());
    }
    this.go(next);
    return true;
  }

  go(element) {
    if (!element) return;
    element.frame.shot.focus({ preventScroll: true });
    element.scrollIntoView({ block: "nearest" });
  }

  neighbour(element, act) {
    return neighbour(this.frames(), element, act);
  }
}

/** How many of the first jobs, of as many frames each, a sheet has room for. */
function within(counts) {
  let sum = 0;
  const at = counts.findIndex((count, i) => (sum += count) > FRAMES && i > 0);
  return Math.min(SHOWN, at < 0 ? counts.length : at);
}

const RUNS = ["queued", "running"];
const jobOf = (frame) => frame.element.closest(".cs-job").job;
