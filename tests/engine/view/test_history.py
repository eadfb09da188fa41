"""A run's counts over time are in its store, and become one curve over several runs."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from omegaprm.engine.history import Sample, history, kept
from omegaprm.engine.progress import Progress
from omegaprm.engine.store import Store
from omegaprm.engine.view.runs import MAX_POINTS, curve


async def test_a_run_leaves_a_sample_at_its_start_on_its_way_and_at_its_end(tmp_path: Path) -> None:
    with Store.open(tmp_path / "store") as store:
        progress = Progress(10)
        async with kept(store, progress, seconds=0.01):
            progress.num_rollouts = 8
            for _ in range(1000):
                await asyncio.sleep(0.01)
                if len(list(history(store))) > 2:
                    break
            progress.num_rollouts = 16
        found = [sample.num_rollouts for sample in history(store)]
    assert (found[0], found[-1]) == (0, 16)
    assert 8 in found


async def test_a_run_that_fails_keeps_its_own_error(tmp_path: Path) -> None:
    with Store.open(tmp_path / "store") as store:
        with pytest.raises(KeyError):
            async with kept(store, Progress(1)):
                raise KeyError
        assert len(list(history(store))) == 1


def test_a_later_run_goes_on_where_the_one_before_had_its_last_sample() -> None:
    samples = [Sample(0, 0, 0, 0, 0, 0), Sample(5, 0, 1, 2, 30, 400), Sample(60, 60, 0, 0, 0, 0)]
    points = curve([*samples, Sample(70, 60, 1, 1, 10, 100)])
    assert [point.rollouts for point in points] == [0, 30, 30, 40]
    assert [point.run for point in points] == [0, 0, 1, 1]


def test_a_long_run_is_thinned_and_keeps_its_ends() -> None:
    points = curve([Sample(at, 0, at, at, at, at) for at in range(10_000)])
    assert len(points) <= MAX_POINTS + 2
    assert (points[0].at, points[-1].at) == (0, 9999)
