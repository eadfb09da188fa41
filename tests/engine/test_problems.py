"""Every usable row becomes a problem as written; every other row is named with file, line, field and rule."""

from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from omegaprm.engine.errors import BadInput
from omegaprm.engine.problems import Rejected, SeedSet, read_problems


def picture(colour: int = 0) -> bytes:
    buffer = io.BytesIO()
    Image.effect_noise((40, 40), colour + 10).convert("RGB").save(buffer, "PNG")
    return buffer.getvalue()


def row(id: Any = "a", question: Any = "1 + 1?", answer: Any = "2", **more: Any) -> dict[str, Any]:
    return {"id": id, "question": question, "correct_answer": answer, **more}


def read(tmp_path: Path, content: str | bytes, name: str = "seeds.json", **options: Any) -> SeedSet:
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return read_problems([path], options.get("image_root"), options.get("shard", (0, 1)))


def reasons(seeds: SeedSet) -> list[tuple[int, str]]:
    return [(rejected.line, rejected.field) for rejected in seeds.rejected]


def test_a_list_and_the_same_rows_as_jsonl_give_the_same_problems(tmp_path: Path) -> None:
    rows = [
        row("a"),
        row("b", "é \u0000 \u2028 \U0001f600\ttab", "√2", source="x"),
        row("c", image_path=None),
    ]
    listed = read(tmp_path, json.dumps(rows, indent=1))
    lines = read(tmp_path, "\n".join(json.dumps(each, ensure_ascii=False) for each in rows), "seeds.jsonl")
    assert listed.rejected == lines.rejected == ()
    assert listed.problems == lines.problems
    assert [problem.id for problem in listed.problems] == ["a", "b", "c"]
    assert listed.problems[1].question == "é \u0000 \u2028 \U0001f600\ttab"
    assert listed.fingerprint() == lines.fingerprint()
    msgspec.msgpack.encode(listed.problems)


def test_a_byte_order_mark_blank_lines_and_windows_line_ends_are_taken(tmp_path: Path) -> None:
    text = "\ufeff" + json.dumps(row("a")) + "\r\n\r\n  \n" + json.dumps(row("b")) + "\r\n"
    seeds = read(tmp_path, text)
    assert [problem.id for problem in seeds.problems] == ["a", "b"]
    assert seeds.rejected == ()


@pytest.mark.parametrize(
    ("written", "text"),
    [("8", "8"), ("8.0", "8.0"), ("-1e5", "-1e5"), ("9" * 6000, "9" * 6000), ("1e999", "1e999")],
)
def test_numbers_as_answers_and_ids_stay_as_written(tmp_path: Path, written: str, text: str) -> None:
    seeds = read(tmp_path, f'[{{"id": {written}, "question": "q", "correct_answer": {written}}}]')
    assert seeds.rejected == ()
    assert (seeds.problems[0].id, seeds.problems[0].correct_answer) == (text, text)
    assert type(seeds.problems[0].id) is str


@pytest.mark.parametrize(
    ("bad", "field", "rule"),
    [
        ({"question": "q", "correct_answer": "1"}, "id", "must be given"),
        (row(None), "id", "must be given"),
        (row(""), "id", "must not be empty"),
        (row(" \n"), "id", "must not be empty"),
        (row(["a"]), "id", "must be text or a number, not a list"),
        (row(question=""), "question", "must not be empty"),
        (row(question=None), "question", "must be given"),
        (row(question=7), "question", "must be text, not a number"),
        (row(answer=""), "correct_answer", "must not be empty"),
        (row(answer=True), "correct_answer", "not true or false"),
        (row(answer={}), "correct_answer", "not an object"),
        (row(answer=float("nan")), "correct_answer", "not NaN or Infinity"),
        (row(question="\ud800"), "question", "valid Unicode"),
        (row("\udcff"), "id", "valid Unicode"),
        (row(image_path=5), "image_path", "must be text or a list of texts, not a number"),
        (row(image_path=["a.png", None]), "image_path", "not null"),
        (row(image_path=[""]), "image_path", "not empty"),
        (row(image_path="missing.png"), "image_path", "missing.png"),
        (row(image_path="../outside.png"), "image_path", "outside the image root"),
        (row(image_path="\x00"), "image_path", ""),
        (row(image_path="x" * 5000), "image_path", ""),
        ("text", "row", "must be an object, not text"),
        ([1], "row", "must be an object, not a list"),
        (None, "row", "must be an object, not null"),
    ],
)
def test_a_bad_row_is_named_by_line_field_and_rule_and_the_others_stay(
    tmp_path: Path, bad: Any, field: str, rule: str
) -> None:
    folder = tmp_path / "seeds"
    folder.mkdir()
    (tmp_path / "outside.png").write_bytes(picture())
    lines = [json.dumps(row("before")), json.dumps(bad), json.dumps(row("after"))]
    for content in ("\n".join(lines), "[\n" + ",\n".join(lines) + "\n]"):
        seeds = read(folder, content)
        assert [problem.id for problem in seeds.problems] == ["before", "after"]
        (rejected,) = seeds.rejected
        assert rejected.file == str(folder / "seeds.json")
        assert rejected.line == 2 + content.startswith("[")
        assert rejected.field == field
        assert rule in rejected.reason
        msgspec.msgpack.encode(rejected)


