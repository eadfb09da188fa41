"""Exported trees have MM-PRM's published structure, and a walk over them finds the labels of our own rows."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from omegaprm.engine import journal
from omegaprm.engine.export import ExportConfig, export, stored_rule
from omegaprm.engine.records import Estimate, Problem
from omegaprm.engine.selection import RowRule, right_solutions, wrong_solutions
from omegaprm.engine.store import Store
from omegaprm.engine.tree import Tree, replay
from omegaprm.engine.tree_json import tree_json
from tests.engine.test_selection import worked_tree
from tests.fakes.stores import problems, write_store

Node = dict[str, Any]
OF_EVERY_STATE = {"mc_value", "visit_count", "correct_rollouts", "incorrect_rollouts", "children"}
OF_THE_ROOT = {"question", "answer", "image_path", "id"}
OURS = {"counts"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trees")
    write_store(folder / "store", problems(12, str(folder)))
    export(ExportConfig(stores=(str(folder / "store"),), out=str(folder), format="trees"))
    return folder


def roots(folder: Path) -> list[Node]:
    return [json.loads(path.read_text()) for path in sorted((folder / "trees").iterdir())]


def grown(folder: Path) -> Iterator[tuple[Problem, list[Estimate], Tree]]:
    with Store.open_reader(folder / "store") as store:
        for record in journal.problem_records(store):
            estimates = list(journal.estimates(store, record.problem.id))
            yield record.problem, estimates, replay(stored_rule(store), estimates)


def below(node: Node, steps: tuple[str, ...] = (), values: tuple[float, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """(node, its steps from the root, values of the states on the way, its own last) of all below a node."""
    for child in node["children"]:
        path = steps + tuple(child["partial_solution"]), (*values, child["mc_value"])
        yield child, *path
        yield from below(child, *path)


def test_every_state_has_the_published_fields_and_no_other_but_counts(folder: Path) -> None:
    for root in roots(folder):
        assert root.keys() == OF_EVERY_STATE | OF_THE_ROOT | OURS
        for node, _, _ in below(root):
            assert node.keys() == OF_EVERY_STATE | {"partial_solution"} | OURS
            assert node["partial_solution"]
            assert 0 <= node["mc_value"] <= 1


def test_every_distinct_right_rollout_is_a_finished_child(folder: Path) -> None:
    for root in roots(folder):
        for node in (root, *(node for node, _, _ in below(root))):
            leaves = [child["partial_solution"] for child in node["children"] if child["mc_value"] == 1.0]
            assert all(rollout in leaves for rollout in node["correct_rollouts"])


def test_a_state_goes_on_from_one_that_reached_the_answer(folder: Path) -> None:
    """MM-PRM's reader turns back at the first state of value 0, so nothing may hang below one."""
    for root in roots(folder):
        for node, _, values in below(root):
            assert 0.0 not in values[:-1], node


def test_a_walk_finds_every_first_error_and_every_right_solution(folder: Path) -> None:
    of_problem = {root["id"]: root for root in roots(folder)}
    for problem, estimates, tree in grown(folder):
        found = {steps: values for _, steps, values in below(of_problem[problem.id])}
        for solution in right_solutions(estimates, tree, RowRule(mask_unestimated=True)):
            assert found[solution.steps][-1] == 1.0
        for solution in wrong_solutions(estimates, tree):
            values = found[solution.steps[: solution.labels.index(0.0) + 1]]
            assert values[-1] == 0.0
            assert set(values[:-1]) <= set(solution.labels)


def test_values_are_those_of_all_rollouts_though_texts_stand_once(folder: Path) -> None:
    of_problem = {root["id"]: root for root in roots(folder)}
    for problem, estimates, _ in grown(folder):
        counts = estimates[0].counts
        root = of_problem[problem.id]
        assert root["mc_value"] == (counts.value or 0.0)
        assert root["counts"] == [counts.correct, counts.incorrect, counts.unknown, counts.truncated, counts.unparsed]
        texts = [tuple(rollout) for rollout in root["correct_rollouts"]]
        assert len(set(texts)) == len(texts) <= counts.correct


def test_the_worked_tree_is_written_as_mmprm_would_grow_it() -> None:
    tree, estimates = worked_tree()
    root = tree_json(Problem(id="p", question="?", correct_answer="7"), estimates, tree)
    states = {steps: values for node, steps, values in below(root) if node["counts"] is not None}
    assert states == {
        ("a", "b"): (0.5,),
        ("a", "b", "c"): (0.5, 0.25),
        ("a", "b", "c", "x"): (0.5, 0.25, 0.0),
    }
    assert root["visit_count"] == 1
    assert list(map(list, root["incorrect_rollouts"])) == [["a", "b", "c", "x", "8"]]
