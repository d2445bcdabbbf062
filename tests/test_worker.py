"""The worker: every accepted message is answered once, in order, whatever fails."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from fakes import FakeAdapter, FakeEngine, message_event

from bot.adapter import Limits
from bot.clock import Clock
from bot.config import BreakerConfig, MediaConfig, StoreConfig, WorkerConfig
from bot.dispatcher import Dispatcher
from bot.engine.base import GenerateRequest
from bot.engine.chain import EngineChain
from bot.errors import ContextTooLong, EngineUnavailable, RequestRejected, WindowClosed
from bot.event import ScheduledEvent
from bot.intake import Intake
from bot.media import MediaStore
from bot.message import Image
from bot.router import ModelRouter
from bot.store import Store
from bot.worker import Worker
from handlers import ask, commands

Wait = Callable[[Callable[[], bool]], Awaitable[None]]
PNG = (
    b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x01\x00\x00\x00\x01\x08\x02\x00\x00\x00\x90wS\xde\x00\x00\x00"
    b"\x0cIDATx\x9cc\xf8\xff\xff?\x00\x05\xfe\x02\xfe\r\xefF\xb8\x00\x00\x00\x00IEND\xaeB`\x82"
)


class Bench:
    """A worker with a fake platform and a fake model around a real store."""

    def __init__(self, store: Store, media: MediaStore, clock: Clock, **config: Any) -> None:
        self.store = store
        self.engine = FakeEngine(answer=echo)
        self.adapter = FakeAdapter()
        breaker = BreakerConfig(failures=10_000)
        chain = EngineChain(self.engine, None, None, breaker, clock)
        dispatcher = Dispatcher([commands.on, ask.on], ModelRouter(), chain, media.load)
        settings = {"retry_base": 0.01, "retry_max": 0.02, "collect_pictures": 0.05, **config}
        worker = WorkerConfig(**settings)
        self.worker = Worker(store, {"fake": self.adapter}, Intake(store, media), dispatcher, worker, clock)
        self.task = asyncio.create_task(self.worker.run())

    @property
    def texts(self) -> list[str]:
        return [delivery.text for delivery in self.adapter.sent]

    async def stop(self, seconds: float = 5) -> None:
        await self.worker.stop(seconds)
        await self.task


def echo(request: GenerateRequest) -> str:
    question = request.messages[-1]
    return f"答{question.text} 图{len(request.pictures)} 史{len(request.messages) - 2}"


@pytest.fixture
async def real_store(store_config: StoreConfig, tmp_path: Path) -> AsyncIterator[Store]:
    """These tests let time pass: retries really wait some milliseconds."""
    opened = await Store.open(store_config, tmp_path, Clock())
    yield opened
    await opened.close()


@pytest.fixture
async def media(tmp_path: Path) -> AsyncIterator[MediaStore]:
    opened = MediaStore(tmp_path / "media", MediaConfig())
    yield opened
    await opened.close()


@pytest.fixture
async def bench(real_store: Store, media: MediaStore) -> AsyncIterator[Bench]:
    made = Bench(real_store, media, Clock())
    yield made
    await made.stop()


async def test_a_question_is_answered_and_remembered(bench: Bench, wait_until: Wait) -> None:
    await bench.store.accept([message_event(1)])
    await wait_until(lambda: len(bench.texts) == 1)
    await bench.store.accept([message_event(2)])
    await wait_until(lambda: len(bench.texts) == 2)
    assert bench.texts == ["答问题 1 图0 史0", "答问题 2 图0 史2"]
    assert bench.adapter.sent[0].reply_to == "m1"


async def test_order_holds_in_each_of_many_conversations(bench: Bench, wait_until: Wait) -> None:
    events = [message_event(chat * 100 + n, f"{n}", chat=f"c{chat}") for n in range(5) for chat in range(40)]
    await asyncio.gather(*(bench.store.accept([event]) for event in events))
    await wait_until(lambda: len(bench.texts) == 200)
    for chat in range(40):
        mine = [d.text[1] for d in bench.adapter.sent if d.conversation.chat_id == f"c{chat}"]
        assert mine == list("01234")


async def test_many_conversations_wait_for_the_model_together(bench: Bench, wait_until: Wait) -> None:
    bench.engine.gate = asyncio.Event()
    await bench.store.accept([message_event(n, chat=f"c{n}") for n in range(300)])
    await wait_until(lambda: len(bench.engine.requests) == 300)
    bench.engine.gate.set()
    await wait_until(lambda: len(bench.texts) == 300)


async def test_a_burst_of_pictures_and_their_question_is_one_turn(bench: Bench, wait_until: Wait) -> None:
    bench.adapter.pictures = {"a": PNG, "b": PNG + b"other"}
    await bench.store.accept([message_event(1, Image("a")), message_event(2, Image("b"))])
    await bench.store.accept([message_event(3, "哪张贵？")])
    await wait_until(lambda: len(bench.texts) == 1)
    assert bench.texts == ["答哪张贵？ 图2 史0\n\n（图1、图2）"]
    (question, _answer) = (await bench.store.recall(message_event(1).session(), 5)).history
    assert [image.index for image in question.images] == [1, 2]


async def test_pictures_alone_are_answered_after_the_window(bench: Bench, wait_until: Wait) -> None:
    bench.adapter.pictures = {"a": PNG}
    await bench.store.accept([message_event(1, Image("a"))])
    await wait_until(lambda: len(bench.texts) == 1)
    assert "图1 史0" in bench.texts[0]


async def test_a_follow_up_sees_the_picture_again(bench: Bench, wait_until: Wait) -> None:
    bench.adapter.pictures = {"a": PNG}
    await bench.store.accept([message_event(1, Image("a"), "这是什么")])
    await wait_until(lambda: len(bench.texts) == 1)
    await bench.store.accept([message_event(2, "多少钱")])
    await wait_until(lambda: len(bench.texts) == 2)
    assert bench.texts[1] == "答多少钱 图1 史2"


async def test_a_picture_that_cannot_be_had_is_said_and_never_asked_about(bench: Bench, wait_until: Wait) -> None:
    await bench.store.accept([message_event(1, Image("gone"), "这是什么")])
    await wait_until(lambda: len(bench.texts) == 1)
    assert "图片已过期" in bench.texts[0]
    assert bench.engine.requests == []


async def test_of_two_pictures_the_missing_one_is_named(bench: Bench, wait_until: Wait) -> None:
    bench.adapter.pictures = {"a": PNG, "bad": b"<html>"}
    await bench.store.accept([message_event(1, Image("a"), Image("bad"), "比较")])
    await wait_until(lambda: len(bench.texts) == 1)
    assert bench.texts[0].startswith("答比较 图1")
    assert "有图片没能用上" in bench.texts[0]


async def test_a_model_that_is_away_is_tried_again(bench: Bench, wait_until: Wait) -> None:
    bench.engine.errors = [EngineUnavailable("away"), EngineUnavailable("away")]
    await bench.store.accept([message_event(1), message_event(2)])
    await wait_until(lambda: len(bench.texts) == 2)
    assert [text[:5] for text in bench.texts] == ["答问题 1", "答问题 2"]
    assert await bench.store.dead_letters() == []


async def test_after_the_last_try_the_sender_is_told_and_the_lane_goes_on(bench: Bench, wait_until: Wait) -> None:
    bench.engine.errors = [EngineUnavailable("away") for _ in range(6)]
    await bench.store.accept([message_event(1), message_event(2)])
    await wait_until(lambda: len(bench.texts) == 2)
    assert "抱歉" in bench.texts[0]
    assert bench.texts[1].startswith("答问题 2")
    (letter,) = await bench.store.dead_letters()
    assert letter.attempts == 6
    assert await bench.store.retry_dead(letter.kind, letter.id)
    await wait_until(lambda: len(bench.texts) == 3)
    assert bench.texts[2].startswith("答问题 1")


@pytest.mark.parametrize(("error", "word"), [(ContextTooLong("x"), "太长"), (RequestRejected("x"), "拒绝")])
async def test_what_will_never_work_is_said_at_once(
    bench: Bench, wait_until: Wait, error: Exception, word: str
) -> None:
    bench.engine.errors = [error]
    await bench.store.accept([message_event(1)])
    await wait_until(lambda: len(bench.texts) == 1)
    assert word in bench.texts[0]


async def test_a_handler_that_breaks_is_tried_again_and_then_dead(bench: Bench, wait_until: Wait) -> None:
    bench.engine.errors = [ZeroDivisionError("bug")]
    await bench.store.accept([message_event(1)])
    await wait_until(lambda: len(bench.texts) == 1)
    assert bench.texts[0].startswith("答问题 1")


async def test_waiting_for_a_model_that_is_left_alone_is_no_try(bench: Bench, wait_until: Wait) -> None:
    bench.engine.errors = [EngineUnavailable("away", asked=False) for _ in range(20)]
    await bench.store.accept([message_event(1)])
    await wait_until(lambda: len(bench.texts) == 1)
    assert bench.texts[0].startswith("答问题 1")


async def test_at_full_concurrency_the_worker_sleeps(
    real_store: Store, media: MediaStore, wait_until: Wait, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench(real_store, media, Clock(), concurrency=1)
    bench.engine.gate = asyncio.Event()
    await real_store.accept([message_event(n, chat=f"c{n}") for n in range(3)])
    await wait_until(lambda: len(bench.engine.requests) == 1)
    looked = 0
    claim = bench.worker._claim

    async def counted() -> int:
        nonlocal looked
        looked += 1
        return await claim()

    monkeypatch.setattr(bench.worker, "_claim", counted)
    await asyncio.sleep(0.1)
    assert looked < 5
    bench.engine.gate.set()
    await wait_until(lambda: len(bench.texts) == 3)
    await bench.stop()


async def test_what_is_not_for_the_bot_is_ended_in_silence(bench: Bench, wait_until: Wait) -> None:
    await bench.store.accept([message_event(1, chat_type="group", to_me=False), message_event(2, chat="other")])
    await bench.store.accept([ScheduledEvent("d@1", message_event(1).conversation, "d", 1)])
    await wait_until(lambda: len(bench.texts) == 1)
    pending = 1
    while pending:
        pending = (await bench.store.counts())["pending"]
    assert bench.texts == ["答问题 2 图0 史0"]


async def test_stopping_hands_back_what_is_not_finished(real_store: Store, media: MediaStore, wait_until: Wait) -> None:
    first = Bench(real_store, media, Clock())
    first.engine.gate = asyncio.Event()
    await real_store.accept([message_event(1), message_event(2, chat="c2")])
    await wait_until(lambda: len(first.engine.requests) == 2)
    await first.stop(0)
    assert first.texts == []
    second = Bench(real_store, media, Clock())
    await wait_until(lambda: len(second.texts) == 2)
    await second.stop()


async def test_stopping_waits_for_a_turn_that_ends_in_time(bench: Bench, wait_until: Wait) -> None:
    bench.engine.gate = asyncio.Event()
    await bench.store.accept([message_event(1), message_event(2)])
    await wait_until(lambda: len(bench.engine.requests) == 1)
    stopping = asyncio.create_task(bench.worker.stop(5))
    await asyncio.sleep(0)
    bench.engine.gate.set()
    await stopping
    assert [text[:5] for text in bench.texts] == ["答问题 1"]
    assert (await bench.store.counts())["pending"] == 1


async def test_no_more_conversations_at_once_than_configured(
    real_store: Store, media: MediaStore, wait_until: Wait
) -> None:
    bench = Bench(real_store, media, Clock(), concurrency=2)
    bench.engine.gate = asyncio.Event()
    await real_store.accept([message_event(n, chat=f"c{n}") for n in range(6)])
    await wait_until(lambda: len(bench.engine.requests) == 2)
    assert bench.worker.running == 2
    bench.engine.gate.set()
    await wait_until(lambda: len(bench.texts) == 6)
    await bench.stop()


async def test_an_answer_that_is_shown_while_it_grows_is_sent_once(bench: Bench, wait_until: Wait) -> None:
    bench.adapter.limits = Limits(live="stream", live_interval=0.0)
    bench.engine.gate = asyncio.Event()
    await bench.store.accept([message_event(1)])
    await wait_until(lambda: bool(bench.engine.requests))
    bench.engine.gate.set()
    await wait_until(lambda: bench.adapter.surfaces[0].closed != "" or bool(bench.adapter.sent))
    (surface,) = bench.adapter.surfaces
    shown = [surface.closed] if surface.closed else []
    assert [*shown, *bench.texts] == ["答问题 1 图0 史0"]


async def test_pictures_answered_with_their_question_are_told_so(bench: Bench, wait_until: Wait) -> None:
    bench.adapter.pictures = {"a": PNG, "b": PNG}
    await bench.store.accept([message_event(1, Image("a")), message_event(2, Image("b")), message_event(3, "几张")])
    await wait_until(lambda: len(bench.texts) == 1)
    assert bench.adapter.told == ["e1", "e2"]


async def test_a_failing_live_view_harms_no_answer(bench: Bench, wait_until: Wait) -> None:
    bench.adapter.limits = Limits(live="stream", live_interval=0.0, typing_every=0.01)
    bench.adapter.surface_errors = [RuntimeError("a bug in an adapter")]
    await bench.store.accept([message_event(1)])
    await wait_until(lambda: bool(bench.texts))


async def test_a_nudge_fetches_what_waited_and_is_no_question(bench: Bench, wait_until: Wait) -> None:
    bench.adapter.errors = [WindowClosed("write first")]
    await bench.store.accept([message_event(1)])
    await wait_until(lambda: bench.adapter.errors == [] and bench.worker.running == 0)
    assert bench.texts == []
    await bench.store.accept([message_event(2, "继续")])
    await wait_until(lambda: len(bench.texts) == 1)
    await wait_until(lambda: bench.worker.running == 0)
    assert (bench.texts, [one.reply_to for one in bench.adapter.sent]) == (["答问题 1 图0 史0"], ["m1"])
    assert len(bench.engine.requests) == 1
    await bench.store.accept([message_event(3, "继续")])
    await wait_until(lambda: len(bench.engine.requests) == 2)


async def test_a_real_question_also_fetches_what_waited_and_is_answered(bench: Bench, wait_until: Wait) -> None:
    bench.adapter.errors = [WindowClosed("write first")]
    await bench.store.accept([message_event(1)])
    await wait_until(lambda: bench.adapter.errors == [] and bench.worker.running == 0)
    await bench.store.accept([message_event(2)])
    await wait_until(lambda: len(bench.texts) == 2)
    assert [text[:5] for text in bench.texts] == ["答问题 1", "答问题 2"]


async def test_what_arrives_during_a_turn_opens_the_window_for_its_answer(bench: Bench, wait_until: Wait) -> None:
    bench.engine.gate = asyncio.Event()
    bench.adapter.errors = [WindowClosed("write first")]
    await bench.store.accept([message_event(1)])
    await wait_until(lambda: bool(bench.engine.requests))
    await bench.store.accept([message_event(2, "继续")])
    bench.engine.gate.set()
    await wait_until(lambda: len(bench.texts) == 1)
    assert bench.texts == ["答问题 1 图0 史0"]


async def test_who_gets_no_answer_is_not_waited_for(bench: Bench, wait_until: Wait) -> None:
    await bench.store.accept([message_event(1, chat_type="group", to_me=False), message_event(2, chat_type="group")])
    await wait_until(lambda: len(bench.texts) == 1)
    assert bench.adapter.left == ["e1"]


async def test_forgetting_drops_what_engines_keep_of_the_session(bench: Bench, wait_until: Wait) -> None:
    await bench.store.accept([message_event(1)])
    await wait_until(lambda: len(bench.texts) == 1)
    await bench.store.accept([message_event(2, "/重置")])
    await wait_until(lambda: len(bench.texts) == 2)
    assert bench.engine.forgotten == []
    await bench.store.accept([message_event(3, "/忘记")])
    await wait_until(lambda: len(bench.texts) == 3)
    assert bench.engine.forgotten == [bench.engine.requests[0].cache_salt]
