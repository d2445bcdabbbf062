"""OneBot v11: its messages in, its actions out, over HTTP and over the reverse WebSocket."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import socket
import sys
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from fakes import FakeClock, FakeHttp
from pictures import drawing, encoded
from simulation import bot_on
from vectors_onebot import BOT, NOW, SECRET, TOKEN, vectors

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

import platform_vectors

from adapters.onebot import Adapter, Config
from adapters.onebot.segments import picture
from adapters.simulated.onebot import Simulated, at_segment, signature, text_segment
from adapters.simulated.platform import Fault
from bot.adapter import Request
from bot.config import Secret, convert
from bot.errors import ActionFailed, ConfigError, FetchFailed, NetworkError, Rejected, StoreFull
from bot.event import Conversation, Delivery, Event, File, MessageEvent
from bot.http import HttpAnswer
from bot.message import Image, Mention, Quote, Text

PNG = encoded(drawing())
API = "http://127.0.0.1:3000"
PRIVATE = Conversation("onebot", "default", "30003000")
GROUP = Conversation("onebot", "default", "50005000", "group")


def adapter(http: FakeHttp | None = None, clock: FakeClock | None = None, **section: Any) -> Adapter:
    """Over HTTP, unless the section says otherwise."""
    known = {"self_id": BOT, "secret": SECRET, "access_token": TOKEN, "api_base": API}
    config = convert({**known, **section}, Config, environ={})
    return Adapter("onebot", config, http or FakeHttp(), clock or FakeClock())


def ok(data: Any = None, retcode: int = 0) -> HttpAnswer:
    return HttpAnswer(200, json.dumps({"status": "ok", "retcode": retcode, "data": data}).encode())


def failed(retcode: int, words: str = "") -> HttpAnswer:
    answer = {"status": "failed", "retcode": retcode, "data": None, "wording": words}
    return HttpAnswer(200, json.dumps(answer).encode())


def answering(answer: HttpAnswer | Mapping[str, HttpAnswer]) -> FakeHttp:
    """One answer to everything, or one per action."""
    http = FakeHttp()
    http.answer = lambda method, url, body: (
        answer if isinstance(answer, HttpAnswer) else answer[url.removeprefix(f"{API}/").partition("?")[0]]
    )
    return http


def delivery(text: str = "好的", where: Conversation = PRIVATE, **fields: Any) -> Delivery:
    return Delivery("k1", where, (Text(text),), **fields)


def event_of(bot: Adapter, segments: Sequence[Any], *, group: bool = False, **fields: Any) -> MessageEvent:
    """What the adapter makes of a message."""
    data: dict[str, Any] = {
        "time": NOW,
        "self_id": BOT,
        "post_type": "message",
        "message_type": "group" if group else "private",
        "message_id": 5,
        "user_id": 30003000,
        "group_id": 50005000 if group else None,
        "message": segments,
        **fields,
    }
    body = json.dumps(data).encode()
    headers = {"x-signature": signature(SECRET, body)}
    (event,) = bot.receive(Request("POST", "/webhook/onebot", {}, headers, body, NOW)).events
    assert isinstance(event, MessageEvent)
    return event


# ------------------------------------------------------------------ vectors


def test_vectors() -> None:
    wrong = [
        line
        for case, record in platform_vectors.run_file(vectors())
        for line in platform_vectors.mismatches(case, record)
    ]
    assert wrong == []


def test_long_runs_take_no_time_to_read() -> None:
    bot = adapter()
    own = at_segment(BOT)
    for segments in (
        [own, text_segment(" " * 300_000 + "x"), own],
        [text_segment("a"), own] * 5_000,
        "[CQ:a,b=" * 50_000,
        "[CQ:a" + ",b=c" * 100_000,
    ):
        assert event_of(bot, segments).id == f"{BOT}:5"


# ------------------------------------------------------------ configuration


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ({"secret": "", "access_token": ""}, "needs secret"),
        ({"access_token": "", "api_base": ""}, "answers need api_base"),
        ({"self_id": ""}, "self_id"),
        ({"self_id": "0"}, "self_id"),
        ({"self_id": "bot"}, "self_id"),
        ({"self_id": "１２"}, "self_id"),
        ({"access_token": "a\nb"}, "access_token"),
        ({"access_token": " a"}, "access_token"),
        ({"access_token": "口令"}, "access_token"),
        ({"api_base": "127.0.0.1:3000"}, "api_base"),
        ({"api_base": "ws://127.0.0.1"}, "api_base"),
        ({"api_base": "http://h:99999"}, "api_base"),
        ({"api_base": "http://h/?access_token=x"}, "api_base"),
    ],
)
def test_a_configuration_that_cannot_work_is_refused(section: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words) as error:
        adapter(**section)
    assert TOKEN not in str(error.value)


def test_the_number_may_be_written_as_text() -> None:
    assert event_of(adapter(self_id=str(BOT)), [text_segment("看")]).id == f"{BOT}:5"


def test_weak_configurations_are_pointed_out() -> None:
    (risk,) = adapter().warnings()
    assert "封禁" in risk
    assert "access_token" in adapter(access_token="").warnings()[1]
    assert "明文" in adapter(api_base="http://10.0.0.7:3000").warnings()[1]
    assert len(adapter(api_base="https://onebot.example/api").warnings()) == 1


def test_secrets_do_not_show() -> None:
    config = Config(self_id=BOT, secret=Secret(SECRET), access_token=Secret(TOKEN))
    assert SECRET not in repr(config) and TOKEN not in repr(config)


# ------------------------------------------------------------------ inbound


def test_whom_a_message_is_for() -> None:
    bot = adapter()
    assert event_of(bot, [text_segment("看")]).to_me
    assert not event_of(bot, [text_segment("看")], group=True).to_me
    assert not event_of(bot, [at_segment("all")], group=True).to_me
    assert event_of(bot, [at_segment(BOT)], group=True).to_me


async def test_an_answer_to_our_message_is_for_us() -> None:
    bot = adapter(answering(ok({"message_id": -77})))
    assert await bot.send(delivery(where=GROUP)) == "-77"
    reply = {"type": "reply", "data": {"id": "-77"}}
    assert event_of(bot, [reply, text_segment("为什么")], group=True).to_me
    other = {"type": "reply", "data": {"id": "-78"}}
    assert not event_of(bot, [other, text_segment("为什么")], group=True).to_me


async def test_a_quoted_message_is_fetched() -> None:
    url = "https://gchat.qpic.cn/a"
    said = {
        "message_id": 9,
        "sender": {"nickname": "安", "card": "小安"},
        "message": [text_segment("看这个"), {"type": "image", "data": {"file": "A.png", "url": url}}],
    }
    http = answering(ok(said))
    event = event_of(adapter(http), [{"type": "reply", "data": {"id": 9}}, text_segment("是什么")])
    done = await adapter(http).complete(event)
    assert done.message.parts == (
        Quote(replace(event.message, parts=(Text("看这个"), picture("A.png", url))), "小安"),
        Text("是什么"),
    )
    assert done.id == event.id
    assert json.loads(http.posted[0][1]) == {"message_id": 9}


async def test_a_quoted_sticker_adds_nothing() -> None:
    for data in ({"message": [{"type": "face", "data": {}}]}, {"message": 7}, None, []):
        bot = adapter(answering(ok(data)))
        event = event_of(bot, [{"type": "reply", "data": {"id": 9}}, text_segment("嗯")])
        assert (await bot.complete(event)).message == event.message


def forwarded(depth: int) -> list[Any]:
    """A bundle in a bundle in a bundle, each with one picture and words."""
    inner = [{"type": "forward", "data": {"id": f"f{depth}", "content": forwarded(depth - 1)}}] if depth else []
    image = {"type": "image", "data": {"file": f"{depth}.png"}}
    return [
        {"sender": {"nickname": "安"}, "message": [text_segment(f"第{depth}层"), image]},
        {"sender": {"nickname": "波"}, "message": inner},
    ]


async def test_a_bundle_is_read_three_deep() -> None:
    bot = adapter(answering(ok({"messages": forwarded(5)})))
    done = await bot.complete(event_of(bot, [{"type": "forward", "data": {"id": "f"}}]))
    assert [image.source for image in done.message.images] == [picture(f"{n}.png", "").source for n in (5, 4, 3)]


async def test_a_bundle_is_bounded() -> None:
    many = [{"message": [text_segment(str(n)), {"type": "image", "data": {"file": f"{n}"}}]} for n in range(200)]
    bot = adapter(answering(ok({"messages": many})))
    done = await bot.complete(event_of(bot, [{"type": "forward", "data": {"id": "f"}}]))
    assert len(done.message.parts) == 50
    assert len(done.message.images) == 20


async def test_bundles_inside_are_fetched_a_few_times() -> None:
    node = {"type": "node", "data": {"nickname": "安", "content": [{"type": "forward", "data": {"id": "g"}}]}}
    said = {"type": "node", "data": {"nickname": "安", "content": "说[CQ:face,id=1]了"}}
    http = FakeHttp()
    http.answer = lambda method, url, body: ok({"message": [said, *[node] * 20] if b'"f"' in body else [said]})
    bot = adapter(http)
    done = await bot.complete(event_of(bot, [{"type": "forward", "data": {"id": "f"}}]))
    assert done.message.parts[0] == Quote(replace(done.message, parts=(Text("说了"),)), "安")
    assert len(http.posted) == 6


@pytest.mark.parametrize(
    ("answer", "retry"),
    [
        (failed(1200, "消息不存在"), False),
        (HttpAnswer(502, b""), True),
        (HttpAnswer(200, b"<html>"), True),
        (failed(1200, "Timeout: NTEvent"), True),
        (HttpAnswer(403, b""), False),
    ],
)
async def test_what_cannot_be_fetched_is_said_in_chinese(answer: HttpAnswer, retry: bool) -> None:
    bot = adapter(answering(answer))
    for kind in ("reply", "forward"):
        with pytest.raises(FetchFailed, match="取不到") as error:
            await bot.complete(event_of(bot, [{"type": kind, "data": {"id": "9"}}, text_segment("?")]))
        assert error.value.retry is retry
    with pytest.raises(FetchFailed, match="没有我能读的"):
        empty = adapter(answering(ok({"messages": [7, {}, {"message": []}]})))
        await empty.complete(event_of(empty, [{"type": "forward", "data": {"id": "9"}}]))


# ----------------------------------------------------------------- pictures


async def test_a_picture_is_fetched_from_its_address() -> None:
    http = FakeHttp()
    http.pictures["https://gchat.qpic.cn/a?x=1&y=2"] = PNG
    assert await adapter(http).download(picture("A.png", "https://gchat.qpic.cn/a?x=1&y=2")) == PNG
    assert http.posted == []


@pytest.mark.parametrize(
    "answer",
    [
        {"url": "https://gchat.qpic.cn/new", "file": "/app/A.png"},
        {"file": "https://gchat.qpic.cn/new"},
        {"base64": base64.b64encode(PNG).decode(), "file": "/app/A.png"},
        {"file": "base64://" + base64.b64encode(PNG).decode()},
    ],
)
@pytest.mark.parametrize("url", ["", "https://gchat.qpic.cn/expired"])
async def test_an_expired_picture_is_asked_for_by_name(answer: dict[str, str], url: str) -> None:
    http = FakeHttp()
    http.pictures["https://gchat.qpic.cn/new"] = PNG
    http.pictures[f"{API}/get_image?file=A+%26.png"] = json.dumps({"retcode": 0, "data": answer}).encode()
    assert await adapter(http).download(picture("A &.png", url)) == PNG


@pytest.mark.parametrize("answer", [{"file": "/etc/passwd"}, {"url": "file:///etc/passwd"}, {"base64": "?"}, None, 7])
async def test_a_picture_that_is_gone(answer: Any) -> None:
    http = FakeHttp()
    http.pictures[f"{API}/get_image?file=A"] = json.dumps({"retcode": 0, "data": answer}).encode()
    with pytest.raises(FetchFailed, match="过期"):
        await adapter(http).download(picture("A", ""))


async def test_a_picture_that_nobody_has() -> None:
    with pytest.raises(FetchFailed):
        await adapter().download(picture("", "https://gchat.qpic.cn/expired"))
    http = FakeHttp()
    http.pictures[f"{API}/get_image?file=A"] = failed(1200, "file not found").body
    with pytest.raises(FetchFailed, match="取不到这张图片"):
        await adapter(http).download(picture("A", ""))


# ----------------------------------------------------------------- outbound


async def test_text_goes_out_as_segments() -> None:
    http = answering(ok({"message_id": 1}))
    bot = adapter(http)
    assert await bot.send(delivery("[CQ:at,qq=all] & <b>")) == "1"
    url, body, headers = http.posted[0]
    assert url == f"{API}/send_private_msg"
    assert headers["authorization"] == f"Bearer {TOKEN}"
    assert json.loads(body) == {"user_id": 30003000, "message": [text_segment("[CQ:at,qq=all] & <b>")]}


async def test_a_group_answer_quotes_its_question() -> None:
    http = answering(ok({"message_id": 1}))
    parts = (Mention("30003000"), Text(" 看这里"))
    await adapter(http).send(Delivery("k", GROUP, parts, reply_to="-9", quote=True))
    url, body, _ = http.posted[0]
    assert url == f"{API}/send_group_msg"
    segments = [{"type": "reply", "data": {"id": "-9"}}, at_segment("30003000"), text_segment(" 看这里")]
    assert json.loads(body) == {"group_id": 50005000, "message": segments}
    await adapter(http).send(delivery(where=GROUP, quote=True))
    assert [one["type"] for one in json.loads(http.posted[1][1])["message"]] == ["text"]


async def test_a_stranger_is_answered_through_the_group() -> None:
    http = answering(ok({"message_id": 1}))
    bot = adapter(http)
    event = event_of(bot, [text_segment("看")], sub_type="group", group_id=50005000)
    await bot.send(delivery(platform_data=event.platform_data))
    assert json.loads(http.posted[0][1])["group_id"] == 50005000


async def test_a_file() -> None:
    http = answering(ok({"file_id": "x"}))
    report = File("报告.md", "text/markdown", b"# x")
    for where, action in ((PRIVATE, "upload_private_file"), (GROUP, "upload_group_file")):
        await adapter(http).send(Delivery("k", where, (), file=report))
        url, body, _ = http.posted[-1]
        assert url == f"{API}/{action}"
        sent = json.loads(body)
        assert (sent["file"], sent["name"]) == ("base64://" + base64.b64encode(b"# x").decode(), "报告.md")


async def test_done_later_is_done() -> None:
    assert await adapter(answering(ok(None, retcode=1))).send(delivery()) == ""


@pytest.mark.parametrize(
    ("answer", "code", "words"),
    [
        (HttpAnswer(401, b""), "401", "access_token"),
        (HttpAnswer(403, b'{"message":"token verify failed!"}'), "403", "access_token"),
        (failed(1403), "1403", "access_token"),
        (HttpAnswer(404, b""), "404", "does not know send_private_msg"),
        (failed(1404), "1404", "does not know send_private_msg"),
        (HttpAnswer(406, b""), "406", "406"),
        (failed(1400, "参数错误"), "1400", "参数错误"),
        (failed(100), "100", "no reason given"),
        (failed(1200, "群已禁言（120）"), "1200", "not muted"),
        (failed(1200, "机器人已不在群内（110）"), "1200", "still in the group"),
        (failed(0), "0", "online"),
        (HttpAnswer(200, b'{"retcode":true}'), "True", "online"),
        (HttpAnswer(200, b"{}"), "None", "online"),
    ],
)
async def test_refusals(answer: HttpAnswer, code: str, words: str) -> None:
    with pytest.raises(ActionFailed, match=words) as error:
        await adapter(answering(answer)).send(delivery())
    assert error.value.code == code
    assert TOKEN not in str(error.value)


@pytest.mark.parametrize(
    ("answer", "sent_maybe"),
    [
        (HttpAnswer(429, b"", retry_after=7.0), False),
        (HttpAnswer(502, b""), True),
        (HttpAnswer(200, b"<html>"), True),
        (failed(1200, "Timeout: NTEvent sendMsg"), True),
        (failed(1200, "发送超时"), True),
    ],
)
async def test_what_may_be_tried_again(answer: HttpAnswer, sent_maybe: bool) -> None:
    with pytest.raises(NetworkError) as error:
        await adapter(answering(answer)).send(delivery())
    assert error.value.sent_maybe is sent_maybe
    assert error.value.retry_after == answer.retry_after


# --------------------------------------------------------------- the socket


class Line:
    """A WebSocket in memory: `feed` what the client sends, `sent` what it got."""

    def __init__(self) -> None:
        self.frames: asyncio.Queue[str | None] = asyncio.Queue()
        self.sent: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.closed = False

    def feed(self, data: Any) -> None:
        self.frames.put_nowait(data if isinstance(data, str) else json.dumps(data))

    def hang_up(self) -> None:
        self.frames.put_nowait(None)

    async def answer(self, data: Any) -> dict[str, Any]:
        """Answer the next action; returns it."""
        asked = await self.sent.get()
        self.feed({"status": "ok", "retcode": 0, "data": data, "echo": asked["echo"]})
        return asked

    async def send(self, text: str) -> None:
        if self.closed:
            raise NetworkError("closed")
        self.sent.put_nowait(json.loads(text))

    async def close(self) -> None:
        self.closed = True
        self.hang_up()

    async def __aiter__(self) -> AsyncIterator[str]:
        while (frame := await self.frames.get()) is not None:
            yield frame


class Box:
    """An inbox; `errors` are raised first."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.events: list[Event] = []
        self.tries = 0
        self.tried = asyncio.Event()

    async def accept(self, events: Sequence[Event], *, cursors: Mapping[str, str] | None = None) -> None:
        self.tries += 1
        self.tried.set()
        if self.errors:
            raise self.errors.pop(0)
        self.events += events

    async def cursor(self, key: str) -> str:
        return ""


