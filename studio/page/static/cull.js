// The acts that decide about pictures, the same wherever pictures are looked at: on the sheet, in the loupe, two or several side by side.

import { deeds, nextTier } from "./deeds.js";
import { closeAll } from "./dialog.js";
import { studio } from "./studio.js";
import { toast } from "./toast.js";

/**
 * Acts for keys (see keys.js). `pictures()` gives those that are meant, `next()` goes on to the one after (with Shift).
 */
export function culling(pictures, next) {
  const on = (act) => (asked) => {
    const meant = pictures().filter((image) => image?.state === "drawn");
    if (!meant.length) {
      toast("There is no picture here yet");
      return;
    }
    act(meant, asked);
    if (asked.shift) next?.();
  };
  return {
    pick: on((images) => deeds.flag(images, true)),
    reject: on((images) => deeds.flag(images, false)),
    unflag: on((images) => deeds.flag(images, null)),
    star: on((images, { stars }) => deeds.rate(images, stars)),
    raise: on((images) => raise(images)),
    vary: on(([image]) => vary(image)),
    undo: () => deeds.undo(),
    redo: () => deeds.redo(),
  };
}

/** Queues pictures for their next tier. */
export function raise(images) {
  const able = images.filter(nextTier);
  if (able.length) deeds.raise(able, nextTier);
  else toast(`${studio.facts(images[0].tier)?.title ?? images[0].tier} is the highest tier`);
}

/** Fills the form with a picture's request and the picture itself to start from. */
export function vary(image) {
  closeAll();
  studio.say("vary", image);
}
