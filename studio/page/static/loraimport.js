// LoRA files on their way in: each is sent, told apart and entered; what could not be is told by name with the reason.

import { Refused, api } from "./api.js";
import { h, icon } from "./dom.js";
import { size } from "./lorafacts.js";
import { studio } from "./studio.js";

export class LoraImport {
  /** came(): something was entered. */
  constructor(came) {
    this.came = came;
    this.list = h("ul", { "aria-label": "Files that came" });
    this.element = h("div", { class: "cs-lo-coming", role: "status", hidden: true }, this.list,
      h("button", { type: "button", class: "cs-tool", "aria-label": "Put these away", title: "Put these away", onclick: () => this.clear() }, icon("close")));
  }

  clear() {
    this.list.replaceChildren();
    this.element.hidden = true;
  }

  /** One after the other. into: the LoRA that they become versions of; null for one of their own. */
  async take(files, into = null) {
    this.element.hidden = false;
    const lines = files.map((file) => {
      const said = h("span", { class: "cs-quiet", text: "waits" });
      const line = h("li", {}, h("b", { text: file.name }), h("span", { class: "cs-quiet", text: size(file.size) }), said);
      this.list.append(line);
      return { file, line, said };
    });
    for (const { file, line, said } of lines) {
      said.textContent = "is being read";
      try {
        if (!file.name.toLowerCase().endsWith(".safetensors")) throw new Refused({ what: "This is no safetensors file.", why: "Other kinds can hold programs, and are never opened.", todo: "Have it converted to safetensors." }, 0);
        const { name, version, known, notes, lora } = await api.bringLora(file, { file: file.name, ...(into ? { name: into } : {}) });
        line.dataset.state = known ? "known" : "came";
        said.replaceChildren(known ? "" : `${lora.title} v${version}, for ${lora.base}. `, notes.join(" "), " ",
          h("button", { type: "button", class: "cs-link", text: "Use", "aria-label": `Use ${lora.title} v${version}`, onclick: () => studio.say("wear lora", { name, version: lora.current === version ? null : version }) }));
        await this.came();
      } catch (error) {
        if (!(error instanceof Refused)) throw error;
        line.dataset.state = "refused";
        said.textContent = error.message;
      }
    }
  }
}
