"""Counters, notices and bans are exact on SQLite and on PostgreSQL alike."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from fakes import FakeClock
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bot.config import StoreConfig
from bot.store import Store
from bot.store.usage import RECEIPT_KEPT, Counter, Usage


def usage_of(store: Store, clock: FakeClock) -> Usage:
    return store.usage


@pytest.fixture
def usage(store: Store, clock: FakeClock) -> Usage:
    return usage_of(store, clock)


def counter(
    subject: str = "u", amount: int = 1, limit: int = 3, *, kind: str = "k", period: str = "p", ends: float = 2e9
) -> Counter:
    return Counter(subject, kind, period, amount, limit, ends)


async def test_exactly_the_limit_is_granted_however_many_ask_at_once(usage: Usage) -> None:
    results = await asyncio.gather(*(usage.take([counter(limit=30)]) for _ in range(100)))
    assert results.count(None) == 30
    assert await usage.used("u") == {"k": 30}


async def test_all_counters_or_none(usage: Usage) -> None:
    user, group = counter("u", limit=10), counter("g", limit=2)
    assert [await usage.take([user, group]) for _ in range(4)] == [None, None, group, group]
    assert (await usage.used("u"), await usage.used("g")) == ({"k": 2}, {"k": 2})
    assert await usage.take([user]) is None


async def test_the_first_that_is_over_is_named(usage: Usage) -> None:
    one, two = counter("z", 5, 4), counter("a", 5, 4)
    assert await usage.take([one, two]) == one
    assert await usage.take([two, one]) == two
    assert await usage.take([]) is None


async def test_an_amount_fits_or_does_not(usage: Usage) -> None:
    assert await usage.take([counter(amount=2)]) is None
    assert await usage.take([counter(amount=2)]) is not None
    assert await usage.take([counter(amount=1)]) is None
    assert await usage.take([counter(limit=0, kind="other")]) is not None


async def test_what_has_a_receipt_is_counted_once_and_stays_granted(usage: Usage) -> None:
    again = [usage.take([counter(limit=1)], once="e1") for _ in range(5)]
    assert await asyncio.gather(*again) == [None] * 5
    assert await usage.take([counter(limit=1)], once="e2") is not None
    assert await usage.take([counter(limit=1)], once="e1") is None
    assert await usage.used("u") == {"k": 1}


async def test_a_refusal_leaves_no_receipt(usage: Usage) -> None:
    await usage.take([counter(limit=1)], once="e1")
    assert await usage.take([counter(limit=1)], once="e2") is not None
    assert await usage.take([counter(limit=1, period="next")], once="e2") is None
    assert await usage.used("u") == {"k": 1}


async def test_a_notice_is_given_once_and_to_the_same_event_again(usage: Usage, store: Store, clock: FakeClock) -> None:
    first = await asyncio.gather(*(usage.notice(counter(), by) for by in ("e1", "e2", "e3")))
    assert first == [True, False, False]
    other = usage_of(store, clock)
    assert [await other.notice(counter(), by) for by in ("e2", "e1", "e1")] == [False, True, True]
    assert await usage.notice(counter(period="next"), "e2")
    assert await usage.notice(counter(kind="other"), "e2")


async def test_a_notice_changes_no_count(usage: Usage) -> None:
    await usage.notice(counter(), "e1")
    await usage.take([counter(amount=2)])
    await usage.notice(counter(), "e2")
    assert await usage.used("u") == {"k": 2}


async def test_what_ended_is_neither_shown_nor_kept(usage: Usage, clock: FakeClock) -> None:
    soon = counter(ends=clock.now() + 60)
    await usage.take([soon], once="e1")
    await usage.take([counter(kind="long")])
    clock.move(61)
    assert await usage.used("u") == {"long": 1}
    assert await usage.sweep(clock.now()) == 1
    assert await usage.take([soon], once="e1") is None
    clock.move(RECEIPT_KEPT)
    assert await usage.sweep(clock.now()) == 2
    assert await usage.used("u") == {"long": 1}


async def test_much_is_swept_in_small_pieces(usage: Usage, clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bot.store.usage._SWEPT_AT_ONCE", 7)
    await usage.take([counter(str(number), ends=clock.now()) for number in range(20)])
    assert await usage.sweep(clock.now()) == 20
    assert await usage.sweep(clock.now()) == 0


async def test_bans_hold_until_they_end_or_are_lifted(usage: Usage, clock: FakeClock) -> None:
    await usage.ban("a", clock.now() + 60, "刷屏", "admin")
    await usage.ban("b", None, "", "admin")
    assert [await usage.is_banned(one) for one in "abc"] == [True, True, False]
    assert {one.subject: one.reason for one in await usage.bans()} == {"a": "刷屏", "b": ""}
    clock.move(61)
    assert [await usage.is_banned(one) for one in "ab"] == [False, True]
    assert [one.subject for one in await usage.bans()] == ["b"]
    assert await usage.unban("b")
    assert not await usage.unban("b")
    assert not await usage.is_banned("b")


async def test_a_ban_anew_replaces_the_old(usage: Usage, clock: FakeClock) -> None:
    await usage.ban("a", None, "一", "x")
    await usage.ban("a", clock.now() + 5, "二", "y")
    (one,) = await usage.bans()
    assert (one.until, one.reason, one.by) == (clock.now() + 5, "二", "y")
    await usage.sweep(clock.now() + 6)
    assert await usage.bans() == []


async def test_a_ban_by_another_replica_is_seen_within_a_second(usage: Usage, store: Store, clock: FakeClock) -> None:
    assert not await usage.is_banned("a")
    await usage_of(store, clock).ban("a", None, "", "x")
    clock.move(1)
    assert await usage.is_banned("a")


async def test_nobody_slips_through_before_bans_are_read(usage: Usage, store: Store, clock: FakeClock) -> None:
    await usage.ban("a", None, "", "x")
    fresh = usage_of(store, clock)
    assert all(await asyncio.gather(*(fresh.is_banned("a") for _ in range(20))))


async def test_replicas_count_together(postgres: str, tmp_path: Path, clock: FakeClock) -> None:
    """Two processes' stores on one PostgreSQL, rows wanted in opposite orders: exact, and no deadlock stays."""
    from bot.config import Secret

    config = StoreConfig(url=Secret(postgres), min_free_bytes=0)
    stores = [await Store.open(config, tmp_path / name, clock) for name in ("one", "two")]
    try:
        wanted = [counter("both", limit=100, period=str(tmp_path)), counter("each", limit=1000, period=str(tmp_path))]
        takes = [
            usage_of(store, clock).take(wanted if number % 2 else wanted[::-1], once=f"{tmp_path}{number}")
            for number in range(150)
            for store in stores
        ]
        results = await asyncio.gather(*takes)
        # An event that both took up is counted once, and both were granted it.
        assert results.count(None) == 200
        assert await usage_of(stores[0], clock).used("both") == {"k": 100}
    finally:
        for store in stores:
            await store.close()


