// The panel beside a tree: the chosen node with its steps and rollouts, or the binary searches.

import { api, el, replace, rich, two, whole } from "./dom.js";
import { OUTCOMES, SIGNS, chip, interval, opinionChip, scoreChip, valueOf } from "./mc.js";

const FIRST_ROLLOUTS = 60;

export class Panel {
  constructor(at, page, problem) {
    this.at = at;
    this.problem = problem;
    this.tab = "node";
    this.shown = "";
    this.filter = "";
    this.body = el("div", { class: "panel-body" });
    this.tabs = el("div", { class: "tabs", role: "tablist" });
    this.element = el("aside", { class: "panel" }, this.tabs, this.body);
    this.take(page);
  }

  take(page) {
    this.page = page;
    this.shown = "";
  }

  async show(node, search) {
    [this.node, this.search] = [node, search];
    if (search !== null && search !== this.last) this.tab = "searches";
    this.last = search;
    this.drawTabs();
    if (this.tab === "searches") this.drawSearches();
    else await this.drawNode();
  }

  drawTabs() {
    const tab = (name, text) => el("button", {
      type: "button", role: "tab", text, "aria-selected": String(this.tab === name), onclick: () => this.open(name),
    });
    replace(this.tabs, tab("node", `Node #${this.node}`), tab("searches", `Searches (${this.page.searches.length})`),
      el("button", { type: "button", class: "link", text: "Copy link", onclick: (event) => this.copy(event.target) }));
  }

  open(name) {
    this.tab = name;
    this.shown = "";
    this.show(this.node, this.search);
  }

  async copy(button) {
    await navigator.clipboard.writeText(location.href);
    button.textContent = "Copied";
  }

  async drawNode() {
    const key = `node ${this.node}`;
    if (this.shown === key) return;
    this.shown = key;
    const found = await api("api/node", { ...this.at, node: this.node });
    if (this.shown !== key) return;
    const node = this.page.nodes[this.node];
    replace(this.body, this.facts(node, found), this.prefix(found), this.rollouts(found));
    this.body.scrollTop = 0;
  }

  facts(node, found) {
    const parts = OUTCOMES.map((name, at) => [name, node.counts[at]]).filter(([, count]) => count);
    const rows = [
      ["MC", [chip(node), valueOf(node) === null ? "" : ` 95 % interval ${interval(node.interval)}`]],
      ["Rollouts", parts.map(([name, count]) => el("span", { class: `outcome ${name}`, text: `${SIGNS[name]} ${count} ${name}` }))],
      ["PRM", node.score === null ? null : [scoreChip(node.score), this.gap(node)]],
      ["Step judge", node.opinion === null ? null : [opinionChip(node.opinion, this.page.judge), ` ${this.page.judge}`]],
      ["Came by", node.parent === null ? null : this.origin(node)],
      ["Searched", node.visits ? (node.visits === 1 ? "once" : `${whole(node.visits)} times`) : null],
      [found.seeds.length > 1 ? "Seeds" : "Seed", found.seeds.join(", ")],
    ];
    return el("table", { class: "facts" }, el("tbody", {}, rows.filter(([, value]) => value !== null).map(([name, value]) =>
      el("tr", {}, el("th", { text: name }), el("td", {}, value)))));
  }

  gap(node) {
    const value = valueOf(node);
    return value === null ? "" : ` ${two(Math.abs(node.score - value))} ${node.score < value ? "below" : "above"} MC`;
  }

  origin(node) {
    const steps = node.depth - this.page.nodes[node.parent].depth;
    return [
      node.search === null ? "" : this.toSearch(node.search), node.search === null ? "" : ": ",
      `step ${steps} of rollout ${node.rollout} of `, this.toNode(node.parent),
    ];
  }

  toNode(number) {
    return el("button", { type: "button", class: "link", text: `#${number}`, onclick: () => this.go({ node: number }) });
  }

  toSearch(at) {
    return el("button", {
      type: "button", class: "link", text: `search ${at + 1}`,
      onclick: () => this.go({ node: this.page.searches[at].node, search: at }),
    });
  }

  go(changes) {
    if (changes.search === undefined) this.tab = "node";
    else this.tab = "searches";
    this.shown = "";
    this.problem.go(changes);
  }

  prefix(found) {
    if (!found.prefix.length) return null;
    return el("section", {}, el("h2", { text: "Steps so far" }), this.steps(found.prefix));
  }

  /** Steps with what is known of the state after each; marks: a class and a note by index. */
  steps(steps, marks = new Map()) {
    return el("ol", { class: "steps" }, steps.map((step, at) => {
      const [className, note] = marks.get(at) ?? ["", ""];
      return el("li", { class: className }, rich(step.text, "span", "step"),
        el("span", { class: "known" }, step.node === null ? null : [this.toNode(step.node), chip(this.page.nodes[step.node])],
          step.score === null ? null : scoreChip(step.score),
          step.opinion === null ? null : opinionChip(step.opinion, this.page.judge), note ? el("span", { class: "note", text: note }) : null));
    }));
  }

