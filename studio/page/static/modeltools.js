// Above the list of models: a token for gated ones, and folders of other studios to look in.

import { api } from "./api.js";
import { h } from "./dom.js";
import { toast } from "./toast.js";

export class ModelTools {
  constructor(changed) {
    this.changed = changed;
    this.token = h("input", { type: "password", id: "cs-token", autocomplete: "off", spellcheck: "false", maxlength: 200, placeholder: "hf_..." });
    this.tokenWords = h("p", { class: "cs-quiet" });
    this.forget = h("button", { type: "button", class: "cs-plain", "aria-label": "Forget the token", text: "Forget it", onclick: () => this.keep("") });
    this.folders = h("textarea", { id: "cs-folders", rows: 3, spellcheck: "false", placeholder: "/home/me/ComfyUI" });
    this.gone = h("p", { class: "cs-error", role: "alert" });
    this.gguf = h("p", { class: "cs-quiet" });
    this.element = h(
      "div",
      { class: "cs-model-tools", hidden: true },
      this.section("Token for gated models", "token", h("label", { for: "cs-token", text: "Token of your Hugging Face account" }), this.tokenWords, h("div", { class: "cs-with-tools" }, this.token, h("button", { type: "submit", class: "cs-plain", "aria-label": "Keep the token", text: "Keep it" }), this.forget)),
      this.section("Folders of other studios", "folders", h("label", { for: "cs-folders", text: "ComfyUI, Forge and others, a folder a line" }), h("p", { class: "cs-quiet", text: "Files found there are used where they lie, and never changed or removed." }), this.gguf, this.folders, this.gone, h("button", { type: "submit", class: "cs-plain", "aria-label": "Look in these folders", text: "Look there" })),
    );
  }

  section(title, name, ...content) {
    return h("details", { data: { name } }, h("summary", { text: title }), h("form", { onsubmit: (event) => this.submit(event, name) }, ...content));
  }

  /** Unfolds a section and puts the focus into it. */
  open(name) {
    const section = this.element.querySelector(`[data-name="${name}"]`);
    section.open = true;
    section.scrollIntoView({ block: "nearest" });
    section.querySelector("input, textarea").focus();
  }

  show(view) {
    this.element.hidden = !view.admin;
    this.tokenWords.textContent = view.token
      ? "One is kept in the data folder, readable by this account alone. It is not shown again."
      : "Some models ask who downloads them: accept the licence on the model's page, make a token that may read, and give it here. It is kept in the data folder and never shown.";
    this.forget.hidden = !view.token;
    if (document.activeElement !== this.folders) this.folders.value = view.folders.map((one) => one.path).join("\n");
    const gone = view.folders.filter((one) => !one.there).map((one) => one.path);
    this.gone.textContent = gone.length ? `Not there: ${gone.join(", ")}` : "";
    this.gguf.textContent = view.gguf ? `GGUF files need a package that is not installed: ${view.gguf}` : "";
  }

  async submit(event, name) {
    event.preventDefault();
    if (name === "token") await this.keep(this.token.value);
    else await this.tried(() => api.set({ "models.folders": this.folders.value.split("\n").map((line) => line.trim()).filter(Boolean) }), "Looked there.");
  }

  async keep(token) {
    await this.tried(() => api.token(token), token ? "The token is kept." : "The token is forgotten.");
    this.token.value = "";
  }

  async tried(run, words) {
    try {
      await run();
      toast(words);
      this.changed();
    } catch (error) {
      if (error.status === undefined) throw error;
      toast(error.message, { wrong: true });
    }
  }
}
