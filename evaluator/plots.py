"""The two figures of Best-of-N as PNG: curves over N, and aggregations beside random with their intervals."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from omegaprm.evaluator.aggregation import AGGREGATIONS

BEST_SHOWN = 3
"""Aggregations drawn as curves: those best with all candidates."""

STYLES: dict[str, tuple[str, str, str]] = {
    "pass": ("pass@N (a perfect PRM)", "#777777", "--"),
    "weighted_vote": ("PRM-weighted vote", "#8a4fa3", "-."),
    "majority": ("majority vote", "#2f7a4d", "-."),
    "random": ("random", "#222222", ":"),
}
CURVE_COLOURS = ("#0b62a4", "#d1583b", "#c79a1e")
MARKERS = ("o", "s", "^")


def png(figure: Figure) -> bytes:
    """A figure as PNG, drawn without a display."""
    return written(figure, "png")


def written(figure: Figure, kind: str) -> bytes:
    """A figure as "png" or "svg", drawn without a display."""
    stream = io.BytesIO()
    FigureCanvasAgg(figure)
    figure.savefig(stream, format=kind, dpi=130, metadata={"Date": None} if kind == "svg" else None)
    return stream.getvalue()


def best_of_n_plot(figures: Mapping[str, Any], title: str) -> bytes:
    """Accuracy over N for the best aggregations, random, the two votes, and pass@N."""
    curves, best = figures["curves"], best_names(figures)
    figure = Figure(figsize=(8.6, 4.8), layout="constrained", facecolor="white")
    axes = figure.subplots()
    for name in ("pass", "weighted_vote", "majority"):
        label, colour, line = STYLES[name]
        axes.plot(curves["n"], curves[name], line, color=colour, label=label, linewidth=1.6)
    for name, colour, marker in zip(best, CURVE_COLOURS, MARKERS, strict=False):
        axes.plot(curves["n"], curves[name], "-", marker=marker, markersize=4, color=colour, label=f"PRM, {name}")
    label, colour, line = STYLES["random"]
    axes.plot(curves["n"], curves["random"], line, color=colour, label=label, linewidth=2)
    _dress(axes, f"{title}: Best-of-N on {figures['num_problems']} problems")
    axes.set_xlabel("N, candidates drawn of each problem's")
    axes.set_ylabel("accuracy")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False)
    return png(figure)


def best_names(figures: Mapping[str, Any]) -> list[str]:
    """The aggregations shown as curves, best first."""
    accuracy = {name: entry["accuracy"] for name, entry in figures["best_of_n"].items()}
    return sorted(accuracy, key=lambda name: -accuracy[name])[:BEST_SHOWN]


def aggregations_plot(figures: Mapping[str, Any], title: str, baseline: Mapping[str, Any] | None = None) -> bytes:
    """Bars of all aggregations and votes with 95 % intervals, random as a line; the baseline PRM beside."""
    figure = Figure(figsize=(10, 4.8), layout="constrained", facecolor="white")
    axes = figure.subplots()
    width = 0.38 if baseline else 0.62
    if baseline:
        _bars(axes, baseline, width / 2, width, "#c9c9c9", "baseline PRM")
    _bars(axes, figures, -width / 2 if baseline else 0.0, width, "#6fa8d6", "PRM")
    random, most = figures["random"], figures["most_candidates"]
    axes.axhline(random, color="#222222", linestyle=":", linewidth=1.8, label=f"random {random:.1%}")
    ceiling = figures["pass_all"]
    axes.axhline(ceiling, color="#777777", linestyle="--", linewidth=1.4, label=f"pass@{most} {ceiling:.1%}")
    names = [*AGGREGATIONS, "weighted vote", "majority vote"]
    axes.set_xticks(range(len(names)), [name.replace(" ", "\n") for name in names], fontsize=9)
    _dress(axes, f"{title}: Best-of-{most} by aggregation, 95 % intervals")
    axes.set_ylabel("accuracy")
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.13), ncols=4, frameon=False)
    return png(figure)


def _bars(axes: Any, figures: Mapping[str, Any], shift: float, width: float, colour: str, label: str) -> None:
    votes = figures["votes"]
    rows = [figures["best_of_n"][name] for name in AGGREGATIONS] + [votes["weighted_vote"], votes["majority"]]
    heights = [row["accuracy"] for row in rows]
    below = [max(row["accuracy"] - row["low"], 0.0) for row in rows]
    above = [max(row["high"] - row["accuracy"], 0.0) for row in rows]
    places = [at + shift for at in range(len(rows))]
    whiskers = {"ecolor": "#444444", "elinewidth": 1.1, "capsize": 3}
    axes.bar(places, heights, width, yerr=[below, above], color=colour, label=label, error_kw=whiskers)
    for place, row in zip(places, rows, strict=True):
        axes.text(place, 0.012, f"{100 * row['accuracy']:.0f}", ha="center", fontsize=8, color="#111111")


def _dress(axes: Any, title: str) -> None:
    axes.set_title(title.replace("$", r"\$"), fontsize=11.5, loc="left")
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.set_ylim(0.0, 1.02)
    axes.grid(axis="y", color="#e2e2e2", linewidth=0.8)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
