"""One export for the same seeds, model and rule: at any concurrency, order of answers, shards and restarts."""

from __future__ import annotations

import random
import signal
from pathlib import Path

import pytest

from omegaprm.engine.export import ExportConfig, export
from tests.fakes.annotate import Script
from tests.faults.daemon import Job, exported

pytestmark = pytest.mark.family("determinism")


@pytest.mark.parametrize("concurrency", [1, 64, 4096])
def test_concurrency_and_the_order_of_answers_change_nothing(
    job: Job, undisturbed: tuple[bytes, bytes], tmp_path: Path, concurrency: int
) -> None:
    jitter = 0.0 if concurrency == 1 else 0.05
    code, said = job.run(tmp_path / "store", "--concurrency", str(concurrency), script=Script(jitter=jitter))
    assert code == 0, said
    assert exported(tmp_path / "store", tmp_path / "out") == undisturbed


def test_restarts_at_changing_concurrency_change_nothing(
    job: Job, undisturbed: tuple[bytes, bytes], tmp_path: Path
) -> None:
    for concurrency in (64, 1, 4096):
        daemon = job.start(
            tmp_path / "store", "--concurrency", str(concurrency), script=Script(pause=0.02, jitter=0.05)
        )
        daemon.wait_for(random.randint(1, 20))
        daemon.process.send_signal(signal.SIGTERM)
        assert daemon.end()[0] == 75
    assert job.run(tmp_path / "store")[0] == 0
    assert exported(tmp_path / "store", tmp_path / "out") == undisturbed


def test_shards_together_export_what_one_store_exports(
    job: Job, undisturbed: tuple[bytes, bytes], tmp_path: Path
) -> None:
    stores = [tmp_path / f"store{part}" for part in range(3)]
    for part, store in enumerate(stores):
        assert job.run(store, "--shard", f"{part}/3")[0] == 0
    export(ExportConfig(stores=tuple(map(str, stores)), out=str(tmp_path / "out")))
    assert (tmp_path / "out" / "train.jsonl").read_bytes() == undisturbed[0]
