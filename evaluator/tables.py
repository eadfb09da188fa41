"""An evaluation for the terminal: Best-of-N, chosen N, distinct texts, two PRMs, cost, step benchmarks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from omegaprm.evaluator.table import number, print_figures, print_step_level, with_interval

Figures = Mapping[str, Any]

PROCESS_COLUMNS = ("f1", "low", "high", "accuracy_erroneous", "accuracy_right", "num_erroneous", "num_right")
MACRO_COLUMNS = ("macro_f1", "low", "high", "f1_right", "f1_wrong", "num_right", "num_wrong")


def print_candidates(console: Console, title: str, result: Figures) -> None:
    """Everything about candidates, one table after the other."""
    prm = result["prm"]
    print_figures(console, title, prm, result["baseline"])
    print_over_texts(console, prm["over_texts"])
    print_at_n(console, prm["at_n"])
    if result["comparison"]:
        print_comparison(console, result["comparison"])
    for name in ("prm", "baseline"):
        if result[name] and result[name]["step_level"]:
            print_step_level(console, result[name]["step_level"], name)
    print_cost(console, prm["cost"])
    if result["answers_judged"]:
        counts = ", ".join(f"{num} {outcome}" for outcome, num in sorted(result["answers_judged"].items()))
        _say(console, f"answers judged by the benchmark's rule: {counts}")
    if result["num_zero_everywhere"]:
        num = result["num_zero_everywhere"]
        _say(console, f"{num} solutions score 0 at every step, as those too long for the PRM's context do")


def print_step_benchmark(console: Console, name: str, model: str, figures: Figures) -> None:
    """One row a subset, and where the threshold is from."""
    on = figures["threshold_chosen_on"]
    origin = f"chosen on {on}" if on else "fixed"
    _say(console, f"{name}, {model}: threshold {figures['threshold']:.4f}, {origin}")
    columns = PROCESS_COLUMNS if name == "processbench" else MACRO_COLUMNS
    table = _table("subset", *columns)
    for subset, row in figures["subsets"].items():
        table.add_row(Text(subset), *(_cell(row, column) for column in columns))
    console.print(table)
    whole = "average_f1" if name == "processbench" else "macro_f1"
    _say(console, f"  {whole} {number(figures[whole])}")
    print_cost(console, figures["cost"])


def _cell(row: Figures, column: str) -> str:
    value = row[column]
    return str(value) if isinstance(value, int) else number(value)


def print_at_n(console: Console, at_n: Figures) -> None:
    """One row an aggregation and vote, one column for each chosen N; nothing where none was chosen."""
    known = {n: found for n, found in at_n.items() if found}
    if not known:
        return
    table = _table("Best-of-N by", *(f"N = {n}" for n in known))
    first = next(iter(known.values()))
    table.add_row("random", *(f"{100 * found['random']:.1f}" for found in known.values()))
    for kind in ("best_of_n", "votes"):
        for name in first[kind]:
            rows = [found[kind][name] for found in known.values()]
            table.add_row(name, *(with_interval(row["accuracy"], row["low"], row["high"]) for row in rows))
    table.add_row("pass", *(f"{100 * found['pass']:.1f}" for found in known.values()))
    console.print(table)


def print_over_texts(console: Console, figures: Figures) -> None:
    """Best-of-N with equal texts counted once, in two lines."""
    name, best = max(figures["best_of_n"].items(), key=lambda pair: pair[1]["accuracy"])
    right, wrong = figures["right_texts"], figures["wrong_texts"]
    _say(console, f"Each text once: {right:.1f} right and {wrong:.1f} wrong texts a problem,")
    accuracy = with_interval(best["accuracy"], best["low"], best["high"])
    _say(console, f"  random {100 * figures['random']:.1f}, best aggregation {name} {accuracy}")


def print_comparison(console: Console, found: Figures) -> None:
    """The first PRM less the second, paired by problem, one row a figure."""
    _say(console, f"less {found['with']}, paired by {found['num_problems']} problems, points:")
    table = _table("Best-of-N by", "difference", "better in", "worse in", "")
    for name, row in found["best_of_n"].items():
        table.add_row(name, *_difference(row))
    console.print(table)
    if found["within_problem_auc"]:
        row = found["within_problem_auc"]
        gap, low, high = (number(row[key]) for key in ("difference", "low", "high"))
        _say(console, f"  within_problem_auc   {gap} [{low}, {high}] {row['note']}")


def _difference(row: Figures) -> tuple[str, ...]:
    gap = f"{100 * row['difference']:+.1f} [{100 * row['low']:+.1f}, {100 * row['high']:+.1f}]"
    word = row["note"] if row["note"] in ("better", "worse") else "unclear"
    return gap, str(row["num_better"]), str(row["num_worse"]), word


def print_cost(console: Console, cost: Figures) -> None:
    """What scoring took; nothing where no run has measured it."""
    if cost["steps_per_second"]:
        solutions, steps, seconds = cost["num_solutions"], cost["num_steps"], cost["seconds"]
        speed = cost["steps_per_second"]
        _say(console, f"scored {solutions} distinct solutions, {steps} steps, in {seconds:.1f} s: {speed:.1f} steps/s")


def _table(first: str, *others: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False)
    table.add_column(first, no_wrap=True)
    for heading in others:
        table.add_column(heading, justify="right", no_wrap=True)
    return table


def _say(console: Console, line: str) -> None:
    console.print(Text(line))
