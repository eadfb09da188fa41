"""The quickstart's loop runs through every real command and its report holds what it promises."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from examples.quickstart import Quickstart, Size
from omegaprm.evaluator.aggregation import AGGREGATIONS

TINY = Size(
    seeds_a_family=12,
    tests_a_family=6,
    num_rollouts=16,
    max_searches=3,
    rollout_budget=96,
    epochs=1,
    batch_size=16,
    learning_rate=1e-3,
)


@pytest.mark.engine
@pytest.mark.deepspeed
@pytest.mark.timeout(600)
def test_the_whole_loop_on_a_few_problems(tmp_path: Path):
    Quickstart(tmp_path, TINY).run()
    report = json.loads((tmp_path / "report" / "report.json").read_text())
    for family in ("sums", "digits"):
        found = report[family]
        assert {"random", "majority", "weighted_vote"} <= found.keys()
        assert set(found["best_of_n"]) == set(found["untrained"]) == set(AGGREGATIONS)
        assert {"accuracy", "low", "high"} <= found["best_of_n"]["min"].keys()
        assert {"1", "16"} <= found["pass"].keys()
        assert {"rows", "label_f1", "first_error_exact", "step_auc"} <= found["labels"].keys()
        assert found["pass"]["1"] == pytest.approx(found["random"])
    assert report["cost"]["annotation"]["rollouts"] > 0
    assert "transformers" in report["versions"]
    page = (tmp_path / "report" / "index.html").read_text()
    assert "<svg" in page or "data:image/svg+xml" in page
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert "https://" not in page

    stages = (tmp_path / "stages.json").read_text()
    Quickstart(tmp_path, TINY).run()
    assert (tmp_path / "stages.json").read_text() == stages, "a second run finds every stage done"
