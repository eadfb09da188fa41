// The run page: what the stores hold in figures, and how they came to it over time.

import { api, el, replace, short, whole } from "./dom.js";
import { bars, curve } from "./charts.js";
import { OUTCOMES, SIGNS, colour } from "./mc.js";

const MIDDLE = { none: null, 0: 0, 1: 1 };

export class RunPage {
  constructor(main) {
    this.main = main;
  }

  async open() {
    document.title = "run · omegaprm";
    await this.refresh();
  }

  close() {
    document.title = "omegaprm";
  }

  async refresh() {
    const page = await api("api/run");
    const top = this.main.firstChild?.scrollTop ?? 0;
    const whole = el("div", { class: "run" }, this.tiles(page), page.is_whole ? null : el("p", { class: "hint", role: "status", text: "Still reading: the figures below grow." }),
      el("div", { class: "charts" }, this.labels(page), this.verdicts(page), page.stores.map((store) => this.overTime(store, page))),
      this.lists(page), page.stores.map((store) => settings(store)));
    replace(this.main, whole);
    whole.scrollTop = top;
  }

  tiles(page) {
    const total = page.outcomes.reduce((sum, count) => sum + count, 0);
    const { done, open, quarantined } = page.problems;
    const tiles = [
      ["problems done", `${whole(done)} / ${whole(done + open + quarantined)}`, `${whole(open)} open, ${whole(quarantined)} quarantined`],
      ["rollouts", short(total), `${whole(total)}`],
      ["labelled states", short(page.num_estimates), "nodes with their own rollouts"],
      ["first errors", short(page.num_errors), "found by binary search"],
      ["tokens", short(page.num_tokens), `${total ? Math.round(page.num_tokens / total) : 0} a rollout`],
      ["rollouts an error", page.num_errors ? (total / page.num_errors).toFixed(1) : "–", "what a first error cost"],
    ];
    return el("div", { class: "tiles" }, tiles.map(([name, value, note]) =>
      el("div", { class: "tile" }, el("span", { text: name }), el("b", { text: value }), el("small", { text: note }))));
  }

  labels(page) {
    return [
      bars("States by MC", page.states.map(([label, count]) => [label, count, colour(middle(label))])),
      bars("Roots by MC", page.roots.map(([label, count]) => [label, count, colour(middle(label))])),
    ];
  }

  verdicts(page) {
    const outcomes = OUTCOMES.map((name, at) => [`${SIGNS[name]} ${name}`, page.outcomes[at]]);
    return [
      bars("Rollouts by outcome", outcomes),
      bars("Verdicts by rule", Object.entries(page.rules)),
      bars("Why trees ended", Object.entries(page.reasons)),
    ];
  }

  overTime(store, page) {
    const name = page.stores.length > 1 ? `, ${store.name}` : "";
    if (store.points.length < 2) return curve(`Throughput and cost over time${name}`, []);
    return [
      curve(`Rollouts a second${name}`, rates(store.points, "rollouts")),
      curve(`Tokens a second${name}`, rates(store.points, "tokens")),
      curve(`Cost: tokens so far${name}`, series(store.points, "tokens")),
      curve(`Problems ended${name}`, series(store.points, "ended")),
    ];
  }

  lists(page) {
    const problem = ({ store, id }) => el("a", { href: `#/problem?${new URLSearchParams({ store, id })}`, text: id });
    return [
      page.quarantined.length ? table("Quarantined problems", ["problem", "reason"], page.quarantined.map((row) => [problem(row), row.reason])) : null,
      page.rejected.length ? table("Rejected seed rows", ["file", "line", "field", "reason"], page.rejected.map((row) => [row.file, row.line, row.field, row.reason])) : null,
    ];
  }

  key(event) {
    if (event.key !== "Escape") return false;
    location.hash = "#/problems";
    return true;
  }
}

/** The middle of a bin such as "(0.1, 0.2]". */
function middle(label) {
  if (label in MIDDLE) return MIDDLE[label];
  const [low, high] = label.match(/[\d.]+/g).map(Number);
  return (low + high) / 2;
}

/** Runs of [time, count], one a run of the daemon. */
function series(points, name) {
  const runs = new Map();
  for (const point of points) runs.set(point.run, [...(runs.get(point.run) ?? []), [point.at, point[name]]]);
  return [...runs.values()];
}

/** The same as rates: each between a sample and the one before. */
function rates(points, name) {
  return series(points, name).map((run) => run.slice(1).flatMap(([at, count], before) => {
    const [from, had] = run[before];
    return at > from ? [[from, (count - had) / (at - from)], [at, (count - had) / (at - from)]] : [];
  }));
}

function table(title, heads, rows) {
  return el("section", { class: "listed" }, el("h2", { text: title }), el("table", {},
    el("thead", {}, el("tr", {}, heads.map((text) => el("th", { text })))),
    el("tbody", {}, rows.map((row) => el("tr", {}, row.map((cell) => el("td", {}, cell)))))));
}

function settings(store) {
  const rows = Object.entries(store.settings).map(([name, value]) => el("tr", {}, el("th", { text: name }), el("td", { text: value })));
  return el("details", { class: "settings" }, el("summary", { text: `Settings of ${store.name}` }),
    el("p", { class: "hint", text: store.folder }),
    store.num_damaged ? el("p", { class: "failure", text: `${store.num_damaged} records are damaged and left out; bin/status --verify names them.` }) : null,
    el("table", { class: "facts" }, el("tbody", {}, rows)));
}
