// 1:1, in step: every picture under one Zoom shows the same spot at the same scale. A pixel of the picture is a pixel of the screen.

const SCALES = [1, 2, 4, 8];

export class Zoom extends EventTarget {
  scale = 0; // screen pixels a picture's pixel; 0: the picture fits its box
  x = 0.5; // the spot: where in the picture, 0..1
  y = 0.5;
  #stages = new Map(); // box -> {img, width, height}
  #watched = new WeakSet(); // boxes that listen to the pointer already
  #sizes = new ResizeObserver(() => this.#apply());

  get on() {
    return this.scale > 0;
  }

  /** Puts `img`, a picture of `width` x `height` pixels, in `box` under this zoom. */
  add(box, img, { width, height }) {
    if (!this.#watched.has(box)) this.#watch(box);
    this.#stages.set(box, { img, width, height });
    this.#sizes.observe(box);
    this.#place(box);
  }

  remove(box) {
    this.#sizes.unobserve(box);
    this.#stages.delete(box);
  }

  /** Lets go of every picture. */
  clear() {
    this.set(0);
    this.#sizes.disconnect();
    this.#stages.clear();
    this.x = this.y = 0.5;
  }

  toggle() {
    this.set(this.on ? 0 : 1);
  }

  closer() {
    this.set(SCALES[Math.min(SCALES.length - 1, SCALES.indexOf(this.scale) + 1)]);
  }

  farther() {
    this.set(SCALES[SCALES.indexOf(this.scale) - 1] ?? 0);
  }

  set(scale) {
    if (scale === this.scale) return;
    this.scale = scale;
    this.#apply();
    this.dispatchEvent(new Event("change"));
  }

  /** Moves the spot by an eighth of what is seen, for an act of the arrows. Whether there was something to move. */
  step(act) {
    const [dx, dy] = { left: [-1, 0], right: [1, 0], up: [0, -1], down: [0, 1] }[act] ?? [0, 0];
    const first = this.#stages.keys().next().value;
    if (!this.on || !first) return false;
    this.#pan(first, (-dx * first.clientWidth) / 8, (-dy * first.clientHeight) / 8);
    return true;
  }

  #apply() {
    for (const box of this.#stages.keys()) this.#place(box);
  }

  #place(box) {
    const { img, width, height } = this.#stages.get(box);
    box.toggleAttribute("data-zoomed", this.on);
    for (const side of ["left", "top", "width", "height"]) img.style.removeProperty(side);
    if (!this.on) return;
    const scale = this.scale / devicePixelRatio;
    const [across, down] = [width * scale, height * scale];
    img.style.width = `${across}px`;
    img.style.height = `${down}px`;
    img.style.left = `${Math.round(edge(box.clientWidth, across, this.x))}px`;
    img.style.top = `${Math.round(edge(box.clientHeight, down, this.y))}px`;
  }

  #pan(box, dx, dy) {
    const { width, height } = this.#stages.get(box);
    const scale = this.scale / devicePixelRatio;
    this.x = held(this.x - dx / (width * scale), box.clientWidth / (width * scale));
    this.y = held(this.y - dy / (height * scale), box.clientHeight / (height * scale));
    this.#apply();
  }

  /** Dragging moves the spot; a drag is no click. */
  #watch(box) {
    this.#watched.add(box);
    let at = null;
    let dragged = false;
    box.addEventListener("pointerdown", (event) => {
      if (!this.on || event.button || event.target.closest("[data-cs-handle]")) return;
      at = [event.clientX, event.clientY];
      dragged = false;
    });
    box.addEventListener("pointermove", (event) => {
      if (!at) return;
      const [dx, dy] = [event.clientX - at[0], event.clientY - at[1]];
      if (!dragged && Math.hypot(dx, dy) < 4) return;
      if (!dragged) box.setPointerCapture(event.pointerId);
      dragged = true;
      at = [event.clientX, event.clientY];
      this.#pan(box, dx, dy);
    });
    for (const end of ["pointerup", "pointercancel"]) box.addEventListener(end, () => (at = null));
    box.addEventListener("dragstart", (event) => this.on && event.preventDefault()); // the browser's own drag of a picture
    box.addEventListener("click", (event) => {
      if (!dragged) return;
      dragged = false;
      event.stopImmediatePropagation();
      event.preventDefault();
    }, { capture: true });
  }
}

/** Where a picture `long` pixels long begins in a box of `room`, so that its spot `at` is in the middle and no edge comes inside. */
function edge(room, long, at) {
  return long <= room ? (room - long) / 2 : Math.min(0, Math.max(room - long, room / 2 - at * long));
}

/** The spot kept where moving it shows something; `seen`: how much of the picture's length the box shows. */
function held(at, seen) {
  return seen >= 1 ? 0.5 : Math.min(1 - seen / 2, Math.max(seen / 2, at));
}
