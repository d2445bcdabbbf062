"""The store keeps its promises on SQLite and on PostgreSQL alike."""

from __future__ import annotations

import asyncio
import dataclasses
from pathlib import Path

import pytest
from fakes import FakeClock, message_event
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bot.config import StoreConfig
from bot.errors import ConfigError, LeaseLost, StoreFull
from bot.event import Delivery, MessageEvent, ScheduledEvent
from bot.message import Image, Text, assistant, user
from bot.store import Claim, Store, TurnRecord


def answered(claim: Claim, *, text: str = "好的") -> TurnRecord:
    first = claim.events[0]
    assert isinstance(first.event, MessageEvent)
    delivery = Delivery(f"key-{first.event.id}", first.event.conversation, (Text(text),))
    return TurnRecord((first.seq,), first.event.session(), first.event.message, assistant(text), (delivery,))


async def test_an_event_is_accepted_once_whatever_is_repeated(store: Store) -> None:
    one, two = message_event(1), message_event(2)
    await store.accept([one, two, one])
    await store.accept([two])
    await asyncio.gather(*(store.accept([message_event(3)]) for _ in range(5)))
    (claim,) = await store.claim(10, 30)
    assert [one.event.id for one in claim.events] == ["e1", "e2", "e3"]


async def test_ids_of_other_accounts_do_not_meet(store: Store) -> None:
    events = [message_event(1, platform="a"), message_event(1, platform="b")]
    other = dataclasses.replace(events[0].conversation, account_id="second")
    await store.accept([*events, dataclasses.replace(events[0], conversation=other)])
    assert (await store.counts())["pending"] == 3


async def test_message_id_counts_only_where_the_event_says_so(store: Store) -> None:
    first = message_event(1, dedup_message=True)
    copy = dataclasses.replace(first, id="another delivery")
    await store.accept([first])
    await store.accept([copy])
    assert (await store.counts())["pending"] == 1
    await store.accept([dataclasses.replace(copy, dedup_message=False)])
    assert (await store.counts())["pending"] == 2


async def test_an_answered_event_is_still_known(store: Store) -> None:
    await store.accept([message_event(1)])
    (claim,) = await store.claim(10, 30)
    done = await store.complete(claim, answered(claim))
    await store.accept([message_event(1)])
    assert (await store.counts())["pending"] == done.pending == 1


async def test_everything_survives_the_trip_through_the_database(store: Store) -> None:
    picture = Image("https://a/b.png", "ab" * 32, "image/png", 10, 20, 3)
    event = message_event(1, "看 \U0001f600", picture, chat="c/1%", platform_data={"url": "x"}, reply_to="m0")
    digest = ScheduledEvent("daily@9", event.conversation, "daily", 9)
    await store.accept([event, digest])
    (claim,) = await store.claim(10, 30)
    assert [one.event for one in claim.events] == [event, digest]


async def test_a_turn_closes_history_outbox_and_event_together(store: Store) -> None:
    await store.accept([message_event(1)])
    (claim,) = await store.claim(10, 30)
    (queued,) = (await store.complete(claim, answered(claim))).deliveries
    assert queued.state == "sending"
    session = message_event(1).session()
    assert (await store.recall(session, 5)).history == (user("问题 1"), assistant("好的"))
    assert await store.event_status("fake", "default", "e1") == {
        "state": "done",
        "replies": [{"key": "key-e1", "state": "sending", "text": "好的"}],
    }
    await store.finish_delivery(claim, queued.id, "sent", platform_message_id="p1")
    assert (await store.counts())["pending"] == 0
    await store.release(claim)
    assert await store.claim(10, 30) == []


async def test_a_held_lane_is_not_claimed_and_keeps_its_order(store: Store) -> None:
    await store.accept([message_event(1), message_event(2, chat="c2")])
    first = await store.claim(1, 30)
    second = await store.claim(10, 30)
    assert [claim.events[0].event.id for claim in first + second] == ["e1", "e2"]
    await store.accept([message_event(3)])
    assert await store.claim(10, 30) == []
    await store.complete(first[0], answered(first[0]))
    await store.release(first[0])
    (again,) = await store.claim(10, 30)
    assert [one.event.id for one in again.events] == ["e3"]
    assert [one.state for one in again.deliveries] == ["sending"]


async def test_a_lease_that_ran_out_is_taken_over_and_its_holder_fenced(store: Store, clock: FakeClock) -> None:
    await store.accept([message_event(1)])
    (old,) = await store.claim(1, 30)
    clock.move(29)
    await store.renew([old], 30)
    clock.move(29)
    assert await store.claim(1, 30) == []
    clock.move(2)
    (new,) = await store.claim(1, 30)
    with pytest.raises(LeaseLost):
        await store.complete(old, answered(old))
    await store.renew([old], 1000)
    (queued,) = (await store.complete(new, answered(new))).deliveries
    for write in (
        store.start_delivery(old, queued.id),
        store.finish_delivery(old, queued.id, "sent"),
        store.retry_delivery(old, queued.id, "x"),
        store.retry_event(old, [1], "x"),
    ):
        with pytest.raises(LeaseLost):
            await write
    assert (await store.recall(message_event(1).session(), 5)).history == (user("问题 1"), assistant("好的"))


