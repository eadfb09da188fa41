"""The viewer's answers over a real socket: right, bounded, refused where they must be."""

from __future__ import annotations

import asyncio
import shutil
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
import pytest_asyncio
from aiohttp.test_utils import TestClient, TestServer

from omegaprm.engine import journal
from omegaprm.engine.errors import BadInput, UsageError
from omegaprm.engine.opinions import Opinion, StepJudge, write_judge, write_opinion
from omegaprm.engine.store import Store, estimate_key, problem_key
from omegaprm.engine.store.store import Write
from omegaprm.engine.tree import ROOT_DIGEST, state_digests
from omegaprm.engine.view.config import ViewConfig
from omegaprm.engine.view.guard import allowed_names, name_of
from omegaprm.engine.view.listing import natural
from omegaprm.engine.view.scores import StepScores
from omegaprm.engine.view.server import Viewer
from omegaprm.engine.view.shelf import Shelf
from tests.engine.view import stores

Client = TestClient[Any, Any]
MAX_LOOKS = 1200
ROOT = Path(__file__).resolve().parents[3]
WRITER = """
import asyncio, pathlib, sys
from omegaprm.engine import journal
from omegaprm.engine.records import ProblemRecord
from omegaprm.engine.store import Store
with Store.open(pathlib.Path(sys.argv[1])) as store:
    problem = journal.problem_record(store, "o1").problem
    later = ProblemRecord(problem=problem, state="quarantined", reason="later")
    asyncio.run(store.commit([journal.write_problem(later)]))
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return asyncio.run(stores.make(tmp_path_factory.mktemp("made")))


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    """A copy of the store, for this test to change."""
    return Path(shutil.copytree(made, tmp_path / "store"))


@pytest_asyncio.fixture
async def client(folder: Path) -> AsyncIterator[Client]:
    shelf = Shelf([folder])
    async with TestClient(TestServer(Viewer(shelf, StepScores()).app())) as opened:
        await settled(opened)
        yield opened
    shelf.close()


async def settled(client: Client) -> None:
    """Until every estimate has been counted."""
    await until(client, lambda version: "+" not in version)


async def until(client: Client, holds: Callable[[str], bool]) -> None:
    for _ in range(MAX_LOOKS):
        if holds((await json(client, "/api/version"))["version"]):
            return
        await asyncio.sleep(0.05)
    raise AssertionError("the viewer does not get there")


async def json(client: Client, path: str, **parameters: Any) -> Any:
    response = await client.get(path, params=parameters)
    assert response.status == 200, await response.text()
    return await response.json()


async def status(client: Client, path: str, **parameters: Any) -> int:
    return (await client.get(path, params=parameters)).status


async def test_problems_are_listed_with_quarantine_reasons(client: Client) -> None:
    found = await json(client, "/api/problems")
    assert [row["id"] for row in found["rows"]] == ["h1", "h2", "o1", "p00000", "p00001", "p00002", "q1"]
    (quarantined,) = (await json(client, "/api/problems", state="quarantined"))["rows"]
    assert quarantined["reason"].startswith("policy failed")


async def test_search_filter_and_sort(client: Client) -> None:
    assert [row["id"] for row in (await json(client, "/api/problems", q="ADD 14"))["rows"]] == ["p00002"]
    rows = (await json(client, "/api/problems", sort="errors", down="true"))["rows"]
    errors = [row["errors"] for row in rows if row["errors"] is not None]
    assert errors == sorted(errors, reverse=True)
    assert max(errors) > 0
    bounded = (await json(client, "/api/problems", least="0.1", most="0.9"))["rows"]
    assert bounded
    assert all(0.1 <= row["mc"] <= 0.9 for row in bounded)


async def test_a_page_is_a_part_of_the_list(client: Client) -> None:
    found = await json(client, "/api/problems", offset=1, limit=2)
    assert (found["total"], len(found["rows"])) == (7, 2)


@pytest.mark.parametrize(
    "parameters", [{"limit": "0"}, {"limit": "9999"}, {"state": "x"}, {"what": "1"}, {"sort": "x"}]
)
async def test_a_query_that_is_none_is_refused(client: Client, parameters: dict[str, str]) -> None:
    assert await status(client, "/api/problems", **parameters) == 400


async def test_errors_in_the_list_are_those_of_the_trees(client: Client) -> None:
    for row in (await json(client, "/api/problems", state="done"))["rows"]:
        page = await json(client, "/api/tree", id=row["id"], store=0)
        assert row["errors"] == sum(path["first_error"] is not None for path in page["searches"])
        assert row["nodes"] == len(page["estimates"])


async def test_a_tree_its_nodes_and_rollouts(client: Client) -> None:
    page = await json(client, "/api/tree", id="h1", store=0)
    assert page["nodes"][0]["parent"] is None
    assert sum(page["totals"]) == sum(estimate["num"] for estimate in page["estimates"])
    path = page["searches"][0]
    node = await json(client, "/api/node", id="h1", store=0, node=path["node"])
    (searched,) = [rollout for rollout in node["rollouts"] if rollout["search"] == 0]
    assert (searched["index"], searched["outcome"], searched["rule"]) == (path["rollout"], "incorrect", "script")
    steps = await json(client, "/api/rollout", id="h1", store=0, estimate=path["estimate"], rollout=path["rollout"])
    assert len(steps["steps"]) == path["num_steps"]
    assert {cut["node"] for cut in path["cuts"]} <= {step["node"] for step in steps["steps"]}


@pytest.mark.parametrize(
    ("path", "parameters", "code"),
    [
        ("/api/tree", {"id": "nobody"}, 404),
        ("/api/tree", {"id": "h1", "store": "7"}, 404),
        ("/api/tree", {"id": "h1", "store": "-1"}, 400),
        ("/api/node", {"id": "h1", "node": "999"}, 404),
        ("/api/node", {"id": "h1", "node": "1e3"}, 400),
        ("/api/rollout", {"id": "h1", "estimate": "0", "rollout": "99"}, 404),
        ("/static/..%2fserver.py", {}, 404),
        ("/static/server.py", {}, 404),
        ("/nowhere", {}, 404),
    ],
)
async def test_what_is_not_there_is_refused(client: Client, path: str, parameters: dict[str, str], code: int) -> None:
    assert await status(client, path, **parameters) == code


async def test_a_picture_inside_the_root_is_sent_and_nothing_else(client: Client) -> None:
    shown = await client.get("/image", params={"id": "h1", "index": 0})
    assert (shown.status, shown.content_type) == (200, "image/png")
    for index in range(7):
        refused = await client.get("/image", params={"id": "h2", "index": index})
        assert refused.status == 404, index


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "evil.example:80", "", "[::1].evil"])
async def test_another_name_in_host_is_refused(client: Client, host: str) -> None:
    response = await client.get("/api/problems", headers={"Host": host})
    assert response.status == 403
    assert "h1" not in await response.text()


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "127.0.0.1:80", "[::1]:3"])
async def test_loopbacks_own_names_are_answered(client: Client, host: str) -> None:
    assert (await client.get("/api/version", headers={"Host": host})).status == 200


def test_an_address_that_is_not_loopback_goes_by_its_own_name_alone() -> None:
    assert allowed_names("10.0.0.5") == {"10.0.0.5"}
    assert "localhost" in allowed_names("0.0.0.0")
    assert name_of("[::1]:80") == "[::1]"


@pytest.mark.parametrize("path", ["/", "/static/app.js", "/api/run", "/nowhere", "/image?id=h1"])
async def test_every_answer_carries_the_policy(client: Client, path: str) -> None:
    headers = (await client.get(path)).headers
    policy = headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; script-src 'self';")
    assert "unsafe" not in policy
    assert headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
async def test_nothing_can_be_written(client: Client, method: str) -> None:
    assert (await client.request(method, "/api/problems")).status == 405


async def test_the_run_page_counts_every_estimate_once(client: Client) -> None:
    page = await json(client, "/api/run")
    trees = [await json(client, "/api/tree", id=name) for name in ("h1", "h2", "p00000", "p00001", "p00002")]
    assert page["outcomes"] == [sum(counts) for counts in zip(*(tree["totals"] for tree in trees), strict=True)]
    assert sum(count for _, count in page["states"]) == sum(len(tree["nodes"]) for tree in trees)
    assert page["num_errors"] == sum(path["first_error"] is not None for t in trees for path in t["searches"])
    assert page["problems"] == {"open": 1, "done": 5, "quarantined": 1}
    assert page["is_whole"] is True


async def test_a_store_that_grows_is_followed(client: Client, folder: Path) -> None:
    before = (await json(client, "/api/version"))["version"]
    writer = await asyncio.create_subprocess_exec(sys.executable, "-c", WRITER, str(folder), cwd=ROOT)
    assert await writer.wait() == 0
    await until(client, lambda version: version not in (before, f"{before}+"))
    (row,) = (await json(client, "/api/problems", q="later"))["rows"]
    assert (row["id"], row["state"]) == ("o1", "quarantined")


async def test_damage_is_named_and_hides_no_more_than_it_must(folder: Path) -> None:
    with Store.open(folder) as store:
        await store.commit([Write("estimates", estimate_key(problem_key("h1"), 1), b"\0\0\0\0damaged")])
    shelf = Shelf([folder])
    async with TestClient(TestServer(Viewer(shelf, StepScores()).app())) as client:
        await settled(client)
        page = await json(client, "/api/tree", id="h1")
        assert len(page["estimates"]) == 1
        assert "Estimate 1 cannot be read" in page["note"]
        assert (await json(client, "/api/run"))["stores"][0]["num_damaged"] == 1
    shelf.close()


async def test_scores_of_a_prm_stand_beside_mc(folder: Path, tmp_path: Path) -> None:
    with Store.open_reader(folder) as store:
        estimate = next(each for each in journal.estimates(store, "h1") if each.prefix)
    row = {"id": "h1", "steps": estimate.prefix, "scores": [0.25] * len(estimate.prefix)}
    file = tmp_path / "scores.jsonl"
    file.write_bytes(msgspec.json.encode(row) + b"\n")
    shelf = Shelf([folder])
    async with TestClient(TestServer(Viewer(shelf, StepScores([file])).app())) as client:
        nodes = (await json(client, "/api/tree", id="h1"))["nodes"]
        assert {node["score"] for node in nodes} == {None, 0.25}
    shelf.close()


@pytest.mark.parametrize(
    "line",
    ["not json", '{"id": "a"}', '{"id": "a", "steps": ["x"], "scores": []}', '{"id":"a","steps":["x"],"scores":[2]}'],
)
def test_a_bad_row_of_scores_is_named(tmp_path: Path, line: str) -> None:
    file = tmp_path / "scores.jsonl"
    file.write_text(f"\n{line}\n")
    with pytest.raises(BadInput, match=r"scores\.jsonl:2"):
        StepScores([file])


@pytest.mark.parametrize("flags", [{"stores": ()}, {"stores": ("s",), "port": 70000}])
def test_wrong_flags_are_refused(flags: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        ViewConfig(**flags)


def test_ids_sort_as_people_count() -> None:
    assert sorted(["p10", "p9", "a-2", "a-10", "9"], key=natural) == ["9", "a-2", "a-10", "p9", "p10"]


async def test_opinions_of_a_step_judge_stand_beside_mc(tmp_path: Path) -> None:
    folder = await stores.make(tmp_path)
    with Store.open(folder) as store:
        estimate = next(each for each in journal.estimates(store, "h1") if each.prefix)
        *_, state = state_digests(ROOT_DIGEST, estimate.prefix)
        judge = StepJudge(model="careful", num_replies=1)
        await store.commit([write_judge(judge), write_opinion("h1", state, "careful", Opinion(False))])
    shelf = Shelf([folder])
    async with TestClient(TestServer(Viewer(shelf, StepScores()).app())) as client:
        page = await json(client, "/api/tree", id="h1")
        assert page["judge"] == "careful"
        marked = {node["number"] for node in page["nodes"] if node["opinion"] is False}
        assert [node["opinion"] for node in page["nodes"] if node["number"] not in marked] == [None] * (
            len(page["nodes"]) - 1
        )
        (number,) = marked
        steps = (await json(client, "/api/node", id="h1", node=str(number)))["prefix"]
        assert [step["opinion"] for step in steps] == [None] * (len(steps) - 1) + [False]
    shelf.close()
