"""Whose turn, which picture, what is remembered: the handlers over a real store, with a model that says what it got."""

from __future__ import annotations

import asyncio
import hashlib
import struct
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from fakes import FakeAdapter, FakeEngine, message_event

from bot.adapter import Limits
from bot.clock import Clock
from bot.config import AccessConfig, Allowance, BreakerConfig, LimitsConfig, MediaConfig, StoreConfig, WorkerConfig
from bot.dispatcher import Dispatcher
from bot.engine.base import GenerateRequest
from bot.engine.chain import EngineChain
from bot.event import MessageEvent
from bot.intake import Intake
from bot.limits import Limiter
from bot.media import MediaStore
from bot.message import Image, Quote, user
from bot.router import ModelRouter
from bot.store import Store
from bot.worker import Worker
from handlers import ask, commands

Wait = Callable[[Callable[[], bool]], Awaitable[None]]


def png(shade: int) -> bytes:
    """A one-pixel picture, another for every shade."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0)
    pixels = zlib.compress(b"\0" + bytes([shade, shade, shade]))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def seen(request: GenerateRequest) -> str:
    """The numbers of the pictures with pixels, and all that the user said."""
    shown = sorted({i.index for m in request.messages for i in m.images if i.sha256 in request.pictures})
    said = "|".join(message.text for message in request.messages if message.role == "user")
    return f"看到{shown} 说过<{said}>"


class Room:
    """A bot, its platform and a model, restarted at will."""

    def __init__(self, folder: Path, wait: Wait, **config: Any) -> None:
        self.folder, self.wait, self.config = folder, wait, config
        self.limits: LimitsConfig = config.pop("limits", LimitsConfig())
        self.engine = FakeEngine(answer=seen, context_tokens=config.pop("context_tokens", 8192))
        self.engine.max_parallel = config.pop("max_parallel", 0)
        self.adapter = FakeAdapter(limits=Limits(text_length=100_000))
        self.adapter.pictures = {f"p{n}": png(n) for n in range(1, 40)}
        self.number = 0
        self.store: Store
        self.media: MediaStore

    async def start(self) -> None:
        clock = Clock()
        self.store = await Store.open(StoreConfig(min_free_bytes=0), self.folder, clock)
        self.media = MediaStore(self.folder / "media", MediaConfig())
        chain = EngineChain(self.engine, None, None, BreakerConfig(), clock)
        tables = [commands.on, ask.on]
        limiter = Limiter(self.store.usage, self.limits, AccessConfig(), clock, ["fake/boss"])
        dispatcher = Dispatcher(tables, ModelRouter(), chain, self.media.load, limiter=limiter, facts=self.store)
        worker = WorkerConfig(collect_pictures=0.05, collect_questions=0.02, retry_base=0.01)
        intake = Intake(self.store, self.media)
        self.worker = Worker(
            self.store, {"fake": self.adapter}, intake, dispatcher, worker, clock, limiter=limiter, **self.config
        )
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
        """One message; the reply to it."""
        self.number += 1
        before = len(self.adapter.sent)
        await self.store.accept([message_event(self.number, *parts, **fields)])
        await self.wait(lambda: len(self.adapter.sent) > before)
        return self.adapter.sent[-1].text


@pytest.fixture
async def room(tmp_path: Path, wait_until: Wait) -> AsyncIterator[Room]:
    made = Room(tmp_path, wait_until)
    await made.start()
    yield made
    await made.stop()


def picture(number: int) -> Image:
    return Image(f"p{number}")


async def test_numbers_name_the_same_pictures_after_a_restart_and_thirty_turns(room: Room) -> None:
    for number in range(1, 4):
        assert f"看到[{number}]" in await room.say(picture(number), "这是什么")
    await room.restart()
    for _ in range(30):
        await room.say("多少钱")
    assert "看到[2]" in await room.say("图2的金额")
    assert "看到[1, 3]" in await room.say("图1和图3哪个贵")
    assert "看到[2, 3]" in await room.say("上面两张对比一下")
    assert "看到[4]" in await room.say(picture(9), "这是什么")


async def test_replies_show_numbers_only_where_there_are_several(room: Room) -> None:
    assert "（图" not in await room.say(picture(1), "这是什么")
    assert "（图2）" in await room.say(picture(2), "这是什么")


async def test_an_unclear_reference_is_asked_back_without_a_model(room: Room) -> None:
    await room.say(picture(1), "这是什么")
    asked = len(room.engine.requests)
    assert "图9" in await room.say("图9的金额是多少")
    assert len(room.engine.requests) == asked


async def test_a_quoted_picture_is_part_of_the_turn(room: Room) -> None:
    await room.say(picture(1), "这是什么")
    reply = await room.say(Quote(user("旧消息", picture(2)), "小王"), "这张里写了什么")
    assert "看到[2]" in reply
    # Quoted again it keeps its number.
    assert "看到[2]" in await room.say(Quote(user("旧消息", picture(2)), "小王"), "这张多少钱")
    assert "看到[3]" in await room.say(picture(3), "这是什么")


async def test_members_of_a_group_have_their_own_history_and_pictures(room: Room) -> None:
    group = {"chat": "g", "chat_type": "group"}
    await room.say(picture(1), "我的图是什么", sender="甲", **group)
    await room.say(picture(2), "我的图是什么", sender="乙", **group)
    reply = await room.say("图1多少钱", sender="乙", **group)
    assert "看到[1]" in reply
    assert reply.count("我的图是什么") == 1


async def test_a_group_may_share_one_history(tmp_path: Path, wait_until: Wait) -> None:
    room = Room(tmp_path, wait_until, shared_sessions=True)
    await room.start()
    group = {"chat": "g", "chat_type": "group"}
    await room.say(picture(1), "甲的图", sender="甲", **group)
    assert "看到[1]" in await room.say("图1多少钱", sender="乙", **group)
    await room.stop()


async def test_reset_begins_anew_and_keeps_the_numbers(room: Room) -> None:
    await room.say(picture(1), "这是什么")
    assert "新的话题" in await room.say("/重置")
    assert "看到[]" in await room.say("单价呢")
    assert "看到[]" in await room.say("那税额呢")
    reply = await room.say("图1呢")
    assert "看到[1]" in reply
    assert "这是什么" not in reply
    assert "看到[1]" in await room.say("税额呢")
    assert "看到[2]" in await room.say(picture(2), "这是什么")


async def test_forget_leaves_no_trace_on_disk(room: Room) -> None:
    await room.say(picture(1), "口令是canary-8841吗")
    sha256 = (await room.store.recall(message_event(1).session(), 5)).pictures[0].image.sha256
    assert room.media.path(sha256).exists()
    assert "已删除" in await room.say("/忘记")
    memory = await room.store.recall(message_event(1).session(), 5)
    assert (memory.history, memory.pictures) == ((), ())
    status = await room.store.event_status("fake", "default", "e1")
    assert status is not None
    assert status["replies"][0]["text"] == ""
    await room.stop()
    left = [path for path in room.folder.rglob("*") if path.is_file() and b"canary-8841" in path.read_bytes()]
    assert left == []
    assert not list(room.folder.rglob(f"{sha256}*"))
    await room.start()
    assert "看到[1]" in await room.say(picture(5), "这是什么")


async def test_a_picture_that_others_refer_to_stays(room: Room) -> None:
    await room.say(picture(1), "这是什么", chat="a")
    await room.say(picture(1), "这是什么", chat="b")
    await room.say("/忘记", chat="a")
    assert "看到[1]" in await room.say("图1多少钱", chat="b")


async def test_forgetting_takes_no_picture_from_a_message_that_still_waits(room: Room) -> None:
    data = png(30)
    sha256 = hashlib.sha256(data).hexdigest()
    for chat in ("a", "b"):
        await room.media.stash(data)
        if chat == "a":
            await room.say(Image(f"inline:{sha256}"), "这是什么", chat=chat)
    room.engine.gate = asyncio.Event()
    waiting = [message_event(800, "先来的", chat="b"), message_event(801, Image(f"inline:{sha256}"), "看", chat="b")]
    await room.store.accept(waiting)
    assert "已删除" in await room.say("/忘记", chat="a")
    room.engine.gate.set()
    await room.wait(lambda: room.adapter.sent[-1].reply_to == "m801")
    assert "看到[1]" in room.adapter.sent[-1].text


async def test_the_model_can_be_chosen_for_a_conversation(room: Room) -> None:
    assert "已切换为重模型" in await room.say("/模型 heavy")
    await room.say("你好呀，今天几号")
    assert room.engine.requests[-1].priority == "report"
    await room.say("/模型 auto")
    await room.say("/报告 这两天的情况")
    assert room.engine.requests[-1].priority == "report"
    assert any(turn.text.startswith("这两天的情况") for turn in room.engine.requests[-1].messages)


async def test_commands_are_whole_messages_and_not_remembered(room: Room) -> None:
    reply = await room.say("重置密码要多久")
    assert "说过<重置密码要多久>" in reply
    assert "/重置" in await room.say("/帮助")
    assert "说过<重置密码要多久|好的吗>" in await room.say("好的吗")
    assert "/帮助" not in room.engine.requests[-1].messages[-1].text


async def test_admins_commands_are_theirs_alone(room: Room) -> None:
    assert "只有管理员" in await room.say("/统计")
    assert "待处理" in await room.say("/统计", sender="boss")
    assert "没有死信" in await room.say("/死信", sender="boss")
    assert "没有这封死信" in await room.say("/重试 event/99", sender="boss")
    assert "/死信" not in await room.say("/帮助")
    assert "/死信" in await room.say("/帮助", sender="boss")


async def test_status_and_pictures(room: Room) -> None:
    await room.say(picture(1), "这是什么")
    assert "1 轮，1 张图片" in await room.say("/状态")
    assert (await room.say("/图片")).startswith("图1　1×1　问“这是什么”")


async def test_old_turns_are_summed_up_when_they_do_not_fit(tmp_path: Path, wait_until: Wait) -> None:
    room = Room(tmp_path, wait_until, context_tokens=1500)
    await room.start()
    room.engine.answer = lambda request: "摘要：聊过天气" if "压缩" in request.messages[0].text else "好" * 60
    for number in range(14):
        await room.say(f"第{number}个问题，" + "说来话长" * 8)
    memory = await room.store.recall(message_event(1).session(), 50)
    assert memory.summary == "摘要：聊过天气"
    assert len(memory.history) < 28
    assert "聊过天气" in room.engine.requests[-1].messages[0].text
    assert room.engine.requests[-1].messages[-1].text.startswith("第13个问题")
    await room.stop()


async def test_a_turn_takes_little_room(room: Room) -> None:
    await room.say(picture(1), "这是什么")
    import sqlite3

    connection = sqlite3.connect(room.folder / "kantu.sqlite")
    sizes = [len(body) for (body,) in connection.execute("SELECT body FROM turn")]
    connection.close()
    assert sum(sizes) < 2048


async def test_what_members_say_among_themselves_stays_unanswered(room: Room) -> None:
    aside: MessageEvent = message_event(900, "晚上吃什么", chat="g", chat_type="group", to_me=False)
    await room.store.accept([aside])
    assert "晚上吃什么" not in await room.say("图里是什么", picture(1), chat="g", chat_type="group")


async def test_a_long_queue_is_said_and_a_quick_question_passes_the_reports(tmp_path: Path, wait_until: Wait) -> None:
    room = Room(tmp_path, wait_until, max_parallel=1)
    await room.start()
    room.engine.gate = asyncio.Event()
    for number in range(6):
        await room.store.accept([message_event(number, "写一份三千字的调研报告", chat=f"c{number}")])
        await wait_until(lambda number=number: room.worker.running == number + 1)
        await asyncio.sleep(0.05)
    await room.store.accept([message_event(9, "今天星期几", chat="quick")])
    await wait_until(lambda: room.worker.running == 7)
    await asyncio.sleep(0.05)
    notices = [delivery for delivery in room.adapter.sent if "前面还有" in delivery.text]
    assert [delivery.conversation.chat_id for delivery in notices] == ["c4", "c5"]
    room.engine.gate.set()
    await wait_until(lambda: len(room.adapter.sent) == 9)
    order = [delivery.conversation.chat_id for delivery in room.adapter.sent if "前面还有" not in delivery.text]
    assert order.index("quick") == 1
    await room.stop()


async def test_quotas_are_refused_once_and_then_in_silence(tmp_path: Path, wait_until: Wait) -> None:
    limits = LimitsConfig(user=Allowance(light_per_day=2, pictures_per_day=1))
    room = Room(tmp_path, wait_until, limits=limits)
    await room.start()
    assert "看到[1]" in await room.say(picture(1), "这是什么", sender="甲")
    assert "图片" in await room.say(picture(2), "这是什么", sender="甲")
    await room.say("多少钱", sender="甲")
    assert "提问" in await room.say("多少钱", sender="甲")
    await room.store.accept([message_event(700, "多少钱", sender="甲"), message_event(701, "多少钱", sender="boss")])
    await wait_until(lambda: room.adapter.sent[-1].reply_to == "m701")
    assert [d.reply_to for d in room.adapter.sent if d.reply_to == "m700"] == []
    assert "提问" in await room.say("/额度", sender="甲")
    await room.stop()


async def test_a_ban_holds_until_it_is_lifted(room: Room) -> None:
    assert "已封禁" in await room.say("/封禁 fake/甲", sender="boss")
    assert "看到" not in await room.say("你好吗", sender="甲")
    assert "已解封" in await room.say("/解封 fake/甲", sender="boss")
    assert "看到" in await room.say("今天几号", sender="甲")
    assert "名字" in await room.say("/封禁 a/b/c/d/e", sender="boss")


async def test_private_numbers_are_masked_in_what_is_kept(tmp_path: Path, wait_until: Wait) -> None:
    room = Room(tmp_path, wait_until, redacted=True)
    await room.start()
    assert "13812344406" in await room.say("我的电话13812344406对吗")
    # What is kept of the delivery is written after it was sent.
    await wait_until(lambda: room.worker.running == 0)
    memory = await room.store.recall(message_event(1).session(), 5)
    assert all("13812344406" not in message.text for message in memory.history)
    status = await room.store.event_status("fake", "default", "e1")
    assert status is not None
    assert "138****4406" in status["replies"][0]["text"]
    await room.stop()


async def test_who_asks_for_a_person_is_handed_over(room: Room) -> None:
    for text in ("转人工", "/人工", "我要找真人客服"):
        assert "会有同事来看" in await room.say(text)
        assert room.adapter.sent[-1].handover
    await room.say("这是什么")
    assert not room.adapter.sent[-1].handover
