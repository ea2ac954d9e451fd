// The JSON routes. The one place where an answer that is no success becomes an error to show.

export class Refused extends Error {
  constructor({ field, what, why, todo }, status) {
    super([what, why, todo].filter(Boolean).join(" "));
    this.field = field || null;
    this.status = status;
  }
}

const SILENT = { field: null, what: "The studio does not answer.", why: "It may have been closed.", todo: "Start it again with: python launch.py" };

export function ask(path, body) {
  return send(path, body === undefined ? {} : { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
}

let leaving = false; // what is refused because of it need not lead to the login page as well: one navigation would abort the other
window.addEventListener("pageshow", () => (leaving = false)); // also when it comes back out of the browser's memory

/** Ends the session. */
export async function leave() {
  leaving = true;
  try {
    await fetch("/logout", { method: "POST" }); // not for its answer: whatever it is, the next page says who is logged in
    location.assign("/login");
  } catch (error) {
    leaving = false;
    throw error;
  }
}

export async function send(path, options, asFile = false) {
  let response;
  try {
    response = await fetch(path, options);
  } catch (error) {
    if (error instanceof TypeError) throw new Refused(SILENT, 0); // fetch's word for "no connection"
    throw error;
  }
  // The session has ended. Whatever is on the page stays in the address to come back to.
  if (response.status === 401 && !leaving) location.assign(`/login?next=${encodeURIComponent(location.pathname + location.search)}`);
  if (response.ok && asFile) return response.blob();
  const isJson = (response.headers.get("content-type") || "").includes("json");
  const answer = isJson ? await response.json() : null;
  if (response.ok && answer) return answer;
  throw new Refused((answer && answer.error) || { what: `The studio answered ${response.status}.`, why: "", todo: "" }, response.status);
}

export const api = {
  reviewNext: (seat, count) => ask("/api/review/next", { seat, count }),
  reviewSay: (id, seat, approved, reasons) => ask(`/api/review/${id}`, { seat, approved, reasons }),
  reviewShow: (id, seat) => ask(`/api/review/${id}/show`, { seat }),
  reviewPass: (id, seat) => ask(`/api/review/${id}/pass`, { seat }),
  reviewUndo: (seat) => ask("/api/review/undo", { seat }),
  thresholds: (chosen) => ask(`/api/thresholds?${new URLSearchParams(chosen)}`),
  applyThresholds: (what) => ask("/api/thresholds/apply", what),
  restoreThresholds: (what) => ask("/api/thresholds/restore", what),
  studio: () => ask("/api/studio"),
  words: (prompt, family, tier) => ask("/api/words", { prompt, family, tier }),
  parts: () => ask("/api/parts"),
  compose: (request) => ask("/api/compose", request),
  wildcards: () => ask("/api/wildcards"),
  wildcard: (name) => ask(`/api/wildcards/${name.split("/").map(encodeURIComponent).join("/")}`),
  saveWildcard: (name, text) => ask("/api/wildcards", { name, text }),
  dropWildcard: (name) => ask("/api/wildcards/remove", { name }),
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
  production: (what) => ask("/api/export", what),
  productionProviders: () => ask("/api/export/providers"),
  productionFiles: (what) => send("/api/export/zip", { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(what) }, true),
  order: (ids, as, strip) => ask("/api/exports", { ids, as, strip }),
  rate: (id, rating) => ask(`/api/images/${id}/rate`, { rating }),
  keep: (id, keep) => ask(`/api/images/${id}/keep`, { keep }),
  promote: (id, tier, draft) => ask(`/api/images/${id}/promote`, { tier, draft }),
  image: (id) => ask(`/api/images/${id}`),
  history: (query) => ask(`/api/history?${query}`),
  historyIds: (query) => ask(`/api/history/ids?${query}`),
  facets: () => ask("/api/history/facets"),
  bulk: (what, ids, given = {}) => ask("/api/images/bulk", { do: what, ids, ...given }),
  tag: (id, tags) => ask(`/api/images/${id}/tags`, { tags }),
  note: (id, note) => ask(`/api/images/${id}/note`, { note }),
  comments: (id) => ask(`/api/images/${id}/comments`),
  comment: (id, text) => ask(`/api/images/${id}/comments`, { text }),
  editComment: (id, text) => ask(`/api/comments/${id}`, { text }),
  deleteComment: (id) => ask(`/api/comments/${id}/delete`, {}),
  restoreComment: (id) => ask(`/api/comments/${id}/restore`, {}),
  templates: () => ask("/api/templates"),
  template: (name, version = null) => ask(`/api/templates/${encodeURIComponent(name)}${version === null ? "" : `?version=${version}`}`),
  newTemplate: (template) => ask("/api/templates", template),
  saveTemplate: (name, change) => ask(`/api/templates/${encodeURIComponent(name)}`, change),
  tryTemplate: (name, draft) => ask(`/api/templates/${encodeURIComponent(name)}/preview`, draft),
  restoreTemplate: (name, version) => ask(`/api/templates/${encodeURIComponent(name)}/restore`, { version }),
  removeTemplate: (name) => ask(`/api/templates/${encodeURIComponent(name)}/remove`, {}),
  templateChanges: (name, old, now) => ask(`/api/templates/${encodeURIComponent(name)}/changes?old=${old}&new=${now}`),
  importTemplates: (file, content) => ask("/api/templates/import", { file, content }),
  exportTemplates: (names, format) => ask("/api/templates/export", { names, format }),
  experiments: () => ask("/api/experiments"),
  experiment: (id) => ask(`/api/experiments/${id}`),
  planExperiment: (design) => ask("/api/experiments/plan", { design }),
  newExperiment: (data) => ask("/api/experiments", data),
  saveExperiment: (id, data) => ask(`/api/experiments/${id}`, data),
  actExperiment: (id, act, data) => ask(`/api/experiments/${id}/${act}`, data),
  experimentChanges: (id, old, now) => ask(`/api/experiments/${id}/changes?old=${old}&new=${now}`),
  restoreDesign: (id, version) => ask(`/api/experiments/${id}/design/restore`, { version }),
  experimentPairs: (id, after) => ask(`/api/experiments/${id}/pairs?after=${after}`),
  votes: (id) => ask(`/api/experiments/${id}/votes`),
  vote: (id, pair, choice) => ask(`/api/experiments/${id}/votes`, { pair, choice }),
  undoVote: (id) => ask(`/api/experiments/${id}/votes/undo`, {}),
  insights: (panel, query) => ask(`/api/insights/${panel}?${query}`),
  failures: (query) => ask(`/api/failures?${query}`),
  grids: () => ask("/api/grids"),
  planGrid: (grid) => ask("/api/grids/plan", grid),
  startGrid: (grid) => ask("/api/grids", grid),
  grid: (id) => ask(`/api/grids/${id}`),
  gridDo: (id, act) => ask(`/api/grids/${id}/${act}`, {}),
  seeds: (template) => ask(`/api/seeds?${new URLSearchParams({ template })}`),
  pinSeed: (image) => ask("/api/seeds", { image }),
  seedDo: (id, act, data) => ask(`/api/seeds/${id}${act}`, data),
  emptyTrash: () => ask("/api/trash/empty", {}),
  boards: () => ask("/api/boards"),
  newBoard: (name) => ask("/api/boards", { name }),
  board: (id, act, data) => ask(`/api/boards/${id}${act}`, data),
  orderBoards: (ids) => ask("/api/boards/order", { ids }),
  profiles: () => ask("/api/profiles"),
  models: () => ask("/api/models"),
  scorers: () => ask("/api/scorers"),
  scorer: (name, act, data) => ask(`/api/scorers/${name}/${act}`, data),
  scoreAgain: (which) => ask("/api/images/score", which),
  safety: () => ask("/api/safety"),
  saveSafety: (list, note, base) => ask("/api/safety", { list, note, base }),
  trySafety: (prompt, list) => ask("/api/safety/try", { prompt, list }),
  restoreSafety: (version) => ask("/api/safety/restore", { version }),
  model: (name, act, data) => ask(`/api/models/${name}/${act}`, data),
  set: (changes) => ask("/api/settings", changes),
  settings: () => ask("/api/settings"),
  cloud: () => ask("/api/cloud"),
  cloudSettings: (changes) => ask("/api/cloud/settings", changes),
  testProvider: (name) => ask(`/api/cloud/${name}/test`, {}),
  giveKey: (name, key) => ask(`/api/cloud/${name}/key`, { key }),
  forgetKey: (name) => send(`/api/cloud/${name}/key`, { method: "DELETE", headers: { "Content-Type": "application/json" } }),
  loraAddress: (name, version, url) => ask(`/api/cloud/loras/${encodeURIComponent(name)}/${version}`, url === undefined ? undefined : { url }),
  quote: (request) => ask("/api/cloud/quote", request),
  money: () => ask("/api/money"),
  charges: (query) => ask(`/api/money/charges?${query}`),
  setBudget: (budget) => ask("/api/money/budgets", budget),
  giveCredit: (credit) => ask("/api/money/credits", credit),
  setRate: (rate) => ask("/api/money/rates", rate),
  resolveCharges: (charges, billed) => ask("/api/money/charges/resolve", { charges, billed }),
  people: () => ask("/api/people"),
  addPerson: (person) => ask("/api/people", person),
  changePerson: (name, changes) => ask(`/api/people/${encodeURIComponent(name)}`, changes),
  setPassword: (name, secrets) => ask(`/api/people/${encodeURIComponent(name)}/password`, secrets),
  removePerson: (name, to) => ask(`/api/people/${encodeURIComponent(name)}/remove`, { to }),
  restorePerson: (name, password) => ask(`/api/people/${encodeURIComponent(name)}/restore`, { password }),
  projects: () => ask("/api/projects"),
  addProject: (title) => ask("/api/projects", { title }),
  changeProject: (name, changes) => ask(`/api/projects/${encodeURIComponent(name)}`, changes),
  removeProject: (name) => ask(`/api/projects/${encodeURIComponent(name)}/remove`, {}),
  shareImage: (id, shared) => ask(`/api/images/${id}/share`, { with: shared }),
  shareJob: (id, shared) => ask(`/api/jobs/${id}/share`, { with: shared }),
  token: (token) => ask("/api/models/token", { token }),
  profile: (name) => ask(`/api/profiles/${encodeURIComponent(name)}`),
  newProfile: (profile) => ask("/api/profiles", profile),
  tryProfile: (name, profile) => ask(`/api/profiles/${encodeURIComponent(name)}/preview`, { profile }),
  saveProfile: (name, change) => ask(`/api/profiles/${encodeURIComponent(name)}`, change),
  restoreProfile: (name, version) => ask(`/api/profiles/${encodeURIComponent(name)}/restore`, { version }),
  removeProfile: (name) => ask(`/api/profiles/${encodeURIComponent(name)}/remove`, {}),
  profileChanges: (name, old, now) => ask(`/api/profiles/${encodeURIComponent(name)}/changes?old=${old}&new=${now}`),
  rule: (text) => ask("/api/rules", { text }),
  similar: (prompt) => ask("/api/similar", { prompt }),
  pin: (id, pinned) => ask(`/api/images/${id}/pin`, { pinned }),
  datasets: () => ask("/api/datasets"),
  dataset: (id) => ask(`/api/datasets/${id}`),
  newDataset: (fields) => ask("/api/datasets", fields),
  changeDataset: (id, fields) => ask(`/api/datasets/${id}`, fields),
  datasetDo: (id, act, data) => ask(`/api/datasets/${id}/${act}`, data),
  bringPicture: (dataset, body, name, type) => send(`/api/datasets/picture?${new URLSearchParams({ dataset, name })}`, { method: "POST", headers: { "Content-Type": type }, body }),
  bringZip: (dataset, body) => send(`/api/datasets/zip?${new URLSearchParams({ dataset })}`, { method: "POST", headers: { "Content-Type": "application/octet-stream" }, body }),
  captioner: (name, act) => ask(`/api/captioners/${name}/${act}`, {}),
  loras: (asked) => ask(`/api/loras?${new URLSearchParams(asked)}`),
  lora: (name, asked) => ask(`/api/loras/${encodeURIComponent(name)}?${new URLSearchParams(asked)}`),
  loraVersion: (name, number) => ask(`/api/loras/${encodeURIComponent(name)}/versions/${number}`),
  changeLora: (name, fields) => ask(`/api/loras/${encodeURIComponent(name)}`, fields),
  loraDo: (name, act, data) => ask(`/api/loras/${encodeURIComponent(name)}/${act}`, data),
  loraFolders: () => ask("/api/loras/folders"),
  lookForLoras: () => ask("/api/loras/folders/look", {}),
  trainings: () => ask("/api/trainings"),
  training: (id) => ask(`/api/trainings/${id}`),
  proposeTraining: (about) => ask(`/api/trainings/proposal?${new URLSearchParams(about)}`),
  newTraining: (asked) => ask("/api/trainings", asked),
  trainingDo: (id, act) => ask(`/api/trainings/${id}/${act}`, {}),
  bringLora: (file, said) => send(`/api/loras/import?${new URLSearchParams(said)}`, { method: "POST", headers: { "Content-Type": "application/octet-stream" }, body: file }),
  batches: (path = "", data = undefined) => ask(`/api/batches${path}`, data),
  bringTable: (body, name) => send(`/api/batches/catalogues?${new URLSearchParams({ name })}`, { method: "POST", headers: { "Content-Type": "application/octet-stream" }, body }),
  bring: (file, family, tier) => send(`/api/import?${new URLSearchParams({ family, tier })}`, { method: "POST", headers: { "Content-Type": file.type || "image/unknown" }, body: file }),
};
