"""Every format says the same rows, and its own consumer reads them: bin/train, datasets, ProcessBench's fields."""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import pytest

from omegaprm.engine.config import SearchRule
from omegaprm.engine.errors import BadInput
from omegaprm.engine.export import OPEN, ExportConfig, export
from omegaprm.engine.formats import NOT_KNOWN, Format, RowSet, first_error, write_processbench
from omegaprm.engine.records import ProblemRecord, TrainingRow, parse_process_text, process_text
from omegaprm.engine.status import summarise
from omegaprm.engine.store import Store
from tests.fakes.grown_store import grow_into, numbered
from tests.fakes.policy import StumblingPolicy
from tests.fakes.stores import problems, write_store

os.environ["HF_DATASETS_OFFLINE"] = "1"
os.environ["HF_DATASETS_DISABLE_PROGRESS_BARS"] = "1"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("formats")
    *finished, growing = problems(16, str(folder))
    return write_store(folder / "store", finished, [ProblemRecord(problem=growing, state="open")])


def exported(store: Path, out: Path, kind: Format = "mmprm", **flags: Any) -> Path:
    export(ExportConfig(stores=(str(store),), out=str(out), format=kind, **flags))
    return out


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def mmprm_rows(folder: Path) -> list[tuple[Any, ...]]:
    """(id, question, steps, labels, images) of the rows that bin/train reads."""
    found = []
    for row in lines(folder / "train.jsonl"):
        question, steps = parse_process_text(row["conversations"][0]["value"])
        images = [row["image"]] if "image" in row else []
        found.append((row["id"], question, list(steps), row["conversations"][1]["value"], images))
    return found


def loaded(folder: Path, cache: Path) -> Any:
    """The folder as the datasets library finds it by the data card."""
    import datasets

    return datasets.load_dataset(str(folder), cache_dir=str(cache))


@pytest.mark.parametrize("masked", [False, True], ids=["all labelled", "masked"])
def test_parquet_loads_in_datasets_and_holds_the_rows_of_mmprm(store: Path, tmp_path: Path, masked: bool) -> None:
    expected = mmprm_rows(exported(store, tmp_path / "mmprm", mask_unestimated=masked))
    data = loaded(exported(store, tmp_path / "parquet", "parquet", mask_unestimated=masked), tmp_path / "cache")
    rows = [tuple(row[name] for name in ("id", "question", "steps", "labels", "images")) for row in data["train"]]
    assert rows == expected
    assert masked == any(None in row[3] for row in rows)


def test_trl_rows_load_in_datasets_with_boolean_labels(store: Path, tmp_path: Path) -> None:
    import datasets

    expected = mmprm_rows(exported(store, tmp_path / "mmprm"))
    data = loaded(exported(store, tmp_path / "trl", "trl"), tmp_path / "cache")["train"]
    assert data.features["labels"].feature == datasets.Value("bool")
    assert data.features["completions"].feature == datasets.Value("string")
    rows = [tuple(row[name] for name in ("id", "prompt", "completions", "values", "images")) for row in data]
    assert rows == expected
    assert [row["labels"] for row in data] == [[value > 0 for value in row[3]] for row in expected]


def test_a_masked_step_is_left_out_of_trls_loss(store: Path, tmp_path: Path) -> None:
    import datasets

    data = loaded(exported(store, tmp_path / "trl", "trl", mask_unestimated=True), tmp_path / "cache")["train"]
    assert data.features["labels"].feature == datasets.Value("int64")
    for row in data:
        expected = [-100 if value is None else int(value > 0) for value in row["values"]]
        assert row["labels"] == expected


def test_processbench_rows_name_the_first_step_labelled_wrong(store: Path, tmp_path: Path) -> None:
    expected = mmprm_rows(exported(store, tmp_path / "mmprm"))
    data = loaded(exported(store, tmp_path / "bench", "processbench"), tmp_path / "cache")["test"]
    assert len(data) == len(expected)
    for row, (name, question, steps, labels, _) in zip(data, expected, strict=True):
        assert (row["id"], row["problem"], row["steps"], row["generator"]) == (name, question, steps, "m1")
        assert row["label"] == (labels.index(0) if 0 in labels else -1)
        assert row["final_answer_correct"] == (row["label"] == -1)


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ((0.5, 1.0), -1),
        ((0.5, 0.0, 0.0), 1),
        ((0.0, None), 0),
        ((None, 0.5, 0.0), 2),
        ((0.5, None, 0.0), None),
        ((None, 0.0), None),
        ((0.5, None), None),
    ],
)
def test_a_first_error_among_masked_steps_is_not_known(labels: tuple[float | None, ...], expected: int | None) -> None:
    assert first_error(labels) == expected


def test_processbench_drops_and_counts_rows_whose_first_error_is_not_known(tmp_path: Path) -> None:
    counts: Counter[str] = Counter()
    rows = [
        TrainingRow(id="known", question="?", steps=("a", "b"), labels=(0.5, 0.0)),
        TrainingRow(id="hidden", question="?", steps=("a", "b"), labels=(None, 0.0)),
    ]
    write_processbench(tmp_path, RowSet(name="n", rows=rows, root=""), counts)
    assert [row["id"] for row in json.loads((tmp_path / "test.json").read_text())] == ["known"]
    assert counts[NOT_KNOWN] == 1


