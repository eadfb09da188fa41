// Draws a tree from left to right: a column a generation, leaves one below the other.

import { svg, two, visible } from "./dom.js";
import { colour, ratio, sign, valueOf } from "./mc.js";

const WIDTH = 176;
const HEIGHT = 52;
const GAP_X = 40;
const GAP_Y = 12;
const MARGIN = 14;
const LETTERS = 25;

export class TreeDrawing {
  constructor(nodes, choose) {
    this.nodes = nodes;
    this.choose = choose;
    this.children = new Map();
    for (const node of nodes) {
      if (node.parent !== null) this.children.set(node.parent, [...(this.children.get(node.parent) ?? []), node.number]);
    }
    this.place();
    this.boxes = new Map();
    this.edges = new Map();
    this.element = this.draw();
  }

  /** Places by number: x by generation, y midway between the first and the last child. */
  place() {
    const column = new Map();
    for (const node of this.nodes) column.set(node.number, node.parent === null ? 0 : column.get(node.parent) + 1);
    const rows = new Map();
    let leaves = 0;
    const stack = this.nodes.length ? [[0, false]] : [];
    while (stack.length) {
      const [number, placed] = stack.pop();
      const below = this.children.get(number) ?? [];
      if (placed) rows.set(number, (rows.get(below[0]) + rows.get(below[below.length - 1])) / 2);
      else if (below.length) stack.push([number, true], ...[...below].reverse().map((child) => [child, false]));
      else rows.set(number, leaves++);
    }
    this.places = new Map(this.nodes.map((node) => [node.number, {
      x: MARGIN + column.get(node.number) * (WIDTH + GAP_X),
      y: MARGIN + rows.get(node.number) * (HEIGHT + GAP_Y),
    }]));
    this.width = MARGIN * 2 + (Math.max(0, ...column.values()) + 1) * (WIDTH + GAP_X) - GAP_X;
    this.height = MARGIN * 2 + Math.max(leaves, 1) * (HEIGHT + GAP_Y) - GAP_Y;
    this.order = [...this.nodes].sort((a, b) => this.places.get(a.number).y - this.places.get(b.number).y || a.depth - b.depth);
  }

  draw() {
    const edges = this.nodes.filter((node) => node.parent !== null).map((node) => this.edge(node));
    const boxes = this.nodes.map((node) => this.box(node));
    return svg("svg", {
      class: "tree", role: "tree", "aria-label": "OmegaPRM tree", width: this.width, height: this.height,
      viewBox: `0 0 ${this.width} ${this.height}`,
    }, edges, boxes);
  }

  edge(node) {
    const [from, to] = [this.places.get(node.parent), this.places.get(node.number)];
    const [x1, y1, x2, y2] = [from.x + WIDTH, from.y + HEIGHT / 2, to.x, to.y + HEIGHT / 2];
    const bend = Math.max((x2 - x1) / 2, 18);
    const path = svg("path", { class: "edge", d: `M${x1} ${y1} C${x1 + bend} ${y1} ${x2 - bend} ${y2} ${x2} ${y2}` });
    this.edges.set(node.number, path);
    return path;
  }

  box(node) {
    const value = valueOf(node);
    const { x, y } = this.places.get(node.number);
    const label = node.number === 0 ? "the question" : `${node.depth}. ${visible(node.label.replace(/\s+/g, " "))}`;
    const shown = label.length > LETTERS ? `${label.slice(0, LETTERS - 1)}…` : label;
    const body = svg("rect", { class: value === null ? "body unjudged" : "body", width: WIDTH, height: HEIGHT, rx: 6 });
    body.style.fill = colour(value);
    const beside = [node.score === null ? "" : `PRM ${two(node.score)}`, node.opinion === null ? "" : `J${node.opinion ? "✓" : "✗"}`];
    const score = svg("text", { class: "prm", x: WIDTH - 8, y: 17, text: beside.join(" ").trim() });
    const box = svg("g", {
      class: "node", transform: `translate(${x} ${y})`, role: "treeitem", "data-node": node.number,
      "aria-label": `node ${node.number}, ${ratio(node)}, ${label}`, "aria-selected": "false",
      onclick: () => this.choose(node.number),
    },
    svg("title", { text: `#${node.number}  ${ratio(node)}\n${label}` }),
    body,
    svg("text", { class: "sign", x: 8, y: 17, text: sign(value) }),
    svg("text", { class: "value", x: 24, y: 17, text: this.heading(node, value) }),
    score,
    svg("text", { class: "label", x: 8, y: 33, text: shown }),
    this.gauge(node, value));
    this.boxes.set(node.number, box);
    return box;
  }