def handshake(role: str = "Universal") -> Request:
    headers = {
        "authorization": f"Bearer {TOKEN}",
        "x-self-id": str(BOT),
        "x-client-role": role,
        "upgrade": "websocket",
    }
    return Request("GET", "/webhook/onebot", {}, headers, b"", NOW)


@asynccontextmanager
async def talking(bot: Adapter, box: Box | None = None, role: str = "Universal") -> AsyncIterator[Line]:
    """A connection that is closed at the end; everything that came before is then taken."""
    request, line = handshake(role), Line()
    assert bot.receive(request).socket
    task = asyncio.create_task(bot.converse(request, line, box or Box()))
    await asyncio.sleep(0)
    try:
        yield line
    finally:
        line.hang_up()
        await task


def over_socket(clock: FakeClock | None = None) -> Adapter:
    return adapter(clock=clock, api_base="", secret="")


def message(number: int, **fields: Any) -> dict[str, Any]:
    return {
        "time": NOW,
        "self_id": BOT,
        "post_type": "message",
        "message_type": "private",
        "message_id": number,
        "user_id": 30003000,
        "message": "看",
        **fields,
    }


async def test_events_over_the_socket() -> None:
    bot, box = over_socket(), Box()
    async with talking(bot, box) as line:
        for frame in (
            message(1),
            "[1,2",
            "7",
            "{}",
            message(2, self_id=7),
            message(3, time=NOW - 301),
            message(4, user_id=BOT),
            message(5, message_id=None),
            {"time": NOW, "self_id": BOT, "post_type": "meta_event"},
            {"echo": ["odd"], "retcode": 0},
            {"echo": "nobody asked", "retcode": 0},
            message(6),
        ):
            line.feed(frame)
    assert [event.id for event in box.events] == [f"{BOT}:1", f"{BOT}:6"]


