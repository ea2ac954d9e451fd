// Taking pictures away: a ZIP, or the sheet as paper. The studio makes it while the browser writes it to the disk.

import { Refused, api } from "./api.js";
import { h } from "./dom.js";
import { toast } from "./toast.js";

/** Downloads pictures by their ids. kind: "zip", "png" or "pdf". strip: without prompts and settings; left out, as the person's own setting says. */
export async function take(ids, kind, strip) {
  if (!ids.length) {
    toast("There is no picture here yet");
    return;
  }
  try {
    const { url } = await api.order(ids, kind, strip);
    h("a", { href: url, download: true }).click();
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    toast(error.message, { wrong: true });
  }
}
