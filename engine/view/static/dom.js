// Builds elements from text: nothing here, or anywhere in the viewer, reads markup from a string.

const MATHML = "http://www.w3.org/1998/Math/MathML";
const SVG = "http://www.w3.org/2000/svg";

/** An element with properties (class, text, title, on…, data-…, aria-…) and children, null ones left out. */
export function el(tag, properties = {}, ...children) {
  return dress(document.createElement(tag), properties, children);
}

export function svg(tag, properties = {}, ...children) {
  return dress(document.createElementNS(SVG, tag), properties, children);
}

function dress(element, properties, children) {
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "text") element.textContent = value;
    else if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined));
  return element;
}

/** Pieces of text and formulas, as the server sends them. */
export function rich(pieces, tag = "span", className = "") {
  return el(tag, { class: `rich ${className}`.trim(), dir: "auto" }, pieces.map(piece));
}

const UNSEEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]/g;

/** Text with the characters that cannot be seen, or turn what follows, as their numbers. */
export function visible(text) {
  return text.replace(UNSEEN, (sign) => `⟨U+${sign.charCodeAt(0).toString(16).toUpperCase().padStart(4, "0")}⟩`);
}

function piece(part) {
  if (typeof part === "string") return document.createTextNode(visible(part));
  const formula = mathml(part.mathml);
  formula.setAttribute("display", part.display ? "block" : "inline");
  return el("span", { class: part.display ? "formula display" : "formula", title: part.source }, formula);
}

function mathml([tag, attributes, ...children]) {
  const element = document.createElementNS(MATHML, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children.map((child) => (typeof child === "string" ? visible(child) : mathml(child))));
  return element;
}

/** Plain text of pieces, for labels. */
export function plain(pieces) {
  return pieces.map((part) => (typeof part === "string" ? part : part.source)).join("");
}

export function replace(parent, ...children) {
  parent.replaceChildren(...children.flat(Infinity).filter((child) => child !== null && child !== undefined));
}

export async function api(path, parameters = {}) {
  const given = Object.entries(parameters).filter(([, value]) => value !== "" && value !== null && value !== undefined);
  const response = await fetch(`${path}?${new URLSearchParams(given)}`);
  if (!response.ok) throw new Error((await response.text()) || response.statusText);
  return response.json();
}

export const whole = (number) => number.toLocaleString("en-US");
export const two = (number) => number.toFixed(2);

/** A large count in at most four signs. */
export function short(number) {
  const units = [[1e12, "T"], [1e9, "G"], [1e6, "M"], [1e3, "k"]];
  const [size, unit] = units.find(([least]) => number >= least) ?? [1, ""];
  return size === 1 ? whole(number) : `${(number / size).toFixed(number / size < 10 ? 1 : 0)}${unit}`;
}