async def test_a_late_renewal_does_not_hold_a_lane_that_was_let_go(store: Store) -> None:
    await store.accept([message_event(1), message_event(2)])
    (claim,) = await store.claim(1, 30)
    await asyncio.gather(store.release(claim), store.renew([claim], 30))
    (claim,) = await store.claim(1, 30)
    await store.complete(claim, TurnRecord(tuple(one.seq for one in claim.events)))
    await store.accept([message_event(3)])
    await store.renew([claim], 30)
    assert len(await store.claim(1, 30)) == 1


async def test_one_lost_lease_harms_no_neighbour_in_the_same_commit(store: Store, clock: FakeClock) -> None:
    await store.accept([message_event(1, chat="a"), message_event(2, chat="b")])
    old = await store.claim(2, 30)
    clock.move(31)
    (taken,) = await store.claim(1, 30)
    (other,) = [claim for claim in old if claim.lane != taken.lane]
    (lost,) = [claim for claim in old if claim.lane == taken.lane]
    results = await asyncio.gather(
        store.complete(lost, answered(lost)), store.complete(other, answered(other)), return_exceptions=True
    )
    assert isinstance(results[0], LeaseLost)
    assert not isinstance(results[1], BaseException)


async def test_a_clock_set_back_freezes_nothing(store: Store, clock: FakeClock) -> None:
    await store.accept([message_event(1)])
    (claim,) = await store.claim(1, 30)
    await store.release(claim, delay=60)
    clock.move(-3600)
    assert len(await store.claim(1, 30, horizon=600)) == 1


async def test_a_delayed_lane_waits_and_a_waiting_one_is_woken(store: Store, clock: FakeClock) -> None:
    await store.accept([message_event(1, chat="delayed"), message_event(2, chat="waiting")])
    for claim in await store.claim(2, 30):
        await store.release(claim, delay=10, waiting="waiting" in claim.lane)
    await store.accept([message_event(3, chat="delayed"), message_event(4, chat="waiting")])
    (woken,) = await store.claim(2, 30)
    assert [one.event.id for one in woken.events] == ["e2", "e4"]
    clock.move(11)
    (later,) = await store.claim(1, 30)
    assert [one.event.id for one in later.events] == ["e1", "e3"]


async def test_failed_tries_are_counted_and_dead_letters_come_back(store: Store) -> None:
    await store.accept([message_event(1)])
    (claim,) = await store.claim(1, 30)
    await store.retry_event(claim, [claim.events[0].seq], "model away")
    await store.release(claim)
    (claim,) = await store.claim(1, 30)
    assert claim.events[0].attempts == 1
    await store.complete(claim, TurnRecord((claim.events[0].seq,), error="model away"))
    (letter,) = await store.dead_letters()
    assert (letter.kind, letter.state, letter.error) == ("event", "dead", "model away")
    assert await store.retry_dead("event", letter.id)
    assert not await store.retry_dead("event", letter.id)
    (claim,) = await store.claim(1, 30)
    assert [(one.event.id, one.attempts) for one in claim.events] == [("e1", 0)]
    assert await store.dead_letters() == []


async def test_a_doubtful_delivery_is_listed_and_can_be_sent_again(store: Store) -> None:
    await store.accept([message_event(1)])
    (claim,) = await store.claim(1, 30)
    (queued,) = (await store.complete(claim, answered(claim))).deliveries
    await store.finish_delivery(claim, queued.id, "unknown", error="connection lost")
    await store.release(claim)
    assert (await store.counts())["doubtful_deliveries"] == 1
    assert await store.retry_dead("delivery", queued.id)
    (claim,) = await store.claim(1, 30)
    assert [(one.id, one.state) for one in claim.deliveries] == [(queued.id, "queued")]


async def test_a_full_lane_refuses_its_sender_only(store_config: StoreConfig, tmp_path: Path, clock: FakeClock) -> None:
    config = StoreConfig(url=store_config.url, min_free_bytes=0, max_pending_per_conversation=2)
    store = await Store.open(config, tmp_path, clock)
    await store.accept([message_event(1), message_event(2)])
    (claim,) = await store.claim(1, 30)
    results = await asyncio.gather(
        store.accept([message_event(3)]), store.accept([message_event(4, chat="other")]), return_exceptions=True
    )
    assert isinstance(results[0], StoreFull)
    assert results[1] is None
    for one in claim.events:
        await store.complete(claim, TurnRecord((one.seq,)))
    await store.accept([message_event(3)])
    await store.close()


async def test_a_full_backlog_refuses_everybody(tmp_path: Path, clock: FakeClock) -> None:
    store = await Store.open(StoreConfig(min_free_bytes=0, max_pending=2), tmp_path, clock)
    await store.accept([message_event(1), message_event(2, chat="c2")])
    clock.move(1)
    with pytest.raises(StoreFull):
        await store.accept([message_event(3, chat="c3")])
    (claim, _) = await store.claim(2, 30)
    await store.complete(claim, TurnRecord((claim.events[0].seq,)))
    clock.move(1)
    await store.accept([message_event(3, chat="c3")])
    await store.close()


