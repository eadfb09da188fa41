"""Candidates files: what is read, what is skipped and why, and that images stay in their root."""

import json

import pytest

from omegaprm.engine.errors import BadInput
from omegaprm.evaluator.candidates import load

GOOD = {
    "id": 7,
    "question": "1+1?",
    "correct_answer": 2,
    "image_path": None,
    "solutions_splits": [["1+1 = 2", "2"], ["1+1 = 3", "3"]],
    "labels": [1, 0],
    "answers": ["2", "3"],
}


def written(folder, *rows, name="rollouts.json"):
    file = folder / name
    file.write_text(json.dumps(list(rows)))
    return str(file)


def test_an_entry_is_read_as_it_stands_with_numbers_as_text(tmp_path):
    loaded = load([written(tmp_path, GOOD)])
    (problem,) = loaded.candidates
    assert (problem.id, problem.correct_answer, problem.labels) == ("7", "2", (1, 0))
    assert problem.solutions_splits == (("1+1 = 2", "2"), ("1+1 = 3", "3"))
    assert (problem.answers, loaded.images, loaded.rejected) == (("2", "3"), ((),), ())


def test_missing_answers_are_the_last_steps(tmp_path):
    row = {key: value for key, value in GOOD.items() if key != "answers"} | {"solutions_splits": [["a", "2"], []]}
    assert load([written(tmp_path, row)]).candidates[0].answers == ("2", "")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"labels": None}, "labels"),
        ({"labels": [1]}, "labels"),
        ({"labels": [1, 2]}, "labels"),
        ({"labels": [1, "0"]}, "labels"),
        ({"solutions_splits": []}, "solutions_splits"),
        ({"solutions_splits": ["a", "b"]}, "solutions_splits"),
        ({"solutions_splits": [[1], [2]]}, "solutions_splits"),
        ({"answers": ["2"]}, "answers"),
        ({"question": " "}, "question"),
        ({"correct_answer": None}, "correct_answer"),
        ({"correct_answer": True}, "correct_answer"),
        ({"correct_answer": float("nan")}, "correct_answer"),
        ({"correct_answer": float("inf")}, "correct_answer"),
        ({"question": "half \ud800"}, "question"),
        ({"answers": ["2", "\ud800"]}, "answers"),
        ({"solutions_splits": [["\ud800"], ["3"]]}, "solutions_splits"),
        ({"image_path": 3}, "image_path"),
        ({"image_path": "../secret.png"}, "image_path"),
        ({"image_path": "/etc/hostname"}, "image_path"),
        ({"image_path": "missing.png"}, "image_path"),
        ({"image_path": "nul\0.png"}, "image_path"),
        ({"step_labels": [[1], [1, 0]]}, "step_labels"),
        ({"step_labels": [[1, 5], [1, 0]]}, "step_labels"),
    ],
)
def test_a_bad_entry_is_skipped_with_its_index_field_and_rule(tmp_path, change, field):
    file = written(tmp_path, GOOD | change | {"id": "bad"}, GOOD)
    loaded = load([file])
    assert [problem.id for problem in loaded.candidates] == ["7"]
    (rejected,) = loaded.rejected
    assert (rejected.index, rejected.field) == (0, field)
    assert str(rejected).startswith(f"{file}[0]: {field}: ")


def test_a_byte_order_mark_is_left_off(tmp_path):
    file = written(tmp_path, GOOD)
    (tmp_path / "rollouts.json").write_text("\ufeff" + (tmp_path / "rollouts.json").read_text())
    assert [problem.id for problem in load([file]).candidates] == ["7"]


def test_a_problem_given_twice_counts_once(tmp_path):
    files = [written(tmp_path, GOOD), written(tmp_path, GOOD, GOOD | {"question": "2+2?"}, name="more.json")]
    loaded = load(files)
    assert [problem.question for problem in loaded.candidates] == ["1+1?", "2+2?"]
    assert [(rejected.index, rejected.field) for rejected in loaded.rejected] == [(0, "id")]


@pytest.mark.parametrize("content", ["[]", "[1, null]", '{"id": 1}', "not json", "\ufeff["])
def test_a_file_without_a_usable_entry_ends_with_65(tmp_path, content):
    file = tmp_path / "rollouts.json"
    file.write_text(content)
    with pytest.raises(BadInput, match=r"rollouts\.json") as caught:
        load([str(file)])
    assert caught.value.exit_code == 65


@pytest.mark.parametrize(
    ("content", "rule"),
    [("\n", "is empty"), (f"{json.dumps(GOOD)}\n" * 2, "must be one JSON list, not JSONL")],
)
def test_a_file_that_is_no_list_is_told_by_what_it_is(tmp_path, content, rule):
    (tmp_path / "rollouts.json").write_text(content)
    with pytest.raises(BadInput, match=rf"rollouts\.json: .*{rule}"):
        load([str(tmp_path / "rollouts.json")])


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(BadInput, match=r"nowhere\.json: No such file"):
        load([str(tmp_path / "nowhere.json")])


def test_images_are_relative_to_the_file_or_to_the_image_root(tmp_path):
    root = tmp_path / "images"
    root.mkdir()
    (root / "a.png").touch()
    file = written(tmp_path, GOOD | {"image_path": "images/a.png"})
    assert load([file]).images == ((str(root / "a.png"),),)
    file = written(tmp_path, GOOD | {"image_path": ["a.png"]})
    assert load([file], str(root)).images == ((str(root / "a.png"),),)


def test_an_absolute_image_lies_in_the_root_or_is_refused_with_the_flag(tmp_path):
    (tmp_path / "candidates").mkdir()
    inside, outside = tmp_path / "candidates" / "a.png", tmp_path / "b.png"
    inside.touch()
    outside.touch()
    rows = [GOOD | {"id": at, "image_path": str(image)} for at, image in enumerate((inside, outside))]
    file = written(tmp_path / "candidates", *rows)
    loaded = load([file], root_flag="--validation-image-root")
    assert loaded.images == ((str(inside),),)
    (rejected,) = loaded.rejected
    assert (rejected.index, rejected.field) == (1, "image_path")
    assert rejected.rule.startswith(f"'{outside}' is outside the image root '{tmp_path / 'candidates'}'")
    assert "Give --validation-image-root FOLDER" in rejected.rule
    assert load([file], "/").images == ((str(inside),), (str(outside),))


def test_a_link_out_of_the_image_root_is_refused(tmp_path):
    (tmp_path / "secret.png").touch()
    root = tmp_path / "images"
    root.mkdir()
    (root / "link.png").symlink_to(tmp_path / "secret.png")
    file = written(tmp_path, GOOD | {"image_path": "link.png"}, GOOD | {"id": "8"})
    assert [rejected.field for rejected in load([file], str(root)).rejected] == ["image_path"]
