"""Replies are cut to a platform's length and sent once."""

from __future__ import annotations

import pytest
from fakes import FakeAdapter, FakeClock, message_event
from hypothesis import given
from hypothesis import strategies as st

from bot.adapter import Limits
from bot.config import WorkerConfig
from bot.deliverer import Deliverer, Later, backoff, plan, split
from bot.errors import ActionFailed, NetworkError
from bot.event import Reply
from bot.message import Text
from bot.store import Claim, QueuedDelivery, Store, TurnRecord

_words = st.text(alphabet="一二三。！，\n ab", max_size=300)


@given(_words, st.integers(1, 60))
def test_no_piece_is_too_long_and_nothing_but_space_is_lost(text: str, length: int) -> None:
    pieces = split(text, length)
    assert all(0 < len(piece) <= length for piece in pieces)
    assert "".join("".join(pieces).split()) == "".join(text.split())


def test_text_is_cut_where_a_reader_would() -> None:
    assert split("第一段。\n\n第二段。第三句。", 10) == ["第一段。", "第二段。第三句。"]
    assert split("第一句很长。第二句。", 8) == ["第一句很长。", "第二句。"]


def test_keys_are_stable_and_differ_between_events_and_pieces() -> None:
    reply = Reply((Text("一。" * 30),), footer="脚注")
    first, again, other = (plan(reply, message_event(n), 30) for n in (1, 1, 2))
    assert first == again
    assert len({one.key for one in first + other}) == len(first) + len(other)
    assert first[-1].text.endswith("脚注")


def test_backoff_grows_to_its_limit_and_obeys_the_server() -> None:
    config = WorkerConfig(retry_base=2, retry_max=20)
    assert [backoff(config, FakeClock(), n) for n in range(5)] == [2, 4, 8, 16, 20]
    assert backoff(config, FakeClock(), 0, asked=60) == 62


class Held:
    """A store with one answered event whose delivery is about to be sent."""

    def __init__(self, store: Store, claim: Claim, queued: QueuedDelivery) -> None:
        self.store, self.claim, self.queued = store, claim, queued

    async def deliver(self, adapter: FakeAdapter, *, fresh: bool = True, **config: object) -> Later | int:
        worker = WorkerConfig(**config)  # type: ignore[arg-type]
        deliverer = Deliverer(self.store, {"fake": adapter}, worker, FakeClock())
        return await deliverer.deliver(self.claim, self.queued, fresh=fresh)

    async def state(self) -> str:
        status = await self.store.event_status("fake", "default", "e1")
        assert status is not None
        return status["replies"][0]["state"]


@pytest.fixture
async def held(store: Store) -> Held:
    await store.accept([message_event(1)])
    (claim,) = await store.claim(1, 30)
    deliveries = plan(Reply((Text("好的"),)), message_event(1), 2000)
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
    deliverer = Deliverer(held.store, {}, WorkerConfig(), FakeClock())
    assert await deliverer.deliver(held.claim, held.queued, fresh=True) == 0
    assert await held.state() == "dead"
