// The Templates tab: a gallery to search, and one template open beside its preview, to be used, changed and taken away.

import { api } from "./api.js";
import { CsBrands } from "./brands.js";
import { h, plural } from "./dom.js";
import { askAt, menuAt } from "./menus.js";
import { studio } from "./studio.js";
import { tried } from "./settings.js";
import { TemplateEditor } from "./templateeditor.js";
import { toast } from "./toast.js";

export class CsTemplates extends HTMLElement {
  connectedCallback() {
    if (this.firstChild) return;
    Object.assign(this, { facts: { templates: [], removed: [], formats: [] }, tag: "", open: null });
    this.search = h("input", { type: "search", id: "cs-t-search", placeholder: "Search templates", "aria-label": "Search templates", autocomplete: "off", oninput: () => this.list() });
    this.tags = h("div", { class: "cs-t-tags", role: "group", "aria-label": "Tags" });
    this.file = h("input", { type: "file", accept: ".toml,.csv,.json", hidden: true, "aria-label": "Templates as a file", onchange: () => this.bring() });
    this.makes = h("button", { type: "button", class: "cs-primary", text: "New template", onclick: () => this.make() });
    this.takes = h("button", { type: "button", class: "cs-plain", text: "Export", "aria-haspopup": "menu", onclick: () => this.take(this.found().map(({ name }) => name), this.takes) });
    this.told = h("p", { class: "cs-quiet", role: "status" });
    this.left = h("ul", { class: "cs-t-left", role: "status", hidden: true });
    this.wrong = h("p", { class: "cs-error", role: "alert" });
    this.grid = h("ul", { class: "cs-t-grid" });
    this.removed = h("p", { class: "cs-quiet cs-t-removed", hidden: true });
    this.gallery = h("div", { class: "cs-t-gallery" },
      h("div", { class: "cs-t-bar" }, this.search, this.makes, h("button", { type: "button", class: "cs-plain", text: "Import", title: "TOML of this studio, styles.csv of A1111, style JSON of Fooocus or InvokeAI", onclick: () => this.file.click() }), this.file, this.takes),
      this.tags, this.told, this.wrong, this.left, this.grid, this.removed, new CsBrands());
    this.editor = new TemplateEditor({
      back: () => this.show(null), saved: (name) => this.arrive(name), take: (name, button) => this.take([name], button), copy: (name, button) => this.copy(name, button),
    });
    this.append(this.gallery, this.editor.element);
    this.editor.element.hidden = true;
    studio.on("tab", (tab) => tab === "templates" && this.load());
    studio.on("found", () => this.shown && this.load());
    studio.on("templates", () => this.shown && this.load());
    if (this.shown) this.load();
  }

  get shown() {
    return studio.tab === "templates";
  }

  async load() {
    this.facts = await api.templates();
    if (this.tag && !this.facts.templates.some(({ tags }) => tags.includes(this.tag))) this.tag = "";
    this.list();
    if (this.open) await this.editor.refresh(this.facts.templates);
  }

  /** The templates that the words and the tag fit. */
  found() {
    const words = this.search.value.toLowerCase().split(/\s+/).filter(Boolean);
    return this.facts.templates.filter((one) => {
      const said = [one.title, one.about, one.use, one.name, ...one.tags].join(" ").toLowerCase();
      return (!this.tag || one.tags.includes(this.tag)) && words.every((word) => said.includes(word));
    });
  }

  list() {
    const found = this.found();
    const counts = new Map();
    for (const { tags } of this.facts.templates) for (const tag of tags) counts.set(tag, (counts.get(tag) ?? 0) + 1);
    const often = [...counts].sort(([a, some], [b, others]) => others - some || a.localeCompare(b)).slice(0, 14);
    this.tags.replaceChildren(...often.map(([tag, count]) => h("button", { type: "button", class: "cs-t-tag", text: tag, title: plural(count, "template"), "aria-pressed": String(tag === this.tag), onclick: () => this.choose(tag) })));
    this.told.textContent = found.length === this.facts.templates.length ? plural(found.length, "template") : `${found.length} of ${plural(this.facts.templates.length, "template")}`;
    this.takes.disabled = !found.length;
    this.grid.replaceChildren(...found.map((one) => this.card(one)));
    if (!found.length) this.grid.replaceChildren(h("li", { class: "cs-t-none" }, h("p", { text: "No template fits these words." }), h("button", { type: "button", class: "cs-plain", text: "Show all", onclick: () => this.clear() })));
    this.removed.hidden = !this.facts.removed.length;
    this.removed.replaceChildren("Removed: ", ...this.facts.removed.map((one) => h("button", { type: "button", class: "cs-bare", text: `Restore ${one.title}`, onclick: () => this.restore(one) })));
  }