async def test_events_wait_for_the_disk_in_order() -> None:
    bot, box = over_socket(), Box(StoreFull("full"), OSError("disk"), RuntimeError("odd"))
    async with talking(bot, box) as line:
        line.feed(message(1))
        line.feed(message(2))
    assert [event.id for event in box.events] == [f"{BOT}:1", f"{BOT}:2"]
    assert box.tries == 5


async def test_an_event_that_cannot_be_stored_is_given_up_when_it_is_stale() -> None:
    clock = FakeClock(NOW)
    bot, box = over_socket(clock), Box(StoreFull("full"))
    async with talking(bot, box) as line:
        line.feed(message(1))
        await box.tried.wait()
        clock.move(301)
        box.errors = [StoreFull("full")]
    assert box.events == []


async def test_actions_while_events_wait() -> None:
    bot, gate = over_socket(), asyncio.Event()

    class Slow(Box):
        async def accept(self, events: Sequence[Event], *, cursors: Mapping[str, str] | None = None) -> None:
            await gate.wait()

    async with talking(bot, Slow()) as line:
        line.feed(message(1))
        sending = asyncio.create_task(bot.send(delivery("你好")))
        asked = await line.answer({"message_id": 8})
        assert await sending == "8"
        assert asked["action"] == "send_private_msg"
        assert asked["params"] == {"user_id": 30003000, "message": [text_segment("你好")]}
        gate.set()


