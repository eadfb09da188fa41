// Two kinds of charts: bars with their counts, and curves over time.

import { el, short, svg, whole } from "./dom.js";

const [WIDTH, HEIGHT, LEFT, BOTTOM, TOP, RIGHT] = [420, 190, 48, 24, 10, 12];
const TICKS = 4;

/** [[label, count, colour], …] as rows; the count stands beside the bar. */
export function bars(title, rows) {
  const most = Math.max(1, ...rows.map(([, count]) => count));
  const total = rows.reduce((sum, [, count]) => sum + count, 0);
  return el("figure", { class: "chart" }, el("figcaption", { text: title }),
    total ? el("div", { class: "bars" }, rows.flatMap(([label, count, fill]) => bar(label, count, fill, most, total)))
      : el("p", { class: "empty", text: "Nothing yet." }));
}

function bar(label, count, fill, most, total) {
  const part = el("span", { class: "bar" });
  part.style.width = `${(100 * count) / most}%`;
  if (fill) part.style.backgroundColor = fill;
  return [
    el("span", { class: "bar-label", text: label, title: label }),
    el("span", { class: "bar-room" }, part),
    el("span", { class: "bar-count", text: whole(count), title: `${((100 * count) / total).toFixed(1)} %` }),
  ];
}

/** Runs of [Unix seconds, value] as curves; a gap between two runs stays a gap. */
export function curve(title, runs) {
  const points = runs.flat();
  return el("figure", { class: "chart" }, el("figcaption", { text: title }),
    points.length > 1 ? drawing(title, runs, points) : el("p", { class: "empty", text: "No samples over time in this store." }));
}

function drawing(title, runs, points) {
  const [first, last] = [Math.min(...points.map(([at]) => at)), Math.max(...points.map(([at]) => at))];
  const most = nice(Math.max(...points.map(([, value]) => value)));
  const x = (at) => LEFT + ((at - first) / (last - first || 1)) * (WIDTH - LEFT - RIGHT);
  const y = (value) => HEIGHT - BOTTOM - (value / most) * (HEIGHT - BOTTOM - TOP);
  const rules = [...Array(TICKS + 1).keys()].map((at) => (most * at) / TICKS).flatMap((value) => [
    svg("line", { class: "rule", x1: LEFT, x2: WIDTH - RIGHT, y1: y(value), y2: y(value) }),
    svg("text", { class: "tick left", x: LEFT - 6, y: y(value) + 4, text: most < 10 ? value.toFixed(1) : short(Math.round(value)) }),
  ]);
  const lines = runs.filter((run) => run.length).map((run) =>
    svg("polyline", { class: "curve", points: run.map(([at, value]) => `${x(at).toFixed(1)},${y(value).toFixed(1)}`).join(" ") }));
  return svg("svg", { class: "plot", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": title }, rules, lines,
    svg("text", { class: "tick", x: LEFT, y: HEIGHT - 6, text: clock(first) }),
    svg("text", { class: "tick right", x: WIDTH - RIGHT, y: HEIGHT - 6, text: `+ ${span(last - first)}` }));
}

/** The next of 1, 2, 5 times a power of ten. */
function nice(value) {
  if (value <= 0) return 1;
  const unit = 10 ** Math.floor(Math.log10(value));
  return unit * [1, 2, 5, 10].find((times) => times * unit >= value);
}

function clock(seconds) {
  return new Date(seconds * 1000).toISOString().slice(0, 16).replace("T", " ");
}

function span(seconds) {
  if (seconds < 120) return `${seconds.toFixed(0)} s`;
  return seconds < 7200 ? `${(seconds / 60).toFixed(0)} min` : `${(seconds / 3600).toFixed(1)} h`;
}