@pytest.mark.parametrize("kind", ["mmprm", "trl", "parquet", "trees", "processbench"])
def test_an_export_says_what_it_left_out_and_how_it_was_made(
    store: Path, tmp_path: Path, kind: Format, capsys: pytest.CaptureFixture[str]
) -> None:
    out = exported(store, tmp_path, kind)
    counts = json.loads((out / "counts.json").read_text())
    card = (out / "README.md").read_text()
    assert counts[OPEN] == 1
    for said in (card, capsys.readouterr().out):
        assert "1 problems are left out: their trees were still growing" in said
    for name, count in counts.items():
        assert f"| {name} | {count} |" in card
    assert "| num_rollouts | 8 |" in card
    assert "| lmdb | " in card
    assert str(store) not in card


@pytest.mark.parametrize("kind", ["mmprm", "trees"])
async def test_a_card_has_the_shares_of_the_store_and_its_warning(
    tmp_path: Path, kind: Format, capsys: pytest.CaptureFixture[str]
) -> None:
    rule = SearchRule(num_rollouts=8, max_searches=3, rollout_budget=80)
    await grow_into(tmp_path / "store", numbered(16), rule, StumblingPolicy(0.7))
    card = (exported(tmp_path / "store", tmp_path / "out", kind) / "README.md").read_text()
    with Store.open_reader(tmp_path / "store") as store:
        found = summarise(["store"], [store])
    (warning,) = found.warnings
    assert warning in card
    assert warning in capsys.readouterr().out
    for name, counts in (("the root", found.from_root), ("prefixes", found.from_prefixes)):
        total = sum(counts.values())
        assert re.search(rf"\| unparsed, from {name} \| [\d.]+ % of {total} \|", card)
        assert f"| truncated, from {name} | " in card


def test_a_card_of_equal_shares_has_no_warning(store: Path, tmp_path: Path) -> None:
    card = (exported(store, tmp_path / "out") / "README.md").read_text()
    assert "| unparsed, from prefixes | " in card
    assert "rest on fewer rollouts" not in card


@pytest.mark.parametrize("kind", ["mmprm", "trl", "parquet", "trees", "processbench"])
def test_the_same_store_gives_the_same_bytes(store: Path, tmp_path: Path, kind: Format) -> None:
    out = tmp_path / "out"
    first = {
        path.relative_to(out): path.read_bytes() for path in exported(store, out, kind).rglob("*") if path.is_file()
    }
    again = {
        path.relative_to(out): path.read_bytes() for path in exported(store, out, kind).rglob("*") if path.is_file()
    }
    assert first == again


@pytest.mark.parametrize("kind", ["parquet", "trees"])
def test_a_store_with_nothing_finished_is_refused(tmp_path: Path, kind: Format) -> None:
    (problem,) = problems(1)
    empty = write_store(tmp_path / "store", [], [ProblemRecord(problem=problem, state="open")])
    with pytest.raises(BadInput, match="open, its tree still growing: 1"):
        exported(empty, tmp_path / "out", kind)


def test_a_prm_token_that_a_question_or_step_spells_out_is_no_step_of_its_own() -> None:
    text = process_text("What does <prm> mean?", ("it <prm>marks", "a step<prm>"))
    assert parse_process_text(text) == ("What does  mean?", ("it marks", "a step"))


def test_of_a_problem_in_several_stores_a_finished_tree_is_taken(tmp_path: Path) -> None:
    one, two = problems(2)
    first = write_store(tmp_path / "first", [one], [ProblemRecord(problem=two, state="quarantined", reason="cut")])
    second = write_store(tmp_path / "second", [one, two])
    export(ExportConfig(stores=(str(second),), out=str(tmp_path / "alone")))
    export(ExportConfig(stores=(str(first), str(second)), out=str(tmp_path / "both")))
    assert lines(tmp_path / "both" / "train.jsonl") == lines(tmp_path / "alone" / "train.jsonl")
    counts = json.loads((tmp_path / "both" / "counts.json").read_text())
    assert counts["problems dropped: in several stores"] == 2


def test_two_problems_of_one_id_are_told_apart(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one, _ = problems(2)
    other = msgspec.structs.replace(one, question="What else is 0?")
    stores = [str(write_store(tmp_path / name, [problem])) for name, problem in (("a", one), ("b", other))]
    export(ExportConfig(stores=tuple(stores), out=str(tmp_path / "out")))
    counts = json.loads((tmp_path / "out" / "counts.json").read_text())
    assert counts["problems dropped: an earlier store has another problem of this id"] == 1
    assert "give them ids of their own" in capsys.readouterr().out


def test_an_export_leaves_no_file_of_an_earlier_one_that_would_name_other_rows(store: Path, tmp_path: Path) -> None:
    exported(store, tmp_path / "out")
    exported(store, tmp_path / "out", "trl")
    assert not (tmp_path / "out" / "meta.json").exists()
    few = write_store(tmp_path / "few", problems(3))
    exported(store, tmp_path / "trees", "trees")
    (tmp_path / "trees" / "trees" / "mine.json").write_text("{}")
    exported(few, tmp_path / "trees", "trees")
    assert len(list((tmp_path / "trees" / "trees").iterdir())) == 1 + 3


def test_where_no_file_says_what_images_are_relative_to_the_command_does(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    exported(store, tmp_path / "out", "trl")
    assert f"image paths are relative to {store.parent}" in capsys.readouterr().out
