// The frame of the viewer: which page is shown, what is live, and the keys.

import { api, el, replace } from "./dom.js";
import { ListPage } from "./list.js";
import { ProblemPage } from "./problem.js";
import { RunPage } from "./run.js";

const POLL_SECONDS = 2;
const PAGES = { problems: ListPage, problem: ProblemPage, run: RunPage };
const KEYS = [
  ["?", "this help"],
  ["g p, g r", "problems, run"],
  ["/", "search the problems"],
  ["j k or ↓ ↑", "next and previous problem in the list; Enter opens it"],
  ["← →", "in a tree: the parent, the first child"],
  ["↑ ↓", "in a tree: the node above, the node below"],
  ["[ ]", "in a tree: one estimate back, one on"],
  ["Space", "in a tree: play its growth"],
  ["s S", "in a tree: next and previous binary search"],
  ["Home", "in a tree: the root"],
  ["Esc", "back to the list"],
];

const state = { page: null, kind: null, version: "", stores: [], lastList: "#/problems", waiting: "" };
const main = document.getElementById("page");

/** "#/problem?id=…" as ["problem", parameters]. */
function address() {
  const [path, query] = location.hash.replace(/^#\/?/, "").split("?");
  return [path in PAGES ? path : "problems", new URLSearchParams(query ?? "")];
}

async function show() {
  const [kind, parameters] = address();
  if (kind === "problems") state.lastList = location.hash || "#/problems";
  if (state.kind === kind && state.page.accepts?.(parameters)) return;
  state.page?.close?.();
  state.kind = kind;
  state.page = new PAGES[kind](main, parameters, state);
  for (const link of document.querySelectorAll("nav a")) {
    link.toggleAttribute("aria-current", link.dataset.page === kind || (kind === "problem" && link.dataset.page === "problems"));
  }
  await guarded(() => state.page.open());
}

async function guarded(work) {
  try {
    await work();
  } catch (error) {
    replace(main, el("p", { class: "failure", role: "alert", text: `This cannot be shown: ${error.message}` }));
  }
}

async function poll() {
  const live = document.getElementById("live");
  try {
    const { version, stores, has_scores: hasScores } = await api("api/version");
    state.hasScores = hasScores;
    const changed = state.version !== "" && version !== state.version;
    [state.version, state.stores] = [version, stores];
    document.getElementById("stores").textContent = stores.join(", ");
    live.textContent = version.includes("+") ? "reading…" : "live";
    live.className = version.includes("+") ? "busy" : "";
    if (changed) await state.page?.refresh?.();
  } catch (error) {
    live.textContent = "not reachable";
    live.className = "gone";
  }
}

function keys(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const typing = event.target.matches("input:not([type=range]), select, textarea");
  if (event.key === "Escape" && typing) return event.target.blur();
  if (typing || document.getElementById("help").open) return;
  const after = state.waiting;
  state.waiting = event.key === "g" ? "g" : "";
  if (after === "g" && "pr".includes(event.key)) location.hash = event.key === "p" ? state.lastList : "#/run";
  else if (event.key === "?") help();
  else if (!state.page?.key?.(event)) return;
  event.preventDefault();
}

function help() {
  const dialog = document.getElementById("help");
  const rows = KEYS.map(([key, text]) => el("tr", {}, el("th", { text: key }), el("td", { text })));
  const close = el("button", { type: "button", text: "Close", onclick: () => dialog.close() });
  replace(dialog, el("h2", { text: "Keys" }), el("table", {}, el("tbody", {}, rows)), close);
  dialog.showModal();
}

document.getElementById("help-button").addEventListener("click", help);
addEventListener("hashchange", show);
addEventListener("keydown", keys);
await poll();
await show();
for (;;) {
  await new Promise((done) => setTimeout(done, POLL_SECONDS * 1000));
  if (!document.hidden) await poll();
}
