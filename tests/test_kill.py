"""kill -9 at a bad moment: nothing acknowledged is lost, nothing is answered twice, order holds."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import aiohttp
import pytest
from fake_model_server import FakeModelServer, Knobs
from service import Process, Receiver, post, receiver, settings

CHATS, EACH = 10, 3


async def deliver_all(url: str, round_number: int) -> dict[str, int]:
    """Every conversation's events, in order within it, conversations at once; statuses by event id."""
    statuses: dict[str, int] = {}

    async def one_chat(session: aiohttp.ClientSession, chat: int) -> None:
        for number in range(EACH):
            name = f"r{round_number}-{chat}-{number}"
            statuses[name] = await post(session, url, name, f"问题 {number}", chat=f"c{chat}")

    async with aiohttp.ClientSession() as session:
        await asyncio.gather(*(one_chat(session, chat) for chat in range(CHATS)))
    return statuses


def order(platform: Receiver, chat: int) -> list[str]:
    return [r["reply_to"] for r in platform.replies.values() if r["conversation"]["id"] == f"c{chat}"]


@pytest.mark.parametrize("seed", [1, 2])
async def test_nothing_is_lost_doubled_or_reordered(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    async with receiver() as (platform, reply_url), FakeModelServer(Knobs(delay=0.2)) as model:
        light = {"engine": "openai", "base_url": model.url, "model": "fake-vlm"}
        config = settings(tmp_path, reply_url, models={"light": light})
        process = await Process.start(tmp_path, config)
        acknowledged = {name for name, status in (await deliver_all(process.url, seed)).items() if status == 200}
        assert len(acknowledged) == CHATS * EACH
        await asyncio.sleep(chance.uniform(0, 0.7))
        await process.kill()
        process = await Process.start(tmp_path, config)
        # The platform delivers again what it is not sure of: here, everything.
        again = await deliver_all(process.url, seed)
        assert set(again.values()) == {200}
        await platform.wait_for(CHATS * EACH)
        assert await process.terminate() == 0
        answered = [r["reply_to"].removeprefix("m-") for r in platform.replies.values()]
        assert sorted(answered) == sorted(acknowledged)
        for chat in range(CHATS):
            assert order(platform, chat) == [f"m-r{seed}-{chat}-{n}" for n in range(EACH)]


async def test_sigterm_in_the_middle_hands_back_and_exits_well(tmp_path: Path) -> None:
    async with receiver() as (platform, reply_url), FakeModelServer(Knobs(hang=True)) as model:
        light = {"engine": "openai", "base_url": model.url, "model": "fake-vlm"}
        config = settings(tmp_path, reply_url, models={"light": light})
        config["server"]["stop_timeout"] = 0.2
        process = await Process.start(tmp_path, config)
        await deliver_all(process.url, 0)
        assert await process.terminate() == 0
        assert platform.replies == {}
        model.knobs.hang = False
        process = await Process.start(tmp_path, config)
        await platform.wait_for(CHATS * EACH)
        assert await process.terminate() == 0


async def test_two_services_on_one_folder_are_refused(tmp_path: Path) -> None:
    config = settings(tmp_path)
    process = await Process.start(tmp_path, config)
    with pytest.raises(AssertionError, match="did not start"):
        await Process.start(tmp_path, config)
    assert await process.terminate() == 0
