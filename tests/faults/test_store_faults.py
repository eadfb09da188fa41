"""What was acknowledged survives kills, rivals, full disks and cut files: real processes, real limits."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from omegaprm.engine.errors import StoreFailed, StoreHeld
from omegaprm.engine.records import Verdict
from omegaprm.engine.store import Store, StoreDamaged, Write, estimate_key, pack, problem_key, unpack

ROOT = Path(__file__).parents[2]
PROBLEM = problem_key("p")

COMMITTING = """
import asyncio, os, sys
from pathlib import Path
from omegaprm.engine.store import Store, Write, estimate_key, problem_key

async def main():
    store = Store.open(Path(sys.argv[1]), map_bytes=1 << 17)
    numbers = iter(range(int(sys.argv[2]), 1 << 31))
    async def commit():
        for number in numbers:
            key = estimate_key(problem_key("p"), number)
            value = b"%d" % number * 50
            await store.commit([Write("estimates", key, value), Write("verdicts", key, b"twin")])
            os.write(1, b"%d\\n" % number)
    await asyncio.gather(*(commit() for _ in range(64)))

asyncio.run(main())
"""

HOLDING = """
import sys
from pathlib import Path
from omegaprm.engine.store import Store
store = Store.open(Path(sys.argv[1]))
print("open", flush=True)
sys.stdin.readline()
store.close()
"""

FORKING = """
import os, sys
from pathlib import Path
from omegaprm.engine.store import Store
store = Store.open(Path(sys.argv[1]))
if os.fork() == 0:
    os.write(1, b"%d\\n" % os.getpid())
    os.close(0), os.close(1)
    os.read(int(sys.argv[2]), 1)
    os._exit(0)
sys.stdin.readline()
"""

FULL_DISK = """
import asyncio, os, resource, sys
from pathlib import Path
from omegaprm.engine.errors import StoreFailed
from omegaprm.engine.store import Store, Write, estimate_key, problem_key

async def main():
    store = Store.open(Path(sys.argv[1]), map_bytes=1 << 17)
    limit = 1 << 20
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    numbers, done, failed = iter(range(2000)), [], []
    async def commit():
        for number in numbers:
            try:
                await store.commit([Write(sys.argv[2], estimate_key(problem_key("p"), number), bytes(3000))])
            except StoreFailed as error:
                failed.append(str(error))
                return
            done.append(number)
    await asyncio.gather(*(commit() for _ in range(16)))
    try:
        await store.commit([Write("meta", b"k", b"v")])
    except StoreFailed:
        print("refuses")
    readable = [key for key, _ in store.scan(sys.argv[2])]
    assert len(readable) >= len(done), (len(readable), len(done))
    for number in done:
        assert store.get(sys.argv[2], estimate_key(problem_key("p"), number)) == bytes(3000)
    print(len(failed), failed[0])
    print(*done)
    store.close()

