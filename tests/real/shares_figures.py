"""How many rollouts are unparsed from the root and from prefixes, by tokenizer and by what is between the tags:
python -m tests.real.shares_figures [FAMILY...]

Each policy of tests/real/tuned.py is searched as bin/annotate does it, then once more with prompts that end where the
state ends, even inside of a token: that shows what the usual end of the prompt is for. Prints a table and writes
docs/measured/prefix_boundaries.json; families that are not named keep what the file has of them.
"""

from __future__ import annotations

import asyncio
import datetime
import importlib.metadata
import json
import sys
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from omegaprm.engine.certainty import wilson
from omegaprm.engine.records import Counts
from tests.real import trial
from tests.real.fetch import ROOT
from tests.real.tuned import NUM_PROBLEMS, WAYS, policy_folder

COMMAND = "python -m tests.real.shares_figures"
MEASURED = ROOT / "docs" / "measured" / "prefix_boundaries.json"
FAMILIES = ("qwen2.5", "llama3.1", "gemma3", "nemo")
PACKAGES = ("torch", "transformers", "tokenizers")
ENDS = {"the last whole token": None, "the state": trial.whole}
"""Where prompts end: as the policy has them, and as a check."""

Row = dict[str, Any]


async def measured(family: str, way: str) -> list[Row]:
    policy = await trial.started(policy_folder(family, way))
    try:
        found = {name: await trial.tried(policy, NUM_PROBLEMS, end=end) for name, end in ENDS.items()}
    finally:
        await policy.close()
    return [row(family, way, name, one) for name, one in found.items()]


def row(family: str, way: str, end: str, one: trial.Trial) -> Row:
    return {
        "family": family,
        "between_tags": WAYS[way],
        "prompt_ends_after": end,
        "root": share(one.shares.from_root),
        "prefixes": share(one.shares.from_prefixes),
        "tokens_per_rollout_from_prefix": one.tokens_per_prefix_rollout,
    }


def share(counts: Counts) -> Row:
    interval = wilson(counts.unparsed, counts.total) if counts.total else None
    return {"unparsed": counts.unparsed, "rollouts": counts.total, "interval": interval, "truncated": counts.truncated}


def stamped(rows: list[Row]) -> list[Row]:
    """The rows with when and with what they were measured."""
    versions = {name: importlib.metadata.version(name) for name in PACKAGES} | {"vllm": vllm_version()}
    made = {"date": datetime.date.today().isoformat(), "versions": versions}
    settings = {"sampling": msgspec.structs.asdict(trial.SAMPLING), "problems": NUM_PROBLEMS}
    rule = {
        "rollouts": trial.RULE.num_rollouts,
        "searches": trial.RULE.max_searches,
        "budget": trial.RULE.rollout_budget,
    }
    return [one | made | settings | {"rule": rule} for one in rows]


def vllm_version() -> str:
    import vllm

    return str(vllm.__version__)


def kept(rows: list[Row]) -> list[Row]:
    """The rows and those of the file, which they replace where both are of the same trial; written to the file."""
    before: list[Row] = json.loads(MEASURED.read_text())["rows"] if MEASURED.is_file() else []
    new = {key(one) for one in rows}
    both = sorted([*(one for one in before if key(one) not in new), *rows], key=key)
    MEASURED.write_text(json.dumps({"command": COMMAND, "rows": both}, indent=1) + "\n")
    return both


def key(one: Row) -> tuple[str, str, str]:
    return one["family"], one["between_tags"], one["prompt_ends_after"]


def table(rows: Iterable[Row]) -> Iterator[str]:
    yield "| tokenizer | between tags | prompt ends after | unparsed from the root | from prefixes |"
    yield "|---|---|---|---|---|"
    for one in rows:
        between = json.dumps(one["between_tags"]) if one["between_tags"] else "nothing"
        shares = " | ".join(cell(one[kind]) for kind in ("root", "prefixes"))
        yield f"| {one['family']} | {between} | {one['prompt_ends_after']} | {shares} |"


def cell(one: Row) -> str:
    if not one["rollouts"]:
        return "none"
    low, high = (f"{100 * bound:.0f}" for bound in one["interval"])
    return f"{one['unparsed']} of {one['rollouts']} ({low}-{high} %)"


def main(*families: str) -> None:
    rows: list[Row] = []
    for family in families or FAMILIES:
        for way in WAYS:
            rows = kept(stamped(asyncio.run(measured(family, way))))
            print(f"{family}, {way}: done", file=sys.stderr)
    print("\n".join(table(rows)))


if __name__ == "__main__":
    main(*sys.argv[1:])
