"""A search shows a policy its steps as it wrote them, counts what strays, and continues no store of older prompts."""

from __future__ import annotations

import asyncio
import json
import random
from pathlib import Path

import msgspec
import pytest

from omegaprm.engine import journal
from omegaprm.engine.annotate import annotate
from omegaprm.engine.config import AnnotateConfig, SearchRule
from omegaprm.engine.errors import ConfigurationError
from omegaprm.engine.export import ExportConfig, export
from omegaprm.engine.policy.base import Completion, Prompt
from omegaprm.engine.records import Estimate, Problem
from omegaprm.engine.seams import begun_text
from omegaprm.engine.search import Search
from omegaprm.engine.store import Store, Write, pack
from omegaprm.engine.store.store import FINGERPRINT_KEY, Fingerprint
from omegaprm.engine.verify import misfits
from omegaprm.engine.view.config import ViewConfig
from omegaprm.engine.view.view import view
from tests.fakes import grown_store
from tests.fakes.judge import ScriptedJudge
from tests.fakes.policy import ScriptedPolicy

PROBLEM = Problem(id="p1", question="What is 1?", correct_answer="1")
RULE = SearchRule(num_rollouts=8, max_searches=4, rollout_budget=120)


class SpacedPolicy(ScriptedPolicy):
    """Writes a line break between tags, and blanks inside of some; shown are the beginnings that it was asked from."""

    def __init__(self) -> None:
        super().__init__(odd_rate=0.0)
        self.shown: list[str] = []
        self.written: set[str] = set()

    def completion(self, prompt: Prompt, rng: random.Random) -> Completion:
        begun = begun_text(prompt.begun, "tags")
        self.shown.append(begun)
        blank = rng.choice(["", " "])
        text = (
            super().completion(prompt, rng).text.replace("<step>", f"\n<step>{blank}").replace("<answer>", "\n<answer>")
        )
        self.written.add(begun + text)
        return Completion(text, 9)


class StrayingPolicy(ScriptedPolicy):
    """From prefixes it writes what is no continuation of them, half of the time."""

    def completion(self, prompt: Prompt, rng: random.Random) -> Completion:
        found = super().completion(prompt, rng)
        return Completion(found.text, 3, strayed=bool(prompt.prefix) and rng.random() < 0.5)


def grown(folder: Path, policy: ScriptedPolicy) -> list[Estimate]:
    async def grow() -> list[Estimate]:
        with Store.open(folder) as store:
            search = Search(policy, ScriptedJudge(), store, RULE, "tags", 0, asyncio.Event())
            await search.grow(PROBLEM)
            return list(journal.estimates(store, PROBLEM.id))

    return asyncio.run(grow())


def test_every_prefix_is_the_beginning_of_a_text_that_the_policy_wrote(tmp_path: Path) -> None:
    policy = SpacedPolicy()
    estimates = grown(tmp_path / "store", policy)
    assert sum(estimate.origin is not None for estimate in estimates) > 3
    assert all(any(text.startswith(begun) for text in policy.written) for begun in policy.shown)
    assert any("\n<step>" in begun for begun in policy.shown)


def test_what_was_written_between_steps_is_kept_on_disk(tmp_path: Path) -> None:
    policy = SpacedPolicy()
    grown(tmp_path / "store", policy)
    with Store.open_reader(tmp_path / "store") as store:
        for estimate in journal.estimates(store, PROBLEM.id):
            state = journal.begun_of(store, PROBLEM.id, estimate.origin, "tags")
            assert (estimate.prefix, estimate.seams) == state
            assert begun_text(state, "tags") in policy.shown
            assert all(rollout.seams for rollout in estimate.rollouts)


def test_seams_that_the_format_asks_for_take_no_room(tmp_path: Path) -> None:
    estimates = grown(tmp_path / "store", ScriptedPolicy(odd_rate=0.0))
    assert len(estimates) > 3
    assert not any(estimate.seams or any(one.seams for one in estimate.rollouts) for estimate in estimates)


def test_a_completion_that_does_not_end_the_prefix_where_it_ends_is_unparsed(tmp_path: Path) -> None:
    estimates = grown(tmp_path / "store", StrayingPolicy(odd_rate=0.0))
    assert estimates[0].counts.unparsed == 0
    assert sum(estimate.counts.unparsed for estimate in estimates[1:]) > 0


def test_verify_notices_a_prefix_that_is_not_what_was_written(tmp_path: Path) -> None:
    estimates = grown(tmp_path / "store", SpacedPolicy())
    changed = next(estimate for estimate in estimates if estimate.seams)

    async def change() -> None:
        with Store.open(tmp_path / "store") as store:
            settings = {**grown_store.settings(RULE), "step_format": "tags"}
            await store.commit([Write("meta", FINGERPRINT_KEY, pack(Fingerprint(settings)))])
            assert list(misfits(store)) == []
            await store.commit([journal.write_estimate(PROBLEM.id, msgspec.structs.replace(changed, seams=()))])
            assert [one.reason for one in misfits(store)] == [
                f"estimate {changed.number} of problem p1: its prefix is not where it was cut from"
            ]

    asyncio.run(change())


@pytest.fixture
def config(tmp_path: Path, policy_folder: Path) -> AnnotateConfig:
    rows = [{"id": f"p{n}", "question": f"What is {n}?", "correct_answer": n} for n in range(4)]
    (tmp_path / "seeds.json").write_text(json.dumps(rows))
    return AnnotateConfig(
        seeds=(str(tmp_path / "seeds.json"),), model=str(policy_folder), store=str(tmp_path / "old"), rollout_budget=64
    )


async def scripted(_: AnnotateConfig) -> ScriptedPolicy:
    return ScriptedPolicy()


def make_old(folder: Path) -> None:
    """Make a store name what stores named before the prompts changed."""

    async def forget() -> None:
        with Store.open(folder) as store:
            named = {k: v for k, v in store.fingerprint().items() if k not in ("prompt_version", "outside_tags")}
            await store.commit([Write("meta", FINGERPRINT_KEY, pack(Fingerprint(named)))])

    asyncio.run(forget())


def test_a_store_of_older_prompts_is_not_continued_and_says_why(config: AnnotateConfig) -> None:
    annotate(config, scripted)
    make_old(Path(config.store))
    with pytest.raises(ConfigurationError, match=r"older prompts.*Start again with a new --store"):
        annotate(config, scripted)


def test_a_store_of_older_prompts_is_exported_with_a_note(
    config: AnnotateConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    annotate(config, scripted)
    flags = ExportConfig(stores=(config.store,), out=str(tmp_path / "rows"))
    export(flags)
    assert "older prompts" not in capsys.readouterr().out
    make_old(Path(config.store))
    export(flags)
    assert "old was made under older prompts" in capsys.readouterr().out
    assert "older prompts" in (tmp_path / "rows" / "README.md").read_text()


def test_the_viewer_opens_a_store_of_older_prompts_and_names_it(
    config: AnnotateConfig, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the command's own function, up to where it would serve."""
    annotate(config, scripted)
    make_old(Path(config.store))

    async def no_service(*_: object) -> None:
        pass

    monkeypatch.setattr("omegaprm.engine.view.view._serve", no_service)
    view(ViewConfig(stores=(config.store,), port=0))
    assert "old was made under older prompts" in capsys.readouterr().err
