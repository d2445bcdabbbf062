"""WeChat Official Account: configuration, passive replies, customer service, pictures, and the whole path."""

from __future__ import annotations

import asyncio
import importlib.util
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit
from xml.etree import ElementTree

import msgspec
import pytest
from fakes import FakeClock, FakeHttp
from pictures import drawing, encoded
from simulation import bot_on
from vectors_wechat import AES_KEY, APP_ID, BOT, NOW, PLAIN, SAFE, TEXT, TOKEN, vectors

from adapters.simulated.envelope import document
from adapters.simulated.platform import Fault
from adapters.simulated.wechat import Simulated
from adapters.wechat import Adapter, Config
from adapters.wechat.adapter import STILL_LOOKING
from adapters.wechat.passive import DELIVERIES, Rooms
from bot.adapter import Ack, Received, Request
from bot.clock import Clock
from bot.config import MediaConfig, convert
from bot.errors import ActionFailed, ConfigError, DeliveryError, FetchFailed, NetworkError, Rejected, WindowClosed
from bot.event import Conversation, Delivery, MessageEvent
from bot.fetch import Fetcher
from bot.http import HttpAnswer
from bot.message import Image, Text
from bot.store import Claim, Store

SECTION: dict[str, Any] = {
    "token": TOKEN,
    "app_id": APP_ID,
    "app_secret": "s3cret",
    "original_id": BOT,
    "passive_wait": 0.05,
    "redeliver_after": 0.1,
}
#: Deliveries of these wait for as long as a test may take.
PATIENT: dict[str, Any] = {"passive_wait": 20.0, "redeliver_after": 25.0}
PNG = encoded(drawing())


def adapter(http: FakeHttp | None = None, clock: Clock | None = None, **section: Any) -> Adapter:
    config = convert(SECTION | section, Config, environ={})
    return Adapter("wechat", config, http or FakeHttp(), clock or FakeClock(NOW))


def post(values: dict[str, str | int], nonce: str = "n", **query: str) -> Request:
    return Request("POST", "/webhook/wechat", PLAIN.query(NOW, nonce) | query, {}, document(values), NOW)


def sealed(values: dict[str, str | int], nonce: str = "n") -> Request:
    ciphertext = SAFE.seal(document(values))
    body = document({"Encrypt": ciphertext})
    return Request("POST", "/webhook/wechat", SAFE.query(NOW, nonce, ciphertext), {}, body, NOW)


def delivery(text: str = "一朵花", reply_to: str = "1", **fields: Any) -> Delivery:
    where = Conversation("wechat", "default", "oAnn")
    return Delivery("msg_1_0", where, (Text(text),), reply_to=reply_to, asked_at=NOW, **fields)


def values(ack: Ack) -> dict[str, str]:
    return {child.tag: child.text or "" for child in ElementTree.fromstring(ack.body)}


async def answered(one: Adapter, received: Received, *, written: bool = True) -> Ack:
    """One delivery of the message, to its end."""
    ack = await one.acknowledge(received)
    one.acknowledged(received, ack, written=written)
    return ack


class Answers:
    """WeChat's server for FakeHttp: tokens are t1, t2, …; other calls give what is set for their path."""

    def __init__(self, **answers: Any) -> None:
        self.answers = answers
        self.tokens = 0
        self.asked: list[str] = []
        self.http = FakeHttp()
        self.http.answer = self.answer

    def answer(self, method: str, url: str, body: bytes) -> HttpAnswer:
        name = urlsplit(url).path.rpartition("/")[2]
        self.asked.append(name)
        if name == "stable_token":
            self.tokens += 1
            data = self.answers.get(name) or {"access_token": f"t{self.tokens}", "expires_in": 7200}
        else:
            found = self.answers.get(name, {"errcode": 0})
            data = found(parse_qs(urlsplit(url).query)["access_token"][0]) if callable(found) else found
        return HttpAnswer(200, msgspec.json.encode(data))


# Requests