async def test_answers_find_who_asked() -> None:
    bot = over_socket()
    async with talking(bot) as line:
        sending = [asyncio.create_task(bot.send(delivery(str(number)))) for number in range(3)]
        asked = [await line.sent.get() for _ in sending]
        for one in reversed(asked):
            number = int(one["params"]["message"][0]["data"]["text"])
            line.feed({"status": "ok", "retcode": 0, "data": {"message_id": 100 + number}, "echo": one["echo"]})
        assert await asyncio.gather(*sending) == ["100", "101", "102"]


async def test_the_newest_connection_that_takes_actions_gets_them() -> None:
    bot = over_socket()
    async with talking(bot) as old, talking(bot, role="API") as new, talking(bot, role="Event") as events:
        sending = asyncio.create_task(bot.send(delivery()))
        await new.answer({"message_id": 1})
        await sending
        assert old.sent.empty() and events.sent.empty()


async def test_without_a_connection_nothing_was_sent() -> None:
    bot = over_socket()
    with pytest.raises(NetworkError, match="no OneBot client") as error:
        await bot.send(delivery())
    assert not error.value.sent_maybe
    async with talking(bot, role="Event"):
        with pytest.raises(NetworkError):
            await bot.send(delivery())
    async with talking(bot) as line:
        line.closed = True
        with pytest.raises(NetworkError) as error:
            await bot.send(delivery())
        assert not error.value.sent_maybe


