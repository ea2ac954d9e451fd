// Which frames the next key acts on. Without a selection it is the frame that has the focus.

export class Selection extends EventTarget {
  #frames = new Set();
  #anchor = null; // where a range begins

  get size() {
    return this.#frames.size;
  }

  has(frame) {
    return this.#frames.has(frame);
  }

  /** Selected frames in the order of `all`. */
  among(all) {
    return all.filter((frame) => this.#frames.has(frame));
  }

  /** The frame from which Shift selects. */
  start(frame) {
    this.#anchor = frame;
  }

  toggle(frame) {
    this.#put(frame, !this.has(frame));
    this.#anchor = frame;
    this.#changed();
  }

  /** Everything from the anchor to `frame`, and nothing else. */
  extend(frame, all) {
    const from = all.indexOf(this.#anchor);
    const to = all.indexOf(frame);
    const [low, high] = from < 0 ? [to, to] : [Math.min(from, to), Math.max(from, to)];
    this.set(all.slice(low, high + 1));
  }

  set(frames) {
    const wanted = new Set(frames);
    for (const frame of [...this.#frames]) if (!wanted.has(frame)) this.#put(frame, false);
    for (const frame of wanted) this.#put(frame, true);
    this.#changed();
  }

  clear() {
    if (!this.size) return false;
    this.set([]);
    return true;
  }

  #put(frame, selected) {
    if (selected) this.#frames.add(frame);
    else this.#frames.delete(frame);
    frame.selected = selected;
  }

  #changed() {
    this.dispatchEvent(new Event("change"));
  }
}
