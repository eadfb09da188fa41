"""bin/status counts what stores hold, also beside a writer, and --verify names what is damaged."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from omegaprm.engine.config import SearchRule
from omegaprm.engine.errors import UsageError
from omegaprm.engine.export import ExportConfig
from omegaprm.engine.problems import Rejected
from omegaprm.engine.records import Estimate, Origin, Outcome, Problem, ProblemRecord, ProblemState, Rollout, Verdict
from omegaprm.engine.status import REJECTED_KEY, StatusConfig, mc_label, mc_labels
from omegaprm.engine.store import Store, Write, estimate_key, pack, problem_key
from omegaprm.engine.view.config import ViewConfig
from tests.fakes.grown_store import grow_into, numbered
from tests.fakes.policy import ScriptedPolicy, StumblingPolicy

ROOT = Path(__file__).parents[2]


def problem(id: str, state: ProblemState, reason: str = "") -> Write:
    record = ProblemRecord(
        problem=Problem(id=id, question="1 + 1?", correct_answer="2"),
        state=state,
        reason=reason,
        num_estimates=2 if state == "done" else 0,
        num_rollouts=7 if state == "done" else 0,
    )
    return Write("problems", problem_key(id), pack(record))


def estimate(id: str, number: int, *outcomes: Outcome) -> Write:
    rollouts = tuple(Rollout((f"step of {id}", "2"), outcome, "exact", num_tokens=7) for outcome in outcomes)
    origin, prefix = (Origin(0, 1, 1), (f"step of {id}",)) if number else (None, ())
    value = pack(Estimate(number, origin, prefix, seed=1, rollouts=rollouts))
    return Write("estimates", estimate_key(problem_key(id), number), value)


def test_a_store_given_twice_is_a_usage_error(tmp_path: Path) -> None:
    for kind in (StatusConfig, ViewConfig):
        with pytest.raises(UsageError, match=r"x/\.\./store is given twice"):
            kind(stores=(f"{tmp_path}/store", f"{tmp_path}/x/../store"))
    with pytest.raises(UsageError, match="given twice"):
        ExportConfig(stores=(f"{tmp_path}/store", f"{tmp_path}/store"), out="o")


RULE = {name: str(value) for name, value in msgspec.structs.asdict(SearchRule(num_rollouts=4)).items()}
WRITES = [
    problem("a", "done"),
    problem("b", "open"),
    problem("c", "quarantined", "too long: 900 tokens \x1b[31m"),
    estimate("a", 0, "correct", "incorrect", "incorrect", "unknown"),
    estimate("a", 1, "incorrect", "truncated", "unparsed"),
    estimate("b", 0, "correct"),
    estimate("c", 0, "unknown"),
    Write("verdicts", b"v", pack(Verdict("correct", "exact"))),
    Write("meta", REJECTED_KEY, msgspec.msgpack.encode([Rejected("s.json", 3, "id", "must be given")])),
]


@pytest.fixture
async def store(tmp_path: Path) -> Path:
    with Store.open(tmp_path / "store") as opened:
        opened.bind(RULE)
        await opened.commit(WRITES)
    return tmp_path / "store"


def status(*arguments: object) -> tuple[int, str, str]:
    command = [sys.executable, ROOT / "bin" / "status", *map(str, arguments)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60)
    return ended.returncode, ended.stdout, ended.stderr


def as_json(*arguments: object) -> dict[str, Any]:
    code, output, errors = status("--json", *arguments)
    assert (code, errors) == (0, "")
    found: dict[str, Any] = json.loads(output)
    return found


def damage(store: Path, old: bytes, new: bytes) -> None:
    data = (store / "data.mdb").read_bytes()
    assert old in data
    (store / "data.mdb").write_bytes(data.replace(old, new))


def test_json_counts_problems_rollouts_outcomes_tokens_and_roots(store: Path) -> None:
    found = as_json(store)
    assert found["problems"] == {"open": 1, "done": 1, "quarantined": 1}
    assert found["quarantined"] == [{"id": "c", "reason": "too long: 900 tokens \x1b[31m"}]
    assert found["rejected"] == [{"file": "s.json", "line": 3, "field": "id", "reason": "must be given", "id": None}]
    assert (found["num_estimates"], found["num_rollouts"], found["num_tokens"]) == (4, 9, 63)
    assert found["outcomes"] == {"correct": 2, "incorrect": 3, "unknown": 2, "truncated": 1, "unparsed": 1}
    assert {label: count for label, count in found["root_mc"].items() if count} == {
        "none": 1,
        "(0.3, 0.4]": 1,
        "1": 1,
    }
    assert found["from_root"] == {"correct": 2, "incorrect": 2, "unknown": 2, "truncated": 0, "unparsed": 0}
    assert found["from_prefixes"] == {"correct": 0, "incorrect": 1, "unknown": 0, "truncated": 1, "unparsed": 1}
    assert found["num_cached_verdicts"] == 1
    assert found["settings"] == [RULE]
    assert found["damaged"] == []


async def grown(folder: Path, policy: ScriptedPolicy) -> dict[str, Any]:
    await grow_into(folder, numbered(16), SearchRule(num_rollouts=8, max_searches=3, rollout_budget=80), policy)
    return as_json(folder)


async def test_a_store_whose_prefixes_are_mostly_unparsed_warns_with_both_shares(tmp_path: Path) -> None:
    found = await grown(tmp_path / "store", StumblingPolicy(0.7))
    (warning,) = found["warnings"]
    root, prefixes = found["from_root"], found["from_prefixes"]
    assert sum(root.values()) == 16 * 8
    assert {name: root[name] + prefixes[name] for name in root} == found["outcomes"]
    assert f"of {sum(prefixes.values())} rollouts from prefixes are unparsed, but only" in warning
    assert f"of {sum(root.values())} from the root" in warning
    _, output, _ = status(tmp_path / "store")
    assert f"warning     {warning}" in output
    assert f"of {sum(root.values())} rollouts from the root, " in output


async def test_a_store_with_equal_shares_shows_them_and_does_not_warn(tmp_path: Path) -> None:
    found = await grown(tmp_path / "store", ScriptedPolicy(odd_rate=0.4))
    assert found["from_prefixes"]["unparsed"] > 50
    assert found["from_root"]["unparsed"] > 10
    assert found["warnings"] == []
    _, output, _ = status(tmp_path / "store")
    assert "\nunparsed    " in output
    assert "\ntruncated   " in output
    assert "warning" not in output


def test_people_read_the_same_without_terminal_codes(store: Path) -> None:
    code, output, _ = status(store)
    assert code == 0
    assert "problems    3: 1 open, 1 done, 1 quarantined" in output
    assert "rollouts    9: 2 correct, 3 incorrect, 2 unknown, 1 truncated, 1 unparsed" in output
    assert "unparsed    0 % of 6 rollouts from the root, 33 % of 3 from prefixes" in output
    assert "warning" not in output
    assert "quarantined c: too long: 900 tokens \\x1b[31m" in output
    assert "rejected    s.json:3: id: must be given" in output
    assert "\x1b" not in output


async def test_several_stores_are_taken_together_and_a_shared_rejection_once(store: Path, tmp_path: Path) -> None:
    with Store.open(tmp_path / "other") as other:
        await other.commit([problem("d", "done"), estimate("d", 0, "correct"), WRITES[-1]])
    found = as_json(store, tmp_path / "other")
    assert found["problems"] == {"open": 1, "done": 2, "quarantined": 1}
    assert found["num_rollouts"] == 10
    assert len(found["rejected"]) == 1


async def test_status_reads_a_store_that_is_being_written(store: Path) -> None:
    with Store.open(store) as writer:
        await writer.commit([problem("e", "open")])
        assert as_json(store)["problems"]["open"] == 2
        code, output, _ = status("--verify", store)
        assert code == 0
        assert "pages checked" in output


def test_verify_passes_a_whole_store(store: Path) -> None:
    code, output, _ = status("--verify", store)
    assert code == 0
    assert "0 damaged" in output


def test_a_damaged_record_is_left_out_and_verify_names_it(store: Path) -> None:
    damage(store, b"step of b", b"stop of b")
    code, output, _ = status(store)
    assert code == 0
    assert "estimates   3" in output
    assert "damaged     1 records" in output
    code, output, errors = status("--verify", store)
    assert code == 74
    assert "estimate 0 of problem b" in output
    assert "checksum" in output
    assert "1 damaged" in errors


@pytest.mark.parametrize(
    ("write", "named"),
    [
        (Write("verdicts", b"x", b"junk"), "verdicts 78"),
        (Write("problems", problem_key("f"), pack(Verdict("correct", "exact"))), "cannot be decoded"),
        (Write("problems", problem_key("f"), WRITES[0].value), "holds problem 'a', which has another key"),
        (Write("estimates", estimate_key(problem_key("a"), 5), WRITES[4].value), "holds estimate 1"),
        (Write("meta", REJECTED_KEY, b"\xc1"), "meta " + REJECTED_KEY.hex()),
        (Write("meta", b"fingerprint", b"\0\0\0\0"), "meta " + b"fingerprint".hex()),
    ],
)
async def test_verify_names_whatever_is_not_what_belongs_there(store: Path, write: Write, named: str) -> None:
    with Store.open(store) as opened:
        await opened.commit([write])
    code, output, _ = status("--verify", "--json", store)
    assert code == 74
    damages = [f"{damage['table']} {damage['key']}: {damage['reason']}" for damage in json.loads(output)["damaged"]]
    assert any(named in damage for damage in damages), damages


def test_verify_sees_a_damaged_page_that_no_record_shows(store: Path) -> None:
    with Store.open_reader(store) as reader:
        pages = reader._database.env.info()["last_pgno"] + 1
    with open(store / "data.mdb", "r+b") as file:
        for page in range(2, pages):
            file.seek(page * 4096)
            file.write(b"\xff\xff")
    code, output, errors = status("--verify", store)
    assert code == 74, (output, errors)


def test_a_missing_store_is_a_sentence_and_78(tmp_path: Path) -> None:
    code, output, errors = status(tmp_path / "missing")
    assert (code, output) == (78, "")
    assert "missing: there is no store there" in errors
    assert "Traceback" not in errors
    assert status()[0] == 64


@pytest.mark.parametrize(
    ("value", "label"),
    [
        (None, "none"),
        (0.0, "0"),
        (1 / 16, "(0.0, 0.1]"),
        (0.1, "(0.0, 0.1]"),
        (0.5, "(0.4, 0.5]"),
        (9 / 16, "(0.5, 0.6]"),
        (15 / 16, "(0.9, 1.0)"),
        (1.0, "1"),
    ],
)
def test_each_mc_value_falls_into_the_bin_that_says_so(value: float | None, label: str) -> None:
    assert mc_label(value) == label
    assert label in mc_labels()