async def test_a_connection_that_ends_leaves_it_in_doubt() -> None:
    bot = over_socket()
    async with talking(bot) as line:
        sending = asyncio.create_task(bot.send(delivery()))
        await line.sent.get()
    with pytest.raises(NetworkError, match="hung up") as error:
        await sending
    assert error.value.sent_maybe


async def test_no_answer_leaves_it_in_doubt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("adapters.onebot.api._SECONDS", 0.0)
    bot = over_socket()
    async with talking(bot) as line:
        with pytest.raises(NetworkError, match="no answer") as error:
            await bot.send(delivery())
        assert error.value.sent_maybe
        (late,) = [await line.sent.get()] if not line.sent.empty() else [{"echo": "kantu-1"}]
        line.feed({"status": "ok", "retcode": 0, "data": {}, "echo": late["echo"]})


async def test_stopping_hangs_up() -> None:
    bot = over_socket()
    running = asyncio.create_task(bot.run(Box()))
    async with talking(bot) as line:
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert line.closed
        await bot.close()


# ------------------------------------------------------------------- doctor


async def test_check_asks_who_is_logged_in() -> None:
    line = await adapter(answering(ok({"user_id": BOT, "nickname": "看图"}))).check()
    assert line == f"logged in as {BOT}, events by POST or reverse WebSocket"
    assert "POST or" not in await adapter(answering(ok({"user_id": str(BOT)})), secret="").check()
    with pytest.raises(ConfigError, match="self_id is"):
        await adapter(answering(ok({"user_id": 7}))).check()
    with pytest.raises(ActionFailed, match="logged in"):
        await adapter(answering(ok(None))).check()
    with pytest.raises(ActionFailed, match="access_token"):
        await adapter(answering(HttpAnswer(403, b""))).check()


