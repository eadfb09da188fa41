"""Rows are read as MM-PRM writes them, and a bad one is named with file, line, field and rule."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from omegaprm.engine.errors import BadInput
from omegaprm.trainer import rows
from omegaprm.trainer.targets import LossRule
from tests.trainer.samples import picture, row, write_rows

GOOD = row("1+1?", ["1+1=2", "2"], [1, 0.25])


def reason(tmp_path: Path, bad: dict[str, Any]) -> str:
    read = rows.read([str(write_rows(tmp_path, [GOOD, bad]))])
    assert (len(read.rows), read.num_bad) == (1, 1)
    return read.reasons[0]


def test_a_row_becomes_question_steps_and_labels(tmp_path: Path) -> None:
    name = picture(tmp_path, 1)
    bare = {**row("q", ["a", "b\n\nc"], [None, 1], name)}
    read = rows.read([str(write_rows(tmp_path, [bare]))])
    assert read.rows[0].question == "q"
    assert read.rows[0].steps == ("a", "b\n\nc")
    assert read.rows[0].labels == (None, 1.0)
    assert read.rows[0].images == (str(tmp_path / name),)


@pytest.mark.parametrize("image", [None, "", []])
def test_no_image_may_be_written_in_several_ways(tmp_path: Path, image: Any) -> None:
    read = rows.read([str(write_rows(tmp_path, [{**GOOD, "image": image}]))])
    assert read.rows[0].images == ()


def test_an_absolute_image_lies_in_the_root_of_its_rows_or_in_the_one_given(tmp_path: Path) -> None:
    folder = tmp_path / "rows"
    folder.mkdir()
    inside, outside = folder / picture(folder, 1), tmp_path / picture(tmp_path, 2)
    file = write_rows(folder, [{**GOOD, "image": str(image)} for image in (inside, outside)])
    read = rows.read([str(file)])
    assert [row.images for row in read.rows] == [(str(inside),)]
    assert read.reasons[0].startswith(f"{file}:2: image: '{outside}' is outside the image root")
    assert "--image-root FOLDER" in read.reasons[0]
    for root in (str(tmp_path), "/"):
        assert [row.images for row in rows.read([str(file)], image_root=root).rows] == [(str(inside),), (str(outside),)]


def test_an_image_root_takes_the_place_of_the_one_in_a_meta_file(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    name = picture(tmp_path / "images", 1)
    write_rows(tmp_path, [{**GOOD, "image": name}], "train.jsonl")
    meta = {"set": {"root": "/path/to/the/image/root", "annotation": str(tmp_path / "train.jsonl"), "length": "1"}}
    (tmp_path / "meta.json").write_text(json.dumps(meta))
    with pytest.raises(BadInput, match="in the image root '/path/to/the/image/root'"):
        rows.read([str(tmp_path / "meta.json")])
    read = rows.read([str(tmp_path / "meta.json")], image_root=str(tmp_path / "images"))
    assert read.rows[0].images == (str(tmp_path / "images" / name),)


def test_several_images_keep_their_order(tmp_path: Path) -> None:
    names = [picture(tmp_path, 2), picture(tmp_path, 1)]
    read = rows.read([str(write_rows(tmp_path, [{**GOOD, "image": names}]))])
    assert [Path(path).name for path in read.rows[0].images] == names


def test_the_placeholder_of_internvl_rows_is_taken_off(tmp_path: Path) -> None:
    labelled = json.loads(json.dumps(GOOD))
    labelled["conversations"][0]["value"] = "<image>\n" + labelled["conversations"][0]["value"]
    assert rows.read([str(write_rows(tmp_path, [labelled]))]).rows[0].question == "1+1?"


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (
            row("q", ["a", "b"], [1.0]),
            "conversations[1].value: 1 labels for 2 <prm>: there must be one label a step",
        ),
        (row("q", ["a"], [1.5]), "conversations[1].value[0]: 1.5 must be in [0, 1] or null"),
        (row("q", ["a"], [True]), "conversations[1].value[0]: True must be in [0, 1] or null"),
        (row("q", ["a"], [None]), "conversations[1].value: at least one label must not be null"),
        (row("q", ["a"], [1], "no.png"), "image: 'no.png' cannot be opened in the image root"),
        (row("q", ["a"], [1], "../rows.jsonl"), "image: '../rows.jsonl' leads to "),
        (row("q", ["a"], [1], 7), "image: must be a path, a list of paths, or null"),
        ({"conversations": []}, "conversations: must be a list of two turns"),
    ],
)
def test_a_bad_row_is_named_with_its_rule(tmp_path: Path, bad: dict[str, Any], message: str) -> None:
    assert reason(tmp_path, bad).startswith(f"{tmp_path / 'rows.jsonl'}:2: {message}")


def test_a_line_that_is_not_json_is_one_bad_row(tmp_path: Path) -> None:
    file = write_rows(tmp_path, [GOOD])
    file.write_text('{"id": 1,\n' + file.read_text())
    read = rows.read([str(file)])
    assert len(read.rows) == 1
    assert read.reasons[0].startswith(f"{file}:1: line: not JSON")


def test_a_byte_order_mark_is_left_off(tmp_path: Path) -> None:
    file = write_rows(tmp_path, [GOOD, row("2+2?", ["4"], [1])])
    file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes())
    read = rows.read([str(file)])
    assert ([one.question for one in read.rows], read.num_bad) == (["1+1?", "2+2?"], 0)
    meta = tmp_path / "meta.json"
    meta.write_text("\ufeff" + json.dumps({"x": {"annotation": file.name}}))
    assert len(rows.read([str(meta)]).rows) == 2


@pytest.mark.parametrize("indent", [None, 4])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_a_json_list_gives_the_rows_of_the_same_jsonl(tmp_path: Path, indent: int | None, mark: str) -> None:
    given = [
        GOOD,
        row("é \u2028 \U0001f600?", ["[1], {2}", "ü"], [0.5, 0]),
        row("bad", ["a"], [2]),
        row("q", ["4"], [1]),
    ]
    (tmp_path / "rows.json").write_text(mark + json.dumps(given, indent=indent, ensure_ascii=False))
    listed, lines = rows.read([str(tmp_path / "rows.json")]), rows.read([str(write_rows(tmp_path, given))])
    assert list(listed.rows) == list(lines.rows)
    assert (len(listed.rows), listed.num_bad) == (3, 1)
    begins = json.dumps(given[:2], indent=indent, ensure_ascii=False).count("\n") + 1
    assert listed.reasons[0].startswith(f"{tmp_path / 'rows.json'}:{begins}: conversations[1].value[0]: 2")


@pytest.mark.parametrize("damage", ['{"id": 1', "", '{"a": 1} {"b": 2}]', "[" * 5000])
def test_the_rows_before_the_damage_of_a_list_are_used_and_its_place_is_named(tmp_path: Path, damage: str) -> None:
    text = json.dumps([GOOD, row("q", ["4"], [1])]).removesuffix("]")
    (tmp_path / "rows.json").write_text(f"{text},\n{damage}")
    read = rows.read([str(tmp_path / "rows.json")])
    assert [one.question for one in read.rows] == ["1+1?", "q"]
    assert any(f"{tmp_path / 'rows.json'}:2: line: not JSON" in reason for reason in read.reasons)


def test_no_usable_row_is_bad_input_with_the_reasons(tmp_path: Path) -> None:
    file = write_rows(tmp_path, [row("q", ["a"], [2])])
    with pytest.raises(BadInput, match=r"no usable row, 1 bad\n.*2 must be in \[0, 1\]"):
        rows.read([str(file)])
    with pytest.raises(BadInput, match=r"nowhere\.jsonl: No such file"):
        rows.read([str(tmp_path / "nowhere.jsonl")])


@pytest.mark.parametrize(
    ("content", "rule"),
    [
        ("", "no row in it"),
        ("[]", "no row in it"),
        ('{\n"a": {"annotatoin": "a.jsonl"}\n}', r"a\.annotation: must name the rows"),
    ],
)
def test_a_file_that_is_no_rows_at_all_is_told_by_what_it_is(tmp_path: Path, content: str, rule: str) -> None:
    file = tmp_path / "rows.json"
    file.write_text(content)
    with pytest.raises(BadInput, match=rf"rows\.json: {rule}"):
        rows.read([str(file)])


def test_a_meta_file_names_rows_images_and_repetitions(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    name = picture(tmp_path / "images", 1)
    write_rows(tmp_path, [{**GOOD, "image": name}, GOOD], "a.jsonl")
    write_rows(tmp_path, [GOOD] * 4, "b.jsonl")
    meta = {
        "a": {"root": "images", "annotation": "a.jsonl", "data_augment": False, "repeat_time": 2, "length": 2},
        "b": {"root": "", "annotation": "b.jsonl", "data_augment": False, "repeat_time": 0.5, "length": 4},
    }
    file = tmp_path / "meta.json"
    file.write_text(json.dumps(meta))
    read = rows.read([str(file)])
    assert [len(each.images) for each in read.rows] == [1, 0, 1, 0, 0, 0]


def test_augmentation_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "meta.json"
    file.write_text(json.dumps({"a": {"annotation": "a.jsonl", "data_augment": True}}))
    with pytest.raises(BadInput, match=r"a\.data_augment: must be false"):
        rows.read([str(file)])


def test_the_digest_follows_the_contents(tmp_path: Path) -> None:
    first = rows.read([str(write_rows(tmp_path, [GOOD], "a.jsonl"))]).digest
    assert rows.read([str(write_rows(tmp_path, [GOOD], "b.jsonl"))]).digest == first
    assert rows.read([str(write_rows(tmp_path, [GOOD, GOOD], "a.jsonl"))]).digest != first


def test_rows_are_read_where_they_stand(tmp_path: Path) -> None:
    """Behind empty and bad lines too, and in the order of files and lines."""
    file = write_rows(tmp_path, [row(f"{number}?", ["a"], [1]) for number in range(5)])
    lines = file.read_text().splitlines(keepends=True)
    file.write_text("\n" + lines[0] + "{}\n" + "".join(lines[1:]).rstrip())
    read = rows.read([str(file), str(file)])
    assert [each.question for each in read.rows] == [f"{number}?" for number in (0, 1, 2, 3, 4)] * 2
    assert read.rows[-1].question == "4?"
    assert [each.question for each in read.rows[3:6]] == ["3?", "4?", "0?"]
    assert read.num_bad == 2


def test_a_loss_of_counts_refuses_rows_without_them(tmp_path: Path) -> None:
    file = write_rows(tmp_path, [GOOD, {**GOOD, "counts": [None, [4, 16]]}])
    read = rows.read([str(file)], LossRule(kind="counts"))
    assert [each.counts for each in read.rows] == [(None, (4, 16))]
    assert read.reasons[0] == f"{file}:1: counts: --loss counts need [correct, judged] of at least one step"


def test_a_row_that_the_rule_leaves_no_step_of_is_named(tmp_path: Path) -> None:
    file = write_rows(tmp_path, [row("q", ["a", "b"], [None, 1]), {**GOOD, "counts": [None, [1, 2]]}])
    read = rows.read([str(file)], LossRule(mask_unestimated=True))
    assert (len(read.rows), read.num_bad) == (1, 1)
    assert "counts: --mask-unestimated need" in read.reasons[0]