_take = st.tuples(st.lists(st.sampled_from("abc"), unique=True, min_size=1), st.integers(1, 4), st.integers(0, 5))


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batches=st.lists(st.lists(_take, max_size=6), max_size=6))
async def test_batches_count_as_one_by_one(
    batches: list[list[tuple[list[str], int, int]]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Any grouping of any takings gives what a dictionary gives."""
    clock = FakeClock()
    store = await Store.open(StoreConfig(min_free_bytes=0), tmp_path_factory.mktemp("usage"), clock)
    usage = usage_of(store, clock)
    model: dict[str, int] = dict.fromkeys("abc", 0)
    paid: set[int] = set()
    for batch in batches:
        wanted = [[counter(one, amount, 6) for one in subjects] for subjects, amount, _ in batch]
        found = await asyncio.gather(
            *(usage.take(one, once=str(event)) for one, (_, _, event) in zip(wanted, batch, strict=True))
        )
        for result, counters, (_, _, event) in zip(found, wanted, batch, strict=True):
            over = next((one for one in counters if model[one.subject] + one.amount > 6), None)
            assert result == (None if event in paid else over)
            if event not in paid and over is None:
                paid.add(event)
                for one in counters:
                    model[one.subject] += one.amount
    assert {one: (await usage.used(one)).get("k", 0) for one in "abc"} == model
    await store.close()
