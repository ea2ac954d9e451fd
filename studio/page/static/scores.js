// How a score is told: what is measured, its value with its unit, what it is held against, and where it stands among the studio's own
// pictures of that model. One place, for the sheet, its tip, the loupe and the history say the same.

import { bound, figure, words } from "./dom.js";

const SVG = "http://www.w3.org/2000/svg";
const GLYPHS = { pass: "m3.5 8.4l3 3l6-6.6", warn: "m8 3.2l5 9.3h-10zm0 3.8v2.4m0 1.5h.01", fail: "m4.2 4.2l7.6 7.6m0-7.6l-7.6 7.6", none: "m4.5 8h7" };
const BOX = "m0 0h16v16h-16z";
const PITCH = 21; // of two marks, in units of a mark that is 16 wide
const HELD = (score) => score.threshold !== null && score.threshold !== undefined;
const GRAVITY = { fail: 0, warn: 1, none: 2, pass: 3 };

/** How a score stands: "pass", "fail" (would reject), "warn" (beyond its bound, but only advice), "none" (not scored, or held against nothing). */
export function standing(score) {
  if (score.passed === null || score.passed === undefined) return "none";
  return score.passed ? "pass" : score.hard ? "fail" : "warn";
}

/** What a score is of: "Sharpness", "Background distance #FFFFFF". */
export function titleOf({ dimension, title }) {
  const [name, argument] = dimension.split(":");
  const said = title || name[0].toUpperCase() + words(name).slice(1);
  return argument && !said.includes(argument) ? `${said} ${argument}` : said;
}

/** The same within a sentence: "sharpness". What is written in capitals stays. */
const inSentence = (title) => (/^[A-Z][a-z]/.test(title) ? title[0].toLowerCase() + title.slice(1) : title);

const withUnit = (text, unit) => (unit ? `${text} ${unit}` : text);

/** "71", "5.2 dE", "not scored". */
export const valueOf = (score) => (score.value === null ? "not scored" : withUnit(figure(score.value), score.unit));

/** "at least 55", "at most 5 dE, advice only"; "" where it is held against nothing. */
export function limitOf(score) {
  if (!HELD(score)) return "";
  return `${score.bound === "<=" ? "at most" : "at least"} ${withUnit(bound(score.threshold), score.unit)}${score.hard ? "" : ", advice only"}`;
}

/** How many percent of this studio's own pictures of that model it is better than, or null: too few are known, or it is not scored. */
export function betterThan(score) {
  if (score.value === null || score.percentile === null || score.percentile === undefined) return null;
  const lower = (score.better ?? (score.bound === "<=" ? "lower" : "higher")) === "lower";
  return Math.round(lower ? 100 - score.percentile : score.percentile);
}

/** Where a value lies between what it can be, 0..1: for a bar with its threshold. */
export function placed(score, value) {
  const [low, high] = rangeOf(score);
  return Math.min(1, Math.max(0, (value - low) / (high - low || 1)));
}

function rangeOf(score) {
  const farthest = Math.max(score.value ?? 0, 2 * (HELD(score) ? score.threshold : 0), 1);
  const low = Math.min(0, score.value ?? 0);
  // Values in pixels or steps have no end: the bar shows them beside what is asked for.
  if (score.high === null || score.high === undefined) return [low, score.unit ? farthest : farthest <= 2 && (score.value ?? 0) <= 1 ? 1 : 100];
  return [low, score.high <= 100 ? score.high : farthest];
}

/** Whether a verdict names it among its reasons. */
const named = ({ dimension }, { reasons }) => reasons.some((reason) => reason.startsWith(`${dimension} `));

/** The scores that a picture is held against, what would reject it first; of those that could not be measured, what a person has to look at. */
export const held = (image) => image.scores.filter((score) => HELD(score) && (score.value !== null || named(score, image))).sort((a, b) => GRAVITY[standing(a)] - GRAVITY[standing(b)]);

/** Those that are measured and held against nothing. */
export const measured = ({ scores }) => scores.filter((score) => !HELD(score) && score.value !== null);

/** Those that could not be measured, and that the verdict does not wait for. */
export const missing = (image) => image.scores.filter((score) => score.value === null && !(HELD(score) && named(score, image)));

/** Reasons that no score explains: "nearly the same as 3". */
export const unexplained = ({ reasons, scores }) => reasons.filter((reason) => !scores.some(({ dimension }) => reason.startsWith(`${dimension} `)));

const SAID = { pass: " passes", fail: " fails", warn: " is low", none: "" };

/** "sharpness 71 passes", for ears. */
export function spoken(score) {
  const state = standing(score);
  return `${inSentence(titleOf(score))} ${valueOf(score)}${state === "warn" && score.bound === "<=" ? " is high" : SAID[state]}`;
}

/** A reason of a verdict ("background_distance:#FFFFFF 12 > 5") in the words of its dimension. */
export function reasonSaid(reason, scores) {
  const score = scores.filter(({ dimension }) => reason === dimension || reason.startsWith(`${dimension} `)).sort((a, b) => b.dimension.length - a.dimension.length)[0];
  return score ? inSentence(titleOf(score)) + reason.slice(score.dimension.length) : words(reason);
}

/** Why a picture was not kept, short enough for a frame: "sharpness 41 < 55 +2". */
export function why({ reasons, scores }) {
  if (!reasons.length) return "";
  // What is behind a colon is for the tip: "text not scored: its weights are not here".
  const first = reasonSaid(reasons[0], scores).replace(/(not scored):.*$/, "$1");
  return reasons.length > 1 ? `${first} +${reasons.length - 1}` : first;
}

/**
 * A mark for each dimension that a picture is held against, in the order of the profile: one drawing, however many they are. What could
 * not be measured has one only where a person has to look for it.
 */
export function marks(image) {
  const paths = { pass: "", fail: "", warn: "", none: "" };
  let boxes = "";
  const shown = image.scores.filter((score) => HELD(score) && (score.value !== null || named(score, image)));
  shown.forEach((score, i) => {
    const state = standing(score);
    paths[state] += `M${i * PITCH} 0${GLYPHS[state]}`;
    if (state === "fail") boxes += `M${i * PITCH} 0${BOX}`;
  });
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", `0 0 ${Math.max(1, shown.length * PITCH - (PITCH - 16))} 16`);
  svg.setAttribute("class", "cs-marks");
  svg.setAttribute("aria-hidden", "true");
  svg.setAttribute("preserveAspectRatio", "xMinYMid meet");
  svg.dataset.standings = shown.map(standing).join(" ");
  const draw = (state, path) => {
    if (!path) return;
    const element = document.createElementNS(SVG, "path");
    element.setAttribute("d", path);
    element.dataset.standing = state;
    svg.append(element);
  };
  draw("box", boxes);
  for (const [state, path] of Object.entries(paths)) draw(state, path);
  return svg;
}