def test_rows_of_a_pretty_printed_list_are_found_on_their_own_lines(tmp_path: Path) -> None:
    rows = [row("a", answer=""), row("b"), row("c", question="two\nlines", answer=""), row("d", answer="")]
    text = json.dumps(rows, indent=2)
    seeds = read(tmp_path, text)
    starts = [at for at, line in enumerate(text.split("\n"), 1) if line == "  {"]
    assert [(rejected.line, rejected.id) for rejected in seeds.rejected] == [
        (starts[0], "a"),
        (starts[2], "c"),
        (starts[3], "d"),
    ]


@pytest.mark.parametrize("count", [1, 3])
def test_objects_over_several_lines_are_rows_without_a_list_around_them(tmp_path: Path, count: int) -> None:
    """As one problem written by hand, or jq without -c, gives them."""
    rows = [row(str(at), "") if at == 1 else row(str(at)) for at in range(count)]
    seeds = read(tmp_path, "\n" + "\n".join(json.dumps(each, indent=1) for each in rows) + "\n")
    assert [problem.id for problem in seeds.problems] == [str(at) for at in range(count) if at != 1]
    assert reasons(seeds) == ([(7, "question")] if count > 1 else [])


def test_a_file_that_is_no_json_is_told_what_a_seeds_file_is(tmp_path: Path) -> None:
    cut = json.dumps(row("a"), indent=1)[:-3]
    with pytest.raises(BadInput, match="a seeds file is a JSON list or JSONL, one object a line"):
        read(tmp_path, cut).require_usable()


def test_a_bad_jsonl_line_does_not_stop_the_others(tmp_path: Path) -> None:
    lines = [
        json.dumps(row("a")),
        '{"id": "b"',
        json.dumps(row("c")) + " tail",
        "[" * 100_000,
        json.dumps(row("d")),
    ]
    seeds = read(tmp_path, "\n".join(lines))
    assert [problem.id for problem in seeds.problems] == ["a", "d"]
    assert reasons(seeds) == [(2, "row"), (3, "row"), (4, "row")]
    assert all("not JSON" in rejected.reason for rejected in seeds.rejected)


@pytest.mark.parametrize(
    ("tail", "line"),
    [
        (',\n{"id": "c",\n  oops', 4),
        ('\n{"id": "c"}]', 3),
        (",", 2),
        (",\n]", 3),
        ("\n", 3),
        ("]\nmore", 3),
        (",\n" + "[" * 100_000, 3),
    ],
)
def test_a_damaged_list_keeps_the_rows_before_the_damage_and_tells_its_line(
    tmp_path: Path, tail: str, line: int
) -> None:
    seeds = read(tmp_path, "[" + json.dumps(row("a")) + ",\n" + json.dumps(row("b")) + tail)
    assert [problem.id for problem in seeds.problems] == ["a", "b"]
    assert reasons(seeds) == [(line, "row")]
    assert "not JSON" in seeds.rejected[0].reason


def test_a_field_given_twice_is_refused_and_an_unknown_one_is_not(tmp_path: Path) -> None:
    seeds = read(
        tmp_path,
        '{"id": "a", "question": "q", "correct_answer": "1", "correct_answer": "2"}\n'
        '{"id": "b", "question": "q", "correct_answer": "1", "note": 1, "note": 2}\n',
    )
    assert [problem.id for problem in seeds.problems] == ["b"]
    assert reasons(seeds) == [(1, "correct_answer")]


