// Your password, the people (for an admin) and the projects.

import { api } from "./api.js";
import { h, plural } from "./dom.js";
import { studio } from "./studio.js";
import { tried } from "./settings.js";

/** A field with its label. */
function field(id, title, attributes = {}) {
  const input = h("input", { id, ...attributes });
  return { input, element: h("div", { class: "cs-field" }, h("label", { for: id, text: title }), input) };
}

const password = (id, title, autocomplete = "new-password") => field(id, title, { type: "password", autocomplete, maxlength: 256 });

export class CsPeople {
  constructor() {
    this.yours = h("section", { hidden: true });
    this.everybody = h("section", { hidden: true });
    this.projects = h("section", {});
    this.element = h("div", { hidden: true }, this.projects, this.everybody);
    this.showYours();
    this.everybody.append(h("h2", { text: "People" }), this.peopleList = h("ul", { class: "cs-list" }), this.addPerson());
    this.projects.append(h("h2", { text: "Projects" }), h("p", { class: "cs-quiet", text: "What is shared with a project is seen by its members." }), this.projectList = h("ul", { class: "cs-list" }), this.addProject());
  }

  async load() {
    const [{ people }, { projects }] = await Promise.all([api.people(), api.projects()]);
    this.people = people;
    this.element.hidden = this.yours.hidden = false;
    this.everybody.hidden = !studio.about.admin;
    if (studio.about.admin) this.peopleList.replaceChildren(...people.map((one) => this.person(one)));
    this.projectList.replaceChildren(...projects.map((one) => this.project(one)));
    this.projectList.hidden = projects.length === 0;
  }

  /** Does something, then shows everything anew. */
  async doing(act, words, place = null) {
    const done = await tried(act, words, place);
    if (done) await this.load();
    return done;
  }

  showYours() {
    const old = password("cs-old", "Password now", "current-password");
    const fresh = password("cs-new", "New password");
    const wrong = h("p", { class: "cs-error", role: "alert" });
    const form = h("form", { class: "cs-inline", onsubmit: async (event) => {
      event.preventDefault();
      const done = await tried(() => api.setPassword(studio.about.person, { old: old.input.value, password: fresh.input.value }), "Your password is changed; your other browsers are logged out.", wrong);
      if (done) form.reset();
    } }, old.element, fresh.element, h("button", { type: "submit", class: "cs-plain", text: "Change password" }), wrong);
    this.yours.append(h("h2", { text: "Your password" }), form);
  }

  person(one) {
    const facts = [
      one.admin && "admin", one.you && "you", one.removed && "removed", !one.removed && !one.can_log_in && "cannot log in",
      plural(one.pictures, "picture"), one.seen && `last here ${new Date(one.seen * 1000).toLocaleDateString("en-GB", { day: "numeric", month: "short", year: "numeric" })}`,
    ].filter(Boolean);
    const tools = h("div", { class: "cs-tools" });
    const place = h("div", {});
    const opens = (text, show) => h("button", { type: "button", class: "cs-plain", "aria-label": `${text}: ${one.name}`, text, onclick: () => {
      place.replaceChildren(show());
      place.querySelector("input, select, button").focus();
    } });
    if (one.removed) tools.append(opens("Restore", () => this.setting(one, "Restore", (secret) => api.restorePerson(one.name, secret), `${one.name} is back.`)));
    else {
      if (!one.you) {
        if (one.can_log_in) {
          const to = !one.admin;
          tools.append(h("button", { type: "button", class: "cs-plain", "aria-label": `${to ? "Make admin" : "No admin any more"}: ${one.name}`, text: to ? "Make admin" : "No admin", onclick: () => this.doing(() => api.changePerson(one.name, { admin: to }), to ? `${one.name} is an admin.` : `${one.name} is no admin any more.`) }));
        }
        tools.append(opens("Set password", () => this.setting(one, "Set password", (secret) => api.setPassword(one.name, { password: secret }), `${one.name} must log in with the new password.`)));
        tools.append(opens("Remove", () => this.removing(one)));
      }
    }
    return h("li", { "data-person": one.name }, h("div", { class: "cs-list-head" }, h("div", {}, h("b", { text: one.title || one.name }), one.title && one.title !== one.name && h("span", { class: "cs-quiet", text: one.name }), h("p", { class: "cs-quiet", text: facts.join(" · ") })), tools), place);
  }

  setting(one, label, act, words) {
    const secret = password(`cs-secret-${one.name}`, `New password of ${one.name}`);
    const wrong = h("p", { class: "cs-error", role: "alert" });
    return h("form", { class: "cs-inline", onsubmit: (event) => {
      event.preventDefault();
      this.doing(() => act(secret.input.value), words, wrong);
    } }, secret.element, h("button", { type: "submit", class: "cs-primary", text: label }), wrong);
  }