  card({ name, title, use, thumb, version, shipped, jobs, variables }) {
    const state = [use, shipped && !version ? "" : `version ${version}`, jobs ? plural(jobs, "job") : ""].filter(Boolean).join(" · ");
    const picture = thumb ? h("img", { src: thumb, alt: "", loading: "lazy" }) : h("span", { class: "cs-t-blank", "aria-hidden": "true", text: title.slice(0, 1).toUpperCase() });
    return h("li", { class: "cs-t-card" },
      h("button", { type: "button", class: "cs-t-open", data: { name }, onclick: () => this.show(name) }, h("span", { class: "cs-t-thumb" }, picture), h("b", { text: title }), h("small", { text: state })),
      h("button", { type: "button", class: "cs-plain cs-t-use", text: "Use", "aria-label": `Use ${title}`, title: variables.length ? `Asks for ${variables.join(", ").replaceAll("_", " ")}` : "", onclick: () => studio.say("use template", { name, values: {} }) }));
  }

  choose(tag) {
    this.tag = this.tag === tag ? "" : tag;
    this.list();
    [...this.tags.children].find((one) => one.textContent === tag)?.focus();
  }

  clear() {
    this.tag = this.search.value = "";
    this.list();
    this.search.focus();
  }

  /** One template, or the gallery for null. */
  async show(name) {
    const before = this.open;
    this.open = name;
    if (name) await this.editor.open(name);
    this.gallery.hidden = Boolean(name);
    this.editor.element.hidden = !name;
    if (name) return this.editor.heading.focus({ preventScroll: false });
    this.list();
    [...this.grid.querySelectorAll(".cs-t-open")].find((one) => one.dataset.name === before)?.focus();
  }

  async arrive(name) {
    await this.load();
    await this.show(name);
  }

  make() {
    askAt(this.makes, "Title of the template", [], async (title) => {
      const name = named(title, this.taken());
      const template = { title, prompt: "a photo of $product on a plain white background", variables: { product: { type: "text", title: "Product", help: "What the picture shows" } }, example: { product: "a red mug" } };
      if (await tried(() => api.newTemplate({ name, template, note: "New" }), "", this.wrong)) await this.arrive(name);
    });
  }

  copy(from, button) {
    askAt(button, "Title of the copy", [], async (title) => {
      const name = named(title, this.taken());
      if (await tried(() => api.newTemplate({ name, from, title }), `${title}: a copy to change.`, this.editor.wrong)) await this.arrive(name);
    });
  }

  taken() {
    return [...this.facts.templates, ...this.facts.removed].map(({ name }) => name);
  }

  async restore({ name, title, version }) {
    if (await tried(() => api.restoreTemplate(name, version), `${title} is back.`, this.wrong)) await this.load();
  }

  async bring() {
    const [file] = this.file.files;
    this.file.value = "";
    if (!file) return;
    this.left.hidden = true;
    let brought;
    if (!(await tried(async () => (brought = await api.importTemplates(file.name, await file.text())), "", this.wrong))) return;
    toast(`${plural(brought.names.length, "template")} from ${brought.title}.`);
    this.lists(brought.left);
    await this.load();
    if (brought.names.length === 1) await this.show(brought.names[0]);
  }

  /** What a format could not hold. */
  lists(left) {
    this.left.hidden = !left.length;
    this.left.replaceChildren(...left.slice(0, 12).map((text) => h("li", { text })), ...(left.length > 12 ? [h("li", { text: `and ${left.length - 12} more` })] : []));
  }

  take(names, button) {
    menuAt(button, this.facts.formats.map(({ name, title }) => [title, name === "toml" ? "everything" : "name, prompt, negative prompt", async () => {
      let taken;
      const wrong = this.open ? this.editor.wrong : this.wrong;
      if (!(await tried(async () => (taken = await api.exportTemplates(names, name)), "", wrong))) return;
      const url = URL.createObjectURL(new Blob([taken.content], { type: "text/plain;charset=utf-8" }));
      h("a", { href: url, download: taken.file }).click();
      setTimeout(() => URL.revokeObjectURL(url), 10_000);
      if (this.open) toast(taken.left.length ? `${title} cannot hold all of it. ${taken.left[0]}` : `${taken.file} is in your downloads.`);
      else this.lists(taken.left);
    }]));
  }
}

/** A free name for a template, from its title. */
function named(title, taken) {
  const plain = title.normalize("NFKD").toLowerCase().replace(/[^a-z0-9]+/g, "-").replace(/^-+|-+$/g, "").slice(0, 34).replace(/-+$/, "") || "template";
  if (!taken.includes(plain)) return plain;
  for (let i = 2; ; i++) if (!taken.includes(`${plain}-${i}`)) return `${plain}-${i}`;
}