async def test_check_before_a_client_is_there() -> None:
    bot = over_socket()
    assert await bot.check() == f"waiting for {BOT} at /webhook/onebot (reverse WebSocket)"
    async with talking(bot) as line:
        checking = asyncio.create_task(bot.check())
        await line.answer({"user_id": BOT})
        assert await checking == f"logged in as {BOT}, events by reverse WebSocket"


# ------------------------------------------------------------ the whole path


@pytest.fixture(params=["http", "ws"])
def simulated(request: pytest.FixtureRequest) -> Simulated:
    return Simulated(request.param)


async def test_a_question_with_a_picture(simulated: Simulated, tmp_path: Path) -> None:
    async with bot_on(simulated, tmp_path, answer="一只猫。[CQ:at,qq=all]"):
        asked = await simulated.say("图里是什么", [PNG])
        (got,) = await simulated.answers(1)
        assert (got.chat, got.text) == ("u1", "一只猫。[CQ:at,qq=all]")
        assert got.data["reply_to"] in ("", asked)
        assert simulated.calls["/pictures"] == 1
        assert simulated.refused == []


async def test_in_a_group(simulated: Simulated, tmp_path: Path) -> None:
    async with bot_on(simulated, tmp_path, answer="一只猫。"):
        await simulated.say("不是问你", group="g1", mention=False)
        await simulated.say("图里是什么", [PNG], group="g1", user="u2")
        (got,) = await simulated.answers(1)
        assert (got.chat, got.text) == ("g1", "一只猫。")
        assert len(simulated.sent) == 1 and simulated.refused == []


