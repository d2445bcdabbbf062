"""WeCom AI bot: configuration, streams, late answers, pictures, and the whole path."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
from fakes import FakeClock, FakeHttp
from hypothesis import given, settings
from hypothesis import strategies as st
from pictures import drawing, encoded
from simulation import bot_on
from vectors_wecom_bot import AES_KEY, BOT, NAME, NOW, OWN, REPLY, TOKEN, image, mixed, text, vectors

from adapters.simulated.envelope import padded
from adapters.simulated.platform import Fault
from adapters.simulated.wecom_bot import Simulated
from adapters.wecom_bot import Adapter, Config
from adapters.wecom_bot.content import OwnName
from adapters.wecom_bot.response import ResponseUrls
from adapters.wecom_bot.streams import ELSEWHERE, JOINED, LATE, LIFE, UNANSWERED, WAITING, Streams, stream_id
from bot.adapter import Ack, Request
from bot.clock import Clock
from bot.config import MediaConfig, convert
from bot.errors import ActionFailed, BadPicture, ConfigError, FetchFailed, NetworkError, Rejected, WindowClosed
from bot.event import Conversation, Delivery, MessageEvent, event_from_dict
from bot.fetch import Fetcher
from bot.message import Image, Quote, Text, user

SECTION: dict[str, Any] = {"token": TOKEN, "encoding_aes_key": AES_KEY, "aibotid": BOT, "bot_name": NAME}
PNG = encoded(drawing())


def adapter(http: FakeHttp | None = None, clock: Clock | None = None, **section: Any) -> Adapter:
    config = convert(SECTION | section, Config, environ={})
    return Adapter("wecom_bot", config, http or FakeHttp(), clock or FakeClock(NOW))


def post(data: dict[str, Any], nonce: str = "n") -> Request:
    sealed = OWN.seal(json.dumps(data).encode())
    body = json.dumps({"encrypt": sealed}).encode()
    return Request("POST", "/webhook/wecom_bot", OWN.query(NOW, nonce, sealed), {}, body, NOW)


def written(message_id: str = "m1", content: dict[str, Any] | None = None, **fields: Any) -> dict[str, Any]:
    return {
        "msgid": message_id,
        "aibotid": BOT,
        "chattype": "single",
        "from": {"userid": "u1"},
        "response_url": REPLY,
        **(content or text("图里是什么")),
        **fields,
    }


def refresh(message_id: str = "m1") -> dict[str, Any]:
    return {**written("poll"), "msgtype": "stream", "stream": {"id": stream_id(message_id)}}


def received_event(one: Adapter, data: dict[str, Any] | None = None) -> MessageEvent:
    (event,) = one.receive(post(data or written())).events
    assert isinstance(event, MessageEvent)
    return event


def delivery(
    words: str = "一朵花", reply_to: str = "m1", key: str = "msg_1_0", url: str = REPLY, **fields: Any
) -> Delivery:
    where = Conversation("wecom_bot", "default", "u1")
    data = {"reply_url": url} if url else {}
    made: dict[str, Any] = {"asked_at": NOW, "platform_data": data, **fields}
    return Delivery(key, where, (Text(words),), reply_to=reply_to, **made)


async def answered(one: Adapter, data: dict[str, Any], *, reached: bool = True, nonce: str = "n") -> dict[str, Any]:
    """One request to its end: the stream that WeCom is told."""
    received = one.receive(post(data, nonce))
    ack = await one.acknowledge(received)
    one.acknowledged(received, ack, written=reached)
    return opened(ack, nonce)


def opened(ack: Ack, nonce: str = "n") -> dict[str, Any]:
    answer = json.loads(ack.body)
    assert ack.status == 200 and answer["nonce"] == nonce and type(answer["timestamp"]) is int
    assert answer["msgsignature"] == OWN.signature(str(answer["timestamp"]), nonce, answer["encrypt"])
    data = json.loads(OWN.open(answer["encrypt"]))
    assert data["msgtype"] == "stream"
    return data["stream"]


def stream(words: str, *, finish: bool = False, message_id: str = "m1") -> dict[str, Any]:
    return {"id": stream_id(message_id), "finish": finish, "content": words}


def no(code: int, words: str = "no") -> bytes:
    return msgspec.json.encode({"errcode": code, "errmsg": words})


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
    assert len(results) > 250
    assert [line for case, record in results for line in runner.mismatches(case, record)] == []


def test_event():
    event = received_event(adapter(account_id="eu"))
    assert event.conversation == Conversation("wecom_bot", "eu", "u1", "private")
    assert (event.id, event.message_id, event.to_me, event.timestamp) == ("m1", "m1", True, NOW)
    assert event.platform_data == {"reply_url": REPLY, "reply_url_expires": str(NOW + 3600)}
    quoting = received_event(adapter(), written(quote=mixed(text("表"), image("q")), chattype="group", chatid="g1"))
    assert quoting.message == user(Quote(user("表", Image("q"))), "图里是什么")
    assert quoting.conversation == Conversation("wecom_bot", "default", "g1", "group") and quoting.to_me
    assert event_from_dict(json.loads(msgspec.json.encode(quoting))) == quoting


JSONS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inside: st.lists(inside, max_size=3) | st.dictionaries(st.text(), inside, max_size=3),
    max_leaves=6,
)


@settings(deadline=None)
@given(st.data())
def test_only_rejected_is_raised(data: st.DataObject):
    """Whatever stands in the fields of a message that is signed and sealed."""
    kind = data.draw(st.sampled_from(["text", "image", "mixed", "voice", "event", "stream", "file"]) | JSONS)
    name = st.sampled_from(["msgid", "aibotid", "chattype", "chatid", "from", "response_url", "quote", "create_time"])
    content = st.sampled_from(["text", "image", "mixed", "voice", "stream", "event"])
    message = written(content=mixed(text("一"), image()), msgtype=kind, stream={"id": "s"}, voice={"content": "好"})
    message |= data.draw(st.dictionaries(name | content, JSONS, max_size=3))
    try:
        received = adapter().receive(post(message))
    except Rejected as error:
        assert error.reason in ("malformed", "wrong_bot")
    else:
        json.dumps([str(event) for event in received.events]).encode()


@given(st.text(alphabet=" @图a\n\r\t\u2005", max_size=40))
def test_own_name_is_found_as_by_reading(words: str):
    """One mention after the other, as the rule is written."""
    # The first of two names that touch is a longer name, until the second is taken away: only we do not look twice.
    words = words.replace("图@", "图a")
    expected = words
    while (at := _first_mention(expected)) >= 0:
        expected = _without(expected, at)
    assert OwnName("图").remove(words) == (expected, expected != words)


def _first_mention(words: str) -> int:
    at = words.find("@图")
    while at >= 0 and not (at + 2 == len(words) or words[at + 2].isspace()):
        at = words.find("@图", at + 1)
    return at


def _without(words: str, at: int) -> str:
    before, after = words[:at], words[at + 2 :]
    left, right = before.rstrip(" "), after.lstrip(" ")
    edge = not left or left[-1] in "\r\n" or not right or right[0] in "\r\n"
    return left + (" " if not edge and (left != before or right != after) else "") + right


# Configuration


@pytest.mark.parametrize(
    ("section", "where"),
    [
        ({"token": ""}, "token"),
        ({"encoding_aes_key": ""}, "encoding_aes_key"),
        ({"encoding_aes_key": "x" * 42}, "encoding_aes_key"),
        ({"encoding_aes_key": "-" * 43}, "encoding_aes_key"),
        ({"aibotid": ""}, "aibotid"),
        ({"picture_hosts": []}, "picture_hosts"),
        ({"reply_hosts": []}, "reply_hosts"),
        ({"reply_hosts": ["https://qyapi.weixin.qq.com"]}, "reply_hosts"),
        ({"reply_hosts": ["a@b"]}, "reply_hosts"),
        ({"reply_hosts": ["host:port"]}, "reply_hosts"),
        ({"reply_hosts": [""]}, "reply_hosts"),
        ({"max_age": 0}, "max_age"),
        ({"fetch_wait": 0}, "fetch_wait"),
        ({"tokn": "x"}, "did you mean 'token'"),
    ],
)
def test_configuration_fails_closed(section: dict[str, Any], where: str):
    with pytest.raises(ConfigError, match=where):
        adapter(**section)


def test_nothing_configured_is_no_open_door():
    with pytest.raises(ConfigError):
        Adapter("wecom_bot", Config(), FakeHttp(), FakeClock())


def test_warnings():
    assert adapter().warnings() == ()
    (warning,) = adapter(bot_name="").warnings()
    assert "bot_name" in warning
    assert "reply_hosts" in adapter(reply_hosts=["10.0.0.1:80"]).warnings()[0]
    assert received_event(adapter(bot_name=""), written(content=text("@ 好"))).message == user("@ 好")


# Streams


async def test_stream_grows_until_it_is_finished():
    one = adapter()
    assert await answered(one, written()) == stream(WAITING)
    surface = one.surface(received_event(one))
    assert surface is not None
    await surface.open("一")
    assert await answered(one, refresh()) == stream("一")
    await surface.update("一朵")
    assert await answered(one, refresh()) == stream("一朵")
    closing = asyncio.create_task(surface.close(delivery("一朵花")))
    await asyncio.sleep(0)
    assert not closing.done()
    assert await answered(one, refresh(), nonce="n9") == stream("一朵花", finish=True)
    assert await closing == stream_id("m1")
    await surface.update("更多")
    await surface.abandon()
    assert await answered(one, refresh()) == stream("一朵花", finish=True)
    # The same once more is no second message.
    assert await surface.close(delivery("一朵花")) == stream_id("m1")
    assert one.surface(received_event(one)) is None


async def test_redelivery_gets_the_same_stream():
    one = adapter()
    assert await answered(one, written()) == await answered(one, written())
    surface = one.surface(received_event(one))
    assert surface is not None
    await surface.open("一朵")
    assert await answered(one, written()) == stream("一朵")


async def test_last_words_that_were_not_written_are_told_again():
    one = adapter()
    await answered(one, written())
    closing = asyncio.create_task(one.send(delivery()))
    await asyncio.sleep(0)
    assert (await answered(one, refresh(), reached=False))["finish"]
    await asyncio.sleep(0)
    assert not closing.done()
    assert (await answered(one, refresh()))["finish"]
    assert await closing == stream_id("m1")


async def test_abandoned_stream_waits_on():
    one = adapter()
    surface = one.surface(received_event(one))
    assert surface is not None
    await surface.open("半句")
    await surface.abandon()
    assert await answered(one, refresh()) == stream(WAITING)
    assert one.surface(received_event(one)) is not None


async def test_after_a_restart_the_stream_waits_for_its_answer():
    one = adapter()
    assert await answered(one, refresh()) == stream(WAITING)
    sending = asyncio.create_task(one.send(delivery()))
    await asyncio.sleep(0)
    assert await answered(one, refresh()) == stream("一朵花", finish=True)
    assert await sending == stream_id("m1")


async def test_stream_says_in_time_that_the_answer_is_late():
    http, clock = FakeHttp(body=no(0)), FakeClock(NOW)
    one = adapter(http, clock)
    await answered(one, written())
    clock.move(LIFE - 1)
    assert await answered(one, {**refresh()}) == stream(WAITING)
    clock.move(1)
    assert (await told(one)) == stream(LATE, finish=True)
    assert one.surface(event := received_event(one)) is None
    assert event.message_id == "m1"
    assert await one.send(delivery()) == ""
    ((url, body, _),) = http.posted
    assert url == REPLY
    assert json.loads(body) == {"msgtype": "markdown", "markdown": {"content": "一朵花"}}


async def told(one: Adapter) -> dict[str, Any]:
    """WeCom asks, whatever the clock of the signature says."""
    received = one.receive(post(refresh()))
    ack = await one.acknowledge(received)
    one.acknowledged(received, ack, written=True)
    return opened(ack)


async def test_late_answer_does_not_wait_for_the_stream():
    http, clock = FakeHttp(body=no(0)), FakeClock(NOW)
    one = adapter(http, clock)
    clock.move(LIFE)
    assert await one.send(delivery()) == ""
    assert len(http.posted) == 1
    assert await told(one) == stream(ELSEWHERE, finish=True)


async def test_stream_that_nobody_asks_for():
    http = FakeHttp(body=no(0))
    one = adapter(http, fetch_wait=0.001)
    await answered(one, written())
    assert await one.send(delivery()) == ""
    assert len(http.posted) == 1
    assert await told(one) == stream(ELSEWHERE, finish=True)


async def test_second_piece_goes_to_the_address_and_the_third_waits():
    http = FakeHttp(body=no(0))
    one = adapter(http)
    await answered(one, written())
    first = asyncio.create_task(one.send(delivery("一", key="msg_1_0")))
    await asyncio.sleep(0)
    await told(one)
    await first
    assert await one.send(delivery("二", key="msg_1_1")) == ""
    assert json.loads(http.posted[0][1])["markdown"]["content"] == "二"
    http.body = no(60140, "response code expired")
    with pytest.raises(WindowClosed, match="60140") as caught:
        await one.send(delivery("三", key="msg_1_2"))
    assert caught.value.code == "60140"


async def test_stream_of_a_message_without_an_answer_of_its_own_ends():
    one = adapter()
    await answered(one, written())
    await one.joined(received_event(one))
    assert await told(one) == stream(JOINED, finish=True)
    one = adapter()
    await one.unanswered(received_event(one))
    assert await told(one) == stream(UNANSWERED, finish=True)


async def test_member_who_may_not_ask_is_not_left_waiting(tmp_path: Path):
    async with bot_on(Simulated(), tmp_path, limits={"user": {"per_minute": 1}}) as simulated:
        for number in range(1, 4):
            await simulated.say("你好")
            got = await simulated.answers(number)
        assert got[-1].text == UNANSWERED


async def test_commands_of_the_platform_are_text():
    one = adapter()
    surface = one.surface(received_event(one))
    assert surface is not None
    await surface.open("<think>a</THINK> <@zhangsan> <b> a<3")
    assert (await told(one))["content"] == "＜think>a＜/THINK> ＜@zhangsan> <b> a<3"
    await surface.update("<@" * 10_000)
    assert len((await told(one))["content"].encode()) <= 20_480


async def test_events_and_handshakes_have_plain_answers():
    one = adapter()
    for data in (written(msgtype="event"), written(msgtype="file")):
        received = one.receive(post(data))
        ack = await one.acknowledge(received)
        assert (ack.status, ack.body) == (200, b"")
        one.acknowledged(received, ack, written=True)


def test_old_streams_are_forgotten():
    clock = FakeClock(NOW)
    streams = Streams(clock)
    first = streams.enter("a")
    assert streams.enter("a") is first
    clock.move(2 * LIFE)
    streams.enter("b")
    assert streams.find("a") is None
    for number in range(10_001):
        streams.enter(f"s{number}")
    assert streams.find("b") is None and streams.find("s10000") is not None


async def test_writing_unasked_is_not_possible():
    with pytest.raises(WindowClosed, match="write first"):
        await adapter().send(delivery(reply_to=""))
    limits = adapter().limits
    assert not limits.active and limits.window is not None


# The message's own address


async def late(http: FakeHttp, url: str = REPLY, **section: Any) -> str:
    """An answer that comes when the stream is over."""
    return await adapter(http, FakeClock(NOW + LIFE), **section).send(delivery(url=url))


@pytest.mark.parametrize(
    ("code", "kind", "words"),
    [
        (60140, WindowClosed, "60140"),
        (45009, NetworkError, "45009"),
        (-1, NetworkError, "-1"),
        (45002, ActionFailed, "too long"),
        (40008, ActionFailed, "webhook mode"),
        (60020, ActionFailed, "企业可信IP"),
        (99999, ActionFailed, "99999"),
    ],
)
async def test_refusals(code: int, kind: type[Exception], words: str):
    with pytest.raises(kind, match=words) as caught:
        await late(FakeHttp(body=no(code, "why")))
    assert REPLY not in str(caught.value) and "RC" not in str(caught.value)
    if isinstance(caught.value, NetworkError):
        assert caught.value.retry_after and not caught.value.sent_maybe


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"{}", b'{"errcode":"0"}'])
async def test_strange_answers_are_no_success(body: bytes):
    with pytest.raises(NetworkError):
        await late(FakeHttp(body=body))


async def test_too_many_requests():
    http = FakeHttp(429)
    http.retry_after = 7.0
    with pytest.raises(NetworkError) as caught:
        await late(http)
    assert (caught.value.retry_after, caught.value.sent_maybe) == (7.0, False)


async def test_used_address_after_a_doubtful_call_is_a_success():
    http = FakeHttp(502)
    one = adapter(http, FakeClock(NOW + LIFE))
    with pytest.raises(NetworkError) as caught:
        await one.send(delivery())
    assert caught.value.sent_maybe
    http.status, http.body = 200, no(60140)
    assert await one.send(delivery()) == ""
    with pytest.raises(WindowClosed):
        await one.send(delivery())


async def test_no_address():
    with pytest.raises(WindowClosed, match="no address"):
        await late(FakeHttp(), url="")


GOOD_URLS = [REPLY, REPLY.replace("qyapi", "QYAPI"), "https://qyapi.weixin.qq.com:443/x"]
BAD_URLS = [
    "http://qyapi.weixin.qq.com/x",
    "https://qyapi.weixin.qq.com:8443/x",
    "https://qyapi.weixin.qq.com.evil.com/x",
    "https://evil.com/qyapi.weixin.qq.com",
    "https://evil.com#qyapi.weixin.qq.com",
    "https://u@qyapi.weixin.qq.com/x",
    "https://@qyapi.weixin.qq.com/x",
    "https://qyapi.weixin.qq.com\\@evil.com/x",
    "https://qyapi.weixin.qq.com/a b",
    "https://qyapi.weixin.qq.com/a\tb",
    " https://qyapi.weixin.qq.com/x",
    "https://qyapi.weixin.qq.com./x",
    "https://qyapi.weixin.qq.com:port/x",
    "https://[::1/x",
    "https://ｑyapi.weixin.qq.com/x",
    "//qyapi.weixin.qq.com/x",
    "file:///etc/passwd",
    "qyapi.weixin.qq.com",
    "https://",
    "https://127.0.0.1/x",
]


@pytest.mark.parametrize("url", BAD_URLS)
async def test_addresses_on_other_hosts_are_not_called(url: str):
    http = FakeHttp(body=no(0))
    with pytest.raises(ActionFailed, match="reply_hosts"):
        await late(http, url)
    assert http.posted == []


def test_addresses():
    own = ResponseUrls(FakeHttp(), ["qyapi.weixin.qq.com"])
    assert all(own.allows(url) for url in GOOD_URLS)
    ported = ResponseUrls(FakeHttp(), ["127.0.0.1:8080"])
    assert ported.allows("http://127.0.0.1:8080/x") and ported.allows("https://127.0.0.1:8080/x")
    assert not any(map(ported.allows, ("http://127.0.0.1/x", "ftp://127.0.0.1:8080/x", *GOOD_URLS)))


# Pictures


async def test_picture_is_decrypted():
    http = FakeHttp()
    http.pictures["u"] = OWN.encrypt(padded(PNG))
    assert await adapter(http).download(Image("u")) == PNG
    for broken in (b"", PNG, OWN.encrypt(padded(PNG))[:-16], OWN.encrypt(b"\0" * 32)):
        http.pictures["u"] = broken
        with pytest.raises(BadPicture, match="解不开"):
            await adapter(http).download(Image("u"))
    with pytest.raises(FetchFailed, match="过期"):
        await adapter(http).download(Image("gone"))


async def test_pictures_are_fetched_from_the_platform_only():
    fetcher = Fetcher(MediaConfig())
    config = convert(SECTION, Config, environ={})
    one = Adapter("wecom_bot", config, fetcher, FakeClock(NOW))
    try:
        for url in (
            "https://evil.com/x",
            "http://127.0.0.1/x",
            "https://myqcloud.com.evil.com/x",
            "file:///etc/passwd",
        ):
            with pytest.raises(FetchFailed):
                await one.download(Image(url))
    finally:
        await fetcher.close()


# Doctor


async def test_check():
    http = FakeHttp(body=no(60140))
    line = await adapter(http).check()
    assert (
        line
        == f"bot {BOT}, keys well formed, qyapi.weixin.qq.com answers (code 60140 for a made-up address, as it should)"
    )
    http.status = 502
    with pytest.raises(NetworkError, match="firewall"):
        await adapter(http).check()


# The whole path


async def test_picture_question(tmp_path: Path):
    async with bot_on(Simulated(), tmp_path, answer="图里是**一朵花**。") as simulated:
        await simulated.say("图里是什么", [PNG])
        (got,) = await simulated.answers(1)
        assert (got.text, got.chat, got.kind) == ("图里是**一朵花**。", "u1", "stream")
        assert await simulated.handshake("echo") == (200, b"echo")
        assert await simulated.happen("enter_chat") == b""
        assert simulated.refused == []


async def test_answer_is_seen_growing(tmp_path: Path):
    answer = "一句。" * 40
    async with bot_on(Simulated(refresh=0.01), tmp_path, answer=answer, chunk_delay=0.3, pieces=4) as simulated:
        await simulated.say("图里是什么", [PNG])
        (got,) = await simulated.answers(1)
        assert got.text == answer
        assert got.shown[0] == WAITING and len(got.shown) > 2
        grown = got.shown[1:]
        assert all(answer.startswith(one.removesuffix("…")) for one in grown)


async def test_group(tmp_path: Path):
    async with bot_on(Simulated(), tmp_path, answer="两张") as simulated:
        await simulated.say("有几张图", [PNG, encoded(drawing(80, 60))], group="g1")
        (got,) = await simulated.answers(1)
        assert got.text.startswith("两张") and got.chat == "g1"
        assert simulated.refused == []


async def test_pictures_then_question_end_both_streams(tmp_path: Path):
    async with bot_on(Simulated(), tmp_path, answer="一朵花") as simulated:
        await simulated.say("", [PNG])
        await simulated.say("图里是什么")
        got = await simulated.answers(2)
        assert {one.text for one in got} == {JOINED, "一朵花"}
        assert simulated.refused == []


async def test_redelivered_message_is_answered_once(tmp_path: Path):
    async with bot_on(Simulated(), tmp_path, answer="一次") as simulated:
        message = simulated.message("你好", (), user="u1")
        await asyncio.gather(*(simulated.write(message) for _ in range(3)))
        (got,) = await simulated.answers(1)
        await simulated.write(message)
        assert [one.text for one in simulated.sent] == [got.text] == ["一次"]


async def test_answer_comes_by_the_address_when_nobody_asks(tmp_path: Path):
    section = {"fetch_wait": 0.05}
    async with bot_on(Simulated(asks=False), tmp_path, answer="晚了", section=section) as simulated:
        await simulated.say("你好")
        (got,) = await simulated.answers(1)
        assert (got.text, got.kind) == ("晚了", "markdown")
        assert simulated.refused == []


async def test_address_that_fails_once(tmp_path: Path):
    section = {"fetch_wait": 0.05}
    async with bot_on(Simulated(asks=False), tmp_path, answer="晚了", section=section) as simulated:
        simulated.faults.append(Fault("/aibot/response", 503))
        await simulated.say("你好")
        (got,) = await simulated.answers(1)
        assert got.text == "晚了" and len(simulated.sent) == 2


async def test_long_answer_goes_out_in_pieces(tmp_path: Path):
    answer = "一段很长的话。\n" * 1200
    async with bot_on(Simulated(), tmp_path, answer=answer) as simulated:
        await simulated.say("写长一点")
        first, second = await simulated.answers(2)
        assert (first.kind, second.kind) == ("stream", "markdown")
        assert first.text.endswith("（1/2）") and second.text.endswith("（2/2）")
        assert simulated.refused == []


async def test_picture_that_has_expired(tmp_path: Path):
    async with bot_on(Simulated(), tmp_path) as simulated:
        message = simulated.message("图里是什么", [PNG], user="u1")
        simulated.pictures.clear()
        await simulated.write(message)
        (got,) = await simulated.answers(1)
        assert "图" in got.text and got.text != "这是一张图片。"


async def test_many_members_at_once(tmp_path: Path):
    async with bot_on(Simulated(), tmp_path, answer="好") as simulated:
        await asyncio.gather(*(simulated.say("你好", user=f"u{n % 8}") for n in range(24)))
        got = await simulated.answers(24)
        assert {one.text for one in got} == {"好"} and len({one.message_id for one in got}) == 24
        assert simulated.refused == []


async def test_simulated_platform_enforces_its_rules():
    simulated = Simulated()
    await simulated.start()
    fetcher = Fetcher(MediaConfig(allow_hosts=(simulated.base.removeprefix("http://"),)))
    responses = ResponseUrls(fetcher, simulated.section()["reply_hosts"])
    try:
        url = simulated.message("x", (), user="u1")["response_url"]
        with pytest.raises(ActionFailed, match="45002"):
            await responses.send(url, "m", "长" * 7000)
        await responses.send(url, "m", "好")
        with pytest.raises(WindowClosed, match="60140"):
            await responses.send(url, "m", "好")
        assert len(simulated.refused) == 2
        assert await responses.reach(simulated.base.removeprefix("http://")) == 60140
    finally:
        await fetcher.close()
        await simulated.stop()
