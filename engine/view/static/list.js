// The list of problems: the server filters and sorts, rows are fetched and drawn as they come into sight.

import { api, el, replace, short, visible, whole } from "./dom.js";
import { chip, evidence, interval } from "./mc.js";

const ROW = 44;
const PAGE = 100;
const SPARE = 8;
const HEAD = 34;
const COLUMNS = [
  ["id", "Problem"], [null, "Question"], ["state", "State"], ["mc", "MC of the root"], ["errors", "Errors"],
  ["nodes", "Nodes"], ["rollouts", "Rollouts"], ["tokens", "Tokens"],
];
const STATES = [["", "all"], ["done", "done"], ["open", "open"], ["quarantined", "quarantined"]];
const RANGES = [
  ["", "any MC"], ["0,0", "MC = 0"], ["0.0001,0.9999", "0 < MC < 1"], ["0.0001,0.25", "MC ≤ 0.25"],
  ["0.75,0.9999", "0.75 ≤ MC < 1"], ["1,1", "MC = 1"],
];

export class ListPage {
  constructor(main, parameters, state) {
    this.main = main;
    this.state = state;
    this.asked = Object.fromEntries(parameters);
    this.total = 0;
    this.current = -1;
    this.forget();
  }

  async open() {
    this.rows = el("div", { class: "rows", role: "rowgroup" });
    this.scroller = el("div", { class: "scroller", tabindex: "0", onscroll: () => this.draw() }, this.head(), this.rows);
    this.count = el("span", { class: "count", role: "status" });
    replace(
      this.main,
      el("div", { class: "list", role: "table", "aria-label": "Problems" }, this.filters(), this.scroller),
    );
    await this.load(0);
    this.draw();
  }

  filters() {
    const select = (name, options, value) =>
      el("select", { name, "aria-label": name, onchange: (event) => this.range(event.target) },
        options.map(([key, text]) => el("option", { value: key, text, selected: key === value })));
    this.search = el("input", {
      type: "search", placeholder: "Search text, id, answer, reason  ( / )", value: this.asked.q ?? "",
      "aria-label": "Search", oninput: () => this.later(),
    });
    const bounds = this.asked.least !== undefined ? `${this.asked.least},${this.asked.most}` : "";
    return el("form", { class: "filters", role: "search", onsubmit: (event) => event.preventDefault() },
      this.search,
      el("span", { class: "chips", role: "group", "aria-label": "State" }, STATES.map(([key, text]) => el("button", {
        type: "button", text, "aria-pressed": String((this.asked.state ?? "") === key),
        onclick: (event) => this.choose(event.target, key),
      }))),
      select("mc", RANGES, bounds),
      select("errors", [["", "any errors"], ["1", "≥ 1 error"], ["5", "≥ 5 errors"], ["20", "≥ 20 errors"]],
        this.asked.errors ?? ""),
      this.count,
    );
  }

  choose(button, state) {
    for (const other of button.parentElement.children) other.setAttribute("aria-pressed", String(other === button));
    this.ask({ state });
  }

  range(select) {
    if (select.name === "errors") return this.ask({ errors: select.value });
    const [least, most] = select.value.split(",");
    return this.ask({ least: least || undefined, most });
  }

