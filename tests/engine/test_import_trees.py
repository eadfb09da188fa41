"""Trees in MM-PRM's JSON come back as what they say: every state, text and count; what they cannot say is named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from omegaprm.engine import journal
from omegaprm.engine.errors import BadInput, ConfigurationError
from omegaprm.engine.export import ExportConfig, export
from omegaprm.engine.import_trees import ImportTreesConfig, import_trees
from omegaprm.engine.imported import NOT_RECOVERED, assembled
from omegaprm.engine.records import Counts, Estimate, parse_process_text
from omegaprm.engine.store import Store
from tests.fakes.stores import problems, write_store

Steps = tuple[str, ...]


def state(value: float, right: list[Any], wrong: list[Any], *children: Any, visits: int = 0) -> dict[str, Any]:
    leaves = [leaf(1.0, steps) for steps in right]
    return {
        "mc_value": value,
        "visit_count": visits,
        "correct_rollouts": right,
        "incorrect_rollouts": wrong,
        "children": [*leaves, *children],
    }


def leaf(value: float, steps: list[str]) -> dict[str, Any]:
    return {"partial_solution": steps, **state(value, [], [])}


def tree() -> dict[str, Any]:
    """As MM-PRM writes it, k = 4: "x" is the first error of a b x 8, and the last step that of a b 9."""
    doomed = {"partial_solution": ["x "], **state(0.0, [], [["8"], ["7.5"]])}
    good = {
        "partial_solution": ["a", " b"],
        **state(0.5, [["7"]], [["9"], ["x", "8"]], doomed, leaf(0.0, ["9"]), visits=1),
    }
    root = state(0.25, [["a", "7"]], [["a", "b", "x", "8"], ["a", "b", "9"], ["q", "8"]], good, visits=1)
    return {"question": "What is 7?", "answer": "7", "image_path": "pictures/p.png", "id": 5, **root}


def write(folder: Path, **trees: Any) -> Path:
    folder.mkdir(exist_ok=True)
    for name, value in trees.items():
        (folder / f"{name}.json").write_text(json.dumps(value))
    return folder


def imported(trees: Path, store: Path, num_rollouts: int = 4) -> Path:
    import_trees(ImportTreesConfig(trees=(str(trees),), store=str(store), num_rollouts=num_rollouts))
    return store


def estimates(store: Path, problem_id: str) -> list[Estimate]:
    with Store.open_reader(store) as opened:
        return list(journal.estimates(opened, problem_id))


def rows(store: Path, out: Path) -> list[tuple[Steps, list[float]]]:
    export(ExportConfig(stores=(str(store),), out=str(out)))
    found = [json.loads(line)["conversations"] for line in (out / "train.jsonl").read_text().splitlines()]
    return [(parse_process_text(human["value"])[1], gpt["value"]) for human, gpt in found]


def test_states_texts_and_counts_come_back(tmp_path: Path) -> None:
    store = imported(write(tmp_path / "trees", one=tree()), tmp_path / "store")
    root, good, doomed, last = estimates(store, "5")
    assert (root.prefix, root.counts) == ((), Counts(correct=1, incorrect=3))
    assert (good.prefix, good.counts) == (("a", "b"), Counts(correct=2, incorrect=2))
    assert (doomed.prefix, doomed.counts) == (("a", "b", "x"), Counts(incorrect=4))
    assert {rollout.steps for rollout in doomed.rollouts} == {("8",), ("7.5",)}
    assert (last.prefix, last.rollouts) == (("a", "b", "9"), ())
    with Store.open_reader(store) as opened:
        (record,) = journal.problem_records(opened)
    assert (record.problem.question, record.problem.image_paths) == ("What is 7?", ("pictures/p.png",))
    assert (record.state, record.num_searches, record.root) == ("done", 2, root.counts)


def test_first_errors_come_back_the_last_step_too(tmp_path: Path) -> None:
    found = rows(imported(write(tmp_path / "trees", one=tree()), tmp_path / "store"), tmp_path / "out")
    wrong = {steps: labels for steps, labels in found if 0 in labels}
    assert wrong == {("a", "b", "x", "8"): [0.5, 0.5, 0.0, 0.0], ("a", "b", "9"): [0.5, 0.5, 0.0]}


def test_our_own_trees_come_back_with_their_values_and_first_errors(tmp_path: Path) -> None:
    store = write_store(tmp_path / "store", problems(12))
    export(ExportConfig(stores=(str(store),), out=str(tmp_path / "out"), format="trees"))
    back = imported(tmp_path / "out" / "trees", tmp_path / "back", num_rollouts=8)
    for problem in problems(12):
        before = {one.prefix: one.counts for one in estimates(store, problem.id)}
        after = {one.prefix: one.counts for one in estimates(back, problem.id) if one.rollouts}
        assert after == before
    assert first_errors(rows(back, tmp_path / "b")) == first_errors(rows(store, tmp_path / "a"))


def first_errors(found: list[tuple[Steps, list[float]]]) -> set[tuple[Steps, tuple[float, ...]]]:
    """The states whose last step is a first error, with the labels up to it."""
    cut = [(steps, labels, labels.index(0.0) + 1) for steps, labels in found if 0.0 in labels]
    return {(steps[:end], tuple(labels[:end])) for steps, labels, end in cut}


def test_trees_imported_and_exported_again_are_the_same(tmp_path: Path) -> None:
    store = imported(write(tmp_path / "trees", one=tree()), tmp_path / "store")
    export(ExportConfig(stores=(str(store),), out=str(tmp_path / "out"), format="trees"))
    again = imported(tmp_path / "out" / "trees", tmp_path / "again")
    assert estimates(again, "5") == estimates(store, "5")


def test_what_is_not_recovered_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = imported(write(tmp_path / "trees", one=tree()), tmp_path / "store")
    said = capsys.readouterr().out
    assert NOT_RECOVERED in said
    assert "rollouts whose text stands for a repeat: 3" in said
    rows(store, tmp_path / "out")
    assert NOT_RECOVERED in (tmp_path / "out" / "README.md").read_text()


def without(field: str) -> dict[str, Any]:
    return {name: value for name, value in tree().items() if name != field}


@pytest.mark.parametrize(
    ("bad", "named"),
    [
        ({**tree(), "mc_value": 0.3}, "mc_value 0.3: must be a multiple of 1/4"),
        ({**tree(), "mc_value": 0.0}, "correct_rollouts: 1 texts cannot be 0 rollouts"),
        ({**tree(), "children": [{"partial_solution": ["z"], **state(0.0, [], [["8"]])}]}, "partial_solution"),
        ({**tree(), "image_path": "../p.png"}, "image_path: '../p.png' leads to "),
        ({**tree(), "image_path": "/p.png"}, "image_path: '/p.png' is outside the image root '.'"),
        (without("question"), "question: must be given"),
        (without("mc_value"), "mc_value"),
        ({**tree(), "correct_rollouts": [[]]}, "correct_rollouts"),
        (["no tree"], "must be a tree"),
    ],
    ids=lambda value: value[:20] if isinstance(value, str) else "",
)
def test_a_bad_file_costs_itself_alone(
    bad: Any, named: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = imported(write(tmp_path / "trees", bad=bad, good={**tree(), "id": "good"}), tmp_path / "store")
    assert named in capsys.readouterr().out
    with Store.open_reader(store) as opened:
        assert [record.problem.id for record in journal.problem_records(opened)] == ["good"]


def test_nothing_usable_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no usable tree in 1 files"):
        imported(write(tmp_path / "trees", bad=[]), tmp_path / "store")
    with pytest.raises(BadInput, match="no tree file"):
        imported(tmp_path / "nowhere", tmp_path / "other")


def test_a_second_import_leaves_what_is_there(tmp_path: Path) -> None:
    store = imported(write(tmp_path / "trees", one=tree()), tmp_path / "store")
    before = estimates(store, "5")
    write(tmp_path / "trees", one={**tree(), "mc_value": 0.75, "correct_rollouts": [["7"]]}, two={**tree(), "id": "6"})
    imported(tmp_path / "trees", store)
    assert estimates(store, "5") == before
    assert estimates(store, "6")


def test_imported_trees_are_not_gone_on_with_under_another_k_or_by_annotate(tmp_path: Path) -> None:
    store = imported(write(tmp_path / "trees", one=tree()), tmp_path / "store")
    with pytest.raises(ConfigurationError, match="num_rollouts"):
        imported(tmp_path / "trees", store, num_rollouts=8)


def test_estimates_of_one_state_count_together() -> None:
    from tests.engine.test_selection import worked_tree

    _, grown = worked_tree()
    tree = assembled([*grown, Estimate(4, grown[1].origin, grown[1].prefix, 0, grown[1].rollouts)])
    assert len(tree.nodes) == len(grown)
    assert (tree.nodes[1].correct, tree.nodes[1].judged) == (4, 8)