async def test_a_full_disk_refuses_before_anything_is_written(tmp_path: Path, clock: FakeClock) -> None:
    store = await Store.open(StoreConfig(min_free_bytes=1 << 60), tmp_path, clock)
    with pytest.raises(StoreFull):
        await store.accept([message_event(1)])
    assert (await store.counts())["pending"] == 0
    await store.close()


async def test_reopening_frees_what_a_dead_process_held(
    store_config: StoreConfig, tmp_path: Path, clock: FakeClock
) -> None:
    store = await Store.open(store_config, tmp_path, clock)
    await store.accept([message_event(1)])
    await store.claim(1, 30)
    await store.close()
    store = await Store.open(store_config, tmp_path, clock)
    if store_config.url:
        clock.move(31)
    assert len(await store.claim(1, 30)) == 1
    await store.close()


async def test_a_sqlite_file_has_one_owner(tmp_path: Path, clock: FakeClock) -> None:
    config = StoreConfig(min_free_bytes=0)
    store = await Store.open(config, tmp_path, clock)
    with pytest.raises(ConfigError, match="another Kantu"):
        await Store.open(config, tmp_path, clock)
    looker = await Store.open(config, tmp_path, clock, owner=False)
    assert await looker.dead_letters() == []
    await looker.close()
    await store.close()


async def test_what_is_old_is_swept_and_what_is_open_is_not(store: Store, clock: FakeClock) -> None:
    await store.accept([message_event(1), message_event(2, chat="open")])
    claims = {claim.events[0].event.id: claim for claim in await store.claim(2, 30)}
    (queued,) = (await store.complete(claims["e1"], answered(claims["e1"]))).deliveries
    await store.finish_delivery(claims["e1"], queued.id, "sent")
    clock.move(6 * 86_400)
    assert await store.sweep() == 0
    await store.accept([message_event(1)])
    assert (await store.counts())["pending"] == 1
    clock.move(2 * 86_400)
    assert await store.sweep() == 3
    await store.accept([message_event(1)])
    assert (await store.counts())["pending"] == 2


async def test_pictures_are_numbered_on(store: Store) -> None:
    event = message_event(1, Image("a", "a" * 64, index=1), Image("b", "b" * 64, index=2), "看")
    assert await store.picture_numbers(event.session()) == {}
    await store.accept([event])
    (claim,) = await store.claim(1, 30)
    record = dataclasses.replace(answered(claim), images=event.message.images)
    await store.complete(claim, record)
    assert await store.picture_numbers(event.session()) == {"a" * 64: 1, "b" * 64: 2}


async def test_a_newer_database_is_refused(tmp_path: Path, clock: FakeClock) -> None:
    from sqlalchemy import create_engine, update

    from bot.store.schema import schema_version

    store = await Store.open(StoreConfig(min_free_bytes=0), tmp_path, clock)
    await store.close()
    engine = create_engine(f"sqlite:///{tmp_path / 'kantu.sqlite'}")
    with engine.begin() as connection:
        connection.execute(update(schema_version).values(version=99))
    engine.dispose()
    with pytest.raises(ConfigError, match="newer Kantu"):
        await Store.open(StoreConfig(min_free_bytes=0), tmp_path, clock)


_step = st.one_of(
    st.tuples(st.just("accept"), st.integers(1, 12), st.integers(0, 2)),
    st.tuples(st.just("work"), st.integers(1, 3), st.sampled_from(["answer", "fail", "lose", "hand back"])),
    st.tuples(st.just("time"), st.integers(1, 40), st.just(0)),
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(_step, max_size=40))
async def test_any_schedule_answers_each_event_once_and_in_order(
    steps: list[tuple[str, int, object]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Deliveries repeated, workers that fail, die and hand back: every accepted event is answered once, in order."""
    clock = FakeClock()
    store = await Store.open(StoreConfig(min_free_bytes=0), tmp_path_factory.mktemp("schedule"), clock)
    accepted: dict[str, list[str]] = {}
    done: dict[str, list[str]] = {}

    async def work(limit: int, how: object) -> None:
        for claim in await store.claim(limit, 30):
            if how == "lose":
                continue
            if how == "answer" and claim.events:
                await store.complete(claim, answered(claim))
                done.setdefault(claim.lane, []).append(claim.events[0].event.id)
            elif how == "fail" and claim.events:
                await store.retry_event(claim, [claim.events[0].seq], "x")
            for queued in claim.deliveries:
                await store.finish_delivery(claim, queued.id, "sent")
            await store.release(claim, delay=5 if how == "fail" else 0)

    for kind, number, more in steps:
        if kind == "accept":
            event = message_event(number, chat=f"c{number % 3}")
            await store.accept([event])
            mine = accepted.setdefault(event.conversation.key, [])
            if event.id not in mine:
                mine.append(event.id)
        elif kind == "work":
            await work(number, more)
        else:
            clock.move(number)
    for _ in range(80):
        clock.move(31)
        await work(10, "answer")
    assert done == accepted
    assert (await store.counts())["pending"] == 0
    await store.close()
