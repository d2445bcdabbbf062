"""What is kept for digests: all that was said where one is ordered, once each, and nothing elsewhere."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from fakes import FakeAdapter, FakeClock, FakeEngine, message_event
from pictures import drawing, encoded

from adapters.telegram.updates import Bot, decode
from bot.config import BreakerConfig, MediaConfig, WorkerConfig
from bot.dispatcher import Dispatcher
from bot.engine.chain import EngineChain
from bot.event import Conversation, MessageEvent, Sender, SessionChange
from bot.intake import Intake
from bot.media import MediaStore
from bot.message import Image, Text, assistant, user
from bot.router import ModelRouter
from bot.store import Store, TurnRecord
from bot.store.seen import Watch, of_event
from bot.subscription import Seen, Subscription
from bot.worker import Worker
from handlers import ask, commands

Wait = Callable[[Callable[[], bool]], Awaitable[None]]
GROUP = Conversation("fake", "default", "g1", "group")
FOREVER = 1e12


def ordered(kind: Any = "group", *sources: str, where: Conversation = GROUP) -> Subscription:
    return Subscription("daily", where, kind, "群日报", "0 18 * * *", "Asia/Shanghai", sources=sources)


def said(number: int, *parts: Any, chat: str = "g1", **fields: Any) -> MessageEvent:
    return message_event(number, *parts, chat=chat, chat_type="group", **fields)


def seen(text: str, at: float, where: Conversation = GROUP, **fields: Any) -> Seen:
    return Seen(at, where, Sender("u1", "小王"), user(text), **fields)


async def keep(store: Store, session: str, *rows: Seen) -> None:
    """Let a turn end that leaves these."""
    number = store_numbers[0] = store_numbers[0] + 1
    await store.accept([said(number)])
    (claim,) = await store.claim(10, 30)
    await store.complete(claim, TurnRecord((claim.events[0].seq,), session, seen=rows))


store_numbers = [0]


async def texts(store: Store, subscription: Subscription, since: float = 0, until: float = FOREVER) -> list[str]:
    return [one.message.text for one in await store.seen(subscription, since, until)]


async def test_what_is_kept_comes_back_as_it_was(store: Store) -> None:
    picture = Image("", "ab" * 32, "image/png", 3, 4)
    asked = Seen(5.0, GROUP, Sender("u1", "小王"), user("看", picture), True, False, "https://a/1")
    answer = Seen(6.0, GROUP, Sender("", "看图", True), assistant("好"), handover=True, asker=Sender("u1", "小王"))
    await keep(store, "s", answer, asked)
    found = await store.seen(ordered(), 0, FOREVER)
    assert [dataclasses.replace(one, turn=0) for one in found] == [asked, answer]
    assert found[0].turn == found[1].turn > 0


async def test_a_span_begins_with_its_first_moment_and_ends_before_its_last(store: Store) -> None:
    await keep(store, "s", *(seen(str(at), float(at)) for at in range(10)))
    assert await texts(store, ordered(), 3, 6) == ["3", "4", "5"]
    spans = [await texts(store, ordered(), start, start + 3) for start in range(0, 12, 3)]
    assert [text for span in spans for text in span] == [str(at) for at in range(10)]


async def test_every_message_is_in_one_place_however_far_its_turn_is(store: Store, clock: FakeClock) -> None:
    store.watch.replace([ordered()])
    start = clock.now()
    await store.accept([said(900, "在收件箱")])
    assert await texts(store, ordered()) == ["在收件箱"]
    (claim,) = await store.claim(10, 30)
    assert await texts(store, ordered()) == ["在收件箱"]
    (queued,) = claim.events
    await store.complete(claim, TurnRecord((queued.seq,), error="坏了"))
    assert await texts(store, ordered()) == ["在收件箱"]
    clock.move(100)
    assert await texts(store, ordered(), start, start + 1) == ["在收件箱"]
    assert await texts(store, ordered(), start + 1) == []


async def test_only_the_ordered_places_are_read(store: Store) -> None:
    other = Conversation("fake", "default", "g2", "group")
    thread = dataclasses.replace(GROUP, thread_id="t")
    tricky = Conversation("fake", "default", "g1/", "group")
    for number, where in enumerate((GROUP, other, thread, tricky)):
        await keep(store, "s", seen(f"在{number}", float(number), where))
    assert await texts(store, ordered()) == ["在0", "在2"]
    assert await texts(store, ordered("group", other.key)) == ["在1"]
    assert await texts(store, ordered("group", other.key, thread.key)) == ["在1", "在2"]
    assert await texts(store, ordered(where=tricky)) == ["在3"]


async def test_support_reads_what_was_said_to_the_bot_by_whom_its_patterns_mean(store: Store) -> None:
    private = Conversation("kf_1%", "default", "p1")
    customer, bot = Sender("c1", "客户"), Sender("", "看图", True)
    await keep(store, "s", seen("闲聊", 1.0), seen("问群里", 2.0, to_me=True))
    asked = Seen(3.0, private, customer, user("问客服"), True)
    await keep(store, "s", asked, Seen(4.0, private, bot, assistant("答客服"), asker=customer))
    await keep(store, "s", Seen(5.0, dataclasses.replace(private, platform="kf_1x"), customer, user("别的平台"), True))
    assert await texts(store, ordered("support")) == ["问群里", "问客服", "答客服", "别的平台"]
    assert await texts(store, ordered("support", "kf_1%25")) == ["问客服", "答客服"]
    assert await texts(store, ordered("support", "kf_1%25/c1", "fake/group/*")) == ["问群里", "问客服", "答客服"]
    assert await texts(store, ordered("support", "kf_1%25/c2")) == []
    assert await texts(store, ordered("feeds", "https://a/rss")) == []


async def test_forgetting_removes_what_a_session_said_and_its_pictures(store: Store) -> None:
    mine, shared = (Image("", each * 32, "image/png", 1, 1) for each in ("ab", "cd"))
    await keep(store, "mine", Seen(1.0, GROUP, Sender("u1"), user("我的", mine, shared)))
    await keep(store, "other", Seen(2.0, GROUP, Sender("u2"), user("别人的", shared)))
    await store.accept([said(800)])
    (claim,) = await store.claim(10, 30)
    change = SessionChange(forget="everything")
    done = await store.complete(claim, TurnRecord((claim.events[0].seq,), "mine", change=change))
    assert await texts(store, ordered()) == ["别人的"]
    assert done.orphans == (mine.sha256,)


async def test_old_ones_go_with_the_sweep(store: Store, clock: FakeClock) -> None:
    picture = Image("", "ab" * 32, "image/png", 1, 1)
    await keep(store, "s", Seen(clock.now(), GROUP, Sender("u1"), user("旧", picture)))
    clock.move(86_400)
    await keep(store, "s", Seen(clock.now(), GROUP, Sender("u1"), user("新")))
    assert await store.expire(2, 500) == []
    assert await store.expire(0.5, 500) == [picture.sha256]
    assert await texts(store, ordered()) == ["新"]


def test_watch_covers_what_is_ordered() -> None:
    watch = Watch()
    overheard, asked = said(1, to_me=False), said(2, to_me=True)
    assert not watch.covers(overheard) and not watch.covers(asked)
    watch.replace([ordered("support", "fake")])
    assert not watch.covers(overheard) and watch.covers(asked)
    watch.replace([ordered()])
    assert watch.covers(overheard) and watch.covers(asked)
    assert not watch.covers(said(3, chat="elsewhere"))
    watch.replace([ordered("feeds"), ordered("prompt")])
    assert not watch.covers(asked)


# ------------------------------------------------------------- through the worker


class Bench:
    """A worker around a real store, with a platform whose pictures can be fetched."""

    def __init__(self, store: Store, media: MediaStore, clock: FakeClock, *, redacted: bool = False) -> None:
        self.adapter = FakeAdapter()
        self.adapter.pictures = {"p1": encoded(drawing())}
        chain = EngineChain(FakeEngine(answer=lambda request: "找到 13812345678"), None, None, BreakerConfig(), clock)
        dispatcher = Dispatcher([commands.on, ask.on], ModelRouter(), chain, media.load)
        config = WorkerConfig(collect_pictures=0.0, collect_questions=0.0)
        intake = Intake(store, media)
        self.worker = Worker(store, {"fake": self.adapter}, intake, dispatcher, config, clock, redacted=redacted)
        self.task = asyncio.create_task(self.worker.run())

    async def stop(self) -> None:
        await self.worker.stop(5)
        await self.task


async def settled(store: Store) -> None:
    async with asyncio.timeout(10):
        # The worker's tasks tell nobody when they are done.
        while (await store.counts())["pending"]:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


@pytest.fixture
async def media(tmp_path: Path) -> Any:
    opened = MediaStore(tmp_path / "media", MediaConfig())
    yield opened
    await opened.close()


async def test_the_worker_keeps_what_it_answers_and_what_it_overhears(
    store: Store, media: MediaStore, clock: FakeClock
) -> None:
    store.watch.replace([ordered()])
    bench = Bench(store, media, clock)
    events = [
        said(1, "大家早", to_me=False, sender="甲"),
        said(2, "看看", Image("p1"), to_me=False, sender="乙", platform_data={"link": "https://chat/2"}),
        said(3, Image("gone"), "取不到", to_me=False, sender="丙"),
        said(4, "几点开会？", to_me=True, sender="丁"),
        said(5, "/状态", to_me=True, sender="丁"),
        said(6, "转人工", to_me=True, sender="戊"),
        said(7, "别处", to_me=False, chat="elsewhere"),
    ]
    for event in events:
        await store.accept([event])
        await settled(store)
    await bench.stop()
    found = await store.seen(ordered(), 0, FOREVER)
    assert [one.message.text for one in found][:5] == ["大家早", "看看", "取不到", "几点开会？", "找到 13812345678"]
    assert found[5].message.text == "转人工" and len(found) == 7
    assert found[6].handover and found[6].asker == Sender("戊", "戊")
    assert found[1].link == "https://chat/2"
    (picture,) = found[1].message.images
    assert await media.load(picture.sha256)
    assert not any(image.sha256 for image in found[2].message.images)
    assert found[3].turn == found[4].turn and found[4].asker == found[3].sender and found[4].sender.is_bot


async def test_pictures_and_question_keep_their_own_times(store: Store, media: MediaStore, clock: FakeClock) -> None:
    store.watch.replace([ordered()])
    start = clock.now()
    await store.accept([said(1, Image("p1"), to_me=True)])
    clock.move(10)
    await store.accept([said(2, "这是什么", to_me=True)])
    bench = Bench(store, media, clock)
    await settled(store)
    await bench.stop()
    early, late = await store.seen(ordered(), 0, start + 10), await store.seen(ordered(), start + 10, FOREVER)
    assert [one.message.images[0].sha256 != "" for one in early] == [True]
    assert [one.message.text for one in late] == ["这是什么", "找到 13812345678"]
    assert {one.turn for one in (*early, *late)} == {late[0].turn}


async def test_private_numbers_are_masked_where_that_is_wished(
    store: Store, media: MediaStore, clock: FakeClock
) -> None:
    store.watch.replace([ordered()])
    bench = Bench(store, media, clock, redacted=True)
    await bench.stop()
    await store.accept([said(1, "打 13812345678", to_me=True)])
    assert await texts(store, ordered()) == ["打 138****5678"]
    bench = Bench(store, media, clock, redacted=True)
    await settled(store)
    await bench.stop()
    assert await texts(store, ordered()) == ["打 138****5678", "找到 138****5678"]


async def test_nothing_is_kept_where_nobody_ordered_a_digest(store: Store, media: MediaStore, clock: FakeClock) -> None:
    bench = Bench(store, media, clock)
    await store.accept([said(1, "问", to_me=True), said(2, "旁听", Image("p1"), to_me=False, sender="乙")])
    await settled(store)
    await bench.stop()
    assert await texts(store, ordered()) == []


async def test_forgetting_in_the_chat_reaches_the_log(store: Store, media: MediaStore, clock: FakeClock) -> None:
    store.watch.replace([ordered()])
    bench = Bench(store, media, clock)
    for number, (text, sender) in enumerate([("旁听", "甲"), ("旁听", "乙"), ("忘记", "甲")]):
        await store.accept([said(number, text, Image("p1"), to_me=text == "忘记", sender=sender)])
        await settled(store)
    found = await store.seen(ordered(), 0, FOREVER)
    assert [one.sender.id for one in found] == ["乙"]
    await store.accept([said(9, Text("忘记"), to_me=True, sender="乙")])
    await settled(store)
    await bench.stop()
    assert await texts(store, ordered()) == []
    assert await media.find(found[0].message.images[0].sha256) is None


@pytest.mark.parametrize(
    ("chat", "link"),
    [
        ({"id": -1001234567890, "type": "supergroup", "username": "kantu_talk"}, "https://t.me/kantu_talk/7"),
        ({"id": -1001234567890, "type": "supergroup"}, "https://t.me/c/1234567890/7"),
        ({"id": -1001234567890, "type": "supergroup", "username": "a/../b"}, "https://t.me/c/1234567890/7"),
        ({"id": -42, "type": "group"}, ""),
        ({"id": 42, "type": "private"}, ""),
    ],
)
def test_a_message_has_a_link_where_its_platform_has_one(chat: dict[str, Any], link: str) -> None:
    message = {"message_id": 7, "date": 100, "chat": chat, "from": {"id": 5, "first_name": "王"}, "text": "好"}
    event = decode({"update_id": 1, "message": message}, Bot(9, "kantu_bot"), 100, 60, "telegram", "default").event
    assert event is not None and of_event(event, 1.0).link == link
