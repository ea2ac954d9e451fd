// The variables of a template: names, types, titles, defaults, limits and examples, a row each.

import { h, icon, set } from "./dom.js";

const TYPES = [["text", "Text"], ["choice", "Choice"], ["colour", "Colour"], ["number", "Number"], ["image", "Picture"]];
const ROLES = [["likeness", "to look like"], ["img2img", "to start from"], ["reference", "shown to the model"]];

export class TemplateVariables {
  constructor(changed) {
    this.changed = changed;
    this.rows = h("ul", { class: "cs-t-variables" });
    this.adds = h("button", { type: "button", class: "cs-plain", text: "Add a variable", onclick: () => this.add() });
    this.element = h("div", {}, h("h3", { text: "Variables" }), this.rows, this.adds);
  }

  /** data: the template as it is edited; changed in place. */
  show(data) {
    this.data = data;
    const names = Object.keys(data.variables ?? {});
    this.rows.replaceChildren(...names.map((name) => this.row(name)));
    if (!names.length) this.rows.replaceChildren(h("li", { class: "cs-quiet", text: "None. A variable is asked for each time; write it as $name in the texts." }));
  }

  mark(field) {
    const [, name] = field.startsWith("variables.") || field.startsWith("example.") || field.startsWith("values.") ? field.split(".") : [];
    for (const row of this.rows.children) set(row, { "data-wrong": row.dataset.name === name && name ? "true" : null });
  }

  row(name) {
    const variable = this.data.variables[name];
    const put = (key, value) => {
      if (value === "" || value === null || (Array.isArray(value) && !value.length)) delete variable[key];
      else variable[key] = value;
      this.changed();
    };
    const cell = (label, input) => h("label", { class: "cs-t-cell" }, h("span", { text: label }), input);
    const text = (key, label, value, read = (one) => one) => {
      const input = h("input", { type: "text", autocomplete: "off", onchange: () => put(key, read(input.value.trim())) });
      input.value = value ?? "";
      return cell(label, input);
    };
    const select = (key, label, options, redraw = false) => {
      const input = h("select", { onchange: () => {
        if (redraw) for (const one of ["choices", "low", "high", "whole", "max_length", "write", "role", "strength", "default"]) delete variable[one];
        if (redraw && input.value === "choice") variable.choices = ["one", "another"];
        put(key, input.value);
        if (redraw) this.show(this.data);
      } }, options.map(([value, title]) => h("option", { value, text: title })));
      input.value = variable[key] ?? options[0][0];
      return cell(label, input);
    };
    const number = (key, label) => text(key, label, variable[key], (one) => (one === "" ? null : Number(one)));
    const valued = (one) => (one === "" ? null : variable.type === "number" && Number.isFinite(Number(one)) ? Number(one) : one);
    const required = h("input", { type: "checkbox", onchange: () => {
      variable.required = required.checked;
      this.changed();
    } });
    required.checked = variable.required ?? variable.default === undefined;
    const rename = h("input", { type: "text", value: name, "aria-label": "Name of the variable", class: "cs-t-name", autocomplete: "off", onchange: () => this.rename(name, rename.value.trim()) });
    const own = {
      text: () => [number("max_length", "Letters at most")],
      choice: () => [text("choices", "Choices, with commas", (variable.choices ?? []).join(", "), (one) => one.split(",").map((part) => part.trim()).filter(Boolean))],
      colour: () => [select("write", "Told as", [["name", "a name"], ["hex", "#RRGGBB"], ["both", "both"]])],
      number: () => [number("low", "From"), number("high", "To")],
      image: () => [select("role", "Is there", ROLES)],
    }[variable.type]?.() ?? [];
    const example = h("input", { type: "text", autocomplete: "off", onchange: () => {
      this.data.example ??= {};
      const value = valued(example.value.trim());
      if (value === null) delete this.data.example[name];
      else this.data.example[name] = value;
      this.changed();
    } });
    example.value = this.data.example?.[name] ?? "";
    return h("li", { data: { name } },
      h("div", { class: "cs-t-vhead" }, h("span", { "aria-hidden": "true", text: "$" }), rename, select("type", "Type", TYPES, true), h("label", { class: "cs-t-check" }, required, "Required"),
        h("button", { type: "button", class: "cs-tool", "aria-label": `Remove ${name}`, title: `Remove ${name}`, onclick: () => this.remove(name) }, icon("close"))),
      h("div", { class: "cs-t-cells" }, text("title", "Title", variable.title), text("help", "Help", variable.help), ...own,
        ...(variable.type === "image" ? [] : [text("default", "Default", variable.default, valued), cell("Example", example)])));
  }

  add() {
    const taken = this.data.variables ?? {};
    let name = "variable";
    for (let i = 2; name in taken; i++) name = `variable_${i}`;
    this.data.variables = { ...taken, [name]: { type: "text", title: "", required: false } };
    this.show(this.data);
    this.changed();
    const field = this.rows.lastElementChild.querySelector(".cs-t-name");
    field.focus();
    field.select();
  }

  rename(name, to) {
    if (!to || to === name) return;
    const renamed = (table) => Object.fromEntries(Object.entries(table ?? {}).map(([key, value]) => [key === name ? to : key, value]));
    this.data.variables = renamed(this.data.variables);
    if (this.data.example) this.data.example = renamed(this.data.example);
    // In the texts too: what is declared and what is written stay one.
    const write = (text) => text.replace(new RegExp(`\\$(?:\\{${name}\\}|${name}(?![a-z0-9]|_[a-z0-9]))`, "g"), () => `\${${to}}`);
    for (const key of ["prompt", "negative"]) if (this.data[key]) this.data[key] = write(this.data[key]);
    for (const key of Object.keys(this.data.parts ?? {})) this.data.parts[key] = write(this.data.parts[key]);
    for (const key of ["texts", "palette"]) if (this.data[key]) this.data[key] = this.data[key].map(write);
    this.element.dispatchEvent(new CustomEvent("cs-renamed", { bubbles: true }));
    this.show(this.data);
    this.changed();
  }

  remove(name) {
    delete this.data.variables[name];
    if (this.data.example) delete this.data.example[name];
    this.show(this.data);
    this.changed();
    this.adds.focus();
  }
}
