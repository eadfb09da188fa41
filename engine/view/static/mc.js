// How an MC value looks: colour from wrong (orange) to right (blue), and always a sign and digits as well.

import { el, two } from "./dom.js";

const ENDS = [[232, 141, 103], [244, 233, 205], [127, 183, 217]];

export const OUTCOMES = ["correct", "incorrect", "unknown", "truncated", "unparsed"];
export const SIGNS = { correct: "✓", incorrect: "✗", unknown: "?", truncated: "…", unparsed: "¶" };

/** MC of what has correct and judged rollouts; null where nothing was judged. */
export const valueOf = ({ correct, judged }) => (judged ? correct / judged : null);
/** The same of a list of counts by outcome. */
export const evidence = (counts) => ({ correct: counts[0], judged: counts[0] + counts[1] });

export function colour(value) {
  if (value === null) return "#e6e8eb";
  const [from, to, part] = value < 0.5 ? [ENDS[0], ENDS[1], value * 2] : [ENDS[1], ENDS[2], value * 2 - 1];
  return `rgb(${from.map((start, at) => Math.round(start + (to[at] - start) * part)).join(" ")})`;
}

/** ✗ no rollout was right, ✓ all were, ? nothing was judged, and a half-filled sign between. */
export function sign(value) {
  if (value === null) return "?";
  if (value === 0) return "✗";
  return value === 1 ? "✓" : ["◔", "◑", "◕"][Math.min(2, Math.floor(value * 3))];
}

export function ratio(of) {
  const value = valueOf(of);
  return value === null ? "nothing judged" : `${of.correct}/${of.judged} = ${two(value)}`;
}

export function interval(bounds) {
  return bounds ? `${two(bounds[0])}–${two(bounds[1])}` : "–";
}

/** A chip: sign, counts, value on the value's colour. */
export function chip(of, title = null) {
  const made = el("span", { class: "mc", title }, el("b", { text: sign(valueOf(of)) }), ` ${ratio(of)}`);
  made.style.backgroundColor = colour(valueOf(of));
  return made;
}

/** What a step judge said of a step. */
export function opinionChip(isRight, judge) {
  const made = el("span", { class: "mc opinion", title: `opinion of the step judge ${judge}` }, `judge ${isRight ? "✓" : "✗"}`);
  made.style.backgroundColor = colour(isRight ? 1 : 0);
  return made;
}

export function scoreChip(score) {
  const made = el("span", { class: "mc score", title: "score of the PRM" }, `PRM ${two(score)}`);
  made.style.backgroundColor = colour(score);
  return made;
}
