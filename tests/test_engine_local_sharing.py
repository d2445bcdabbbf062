"""Two models, one device: turns, shares of memory, and who is loaded where both do not fit."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny_glm import write_tiny_glm

from bot.engine.base import GenerateRequest, SamplingParams
from bot.engine.local import household, placing
from bot.engine.local.household import Household
from bot.engine.local.load import WaitingEngine
from bot.engine.local.residence import Residence
from bot.engine.local.settings import Settings
from bot.engine.local.sharing import Share, Wish, divide
from bot.engine.local.turns import Turns, turns_of
from bot.errors import EngineUnavailable
from bot.message import user

# ---------------------------------------------------------------- turns


def test_turns_are_given_in_the_order_in_which_they_were_asked_for() -> None:
    turns, order, ready = Turns(), list[int](), [threading.Event() for _ in range(5)]

    def take(number: int) -> None:
        ready[number].set()
        with turns.turn():
            order.append(number)

    threads = [threading.Thread(target=take, args=(number,)) for number in range(5)]
    with turns.turn():
        for number, thread in enumerate(threads):
            thread.start()
            ready[number].wait()
            while turns.waiting <= number:
                pass
    for thread in threads:
        thread.join()
    assert order == [0, 1, 2, 3, 4]
    assert turns.waiting == 0


def test_a_turn_ends_with_an_error_too() -> None:
    turns = Turns()
    with pytest.raises(ValueError, match="x"), turns.turn():
        raise ValueError("x")
    with turns.turn():
        pass


def test_engines_of_one_device_share_their_turns() -> None:
    assert turns_of(torch.device("cpu")) is turns_of(torch.device("cpu"))
    assert turns_of(torch.device("cpu")) is not turns_of(torch.device("cuda", 0))


# ---------------------------------------------------------------- shares

LIGHT = Wish("light", (("bf16", 180), ("int8", 100), ("int4", 60)), 4, 10)
HEAVY = Wish("heavy", (("bf16", 170), ("int8", 90), ("int4", 50)), 30, 2)


def test_what_fits_best_is_taken_the_light_model_first() -> None:
    assert [share.kind for share in divide([LIGHT, HEAVY], 500)] == ["bf16", "bf16"]
    assert [share.kind for share in divide([LIGHT, HEAVY], 330)] == ["bf16", "int8"]
    assert [share.kind for share in divide([LIGHT, HEAVY], 250)] == ["int8", "int8"]
    assert [share.kind for share in divide([LIGHT, HEAVY], 160)] == ["int4", "int4"]


def test_what_does_not_fit_together_takes_turns() -> None:
    found = divide([LIGHT, HEAVY], 130)
    assert found == [Share("int8", 130, alone=True), Share("int8", 130, alone=True)]
    assert divide([LIGHT], 130) == [Share("int8", 130)]
    # Loading it will say what is missing.
    assert divide([LIGHT, HEAVY], 10) == [Share("int4", 10, alone=True), Share("int4", 10, alone=True)]


FIXED = st.none() | st.integers(50, 300)


@given(st.integers(1, 1000), st.integers(1, 50), st.integers(1, 64), st.integers(1, 50), FIXED)
def test_shares_fit_and_hold_the_weights(room: int, context: int, contexts: int, other: int, fixed: int | None) -> None:
    wishes = [Wish("light", LIGHT.weights, context, contexts, fixed), Wish("heavy", HEAVY.weights, other, 3)]
    for wish, share in zip(wishes, divide(wishes, room), strict=True):
        size = dict(wish.weights)[share.kind]
        if not share.alone:
            assert share.bytes == fixed if wish.fixed else wish.least(size) <= share.bytes <= wish.most(size)
    together = [share for share in divide(wishes, room) if not share.alone]
    assert sum(share.bytes for share in together) <= room


# ---------------------------------------------------------------- who is at home


class House:
    """A residence of two, which notes what happens."""

    def __init__(self, idle: float = 1000.0) -> None:
        self.residence = Residence(idle)
        self.said: list[str] = []
        for name in ("light", "heavy"):
            self.residence.join(name, self._note(f"{name} leaves"), self._note(f"{name} comes back"))

    def _note(self, what: str) -> Any:
        async def note() -> None:
            self.said.append(what)

        return note

    async def work(self, name: str, until: asyncio.Event) -> None:
        async with self.residence.use(name):
            self.said.append(f"{name} works")
            await until.wait()


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_the_other_waits_until_the_one_at_home_is_free() -> None:
    house, gate, done = House(), asyncio.Event(), asyncio.Event()
    done.set()
    first = asyncio.ensure_future(house.work("light", gate))
    await settle()
    report = asyncio.ensure_future(house.work("heavy", done))
    await settle()
    # Who comes after a waiting report waits as well, or it would never be written.
    later = asyncio.ensure_future(house.work("light", done))
    await settle()
    assert house.said == ["light works"]
    gate.set()
    await asyncio.gather(first, report, later)
    assert house.said == ["light works", "light leaves", "heavy works", "heavy leaves", "light works"]
    await house.residence.close()


async def test_one_who_gives_up_waiting_keeps_nobody() -> None:
    house, gate, done = House(), asyncio.Event(), asyncio.Event()
    done.set()
    first = asyncio.ensure_future(house.work("light", gate))
    await settle()
    report = asyncio.ensure_future(house.work("heavy", done))
    await settle()
    later = asyncio.ensure_future(house.work("light", done))
    await settle()
    report.cancel()
    await settle()
    assert later.done()
    gate.set()
    await first
    assert house.said == ["light works", "light works"]
    await house.residence.close()


async def test_the_first_model_comes_back_when_the_other_is_idle() -> None:
    house, done = House(idle=0.0), asyncio.Event()
    done.set()
    await house.work("heavy", done)
    while "light comes back" not in house.said:  # noqa: ASYNC110 - a timer brings it
        await asyncio.sleep(0)
    assert house.said == ["heavy works", "heavy leaves", "light comes back"]
    await house.residence.close()


@given(st.lists(st.tuples(st.sampled_from(("light", "heavy")), st.integers(0, 4), st.booleans()), max_size=12))
def test_everybody_is_served_and_never_both_at_once(asked: list[tuple[str, int, bool]]) -> None:
    async def play() -> None:
        residence, inside, served = Residence(1000.0), set[str](), 0
        for name in ("light", "heavy"):

            async def leave() -> None:
                await asyncio.sleep(0)

            residence.join(name, leave, leave)

        async def use(name: str, wait: int, fails: bool) -> None:
            nonlocal served
            async with residence.use(name):
                inside.add(name)
                assert len(inside) == 1
                for _ in range(wait):
                    await asyncio.sleep(0)
                    assert residence.at_home == name
                if residence._users == 1:
                    inside.discard(name)
                served += 1
                if fails:
                    raise ValueError

        tasks = [asyncio.ensure_future(use(*one)) for one in asked]
        results = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 10)
        assert served == len(asked)
        assert [isinstance(one, ValueError) for one in results] == [fails for _, _, fails in asked]
        await residence.close()

    asyncio.run(play())


# ---------------------------------------------------------------- real engines


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {
        role: write_tiny_glm(tmp_path_factory.mktemp(role), seed=seed) for seed, role in enumerate(("light", "heavy"))
    }


@pytest.fixture
async def engines(folders: dict[str, Path], tmp_path: Path) -> AsyncIterator[Any]:
    made: list[WaitingEngine] = []

    def make(memory: int | None = None, idle: float = 300.0) -> dict[str, WaitingEngine]:
        settings = [
            Settings(str(folders[role]), weights="fp32", device="cpu", context_tokens=512, sequences=2, role=role)
            for role in folders
        ]
        home = Household(settings, memory, idle)
        found = {one.role: WaitingEngine(one, tmp_path, home) for one in settings}
        made.extend(found.values())
        return found

    yield make
    for one in made:
        await one.close()


def asked(text: str) -> GenerateRequest:
    return GenerateRequest((user(text),), sampling=SamplingParams(temperature=0.0, max_tokens=8))


async def test_both_are_loaded_where_both_fit(engines: Any) -> None:
    both = engines()
    await asyncio.gather(*(engine.start() for engine in both.values()))
    assert [engine.state() for engine in both.values()] == ["已加载", "已加载"]
    answers = await asyncio.gather(*(engine.generate(asked("你好")) for engine in both.values()))
    assert answers[0].text != answers[1].text


def enough_for_one(roomy: dict[str, WaitingEngine]) -> int:
    return int(1.2 * max(sum(engine.memory().values()) for engine in roomy.values()))


async def test_a_small_device_holds_one_at_a_time(engines: Any) -> None:
    roomy = engines()
    wanted = {role: (await engine.generate(asked("你好"))).text for role, engine in roomy.items()}
    both = engines(memory=enough_for_one(roomy))
    await asyncio.gather(*(engine.start() for engine in both.values()))
    assert both["light"].state() == "已加载"
    assert both["heavy"].state().startswith("未加载（显存放不下两个模型")
    for role in ("heavy", "light", "heavy"):
        assert (await both[role].generate(asked("你好"))).text == wanted[role]
        other = {"light": "heavy", "heavy": "light"}[role]
        assert (both[role].state(), both[other].memory()) == ("已加载", {})
    mixed = await asyncio.gather(*(both[role].generate(asked("你好")) for role in ("light", "heavy", "light", "heavy")))
    assert [one.text for one in mixed] == [wanted[role] for role in ("light", "heavy", "light", "heavy")]


async def test_the_light_model_comes_home_by_itself(engines: Any) -> None:
    roomy = engines()
    await asyncio.gather(*(engine.start() for engine in roomy.values()))
    both = engines(memory=enough_for_one(roomy), idle=0.01)
    await both["heavy"].generate(asked("你好"))
    async with asyncio.timeout(20):
        while both["light"].state() != "已加载":  # noqa: ASYNC110 - a thread loads it
            await asyncio.sleep(0.01)
    assert both["heavy"].memory() == {}


async def test_a_model_that_is_not_there_is_said_so(tmp_path: Path, folders: dict[str, Path]) -> None:
    settings = [Settings(str(folders["light"])), Settings(str(tmp_path / "gone"), role="heavy")]
    home = Household(settings)
    engine = WaitingEngine(settings[0], tmp_path, home)
    with pytest.raises(EngineUnavailable, match="gone"):
        await engine.generate(asked("你好"))
    await engine.close()


def test_a_household_settles_once(folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(placing, "room_of", lambda device: 10**9)
    settings = [Settings(str(folders[role]), device="cpu", role=role, context_tokens=256) for role in folders]
    home = Household(settings)
    first = home.settle(settings[0])
    monkeypatch.setattr(household, "divide", None)
    assert home.settle(settings[0]) == first
    assert first.weights == "fp32"
    assert first.memory_gb is not None
