"""Flags that save rollouts, in whole runs: the same rows at any concurrency and over any stop; old stores go on."""

from __future__ import annotations

import asyncio
import json
import signal
from pathlib import Path

import pytest

from omegaprm.engine.annotate import annotate
from omegaprm.engine.config import LATER_RULES, PART_RULE, AnnotateConfig
from omegaprm.engine.errors import ConfigurationError, Drained
from omegaprm.engine.export import ExportConfig, export, stored_rule
from omegaprm.engine.policy.base import Completion, Prompt
from omegaprm.engine.store import FINGERPRINT_KEY, Fingerprint, Store, Write, pack
from tests.fakes.policy import ScriptedPolicy

FLAGS = {
    "first_part": 4, "settle_right": 2, "value_rollouts": 8, "confirm_zero": 8, "reuse_rollouts": True,
    "error_below": 0.25,
}  # fmt: skip
STOP_EVERY = 23
"""More than are open at once: nothing begins after a stop, so that no second signal comes before it is over."""


class StoppingPolicy(ScriptedPolicy):
    """Sends its own process a SIGTERM with every so many requests."""

    async def sample(self, prompt: Prompt, num: int, seed: int) -> list[Completion]:
        if (self.num_requests + 1) % STOP_EVERY == 0:
            signal.raise_signal(signal.SIGTERM)
        return await super().sample(prompt, num, seed)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rows = [{"id": f"p{n}", "question": f"What is {n}?", "correct_answer": n} for n in range(12)]
    (tmp_path / "seeds.json").write_text(json.dumps(rows))
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}")
    (tmp_path / "model" / "model.safetensors").write_bytes(b"weights")
    return tmp_path


def run(folder: Path, name: str, policy: ScriptedPolicy, concurrency: int = 16, **flags: object) -> Path:
    """Annotate until the run is done, however often it is stopped."""

    async def policy_of(_: AnnotateConfig) -> ScriptedPolicy:
        return policy

    config = AnnotateConfig(
        seeds=(str(folder / "seeds.json"),),
        model=str(folder / "model"),
        store=str(folder / name),
        concurrency=concurrency,
        rollout_budget=120,
        **flags,
    )
    while True:
        try:
            annotate(config, policy_of)
        except Drained:
            continue
        return folder / name


def exported(store: Path) -> tuple[bytes, bytes]:
    out = store.with_suffix(".rows")
    export(ExportConfig(stores=(str(store),), out=str(out)))
    return (out / "train.jsonl").read_bytes(), (out / "counts.json").read_bytes()


def test_rows_are_the_same_at_any_concurrency_and_over_stops_inside_an_estimate(folder: Path):
    one = exported(run(folder, "one", ScriptedPolicy(max_words=1), concurrency=1, **FLAGS))
    assert exported(run(folder, "many", ScriptedPolicy(max_words=1), concurrency=64, **FLAGS)) == one
    assert exported(run(folder, "stopped", StoppingPolicy(max_words=1), **FLAGS)) == one


async def forget(store: Path, rules: tuple[str, ...]) -> None:
    """Make a store name what those of the first versions name."""
    with Store.open(store) as opened:
        named = {name: value for name, value in opened.fingerprint().items() if name not in rules}
        await opened.commit([Write("meta", FINGERPRINT_KEY, pack(Fingerprint(named)))])


def test_a_store_made_before_these_flags_stands_for_their_defaults(folder: Path):
    store = run(folder, "old", ScriptedPolicy())
    before = exported(store)
    asyncio.run(forget(store, LATER_RULES))
    with Store.open_reader(store) as opened:
        assert stored_rule(opened).first_part == 0
    run(folder, "old", ScriptedPolicy())
    assert exported(store) == before
    with pytest.raises(ConfigurationError, match="first_part = 0, this command has 4"):
        run(folder, "old", ScriptedPolicy(), first_part=4)


def test_a_store_is_refused_under_other_flags_each_named(folder: Path):
    store = run(folder, "bound", ScriptedPolicy(), **FLAGS)
    with pytest.raises(ConfigurationError) as refused:
        run(folder, store.name, ScriptedPolicy())
    assert all(name in str(refused.value) for name in LATER_RULES if name != PART_RULE)


def test_a_store_whose_roots_came_in_parts_is_refused_by_name(folder: Path):
    store = run(folder, "roots", ScriptedPolicy(), first_part=4)
    asyncio.run(forget(store, (PART_RULE,)))
    with pytest.raises(ConfigurationError, match="made without settle_right, this command has 1"):
        run(folder, "roots", ScriptedPolicy(), first_part=4)
    with pytest.raises(ConfigurationError, match="also split roots"):
        exported(store)
