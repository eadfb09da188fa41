// The page of one problem: its question and images, its tree as it grew, and the panel beside it.

import { api, el, replace, rich, short, whole } from "./dom.js";
import { OUTCOMES, SIGNS } from "./mc.js";
import { Panel } from "./panel.js";
import { TreeDrawing } from "./tree.js";

const PLAY_SECONDS = 0.6;

export class ProblemPage {
  constructor(main, parameters, state) {
    this.main = main;
    this.state = state;
    this.read(parameters);
  }

  read(parameters) {
    this.at = { store: parameters.get("store") ?? "0", id: parameters.get("id") ?? "" };
    this.node = Number(parameters.get("node") ?? 0);
    this.search = parameters.has("search") ? Number(parameters.get("search")) : null;
  }

  /** Whether an address can be shown without opening the page anew. */
  accepts(parameters) {
    if (!this.tree || parameters.get("id") !== this.at.id || (parameters.get("store") ?? "0") !== this.at.store) return false;
    this.read(parameters);
    this.show();
    return true;
  }

  async open() {
    this.page = await api("api/tree", this.at);
    this.newest = this.page.estimates.length - 1;
    document.title = `${this.page.id} · omegaprm`;
    this.canvas = el("div", { class: "canvas", tabindex: "0" });
    this.panel = new Panel(this.at, this.page, this);
    replace(this.main, el("div", { class: "problem" },
      el("section", { class: "side-tree" }, this.head(), this.toolbar(), this.canvas),
      this.panel.element));
    this.redraw();
  }

  head() {
    const { page } = this;
    const images = page.images.map((name, index) => {
      const address = `image?${new URLSearchParams({ ...this.at, index })}`;
      const shown = el("img", { src: address, alt: `image ${index + 1} of the problem`, title: name });
      shown.addEventListener("error", () => shown.replaceWith(el("span", { class: "failure", text: `${name}: cannot be shown` })));
      return el("a", { href: address, target: "_blank", rel: "noopener", class: "picture" }, shown);
    });
    const outcomes = OUTCOMES.map((name, at) => [name, page.totals[at]]).filter(([, count]) => count);
    return el("div", { class: "question-box" }, images.length ? el("div", { class: "pictures" }, images) : null,
      el("div", { class: "words" },
        el("h1", {}, el("a", { href: this.state.lastList, title: "back (Esc)", text: "←" }), ` ${page.id} `,
          el("span", { class: `state ${page.state}`, text: page.state }), page.reason ? ` ${page.reason}` : ""),
        rich(page.question, "p", "question"),
        el("p", { class: "answer" }, "Reference answer: ", rich(page.answer, "b")),
        el("p", { class: "sums" }, `${whole(page.nodes.length)} nodes, ${whole(page.estimates.length)} estimates, ${whole(page.searches.length)} searches, `,
          outcomes.map(([name, count]) => el("span", { class: `outcome ${name}`, text: `${SIGNS[name]} ${whole(count)} ${name}` })),
          ` ${short(page.num_tokens)} tokens`),
        page.note ? el("p", { class: "failure", text: page.note }) : null));
  }

  toolbar() {
    const last = Math.max(this.page.estimates.length - 1, 0);
    this.slider = el("input", {
      type: "range", min: 0, max: last, value: last, "aria-label": "Growth of the tree, by estimate",
      oninput: () => this.grow(Number(this.slider.value)),
    });
    this.slider.value = String(last);
    this.player = el("button", { type: "button", class: "play", title: "play the growth (Space)", text: "▶", onclick: () => this.play() });
    this.caption = el("span", { class: "caption", role: "status" });
    return el("div", { class: "toolbar" }, this.player, this.slider, this.caption);
  }

  redraw() {
    if (!this.page.nodes.length) {
      replace(this.canvas, el("p", { class: "empty", text: "No estimate has been made yet." }));
      return;
    }
    this.tree = new TreeDrawing(this.page.nodes, (number) => this.go({ node: number }));
    replace(this.canvas, this.tree.element);
    this.show();
    this.grow(this.newest);
  }

