"""Label quality is what a hand count gives."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from examples.truth import label_quality, split_by_family
from omegaprm.engine.records import process_text

QUESTION = "What is 3+4*2?"
WRONG = ("4*2=8, so 3+8", "3+8=12, so 12", "12")


def row(problem: str, steps: tuple[str, ...], labels: list[float]) -> str:
    value = process_text(QUESTION, steps)
    return json.dumps({"id": problem, "conversations": [{"value": value}, {"value": labels}]}) + "\n"


def test_label_quality_counts_steps_from_the_first_error_on(tmp_path: Path):
    right = ("4*2=8, so 3+8", "3+8=11, so 11", "11")
    rows = tmp_path / "train.jsonl"
    rows.write_text(
        row("sums-1#0", WRONG, [0.5, 0.0, 0.0])
        + row("sums-1#1", WRONG, [0.0, 0.0, 0.0])
        + row("sums-2#0", WRONG, [0.5, 0.25, 0.0])
        + row("sums-2#1", right, [0.5, 1.0, 1.0])
    )
    quality = label_quality(rows, {})["sums"]
    assert quality["rows"] == 4
    assert quality["wrong_solutions"] == 3
    assert quality["first_error_exact"] == pytest.approx(1 / 3)
    assert quality["label_precision"] == pytest.approx(5 / 6)
    assert quality["label_recall"] == pytest.approx(5 / 6)
    assert quality["label_f1"] == pytest.approx(5 / 6)
    assert quality["right_solutions_with_a_wrong_step"] == 0


def test_candidates_are_split_by_family_with_the_checkers_word_on_each_step(tmp_path: Path):
    rows = [
        {"id": "sums-test-0-0", "question": QUESTION, "solutions_splits": [list(WRONG)]},
        {
            "id": "digits-test-0-0",
            "question": "The image shows digits a, b, c. What is a+b-c?",
            "solutions_splits": [["a is 1", "b is 3", "c is 3", "so 1+3-3", "1"]],
        },
    ]
    (tmp_path / "candidates.json").write_text(json.dumps(rows))
    truth = {"digits-test-0-0": {"a": 1, "b": 2, "c": 3}}
    paths = split_by_family(tmp_path / "candidates.json", truth, tmp_path)
    assert json.loads(paths["sums"].read_text())[0]["step_labels"] == [[1, 0, 0]]
    assert json.loads(paths["digits"].read_text())[0]["step_labels"] == [[1, 0, 0, 0, 0]]
