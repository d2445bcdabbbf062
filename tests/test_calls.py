"""Calls keep their order, also when nobody waits for them any more."""

from __future__ import annotations

import asyncio

import pytest

from bot.calls import InOrder


async def test_the_next_call_waits_for_one_that_was_given_up() -> None:
    done: list[str] = []
    calls, go = InOrder(), asyncio.Event()

    async def call(name: str) -> None:
        await go.wait()
        done.append(name)

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await calls.do(call("first"))
    second = asyncio.create_task(calls.do(call("second")))
    await asyncio.sleep(0)
    assert done == []
    go.set()
    await second
    assert done == ["first", "second"]


async def test_what_a_call_raises_is_told_once() -> None:
    calls = InOrder()

    async def fail() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError):
        await calls.do(fail())
    await calls.settle()
