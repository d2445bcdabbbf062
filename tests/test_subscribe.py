"""Ordering digests in chat: what is an order and what is a question, and what a yes means."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from fakes import FakeAdapter, FakeClock, FakeEngine, message_event

from bot.adapter import Limits, Window
from bot.config import AccessConfig, BreakerConfig, LimitsConfig, MediaConfig, StoreConfig, WorkerConfig
from bot.digests import Digests
from bot.digests_config import DigestConfig, DigestsConfig
from bot.dispatcher import Dispatcher
from bot.engine.chain import EngineChain
from bot.event import Conversation
from bot.intake import Intake
from bot.limits import Limiter
from bot.media import MediaStore
from bot.message import Image
from bot.orders import Orders
from bot.router import ModelRouter
from bot.schedule import NO_CALENDAR
from bot.store import Store
from bot.subscription import Subscription
from bot.worker import Worker
from handlers import ask, commands, digest, subscribe
from handlers.subscribe_wish import order, wish

Wait = Callable[[Callable[[], bool]], Awaitable[None]]
SHANGHAI = ZoneInfo("Asia/Shanghai")
NOON = datetime(2026, 11, 24, 12, tzinfo=SHANGHAI).timestamp()
PNG = (
    b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x01\x00\x00\x00\x01\x08\x02\x00\x00\x00\x90wS\xde\x00\x00\x00"
    b"\x0cIDATx\x9cc\xf8\xff\xff?\x00\x05\xfe\x02\xfe\r\xefF\xb8\x00\x00\x00\x00IEND\xaeB`\x82"
)

ORDERS = [
    ("每天18:00发今天的群日报", "group", "每天 18:00（Asia/Shanghai）"),
    ("每周五17点总结客服问题", "support", "每周五 17:00（Asia/Shanghai）"),
    ("工作日早上九点半发日报", "group", "工作日 09:30（Asia/Shanghai）"),
    ("请每天下午六点在群里发日报", "group", "每天 18:00（Asia/Shanghai）"),
    ("帮我每天18:00总结群聊。", "group", "每天 18:00（Asia/Shanghai）"),
    ("每天 18:00 给大家发一份 群日报", "group", "每天 18:00（Asia/Shanghai）"),
    ("每月最后一天18:00发月报", "group", "每月最后一天 18:00（Asia/Shanghai）"),
    ("每天东京时间9点发群日报", "group", "每天 09:00（Asia/Tokyo）"),
    ("每天9点（Europe/Paris）发群日报", "group", "每天 09:00（Europe/Paris）"),
    ("每天早上8点推送新闻 https://a.example/feed", "feeds", "每天 08:00（Asia/Shanghai）"),
]
QUESTIONS = """每天18:00的天气怎么样
每天18:00开会
每天吃什么
每天早上8点提醒我喝水
每月1号发工资
每周一9点讨论什么
每周五17点总结会几点开始
每天18:00发今天的群日报吗？
每天发日报的机器人有哪些
每天18:00发今天的群日报这个功能怎么用
每天25点的天气
日报怎么写
总结日报
取消日报怎么操作
取消会议
订阅号怎么开通
好的，那图里写了什么
确认一下图里的金额
是不是发票""".splitlines()


@pytest.mark.parametrize(("text", "kind", "shown"), ORDERS)
def test_orders_are_understood(text: str, kind: str, shown: str) -> None:
    found = wish(text, SHANGHAI, NO_CALENDAR)
    assert found is not None
    assert (found.kind, found.schedule.shown) == (kind, shown)


@pytest.mark.parametrize("text", QUESTIONS)
def test_questions_are_left_to_the_others(text: str) -> None:
    event = message_event(1, text)
    assert not any(accepts(event) for accepts, _ in subscribe.on.messages)


def test_nothing_is_taken_that_is_not_for_the_bot() -> None:
    texts = ("每天18:00发今天的群日报", "/订阅", "确认")
    events = [message_event(1, text, chat_type="group", to_me=False) for text in texts]
    assert not any(accepts(event) for event in events for accepts, _ in subscribe.on.messages)


def test_behind_the_slash_any_words_are_a_prompt() -> None:
    found = order("每天8点，写一句 励志的话。", SHANGHAI, NO_CALENDAR)
    assert found is not None
    assert (found.kind, found.prompt) == ("prompt", "写一句 励志的话。")


def test_behind_the_slash_cron_is_understood_too() -> None:
    found = order("0 9 * * 1-5（Europe/London） 群日报", SHANGHAI, NO_CALENDAR)
    assert found is not None
    assert (found.kind, found.schedule.shown) == ("group", "每周一至周五 09:00（Europe/London）")
    found = order("*/30 9-17 * * * 写一句 话", SHANGHAI, NO_CALENDAR)
    assert found is not None
    assert (found.kind, found.prompt, found.schedule.zone) == ("prompt", "写一句 话", SHANGHAI)


class Room:
    """A bot with its platform, restarted at will; time stands still until it is moved."""

    def __init__(self, folder: Path, wait: Wait, **digests: Any) -> None:
        self.folder, self.wait, self.digests_config = folder, wait, DigestsConfig(**digests)
        self.clock = FakeClock(NOON)
        self.engine = FakeEngine(answer=lambda request: f"模型：{request.messages[-1].text}")
        self.adapter = FakeAdapter(limits=Limits(text_length=100_000))
        self.adapter.pictures = {"p1": PNG}
        self.number = 0

    async def start(self, shared: bool = False) -> None:
        self.store = await Store.open(StoreConfig(min_free_bytes=0), self.folder, self.clock)
        self.media = MediaStore(self.folder / "media", MediaConfig())
        chain = EngineChain(self.engine, None, None, BreakerConfig(), self.clock)
        limiter = Limiter(self.store.usage, LimitsConfig(), AccessConfig(), self.clock, ["fake/boss"])
        orders = Orders(self.store.subscriptions, self.digests_config, self.clock)
        tables = [commands.on, subscribe.on, digest.on, ask.on]
        dispatcher = Dispatcher(
            tables, ModelRouter(), chain, self.media.load, limiter=limiter, facts=self.store, orders=orders
        )
        adapters = {"fake": self.adapter}
        self.digests = Digests(self.store, self.digests_config, adapters, dispatcher, self.clock)
        orders.serve(adapters, self.digests.configured)
        self.worker = Worker(
            self.store,
            adapters,
            Intake(self.store, self.media),
            dispatcher,
            WorkerConfig(collect_pictures=0.0, collect_questions=0.0, retry_base=0.001),
            self.clock,
            limiter=limiter,
            digests=self.digests,
            shared_sessions=shared,
        )
        await self.digests.prepare()
        self.task = asyncio.create_task(self.worker.run())

    async def stop(self) -> None:
        await self.worker.stop(5)
        await self.task
        await self.store.close()
        await self.media.close()

    async def restart(self) -> None:
        await self.stop()
        await self.start()

    async def say(self, *parts: Any, **fields: Any) -> str:
        """One message in the group; the reply to it."""
        self.number += 1
        before = len(self.adapter.sent)
        event = message_event(self.number, *parts, **{"chat": "g1", "chat_type": "group", **fields})
        await self.store.accept([replace(event, timestamp=int(self.clock.now()))])
        await self.wait(lambda: len(self.adapter.sent) > before)
        return self.adapter.sent[-1].text

    async def active(self) -> list[Subscription]:
        return [one.subscription for one in await self.store.subscriptions.active()]


@pytest.fixture
async def room(tmp_path: Path, wait_until: Wait) -> AsyncIterator[Room]:
    made = Room(tmp_path, wait_until)
    await made.start()
    yield made
    await made.stop()


async def test_an_order_is_repeated_back_and_confirmed_even_after_a_restart(room: Room) -> None:
    said = await room.say("每周五17点发周报")
    assert "每周五 17:00（Asia/Shanghai）" in said
    assert ["2026-11-27（周五）17:00" in said, "2026-12-04" in said, "2026-12-11" in said] == [True] * 3
    assert await room.active() == []
    await room.restart()
    assert "已订阅" in await room.say("确认")
    (made,) = await room.active()
    group = Conversation("fake", "default", "g1", "group")
    wanted = Subscription(made.name, group, "group", "群周报", "每周五 17:00", "Asia/Shanghai", owner="u1")
    assert made == wanted
    assert room.engine.requests == []


async def test_the_same_yes_taken_up_again_orders_nothing_more(room: Room) -> None:
    await room.say("每天18:00发今天的群日报")
    event = message_event(90, "好", chat="g1", chat_type="group")
    session = event.session()
    first = await room.store.subscriptions.confirm(session, "k")
    assert first is not None
    assert await room.store.subscriptions.confirm(session, "k") == first
    assert len(await room.active()) == 1


@pytest.mark.parametrize("yes", ["是", "好", "好的。", "确认", "OK"])
async def test_words_that_mean_yes(room: Room, yes: str) -> None:
    await room.say("每天18:00发今天的群日报")
    assert "已订阅" in await room.say(yes)


async def test_a_no_forgets_it(room: Room) -> None:
    await room.say("每天18:00发今天的群日报")
    assert "没有订阅" in await room.say("取消")
    assert "模型" in await room.say("确认")
    assert await room.active() == []


async def test_a_yes_without_an_order_goes_to_the_model(room: Room) -> None:
    assert "模型" in await room.say("好的")


async def test_an_order_expires(room: Room) -> None:
    await room.say("每天18:00发今天的群日报")
    room.clock.move(601)
    assert "模型" in await room.say("确认")
    assert await room.active() == []
    await room.say("每天18:00发今天的群日报", sender="u2")
    with sqlite3.connect(room.folder / "kantu.sqlite") as database:
        assert database.execute("SELECT count(*) FROM digest_order").fetchone() == (1,)
    database.close()


async def test_after_another_question_only_a_clear_word_confirms(room: Room) -> None:
    await room.say("每天18:00发今天的群日报")
    assert "模型" in await room.say("发票在哪里开")
    assert "模型" in await room.say("好")
    assert await room.active() == []
    assert "已订阅" in await room.say("确认")


async def test_nobody_else_confirms_it(tmp_path: Path, wait_until: Wait) -> None:
    room = Room(tmp_path, wait_until)
    await room.start(shared=True)
    await room.say("每天18:00发今天的群日报")
    await room.say("确认", sender="u2")
    assert await room.active() == []
    assert "已订阅" in await room.say("确认")
    await room.stop()


async def test_it_is_listed_with_its_next_date_and_cancelled_by_its_number(room: Room) -> None:
    await room.say("每天18:00发今天的群日报")
    await room.say("好")
    listed = await room.say("/订阅 列表")
    assert "编号 1　每天 18:00（Asia/Shanghai）　群日报　下次 11-24 18:00" in listed
    assert "只有订阅的人或管理员" in await room.say("/订阅 取消 1", sender="u2")
    assert "没有编号 1" in await room.say("/订阅 取消 1", chat="g2")
    assert "已取消" in await room.say("/订阅 取消 1")
    assert "已取消" in await room.say("/订阅 取消 1")
    assert "还没有订阅" in await room.say("/订阅 列表")
    assert await room.active() == []


async def test_it_is_cancelled_by_its_name_and_of_several_the_number_is_asked_for(room: Room) -> None:
    assert "没有这样的订阅" in await room.say("取消日报")
    for text in ("每天18:00发今天的群日报", "每周五17点发周报"):
        await room.say(text)
        await room.say("好")
    assert "哪一份" in await room.say("取消日报")
    assert "已取消" in await room.say("/退订 2")
    assert "已取消编号 1" in await room.say("不要再发日报了")
    assert await room.active() == []


async def test_an_admin_cancels_any(room: Room) -> None:
    await room.say("每天18:00发今天的群日报")
    await room.say("好")
    assert "已取消" in await room.say("/订阅 取消 1", sender="boss", chat="elsewhere")


async def test_what_failed_is_shown_in_the_list(room: Room) -> None:
    await room.say("每天18:00发今天的群日报")
    await room.say("好")
    (made,) = await room.active()
    await room.digests.prepare()
    await room.digests.failed(f"{made.name}@2026-11-24T10:00Z", "机器人不在群里", lost=True)
    assert "上次没有发出去：机器人不在群里" in await room.say("/订阅")


async def test_where_only_admins_may_the_others_are_told(tmp_path: Path, wait_until: Wait) -> None:
    room = Room(tmp_path, wait_until, admin_only=True)
    await room.start()
    assert "只有管理员" in await room.say("每天18:00发今天的群日报")
    assert "对吗" in await room.say("每天18:00发今天的群日报", sender="boss")
    await room.stop()


async def test_support_is_summed_up_for_admins_only(room: Room) -> None:
    assert "只有管理员" in await room.say("每周五17点总结客服问题")
    assert "客服小结" in await room.say("每周五17点总结客服问题", sender="boss")


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("每天25点发日报", "没有 25 点"),
        ("/订阅 有空的时候", "没看懂"),
        ("/订阅 每5分钟 群日报", "最密每小时一次"),
        ("/订阅 每天8点 " + "写" * 501, "太长"),
        ("/订阅 每天9点（Mars/Olympus）群日报", "Mars/Olympus"),
    ],
)
async def test_what_cannot_be_ordered_is_said_with_the_reason(room: Room, text: str, word: str) -> None:
    assert word in await room.say(text)
    assert "模型" in await room.say("好")


async def test_in_private_there_is_no_group_to_sum_up(room: Room) -> None:
    assert "到群里" in await room.say("每天18:00发今天的群日报", chat="p1", chat_type="private")


async def test_one_conversation_has_so_many(tmp_path: Path, wait_until: Wait) -> None:
    scheduled = (DigestConfig(name="fixed", schedule="0 8 * * *", conversation="fake/group/g1", title="早报"),)
    room = Room(tmp_path, wait_until, per_conversation=1, scheduled=scheduled)
    await room.start()
    await room.say("每天18:00发今天的群日报")
    await room.say("好")
    assert "已经有 1 份" in await room.say("每天19:00发今天的群日报")
    listed = await room.say("/订阅 列表")
    assert "管理员配置　每天 08:00（Asia/Shanghai）　早报" in listed
    await room.stop()


async def test_where_nothing_may_be_sent_unasked_that_is_said(room: Room) -> None:
    assert "请注意" not in await room.say("每天18:00发今天的群日报")
    room.adapter.limits = Limits(text_length=100_000, window=Window(48 * 3600, 5), active=False)
    said = await room.say("每天18:00发今天的群日报")
    assert "不让机器人主动发消息" in said
    assert "随回答一起送来" in said


async def test_pictures_that_come_along_are_pinned_and_outlive_the_history(room: Room) -> None:
    said = await room.say("/订阅 每天8点 讲讲这张图的用法", Image("p1"))
    assert "带上 1 张图片" in said
    assert "已订阅" in await room.say("好")
    (made,) = await room.active()
    sha256 = made.pictures[0].sha256
    room.clock.move(200 * 86_400.0)
    assert sha256 not in await room.store.expire(90, 500)
    await room.store.subscriptions.cancel(1)
    assert (await room.store.subscriptions.find(1)).subscription.pictures == ()  # type: ignore[union-attr]


async def test_a_digest_ordered_in_chat_is_posted(room: Room) -> None:
    await room.say("每天18:00发今天的群日报")
    await room.say("好")
    await room.digests.prepare()
    await room.say("服务器的费用是多少")
    before = len(room.adapter.sent)
    room.clock.move(6 * 3600 + 61)
    await room.digests.look()
    await room.wait(lambda: len(room.adapter.sent) > before)
    assert "群日报" in room.adapter.sent[-1].text
    assert "11月24日 18:00" in room.adapter.sent[-1].text