  later() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.ask({ q: this.search.value }), 150);
  }

  head() {
    this.heads = COLUMNS.map(([key, text]) => el("span", { role: "columnheader", class: `cell-${key ?? "question"}` },
      key ? el("button", { type: "button", text, "data-sort": key, onclick: () => this.sort(key) }) : text));
    this.arrows();
    return el("div", { class: "row head", role: "row" }, this.heads);
  }

  sort(key) {
    const same = (this.asked.sort ?? "id") === key;
    const down = same ? this.asked.down !== "true" : key !== "id" && key !== "state";
    return this.ask({ sort: key, down: down ? "true" : undefined });
  }

  arrows() {
    COLUMNS.forEach(([key], at) => {
      const sorted = key === (this.asked.sort ?? "id");
      const order = this.asked.down === "true" ? "descending" : "ascending";
      this.heads[at].setAttribute("aria-sort", sorted ? order : "none");
    });
  }

  async ask(changes) {
    Object.assign(this.asked, changes);
    for (const [name, value] of Object.entries(this.asked)) if (!value) delete this.asked[name];
    history.replaceState(null, "", `#/problems?${new URLSearchParams(this.asked)}`);
    this.state.lastList = location.hash;
    this.arrows();
    this.current = -1;
    this.scroller.scrollTop = 0;
    await this.refresh();
  }

  async refresh() {
    this.forget();
    await this.load(Math.floor(this.scroller.scrollTop / ROW / PAGE));
    this.draw();
  }

  forget() {
    this.pages = new Map();
    this.asking = new Map();
    this.drawn = new Map();
  }

  /** One page of rows, once. */
  load(number) {
    if (!this.asking.has(number)) this.asking.set(number, this.fetch(number, this.asking));
    return this.asking.get(number);
  }

  async fetch(number, asking) {
    const found = await api("api/problems", { ...this.asked, offset: number * PAGE, limit: PAGE });
    if (asking !== this.asking) return;
    this.pages.set(number, found.rows);
    this.total = found.total;
    this.count.textContent = found.total === found.of ? `${whole(found.of)} problems` : `${whole(found.total)} of ${whole(found.of)}`;
    this.rows.style.height = `${found.total * ROW}px`;
    this.drawn.clear();
    this.rows.replaceChildren(...(found.total ? [] : [el("p", { class: "empty", text: "No problem is like that." })]));
    this.draw();
  }

  draw() {
    const from = Math.max(0, Math.floor(this.scroller.scrollTop / ROW) - SPARE);
    const to = Math.min(this.total, Math.ceil((this.scroller.scrollTop + this.scroller.clientHeight) / ROW) + SPARE);
    for (const [at, row] of this.drawn) {
      if (at < from || at >= to) {
        row.remove();
        this.drawn.delete(at);
      }
    }
    for (let at = from; at < to; at += 1) {
      const found = this.pages.get(Math.floor(at / PAGE))?.[at % PAGE];
      if (!found) this.load(Math.floor(at / PAGE));
      else if (!this.drawn.has(at)) this.rows.append(this.row(at, found));
    }
  }

  row(at, found) {
    const cell = (name, content, title) => el("span", { role: "cell", class: `cell-${name}`, title }, content);
    const link = el("a", {
      class: `row ${found.state}`, role: "row", href: `#/problem?${new URLSearchParams({ store: found.store, id: found.id })}`,
      "aria-rowindex": at + 1, tabindex: "-1",
    },
    cell("id", [this.state.stores.length > 1 ? el("span", { class: "tag", text: this.state.stores[found.store] }) : null, visible(found.id)], found.id),
    cell("question", [found.num_images ? el("span", { class: "tag", text: "image" }) : null, visible(found.question)], found.question),
    cell("state", [el("b", { text: found.state }), found.reason ? ` ${visible(found.reason)}` : ""], found.reason),
    cell("mc", chip(evidence(found.root), `95 % interval ${interval(found.interval)}`)),
    cell("errors", found.errors === null ? "–" : whole(found.errors)),
    cell("nodes", whole(found.nodes)),
    cell("rollouts", whole(found.rollouts)),
    cell("tokens", short(found.tokens), whole(found.tokens)));
    link.style.top = `${at * ROW}px`;
    link.classList.toggle("current", at === this.current);
    this.drawn.set(at, link);
    return link;
  }

  key(event) {
    if (event.key === "/") this.search.focus();
    else if (event.key === "j" || event.key === "ArrowDown") this.move(1);
    else if (event.key === "k" || event.key === "ArrowUp") this.move(-1);
    else if (event.key === "Enter" && this.drawn.has(this.current)) this.drawn.get(this.current).click();
    else return false;
    return true;
  }

  move(by) {
    this.drawn.get(this.current)?.classList.remove("current");
    this.current = Math.min(Math.max(this.current + by, 0), this.total - 1);
    const top = this.current * ROW;
    const bottom = top + ROW + HEAD - this.scroller.clientHeight;
    if (top < this.scroller.scrollTop) this.scroller.scrollTop = top;
    if (bottom > this.scroller.scrollTop) this.scroller.scrollTop = bottom;
    this.draw();
    this.drawn.get(this.current)?.classList.add("current");
  }
}