@pytest.fixture(scope="module")
def runner() -> Any:
    path = Path(__file__).parents[1] / "benchmarks" / "platform_vectors.py"
    spec = importlib.util.spec_from_file_location("platform_vectors", path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def test_requests(runner: Any):
    results = list(runner.run_file(vectors()))
    assert len(results) > 200
    assert [line for case, record in results for line in runner.mismatches(case, record)] == []


def test_event():
    (event,) = adapter(account_id="eu").receive(post(TEXT)).events
    assert isinstance(event, MessageEvent)
    assert event.conversation == Conversation("wechat", "eu", "oAnn", "private")
    assert (event.id, event.message_id, event.to_me, event.timestamp) == ("1", "1", True, NOW)


def test_path_secret():
    one = adapter(path_secret="open sesame")
    assert one.receive(post(TEXT, key="open sesame")).events
    for query in ({}, {"key": ""}, {"key": "open sesam"}, {"key": "芝麻开门"}):
        with pytest.raises(Rejected, match="wrong_token"):
            one.receive(post(TEXT, **query))
    echo = Request("GET", "/", PLAIN.query(NOW, "n") | {"echostr": "1"}, {}, b"", NOW)
    with pytest.raises(Rejected, match="wrong_token"):
        one.receive(echo)
    with pytest.raises(Rejected, match="wrong_token"):
        adapter(path_secret="x", encoding_aes_key=AES_KEY).receive(sealed(TEXT))


@pytest.mark.parametrize(
    ("section", "where"),
    [
        ({"token": ""}, "token"),
        ({"app_id": ""}, "app_id"),
        ({"app_id": "", "app_secret": "", "encoding_aes_key": AES_KEY}, "app_id"),
        ({"encoding_aes_key": "short"}, "encoding_aes_key"),
        ({"encoding_aes_key": AES_KEY + "="}, "encoding_aes_key"),
        ({"customer_service": True, "app_secret": ""}, "app_secret"),
        ({"passive_wait": 5.0, "redeliver_after": 5.0}, "passive_wait"),
        ({"api_base": "api.weixin.qq.com"}, "api_base"),
        ({"api_base": "http://[x"}, "api_base"),
        ({"picture_hosts": []}, "picture_hosts"),
    ],
)
def test_wrong_configuration(section: dict[str, Any], where: str):
    with pytest.raises(ConfigError, match=f"adapters.wechat.{where}"):
        adapter(**section)


def test_warnings():
    assert len(adapter().warnings()) == 3
    assert len(adapter(path_secret="x").warnings()) == 2
    assert adapter(encoding_aes_key=AES_KEY, customer_service=True).warnings() == ()


def test_limits():
    assert adapter().limits.typing_every == 0
    limits = adapter(customer_service=True).limits
    assert limits.window and (limits.window.messages, limits.typing_every) == (5, 15)
    assert (limits.text_length, limits.text_unit, limits.active) == (2048, "bytes", True)
    assert not adapter().limits.active


# Passive replies


async def test_answer_before_and_after_the_delivery():
    for first in (True, False):
        one = adapter(**PATIENT)
        received = one.receive(post(TEXT))
        if first:
            sending = asyncio.create_task(one.send(delivery("一朵花 & ]]> <b>")))
            await asyncio.sleep(0)
            ack = await answered(one, received)
        else:
            waiting = asyncio.create_task(answered(one, received))
            await asyncio.sleep(0)
            sending = asyncio.create_task(one.send(delivery("一朵花 & ]]> <b>")))
            ack = await waiting
        assert await sending == ""
        assert ack.content_type == "application/xml"
        assert values(ack) == {
            "ToUserName": "oAnn",
            "FromUserName": BOT,
            "CreateTime": str(NOW),
            "MsgType": "text",
            "Content": "一朵花 & ]]> <b>",
        }
        assert await answered(one, received) == received.ack  # a late redelivery gets no second answer


async def test_sealed_answer():
    one = adapter(encoding_aes_key=AES_KEY, **PATIENT)
    received = one.receive(sealed(TEXT, "nonce-7"))
    sending = asyncio.create_task(one.send(delivery()))
    outer = values(await answered(one, received))
    await sending
    assert outer["Nonce"] == "nonce-7"
    assert outer["MsgSignature"] == SAFE.signature(outer["TimeStamp"], "nonce-7", outer["Encrypt"])
    inner = {child.tag: child.text for child in ElementTree.fromstring(SAFE.open(outer["Encrypt"]))}
    assert (inner["ToUserName"], inner["Content"]) == ("oAnn", "一朵花")


async def test_sealed_answer_is_opened_by_another_library():
    crypto = importlib.import_module("wechatpy.crypto")
    other = crypto.WeChatCrypto(TOKEN, AES_KEY, APP_ID)
    one = adapter(encoding_aes_key=AES_KEY, **PATIENT)
    encrypted = other.encrypt_message(document(TEXT).decode(), "n9", str(NOW))
    outer = {child.tag: child.text or "" for child in ElementTree.fromstring(encrypted)}
    query = {"msg_signature": outer["MsgSignature"], "timestamp": str(NOW), "nonce": "n9"}
    received = one.receive(Request("POST", "/", query, {}, encrypted.encode(), NOW))
    sending = asyncio.create_task(one.send(delivery()))
    ack = await answered(one, received)
    await sending
    seen = values(ack)
    opened = other.decrypt_message(ack.body.decode(), seen["MsgSignature"], seen["TimeStamp"], seen["Nonce"])
    assert "一朵花" in opened


async def test_answer_that_was_not_written_comes_with_the_next_delivery():
    one = adapter(**PATIENT)
    received = one.receive(post(TEXT))
    sending = asyncio.create_task(one.send(delivery()))
    assert values(await answered(one, received, written=False))["Content"] == "一朵花"
    await asyncio.sleep(0)
    assert not sending.done()
    assert values(await answered(one, received))["Content"] == "一朵花"
    assert await sending == ""


async def test_slow_answer_gets_the_third_delivery():
    one = adapter()
    received = one.receive(post(TEXT))
    assert await answered(one, received) == received.ack
    assert await answered(one, received) == received.ack
    one.config = msgspec.structs.replace(one.config, passive_wait=20.0)
    waiting = asyncio.create_task(answered(one, received))
    await asyncio.sleep(0)
    assert await one.send(delivery()) == ""
    assert values(await waiting)["Content"] == "一朵花"


async def test_no_answer_in_three_deliveries():
    one = adapter()
    received = one.receive(post(TEXT))
    acks = [await answered(one, received) for _ in range(DELIVERIES)]
    assert acks[:2] == [received.ack] * 2
    assert values(acks[2])["Content"] == STILL_LOOKING
    with pytest.raises(WindowClosed):
        await one.send(delivery())
    # It is kept, and goes out with the next message of the same user.
    later = one.receive(post(TEXT | {"MsgId": 2}))
    sending = asyncio.create_task(one.send(delivery(reply_to="2")))
    assert values(await answered(one, later))["Content"] == "一朵花"
    await sending


async def test_last_delivery_says_nothing_where_the_answer_can_be_sent_later():
    server = Answers()
    one = adapter(server.http, customer_service=True)
    received = one.receive(post(TEXT))
    assert [await answered(one, received) for _ in range(DELIVERIES)] == [received.ack] * DELIVERIES
    assert await one.send(delivery()) == ""
    assert server.asked == ["stable_token", "send"]
    sent = msgspec.json.decode(server.http.posted[-1][1])
    assert sent == {"touser": "oAnn", "msgtype": "text", "text": {"content": "一朵花"}}


async def test_old_message_is_a_last_delivery_after_a_restart():
    one = adapter(clock=FakeClock(NOW + 10))
    received = one.receive(post(TEXT))
    assert values(await answered(one, received))["Content"] == STILL_LOOKING


async def test_after_a_restart_a_recent_question_may_be_delivered_again():
    one = adapter(**PATIENT)
    sending = asyncio.create_task(one.send(delivery()))  # asked before the restart: no delivery was seen
    await asyncio.sleep(0)
    assert values(await answered(one, one.receive(post(TEXT))))["Content"] == "一朵花"
    await sending


async def test_second_piece_needs_another_way():
    for customer_service in (True, False):
        server = Answers()
        one = adapter(server.http, customer_service=customer_service, **PATIENT)
        received = one.receive(post(TEXT))
        sending = asyncio.create_task(one.send(delivery("一")))
        await answered(one, received)
        await sending
        if customer_service:
            await one.send(delivery("二"))
            assert server.asked[-1] == "send"
        else:
            with pytest.raises(WindowClosed):
                await one.send(delivery("二"))


async def test_nobody_asked():
    with pytest.raises(WindowClosed):
        await adapter(**PATIENT).send(delivery(reply_to=""))
    server = Answers()
    await adapter(server.http, customer_service=True, **PATIENT).send(delivery(reply_to=""))
    assert server.asked == ["stable_token", "send"]


async def test_message_that_is_answered_with_a_later_one():
    one = adapter(**PATIENT)
    received = one.receive(post(TEXT))
    (event,) = received.events
    assert isinstance(event, MessageEvent)
    waiting = asyncio.create_task(answered(one, received))
    await asyncio.sleep(0)
    await one.joined(event)
    assert await waiting == received.ack
    await one.joined(replace(event, message_id="unknown"))


async def test_ignored_messages_are_acknowledged_at_once():
    one = adapter(**PATIENT)
    received = one.receive(post(TEXT | {"MsgType": "video"}))
    assert await answered(one, received) == Ack(200, b"success")
    echo = one.receive(Request("GET", "/", PLAIN.query(NOW, "n") | {"echostr": "7"}, {}, b"", NOW))
    assert await answered(one, echo) == Ack(200, b"7")


async def test_a_delivery_that_is_given_up_takes_no_answer_along():
    one = adapter(**PATIENT)
    received = one.receive(post(TEXT))
    waiting = asyncio.create_task(one.acknowledge(received))
    await asyncio.sleep(0)
    sending = asyncio.create_task(one.send(delivery()))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert values(await answered(one, received))["Content"] == "一朵花"
    await sending


async def test_two_users_with_one_message_id():
    one = adapter(**PATIENT)
    ann, bob = one.receive(post(TEXT)), one.receive(post(TEXT | {"FromUserName": "oBob"}))
    waiting = asyncio.create_task(answered(one, bob))
    sending = asyncio.create_task(one.send(delivery("给安的")))
    assert values(await answered(one, ann))["ToUserName"] == "oAnn"
    await sending
    await asyncio.sleep(0)
    assert not waiting.done()
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)


