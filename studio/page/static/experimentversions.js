// What the versions of an experiment's design changed, in the words of its page.

import { api } from "./api.js";
import { words } from "./dom.js";

const KEYS = { title: "title", about: "question", pairs: "pairs at most", least: "smallest difference", votes: "people per pair", profile: "quality profile", seed: "first seed" };

/** What a version changed, by the words of this page: "sides.a.fields.steps" is "A: steps". */
export async function changesOf({ id }, old, now) {
  const { changes } = await api.experimentChanges(id, old, now);
  return changes.map((one) => ({ ...one, key: told(one.key) }));
}

function told(key) {
  const [head, ...rest] = key.split(".");
  if (head === "sides") return `${rest[0].toUpperCase()}: ${rest[1] === "title" ? "name" : words(rest.slice(2).join(" "))}`;
  if (head === "rows") return `row ${rest[0]}: ${words(rest.filter((one) => one !== "values").slice(1).join(" "))}`;
  if (head === "base") return `both: ${words(rest.join(" "))}`;
  return head === "outcome" ? `decides: ${rest.join(" ")}` : KEYS[head] ?? key;
}
