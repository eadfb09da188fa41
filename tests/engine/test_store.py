"""The store keeps what it acknowledged, in order, and is bound to what it was made under."""

from __future__ import annotations

import asyncio
import fcntl
import os
from pathlib import Path

import lmdb
import pytest

from omegaprm.engine.errors import ConfigurationError, StoreFailed, StoreHeld
from omegaprm.engine.records import SCHEMA_VERSION, Verdict
from omegaprm.engine.store import (
    SCHEMA_KEY,
    Store,
    StoreDamaged,
    Write,
    estimate_key,
    pack,
    problem_key,
    unpack,
)


def estimate(problem: str, number: int, value: bytes = b"value") -> Write:
    return Write("estimates", estimate_key(problem_key(problem), number), value)


async def test_a_committed_value_is_read_back_and_after_reopening(tmp_path: Path) -> None:
    with Store.open(tmp_path / "store") as store:
        await store.commit([Write("problems", b"a", b"1"), Write("verdicts", b"a", b"2")])
        assert (store.get("problems", b"a"), store.get("verdicts", b"a")) == (b"1", b"2")
        assert store.get("estimates", b"a") is None
    with Store.open_reader(tmp_path / "store") as store:
        assert store.get("problems", b"a") == b"1"
        assert store.count("problems") == 1


async def test_the_last_of_several_writes_to_a_key_stays(tmp_path: Path) -> None:
    with Store.open(tmp_path / "store") as store:
        await store.commit([Write("problems", b"a", b"old"), Write("problems", b"a", b"new")])
        await asyncio.gather(*(store.commit([Write("problems", b"b", b"%d" % at)]) for at in range(50)))
        assert store.get("problems", b"a") == b"new"
        assert store.get("problems", b"b") == b"49"


async def test_estimates_of_a_problem_are_scanned_in_their_order_across_pages(tmp_path: Path) -> None:
    numbers = list(range(1300))
    with Store.open(tmp_path / "store") as store:
        await store.commit([estimate("b", at, b"%d" % at) for at in reversed(numbers)])
        await store.commit([estimate("a", 0), estimate("c", 0)])
        found = [int(value) for _, value in store.scan("estimates", problem_key("b"))]
        assert found == numbers
        keys = [key for key, _ in store.scan("estimates")]
        assert keys == sorted(keys)
        assert len(keys) == store.count("estimates") == 1302


async def test_a_scan_goes_on_beside_writes_and_map_growth(tmp_path: Path) -> None:
    with Store.open(tmp_path / "store", map_bytes=1 << 17) as store:
        await store.commit([estimate("a", at) for at in range(1000)])
        scan = store.scan("estimates", problem_key("a"))
        seen = [next(scan)]
        await store.commit([estimate("z", at, bytes(4000)) for at in range(200)])
        seen += scan
        assert [int.from_bytes(key[-4:], "big") for key, _ in seen] == list(range(1000))


async def test_the_map_grows_without_the_callers_noticing(tmp_path: Path) -> None:
    value = os.urandom(3000)
    with Store.open(tmp_path / "store", map_bytes=1 << 17) as store:
        await asyncio.gather(*(store.commit([estimate("a", at, value)]) for at in range(600)))
        await store.commit([Write("problems", b"large", bytes(8 << 20))])
        assert store.count("estimates") == 600
    with Store.open(tmp_path / "store", map_bytes=1 << 17) as store:
        assert all(found == value for _, found in store.scan("estimates"))
        assert store.get("problems", b"large") == bytes(8 << 20)


async def test_many_waiters_share_few_transactions(tmp_path: Path) -> None:
    with Store.open(tmp_path / "store") as store:
        before = store.last_transaction()
        await asyncio.gather(*(store.commit([estimate("a", at)]) for at in range(2000)))
        assert store.last_transaction() - before < 200
        assert store.count("estimates") == 2000


async def test_a_cancelled_waiter_harms_no_other(tmp_path: Path) -> None:
    with Store.open(tmp_path / "store") as store:
        waiters = [asyncio.create_task(store.commit([estimate("a", at)])) for at in range(300)]
        await asyncio.sleep(0)
        for waiter in waiters[::2]:
            waiter.cancel()
        ended = await asyncio.gather(*waiters, return_exceptions=True)
        assert [result for result in ended[1::2] if result is not None] == []
        await store.commit([estimate("b", 0)])
        assert {int.from_bytes(key[-4:], "big") for key, _ in store.scan("estimates", problem_key("a"))} >= {
            at for at in range(1, 300, 2)
        }


