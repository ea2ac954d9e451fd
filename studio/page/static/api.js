// The JSON routes. The one place where an answer that is no success becomes an error to show.

export class Refused extends Error {
  constructor({ field, what, why, todo }, status) {
    super([what, why, todo].filter(Boolean).join(" "));
    this.field = field || null;
    this.status = status;
  }
}

const SILENT = { field: null, what: "The studio does not answer.", why: "It may have been closed.", todo: "Start it again with: python launch.py" };

function ask(path, body) {
  return send(path, body === undefined ? {} : { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
}

async function send(path, options) {
  let response;
  try {
    response = await fetch(path, options);
  } catch (error) {
    if (error instanceof TypeError) throw new Refused(SILENT, 0); // fetch's word for "no connection"
    throw error;
  }
  const isJson = (response.headers.get("content-type") || "").includes("json");
  const answer = isJson ? await response.json() : null;
  if (response.ok && answer) return answer;
  throw new Refused((answer && answer.error) || { what: `The studio answered ${response.status}.`, why: "", todo: "" }, response.status);
}

export const api = {
  studio: () => ask("/api/studio"),
  words: (prompt, family, tier) => ask("/api/words", { prompt, family, tier }),
  submit: (request) => ask("/api/jobs", request),
  jobs: () => ask("/api/jobs"),
  job: (id) => ask(`/api/jobs/${id}`),
  queue: () => ask("/api/queue"),
  pauseQueue: () => ask("/api/queue/pause", {}),
  resumeQueue: () => ask("/api/queue/resume", {}),
  move: (id, to) => ask(`/api/jobs/${id}/${to}`, {}),
  priority: (id, priority) => ask(`/api/jobs/${id}/priority`, { priority }),
  startAt: (id, time) => ask(`/api/jobs/${id}/start_at`, { start_at: time }),
  cancel: (id) => ask(`/api/jobs/${id}/cancel`, {}),
  pause: (id) => ask(`/api/jobs/${id}/pause`, {}),
  resume: (id) => ask(`/api/jobs/${id}/resume`, {}),
  order: (ids, as) => ask("/api/exports", { ids, as }),
  rate: (id, rating) => ask(`/api/images/${id}/rate`, { rating }),
  keep: (id, keep) => ask(`/api/images/${id}/keep`, { keep }),
  promote: (id, tier, draft) => ask(`/api/images/${id}/promote`, { tier, draft }),
  images: (before, limit) => ask(`/api/images?limit=${limit}${before ? `&before=${before}` : ""}`),
  image: (id) => ask(`/api/images/${id}`),
  models: () => ask("/api/models"),
  model: (name, act, data) => ask(`/api/models/${name}/${act}`, data),
  set: (changes) => ask("/api/settings", changes),
  token: (token) => ask("/api/models/token", { token }),
  similar: (prompt) => ask("/api/similar", { prompt }),
  pin: (id, pinned) => ask(`/api/images/${id}/pin`, { pinned }),
  bring: (file, family, tier) => send(`/api/import?${new URLSearchParams({ family, tier })}`, { method: "POST", headers: { "Content-Type": file.type || "image/unknown" }, body: file }),
};
