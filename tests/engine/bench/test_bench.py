"""bin/bench: every figure of the table can be measured, and its output is what the documents say."""

from __future__ import annotations

import asyncio
import gc
import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from omegaprm.engine.bench import loop, memory, resume, scripted
from omegaprm.engine.bench import run as runner
from omegaprm.engine.bench.clock import heartbeat, of_busiest, percentile
from omegaprm.engine.bench.config import BenchConfig
from omegaprm.engine.bench.endpoint import JUDGE_THREADS, HttpJudge, JudgeEndpoint
from omegaprm.engine.bench.figures import FIGURES, Figure, Measured
from omegaprm.engine.bench.knobs import KNOBS
from omegaprm.engine.collector import rare_collections
from omegaprm.engine.config import SearchRule
from omegaprm.engine.errors import BadInput, StoreFailed, UsageError
from omegaprm.engine.judge.endpoint import Endpoint
from omegaprm.engine.judge.llm import LlmRule
from omegaprm.engine.records import Problem

PERFORMANCE = Path(__file__).resolve().parents[3] / "docs" / "performance.md"
SCRIPTED = ("bytes_per_open_search", "resume_s_per_million", "loop_rollouts_per_s", "loop_lag_p99_ms")


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """The scripted figures at a size that takes a second or two."""
    for name in ("RATE_PROBLEMS", "RATE_OPEN", "LAG_PROBLEMS", "LAG_OPEN"):
        monkeypatch.setattr(loop, name, 8)
    monkeypatch.setattr(memory, "NUM_SEARCHES", 200)
    for module in (memory, resume):
        monkeypatch.setattr(module, "NUM_TEMPLATES", 1)
    monkeypatch.setattr(resume, "NUM_SEARCHES", 2)


def test_the_table_of_figures_in_the_documents_is_the_programs() -> None:
    listed = [line.split("|")[1].strip().strip("`") for line in PERFORMANCE.read_text().splitlines() if "| `" in line]
    assert listed[: len(FIGURES)] == [figure.name for figure in FIGURES]


@pytest.mark.parametrize("figure", FIGURES, ids=lambda figure: figure.name)
def test_the_function_of_every_figure_is_there(figure: Figure) -> None:
    assert asyncio.iscoroutinefunction(figure.load())


@pytest.mark.usefixtures("small")
def test_the_scripted_figures_are_measured_and_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    earlier = tmp_path / "earlier.json"
    runner.bench(BenchConfig(names=SCRIPTED, repeats=1, store=str(tmp_path), out=str(earlier)))
    shown = json.loads(capsys.readouterr().out)
    assert shown == json.loads(earlier.read_text())
    assert list(shown) == list(SCRIPTED)
    for name, entry in shown.items():
        assert entry["value"] > 0 or name == "loop_lag_p99_ms", "a loop this small may never be late"
        assert entry["min"] <= entry["median"] <= entry["max"]
        assert entry["unit"]
        assert entry["conditions"]["machine"]
    runner.bench(BenchConfig(names=SCRIPTED[2:3], repeats=1, against=str(earlier)))
    (again,) = json.loads(capsys.readouterr().out).values()
    assert again["ratio"] == pytest.approx(again["value"] / shown[SCRIPTED[2]]["value"])


def test_an_unknown_figure_is_refused_by_name() -> None:
    with pytest.raises(UsageError, match="speed: there is no such figure"):
        BenchConfig(names=("speed",))


def test_a_file_that_is_no_output_is_refused(tmp_path: Path) -> None:
    (tmp_path / "other.json").write_text("[1]")
    with pytest.raises(BadInput, match="--against"):
        runner.bench(BenchConfig(names=SCRIPTED[:1], against=str(tmp_path / "other.json")))


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("flag", ["out", "store"])
def test_a_place_that_is_not_there_is_a_sentence(tmp_path: Path, flag: str) -> None:
    config = BenchConfig(names=SCRIPTED[:1], repeats=1, **{flag: str(tmp_path / "missing" / "x")})
    with pytest.raises(StoreFailed, match=rf"--{flag} .*x: No such file"):
        runner.bench(config)


def test_the_value_of_a_figure_is_the_median() -> None:
    entry = FIGURES[0].entry(Measured((5.0, 1.0, 2.0), {}))
    assert (entry.value, entry.min, entry.median, entry.max, entry.repeats) == (2.0, 1.0, 2.0, 5.0, 3)


async def test_a_stall_of_the_loop_counts_as_all_the_beats_it_swallowed() -> None:
    async with heartbeat() as late:
        await asyncio.sleep(0)
        begun = time.thread_time()
        while time.thread_time() - begun < 0.2:
            pass
        await asyncio.sleep(0.01)
    assert percentile(late, 0.5) > 0.05


@pytest.fixture
def endpoint() -> Iterator[JudgeEndpoint]:
    endpoint = JudgeEndpoint()
    yield endpoint
    endpoint.close()


async def test_the_peers_judge_decides_by_rules_and_takes_its_time_for_all_at_once(endpoint: JudgeEndpoint) -> None:
    problem = Problem(id="p", question="What is 1?\n----\nAnd 2?", correct_answer="3")
    judge, began = HttpJudge(endpoint, 0.5), time.monotonic()
    verdicts = await asyncio.gather(*(judge.grade(problem, str(answer)) for answer in range(JUDGE_THREADS)))
    seconds = time.monotonic() - began
    await judge.close()
    assert [at for at, verdict in enumerate(verdicts) if verdict.outcome == "correct"] == [3]
    assert {verdict.outcome for verdict in verdicts} == {"correct", "incorrect"}
    assert 0.5 <= seconds < 0.5 * JUDGE_THREADS / 2


async def test_the_peers_judge_answers_an_openai_client(endpoint: JudgeEndpoint) -> None:
    asked = await Endpoint.start(endpoint.url(0.0), "any", None, concurrency=2)
    rule = LlmRule(asked, "mmprm", 1, 8)
    problem = Problem(id="p", question="What is 1+1?", correct_answer="2")
    outcomes = [(await rule.compare(problem, answer)).outcome for answer in ("2", "3")]
    await rule.close()
    assert outcomes == ["correct", "incorrect"]


def test_time_in_line_is_that_of_the_busiest_thread() -> None:
    before = {"idle": (1.0, 1.0), "busy": (1.0, 1.0)}
    now = {"idle": (1.1, 9.0), "busy": (3.0, 1.5), "new": (0.5, 7.0)}
    assert of_busiest(before, now) == 0.5
    assert of_busiest({}, {}) == 0


def test_every_plain_run_and_setting_of_a_knob_is_a_run_of_the_bench() -> None:
    for knob in KNOBS.values():
        plain = BenchConfig(**knob.plain)
        for setting in knob.settings:
            assert BenchConfig(**{**knob.plain, **setting}) != plain


def test_scripted_trees_are_open_with_as_many_rollouts_as_asked_for() -> None:
    (estimates,) = scripted.open_trees(SearchRule(rollout_budget=2000), 160, 1)
    assert sum(estimate.counts.total for estimate in estimates) == 160


def test_the_collector_is_as_before_after_a_run() -> None:
    before = gc.get_threshold()
    with rare_collections():
        assert gc.get_freeze_count() > 0
    assert (gc.get_threshold(), gc.get_freeze_count()) == (before, 0)