async def test_closing_writes_what_is_queued_and_then_refuses_more(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "store")
    waiters = [asyncio.create_task(store.commit([estimate("a", at)])) for at in range(500)]
    await asyncio.sleep(0)
    store.close()
    store.close()
    await asyncio.gather(*waiters)
    with pytest.raises(StoreFailed, match="closed"):
        await store.commit([estimate("a", 500)])
    with pytest.raises(StoreFailed, match="closed"):
        store.get("estimates", b"a")
    with Store.open_reader(tmp_path / "store") as reader:
        assert reader.count("estimates") == 500


async def test_a_bad_key_is_refused_for_its_own_caller_only(tmp_path: Path) -> None:
    with Store.open(tmp_path / "store") as store:
        for write in (Write("nowhere", b"a", b""), Write("meta", b"", b""), Write("meta", b"k" * 512, b"")):
            with pytest.raises(ValueError, match="cannot write to table"):
                await store.commit([write])
        await store.commit([Write("meta", b"k" * 511, b"fits")])


async def test_commits_return_only_from_a_fully_synced_environment(tmp_path: Path) -> None:
    with Store.open(tmp_path / "store") as store:
        flags = store._database.env.flags()
    assert flags["sync"]
    assert flags["metasync"]
    assert not flags["writemap"]
    assert not flags["map_async"]


async def test_a_reader_sees_commits_made_after_it_opened_and_cannot_write(tmp_path: Path) -> None:
    with Store.open(tmp_path / "store") as store:
        await store.commit([estimate("a", 0)])
    with Store.open_reader(tmp_path / "store") as reader:
        assert reader.count("estimates") == 1
        with pytest.raises(StoreFailed, match="read only"):
            await reader.commit([estimate("a", 1)])


async def test_who_may_not_write_to_a_store_may_read_it_unless_it_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "store"
    with Store.open(folder) as store:
        await store.commit([estimate("a", 0)])
    (folder / "lock.mdb").unlink()
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK)
    with Store.open_reader(folder) as reader:
        assert reader.count("estimates") == 1
        assert not (folder / "lock.mdb").exists()
        (folder / "writer.lock").chmod(0o444)
        held = os.open(folder / "writer.lock", os.O_RDONLY)
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(StoreFailed, match="being written"):
            reader.count("estimates")
        os.close(held)
        assert reader.count("estimates") == 1


async def test_a_second_writer_in_this_process_is_refused(tmp_path: Path) -> None:
    with Store.open(tmp_path / "store") as store:
        with pytest.raises(StoreHeld, match=str(os.getpid())):
            Store.open(tmp_path / "store")
        await store.commit([estimate("a", 0)])
    Store.open(tmp_path / "store").close()


async def test_a_bound_store_refuses_other_settings_and_names_each(tmp_path: Path) -> None:
    made = {"num_rollouts": "16", "model": "abc", "alpha": "0.5"}
    with Store.open(tmp_path / "store") as store:
        assert store.fingerprint() == {}
        store.bind(made)
        await store.commit([estimate("a", 0)])
    with Store.open(tmp_path / "store") as store:
        store.bind(dict(reversed(made.items())))
        with pytest.raises(ConfigurationError) as refused:
            store.bind({"num_rollouts": "8", "model": "abc", "beta": "0.9"})
        assert store.fingerprint() == made
    message = str(refused.value)
    assert "the store was made with num_rollouts = 16, this command has 8" in message
    assert "the store was made with alpha = 0.5, this command has none" in message
    assert "the store was made without beta, this command has 0.9" in message
    assert "model" not in message
    assert refused.value.exit_code == 78


def test_a_store_that_holds_no_work_is_bound_anew(tmp_path: Path) -> None:
    with Store.open(tmp_path / "store") as store:
        store.bind({"model": "mistyped"})
    with Store.open(tmp_path / "store") as store:
        store.bind({"model": "right"})
        assert store.fingerprint() == {"model": "right"}