asyncio.run(main())
"""


def child(program: str, *arguments: object, pass_fds: Sequence[int] = ()) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", program, *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        pass_fds=pass_fds,
    )


def acknowledged_until_killed(folder: Path, first: int, enough: int) -> list[int]:
    """Numbers that a committing child acknowledged before it was killed in the middle of its work."""
    with child(COMMITTING, folder, first) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(enough)]
        process.send_signal(signal.SIGKILL)
        lines += process.stdout.readlines()
    assert process.returncode == -signal.SIGKILL
    return [int(line) for line in lines if line.endswith(b"\n")]


@pytest.mark.family("kill")
def test_everything_acknowledged_before_each_sigkill_is_there(tmp_path: Path) -> None:
    expected: set[int] = set()
    for attempt in range(3):
        numbers = acknowledged_until_killed(tmp_path / "store", attempt * 1_000_000, 300 + 200 * attempt)
        assert len(numbers) >= 300
        expected |= set(numbers)
        with Store.open(tmp_path / "store") as store:
            found = {int.from_bytes(key[-4:], "big"): value for key, value in store.scan("estimates")}
            assert expected <= found.keys()
            assert all(value == b"%d" % number * 50 for number, value in found.items())
            twins = {key for key, _ in store.scan("verdicts")}
            assert twins == {estimate_key(PROBLEM, number) for number in found}


@pytest.mark.family("rivals")
async def test_a_store_held_elsewhere_is_refused_unharmed_and_free_after_its_holder_s_death(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "store"
    with Store.open(folder) as store:
        await store.commit([Write("problems", b"a", b"1")])
    with child(HOLDING, folder) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"open\n"
        before = (folder / "data.mdb").read_bytes()
        with pytest.raises(StoreHeld, match=str(process.pid)) as refused:
            Store.open(folder)
        assert refused.value.exit_code == 73
        assert (folder / "data.mdb").read_bytes() == before
        with Store.open_reader(folder) as reader:
            assert reader.get("problems", b"a") == b"1"
        process.send_signal(signal.SIGKILL)
    with Store.open(folder) as store:
        assert store.get("problems", b"a") == b"1"


@pytest.mark.family("rivals")
def test_a_forked_child_that_outlives_a_killed_writer_does_not_hold_the_store(tmp_path: Path) -> None:
    orphan_lives, orphan_may_end = os.pipe()
    with child(FORKING, tmp_path / "store", orphan_lives, pass_fds=[orphan_lives]) as process:
        assert process.stdout is not None
        orphan = int(process.stdout.readline())
        with pytest.raises(StoreHeld):
            Store.open(tmp_path / "store")
        process.send_signal(signal.SIGKILL)
    os.kill(orphan, 0)
    Store.open(tmp_path / "store").close()
    os.close(orphan_may_end)
    os.close(orphan_lives)


@pytest.mark.family("rivals")
def test_a_reader_follows_a_store_that_grows_in_another_process(tmp_path: Path) -> None:
    folder = tmp_path / "store"
    Store.open(folder).close()
    with child(COMMITTING, folder, 0) as process:
        assert process.stdout is not None
        process.stdout.readline()
        with Store.open_reader(folder) as reader:
            reader._database.env.set_mapsize(1 << 17)
            for _ in range(2000):
                number = int(process.stdout.readline())
            assert reader.get("estimates", estimate_key(PROBLEM, number)) == b"%d" % number * 50
            assert sum(1 for _ in reader.scan("estimates")) >= 2000
        process.send_signal(signal.SIGKILL)


@pytest.mark.family("disk")
@pytest.mark.parametrize("table", ["estimates", "verdicts"])
async def test_a_full_disk_fails_every_waiter_and_loses_nothing_acknowledged(tmp_path: Path, table: str) -> None:
    folder = tmp_path / "store"
    with child(FULL_DISK, folder, table) as process:
        output, _ = process.communicate(timeout=120)
    refuses, failures, done = output.decode().splitlines()
    assert process.returncode == 0
    assert refuses == "refuses"
    assert failures.startswith("16 the store ")
    acknowledged = [int(number) for number in done.split()]
    assert len(acknowledged) > 50
    with Store.open(folder) as store:
        keys = {key for key, _ in store.scan(table)}
        assert {estimate_key(PROBLEM, number) for number in acknowledged} <= keys
        await store.commit([Write("estimates", estimate_key(PROBLEM, 5000), bytes(2 << 20))])
        assert store.get("estimates", estimate_key(PROBLEM, 5000)) == bytes(2 << 20)


@pytest.mark.family("damage")
async def test_a_cut_data_file_is_refused_with_a_sentence(tmp_path: Path) -> None:
    folder = tmp_path / "store"
    with Store.open(folder) as store:
        await store.commit([Write("estimates", estimate_key(PROBLEM, at), bytes(3000)) for at in range(100)])
    size = (folder / "data.mdb").stat().st_size
    for left in (size - 1, size // 2, 8192, 5000, 100, 0):
        os.truncate(folder / "data.mdb", left)
        for opener in (Store.open, Store.open_reader):
            with pytest.raises(StoreFailed, match=str(folder)):
                opener(folder)
        assert (folder / "data.mdb").stat().st_size == left


@pytest.mark.family("damage")
async def test_a_value_damaged_on_disk_is_named_and_the_others_are_read(tmp_path: Path) -> None:
    folder = tmp_path / "store"
    with Store.open(folder) as store:
        await store.commit(
            [Write("verdicts", b"%d" % at, pack(Verdict("correct", f"rule-number-{at}"))) for at in range(9)]
        )
    data = (folder / "data.mdb").read_bytes()
    assert b"rule-number-5" in data
    (folder / "data.mdb").write_bytes(data.replace(b"rule-number-5", b"rule-numbel-5"))
    with Store.open_reader(folder) as store:
        for at in range(9):
            value = store.get("verdicts", b"%d" % at)
            assert value is not None
            if at == 5:
                with pytest.raises(StoreDamaged, match=r"Verdict.*checksum"):
                    unpack(value, Verdict)
            else:
                assert unpack(value, Verdict) == Verdict("correct", f"rule-number-{at}")
