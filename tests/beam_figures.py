"""Beam search beside Best-of-16 and votes on the same problems: python -m tests.beam_figures BEAM QUICKSTART

BEAM is a candidates file of bin/rollout --search beam over the test problems of a finished quickstart, guided by its
PRM; the scores of the quickstart's candidates are those that its evaluation left. Intervals are 95 %, over problems.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from examples.truth import FAMILIES, family_of
from omegaprm.evaluator.best_of_n import curves_of
from omegaprm.evaluator.bootstrap import interval, resampled_means
from omegaprm.evaluator.candidates import load
from omegaprm.evaluator.scorer import Item
from omegaprm.evaluator.scoring import digest

DRAWS = 2000
BEAM, ANY_BEAM = "beam search, its first candidate", "any of the beams right"
SHOWN = ("min", "random", "majority", "weighted_vote", "pass")
DIFFERENCES = ("min", "random", "majority")


def scores_of(folder: Path, family: str, loaded: Any) -> list[list[list[float]]]:
    files = (folder / "evaluation" / family).glob("scores-*.json")
    kept = next(found for file in files if Path((found := json.loads(file.read_text()))["prm"]).name == "prm")["scores"]
    return [
        [kept[digest(Item(problem.question, steps, images))] for steps in problem.solutions_splits]
        for problem, images in zip(loaded.candidates, loaded.images, strict=True)
    ]


def table(folder: Path, family: str, beams: dict[str, list[int]]) -> dict[str, np.ndarray]:
    """Figures of each problem of a family that the beam search was given, shape (problems,) each."""
    loaded = load([str(folder / f"{family}.json")], str(folder / "problems"))
    curves = curves_of(loaded.candidates, scores_of(folder, family, loaded), seed=0)
    asked = [at for at, problem in enumerate(loaded.candidates) if problem.id in beams]
    ids = [loaded.candidates[at].id for at in asked]
    of_sixteen = curves.best | curves.baselines
    found = {name: of_sixteen[name][asked, -1] for name in SHOWN}
    first = np.array([(beams[name] or [0])[0] for name in ids], float)
    return {BEAM: first, ANY_BEAM: np.array([max(beams[name], default=0) for name in ids], float)} | found


def show(name: str, figures: dict[str, np.ndarray]) -> None:
    rows = figures | {f"beam less {other}": figures[BEAM] - figures[other] for other in DIFFERENCES}
    samples = resampled_means(np.stack([*rows.values()], axis=1), DRAWS, 0)
    print(f"{name}: {len(figures[BEAM])} problems")
    for (row, values), column in zip(rows.items(), samples.T, strict=True):
        low, high = interval(column)
        print(f"  {row:<34} {values.mean():+.3f} [{low:+.3f}, {high:+.3f}]")


def main(beam: Path, folder: Path) -> None:
    beams = {row["id"]: row["labels"] for row in json.loads(beam.read_text())}
    families = {
        family: table(folder, family, beams) for family in FAMILIES if any(family_of(i) == family for i in beams)
    }
    for family, figures in families.items():
        show(family, figures)
    show(
        "both", {name: np.concatenate([of[name] for of in families.values()]) for name in next(iter(families.values()))}
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]).resolve())
