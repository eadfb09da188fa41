"""Rollout files of five benchmarks are read by their own field names and judged by their own rules."""

import json
from pathlib import Path

import pytest
from PIL import Image

from omegaprm.evaluator.answer_rules import Reference, decide, listed_options
from omegaprm.evaluator.benchmarks import Rows, benchmarks
from omegaprm.evaluator.candidates import load

ROLLOUTS = Path(__file__).parent / "rollouts"

EXPECTED = {
    "k12": [("k12-1", (1, 0), ("ladder.png",))],
    "olympiadbench": [("1606", (1, 0, 0), ("plot.png",)), ("1607", (1, 0), ())],
    "mathvista": [("7", (1, 1, 0), ("ladder.png",)), ("8", (1, 0), ("plot.png",))],
    "mathverse": [("12", (1, 1, 0), ("images_version_1-4/ladder.png",))],
    "mathvision": [("44", (1, 1, 0), ("ladder.png",)), ("45", (1, 0), ("plot.png",))],
}


@pytest.fixture
def images(tmp_path):
    for name in ("ladder.png", "plot.png", "images_version_1-4/ladder.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new("L", (4, 4)).save(tmp_path / name)
    return tmp_path


@pytest.mark.parametrize("name", EXPECTED)
def test_a_benchmarks_rows_are_read_and_judged_by_its_rule(name, images):
    rows = Rows(name, relabel=False)
    loaded = load([str(ROLLOUTS / f"{name}.json")], str(images), rows)
    assert not loaded.rejected
    found = [(one.id, one.labels, tuple(one.image_path or ())) for one in loaded.candidates]
    assert found == EXPECTED[name]
    assert rows.counts["correct"] == sum(sum(labels) for _, labels, _ in EXPECTED[name])


def test_every_benchmark_of_the_data_has_a_fixture():
    assert set(EXPECTED) == set(benchmarks()) == {path.stem for path in ROLLOUTS.glob("*.json")}


def test_labels_of_the_file_stand_unless_all_are_to_be_judged_anew(tmp_path):
    row = {"id": 1, "question": "1+1?", "correct_answer": "2", "solutions_splits": [["2"], ["3"]], "labels": [0, 1]}
    (tmp_path / "c.json").write_text(json.dumps([row]))
    for relabel, labels in ((False, (0, 1)), (True, (1, 0))):
        loaded = load([str(tmp_path / "c.json")], None, Rows("k12", relabel))
        assert loaded.candidates[0].labels == labels


@pytest.mark.parametrize(
    "row",
    [7, {}, {"id": 1, "question": "q"}, {"id": 1, "question": "q", "correct_answer": "2", "solutions_splits": [3]}],
)
def test_a_broken_row_is_refused_and_spares_the_others(row, tmp_path):
    good = {"id": 2, "question": "1+1?", "correct_answer": "2", "solutions_splits": [["2"]]}
    (tmp_path / "c.json").write_text(json.dumps([row, good]))
    loaded = load([str(tmp_path / "c.json")], None, Rows("k12", False))
    assert [one.labels for one in loaded.candidates] == [(1,)]
    assert [rejected.index for rejected in loaded.rejected] == [0]


def test_mathvision_lists_its_options_in_the_question_unless_they_are_letters():
    ours = Rows("mathvision", False)(json.loads((ROLLOUTS / "mathvision.json").read_text()))
    assert ours[0]["question"] == "How many?\n(A) 4\n(B) 5\n(C) 6\n(D) 7\n(E) 8"
    assert ours[1]["question"] == "Which picture?"


@pytest.mark.parametrize(
    ("reference", "answer", "right"),
    [
        (Reference(values=("2",), decimals=0), "2.4", True),
        (Reference(values=("2",), decimals=0), "2.6", False),
        (Reference(values=("3.14",), tolerance="1e-2"), "3.15", True),
        (Reference(values=("3.14",), tolerance="1e-2"), "3.151", False),
        (Reference(values=("3.14",), tolerance="1e-2"), "pi", None),
        (Reference(values=("50 m",), tolerance="1"), "50 s", None),
        (Reference(values=("1", "2")), "2; 1", True),
        (Reference(values=("(1,2)", "3")), "3, (1,2)", True),
        (Reference(values=("1", "2")), "1", False),
        (Reference(values=("x",)), "  ", False),
        (Reference(values=("x",)), "y", None),
        (Reference(values=("blue",), options=listed_options(["red", "blue"])), "(B)", True),
    ],
)
def test_rules_worked_by_hand(reference, answer, right):
    assert decide(reference, answer) is right
