"""Turns of the loop are shared out fairly and never lost."""

from __future__ import annotations

import asyncio

from omegaprm.engine.turns import Turns


async def passes_by_turn(num_callers: int, max_per_turn: int) -> list[list[int]]:
    """Who passed in each turn of the loop."""
    turns, passed = Turns(max_per_turn), [list[int]()]

    async def caller(number: int) -> None:
        await turns.take()
        passed[-1].append(number)

    tasks = [asyncio.create_task(caller(number)) for number in range(num_callers)]
    while not all(task.done() for task in tasks):
        await asyncio.sleep(0)
        passed.append([])
    return [numbers for numbers in passed if numbers]


async def test_a_burst_is_spread_over_turns_in_the_order_of_coming():
    passed = await passes_by_turn(20, 8)
    assert [number for numbers in passed for number in numbers] == list(range(20))
    assert max(len(numbers) for numbers in passed) <= 8


async def test_one_caller_passes_at_once():
    turns = Turns(1)
    taken = asyncio.create_task(turns.take())
    await asyncio.sleep(0)
    assert taken.done()


async def test_a_cancelled_caller_leaves_its_place_to_the_next():
    turns = Turns(1)
    await turns.take()
    first, cancelled, third = (asyncio.create_task(turns.take()) for _ in range(3))
    await first
    cancelled.cancel()
    await asyncio.wait_for(third, 1)
    assert cancelled.cancelled()


async def test_later_bursts_pass_too():
    turns, num_passed = Turns(2), 0

    async def caller() -> None:
        nonlocal num_passed
        await turns.take()
        num_passed += 1

    for burst in range(1, 4):
        await asyncio.wait_for(asyncio.gather(*(caller() for _ in range(5))), 1)
        assert num_passed == 5 * burst
