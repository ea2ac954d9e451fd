// One version of a LoRA: its samples, what it is and was made from, what was said of it, and what can be done with it.

import { Refused, api, ask, send } from "./api.js";
import { duration, figure, h, icon, plural, words } from "./dom.js";
import { addressOf } from "./loraaddress.js";
import { badge, called, size, when } from "./lorafacts.js";
import { menuAt } from "./menus.js";
import { studio } from "./studio.js";
import { toast } from "./toast.js";

const TOOLS = [["", "As it is"], ["comfyui", "For ComfyUI"], ["forge", "For Forge"], ["diffusers", "For diffusers"], ["kohya", "For kohya's scripts"]];
const SHOWN = 8; // samples; the rest in compare

/** one: the LoRA's page (LoraOne). */
export function versionOf(one, version) {
  const { lora } = one;
  const { number, samples } = version;
  const is = one.is(number);
  const button = (text, label, run, kind = "cs-plain") => h("button", { type: "button", class: kind, text, "aria-label": label, onclick: run });
  const takes = h("button", { type: "button", class: "cs-plain", "aria-haspopup": "menu", "aria-label": `Download v${number}`, onclick: () => menuAt(takes, TOOLS.map(([tool, text]) => [text, "", () => take(one, version, tool)])) }, h("span", { text: "Download" }), icon("open"));
  const comparable = samples.length > 0 && lora.versions.filter((other) => other.samples.length).length > 1;
  return h("li", { class: "cs-lo-version", data: { number } },
    h("div", { class: "cs-lo-vhead" },
      h("h3", {}, `v${number}`, ...is.map((alias) => [" ", badge(alias)]).flat()),
      h("span", { class: "cs-lo-acts" },
        h("button", { type: "button", class: "cs-plain", text: "Use", "aria-label": `Use v${number}`, onclick: () => studio.say("wear lora", { name: lora.name, version: number }) }),
        comparable ? button("Compare", `Compare v${number}`, () => one.compare(number)) : null,
        takes,
        lora.may_change && !is.includes("production") ? button("Promote", `Promote v${number} to production`, () => one.promote(number)) : null,
        lora.may_change ? button("Evaluate", `Evaluate v${number}`, () => one.evaluate(number)) : null,
        lora.may_change && !is.length ? button("Make candidate", `Make v${number} candidate`, () => one.move("candidate", number), "cs-bare") : null,
        lora.may_change && !is.length ? button("To the trash", `v${number} to the trash`, () => one.throw(number), "cs-bare") : null)),
    samples.length ? h("ul", { class: "cs-lo-samples", "aria-label": `Samples of v${number}` }, ...samples.slice(0, SHOWN).map((url, place) => h("li", {}, h("a", { href: url, target: "_blank", rel: "noopener", "aria-label": `Sample ${place + 1} of v${number}, in a tab of its own` }, h("img", { src: url, alt: "", loading: "lazy" }))))) : null,
    version.verdict ? h("p", { class: "cs-lo-verdict", data: { kind: version.verdict_kind ?? "" } }, version.verdict) : null,
    scores(version.scores),
    h("dl", { class: "cs-lo-facts" }, ...facts(version).map(([name, ...said]) => h("div", {}, h("dt", { text: name }), h("dd", {}, ...said)))),
    version.note ? h("p", { class: "cs-lo-about", text: version.note }) : null,
    lora.may_change ? described(one, version) : null,
    ...more(one, version));
}

/** What is said of it can be mended: its file and origin never change. */
function described(one, version) {
  const { number, triggers, licence, note } = version;
  const field = (name, text, value, limit) => {
    const input = h("input", { type: "text", id: `cs-lo-said-${name}-${number}`, maxlength: limit, autocomplete: "off" });
    input.value = value;
    return { input, element: h("div", { class: "cs-lo-field" }, h("label", { for: input.id, text }), input) };
  };
  const words = field("triggers", "Called by, with commas", triggers.join(", "), 2000);
  const allowed = field("licence", "Licence", licence, 200);
  const noted = field("note", "Note", note, 500);
  const save = () => one.done(() => ask(`/api/loras/${encodeURIComponent(one.lora.name)}/versions/${number}`, { triggers: words.input.value.split(",").map((word) => word.trim()).filter(Boolean), licence: allowed.input.value, note: noted.input.value }), "Saved.");
  const form = h("form", { class: "cs-lo-said", onsubmit: (event) => (event.preventDefault(), save()) }, words.element, allowed.element, noted.element, h("button", { type: "submit", class: "cs-plain", text: "Save", "aria-label": `Save what is said of v${number}` }));
  return h("details", { class: "cs-lo-more" }, h("summary", { text: "Describe it otherwise", "aria-label": `Describe v${number} otherwise` }), form);
}

