"""One OmegaPRM tree as a self-contained SVG: no script, no link, every text escaped, every value printed.

A tree grows from left to right. Colour runs from wrong (orange) over undecided to right (blue); a state of
which nothing was judged is grey and dashed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

BOX_WIDTH = 158
BOX_HEIGHT = 38
GAP_X = 34
GAP_Y = 10
MARGIN = 12
LABEL_LETTERS = 24
"""A longer label is cut; its title, shown under the pointer, holds more of it."""

TITLE_LETTERS = 600
ENDS = (232, 141, 103), (244, 233, 205), (127, 183, 217)
"""RGB of MC = 0, 0.5 and 1; black text is readable on all of them."""

Node = Mapping[str, Any]
"""{"number", "parent" (None for the root), "depth", "correct", "judged", "label"}."""


def tree_svg(nodes: Sequence[Node]) -> str:
    """Draw nodes: "parent" is another's "number", "depth" (steps of the prefix) places a node from the left.

    A node whose parent is not among them stands as a root. ValueError for no nodes or a number given twice.
    """
    numbers = {node["number"] for node in nodes}
    if not nodes or len(numbers) != len(nodes):
        raise ValueError("nodes: must be at least one, each with a number of its own")
    columns = {depth: at for at, depth in enumerate(sorted({node["depth"] for node in nodes}))}
    rows = _rows(nodes)
    places = {
        node["number"]: (
            MARGIN + columns[node["depth"]] * (BOX_WIDTH + GAP_X),
            MARGIN + rows[node["number"]] * (BOX_HEIGHT + GAP_Y),
        )
        for node in nodes
    }
    width = MARGIN * 2 + len(columns) * (BOX_WIDTH + GAP_X) - GAP_X
    height = MARGIN * 2 + (max(rows.values()) + 1) * (BOX_HEIGHT + GAP_Y) - GAP_Y
    edges = [_edge(places[node["parent"]], places[node["number"]]) for node in nodes if node["parent"] in numbers]
    boxes = [_box(node, *places[node["number"]]) for node in nodes]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height:.0f}" width="{width}" '
        f'height="{height:.0f}" font-family="system-ui, sans-serif" role="img" aria-label="OmegaPRM tree">'
        f'<rect width="100%" height="100%" rx="8" fill="#ffffff"/>{"".join(edges)}{"".join(boxes)}</svg>'
    )


def _rows(nodes: Sequence[Node]) -> dict[Any, float]:
    """A row for each node: leaves one below the other, a parent midway between its first and last child."""
    numbers = {node["number"] for node in nodes}
    children: dict[Any, list[Any]] = {}
    for node in sorted(nodes, key=lambda node: (node["depth"], node["number"])):
        parent = node["parent"] if node["parent"] in numbers else None
        children.setdefault(parent, []).append(node["number"])
    rows: dict[Any, float] = {}
    num_leaves = 0
    stack = [(number, False) for number in reversed(children.get(None, []))]
    while stack:
        number, placed = stack.pop()
        below = children.get(number, [])
        if placed:
            rows[number] = (rows[below[0]] + rows[below[-1]]) / 2
        elif below:
            stack += [(number, True), *((child, False) for child in reversed(below))]
        else:
            rows[number] = float(num_leaves)
            num_leaves += 1
    if len(rows) != len(nodes):
        raise ValueError("nodes: parents must not form a circle")
    return rows


def _edge(start: tuple[float, float], end: tuple[float, float]) -> str:
    x1, y1 = start[0] + BOX_WIDTH, start[1] + BOX_HEIGHT / 2
    x2, y2 = end[0], end[1] + BOX_HEIGHT / 2
    bend = GAP_X / 2
    path = f"M{x1:.0f} {y1:.1f} C{x1 + bend:.0f} {y1:.1f} {x2 - bend:.0f} {y2:.1f} {x2:.0f} {y2:.1f}"
    return f'<path d="{path}" fill="none" stroke="#8a8f98" stroke-width="1.4"/>'


def _box(node: Node, x: float, y: float) -> str:
    label, value = clean(str(node["label"])), _value(node)
    shown = label if len(label) <= LABEL_LETTERS else label[: LABEL_LETTERS - 1] + "…"
    style = 'stroke="#5b616b"' if value is not None else 'stroke="#8a8f98" stroke-dasharray="4 3"'
    return (
        f"<g><title>{escape(label[:TITLE_LETTERS])}</title>"
        f'<rect x="{x:.0f}" y="{y:.1f}" width="{BOX_WIDTH}" height="{BOX_HEIGHT}" rx="6" '
        f'fill="{colour(value)}" {style}/>'
        f'<text x="{x + 8:.0f}" y="{y + 15:.1f}" font-size="11.5" font-weight="600" fill="#14171c">'
        f"{escape(_heading(node, value))}</text>"
        f'<text x="{x + 8:.0f}" y="{y + 30:.1f}" font-size="11" fill="#14171c">{escape(shown)}</text></g>'
    )


def _value(node: Node) -> float | None:
    return node["correct"] / node["judged"] if node["judged"] else None


def _heading(node: Node, value: float | None) -> str:
    if value is None:
        return f"#{node['number']}  nothing judged"
    return f"#{node['number']}  {node['correct']}/{node['judged']} = {value:.2f}"


def clean(text: str) -> str:
    """Text on one line, without the characters that XML does not know."""
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())


def colour(value: float | None) -> str:
    """Fill of a state by its MC."""
    if value is None:
        return "#e6e8eb"
    start, end, part = (ENDS[0], ENDS[1], value * 2) if value < 0.5 else (ENDS[1], ENDS[2], value * 2 - 1)
    return "#" + "".join(f"{round(a + (b - a) * part):02x}" for a, b in zip(start, end, strict=True))
