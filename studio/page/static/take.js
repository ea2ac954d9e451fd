// Taking pictures away: a ZIP, or the sheet as paper. The studio makes it while the browser writes it to the disk.

import { Refused, api } from "./api.js";
import { h } from "./dom.js";
import { toast } from "./toast.js";

/** Downloads pictures by their ids. kind: "zip", "png" or "pdf". */
export async function take(ids, kind) {
  if (!ids.length) {
    toast("There is no picture here yet");
    return;
  }
  try {
    const { url } = await api.order(ids, kind);
    h("a", { href: url, download: true }).click();
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    toast(error.message, { wrong: true });
  }
}
