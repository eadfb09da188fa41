"""How good the labels of a store are under flags of bin/export, by family:
python -m tests.label_figures STORE PROBLEMS [flags of bin/export]

PROBLEMS is the folder "problems" of a quickstart or of examples.economy. "wrong" is held against the exact step checker
over all labelled steps of all rows, right solutions too; the last figure is of right solutions alone.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from contextlib import redirect_stdout
from pathlib import Path
from tempfile import TemporaryDirectory

from examples.checker import first_error
from examples.truth import Digits, family_of, read_truth
from omegaprm.engine import commands
from omegaprm.engine.export import ExportConfig, export
from omegaprm.engine.records import parse_process_text
from tests.step_judge_figures import step_quality


def undone_errors(rows: Path, truth: Digits) -> dict[str, float]:
    """For each family, the share of rows without a wrong label in which the checker finds a wrong step."""
    num_right: Counter[str] = Counter()
    num_undone: Counter[str] = Counter()
    for line in rows.read_text().splitlines():
        row = json.loads(line)
        if 0 in row["conversations"][1]["value"]:
            continue
        problem_id = row["id"].rpartition("#")[0]
        question, steps = parse_process_text(row["conversations"][0]["value"])
        num_right[family_of(problem_id)] += 1
        num_undone[family_of(problem_id)] += first_error(question, list(steps), truth.get(problem_id)) is not None
    return {family: round(num_undone[family] / num, 4) for family, num in sorted(num_right.items())}


def main(store: str, problems: str, *flags: str) -> None:
    truth = read_truth(sorted(Path(problems).glob("*/seeds.json")))
    with TemporaryDirectory() as folder:
        config = commands.parse(ExportConfig, [store, "--out", folder, *flags], "export")
        with redirect_stdout(sys.stderr):
            export(config)
        rows = Path(folder) / "train.jsonl"
        undone = undone_errors(rows, truth)
        for family, figures in step_quality(rows, truth).items():
            print(family, figures | {"right solutions with a wrong step": undone.get(family)})


if __name__ == "__main__":
    main(*sys.argv[1:])