async def test_rooms_are_bounded():
    clock = FakeClock()
    rooms = Rooms(clock, 15.0)
    first = rooms.enter("u", "m")
    assert rooms.enter("u", "m") is first
    clock.move(61)
    rooms.enter("u", "n")
    assert first.over and rooms.find("u", "m") is None
    for number in range(10_001):
        rooms.enter("u", str(number))
    assert rooms.find("u", "n") is None and rooms.find("u", "10000")


# Customer service


@pytest.mark.parametrize("code", [40001, 40014, 42001])
async def test_ended_token_is_renewed_once(code: int):
    def send(token: str) -> Any:
        return {"errcode": code if token == "t1" else 0, "errmsg": "x"}

    server = Answers(send=send)
    await adapter(server.http, customer_service=True).send(delivery(reply_to=""))
    assert server.asked == ["stable_token", "send", "stable_token", "send"]
    server = Answers(send={"errcode": code, "errmsg": "x"})
    with pytest.raises(ActionFailed) as error:
        await adapter(server.http, customer_service=True).send(delivery(reply_to=""))
    assert error.value.code == str(code) and server.tokens == 2


@pytest.mark.parametrize(
    ("code", "kind", "mend"),
    [
        (45015, WindowClosed, ""),
        (45047, WindowClosed, ""),
        (45009, WindowClosed, "quota"),
        (48001, ActionFailed, "customer_service: false"),
        (45002, ActionFailed, "too long"),
        (40003, ActionFailed, "app_id"),
        (43004, ActionFailed, "follow"),
        (99999, ActionFailed, ""),
        (45011, NetworkError, ""),
        (-1, NetworkError, ""),
    ],
)
async def test_refusals(code: int, kind: type[DeliveryError], mend: str):
    server = Answers(send={"errcode": code, "errmsg": "no rid: 1"})
    with pytest.raises(kind) as error:
        await adapter(server.http, customer_service=True).send(delivery(reply_to=""))
    assert mend in str(error.value)
    if isinstance(error.value, NetworkError):
        assert error.value.retry_after and not error.value.sent_maybe
    else:
        assert getattr(error.value, "code", "") == str(code)
    assert "t1" not in str(error.value)


