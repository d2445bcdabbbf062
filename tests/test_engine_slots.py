"""Places of an engine: never more than there are, quick before reports, none lost to a cancellation."""

from __future__ import annotations

import asyncio
import random

import pytest
from fakes import FakeClock

from bot.engine.base import Priority
from bot.engine.slots import Queue, Slots


async def hold(slots: Slots, priority: Priority, name: str, log: list[str], gate: asyncio.Event) -> None:
    async with slots.hold(priority):
        log.append(name)
        await gate.wait()


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_quick_questions_go_before_reports_that_wait() -> None:
    slots, log, gates = Slots(1, FakeClock()), list[str](), [asyncio.Event() for _ in range(4)]
    names: list[tuple[Priority, str]] = [("report", "r1"), ("report", "r2"), ("quick", "q1"), ("quick", "q2")]
    tasks: list[asyncio.Task[None]] = []
    for (priority, name), gate in zip(names, gates, strict=True):
        tasks.append(asyncio.create_task(hold(slots, priority, name, log, gate)))
        await settle()
    assert log == ["r1"]
    for gate in gates:
        gate.set()
    await asyncio.gather(*tasks)
    assert log == ["r1", "q1", "q2", "r2"]


async def test_the_queue_says_how_many_are_ahead_and_how_long() -> None:
    clock = FakeClock()
    slots = Slots(1, clock)
    assert slots.queue("report") == Queue(0, 0.0)
    async with slots.hold("report"):
        clock.move(40)
    gate, log = asyncio.Event(), list[str]()
    tasks = [asyncio.create_task(hold(slots, "report", str(n), log, gate)) for n in range(4)]
    await settle()
    assert slots.queue("report") == Queue(3, 160.0)
    assert slots.queue("quick") == Queue(0, 40.0)
    gate.set()
    await asyncio.gather(*tasks)


async def test_without_a_limit_nobody_waits() -> None:
    slots, log, gate = Slots(0, FakeClock()), list[str](), asyncio.Event()
    tasks = [asyncio.create_task(hold(slots, "report", str(n), log, gate)) for n in range(50)]
    await settle()
    assert len(log) == 50
    gate.set()
    await asyncio.gather(*tasks)


@pytest.mark.parametrize("seed", range(20))
async def test_cancelled_waiters_lose_no_place(seed: int) -> None:
    chance = random.Random(seed)
    slots, busy, most = Slots(2, FakeClock()), 0, 0

    async def work() -> None:
        nonlocal busy, most
        async with slots.hold(chance.choice(["quick", "report"])):
            busy += 1
            most = max(most, busy)
            try:
                await asyncio.sleep(0)
                await asyncio.sleep(0)
            finally:
                busy -= 1

    tasks = [asyncio.create_task(work()) for _ in range(30)]
    for _ in range(20):
        chance.choice(tasks).cancel()
        await asyncio.sleep(0)
    await asyncio.gather(*tasks, return_exceptions=True)
    assert most <= 2
    async with asyncio.timeout(1), slots.hold("report"), slots.hold("report"):
        assert busy == 0
