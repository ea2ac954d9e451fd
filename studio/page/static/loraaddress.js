// Where a provider can fetch a version of a LoRA: its owner gives a public address; without one it is drawn on this machine alone.

import { api } from "./api.js";
import { h } from "./dom.js";
import { tried } from "./settings.js";

export function addressOf(lora, number, url) {
  if (!lora.may_change && !url) return h("p", { class: "cs-quiet", text: "It has no public address, so it is drawn on this machine alone. Its owner may give one." });
  const field = h("input", { type: "url", id: `cs-lora-url-${number}`, placeholder: "https://…", autocomplete: "off", spellcheck: "false", disabled: !lora.may_change });
  field.value = url ?? "";
  const wrong = h("p", { class: "cs-error", role: "alert" });
  field.addEventListener("change", () => tried(() => api.loraAddress(lora.name, number, field.value), field.value ? "Providers fetch it from there." : "It is drawn on this machine alone.", wrong));
  return h("div", { class: "cs-lo-address" }, h("label", { for: field.id, text: "Public address, for the cloud" }), field, h("p", { class: "cs-quiet", text: "Providers fetch a LoRA from the web. Without an address it is drawn on this machine alone." }), wrong);
}