async def test_an_expired_address_and_a_quoted_picture(simulated: Simulated, tmp_path: Path) -> None:
    async with bot_on(simulated, tmp_path, answer="一只猫。"):
        shown = await simulated.say("", [PNG], group="g1", user="u2", mention=False)
        simulated.expire()
        await simulated.say("这是什么", group="g1", user="u3", reply_to=shown)
        await simulated.answers(1)
        assert simulated.calls["/get_msg"] == 1
        assert simulated.calls["/get_image"] >= 1
        assert simulated.calls["/pictures"] >= 2
        assert simulated.refused == []


async def test_pictures_that_have_no_address(simulated: Simulated, tmp_path: Path) -> None:
    simulated.local = True
    async with bot_on(simulated, tmp_path, answer="一只猫。"):
        await simulated.say("图里是什么", [PNG])
        await simulated.answers(1)
        assert simulated.calls["/get_image"] == 1 and simulated.calls["/pictures"] == 0


@pytest.mark.parametrize("nodes", [False, True])
async def test_a_forwarded_bundle(simulated: Simulated, tmp_path: Path, nodes: bool) -> None:
    simulated.nodes = nodes
    async with bot_on(simulated, tmp_path, answer="一段聊天。"):
        await simulated.forward([("安", "看", [PNG]), ("波", "好看", [])])
        (got,) = await simulated.answers(1)
        assert got.text == "一段聊天。"
        assert simulated.calls["/get_forward_msg"] == 1 and simulated.calls["/pictures"] == 1
        assert simulated.refused == []


async def test_a_muted_group_gets_nothing(simulated: Simulated, tmp_path: Path) -> None:
    simulated.muted = {"g1"}
    async with bot_on(simulated, tmp_path, answer="一只猫。"):
        await simulated.say("图里是什么", [PNG], group="g1")
        await simulated.until(lambda: simulated.calls["/send_group_msg"] > 0 or simulated.sent != [])
        await simulated.say("图里是什么", [PNG])
        (got,) = await simulated.answers(1)
        assert got.chat == "u1" and simulated.calls["/send_group_msg"] == 1


async def test_a_lost_connection_is_taken_up_again(tmp_path: Path) -> None:
    simulated = Simulated("ws")
    async with bot_on(simulated, tmp_path, answer="一只猫。"):
        await simulated.say("图里是什么", [PNG])
        await simulated.answers(1)
        await simulated.hang_up()
        await simulated.say("图里是什么", [PNG], user="u2")
        assert [one.chat for one in await simulated.answers(2)] == ["u1", "u2"]


async def test_a_busy_api_is_asked_again(tmp_path: Path) -> None:
    simulated = Simulated("http")
    async with bot_on(simulated, tmp_path, answer="一只猫。"):
        simulated.faults.append(Fault("send_private_msg", 429, headers={"Retry-After": "0"}))
        await simulated.say("图里是什么", [PNG])
        await simulated.answers(1)
        assert simulated.calls["/send_private_msg"] == 2


async def test_the_simulated_client_refuses_a_wrong_token(tmp_path: Path) -> None:
    simulated = Simulated("http")
    async with bot_on(simulated, tmp_path, section={"access_token": "another"}):
        await simulated.say("图里是什么", [PNG])
        await simulated.until(lambda: bool(simulated.refused))
        assert simulated.refused[0] == "/send_private_msg: token" and simulated.sent == []


async def test_a_wrong_handshake_is_refused_over_http(tmp_path: Path) -> None:
    simulated = Simulated("ws")
    async with bot_on(simulated, tmp_path):
        simulated.token = "another"
        with pytest.raises(aiohttp.WSServerHandshakeError) as error:
            await simulated.connected()
        assert error.value.status == 403


# ------------------------------------------------------------- a real peer


@pytest.fixture
async def peer() -> AsyncIterator[Peer]:
    """A nonebot2 program that knows the simulated account's keys."""
    found = Peer()
    await found.start()
    yield found
    await found.stop()


