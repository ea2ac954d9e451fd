// Folders that are watched, an admin's: what appears in them comes in by itself, and what could not is told with its reason.

import { api } from "./api.js";
import { h, plural } from "./dom.js";
import { tried } from "./settings.js";
import { studio } from "./studio.js";

export class LoraFolders {
  /** came(): something may have come in. */
  constructor(came) {
    this.came = came;
    this.folders = h("textarea", { id: "cs-lo-folders", rows: 2, spellcheck: "false", placeholder: "/home/me/ComfyUI/models/loras" });
    this.wrong = h("p", { class: "cs-error", role: "alert" });
    this.told = h("p", { class: "cs-quiet", role: "status" });
    this.refused = h("ul", { "aria-label": "Files that could not come in" });
    const form = h("form", { onsubmit: (event) => (event.preventDefault(), this.keep()) },
      h("label", { for: "cs-lo-folders", text: "Folders of this machine, one a line" }),
      h("p", { class: "cs-quiet", text: "Every .safetensors file in them is copied in, as everybody's; its preview picture and trigger words come along. A file that changes is the next version." }),
      this.folders, this.wrong, h("button", { type: "submit", class: "cs-plain", text: "Keep and look now" }));
    this.element = h("details", { class: "cs-lo-folders", hidden: true, ontoggle: () => this.element.open && this.load() }, h("summary", { text: "Watched folders" }), form, this.told, this.refused);
  }

  suit() {
    this.element.hidden = !studio.about.admin;
  }

  load() {
    return tried(async () => this.show(await api.loraFolders()), "", this.wrong);
  }

  show({ folders, files }, came = null) {
    if (document.activeElement !== this.folders) this.folders.value = folders.join("\n");
    const wrong = files.filter(({ refused }) => refused);
    const said = came === null ? "" : came ? `${plural(came, "file")} came in. ` : "Nothing new. ";
    this.told.textContent = folders.length || files.length ? `${said}${plural(files.length, "file")} seen${wrong.length ? `, ${wrong.length} of them could not come in:` : "."}` : said;
    this.refused.replaceChildren(...wrong.map(({ path, refused }) => h("li", {}, h("code", { text: path }), ` ${refused}`)));
  }

  async keep() {
    const wanted = this.folders.value.split("\n").map((line) => line.trim()).filter(Boolean);
    await tried(async () => {
      await api.set({ "loras.folders": wanted });
      const { came, ...view } = await api.lookForLoras();
      this.show(view, came);
      if (came) await this.came();
    }, "", this.wrong);
  }
}