@pytest.mark.parametrize(
    ("answer", "kind", "mend"),
    [
        ({"errcode": 40164, "errmsg": "invalid ip 1.2.3.4"}, ActionFailed, "白名单"),
        ({"errcode": 40125, "errmsg": "invalid appsecret"}, ActionFailed, "app_secret"),
        ({"errcode": 40013, "errmsg": "invalid appid"}, ActionFailed, "app_id"),
        ({"expires_in": 7200}, NetworkError, "no access token"),
        ({"access_token": 1, "expires_in": 7200}, NetworkError, "no access token"),
        ({"access_token": "t", "expires_in": "7200"}, NetworkError, "no access token"),
    ],
)
async def test_no_token(answer: dict[str, Any], kind: type[DeliveryError], mend: str):
    server = Answers(stable_token=answer)
    with pytest.raises(kind) as error:
        await adapter(server.http, customer_service=True).send(delivery(reply_to=""))
    assert mend in str(error.value)
    assert not getattr(error.value, "sent_maybe", False)
    assert "s3cret" not in str(error.value)


async def test_server_in_trouble():
    one = adapter(FakeHttp(502), customer_service=True)
    with pytest.raises(NetworkError) as error:
        await one.send(delivery(reply_to=""))
    assert not error.value.sent_maybe  # not even the token was had
    server = Answers(send=["not an object"])
    with pytest.raises(NetworkError) as error:
        await adapter(server.http, customer_service=True).send(delivery(reply_to=""))
    assert error.value.sent_maybe