class Peer:
    """Runs `onebot_peer.py`."""

    def __init__(self) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self.process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        keys = {"SECRET": SECRET, "TOKEN": TOKEN, "PORT": str(self.port), "ANSWER": os.environ.get("ANSWER", "")}
        self.process = await asyncio.create_subprocess_exec(
            sys.executable,
            str(Path(__file__).with_name("onebot_peer.py")),
            env={**os.environ, **keys},
            stdout=asyncio.subprocess.PIPE,
        )
        async with asyncio.timeout(60):
            while not await self.listens():  # noqa: ASYNC110
                await asyncio.sleep(0.05)

    async def listens(self) -> bool:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", self.port)
        except OSError:
            return False
        writer.close()
        await writer.wait_closed()
        return True

    async def taken(self) -> dict[str, Any]:
        assert self.process is not None and self.process.stdout is not None
        async with asyncio.timeout(30):
            line = b""
            while not line.startswith(b"{"):
                # The library says hello before it has read how little it may say.
                line = await self.process.stdout.readline()
                assert line, "the peer has ended"
            return json.loads(line)

    async def stop(self) -> None:
        assert self.process is not None
        self.process.terminate()
        await self.process.wait()


def ours(event: dict[str, Any]) -> dict[str, Any]:
    """What we take a simulated event to be, in the peer's words."""
    body = json.dumps(event).encode()
    headers = {"x-signature": signature(SECRET, body)}
    received = adapter().receive(Request("POST", "/", {}, headers, body, event["time"]))
    (found,) = received.events
    assert isinstance(found, MessageEvent)
    return {
        "message_id": found.message_id,
        "user": found.sender.id,
        "chat": found.conversation.chat_id,
        "to_me": found.to_me,
        "text": found.message.text,
        "images": [dict(_pairs(image))["url"] for image in found.message.images],
        "reply": found.reply_to,
    }


def _pairs(image: Image) -> Iterator[tuple[str, str]]:
    from urllib.parse import parse_qsl

    yield from parse_qsl(image.source)


def simulated_for_peer(ways: Any, peer: Peer) -> Simulated:
    simulated = Simulated(ways, self_id=BOT)
    simulated.secret, simulated.token = SECRET, TOKEN
    simulated.webhook = f"http://127.0.0.1:{peer.port}/onebot/v11/"
    return simulated


async def test_nonebot_takes_our_simulated_events_as_we_do(peer: Peer) -> None:
    simulated = simulated_for_peer("http", peer)
    escaped = f"[CQ:at,qq={BOT}] 看&#91;图&#93;&amp;amp;[CQ:image,file=a,url=https://gchat.qpic.cn/a?x=1&amp;y=2&#44;3]"
    for event in (
        simulated.event([text_segment("你好")]),
        simulated.event([text_segment("图里是什么"), simulated.picture(PNG)]),
        simulated.event([at_segment(BOT), text_segment(" 看 "), at_segment(99999)], group="g1"),
        simulated.event([text_segment("大家好")], group="g1"),
        {**simulated.event([], group="g1"), "message": escaped},
        # Not a bare &#44;, which the library unescapes and the protocol does not.
        {**simulated.event([]), "message": "&#91;CQ:at,qq=1&#93; &amp;#44; &amp;amp;"},
    ):
        await simulated.send_event(event)
        assert await peer.taken() == ours(event)


async def test_nonebot_refuses_what_we_refuse(peer: Peer) -> None:
    simulated = simulated_for_peer("http", peer)
    body = json.dumps(simulated.event([text_segment("x")])).encode()
    for given in (signature("another", body), ""):
        status, _ = await simulated.deliver(body, {**simulated.headers(body), "x-signature": given})
        assert status in (401, 403)
        with pytest.raises(Rejected):
            adapter().receive(Request("POST", "/", {}, {"x-signature": given}, body, NOW))


async def test_nonebot_talks_to_our_simulated_client(monkeypatch: pytest.MonkeyPatch) -> None:
    """The simulated client speaks OneBot as a real library expects it; the same one speaks to us above."""
    monkeypatch.setenv("ANSWER", "yes")
    peer = Peer()
    await peer.start()
    simulated = simulated_for_peer("ws", peer)
    await simulated.start()
    try:
        shown = await simulated.say("看", [PNG], group="g1", mention=False)
        assert (await peer.taken())["to_me"] is False
        await simulated.answers(1)
        asked = await simulated.say("这是什么", group="g1", reply_to=shown)
        taken = await peer.taken()
        assert (taken["reply"], taken["text"], taken["to_me"]) == (shown, "这是什么", True)
        _, got = await simulated.answers(2)
        assert (got.chat, got.text) == ("g1", "收到这是什么")
        assert int(asked) in simulated.messages and simulated.refused == []
    finally:
        await simulated.stop()
        await peer.stop()