  rollouts(found) {
    const list = el("div", { class: "rollouts" });
    const counts = OUTCOMES.map((name) => [name, found.rollouts.filter((rollout) => rollout.outcome === name).length]);
    const draw = (limit) => {
      const wanted = found.rollouts.filter((rollout) => !this.filter || rollout.outcome === this.filter);
      const rest = wanted.length - limit;
      replace(list, wanted.slice(0, limit).map((rollout) => this.rollout(rollout)),
        rest > 0 ? el("button", { type: "button", text: `${whole(rest)} more`, onclick: () => draw(wanted.length) }) : null);
    };
    const choose = (event, name) => {
      this.filter = name;
      for (const other of event.target.parentElement.children) other.setAttribute("aria-pressed", String(other === event.target));
      draw(FIRST_ROLLOUTS);
    };
    if (!counts.some(([name, count]) => name === this.filter && count)) this.filter = "";
    const chips = [["", found.rollouts.length], ...counts].filter(([name, count]) => !name || count).map(([name, count]) => el("button", {
      type: "button", "aria-pressed": String(this.filter === name), onclick: (event) => choose(event, name),
      text: name ? `${SIGNS[name]} ${name} ${count}` : `all ${count}`,
    }));
    draw(FIRST_ROLLOUTS);
    return el("section", {}, el("h2", { text: "Rollouts" }), el("div", { class: "chips", role: "group" }, chips), list);
  }

  rollout(rollout) {
    const box = el("details", { class: `rollout ${rollout.outcome}`, "data-rollout": `${rollout.estimate}.${rollout.index}` },
      el("summary", {},
        el("b", { class: "verdict", title: rollout.outcome, text: SIGNS[rollout.outcome] }),
        el("span", { class: "index", text: rollout.index }),
        rollout.answer.length ? rich(rollout.answer, "span", "final") : el("i", { text: rollout.outcome }),
        el("span", { class: "tag rule", title: "the rule that judged it", text: rollout.rule || rollout.outcome }),
        rollout.search === null ? null : el("span", { class: "tag searched", text: `search ${rollout.search + 1}` }),
        el("span", { class: "size", text: `${rollout.num_steps} steps, ${rollout.num_tokens} tokens` })));
    box.addEventListener("toggle", () => box.open && this.unfold(box, rollout), { once: true });
    return box;
  }

  async unfold(box, rollout) {
    const found = await api("api/rollout", { ...this.at, estimate: rollout.estimate, rollout: rollout.index });
    const path = rollout.search === null ? null : this.page.searches[rollout.search];
    box.append(found.steps.length ? this.steps(found.steps, path ? marksOf(path) : undefined) : "",
      found.text.length ? rich(found.text, "pre", "raw") : "",
      path ? el("p", {}, this.toSearch(rollout.search), path.first_error ? ` found its first error at step ${path.first_error}` : "") : "");
  }

  drawSearches() {
    const { searches } = this.page;
    if (!searches.length) {
      replace(this.body, el("p", { class: "empty", text: "No binary search was made." }));
      return;
    }
    replace(this.body, el("p", { class: "hint", text: "Each cut estimates the state in the middle: right so far, the error is later; wrong, it is there or before." }),
      el("div", { class: "searches" }, searches.map((path, at) => this.searchRow(path, at))));
    this.body.querySelector(".search.current")?.scrollIntoView({ block: "nearest" });
  }

  searchRow(path, at) {
    const current = at === this.search;
    const end = path.is_withdrawn ? `step ${path.first_error} was taken for wrong, and saved later`
      : path.first_error ? `first error at step ${path.first_error}` : path.is_over ? "ended where nothing was judged" : "not finished";
    const strip = el("span", { class: "strip", "aria-hidden": "true" }, [...Array(path.num_steps).keys()].map((step) => cell(path, step + 1)));
    const row = el("div", { class: current ? "search current" : "search" },
      el("button", {
        type: "button", class: "search-head", "aria-expanded": String(current),
        onclick: () => this.go(current ? { search: null } : { node: path.node, search: at }),
      }, el("b", { text: `${at + 1}` }), ` rollout ${path.rollout} of #${path.node}, ${path.num_steps} steps: ${end}`, strip));
    if (current) this.detail(path, row);
    return row;
  }

  async detail(path, row) {
    const cuts = el("ol", { class: "cuts" }, path.cuts.map((cut) => {
            const said = cut.right === null ? "nothing judged" : cut.right ? "right so far" : "wrong by here";
      return el("li", {}, `after step ${cut.step}: `, this.toNode(cut.node), " ", chip(this.page.nodes[cut.node]), ` ${said}`);
    }));
    row.append(cuts);
    const found = await api("api/rollout", { ...this.at, estimate: path.estimate, rollout: path.rollout });
    row.append(this.steps(found.steps, marksOf(path)));
  }
}

/** What a search says of each step: right, the first error, or after it. */
function marksOf(path) {
  const marks = new Map();
  for (let step = 1; step <= path.num_steps; step += 1) {
    if (path.first_error === step) marks.set(step - 1, ["wrong first", "first error"]);
    else if (path.first_error && step > path.first_error) marks.set(step - 1, ["after", ""]);
    else if (path.first_error) marks.set(step - 1, ["right", ""]);
  }
  return marks;
}

/** One step in a search's strip: its verdict by colour and sign, and the order of the cut behind it. */
function cell(path, step) {
  const cut = path.cuts.findIndex((each) => each.step === step);
  const [className] = marksOf(path).get(step - 1) ?? ["unknown"];
  return el("i", { class: `cell ${className}`, title: `step ${step}`, text: cut >= 0 ? cut + 1 : path.first_error === step ? "✗" : "" });
}