async def test_typing():
    (event,) = adapter().receive(post(TEXT)).events
    assert isinstance(event, MessageEvent)
    for code in (0, 45080, 45081):
        server = Answers(typing={"errcode": code})
        await adapter(server.http, customer_service=True).typing(event)
        assert server.asked == ["stable_token", "typing"]
        assert msgspec.json.decode(server.http.posted[-1][1]) == {"touser": "oAnn", "command": "Typing"}
    with pytest.raises(ActionFailed):
        await adapter(Answers(typing={"errcode": 48001}).http, customer_service=True).typing(event)
    server = Answers()
    await adapter(server.http).typing(event)
    assert server.asked == []


async def test_check():
    assert await adapter(app_secret="").check() == "plain mode, passive replies only, no app_secret to check"
    assert await adapter(Answers().http).check() == "plain mode, access token works, passive replies only"
    one = adapter(Answers().http, customer_service=True, encoding_aes_key=AES_KEY)
    assert await one.check() == "AES mode, access token works, passive replies and customer-service messages"
    one = adapter(Answers(getkflist={"errcode": 65400}).http, customer_service=True)
    assert "customer-service" in await one.check()
    with pytest.raises(ActionFailed, match="微信认证"):
        await adapter(Answers(getkflist={"errcode": 48001}).http, customer_service=True).check()


# Pictures


def picture(pic_url: str = "http://mmbiz.qpic.cn/a/0", media_id: str = "m1") -> Image:
    return Image(source=urlencode({"media_id": media_id, "pic_url": pic_url}))


async def test_picture_by_its_address():
    http = FakeHttp()
    http.pictures["http://mmbiz.qpic.cn/a/0"] = b"png"
    assert await adapter(http).download(picture()) == b"png"


async def test_picture_by_its_media_id():
    server = Answers()
    server.http.pictures["https://api.weixin.qq.com/cgi-bin/media/get?access_token=t1&media_id=m1"] = b"png"
    assert await adapter(server.http).download(picture()) == b"png"
    with pytest.raises(FetchFailed, match="过期"):
        await adapter(server.http, app_secret="").download(picture())
    assert server.tokens == 1


@pytest.mark.parametrize(
    ("make", "code", "retry", "tokens"),
    [
        (lambda: HttpAnswer(200, b'{"errcode":40007,"errmsg":"invalid media_id"}'), "gone", False, 1),
        (lambda: HttpAnswer(200, b'{"errcode":42001}'), "refused", False, 2),
        (lambda: HttpAnswer(200, b'{"video_url":"http://x"}'), "gone", False, 1),
        (lambda: HttpAnswer(404, b"x"), "gone", False, 1),
        (lambda: HttpAnswer(503, b"x"), "unreachable", True, 1),
        (lambda: HttpAnswer(200, b'{"errcode":-1}'), "unreachable", True, 1),
    ],
)
async def test_picture_that_cannot_be_had(make: Callable[[], HttpAnswer], code: str, retry: bool, tokens: int):
    server = Answers()

    async def media(url: str, **_: Any) -> HttpAnswer:
        return make()

    server.http.media = media
    with pytest.raises(FetchFailed) as error:
        await adapter(server.http).download(picture())
    assert (error.value.code, error.value.retry, server.tokens) == (code, retry, tokens)


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1/x", "http://qpic.cn.evil.example/x", "file:///etc/passwd", "http://a@mmbiz.qpic.cn/", "x"]
)
async def test_pictures_come_from_wechat_only(url: str, tmp_path: Path):
    fetcher = Fetcher(MediaConfig())
    config = convert(SECTION | {"app_secret": ""}, Config, environ={})
    with pytest.raises(FetchFailed):
        await Adapter("wechat", config, fetcher, FakeClock()).download(picture(url))
    await fetcher.close()


# The whole path


