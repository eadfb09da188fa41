"""The quickstart's page shows how many rollouts could not be judged, and warns as bin/status does."""

from __future__ import annotations

from pathlib import Path

from examples.report import page, rollouts
from omegaprm.engine.records import Counts
from omegaprm.engine.shares import Shares, warnings
from omegaprm.evaluator.pages import render

COST = {"annotation": {"rollouts": 9, "tokens": 9}, "evaluation": {"rollouts": 9}, "seconds": {"annotate": 1.0}}
UNEQUAL = Shares(Counts(correct=570, unparsed=6), Counts(correct=590, unparsed=410))


def rendered(shares: Shares, out: Path) -> str:
    return render(page(out, {}, {}, COST, (), shares))


def test_the_page_shows_the_shares_side_by_side_and_the_warning(tmp_path: Path) -> None:
    text = rendered(UNEQUAL, tmp_path)
    assert '<th scope="row">the root</th><td>576</td><td>1.0 %</td><td>0 %</td>' in text
    assert '<th scope="row">prefixes</th><td>1,000</td><td>41 %</td><td>0 %</td>' in text
    assert warnings(UNEQUAL)[0] in text
    assert rollouts(UNEQUAL)["warnings"] == warnings(UNEQUAL)


def test_equal_shares_give_no_warning(tmp_path: Path) -> None:
    text = rendered(Shares(Counts(correct=90, unparsed=10), Counts(correct=450, unparsed=50)), tmp_path)
    assert text.count("<td>10 %</td>") == 2
    assert "rest on fewer rollouts" not in text
