"""Satori: configuration, elements, pictures, quoted messages, answers, and the whole path."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import unquote

import msgspec
import pytest
from aiohttp import web
from fakes import FakeClock, FakeHttp
from pictures import drawing, encoded
from simulation import bot_on
from vectors_satori import API_TOKEN, NOW, PICTURE, PLATFORM, SELF, TOKEN, event, headers, markup, picture

from adapters.satori import Adapter, Config
from adapters.simulated.platform import Fault, Sent, SimulatedPlatform
from bot.adapter import Received, Request
from bot.config import convert
from bot.errors import ActionFailed, ConfigError, FetchFailed, NetworkError, Rejected
from bot.event import Conversation, Delivery, MessageEvent
from bot.http import HttpAnswer
from bot.message import Image, Quote, Text, user

SECTION: dict[str, Any] = {
    "webhook_token": TOKEN,
    "api_base": "http://127.0.0.1:5140/satori",
    "api_token": API_TOKEN,
    "login_platform": PLATFORM,
    "login_user_id": SELF,
}
API = "http://127.0.0.1:5140/satori/v1"
PNG = encoded(drawing())
ONLINE = {"user": {"id": SELF}, "platform": PLATFORM, "status": 1}


def adapter(http: FakeHttp | None = None, **section: Any) -> Adapter:
    return Adapter("satori", convert(SECTION | section, Config, environ={}), http or FakeHttp(), FakeClock(NOW))


def receive(one: Adapter, content: str, id: str = "m1", **fields: Any) -> Received:
    body = json.dumps(event(content, id, **fields)).encode()
    sent = {name.lower(): value for name, value in headers().items()}
    return one.receive(Request("POST", "/webhook/satori", {}, sent, body, NOW))


def event_of(received: Received) -> MessageEvent:
    (found,) = received.events
    assert isinstance(found, MessageEvent)
    return found


def delivery(text: str = "一朵花", **fields: Any) -> Delivery:
    return Delivery("k1", Conversation("satori", "default", "c1", "group"), (Text(text),), **fields)


def answering(answer: Any, status: int = 200) -> FakeHttp:
    return FakeHttp(status, answer if isinstance(answer, bytes) else msgspec.json.encode(answer))


def posted(http: FakeHttp) -> tuple[str, Any]:
    url, body, sent = http.posted[-1]
    assert sent["authorization"] == f"Bearer {API_TOKEN}"
    assert (sent["satori-platform"], sent["satori-user-id"]) == (PLATFORM, SELF)
    return url.removeprefix(API), json.loads(body)


# Configuration


@pytest.mark.parametrize(
    ("section", "where"),
    [
        ({"webhook_token": ""}, "webhook_token"),
        ({"webhook_token": " x"}, "webhook_token"),
        ({"webhook_token": "口令"}, "webhook_token"),
        ({"api_token": "a\nb"}, "api_token"),
        ({"login_platform": ""}, "login_platform"),
        ({"login_user_id": ""}, "login_user_id"),
        ({"login_user_id": "a\r\nb"}, "login_user_id"),
        ({"api_base": ""}, "api_base"),
        ({"api_base": "ftp://a"}, "api_base"),
        ({"api_base": "http://a/?x"}, "api_base"),
        ({"api_base": "http://user@a/"}, "api_base"),
    ],
)
def test_unusable_configuration(section: dict[str, Any], where: str):
    with pytest.raises(ConfigError, match=where):
        adapter(**section)


def test_secrets_stay_secret():
    one = adapter()
    assert TOKEN not in repr(one.config) and API_TOKEN not in repr(one.config)


async def test_bases_and_limits():
    http = answering([{"id": "1"}])
    for base in ("http://127.0.0.1:5140/satori", "http://127.0.0.1:5140/satori/", "http://127.0.0.1:5140/satori/v1"):
        await adapter(http, api_base=base).send(delivery())
        assert posted(http)[0] == "/message.create"
    assert adapter(text_length=4500).limits.text_length == 4500
    assert adapter().limits.text_length == 2000


async def test_without_api_token():
    http = answering([{"id": "1"}])
    await adapter(http, api_token="").send(delivery())
    assert "authorization" not in http.posted[0][2]


def test_warnings():
    assert adapter().warnings() == ()
    assert adapter(api_base="https://satori.example.com").warnings() == ()
    assert "api_token" in adapter(api_token="").warnings()[0]
    assert "satori.example.com" in adapter(api_base="http://satori.example.com:5140/x").warnings()[0]


@pytest.mark.parametrize(
    ("answer", "status", "error", "words"),
    [
        ({"user": {"id": "1"}, "status": 1}, 200, ConfigError, "logged in as 1"),
        ({"user": {"id": SELF}, "status": 4}, 200, ConfigError, "status 4"),
        ({"platform": PLATFORM}, 200, ActionFailed, "logged in"),
        ([], 200, ActionFailed, "logged in"),
        ({}, 403, ActionFailed, "login_user_id"),
        ({}, 404, ActionFailed, "api_base"),
        (b"<html>", 200, NetworkError, "api_base"),
    ],
)
async def test_check_finds(answer: Any, status: int, error: type[Exception], words: str):
    with pytest.raises(error, match=words):
        await adapter(answering(answer, status)).check()


async def test_check():
    http = answering(ONLINE)
    assert await adapter(http).check() == "discord/9000 is online, events by webhook"
    assert posted(http) == ("/login.get", {})


# Messages


def test_parts_in_reading_order():
    got = event_of(receive(adapter(account_id="eu"), f"<quote id='m0'>原文</quote>看{picture()}", channel=GROUP))
    assert got.conversation == Conversation("satori", "eu", "c1", "group")
    assert got.message == user(Quote(user("原文"), ""), "看", Image(source=PICTURE))
    assert (got.timestamp, got.message_id, got.reply_to, got.to_me) == (NOW, "m1", "m0", False)


GROUP = {"id": "c1", "type": 0}
NAMES = ("a", "b", "p", "at", "br", "img", "quote", "message", "user", "author", "face", "sharp", "x:y")


@pytest.mark.parametrize(
    ("who", "name"),
    [
        ("<user id='u2' name='bob' nick='鲍勃'/>", "鲍勃"),
        ("<user id='u2' name='bob'/><member nick='群里的鲍勃'/>", "群里的鲍勃"),
        ("<author id='u2' name='bob'/>", "bob"),
        ("", ""),
    ],
)
def test_quoted_name(who: str, name: str):
    got = event_of(receive(adapter(), f"<quote id='m0'>{who}原文</quote>看"))
    assert got.message.parts[0] == Quote(user("原文"), name)


@pytest.mark.parametrize(
    "content",
    [
        "<!--" * 250_000,
        "<!-- -->" * 120_000,
        "<a>" * 330_000,
        "<a>" * 150_000 + "</b>" * 130_000,
        "<a>" * 140_000 + "</a>" * 140_000,
        "<a href='x'>" * 60_000 + "</a>" * 60_000,
        "<b><i>" * 80_000 + "</b>" * 80_000,
        '<a x="' * 140_000,
        "<a x='<a y=\"" * 70_000,
        "<a " + "b " * 500_000,
        "<a" + " " * 1_000_000,
        "<quote>" * 65_000 + "</quote>" * 65_000,
        "<p>" * 100_000 + "</p>" * 100_000,
        "&#1" * 340_000,
        "&" * 1_000_000,
        f"<at id='{SELF}'/> " * 45_000,
        " " * 1_000_000 + f"<at id='{SELF}'/>",
    ],
    ids=range(17),
)
def test_nothing_takes_long(content: str):
    one = adapter()
    for part in (content, content[:100_000]):
        start = time.perf_counter()
        try:
            receive(one, part)
        except Rejected as error:
            assert error.message == "too many elements"
        assert time.perf_counter() - start < 2


def test_any_elements_are_read():
    dice = random.Random(2026)
    pieces = ["<", ">", "/", "</", "/>", "<!--", "-->", "=", '"', "'", " ", "\n", "&#", "0;", "&lt;", "\0", "看"]
    pieces += [f"<{name}>" for name in NAMES] + [f"</{name}>" for name in NAMES] + [f"<{name} " for name in NAMES]
    pieces += [f"id='{SELF}'", "src='https://a.cn/x'", "href='https://a.cn'", "<quote id='m0'>", "nick='安'", "type"]
    for number in range(3000):
        content = "".join(dice.choices(pieces, k=dice.randrange(30)))
        try:
            received = receive(adapter(), content, f"m{number}")
        except Rejected as error:
            assert "src" in error.message
            continue
        for got in received.events:
            assert "\0" not in repr(got) and str(got).encode()


# Pictures


async def test_download():
    http = FakeHttp()
    http.pictures = {PICTURE: PNG, f"{API}/proxy/internal:lark/9000/a%20b%3Fx%3D1%2525": PNG}
    one = adapter(http)
    assert await one.download(Image(source=PICTURE)) == PNG
    assert await one.download(Image(source="internal:lark/9000/a b?x=1%25")) == PNG
    for source in ("internal:lark/../../admin", "internal:a/./b", "internal:a\\..\\b"):
        with pytest.raises(FetchFailed, match="网址不正确"):
            await one.download(Image(source=source))


@pytest.mark.parametrize(("status", "retry"), [(404, False), (403, False), (302, False), (500, True), (503, True)])
async def test_proxy_refuses(status: int, retry: bool):
    class Refusing(FakeHttp):
        async def media(self, url: str, **rest: Any) -> HttpAnswer:
            assert rest["headers"] == {"authorization": f"Bearer {API_TOKEN}"}
            return HttpAnswer(status, b"")

    with pytest.raises(FetchFailed) as caught:
        await adapter(Refusing()).download(Image(source="internal:lark/9000/x"))
    assert caught.value.retry is retry


async def test_picture_hosts():
    class Listening(FakeHttp):
        async def picture(self, url: str, **rest: Any) -> bytes:
            asked.append(rest["hosts"])
            return PNG

    asked: list[Any] = []
    await adapter(Listening()).download(Image(source=PICTURE))
    await adapter(Listening(), picture_hosts=[".Example.com"]).download(Image(source=PICTURE))
    assert asked == [None, frozenset({".example.com"})]


# Quoted messages of which only the id came


async def test_quoted_is_fetched():
    http = answering({"id": "m0", "content": f"原文{picture()}", "user": {"id": "u2", "nick": "鲍勃"}})
    one = adapter(http)
    got = event_of(receive(one, "<quote id='m0'/>翻译"))
    for _ in range(2):
        completed = await one.complete(got)
        assert completed.message == user(Quote(user("原文", Image(source=PICTURE)), "鲍勃"), "翻译")
    assert posted(http) == ("/message.get", {"channel_id": "c1", "message_id": "m0"})


async def test_nothing_to_fetch():
    http = answering({"id": "m0", "content": "<audio src='x'/>"})
    one = adapter(http)
    plain = event_of(receive(one, "你好"))
    assert await one.complete(plain) is plain and http.posted == []
    voice = event_of(receive(one, "<quote id='m0'/>翻译"))
    assert (await one.complete(voice)).message == user("翻译")


@pytest.mark.parametrize(
    ("answer", "status", "retry"),
    [
        ({}, 404, False),
        ({}, 403, False),
        ({"id": "m0"}, 200, False),
        ([], 200, False),
        ({}, 500, True),
        ({}, 429, True),
    ],
)
async def test_quoted_cannot_be_had(answer: Any, status: int, retry: bool):
    one = adapter(answering(answer, status))
    with pytest.raises(FetchFailed, match="引用的消息") as caught:
        await one.complete(event_of(receive(one, "<quote id='m0'/>翻译")))
    assert caught.value.retry is retry


async def test_reply_to_own_message():
    http = answering([{"id": "b1"}, {"id": "b2"}])
    one = adapter(http)
    assert await one.send(delivery()) == "b1"
    reply = event_of(receive(one, "<quote id='b2'/>继续", channel=GROUP))
    assert reply.to_me
    assert not event_of(receive(one, "<quote id='b2'/>继续", channel={"id": "c2", "type": 0})).to_me
    http.status = 404
    assert await one.complete(reply) is reply


# Answers


async def test_send():
    http = answering([{"id": "b1", "content": "x"}])
    one = adapter(http)
    assert await one.send(delivery('1 < 2 & "a"\n<at id="all"/>', reply_to='m"1', quote=True)) == "b1"
    written = '<quote id="m&quot;1"/>1 &lt; 2 &amp; &quot;a&quot;\n&lt;at id=&quot;all&quot;/&gt;'
    assert posted(http) == ("/message.create", {"channel_id": "c1", "content": written})
    await one.send(delivery("不引用", reply_to="m1"))
    await one.send(delivery("没人问", quote=True))
    assert [json.loads(body)["content"] for _, body, _ in http.posted[1:]] == ["不引用", "没人问"]


async def test_referrer_goes_back_as_it_came():
    referrer = {"type": "im", "event": {"a": [1, None, "看"], "userId": "u"}}
    http = answering([{"id": "b1"}])
    one = adapter(http)
    got = event_of(receive(one, "你好", referrer=referrer))
    await one.send(delivery("好", reply_to="m1", platform_data=got.platform_data))
    assert posted(http)[1] == {"channel_id": "c1", "content": "好", "referrer": referrer}


@pytest.mark.parametrize("answer", [[], {}, None, [{"content": "x"}], [1]])
async def test_sent_whatever_the_answer(answer: Any):
    assert await adapter(answering(answer)).send(delivery()) == ""


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (400, "text_length"),  # a text too long
        (401, "api_token"),  # the token has ended
        (403, "may not write"),  # the bot was removed
        (404, "channel or message"),  # a recalled message
        (302, "log"),
    ],
)
async def test_refused(status: int, words: str):
    with pytest.raises(ActionFailed, match=words) as caught:
        await adapter(answering(b"login not found", status)).send(delivery())
    assert caught.value.code == str(status)


@pytest.mark.parametrize(("status", "maybe"), [(429, False), (408, True), (500, True), (501, True), (503, True)])
async def test_worth_another_try(status: int, maybe: bool):
    http = answering({}, status)
    http.retry_after = 7.0
    with pytest.raises(NetworkError) as caught:
        await adapter(http).send(delivery())
    assert (caught.value.sent_maybe, caught.value.retry_after) == (maybe, 7.0)
    http.answer = lambda method, url, body: HttpAnswer(status, b"")
    with pytest.raises(NetworkError):
        await adapter(http).send(delivery())


async def test_half_an_answer():
    with pytest.raises(NetworkError) as caught:
        await adapter(answering(b'[{"id"')).send(delivery())
    assert caught.value.sent_maybe


# The whole path


class Sdk(SimulatedPlatform):
    """An SDK with one login: it posts events, takes answers, and hands out pictures that only it can reach."""

    platform: ClassVar[str] = "satori"

    def __init__(self) -> None:
        super().__init__()
        self.pictures: dict[str, bytes] = {}
        self.messages: dict[str, str] = {}
        self.number = 0

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post("/satori/v1/message.create", self._create),
            web.post("/satori/v1/message.get", self._get),
            web.get("/satori/v1/proxy/{url:.+}", self._proxy),
            web.get("/public/{name}", self._public),
        ]

    def section(self) -> dict[str, Any]:
        return SECTION | {"api_base": f"{self.base}/satori", "picture_hosts": ["127.0.0.1"]}

    async def say(self, text: str = "", pictures: Sequence[bytes] = (), *, user: str = "u1", group: str = "") -> str:
        at = f'<at id="{SELF}" name="看图"/> ' if group else ""
        sources: list[str] = []
        for content in pictures:
            self.number += 1
            public = f"{self.base}/public/{self.number}"
            sources.append(public if self.number % 2 else f"internal:{PLATFORM}/{SELF}/_tmp/{self.number}?type=image")
            self.pictures[sources[-1]] = content
        return await self.write(at + markup(text) + "".join(map(picture, sources)), user=user, group=group)

    async def write(self, content: str, *, user: str = "u1", group: str = "", id: str = "") -> str:
        self.number += 1
        id = id or f"m{self.number}"
        self.messages[id] = content
        channel = {"id": group or f"private:{user}", "type": 0 if group else 1}
        stamp = int(time.time() * 1000)
        made = event(content, id, channel=channel, user={"id": user, "name": user}, timestamp=stamp, sn=self.number)
        status, body = await self.deliver(json.dumps(made).encode(), headers())
        assert status == 200, (status, body)
        return id

    def _known(self, request: web.Request, *, login: bool = True) -> None:
        if request.headers.get("Authorization") != f"Bearer {API_TOKEN}":
            self.refuse(request.path, "token")
            raise web.HTTPForbidden(text="invalid token")
        named = (request.headers.get("Satori-Platform"), request.headers.get("Satori-User-ID"))
        if login and named != (PLATFORM, SELF):
            self.refuse(request.path, "login")
            raise web.HTTPForbidden(text="login not found")

    async def _create(self, request: web.Request) -> web.Response:
        self._known(request)
        asked = await request.json()
        self.number += 1
        sent = self.record(Sent(asked["channel_id"], asked["content"], message_id=f"b{self.number}"))
        self.messages[sent.message_id] = sent.text
        return web.json_response([{"id": sent.message_id, "content": sent.text}])

    async def _get(self, request: web.Request) -> web.Response:
        self._known(request)
        asked = await request.json()
        content = self.messages.get(asked["message_id"])
        if content is None:
            raise web.HTTPNotFound
        found = {"id": asked["message_id"], "content": content, "user": {"id": "u2", "name": "鲍勃"}}
        return web.json_response(found)

    async def _proxy(self, request: web.Request) -> web.Response:
        self._known(request, login=False)
        url = unquote(request.raw_path.partition("/v1/proxy/")[2])
        if url not in self.pictures:
            raise web.HTTPNotFound
        return web.Response(body=self.pictures[url], content_type="image/png")

    async def _public(self, request: web.Request) -> web.Response:
        assert "Authorization" not in request.headers
        return web.Response(body=self.pictures[f"{self.base}{request.path}"], content_type="image/png")


async def test_private_pictures(tmp_path: Path):
    async with bot_on(Sdk(), tmp_path, answer="红 & 绿 <两块>") as sdk:
        await sdk.say("图里是什么", [PNG, PNG])
        (got,) = await sdk.answers()
        assert (got.chat, got.text) == ("private:u1", "红 &amp; 绿 &lt;两块&gt;\n\n（图1、图2）")
        assert [count for path, count in sdk.calls.items() if "/public/" in path or "/proxy/" in path] == [1, 1]
        await sdk.write("图里是什么", id="m3")  # a copy of the first
        await asyncio.sleep(0.5)
    assert len(sdk.sent) == 1 and sdk.refused == []


async def test_group_with_a_quote(tmp_path: Path):
    async with bot_on(Sdk(), tmp_path, answer="一朵花") as sdk:
        await sdk.write("没有叫它", group="g1")
        shown = await sdk.say("看这张", [PNG], user="u2", group="g2")
        await sdk.answers(1)
        await sdk.write(f"<quote id='{shown}'/><at id='{SELF}'/> 这是什么花", group="g1")
        first, second = await sdk.answers(2)
    assert (first.chat, second.chat) == ("g2", "g1")
    assert second.text.endswith("一朵花") and sdk.calls["/satori/v1/message.get"] == 1 and sdk.refused == []


async def test_trouble_on_the_way(tmp_path: Path):
    async with bot_on(Sdk(), tmp_path, answer="一朵花") as sdk:
        sdk.faults = [Fault("/message.create", 429, headers={"Retry-After": "0"})]
        await sdk.say("图里是什么", [PNG])
        (got,) = await sdk.answers()
        assert got.text == "一朵花" and sdk.calls["/satori/v1/message.create"] == 2
        await sdk.write("<img src='internal:discord/9000/gone'/>这是什么")
        told = (await sdk.answers(2))[1]
    assert "图片取不到了" in told.text


async def test_forged_event_over_http(tmp_path: Path):
    async with bot_on(Sdk(), tmp_path) as sdk:
        body = json.dumps(event("伪造", timestamp=int(time.time() * 1000))).encode()
        assert (await sdk.deliver(body, headers("x")))[0] == 401
        await asyncio.sleep(0.5)
    assert sdk.sent == []


def test_rejections_name_the_check():
    with pytest.raises(Rejected, match="src") as caught:
        receive(adapter(), "<img/>")
    assert (caught.value.reason, caught.value.status) == ("malformed", 400)
