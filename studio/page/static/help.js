// `?`: every key of the sheet.

import { Dialog } from "./dialog.js";
import { h, icon } from "./dom.js";
import { HELP } from "./keys.js";
import { studio } from "./studio.js";

let help = null;

studio.on("help", () => {
  help ??= new Help();
  help.show();
});

class Help extends Dialog {
  constructor() {
    const close = h("button", { type: "button", class: "cs-tool cs-close", "aria-label": "Close", onclick: () => this.close() }, icon("close"));
    const rows = (all) => all.map(([keys, what]) => h("div", { class: "cs-help-row" }, h("dt", {}, keys.map((key) => h("kbd", { text: key }))), h("dd", { text: what })));
    const groups = HELP.map(([name, all]) => h("section", {}, h("h3", { text: name }), h("dl", {}, rows(all))));
    super("help", { "aria-labelledby": "cs-help-title" },
      h("div", { class: "cs-help-head" }, h("h2", { id: "cs-help-title", text: "Keys" }), h("p", { class: "cs-quiet", text: "They act while the sheet has the focus, never while you type." }), close),
      h("div", { class: "cs-help-groups" }, groups),
      h("div", { class: "cs-help-foot" }, h("cs-motion")),
    );
    this.acts = { help: () => this.close() };
  }
}
