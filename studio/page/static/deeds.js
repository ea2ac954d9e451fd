// What a person decides about pictures, and how it is taken back: pick, reject, unflag, stars, on to the next tier.
//
// Deeds run one after the other, so that quick keys arrive in the order they were pressed. The server is the truth: a deed remembers
// what each picture was before, and taking it back sets just that.

import { api, Refused } from "./api.js";
import { plural } from "./dom.js";
import { studio } from "./studio.js";
import { toast } from "./toast.js";

const REMEMBERED = 200;
const FLAGS = new Map([[true, "picked"], [false, "rejected"], [null, "unflagged"]]);

class Deeds extends EventTarget {
  #done = [];
  #undone = [];
  #turn = Promise.resolve();
  #now = new Map(); // id -> the picture as a deed of ours left it, until the server tells of it again

  constructor() {
    super();
    studio.on("image", (image) => this.#now.has(image.id) && this.#now.set(image.id, image));
  }

  get undoable() {
    return this.#done.length > 0;
  }

  get redoable() {
    return this.#undone.length > 0;
  }

  /** Flags pictures: true picks, false rejects, null leaves them to what was measured. */
  flag(images, choice) {
    return this.#do({ words: `${named(images)} ${FLAGS.get(choice)}`, changes: this.#changes(images, "kept_by_person", choice), set: (change, value) => this.#tell(api.keep(change.image.id, value)) });
  }

  /** Gives pictures 0 to 5 stars. */
  rate(images, stars) {
    const said = stars ? plural(stars, "star") : "no stars";
    return this.#do({ words: `${said} for ${named(images)}`, changes: this.#changes(images, "rating", stars), set: (change, value) => this.#tell(api.rate(change.image.id, value)) });
  }

  /** Queues each picture for its next tier, `tierOf(image)`. Taking it back cancels what is still waiting. */
  raise(images, tierOf) {
    const changes = () => images.map((image) => ({ image, before: null, after: tierOf(image) }));
    const set = async (change, tier) => {
      const job = tier ? await api.promote(change.image.id, tier.name, 1) : await takeBack(change.job);
      change.job = job.id;
      studio.say("job", job);
    };
    return this.#do({ words: `${named(images)} to ${tierOf(images[0]).title}`, changes, set, told: true });
  }

  undo() {
    return this.#again(this.#done, this.#undone, "before", "Undone", "Nothing to undo");
  }

  redo() {
    return this.#again(this.#undone, this.#done, "after", "Done again", "Nothing to do again");
  }

  // What each picture was is asked when the deed's turn has come: the one before may have changed it.
  #changes(images, field, after) {
    return () => images.map((image) => ({ image, before: (this.#now.get(image.id) ?? image)[field] ?? null, after }));
  }

  #do(deed) {
    return this.#next(async () => {
      deed.changes = deed.changes();
      await this.#set(deed, "after");
      if (!deed.changes.length) return;
      this.#done.push(deed);
      this.#done.splice(0, this.#done.length - REMEMBERED);
      this.#undone.length = 0;
      if (deed.told) toast(`${deed.words}. Ctrl Z takes it back.`);
    });
  }

  #again(from, to, side, said, nothing) {
    return this.#next(async () => {
      const deed = from.pop();
      if (!deed) {
        toast(nothing);
        return;
      }
      const refused = await this.#set(deed, side);
      if (deed.changes.length) to.push(deed);
      if (!refused) toast(`${said}: ${deed.words}`);
    });
  }

  /** Sets every picture of a deed; those that were refused are no longer part of it. Whether any was. */
  async #set(deed, side) {
    const changed = [];
    let refused = null;
    for (const change of deed.changes) {
      try {
        await deed.set(change, change[side]);
        changed.push(change);
      } catch (error) {
        if (!(error instanceof Refused)) throw error;
        refused = error;
      }
    }
    deed.changes = changed;
    if (refused) toast(refused.message, { wrong: true });
    return refused !== null;
  }

  async #tell(asked) {
    const image = await asked;
    this.#now.set(image.id, image);
    studio.say("image", image);
  }

  #next(run) {
    const turn = this.#turn.then(run).finally(() => this.dispatchEvent(new Event("change")));
    // A failure is shown by whoever awaits it (or by the page's own handler), and does not stop the deeds after it.
    this.#turn = turn.then(() => {}, () => {});
    return turn;
  }
}

async function takeBack(id) {
  const job = await api.job(id);
  if (job.state === "cancelled") return job;
  if (job.state !== "queued") throw new Refused({ what: `Job ${id} cannot be taken back.`, why: `It is ${job.state}.`, todo: job.state === "running" ? "Cancel it on the sheet." : "" }, 409);
  return api.cancel(id);
}

/** "frame 3", "4 frames" */
function named(images) {
  return images.length === 1 ? `frame ${images[0].number}` : plural(images.length, "frame");
}

/** The tier above a picture's own, as the studio describes it, or null. */
export function nextTier(image) {
  for (const family of studio.about.families) {
    const at = family.tiers.findIndex((tier) => tier.name === image.tier && tier.card === image.card);
    if (at >= 0) return family.tiers.find((tier) => tier.name === family.tiers[at].next) ?? null;
  }
  return null;
}

export const deeds = new Deeds();
