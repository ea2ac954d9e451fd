// Who is logged in, and the way out. Empty where there is no login.

import { api, leave } from "./api.js";
import { h } from "./dom.js";
import { studio } from "./studio.js";

export class CsAccount extends HTMLElement {
  connectedCallback() {
    studio.on("about", () => this.show());
    // The stream of events also ends when the session does. Asking for anything tells the two apart: a session that has ended
    // leads to the login page (api.js), and silence is told by the head.
    studio.on("lost", () => api.studio().then(null, (error) => (this.dataset.lost = error.status)));
    this.show();
  }

  show() {
    if (!studio.about?.login || this.firstChild) return;
    this.append(
      h("button", { type: "button", class: "cs-who", title: "Your settings", text: studio.about.person, onclick: () => studio.show("settings") }),
      h("button", { type: "button", class: "cs-plain cs-logout", text: "Log out", onclick: () => leave() }),
    );
  }
}