def test_bytes_that_are_not_utf8_cost_their_row_only(tmp_path: Path) -> None:
    good = json.dumps(row("a")).encode()
    seeds = read(tmp_path, good + b'\n{"id": "b", "question": "\xff\xfe", "correct_answer": "1"}\n')
    assert [problem.id for problem in seeds.problems] == ["a"]
    assert seeds.rejected[0].field == "question"
    assert "UTF-8" in seeds.rejected[0].reason


def test_of_rows_with_one_id_the_first_usable_wins_also_across_files(tmp_path: Path) -> None:
    first, second = tmp_path / "1.json", tmp_path / "2.jsonl"
    first.write_text(json.dumps([row("a", "first"), row("8", "text"), row("c", "")]))
    second.write_text("\n".join(json.dumps(each) for each in (row("a", "second"), row(8, "number"), row("c", "now"))))
    seeds = read_problems([first, second], None)
    assert [(problem.id, problem.question) for problem in seeds.problems] == [
        ("a", "first"),
        ("8", "text"),
        ("c", "now"),
    ]
    assert [(rejected.file, rejected.line, rejected.field, rejected.id) for rejected in seeds.rejected] == [
        (str(first), 1, "question", "c"),
        (str(second), 1, "id", "a"),
        (str(second), 2, "id", "8"),
    ]


def test_images_are_found_beside_their_file_or_under_the_image_root_and_hashed(tmp_path: Path) -> None:
    content = [picture(0), picture(200)]
    for folder in ("beside", "root"):
        (tmp_path / folder / "images").mkdir(parents=True)
        for at, data in enumerate(content):
            (tmp_path / folder / "images" / f"{at}.png").write_bytes(data)
    names = ["images/0.png", "images/1.png"]
    text = json.dumps([row("one", image_path=names[0]), row("two", image_path=names), row("none", image_path="")])
    beside = read(tmp_path / "beside", text)
    under = read(tmp_path, text, image_root=tmp_path / "root")
    digests = tuple(hashlib.sha256(data).hexdigest() for data in content)
    for seeds, folder in ((beside, "beside"), (under, "root")):
        assert seeds.rejected == ()
        assert seeds.image_digests == {"one": digests[:1], "two": digests, "none": ()}
        assert seeds.problems[1].image_paths == tuple(names)
        assert seeds.problems[1].image_root == str((tmp_path / folder).resolve())
    assert beside.fingerprint() == under.fingerprint()


def test_an_absolute_path_inside_the_root_is_the_same_problem_as_a_relative_one(tmp_path: Path) -> None:
    content = picture()
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.png").write_bytes(content)
    relative = read(tmp_path / "one", json.dumps(row("a", image_path="a.png")))
    absolute = read(tmp_path / "two", json.dumps(row("a", image_path=str(tmp_path / "two" / "a.png"))))
    assert absolute.rejected == ()
    assert absolute.problems[0].image_paths == ("a.png",)
    assert absolute.problems[0].image_root == str(tmp_path / "two")
    assert absolute.fingerprint() == relative.fingerprint()
    assert absolute.image_digests == relative.image_digests


@pytest.mark.parametrize("root", ["..", "/"])
def test_an_absolute_path_elsewhere_needs_the_image_root_that_the_rejection_names(tmp_path: Path, root: str) -> None:
    for folder in ("seeds", "images"):
        (tmp_path / folder).mkdir()
    image = tmp_path / "images" / "a.png"
    image.write_bytes(picture())
    text = json.dumps(row("a", image_path=[str(image), str(image)]))
    (rejected,) = read(tmp_path / "seeds", text).rejected
    assert f"'{image}' is outside the image root '{tmp_path / 'seeds'}'" in rejected.reason
    assert "--image-root FOLDER" in rejected.reason
    given = tmp_path / "seeds" / root
    (problem,) = read(tmp_path / "seeds", text, image_root=given).problems
    assert problem.image_paths == (str(image.relative_to(given.resolve())),) * 2


def test_a_truncated_image_costs_its_row_and_a_changed_one_changes_the_fingerprint(tmp_path: Path) -> None:
    whole = picture()
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "a.png").write_bytes(whole)
    text = json.dumps([row("a", image_path="a.png"), row("b", image_path="cut.png"), row("c")])
    seeds = read(tmp_path, text)
    assert [problem.id for problem in seeds.problems] == ["a", "c"]
    assert (seeds.rejected[0].id, seeds.rejected[0].field) == ("b", "image_path")
    (tmp_path / "a.png").write_bytes(picture(200))
    assert read(tmp_path, text).fingerprint() != seeds.fingerprint()