  heading(node, value) {
    return `#${node.number}  ${value === null ? "none judged" : `${node.correct}/${node.judged}`}`;
  }

  /** MC on a line from 0 to 1, with its interval as a bar. */
  gauge(node, value) {
    const [left, length, y] = [8, WIDTH - 16, 44];
    const at = (share) => left + share * length;
    const parts = [svg("line", { class: "axis", x1: left, x2: left + length, y1: y, y2: y })];
    if (value !== null) {
      const [low, high] = node.interval;
      parts.push(svg("line", { class: "interval", x1: at(low), x2: at(high), y1: y, y2: y }));
      parts.push(svg("circle", { class: "point", cx: at(value), cy: y, r: 3 }));
    }
    return svg("g", { class: "gauge" }, parts);
  }

  select(number) {
    for (const [other, box] of this.boxes) {
      box.classList.toggle("selected", other === number);
      box.setAttribute("aria-selected", String(other === number));
    }
    const line = new Set(this.line(number));
    for (const [other, edge] of this.edges) edge.classList.toggle("selected", line.has(other));
  }

  /** A node and those above it. */
  line(number) {
    const found = [];
    for (let at = number; at !== null; at = this.nodes[at].parent) found.push(at);
    return found;
  }

  /** Show the tree as it was after an estimate, and the node that it belongs to, if it is given. */
  grow(estimate, newest) {
    for (const node of this.nodes) {
      const box = this.boxes.get(node.number);
      box.classList.toggle("later", node.born > estimate);
      box.classList.toggle("newest", node.number === newest);
      this.edges.get(node.number)?.classList.toggle("later", node.born > estimate);
    }
  }

  /** Mark a binary search: the node it began at, and a badge with the order of its cuts at each it looked at. */
  mark(path) {
    for (const badge of this.element.querySelectorAll(".badge")) badge.remove();
    for (const box of this.boxes.values()) box.classList.remove("origin", "cut", "aside");
    for (const edge of this.edges.values()) edge.classList.remove("searched");
    if (!path) return;
    const part = new Set([path.node, ...path.cuts.map((cut) => cut.node)]);
    for (const [number, box] of this.boxes) box.classList.toggle("aside", !part.has(number));
    this.boxes.get(path.node).classList.add("origin");
    path.cuts.forEach((cut, at) => this.badge(cut, at + 1));
  }

  badge(cut, order) {
    const { x, y } = this.places.get(cut.node);
    this.boxes.get(cut.node).classList.add("cut");
    this.edges.get(cut.node)?.classList.add("searched");
    const verdict = cut.right === null ? "unjudged" : cut.right ? "right" : "wrong";
    this.element.append(svg("g", { class: `badge ${verdict}`, transform: `translate(${x + WIDTH - 4} ${y + 2})` },
      svg("circle", { r: 10 }), svg("text", { y: 4, text: order })));
  }

  reveal(number, scroller) {
    const { x, y } = this.places.get(number);
    const scale = this.element.getBoundingClientRect().width / this.width;
    const fits = (from, size, start, room) => (from < start ? from - 20 : from + size > start + room ? from + size - room + 20 : start);
    scroller.scrollTo(
      fits(x * scale, WIDTH * scale, scroller.scrollLeft, scroller.clientWidth),
      fits(y * scale, HEIGHT * scale, scroller.scrollTop, scroller.clientHeight),
    );
  }

  /** The neighbour of a node in the direction of an arrow key. */
  neighbour(number, key) {
    if (key === "ArrowLeft") return this.nodes[number].parent ?? number;
    if (key === "ArrowRight") return (this.children.get(number) ?? [number])[0];
    const at = this.order.findIndex((node) => node.number === number) + (key === "ArrowDown" ? 1 : -1);
    return (this.order[at] ?? this.nodes[number]).number;
  }
}
