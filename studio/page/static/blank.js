// The sheet before anything was drawn.

import { h } from "./dom.js";
import { studio } from "./studio.js";

const EXAMPLES = [
  "a red mug on a wooden table",
  "a teal vase in a white studio, soft light",
  "a yellow lamp in a city at night",
  "a black teapot on a marble kitchen counter, close-up",
  "a white shoe on the beach",
  "a purple candle in the snow",
];

/** What to do first, with prompts that work. */
export function blank() {
  const choose = (prompt) => h("li", {}, h("button", { type: "button", class: "cs-example", text: prompt, onclick: () => studio.say("example", prompt) }));
  return h("div", { class: "cs-empty" },
    h("div", { class: "cs-blank", "aria-hidden": "true" }, ...Array.from({ length: 8 }, (_, i) => h("span", { text: String(i + 1) }))),
    h("h2", { text: "Write a prompt" }),
    h("p", { text: "Every candidate is drawn, measured and shown here as a contact sheet; the best of those that pass are kept. Start with one of these:" }),
    h("ul", { class: "cs-examples" }, EXAMPLES.map(choose)),
    h("p", { class: "cs-quiet", text: "The model that ships with the studio draws twelve kinds of product in eight places. It is small and does make mistakes; it shows how the studio works, not how FLUX looks." }),
  );
}
