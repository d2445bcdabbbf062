"""An engine that is down is left alone, then probed by one request at a time."""

import asyncio

import pytest

from bot.clock import Clock
from bot.config import BreakerConfig
from bot.engine.breaker import Breaker
from bot.errors import ContextTooLong, EngineUnavailable, RequestRejected


class StillClock(Clock):
    def __init__(self) -> None:
        super().__init__(seed=0)
        self.time = 1000.0

    def monotonic(self) -> float:
        return self.time


@pytest.fixture
def clock() -> StillClock:
    return StillClock()


@pytest.fixture
def breaker(clock: StillClock) -> Breaker:
    return Breaker(BreakerConfig(failures=3, pause=30.0), clock)


def request(breaker: Breaker, error: BaseException | None = None) -> None:
    with breaker.watch():
        if error is not None:
            raise error


def fail(breaker: Breaker, times: int) -> None:
    for _ in range(times):
        with pytest.raises(EngineUnavailable, match="down"):
            request(breaker, EngineUnavailable("down"))


def test_opens_after_failures_in_a_row_and_says_for_how_long(breaker: Breaker, clock: StillClock) -> None:
    fail(breaker, 3)
    clock.time += 10
    with pytest.raises(EngineUnavailable, match="left alone") as caught:
        request(breaker)
    assert caught.value.retry_after == 20.0


def test_a_success_in_between_starts_the_count_again(breaker: Breaker) -> None:
    fail(breaker, 2)
    request(breaker)
    fail(breaker, 2)
    assert not breaker.open


@pytest.mark.parametrize("refusal", [ContextTooLong("x"), RequestRejected("x")])
def test_a_refusal_is_not_a_failure(breaker: Breaker, refusal: Exception) -> None:
    fail(breaker, 2)
    with pytest.raises(type(refusal)):
        request(breaker, refusal)
    fail(breaker, 2)
    assert not breaker.open


def test_one_probe_at_a_time_after_the_pause(breaker: Breaker, clock: StillClock) -> None:
    fail(breaker, 3)
    clock.time += 30
    with breaker.watch():
        with pytest.raises(EngineUnavailable, match="left alone"):
            request(breaker)
    request(breaker)
    assert not breaker.open


def test_a_failed_probe_opens_it_for_another_pause(breaker: Breaker, clock: StillClock) -> None:
    fail(breaker, 3)
    clock.time += 30
    fail(breaker, 1)
    clock.time += 29
    assert breaker.open
    clock.time += 1
    assert not breaker.open


def test_a_cancelled_probe_makes_room_for_the_next(breaker: Breaker, clock: StillClock) -> None:
    fail(breaker, 3)
    clock.time += 30
    with pytest.raises(asyncio.CancelledError):
        request(breaker, asyncio.CancelledError())
    request(breaker)
    assert not breaker.open


def test_late_failures_of_older_requests_do_not_lengthen_the_pause(breaker: Breaker, clock: StillClock) -> None:
    with pytest.raises(EngineUnavailable, match="late"), breaker.watch():
        fail(breaker, 3)
        clock.time += 25
        raise EngineUnavailable("late")
    clock.time += 5
    assert not breaker.open