def test_the_fingerprint_follows_content_not_order(tmp_path: Path) -> None:
    rows = [row(str(at)) for at in range(5)]
    ordered = read(tmp_path, json.dumps(rows)).fingerprint()
    assert read(tmp_path, json.dumps(rows[::-1])).fingerprint() == ordered
    assert read(tmp_path, json.dumps([*rows, row("x", "")])).fingerprint() == ordered
    for other in (rows[:-1], [*rows[:-1], row("4", "else?")], [*rows[:-1], row("4", answer="3")]):
        assert read(tmp_path, json.dumps(other)).fingerprint() != ordered


def test_shards_part_the_problems_by_id_alone(tmp_path: Path) -> None:
    rows = [row(f"id-{at}") for at in range(200)]
    parts = [read(tmp_path, json.dumps(rows), shard=(at, 3)) for at in range(3)]
    ids = [{problem.id for problem in part.problems} for part in parts]
    assert sum(map(len, ids)) == 200
    assert set.union(*ids) == {each["id"] for each in rows}
    assert all(len(part) > 40 for part in ids)
    again = read(tmp_path, json.dumps(rows[::-1]), shard=(1, 3))
    assert {problem.id for problem in again.problems} == ids[1]
    assert [part.num_elsewhere for part in parts] == [200 - len(part) for part in ids]


def test_an_empty_shard_of_usable_seeds_is_no_error(tmp_path: Path) -> None:
    parts = [read(tmp_path, json.dumps(row("only")), shard=(at, 2)) for at in range(2)]
    assert sorted(len(part.problems) for part in parts) == [0, 1]
    for part in parts:
        part.require_usable()


def test_seeds_without_a_usable_row_are_refused_with_the_first_reasons(tmp_path: Path) -> None:
    bad = read(tmp_path, "\n".join(json.dumps(row(str(at), "")) for at in range(5)))
    with pytest.raises(BadInput) as refused:
        bad.require_usable()
    assert refused.value.exit_code == 65
    assert f"{tmp_path / 'seeds.json'}:1: question: must not be empty" in str(refused.value)
    assert "and 2 more" in str(refused.value)
    for content in ("", "[]", " \n"):
        with pytest.raises(BadInput, match="there are no rows"):
            read(tmp_path, content).require_usable()


def test_a_seeds_file_that_cannot_be_read_is_refused_by_name(tmp_path: Path) -> None:
    for path in (tmp_path / "missing.json", tmp_path, tmp_path / "nul\0"):
        with pytest.raises(BadInput, match="seeds"):
            read_problems([path], None)


def check_any(tmp_path: Path, content: bytes) -> None:
    """Any file at all gives problems and rejections that can be stored."""
    seeds = read(tmp_path, content)
    msgspec.msgpack.encode((seeds.problems, seeds.rejected, seeds.image_digests))
    seeds.fingerprint()
    assert len({problem.id for problem in seeds.problems}) == len(seeds.problems)
    assert all(isinstance(each, Rejected) and each.line >= 1 for each in seeds.rejected)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)
FIELDS = st.fixed_dictionaries(
    {}, optional={name: JSON for name in ("id", "question", "correct_answer", "image_path", "other")}
)


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("scratch")


@settings(deadline=None, max_examples=150)
@given(
    content=st.binary(max_size=200),
    opening=st.sampled_from([b"", b"[", b'[{"id":', b'{"id": "a"}\n', b"\xef\xbb\xbf"]),
)
def test_random_bytes_never_raise(scratch: Path, content: bytes, opening: bytes) -> None:
    check_any(scratch, opening + content)


@settings(deadline=None, max_examples=150)
@given(rows=st.lists(FIELDS | JSON, max_size=4), listed=st.booleans(), cut=st.integers(0, 400))
def test_random_json_and_cut_json_never_raise(scratch: Path, rows: list[Any], listed: bool, cut: int) -> None:
    text = json.dumps(rows) if listed else "\n".join(map(json.dumps, rows))
    check_any(scratch, text.encode())
    check_any(scratch, text.encode()[:cut])
