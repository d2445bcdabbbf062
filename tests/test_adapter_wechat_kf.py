"""WeChat's customer service: configuration, pulling, sessions, messages out, and the whole path."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from fakes import FakeClock, FakeHttp
from pictures import drawing, encoded
from simulation import bot_on
from vectors_wechat_kf import AES_KEY, CALLBACK, CORP_ID, NOW, OPEN_KFID, SIGNER, SYNC_TOKEN, TOKEN

from adapters.simulated.envelope import document
from adapters.simulated.platform import Fault
from adapters.simulated.wechat_kf import Simulated
from adapters.wechat_kf import Adapter, Config
from adapters.wechat_kf.page import page_events
from adapters.wechat_kf.puller import Puller
from bot.adapter import Ack, Received, Request
from bot.clock import Clock
from bot.config import MediaConfig, convert
from bot.errors import ActionFailed, ConfigError, FetchFailed, NetworkError, StoreFull, WindowClosed
from bot.event import Conversation, Delivery, Event, File, Sender
from bot.fetch import Fetcher
from bot.http import HttpAnswer
from bot.message import Image, Text

SECTION: dict[str, Any] = {
    "corp_id": CORP_ID,
    "secret": "s3cret",
    "token": TOKEN,
    "encoding_aes_key": AES_KEY,
    "open_kfids": [OPEN_KFID],
}
WHERE = Conversation("wechat_kf", "default", f"{OPEN_KFID}:wmAnn")
PNG = encoded(drawing())
REPORT = File("报告.md", "text/markdown", "# 报告".encode())
OK = {"errcode": 0, "errmsg": "ok"}


def adapter(http: Any = None, **section: Any) -> Adapter:
    return Adapter("wechat_kf", convert(SECTION | section, Config, environ={}), http or FakeHttp(), FakeClock(NOW))


def received(values: Mapping[str, str | int], **section: Any) -> Received:
    ciphertext = SIGNER.seal(document(values))
    query = SIGNER.query(str(NOW), "n", ciphertext)
    return adapter(**section).receive(Request("POST", "/", query, {}, document({"Encrypt": ciphertext}), NOW))


def delivery(text: str = "答案", **fields: Any) -> Delivery:
    parts = () if "file" in fields else (Text(text),)
    return Delivery("k1", WHERE, parts, "m1", asked_at=NOW, **fields)


class Platform(FakeHttp):
    """Answers gettoken, and other calls by path: with the next of `answers[path]`, else with an ok."""

    def __init__(self, **answers: list[Any]) -> None:
        super().__init__()
        self.answers = answers
        self.paths: list[str] = []
        self.used: list[str] = []
        self.asked: list[dict[str, Any]] = []
        self.answer = self._answer
        self.tokens = 0

    def _answer(self, method: str, url: str, body: bytes) -> HttpAnswer:
        path = urlsplit(url).path.removeprefix("/cgi-bin/")
        if path == "gettoken":
            self.tokens += 1
            return reply(OK | {"access_token": f"t{self.tokens}", "expires_in": 7200})
        self.paths.append(path)
        self.used += parse_qs(urlsplit(url).query)["access_token"]
        if body.startswith(b"{"):
            self.asked.append(json.loads(body))
        left = self.answers.get(path.rsplit("/", maxsplit=1)[-1], [])
        found = left.pop(0) if left else OK
        return HttpAnswer(found, b"") if isinstance(found, int) else reply(found)

    async def media(self, url: str, **_: Any) -> HttpAnswer:
        found = self.answers["media"].pop(0)
        return reply(found) if isinstance(found, dict) else found


def reply(data: dict[str, Any]) -> HttpAnswer:
    return HttpAnswer(200, json.dumps(data).encode(), headers={"content-type": "application/json"})


def refusal(code: int, text: str = "no") -> dict[str, Any]:
    return {"errcode": code, "errmsg": text}


# Configuration


@pytest.mark.parametrize(
    ("section", "named"),
    [
        ({"corp_id": ""}, "corp_id"),
        ({"secret": ""}, "secret"),
        ({"token": ""}, "token"),
        ({"encoding_aes_key": ""}, "encoding_aes_key"),
        ({"encoding_aes_key": "x" * 44}, "encoding_aes_key"),
        ({"open_kfids": [""]}, "open_kfids"),
        ({"handover_state": 3}, "servicer"),
        ({"servicer": "zhangsan"}, "servicer"),
        ({"api_base": "qyapi.weixin.qq.com"}, "api_base"),
        ({"api_base": "https://x:y"}, "api_base"),
    ],
)
def test_what_cannot_be_used_is_refused(section: dict[str, Any], named: str):
    with pytest.raises(ConfigError, match=f"adapters.wechat_kf.{named}"):
        adapter(**section)


def test_warnings():
    assert adapter().warnings() == ()
    assert len(adapter(api_base="http://wecom.example.com").warnings()) == 1


# Callbacks


def test_a_callback_says_what_to_pull():
    found = received(CALLBACK)
    assert found.events == () and found.ignored == "" and found.ack == Ack(200, b"success")
    assert found.raw == {"open_kfid": OPEN_KFID, "sync_token": SYNC_TOKEN}


def test_accounts_of_others_are_left_to_them():
    other = CALLBACK | {"OpenKfId": "wkOther"}
    found = received(other)
    assert found.ignored == "wrong_bot" and found.ack == Ack(200, b"success")
    assert received(other, open_kfids=[]).ignored == ""


# Pages


def item(msgid: str, text: str = "能赔吗", **fields: Any) -> dict[str, Any]:
    named = {"open_kfid": OPEN_KFID, "external_userid": "wmAnn", "send_time": NOW, "origin": 3, "msgtype": "text"}
    return {"msgid": msgid, **named, "text": {"content": text, "menu_id": ""}, **fields}


def test_what_customers_write_becomes_messages_in_order():
    told = {"event_type": "enter_session", "open_kfid": OPEN_KFID, "external_userid": "wmAnn", "scene": "1"}
    items = [
        {"origin": 4, "msgtype": "event", "send_time": NOW, "event": told},
        item("m1", " 包装破了\n"),
        item("m2", msgtype="image", image={"media_id": "media-1"}),
        item("m3", origin=5, servicer_userid="kf01"),
        item("m4", origin=4),
        item("m5", msgtype="voice", voice={"media_id": "v"}),
        item("m6", "  "),
    ]
    page = page_events({"msg_list": items, "next_cursor": "c1", "has_more": 1}, "wechat_kf", "default")
    assert (page.cursor, page.more, page.failures) == ("c1", True, ())
    first, second, third = page.events
    assert (first.id, first.message_id, first.conversation, first.sender) == ("m1", "m1", WHERE, Sender("wmAnn"))
    assert first.message.text == "包装破了" and first.timestamp == NOW and first.to_me
    assert (second.id, second.message.parts) == ("m2", (Image("media-1"),))
    assert (third.id, third.message.parts) == ("m6", ())


@pytest.mark.parametrize(
    "bad",
    [
        None,
        1,
        [],
        {},
        item(""),
        item("m", send_time="1"),
        item("m", send_time=-1),
        item("m", open_kfid=None),
        item("m", external_userid=""),
        item("m") | {"text": "x"},
        item("m") | {"text": {}},
        item("m", msgtype="image"),
        item("m", msgtype=["text"]),
        item("m", origin=True),
        {"event": "x", "msgtype": "event"},
        {"event": {"event_type": []}, "msgtype": "event"},
    ],
)
def test_the_cursor_gets_past_what_cannot_be_read(bad: Any):
    page = page_events({"msg_list": [bad, item("m2")], "next_cursor": "c", "has_more": 0}, "k", "d")
    assert [event.id for event in page.events] == ["m2"] and page.cursor == "c"


@pytest.mark.parametrize("data", [{}, {"msg_list": None}, {"msg_list": "x", "has_more": "1", "next_cursor": 5}])
def test_an_odd_page_is_an_empty_one(data: dict[str, Any]):
    page = page_events(data, "k", "d")
    assert (page.events, page.cursor, page.more) == ((), "", False)


@pytest.mark.parametrize(("kind", "words"), [(4, "48 hours"), (10, "refuses"), (6, "five"), (99, "99"), ("x", "x")])
def test_messages_that_did_not_arrive_are_told(kind: Any, words: str):
    event = {"event_type": "msg_send_fail", "fail_msgid": "f1", "fail_type": kind}
    page = page_events({"msg_list": [{"msgtype": "event", "origin": 4, "event": event}]}, "k", "d")
    (told,) = page.failures
    assert "f1" in told and words in told


# Pulling


class Memory:
    """An inbox. stored: ids in order, without copies; failing: how many of the next writes fail, keeping nothing.

    room: how many writes go well before all fail.
    """

    def __init__(self) -> None:
        self.stored: list[str] = []
        self.cursors: dict[str, str] = {}
        self.failing = 0
        self.room = 1_000_000
        self.tries = 0
        self._changed = asyncio.Event()

    async def accept(self, events: Sequence[Event], *, cursors: Mapping[str, str] | None = None) -> None:
        self.tries += 1
        self._changed.set()
        if self.failing or not self.room:
            self.failing = max(0, self.failing - 1)
            raise StoreFull("no room")
        self.room -= 1
        for event in events:
            if event.id not in self.stored:
                self.stored.append(event.id)
        self.cursors |= cursors or {}

    async def cursor(self, key: str) -> str:
        return self.cursors.get(key, "")

    async def until(self, condition: Any) -> None:
        async with asyncio.timeout(20):
            while not condition():
                self._changed.clear()
                await self._changed.wait()


class Eager(Clock):
    """Does not wait between tries."""

    def jitter(self, seconds: float) -> float:
        return 0.0


@asynccontextmanager
async def server(**options: Any) -> AsyncIterator[Simulated]:
    simulated = Simulated(**options)
    await simulated.start()
    try:
        yield simulated
    finally:
        await simulated.stop()


@asynccontextmanager
async def puller(simulated: Simulated, inbox: Memory, **section: Any) -> AsyncIterator[Adapter]:
    """A running adapter; killed at the end."""
    fetcher = Fetcher(MediaConfig())
    config = convert(simulated.section() | {"pull_every": 600} | section, Config, environ={})
    one = Adapter("wechat_kf", config, fetcher, Eager())
    running = asyncio.create_task(one.run(inbox))
    try:
        yield one
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
        await fetcher.close()


async def call_back(one: Adapter, simulated: Simulated, token: str = "") -> None:
    """As the webhook does it."""
    raw = {"open_kfid": simulated.open_kfid, "sync_token": token}
    await one.acknowledge(Received(raw=raw))


@pytest.mark.parametrize("options", [{}, {"page": 2}, {"page": 2, "has_gaps": True}])
async def test_all_pages_are_pulled(options: dict[str, Any]):
    async with server(**options) as simulated:
        written = [simulated.write("image", {"media_id": f"p{number}"}) for number in range(5)]
        simulated.happen({"event_type": "enter_session"})
        written.append(simulated.write("text", {"content": "都看看"}))
        inbox = Memory()
        async with puller(simulated, inbox):
            await inbox.until(lambda: len(inbox.stored) == 6)
            await inbox.until(lambda: inbox.cursors[f"wechat_kf/default/{simulated.open_kfid}"] == "7")
        assert inbox.stored == written and simulated.refused == []


@pytest.mark.parametrize("lost", [1, 2, 3])
async def test_killed_between_page_and_commit(lost: int):
    """The write of page number `lost` fails, and the process is killed then."""
    async with server(page=2) as simulated:
        written = [simulated.write("image", {"media_id": f"p{number}"}) for number in range(5)]
        inbox = Memory()
        inbox.room = lost - 1
        async with puller(simulated, inbox):
            await inbox.until(lambda: inbox.tries >= lost)
        assert len(inbox.stored) == 2 * (lost - 1)
        inbox.room = 1_000_000
        async with puller(simulated, inbox):
            await inbox.until(lambda: len(inbox.stored) == 5)
        assert inbox.stored == written


async def test_a_full_store_is_waited_for():
    async with server(page=2) as simulated:
        written = [simulated.write("text", {"content": "x"}) for _ in range(5)]
        inbox = Memory()
        inbox.failing = 3
        async with puller(simulated, inbox):
            await inbox.until(lambda: len(inbox.stored) == 5)
        assert inbox.stored == written


async def test_what_came_again_is_stored_once():
    async with server() as simulated:
        simulated.write("text", {"content": "x"})
        simulated.items.append(dict(simulated.items[0]))
        last = simulated.write("text", {"content": "y"})
        inbox = Memory()
        async with puller(simulated, inbox):
            await inbox.until(lambda: last in inbox.stored)
        assert len(inbox.stored) == 2


async def test_at_first_old_messages_are_passed_over():
    async with server(page=1) as simulated:
        simulated.write("text", {"content": "三天前"}, sent_at=1_700_000_000)
        simulated.write("text", {"content": "两天前"}, sent_at=1_700_000_001)
        new = simulated.write("text", {"content": "刚才"})
        inbox = Memory()
        async with puller(simulated, inbox):
            await inbox.until(lambda: inbox.stored)
        assert inbox.stored == [new]


async def test_old_messages_stay_passed_over_when_the_first_run_was_cut_off():
    async with server(page=1) as simulated:
        for number in range(3):
            simulated.write("text", {"content": "x"}, sent_at=1_700_000_000 + number)
        new = simulated.write("text", {"content": "刚才"})
        inbox = Memory()
        async with puller(simulated, inbox):
            await inbox.until(lambda: inbox.tries == 1)
        async with puller(simulated, inbox, first_backlog=10**9):
            await inbox.until(lambda: inbox.stored)
        assert inbox.stored == [new]


async def test_a_lost_callback_is_made_up_for():
    async with server() as simulated:
        inbox = Memory()
        async with puller(simulated, inbox, pull_every=0.02):
            await inbox.until(lambda: inbox.tries)
            written = simulated.write("text", {"content": "x"})
            await inbox.until(lambda: inbox.stored)
        assert inbox.stored == [written]


async def test_a_callback_wakes_the_loop():
    async with server() as simulated:
        inbox = Memory()
        async with puller(simulated, inbox) as one:
            await inbox.until(lambda: inbox.tries)
            written = simulated.write("text", {"content": "x"})
            await call_back(one, simulated)
            await inbox.until(lambda: inbox.stored)
        assert inbox.stored == [written]


async def test_an_ended_sync_token_is_left_out():
    async with server() as simulated:
        inbox = Memory()
        async with puller(simulated, inbox) as one:
            await inbox.until(lambda: inbox.tries)
            written = simulated.write("text", {"content": "x"})
            await call_back(one, simulated, "ended long ago")
            await inbox.until(lambda: inbox.stored)
        assert inbox.stored == [written]
        assert simulated.calls["/cgi-bin/kf/sync_msg"] == 3


@pytest.mark.parametrize("answer", [refusal(-1), refusal(95000), refusal(42001), refusal(45033)])
async def test_a_refusal_moves_nothing(answer: dict[str, Any]):
    async with server() as simulated:
        written = simulated.write("text", {"content": "x"})
        simulated.faults.append(Fault("sync_msg", data=answer | {"next_cursor": "99", "msg_list": [], "has_more": 0}))
        inbox = Memory()
        async with puller(simulated, inbox):
            await inbox.until(lambda: inbox.stored)
        assert inbox.stored == [written] and list(inbox.cursors.values()).count("99") == 0


async def test_broken_answers_are_survived():
    async with server() as simulated:
        written = simulated.write("text", {"content": "x"})
        simulated.faults += [Fault("gettoken", 200), Fault("gettoken", 502)]
        simulated.faults += [Fault("sync_msg", drop=True), Fault("sync_msg", 502)]
        inbox = Memory()
        async with puller(simulated, inbox):
            await inbox.until(lambda: inbox.stored)
        assert inbox.stored == [written]


async def test_a_surprise_is_survived(caplog: pytest.LogCaptureFixture):
    class Odd(Memory):
        async def cursor(self, key: str) -> str:
            if not self.tries:
                self.tries += 1
                raise RuntimeError("odd")
            return await super().cursor(key)

    async with server() as simulated:
        simulated.write("text", {"content": "x"})
        inbox = Odd()
        async with puller(simulated, inbox):
            await inbox.until(lambda: inbox.stored)
    assert "odd" in caplog.text


async def test_all_accounts_of_the_app_are_served_when_none_is_named():
    async with server() as simulated:
        written = simulated.write("text", {"content": "x"})
        simulated.faults.append(Fault("account/list", data=refusal(45033)))
        inbox = Memory()
        async with puller(simulated, inbox, open_kfids=[]):
            await inbox.until(lambda: inbox.stored)
        assert inbox.stored == [written]


async def test_more_without_a_way_there_is_no_endless_loop():
    page = OK | {"msg_list": [], "has_more": 1, "next_cursor": "c1"}
    http = Platform(sync_msg=[page, page])
    inbox = Memory()
    running = asyncio.create_task(adapter(http).run(inbox))
    await inbox.until(lambda: inbox.tries == 2)
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
    assert [asked.get("cursor", "") for asked in http.asked] == ["", "c1"]
    assert http.asked[0] == {"limit": 1000, "open_kfid": OPEN_KFID}


def test_pauses_grow_and_hold_what_was_asked_for():
    one = Puller(None, FakeClock(), "k", "d", (), first_backlog=0, every=1)  # pyright: ignore[reportArgumentType]
    plain = ActionFailed("no")
    assert [one._pause(failures, plain) for failures in (1, 2, 3, 7, 9000)] == [1, 2, 4, 60, 60]
    assert one._pause(1, NetworkError("slow", retry_after=60.0)) == 61


async def test_the_bot_is_silent_where_a_person_serves():
    async with server() as simulated:
        for user, state in (("a", 0), ("b", 1), ("c", 2), ("d", 3)):
            simulated.write("text", {"content": "在吗"}, user=user)
            simulated.customers[user].state = state
        expected = [one["msgid"] for one in simulated.items[:2]]
        simulated.write("text", {"content": "您好"}, user="d", origin=5)
        inbox = Memory()
        async with puller(simulated, inbox):
            await inbox.until(lambda: inbox.stored)
        assert inbox.stored == expected


async def test_customers_are_answered_when_nothing_is_known_of_their_session():
    async with server() as simulated:
        written = simulated.write("text", {"content": "在吗"})
        simulated.faults.append(Fault("service_state/get", status=502))
        inbox = Memory()
        async with puller(simulated, inbox):
            await inbox.until(lambda: inbox.stored)
        assert inbox.stored == [written]


# What is sent


async def test_a_text():
    http = Platform(send_msg=[OK | {"msgid": "x1"}])
    sender = adapter(http)
    assert await sender.send(delivery()) == "x1"
    await sender.send(delivery())
    first, second = http.asked
    assert first == second
    key = first.pop("msgid")
    assert len(key) == 32 and key.isalnum()
    assert first == {"touser": "wmAnn", "open_kfid": OPEN_KFID, "msgtype": "text", "text": {"content": "答案"}}


async def test_a_message_that_is_there_already_is_not_sent_twice():
    http = Platform(send_msg=[502, refusal(40058, "msgid is not unique, hint: [1]")])
    sender = adapter(http)
    with pytest.raises(NetworkError) as error:
        await sender.send(delivery())
    assert error.value.sent_maybe and sender.limits.idempotent_send
    assert await sender.send(delivery()) == http.asked[0]["msgid"]


async def test_a_file():
    http = Platform(upload=[OK | {"media_id": "f1"}])
    await adapter(http).send(delivery(file=REPORT))
    assert http.paths == ["media/upload", "kf/send_msg"]
    assert http.asked[-1]["file"] == {"media_id": "f1"} and http.asked[-1]["msgtype"] == "file"


@pytest.mark.parametrize("answer", [503, OK])
async def test_without_the_upload_nothing_was_sent(answer: Any):
    with pytest.raises(NetworkError) as error:
        await adapter(Platform(upload=[answer])).send(delivery(file=REPORT))
    assert not error.value.sent_maybe


@pytest.mark.parametrize(
    ("code", "kind", "mend"),
    [
        (95001, WindowClosed, "five"),
        (95002, WindowClosed, "48 hours"),
        (95013, WindowClosed, "ended"),
        (95018, ActionFailed, "a person serves"),
        (95000, ActionFailed, "open_kfids"),
        (95011, ActionFailed, "API"),
        (45002, ActionFailed, "2048"),
        (48002, ActionFailed, "可调用接口的应用"),
        (60020, ActionFailed, "可信IP"),
        (12345, ActionFailed, "12345"),
    ],
)
async def test_refusals(code: int, kind: type[ActionFailed | WindowClosed], mend: str):
    with pytest.raises(kind, match=mend) as error:
        await adapter(Platform(send_msg=[refusal(code)])).send(delivery())
    assert error.value.code == str(code)


@pytest.mark.parametrize(("code", "pause"), [(-1, 1.0), (45009, 60.0), (45033, 1.0)])
async def test_refusals_of_a_moment(code: int, pause: float):
    with pytest.raises(NetworkError) as error:
        await adapter(Platform(send_msg=[refusal(code)])).send(delivery())
    assert error.value.retry_after == pause and not error.value.sent_maybe


async def test_a_token_that_has_ended_is_fetched_anew():
    http = Platform(send_msg=[refusal(42001), refusal(40014), OK])
    with pytest.raises(ActionFailed):
        await adapter(http).send(delivery())
    assert http.used == ["t1", "t2"]
    http = Platform(send_msg=[refusal(42001)])
    await adapter(http).send(delivery())
    assert http.used == ["t1", "t2"]


async def test_a_conversation_of_another_kind():
    elsewhere = Delivery("k", Conversation("wechat_kf", "default", "wmAnn"), (Text("x"),))
    with pytest.raises(ActionFailed, match="open_kfid"):
        await adapter().send(elsewhere)


@pytest.mark.parametrize(
    ("section", "asked"),
    [
        ({}, {"service_state": 2}),
        ({"handover_state": 3, "servicer": "kf01"}, {"service_state": 3, "servicer_userid": "kf01"}),
    ],
)
async def test_a_person_takes_over_after_the_text(section: dict[str, Any], asked: dict[str, Any]):
    http = Platform()
    await adapter(http, **section).send(delivery(handover=True))
    assert http.paths == ["kf/send_msg", "kf/service_state/trans"]
    assert http.asked[-1] == {"open_kfid": OPEN_KFID, "external_userid": "wmAnn", **asked}


async def test_a_hand_over_that_is_refused_is_for_the_operator(caplog: pytest.LogCaptureFixture):
    http = Platform(send_msg=[OK | {"msgid": "x1"}], trans=[refusal(95016)])
    with caplog.at_level(logging.ERROR):
        assert await adapter(http).send(delivery(handover=True)) == "x1"
    assert "handover_state" in caplog.text


async def test_a_hand_over_is_tried_again():
    http = Platform(send_msg=[OK, refusal(40058, "msgid repeated")], trans=[502])
    sender = adapter(http)
    with pytest.raises(NetworkError):
        await sender.send(delivery(handover=True))
    await sender.send(delivery(handover=True))
    assert http.paths == ["kf/send_msg", "kf/service_state/trans"] * 2


# Pictures


@pytest.mark.parametrize(
    ("answer", "code", "retry"),
    [
        (refusal(40007), "gone", False),
        (HttpAnswer(404, b""), "gone", False),
        (refusal(60020), "refused", False),
        (refusal(45009), "unreachable", True),
        (HttpAnswer(502, b""), "unreachable", True),
    ],
)
async def test_pictures_that_cannot_be_had(answer: Any, code: str, retry: bool):
    with pytest.raises(FetchFailed) as error:
        await adapter(Platform(media=[answer])).download(Image("m1"))
    assert (error.value.code, error.value.retry) == (code, retry)


async def test_a_picture_with_a_token_that_has_ended():
    http = Platform(media=[refusal(42001), HttpAnswer(200, PNG)])
    assert await adapter(http).download(Image("m1")) == PNG
    assert http.tokens == 2


# The fake server and the whole path


async def test_doctor():
    async with server() as simulated:
        fetcher = Fetcher(MediaConfig())

        async def check(**section: Any) -> str:
            config = convert(simulated.section() | section, Config, environ={})
            return await Adapter("wechat_kf", config, fetcher, FakeClock()).check()

        try:
            assert await check() == "access token works, accounts: 看图客服"
            assert await check(open_kfids=[]) == "access token works, accounts: 看图客服"
            with pytest.raises(ConfigError, match="wkOther"):
                await check(open_kfids=["wkOther"])
            simulated.faults.append(Fault("account/list", data=OK | {"account_list": []}))
            with pytest.raises(ConfigError, match="通过 API"):
                await check(open_kfids=[])
            simulated.faults.append(Fault("account/list", data=OK | {"account_list": [{}]}))
            with pytest.raises(ActionFailed, match="cannot be read"):
                await check()
            with pytest.raises(ActionFailed) as error:
                await check(secret="x")
            assert error.value.code == "40001"
        finally:
            await fetcher.close()


async def test_five_screenshots_and_their_question(tmp_path: Path):
    pictures = [encoded(drawing(64 + number, 48)) for number in range(5)]
    async with bot_on(Simulated(page=2, has_gaps=True), tmp_path, answer="五张图都看过了。") as simulated:
        assert await simulated.handshake() == (200, b"1234567890")
        await simulated.say("这几张图都说了什么", pictures)
        (got,) = await simulated.answers(1)
        assert got.chat == "u1" and got.text.startswith("五张图都看过了。")
        assert simulated.calls["/cgi-bin/media/get"] == 5 and simulated.refused == []


async def test_repeated_callbacks_are_answered_once(tmp_path: Path):
    async with bot_on(Simulated(), tmp_path, answer="好的") as simulated:
        await simulated.say("你好")
        for _ in range(5):
            await simulated.call_back()
        await simulated.answers(1)
        simulated.expire_token()
        simulated.expire_sync_tokens()
        await simulated.say("还在吗")
        await simulated.answers(2)
        assert len(simulated.sent) == 2 and simulated.refused == []


async def test_a_customer_asks_for_a_person(tmp_path: Path):
    async with bot_on(Simulated(), tmp_path, answer="好的") as simulated:
        await simulated.say("我要找真人客服")
        await simulated.until(lambda: simulated.handed)
        assert simulated.handed == [("u1", 2, "")]
        await simulated.say("在吗")
        await simulated.say("你好", user="u2")
        await simulated.until(lambda: any(one.chat == "u2" for one in simulated.sent))
        assert [one.chat for one in simulated.sent] == ["u1", "u2"]


async def test_more_pieces_than_may_be_sent_come_with_the_next_message(tmp_path: Path):
    answer = "。".join(f"第{number}句话说的是图里的内容" for number in range(400)) + "。"
    async with bot_on(Simulated(), tmp_path, answer=answer) as simulated:
        await simulated.say("图里是什么", [PNG])
        await simulated.until(lambda: len(simulated.sent) == 5)
        assert simulated.refused == [] and "第399句" not in simulated.sent[-1].text
        await simulated.say("继续")
        await simulated.until(lambda: any("第399句" in one.text for one in simulated.sent))
        assert simulated.refused == []