@pytest.mark.parametrize("aes", [True, False])
async def test_fast_answer_comes_with_the_first_delivery(tmp_path: Path, aes: bool):
    async with bot_on(Simulated(aes=aes, verified=False, gap=5.0), tmp_path, answer="一朵红花") as simulated:
        assert await simulated.handshake() == (200, b"5942345678901234567")
        await simulated.say("图里是什么", [PNG], user="oAnn")
        (got,) = await simulated.answers(1)
        await simulated.settled()
    assert (got.chat, got.text, got.data["way"], got.data["delivery"]) == ("oAnn", "一朵红花", "passive", 1)
    assert len(simulated.sent) == 1 and simulated.refused == []


async def test_slow_answer_comes_with_a_later_delivery(tmp_path: Path):
    async with bot_on(Simulated(verified=False, gap=2.0), tmp_path, answer="慢", delay=2.1) as simulated:
        await simulated.say("你好")
        (got,) = await simulated.answers(1)
        await simulated.settled()
    assert got.text == "慢" and got.data["delivery"] in (2, 3)
    assert len(simulated.sent) == 1 and simulated.refused == []


async def test_slower_answer_comes_by_customer_service(tmp_path: Path):
    async with bot_on(Simulated(gap=0.2), tmp_path, answer="很慢", delay=1.0) as simulated:
        await simulated.say("你好")
        (got,) = await simulated.answers(1)
        await simulated.settled()
    assert (got.text, got.data["way"]) == ("很慢", "customer service")
    assert len(simulated.sent) == 1 and simulated.refused == [] and simulated.typed


async def test_slower_answer_waits_for_the_next_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    kept = asyncio.Event()
    release = Store.release

    async def released(self: Store, claim: Claim, *, delay: float = 0.0, waiting: bool = False) -> None:
        await release(self, claim, delay=delay, waiting=waiting)
        if waiting:
            kept.set()

    monkeypatch.setattr(Store, "release", released)
    async with bot_on(Simulated(verified=False, gap=0.3), tmp_path, answer="很慢", delay=1.5) as simulated:
        await simulated.say("你好")
        (notice,) = await simulated.answers(1)
        await kept.wait()
        await simulated.say("好了吗")
        _, got = await simulated.answers(2)
    assert notice.text == STILL_LOOKING
    assert (got.text, got.data["delivery"]) == ("很慢", 1)
    assert simulated.refused == []


async def test_long_answer_goes_on_by_customer_service(tmp_path: Path):
    answer = "".join(f"第{number}句说的是这朵花。" for number in range(160))
    async with bot_on(Simulated(gap=5.0), tmp_path, answer=answer) as simulated:
        await simulated.say("你好")
        got = await simulated.answers(3)
    assert [one.data["way"] for one in got] == ["passive", "customer service", "customer service"]
    assert all(one.text.endswith(f"（{number}/3）") for number, one in enumerate(got, 1))
    assert "".join(one.text[: -len("\n（1/3）")] for one in got) == answer
    assert simulated.refused == []


async def test_picture_whose_address_has_ended(tmp_path: Path):
    simulated = Simulated(gap=5.0)
    async with bot_on(simulated, tmp_path, answer="还在") as simulated:
        simulated.faults.append(Fault("/mmbiz_jpg/", status=404))
        await simulated.say("图里是什么", [PNG])
        (got,) = await simulated.answers(1)
    assert got.text == "还在"
    assert simulated.calls["/cgi-bin/media/get"] == 1 and simulated.refused == []


async def test_events_are_acknowledged(tmp_path: Path):
    async with bot_on(Simulated(gap=5.0), tmp_path) as simulated:
        await simulated.happen("subscribe")
        await simulated.settled()
        simulated.signer.token = "stolen"
        with pytest.raises(AssertionError, match="bad_signature"):
            await simulated.say("你好")
    assert [one.kind for one in simulated.sent] == ["fault"]


async def test_doctor_asks_the_platform(tmp_path: Path):
    async with bot_on(Simulated(verified=False), tmp_path) as simulated:
        fetcher = Fetcher(MediaConfig())
        section = convert(simulated.section(), Config, environ={})
        assert "access token works" in await Adapter("wechat", section, fetcher, Clock()).check()
        section = convert({**simulated.section(), "customer_service": True}, Config, environ={})
        with pytest.raises(ActionFailed, match="48001"):
            await Adapter("wechat", section, fetcher, Clock()).check()
        await fetcher.close()
