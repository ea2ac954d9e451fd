// What the page knows of the cloud: asked for once, and again whenever any of it changes. Says "clouds" through `studio` when it arrives.

import { Refused, api } from "./api.js";
import { debounced } from "./dom.js";
import { studio } from "./studio.js";

const GATHER_MS = 400;

class Clouds {
  view = null; // as GET /api/cloud tells it

  start() {
    const again = debounced(() => this.read(), GATHER_MS);
    studio.on("about", () => this.read());
    studio.on("cloud", again);
    if (studio.about) this.read();
  }

  async read() {
    try {
      this.set(await api.cloud());
    } catch (error) {
      if (!(error instanceof Refused)) throw error; // where the studio is away the head says so
    }
  }

  set(view) {
    this.view = view;
    studio.say("clouds", view);
  }

  /** A provider in another state, as an answer has it. */
  put(provider) {
    this.set({ ...this.view, providers: this.view.providers.map((one) => (one.name === provider.name ? provider : one)) });
  }

  /** Whether a provider that can be used draws this family's pictures. */
  serves(family) {
    return Boolean(this.view?.ready) && this.view.providers.some((one) => one.enabled && one.usable && one.models.some((model) => family in model.serves));
  }
}

export const clouds = new Clouds();

/** What people call the provider that a picture came from; "" for this machine. */
export function providerOf(place) {
  const [name] = place.split(" ");
  return clouds.view?.providers.find((one) => one.name === name)?.title ?? name;
}

/** Where a picture was made, for people: "this machine", "fal, FLUX.1 [schnell]". place: "", or a provider's name and its model's id. */
export function placeOf(place) {
  if (!place) return "this machine";
  const [name, id = ""] = place.split(/ (.*)/s);
  const provider = clouds.view?.providers.find((one) => one.name === name);
  return [provider?.title ?? name, provider?.models.find((one) => one.id === id)?.title ?? id].filter(Boolean).join(", ");
}
