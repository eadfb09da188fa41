"""Differences of two PRMs pair by problem; chosen N and distinct texts agree with the figures they come from."""

import numpy as np
import pytest

from omegaprm.evaluator.aggregation import AGGREGATIONS
from omegaprm.evaluator.at_n import at_n
from omegaprm.evaluator.best_of_n import figures
from omegaprm.evaluator.comparison import comparison, difference
from omegaprm.evaluator.texts import over_texts, variety
from tests.evaluator.problems import problem


def random_problems(num=30, candidates=6, seed=5):
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 2, (num, candidates)).tolist()
    problems = [problem(row, id=str(at)) for at, row in enumerate(labels)]
    perfect = [[[0.1 + 0.8 * label] for label in row] for row in labels]
    return problems, perfect, generator.random((num, candidates, 1)).tolist()


def test_a_prm_against_itself_shows_no_difference():
    problems, _, noise = random_problems()
    for row in comparison(problems, noise, noise, draws=50)["best_of_n"].values():
        assert (row["difference"], row["low"], row["high"]) == (0, 0, 0)
        assert "holds zero" in row["note"]


def test_a_difference_is_that_of_the_two_figures_and_changes_sign_with_the_order():
    problems, perfect, noise = random_problems()
    there, back = comparison(problems, perfect, noise, draws=200), comparison(problems, noise, perfect, draws=200)
    for name in AGGREGATIONS:
        alone = [figures(problems, scores, draws=20)["best_of_n"][name]["accuracy"] for scores in (perfect, noise)]
        assert there["best_of_n"][name]["difference"] == pytest.approx(alone[0] - alone[1])
        assert back["best_of_n"][name]["difference"] == pytest.approx(alone[1] - alone[0])
    assert there["best_of_n"]["min"]["note"] == "better"
    assert back["best_of_n"]["min"]["note"] == "worse"


def test_pairing_makes_an_interval_narrower_than_the_figures_own():
    problems, perfect, _ = random_problems()
    nearly = [list(scores) for scores in perfect]
    nearly[0] = [[0.5]] * len(nearly[0])
    paired = comparison(problems, perfect, nearly, draws=500)["best_of_n"]["min"]
    alone = figures(problems, perfect, draws=500)["random"], figures(problems, perfect, draws=500)["intervals"]
    assert paired["high"] - paired["low"] < alone[1]["random"][1] - alone[1]["random"][0]
    assert (paired["num_better"], paired["num_worse"]) in ((1, 0), (0, 0))


def test_a_constant_difference_has_no_width():
    found = difference(np.full(7, 0.25), draws=100)
    assert (found["difference"], found["low"], found["high"]) == pytest.approx((0.25, 0.25, 0.25))
    assert (found["num_better"], found["num_worse"], found["note"]) == (7, 0, "better")


def test_auc_within_problems_pairs_only_where_both_kinds_of_steps_are():
    problems = [problem([1, 0], id="a"), problem([1, 0], id="b"), problem([1, 0], id="c")]
    good, bad = [[[0.9], [0.1]]] * 3, [[[0.1], [0.9]]] * 3
    labels = [((1,), (0,)), ((1,), (1,)), None]
    found = comparison(problems, good, bad, labels, draws=50)["within_problem_auc"]
    assert (found["difference"], found["num_better"]) == (1.0, 1)
    assert comparison(problems, good, bad, [None] * 3, draws=50)["within_problem_auc"] is None


def test_figures_at_chosen_n_are_those_of_the_curves():
    problems, _, noise = random_problems()
    found, whole = at_n(problems, noise, (1, 4, 6, 7), draws=100), figures(problems, noise, draws=100)
    assert found["7"] is None
    for n in (1, 4, 6):
        for name in AGGREGATIONS:
            at = whole["curves"][name][n - 1]
            assert found[str(n)]["best_of_n"][name]["accuracy"] == pytest.approx(at)
        assert found[str(n)]["pass"] == pytest.approx(whole["curves"]["pass"][n - 1])
    assert found["1"]["best_of_n"]["min"]["accuracy"] == pytest.approx(whole["random"])
    assert found["6"]["best_of_n"]["min"] == pytest.approx(whole["best_of_n"]["min"], abs=1e-9)


def test_equal_texts_count_once():
    steps = [["4*2=8", "8"], ["4*2=8", "8"], ["4+2=6", "6"], ["4-2=2", "2"]]
    one = problem([1, 1, 0, 0], ["8", "8", "6", "2"], "p", steps)
    found = over_texts([one], [[[0.9, 0.9], [0.9, 0.9], [0.1, 0.1], [0.2, 0.1]]], draws=20)
    assert found["random"] == pytest.approx(1 / 3)
    assert found["best_of_n"]["min"]["accuracy"] == 1.0
    assert (found["right_texts"], found["wrong_texts"], found["most_candidates"]) == (1, 2, 3)
    assert "curves" not in found
    told = variety(one)
    assert (told.candidates, told.texts, told.right_texts, told.wrong_texts, told.answers) == (4, 3, 1, 2, 3)


def test_where_no_text_repeats_the_figures_over_texts_are_the_figures():
    problems, _, noise = random_problems()
    found, whole = over_texts(problems, noise, draws=50), figures(problems, noise, draws=50)
    assert found["best_of_n"] == whole["best_of_n"]