function facts(version) {
  const { triggers, rank, alpha, bytes, base, licence, parent, person, created, training } = version;
  return [
    ["For", base], ["Called by", ...(triggers.length ? called(triggers).flatMap((word, i) => (i ? [" ", word] : [word])) : ["no word of its own"])],
    ["Rank", rank === null ? "not known" : `${rank}${alpha !== null && alpha !== rank ? `, alpha ${figure(alpha)}` : ""}`], ["Size", size(bytes)],
    ["Licence", licence || "not known"], [training ? "Trained" : "Brought", `${when(created)} by ${person}`], ...(parent ? [["From", `v${parent}`]] : []),
  ];
}

function scores(given) {
  const known = Object.entries(given).filter(([, value]) => typeof value === "number");
  return known.length ? h("ul", { class: "cs-lo-scores", "aria-label": "Measured" }, ...known.map(([name, value]) => h("li", {}, h("span", { class: "cs-quiet", text: words(name) }), ` ${figure(value)}`))) : null;
}

/** What it was made from, and where providers find it, each asked for when it is unfolded. */
function more(one, version) {
  const { number } = version;
  const fold = (kind, text, name, ask) => {
    const place = h("div");
    const key = `${kind} ${number}`;
    const details = h("details", { class: "cs-lo-more", open: one.unfolded.has(key), ontoggle: () => {
      if (details.open) one.unfolded.add(key);
      else one.unfolded.delete(key);
      if (details.open && !place.firstChild) ask(one, version, place);
    } }, h("summary", { text, "aria-label": name }), place);
    return details;
  };
  return [fold("origin", "What it was made from", `What v${number} was made from`, origin), fold("cloud", "For the cloud", `v${number} for the cloud`, cloud)];
}

async function cloud(one, version, place) {
  place.replaceChildren(h("p", { class: "cs-quiet", text: "Asking ..." }));
  try {
    const { url } = await api.loraAddress(one.lora.name, version.number);
    place.replaceChildren(addressOf(one.lora, version.number, url));
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    place.replaceChildren(h("p", { class: "cs-error", text: error.message }));
  }
}

async function origin(one, version, place) {
  place.replaceChildren(h("p", { class: "cs-quiet", text: "Asking ..." }));
  let whole;
  try {
    whole = await api.loraVersion(one.lora.name, version.number);
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    place.replaceChildren(h("p", { class: "cs-error", text: error.message }));
    return;
  }
  const { dataset, config, packages, base_revision: revision, seed, gpu_seconds: seconds, pictures, jobs, sha256 } = whole;
  const rows = [
    ["SHA-256", h("code", { text: sha256 })],
    revision ? ["Weights of the base", h("code", { text: revision })] : null,
    dataset?.images ? ["Dataset", plural(dataset.images.length, "picture")] : null,
    seed !== null ? ["Seed", String(seed)] : null,
    seconds !== null ? ["GPU time", duration(seconds)] : null,
    ["In use", `${plural(pictures, "picture")}${jobs ? `, ${plural(jobs, "job")} waiting` : ""}`],
    Object.keys(packages ?? {}).length ? ["Packages", Object.entries(packages).map(([name, number]) => `${name} ${number}`).join(", ")] : null,
  ].filter(Boolean);
  place.replaceChildren(h("dl", { class: "cs-lo-facts cs-lo-origin" }, ...rows.flatMap(([name, said]) => [h("dt", { text: name }), h("dd", {}, said)])),
    config && Object.keys(config).length ? h("pre", { class: "cs-lo-config", tabindex: "0", "aria-label": `Configuration of v${version.number}`, text: JSON.stringify(config, null, 2) }) : "");
}

/** The file as it is by a link, so that the browser writes it to the disk; another tool's is made first, and may be refused. */
async function take(one, { file, number }, tool) {
  if (!tool) {
    h("a", { href: file, download: "" }).click();
    return;
  }
  try {
    const made = await send(`${file}?tool=${tool}`, {}, true);
    const url = URL.createObjectURL(made);
    h("a", { href: url, download: `${one.lora.name}-v${number}-${tool}.safetensors` }).click();
    setTimeout(() => URL.revokeObjectURL(url), 60_000);
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    toast(error.message, { wrong: true });
  }
}