  /** Draw what the address says: a node, and a search or none. */
  show() {
    this.node = Math.min(Math.max(this.node || 0, 0), this.page.nodes.length - 1);
    if (this.search !== null && !this.page.searches[this.search]) this.search = null;
    this.tree.select(this.node);
    this.tree.mark(this.search === null ? null : this.page.searches[this.search]);
    this.tree.reveal(this.node, this.canvas);
    this.panel.show(this.node, this.search);
  }

  /** Change the address, so that it is a link to what is shown. */
  go(changes) {
    this.node = changes.node ?? this.node;
    if (changes.search !== undefined) this.search = changes.search;
    const parameters = { ...this.at, node: this.node, ...(this.search === null ? {} : { search: this.search }) };
    history.replaceState(null, "", `#/problem?${new URLSearchParams(parameters)}`);
    this.show();
  }

  grow(newest) {
    this.newest = Math.min(Math.max(newest, 0), this.page.estimates.length - 1);
    this.slider.value = String(this.newest);
    this.tree?.grow(this.newest, this.isWhole() ? null : this.page.estimates[this.newest].node);
    this.caption.textContent = this.page.nodes.length ? this.told(this.newest) : "";
  }

  isWhole() {
    return this.newest + 1 >= this.page.estimates.length;
  }

  /** What the estimate of this number was for. */
  told(number) {
    const estimate = this.page.estimates[number];
    const node = this.page.nodes[estimate.node];
    const again = node.born < number ? "again " : "";
    const where = `estimate ${number + 1} of ${this.page.estimates.length}: ${estimate.num} rollouts of ${again}`;
    if (node.parent === null) return `${where}the root`;
    const steps = node.depth - this.page.nodes[node.parent].depth;
    const came = estimate.search === null ? "" : ` for search ${estimate.search + 1}`;
    return `${where}#${node.number}${came}, after step ${steps} of rollout ${node.rollout} of #${node.parent}`;
  }

  play() {
    if (this.timer) return this.pause();
    if (this.isWhole()) this.grow(0);
    this.player.textContent = "❚❚";
    this.timer = setInterval(() => {
      this.grow(this.newest + 1);
      this.tree.reveal(this.page.estimates[this.newest].node, this.canvas);
      if (this.isWhole()) this.pause();
    }, PLAY_SECONDS * 1000);
    return undefined;
  }

  pause() {
    clearInterval(this.timer);
    this.timer = null;
    this.player.textContent = "▶";
  }

  /** Take up what has grown, staying where a person was. */
  async refresh() {
    const page = await api("api/tree", this.at);
    if (page.estimates.length === this.page.estimates.length && page.state === this.page.state) return;
    const following = this.isWhole();
    const [left, top] = [this.canvas.scrollLeft, this.canvas.scrollTop];
    this.page = page;
    this.panel.take(page);
    this.main.querySelector(".question-box").replaceWith(this.head());
    this.slider.max = String(Math.max(page.estimates.length - 1, 0));
    if (following) this.newest = page.estimates.length - 1;
    this.redraw();
    this.canvas.scrollTo(left, top);
  }

  key(event) {
    if (event.key === "Escape") location.hash = this.state.lastList;
    else if (!this.tree) return false;
    else if (event.key.startsWith("Arrow")) this.go({ node: this.tree.neighbour(this.node, event.key) });
    else if (event.key === "Home") this.go({ node: 0 });
    else if (event.key === " ") this.play();
    else if (event.key === "[" || event.key === "]") this.grow(this.newest + (event.key === "]" ? 1 : -1));
    else if (event.key === "s" || event.key === "S") this.step(event.key === "s" ? 1 : -1);
    else return false;
    return true;
  }

  step(by) {
    const { length } = this.page.searches;
    if (!length) return;
    const at = this.search === null ? (by > 0 ? 0 : length - 1) : (this.search + by + length) % length;
    this.go({ node: this.page.searches[at].node, search: at });
  }

  close() {
    clearInterval(this.timer);
    document.title = "omegaprm";
  }
}
