"""One request for a token, however many want it."""

from __future__ import annotations

import asyncio

import pytest
from fakes import FakeClock

from bot.access_token import AccessToken
from bot.errors import NetworkError


class Platform:
    """Gives out t1, t2, …, each good for `life` seconds, when it is let."""

    def __init__(self, life: float = 7200) -> None:
        self.life = life
        self.asked = 0
        self.errors: list[Exception] = []
        self.let = asyncio.Event()
        self.let.set()

    async def fetch(self) -> tuple[str, float]:
        self.asked += 1
        number = self.asked
        await self.let.wait()
        if self.errors:
            raise self.errors.pop(0)
        return f"t{number}", self.life


async def test_a_thousand_share_one_request() -> None:
    platform = Platform()
    token = AccessToken(platform.fetch, FakeClock())
    platform.let.clear()
    waiting = [asyncio.create_task(token.get()) for _ in range(1000)]
    await asyncio.sleep(0)
    platform.let.set()
    assert set(await asyncio.gather(*waiting)) == {"t1"}
    assert platform.asked == 1


@pytest.mark.parametrize(("life", "renewed"), [(7200.0, 6900.0), (60.0, 54.0)])
async def test_it_is_renewed_before_it_ends(life: float, renewed: float) -> None:
    clock, platform = FakeClock(), Platform(life)
    token = AccessToken(platform.fetch, clock)
    assert await token.get() == "t1"
    clock.move(renewed - 1)
    assert await token.get() == "t1"
    clock.move(1)
    assert await token.get() == "t2"


async def test_one_that_the_platform_calls_expired_is_fetched_anew_once() -> None:
    platform = Platform()
    token = AccessToken(platform.fetch, FakeClock())
    old = await token.get()
    token.expire(old)
    assert await token.get() == "t2"
    token.expire(old)
    assert await token.get() == "t2"


async def test_a_failure_is_told_and_not_remembered() -> None:
    platform = Platform()
    token = AccessToken(platform.fetch, FakeClock())
    platform.errors = [NetworkError("refused")]
    with pytest.raises(NetworkError):
        await token.get()
    assert await token.get() == "t2"


async def test_who_gives_up_takes_nothing_from_the_others() -> None:
    platform = Platform()
    token = AccessToken(platform.fetch, FakeClock())
    platform.let.clear()
    impatient, patient = asyncio.create_task(token.get()), asyncio.create_task(token.get())
    await asyncio.sleep(0)
    impatient.cancel()
    platform.let.set()
    assert await patient == "t1"
    assert impatient.cancelled() or impatient.done()
