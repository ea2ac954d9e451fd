// What all areas share: the studio's facts, the chosen family and tier, and what the studio tells as it happens.
//
// `studio` speaks: "job" "step" "preview" "image" "device" "download" "models" (data as the server sent it), "lost" and "found" (the connection; after
// "found" everything has to be asked for again, for what was told meanwhile is gone), "about" (facts arrived), "choice" (family or
// tier changed), "tab" (a tab was chosen), "reuse" (a request whose settings the form shall take).

import { Refused, api } from "./api.js";

const RETRY_MS = 1500;
const TOLD = ["job", "step", "preview", "image", "device", "download", "models", "history", "batch", "comment", "profiles", "templates", "brands", "scorers", "experiment", "wildcards", "dataset", "captioners", "loras", "training", "evaluation", "cloud"];

class Studio extends EventTarget {
  about = null;
  family = null;
  tier = "preview";
  tab = "preview";
  connected = true;
  #source = null;
  #again = null;

  on(name, run) {
    this.addEventListener(name, (event) => run(event.detail));
  }

  say(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }

  async start() {
    window.addEventListener("cs-tab", (event) => this.#choseTab(event.detail));
    // A quick hand may choose before this script, or Gradio's own, has come to life.
    document.addEventListener("click", (event) => this.#choseTabOf(event.target.closest?.('#cs-tabs [role="tab"]')));
    // Whoever asked while the studio was away need not know: the head says so, and on "found" everything is asked for again.
    window.addEventListener("unhandledrejection", (event) => {
      if (!(event.reason instanceof Refused) || event.reason.status !== 0) return;
      event.preventDefault();
      this.#lose();
    });
    this.#listen();
    await this.refresh();
    if (window.csTab) this.#choseTab(window.csTab);
    else this.#choseTabOf(document.querySelector('#cs-tabs [role="tab"][aria-selected="true"]'));
  }

  async refresh() {
    this.about = await api.studio();
    this.family ??= this.about.family;
    this.say("about", this.about);
    this.say("device", this.about);
  }

  /** The facts of the chosen tier, or of another of the same family. */
  facts(tier = this.tier, family = this.family) {
    return this.about?.families.find((one) => one.name === family)?.tiers.find((one) => one.name === tier) ?? null;
  }

  choose({ family = this.family, tier = this.tier }) {
    if (family === this.family && tier === this.tier) return;
    Object.assign(this, { family, tier });
    this.say("choice");
  }

  /** Chooses a tab as a click would. */
  show(tab) {
    document.querySelector(`#cs-tabs #cs-tab-${tab}-button`)?.click();
    this.#choseTab(tab); // Gradio tells a moment later; whoever calls wants to put the focus there now
  }

  #choseTabOf(button) {
    const name = button?.id.match(/^cs-tab-(.+)-button$/)?.[1];
    if (name) this.#choseTab(name);
  }

  #choseTab(tab) {
    if (tab === this.tab) return;
    this.tab = tab;
    document.documentElement.dataset.csTab = this.facts(tab) || ["preview", "standard", "premium"].includes(tab) ? "tier" : tab;
    if (document.documentElement.dataset.csTab === "tier") this.choose({ tier: tab });
    this.say("tab", tab);
  }

  #listen() {
    const source = new EventSource("/api/events");
    this.#source = source;
    for (const name of TOLD) source.addEventListener(name, (event) => this.say(name, JSON.parse(event.data)));
    source.addEventListener("open", () => this.connected || this.#find());
    source.addEventListener("error", () => {
      this.#lose();
      // The browser tries again by itself unless it was answered with something else than a stream.
      if (source.readyState === EventSource.CLOSED) setTimeout(() => this.#listen(), RETRY_MS);
    });
  }

  #lose() {
    if (this.connected) this.say("lost");
    this.connected = false;
    clearTimeout(this.#again);
    this.#again = setTimeout(() => this.#find(), RETRY_MS);
  }

  async #find() {
    clearTimeout(this.#again);
    if (this.#source.readyState !== EventSource.OPEN) {
      this.#lose();
      return;
    }
    await this.refresh(); // when this fails, the connection is lost again
    if (this.connected) return;
    this.connected = true;
    this.say("found");
  }
}

export const studio = new Studio();
