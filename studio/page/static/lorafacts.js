// What the tab and the form say of a LoRA in the same words.

import { h } from "./dom.js";

export const KINDS = [["style", "Style"], ["product", "Product"], ["domain", "Domain"], ["quality", "Quality"]];
export const kindOf = (kind) => KINDS.find(([name]) => name === kind)?.[1] ?? kind;

export function size(bytes) {
  const megabytes = bytes / 2 ** 20;
  if (megabytes < 0.1) return `${Math.max(1, Math.round(bytes / 1024))} kB`;
  return `${megabytes < 10 ? megabytes.toFixed(1) : Math.round(megabytes)} MB`;
}

export const when = (time) => new Date(time).toLocaleString("en-GB", { day: "numeric", month: "short", year: "numeric", hour: "2-digit", minute: "2-digit" });

/** The version with a number; null for none. */
export const version = (lora, number) => lora.versions.find((one) => one.number === number) ?? null;

/** The aliases that point at a version. */
export const aliases = (lora, number) => Object.keys(lora.aliases).filter((alias) => lora.aliases[alias] === number);

/** The picture that stands for a LoRA, or its first letter. */
export function picture(lora, shown = version(lora, lora.current)) {
  const sample = shown?.samples[0] ?? lora.versions.find(({ samples }) => samples.length)?.samples[0];
  return sample ? h("img", { src: sample, alt: "", loading: "lazy", draggable: "false" }) : h("span", { class: "cs-lo-blank", "aria-hidden": "true", text: lora.title.slice(0, 1).toUpperCase() });
}

export const badge = (alias) => h("span", { class: "cs-lo-alias", data: { alias }, text: alias });

/** Words that call it, each as it is to be written. */
export const called = (triggers) => triggers.map((word) => h("code", { text: word }));
