"""Deliveries are sent once, at the platform's pace and within its windows."""

from __future__ import annotations

from dataclasses import replace

import pytest
from fakes import FakeAdapter, FakeClock, message_event

from bot.adapter import Limits, Rate, Window
from bot.config import WorkerConfig
from bot.deliverer import Deliverer, Later, backoff
from bot.errors import ActionFailed, NetworkError, WindowClosed
from bot.event import MessageEvent, Reply
from bot.message import Text
from bot.pace import Pace
from bot.plan import plan
from bot.store import Claim, QueuedDelivery, Store, TurnRecord


def test_backoff_grows_to_its_limit_and_obeys_the_server() -> None:
    config = WorkerConfig(retry_base=2, retry_max=20)
    assert [backoff(config, FakeClock(), n) for n in range(5)] == [2, 4, 8, 16, 20]
    assert backoff(config, FakeClock(), 0, asked=60) == 62


class Held:
    """A store with one answered event whose delivery is about to be sent."""

    def __init__(self, store: Store, claim: Claim, queued: QueuedDelivery) -> None:
        self.store, self.claim, self.queued = store, claim, queued
        self.clock = FakeClock(queued.created_at)
        self.pace = Pace(self.clock)
        self._deliverers: dict[int, Deliverer] = {}

    async def deliver(
        self, adapter: FakeAdapter, *, fresh: bool = True, newest: MessageEvent | None = None, **config: object
    ) -> Later | int:
        worker = WorkerConfig(**config)  # type: ignore[arg-type]
        deliverer = self._deliverers.setdefault(
            id(adapter), Deliverer(self.store, {"fake": adapter}, worker, self.clock, self.pace)
        )
        owed = await deliverer.deliver(self.claim, self.queued, fresh=fresh, newest=newest)
        if isinstance(owed, Later):
            # As the next claim would read it.
            self.queued = replace(self.queued, state=await self.state())
        return owed

    async def state(self) -> str:
        status = await self.store.event_status("fake", "default", "e1")
        assert status is not None
        return status["replies"][0]["state"]


@pytest.fixture
async def held(store: Store) -> Held:
    await store.accept([message_event(1)])
    (claim,) = await store.claim(1, 30)
    deliveries = plan(Reply((Text("好的"),)), message_event(1), Limits())
    done = await store.complete(claim, TurnRecord((claim.events[0].seq,), deliveries=deliveries))
    (queued,) = done.deliveries
    return Held(store, claim, queued)


async def test_sent_and_recorded(held: Held) -> None:
    adapter = FakeAdapter()
    assert await held.deliver(adapter) == 0
    assert [one.text for one in adapter.sent] == ["好的"]
    assert await held.state() == "sent"


@pytest.mark.parametrize(
    ("idempotent", "again", "state", "sent"),
    [(False, False, "unknown", 0), (True, False, "sent", 1), (False, True, "sent", 1)],
)
async def test_a_delivery_in_doubt_is_repeated_only_where_that_is_safe(
    held: Held, idempotent: bool, again: bool, state: str, sent: int
) -> None:
    adapter = FakeAdapter(limits=Limits(idempotent_send=idempotent))
    assert await held.deliver(adapter, fresh=False, resend_unknown=again) == 0
    assert (await held.state(), len(adapter.sent)) == (state, sent)


async def test_a_lost_answer_is_doubt_and_a_refused_connection_is_not(held: Held) -> None:
    adapter = FakeAdapter()
    adapter.errors = [NetworkError("refused")]
    assert await held.deliver(adapter) == Later(2.0)
    assert await held.state() == "queued"
    adapter.errors = [NetworkError("reset", sent_maybe=True)]
    assert await held.deliver(adapter) == 0
    assert await held.state() == "unknown"


async def test_the_last_try_and_a_refusal_are_dead_letters(held: Held) -> None:
    adapter = FakeAdapter()
    adapter.errors = [NetworkError("refused")]
    assert await held.deliver(adapter, attempts=1) == 0
    assert await held.state() == "dead"
    (letter,) = await held.store.dead_letters()
    assert letter.error == "refused"


async def test_a_refusal_is_not_tried_again(held: Held) -> None:
    adapter = FakeAdapter()
    adapter.errors = [ActionFailed("bot removed from the group", code="230002")]
    assert await held.deliver(adapter) == 0
    assert await held.state() == "dead"


async def test_an_adapter_that_is_gone_makes_a_dead_letter(held: Held) -> None:
    deliverer = Deliverer(held.store, {}, WorkerConfig(), held.clock, held.pace)
    assert await deliverer.deliver(held.claim, held.queued, fresh=True) == 0
    assert await held.state() == "dead"


PARKED = Later(600.0, waiting=True)


async def test_what_comes_too_late_waits_for_the_next_message_and_answers_that(held: Held) -> None:
    adapter = FakeAdapter(limits=Limits(window=Window(300, 5), active=False))
    held.clock.move(301)
    assert await held.deliver(adapter) == PARKED
    assert await held.state() == "queued"
    assert await held.deliver(adapter, fresh=False) == PARKED
    asked = replace(message_event(2, platform_data={"k": "v"}), timestamp=int(held.clock.now()))
    assert await held.deliver(adapter, fresh=False, newest=asked) == 0
    (sent,) = adapter.sent
    assert (sent.reply_to, sent.platform_data, sent.text) == ("m2", {"k": "v"}, "好的")
    assert await held.state() == "sent"


async def test_where_the_platform_takes_messages_unasked_a_late_answer_is_one(held: Held) -> None:
    adapter = FakeAdapter(limits=Limits(window=Window(300)))
    held.clock.move(301)
    assert await held.deliver(adapter) == 0
    assert [one.reply_to for one in adapter.sent] == [""]


async def test_a_question_gets_no_more_answers_than_the_platform_takes(held: Held) -> None:
    adapter = FakeAdapter(limits=Limits(window=Window(300, 2), active=False))
    held.pace.count_answer("fake", "m1")
    assert await held.deliver(adapter) == 0
    held.pace.count_answer("fake", "m2")
    held.pace.count_answer("fake", "m2")
    other = Held(held.store, held.claim, held.queued)
    other.pace = held.pace
    assert await other.deliver(adapter, newest=message_event(2)) == PARKED


async def test_a_window_that_only_the_platform_knew_is_closed_parks_too(held: Held) -> None:
    adapter = FakeAdapter()
    adapter.errors = [WindowClosed("48 小时内没有新消息", code="95001")]
    assert await held.deliver(adapter) == PARKED
    adapter.errors = [WindowClosed("x"), WindowClosed("x")]
    newest = message_event(2)
    assert await held.deliver(adapter, fresh=False, newest=newest) == PARKED
    assert adapter.errors == []
    assert await held.deliver(adapter, fresh=False, newest=newest) == PARKED
    assert await held.deliver(adapter, fresh=False, newest=message_event(3)) == 0


async def test_what_nobody_asks_for_in_two_days_is_dead(held: Held) -> None:
    adapter = FakeAdapter(limits=Limits(window=Window(300), active=False))
    held.clock.move(49 * 3600)
    assert await held.deliver(adapter) == 0
    assert await held.state() == "dead"


async def test_too_fast_for_long_lets_the_lane_go(held: Held) -> None:
    adapter = FakeAdapter(limits=Limits(chat_rates=(Rate(1, 60),)))
    held.pace.book("fake", held.claim.lane, adapter.limits, 0)
    assert await held.deliver(adapter) == Later(60.0)
    assert await held.state() == "queued"
    assert adapter.sent == []
    held.clock.move(60)
    assert await held.deliver(adapter, fresh=False) == 0