@pytest.mark.parametrize("table", ["problems", "estimates", "verdicts"])
async def test_a_store_that_holds_any_work_stays_bound(tmp_path: Path, table: str) -> None:
    with Store.open(tmp_path / "store") as store:
        store.bind({"model": "first"})
        await store.commit([Write(table, b"key", b"value")])
        with pytest.raises(ConfigurationError, match="model = first"):
            store.bind({"model": "second"})


async def test_another_schema_version_is_refused_naming_both(tmp_path: Path) -> None:
    with Store.open(tmp_path / "store") as store:
        await store.commit([Write("meta", SCHEMA_KEY, b"907")])
    for opener in (Store.open, Store.open_reader):
        with pytest.raises(ConfigurationError, match=f"version 907, this program has {SCHEMA_VERSION}"):
            opener(tmp_path / "store")


def test_where_there_is_no_store_none_is_made_unless_asked(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for folder in (tmp_path / "missing", tmp_path / "empty"):
        with pytest.raises(ConfigurationError, match="no store there"):
            Store.open_reader(folder)
        with pytest.raises(ConfigurationError, match="no store there"):
            Store.open(folder, create=False)
    assert not (tmp_path / "missing").exists()
    Store.open(tmp_path / "empty").close()
    Store.open(tmp_path / "empty", create=False).close()


def test_a_file_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    for opener in (Store.open, Store.open_reader):
        with pytest.raises(StoreFailed, match="file"):
            opener(tmp_path / "file")


@pytest.mark.parametrize("content", [b"", b"hello", bytes(8192), b"\xff" * 20000])
def test_a_data_file_that_is_not_lmdb_is_refused_and_left_alone(tmp_path: Path, content: bytes) -> None:
    data = tmp_path / "data.mdb"
    data.write_bytes(content)
    for opener in (Store.open, Store.open_reader):
        with pytest.raises(StoreFailed, match=str(tmp_path)):
            opener(tmp_path)
    assert data.read_bytes() == content


def test_another_program_s_lmdb_is_refused(tmp_path: Path) -> None:
    with lmdb.open(str(tmp_path)) as env, env.begin(write=True) as transaction:
        transaction.put(b"theirs", b"1")
    for opener in (Store.open, Store.open_reader):
        with pytest.raises(StoreFailed, match="not a store of this program"):
            opener(tmp_path)


def test_a_store_that_was_half_made_is_made_anew(tmp_path: Path) -> None:
    (tmp_path / ".making").mkdir()
    (tmp_path / ".making" / "data.mdb").write_bytes(b"half")
    (tmp_path / "writer.lock").write_text("1\n")
    with Store.open(tmp_path) as store:
        assert store.count("problems") == 0


def test_keys_keep_the_order_of_numbers() -> None:
    problem = problem_key("a")
    assert len(problem) == 16
    numbers = [0, 1, 255, 256, 65536, 2**32 - 1]
    assert sorted(estimate_key(problem, at) for at in numbers) == [estimate_key(problem, at) for at in numbers]


def test_a_packed_struct_is_unpacked_and_every_flipped_bit_is_noticed() -> None:
    verdict = Verdict("correct", "number \x00 \U0001f600")
    value = pack(verdict)
    assert unpack(value, Verdict) == verdict
    for at in range(len(value) * 8):
        damaged = bytearray(value)
        damaged[at // 8] ^= 1 << at % 8
        with pytest.raises(StoreDamaged, match="Verdict"):
            unpack(bytes(damaged), Verdict)
    for cut in range(len(value)):
        with pytest.raises(StoreDamaged, match="checksum"):
            unpack(value[:cut], Verdict)


def test_a_whole_value_of_another_shape_is_damage_too() -> None:
    with pytest.raises(StoreDamaged, match="cannot be decoded"):
        unpack(pack(Verdict("correct", "x").__class__("wrong", "x")), Verdict)  # type: ignore[arg-type]


async def test_commits_within_a_window_share_one_transaction(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "store", window_seconds=0.2)
    before = store.last_transaction()
    await asyncio.gather(*(store.commit([Write("meta", b"key-%d" % at, b"value")]) for at in range(5)))
    assert store.last_transaction() == before + 1
    store.close()