  removing(one) {
    const others = this.people.filter((other) => other.name !== one.name && !other.removed);
    const list = h("select", { id: `cs-heir-${one.name}` }, h("option", { value: "", text: `stay under the name ${one.name}` }), ...others.map((other) => h("option", { value: other.name, text: `go to ${other.name}` })));
    const wrong = h("p", { class: "cs-error", role: "alert" });
    return h("form", { class: "cs-inline", onsubmit: (event) => {
      event.preventDefault();
      this.doing(() => api.removePerson(one.name, list.value || null), `${one.name} is removed and logged out.`, wrong);
    } }, h("div", { class: "cs-field" }, h("label", { for: list.id, text: `Their ${plural(one.pictures, "picture")}` }), list), h("button", { type: "submit", class: "cs-primary", text: `Remove ${one.name}` }), wrong);
  }

  addPerson() {
    const name = field("cs-person-name", "Name to log in with", { type: "text", autocomplete: "off", autocapitalize: "none", spellcheck: "false", maxlength: 40 });
    const title = field("cs-person-title", "Shown as", { type: "text", autocomplete: "off", maxlength: 80 });
    const secret = password("cs-person-password", "Password");
    const wrong = h("p", { class: "cs-error", role: "alert" });
    const form = h("form", { class: "cs-inline", onsubmit: async (event) => {
      event.preventDefault();
      const done = await this.doing(() => api.addPerson({ name: name.input.value, title: title.input.value, password: secret.input.value }), "They can log in now.", wrong);
      if (done) form.reset();
    } }, name.element, title.element, secret.element, h("button", { type: "submit", class: "cs-plain", text: "Add person" }), wrong);
    return form;
  }

  project(one) {
    const wrong = h("p", { class: "cs-error", role: "alert" });
    const members = h("ul", { class: "cs-members" }, ...one.members.map((name) => h("li", {}, h("span", { text: this.titleOf(name) }), (one.may_change || name === studio.about.person) && h("button", { type: "button", class: "cs-plain", "aria-label": name === studio.about.person ? `Leave ${one.title}` : `Take ${name} out of ${one.title}`, text: name === studio.about.person ? "Leave" : "Take out", onclick: () => this.doing(() => api.changeProject(one.name, { remove: [name] }), `${name} has left ${one.title}.`, wrong) }))));
    const out = this.people.filter((person) => !person.removed && !one.members.includes(person.name));
    const list = h("select", { id: `cs-join-${one.name}`, "aria-label": `Who joins ${one.title}` }, ...out.map((person) => h("option", { value: person.name, text: person.title || person.name })));
    const stays = h("input", { type: "checkbox", role: "switch", id: `cs-stays-${one.name}`, onchange: () => this.doing(() => api.changeProject(one.name, { local_only: stays.checked }), stays.checked ? `Nothing of ${one.title} leaves this machine.` : `${one.title} may use the cloud.`, wrong) });
    stays.checked = one.local_only;
    const tools = one.may_change ? h("div", { class: "cs-tools" },
      h("label", { class: "cs-check", for: stays.id, title: "No request and no picture that is shared with it goes to a provider" }, stays, h("span", { text: "Stays here" })),
      out.length > 0 && list,
      out.length > 0 && h("button", { type: "button", class: "cs-plain", "aria-label": `Add to ${one.title}`, text: "Add member", onclick: () => this.doing(() => api.changeProject(one.name, { add: [list.value] }), `${list.value} belongs to ${one.title}.`, wrong) }),
      h("button", { type: "button", class: "cs-plain", "aria-label": `Delete the project ${one.title}`, text: "Delete", onclick: (event) => this.deleting(event.currentTarget, one, wrong) })) : null;
    return h("li", { "data-project": one.name }, h("div", { class: "cs-list-head" }, h("div", {}, h("b", { text: one.title }), h("p", { class: "cs-quiet", text: plural(one.members.length, "member") + (one.local_only ? " · stays on this machine" : "") })), tools), members, wrong);
  }

  /** A second click deletes: pictures stay, but what was shared with the project is its owners' alone again. */
  deleting(button, one, wrong) {
    if (button.dataset.sure) this.doing(() => api.removeProject(one.name), `${one.title} is deleted; its pictures are their owners' alone again.`, wrong);
    button.dataset.sure = "yes";
    button.textContent = "Delete for good";
    button.addEventListener("blur", () => {
      delete button.dataset.sure;
      button.textContent = "Delete";
    }, { once: true });
  }

  titleOf(name) {
    const person = this.people.find((one) => one.name === name);
    return person?.title || name;
  }

  addProject() {
    const title = field("cs-project-title", "Title", { type: "text", autocomplete: "off", maxlength: 80 });
    const wrong = h("p", { class: "cs-error", role: "alert" });
    const form = h("form", { class: "cs-inline", onsubmit: async (event) => {
      event.preventDefault();
      const done = await this.doing(() => api.addProject(title.input.value), "The project is there; add its members.", wrong);
      if (done) form.reset();
    } }, title.element, h("button", { type: "submit", class: "cs-plain", text: "New project" }), wrong);
    return form;
  }
}
