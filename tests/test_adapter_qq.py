"""QQ official bot: configuration, answers, error codes, streaming, pictures, and the whole path."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from fakes import FakeClock, FakeHttp
from pictures import drawing, encoded
from simulation import bot_on
from vectors_qq import ANN, BOT, GROUP, NOW, SIGNER, vectors, written

from adapters.qq import Adapter, Config
from adapters.qq.adapter import without_addresses
from adapters.qq.messages import without_mentions
from adapters.qq.signature import Signer
from adapters.simulated.platform import Fault
from adapters.simulated.qq import GROUP_ALL, GROUP_AT, PRIVATE, Simulated
from bot.adapter import Request
from bot.clock import Clock
from bot.config import MediaConfig, convert
from bot.errors import ActionFailed, ConfigError, DeliveryError, FetchFailed, NetworkError, Rejected, WindowClosed
from bot.event import Conversation, Delivery, MessageEvent
from bot.fetch import Fetcher
from bot.http import HttpAnswer
from bot.message import Image, Mention, Quote, Text

SECTION: dict[str, Any] = {"app_id": "102012345", "secret": "ZxK9vTq2"}
PNG = encoded(drawing())
ANN_CHAT, GROUP_CHAT = Conversation("qq", "default", ANN), Conversation("qq", "default", GROUP, "group")


def adapter(http: Any = None, clock: Clock | None = None, **section: Any) -> Adapter:
    config = convert(SECTION | section, Config, environ={})
    return Adapter("qq", config, http or FakeHttp(), clock or FakeClock(NOW))


def delivery(text: str = "一朵花", where: Conversation = ANN_CHAT, **fields: Any) -> Delivery:
    given: dict[str, Any] = {"reply_to": "ROBOT1.0_1", "asked_at": NOW, **fields}
    return Delivery(given.pop("key", "msg_1_0"), where, (Text(text),), **given)


def answers(*sent: tuple[int, Any], token: Any = None, headers: dict[str, str] | None = None) -> FakeHttp:
    """A token, then these answers in turn, the last one for all that follow."""
    http = FakeHttp()
    left = list(sent) or [(200, {"id": "m1"})]
    given = token or {"access_token": "t0ken", "expires_in": "7200"}

    def answer(method: str, url: str, body: bytes) -> HttpAnswer:
        if url.endswith("/app/getAppAccessToken"):
            return HttpAnswer(200, written(given))
        status, data = left.pop(0) if len(left) > 1 else left[0]
        return HttpAnswer(status, data if isinstance(data, bytes) else written(data), headers=headers or {})

    http.answer = answer
    return http


def sent(http: FakeHttp) -> list[tuple[str, dict[str, Any]]]:
    """The calls beside those for tokens."""
    return [(url, json.loads(body or b"{}")) for url, body, _ in http.posted if "getAppAccessToken" not in url]


def received(data: dict[str, Any]) -> MessageEvent:
    body = written(data)
    headers = {name.lower(): value for name, value in SIGNER.headers(body, NOW).items()}
    (event,) = adapter().receive(Request("POST", "/webhook/qq", {}, headers, body, NOW)).events
    assert isinstance(event, MessageEvent)
    return event


# -------------------------------------------------------------------- configuration


@pytest.mark.parametrize(
    ("section", "word"),
    [
        ({"secret": ""}, "secret"),
        ({"app_id": ""}, "app_id"),
        ({"api_base": "api.bot.qq.com"}, "api_base"),
        ({"api_base": "ftp://api.bot.qq.com"}, "api_base"),
        ({"token_base": "https://[bad"}, "token_base"),
        ({"handshake_token": "[a-"}, "handshake_token"),
        ({"stream": True}, "markdown"),
        ({"max_age": 0}, "max_age"),
        ({"app_key": "x"}, "app_key"),
    ],
)
def test_a_wrong_section_names_what_is_wrong(section: dict[str, Any], word: str) -> None:
    with pytest.raises(ConfigError, match=word):
        adapter(**section)


def test_the_secret_shows_nowhere() -> None:
    assert SECTION["secret"] not in repr(adapter().config)


def test_warnings() -> None:
    assert adapter().warnings() == ()
    (warning,) = adapter(api_base="http://127.0.0.1:1").warnings()
    assert "https" in warning


def test_rules_of_private_chats_and_groups() -> None:
    one = adapter()
    private, group = one.limits_for(ANN_CHAT), one.limits_for(GROUP_CHAT)
    assert private.window is not None and (private.window.seconds, private.window.messages) == (3600, 4)
    assert group.window is not None and (group.window.seconds, group.window.messages) == (300, 5)
    assert private.idempotent_send and private.active and not private.live and not private.typing_every
    streaming = adapter(markdown=True, stream=True, typing=True)
    assert (streaming.limits_for(ANN_CHAT).live, streaming.limits_for(GROUP_CHAT).live) == ("stream", "")
    assert streaming.limits_for(ANN_CHAT).typing_every and not streaming.limits_for(GROUP_CHAT).typing_every
    assert not adapter(active=False).limits_for(GROUP_CHAT).active


# --------------------------------------------------------------------------- inbound


def test_keys_are_made_of_the_secret_as_documented() -> None:
    signer = Signer("naOC0ocQE3shWLAfffVLB1rhYPG7")
    public = signer._public.public_bytes_raw()  # pyright: ignore[reportPrivateUsage]
    assert list(public[:8]) == [215, 195, 98, 254, 120, 174, 248, 31]


@pytest.mark.parametrize("signature", ["签" * 128, "\udcff" * 128, "４" * 128, "\0" * 128, "é" * 128])
@pytest.mark.parametrize("name", ["x-signature-ed25519", "x-signature-timestamp"])
def test_headers_that_are_no_ascii_are_refused(name: str, signature: str) -> None:
    headers = {"x-signature-ed25519": "0" * 128, "x-signature-timestamp": str(NOW), name: signature}
    with pytest.raises(Rejected) as error:
        adapter().receive(Request("POST", "/", {}, headers, b"{}", NOW))
    assert error.value.reason == ("malformed_timestamp" if "timestamp" in name else "bad_signature")


def test_no_space_around_a_signature() -> None:
    """HTTP servers take it away; others may not."""
    body = written({"op": 11})
    good = {name.lower(): value for name, value in SIGNER.headers(body, NOW).items()}
    assert adapter().receive(Request("POST", "/", {}, good, body, NOW)).ignored == "event"
    for spaced in (" {}", "{} ", "{}\n"):
        headers = good | {"x-signature-ed25519": spaced.format(good["x-signature-ed25519"])}
        with pytest.raises(Rejected, match="bad_signature"):
            adapter().receive(Request("POST", "/", {}, headers, body, NOW))


def test_an_answered_handshake_signs_no_event() -> None:
    """Not even where the operator lets every token through."""
    one = adapter(handshake_token="(?s).*")
    event = written({"op": 0, "t": PRIVATE, "d": {}}).decode()
    body = written({"op": 13, "d": {"plain_token": event, "event_ts": str(NOW)}})
    with pytest.raises(Rejected) as error:
        one.receive(Request("POST", "/", {}, {}, body, NOW))
    assert (error.value.reason, error.value.status) == ("handshake_refused", 403)


def test_a_handshake_answer_cannot_be_sent_back_as_an_event() -> None:
    body = written({"op": 13, "d": {"plain_token": "1234567890", "event_ts": str(NOW)}})
    answer = json.loads(adapter().receive(Request("POST", "/", {}, {}, body, NOW)).ack.body)
    headers = {"x-signature-ed25519": answer["signature"], "x-signature-timestamp": str(NOW)}
    with pytest.raises(Rejected) as error:
        adapter().receive(Request("POST", "/", {}, headers, b"1234567890", NOW))
    assert error.value.reason == "malformed"


def test_one_flipped_bit_of_an_accepted_body_is_refused() -> None:
    one = adapter()
    for case in vectors()["cases"]:
        if case["expect"]["outcome"] == "accepted":
            body = bytearray(base64.b64decode(case["request"]["body_b64"]))
            body[len(body) // 2] ^= 1
            headers = {name.lower(): value for name, value in case["request"]["headers"].items()}
            with pytest.raises(Rejected, match="bad_signature"):
                one.receive(Request("POST", "/", {}, headers, bytes(body), case["now"]))


def test_whom_a_message_is_meant_for() -> None:
    simulated = Simulated()
    assert received(simulated.event(PRIVATE, "看")).to_me
    assert received(simulated.event(GROUP_AT, " 看", group=GROUP)).to_me
    assert not received(simulated.event(GROUP_ALL, "早", group=GROUP)).to_me
    mentions = [{"id": BOT, "is_you": True, "username": "看图助手"}]
    event = received(simulated.event(GROUP_ALL, f"<@!{BOT}> 看", group=GROUP, mentions=mentions))
    assert event.to_me and event.message.text == "看"


def test_a_forwarded_bundle_is_flat_and_bounded() -> None:
    picture = {"content_type": "image/png", "url": "https://gchat.qpic.cn/1"}
    inner: dict[str, Any] = {"content": "里", "attachments": [picture] * 3, "author": {"username": "小李"}}
    middle = {"content": "", "msg_elements": [inner] * 30}
    outer = {"content": "外", "msg_elements": [{**middle, "content": "", "msg_elements": [{"msg_elements": [inner]}]}]}
    event = received(Simulated().event(PRIVATE, "", message_type=102, msg_elements=[outer, middle, middle]))
    quotes = [part for part in event.message.parts if isinstance(part, Quote)]
    assert len(quotes) == 50 and quotes[0].message.text == "外"
    assert {quote.sender for quote in quotes[1:]} == {"小李"}
    assert len(event.message.images) == 20


def test_mentions_are_rewritten_in_linear_time() -> None:
    own = Mention("b", "看图", True)
    assert without_mentions("x" + " <@!b>" * 150_000 + "y", [own]) == "x y"
    assert without_mentions("<@b>" * 200_000, [Mention("b", "n")]) == "@n" * 200_000


# ------------------------------------------------------------------------- outbound


async def test_a_private_answer() -> None:
    http = answers((200, {"id": "m1", "timestamp": "2026-11-18T19:06:41+08:00"}))
    assert await adapter(http).send(delivery()) == "m1"
    ((url, data),) = sent(http)
    assert url == f"https://api.bot.qq.com/v2/users/{ANN}/messages"
    sequence = data.pop("msg_seq")
    assert data == {"msg_type": 0, "content": "一朵花", "msg_id": "ROBOT1.0_1"}
    assert 1 <= sequence <= 99_999_999
    assert http.posted[-1][2]["authorization"] == "QQBot t0ken"


async def test_the_same_key_has_the_same_number_and_others_have_others() -> None:
    http = answers()
    for key in ("msg_1_0", "msg_1_0", "msg_1_1"):
        await adapter(http).send(delivery(key=key))
    first, again, second = [data["msg_seq"] for _, data in sent(http)]
    assert first == again != second


async def test_a_group_answer_quotes_the_question() -> None:
    event = received(Simulated().event(GROUP_AT, " 看", group=GROUP))
    http = answers()
    answer = delivery(where=GROUP_CHAT, quote=True, platform_data=event.platform_data)
    await adapter(http, markdown=True).send(answer)
    ((url, data),) = sent(http)
    assert url.endswith(f"/v2/groups/{GROUP}/messages")
    assert data["message_reference"]["message_id"].startswith("REFIDX_")
    assert data["msg_type"] == 2 and data["markdown"] == {"content": "一朵花"} and "content" not in data


async def test_unasked_messages_name_no_question() -> None:
    http = answers()
    await adapter(http).send(delivery(reply_to=""))
    assert sent(http)[0][1] == {"msg_type": 0, "content": "一朵花"}


async def test_no_answer_in_a_group_calls_anybody() -> None:
    text = "@everyone <@!A> <#1> <qqbot-at-everyone /> [@x](mqqapi://markdown/mention?at_type=1) a < b, x@y.cn"
    calm = (
        "@\u200beveryone <\u200b@!A> <\u200b#1> <\u200bqqbot-at-everyone /> "
        "[@x](mqqapi:\u200b//markdown/mention?at_type=1) a < b, x@y.cn"
    )
    for markdown in (False, True):
        http = answers()
        for where in (GROUP_CHAT, ANN_CHAT):
            await adapter(http, markdown=markdown).send(delivery(text, where))
        shown = [data["markdown"]["content"] if markdown else data["content"] for _, data in sent(http)]
        assert shown == [calm, text]


async def test_odd_openids_stay_in_their_place() -> None:
    http = answers()
    await adapter(http).send(delivery(where=Conversation("qq", "default", "a/../b?c#d")))
    assert sent(http)[0][0] == "https://api.bot.qq.com/v2/users/a%2F..%2Fb%3Fc%23d/messages"


async def test_a_token_that_ended_is_fetched_anew_once() -> None:
    for ended in ((401, {"code": 11244, "message": "token not exist or expire"}), (401, b""), (500, {"code": 11243})):
        http = answers(ended, (200, {"id": "m2"}))
        assert await adapter(http).send(delivery()) == "m2"
        assert sum("getAppAccessToken" in url for url, _, _ in http.posted) == 2
    http = answers((401, {"err_code": 11244, "message": "token not exist or expire"}))
    with pytest.raises(ActionFailed, match="app_id and secret") as error:
        await adapter(http).send(delivery())
    assert error.value.code == "11244" and len(sent(http)) == 2


async def test_tokens_are_renewed_before_their_end() -> None:
    clock, http = FakeClock(NOW), answers()
    one = adapter(http, clock)
    for seconds in (0, 6800, 200):
        clock.move(seconds)
        await one.send(delivery())
    assert sum("getAppAccessToken" in url for url, _, _ in http.posted) == 2


@pytest.mark.parametrize(
    ("token", "kind"),
    [
        ({"code": 100016, "message": "invalid appid or secret"}, ActionFailed),
        ({"code": 100001, "message": "too fast"}, NetworkError),
        ({"access_token": "", "expires_in": "7200"}, ActionFailed),
        ({"access_token": "t", "expires_in": "soon"}, ActionFailed),
        ({"access_token": 5, "expires_in": True}, ActionFailed),
    ],
)
async def test_no_token(token: Any, kind: type[DeliveryError]) -> None:
    with pytest.raises(kind) as error:
        await adapter(answers(token=token)).send(delivery())
    assert SECTION["secret"] not in str(error.value)


@pytest.mark.parametrize("code", [304023, 304024])
async def test_what_waits_for_a_moderator_is_sent(code: int) -> None:
    http = answers((202, {"code": code, "message": "push message is waiting for audit now", "data": {}}))
    assert await adapter(http).send(delivery()) == ""


async def test_a_copy_that_was_dropped_is_sent() -> None:
    for status in (400, 500):
        http = answers((status, {"err_code": 40054005, "message": "消息被去重，请检查请求msgseq"}))
        assert await adapter(http).send(delivery()) == ""


@pytest.mark.parametrize(
    ("status", "data", "kind", "code"),
    [
        (400, {"err_code": 40034128, "message": "被动回复时间或次数超限"}, WindowClosed, "40034128"),
        (400, {"err_code": 40034005}, WindowClosed, "40034005"),
        (400, {"code": 304103}, WindowClosed, "304103"),
        (500, {"code": 304027, "message": "MSG_EXPIRE"}, WindowClosed, "304027"),
        (400, {"err_code": 40034105, "message": "主动消息发送失败，无权限"}, WindowClosed, "40034105"),
        (400, {"err_code": 40054007}, ActionFailed, "40054007"),
        (400, {"err_code": 40054003}, ActionFailed, "40054003"),
        (400, {"err_code": "40054002"}, ActionFailed, "40054002"),
        (400, {"err_code": 40034006}, ActionFailed, "40034006"),
        (400, {"err_code": 40034024}, ActionFailed, "40034024"),
        (400, {"err_code": 40034127}, ActionFailed, "40034127"),
        (400, {"err_code": 12002, "message": "RequestInvalid"}, ActionFailed, "12002"),
        (200, {"err_code": 12002}, ActionFailed, "12002"),
        (403, b"<html>", ActionFailed, "403"),
    ],
)
async def test_refusals(status: int, data: Any, kind: type[Any], code: str) -> None:
    with pytest.raises(kind) as error:
        await adapter(answers((status, data))).send(delivery())
    assert error.value.code == code
    assert str(error.value).isascii() or "message" in data


@pytest.mark.parametrize(
    ("status", "data", "maybe", "pause"),
    [
        (429, b"", False, 5),
        (429, {"code": 22009, "message": "msg limit exceed"}, False, 60),
        (400, {"err_code": 40034100}, False, 60),
        (400, {"err_code": 50055001}, True, None),
        (500, b"<html>", True, None),
        (504, {"code": 99999}, True, None),
        (200, b"not JSON", True, None),
    ],
)
async def test_faults_of_a_moment(status: int, data: Any, maybe: bool, pause: float | None) -> None:
    with pytest.raises(NetworkError) as error:
        await adapter(answers((status, data))).send(delivery())
    assert (error.value.sent_maybe, error.value.retry_after) == (maybe, pause)


async def test_what_nobody_asked_for_is_not_sent_twice() -> None:
    """QQ drops copies of answers only."""
    with pytest.raises(ActionFailed, match="may have arrived"):
        await adapter(answers((500, b""))).send(delivery(reply_to=""))
    with pytest.raises(NetworkError):
        await adapter(answers((429, b""))).send(delivery(reply_to=""))


async def test_refused_addresses_are_sent_so_that_nobody_can_click_them() -> None:
    http = answers((400, {"err_code": 40054010}), (200, {"id": "m3"}))
    text = "见 https://example.com/a.html，版本 3.11，文件 a.py"
    assert await adapter(http).send(delivery(text, where=GROUP_CHAT)) == "m3"
    first, second = [data for _, data in sent(http)]
    assert first["content"] == text
    assert second["content"] == "见 example．com/a．html，版本 3.11，文件 a．py"
    assert first["msg_seq"] == second["msg_seq"]
    for text in ("https://example.com", "没有网址"):
        with pytest.raises(ActionFailed, match="消息 URL 配置") as error:
            await adapter(answers((400, {"code": 304003}))).send(delivery(text))
        assert error.value.code == "304003"


def test_addresses() -> None:
    assert without_addresses("HTTPS://a.b.cn:8080/x?y=1.5") == "a．b．cn:8080/x?y=1.5"
    assert without_addresses("第1.2节。等等...a. b .c") == "第1.2节。等等...a. b .c"


async def test_check_asks_for_the_name() -> None:
    http = answers((200, {"id": "1", "username": "看图助手"}))
    assert await adapter(http).check() == "app 102012345, token valid, bot 看图助手"
    with pytest.raises(ActionFailed, match="check app_id"):
        await adapter(answers((401, {"code": 11251}))).check()


async def test_typing_has_a_new_number_each_time() -> None:
    http, clock = answers((200, {})), FakeClock(NOW)
    one = adapter(http, clock, typing=True)
    event = received(Simulated().event(PRIVATE, "看"))
    await one.typing(event)
    clock.move(55)
    await one.typing(event)
    first, second = [data for _, data in sent(http)]
    assert first["msg_type"] == 6 and first["msg_id"] == event.message_id
    assert first["msg_seq"] != second["msg_seq"]


async def test_pictures_come_from_qq_only(tmp_path: Path) -> None:
    fetcher = Fetcher(MediaConfig())
    try:
        one = adapter(fetcher)
        for url in ("https://example.com/a.png", "https://evilqpic.cn/a", "https://gchat.qpic.cn@evil.com/a"):
            with pytest.raises(FetchFailed):
                await one.download(Image(source=url))
    finally:
        await fetcher.close()
    http = FakeHttp()
    http.pictures["https://gchat.qpic.cn/a"] = PNG
    assert await adapter(http).download(Image(source="https://gchat.qpic.cn/a")) == PNG


# ------------------------------------------------------------------------ streaming


def streaming(http: FakeHttp) -> tuple[Adapter, MessageEvent]:
    return adapter(http, markdown=True, stream=True), received(Simulated().event(PRIVATE, "看"))


async def texts(http: FakeHttp, show: Callable[[Any], Any]) -> list[str]:
    one, event = streaming(http)
    surface = one.surface(event)
    assert surface is not None
    await show(surface)
    pieces = [data for _, data in sent(http)]
    assert [data["index"] for data in pieces] == list(range(len(pieces)))
    assert {data["msg_seq"] for data in pieces} == {pieces[0]["msg_seq"]}
    assert [data["input_state"] for data in pieces] == [1] * (len(pieces) - 1) + [10]
    assert [data.get("stream_msg_id") for data in pieces] == [None] + ["s1"] * (len(pieces) - 1)
    return [data["content_raw"] for data in pieces]


async def test_a_stream_grows() -> None:
    async def show(surface: Any) -> None:
        await surface.open("一")
        await surface.update("一朵")
        assert await surface.close(delivery("一朵花")) == "s1"
        assert await surface.close(delivery("一朵花")) == "s1"
        await surface.abandon()

    assert await texts(answers((200, {"id": "s1"})), show) == ["一", "一朵", "一朵花"]


async def test_a_stream_keeps_the_notice_above_the_answer() -> None:
    async def show(surface: Any) -> None:
        await surface.open("正在看图…")
        await surface.update("一朵")
        await surface.update("改口")
        await surface.close(delivery("一朵花"))

    shown = await texts(answers((200, {"id": "s1"})), show)
    assert shown == ["正在看图…", "正在看图…\n\n一朵", "正在看图…\n\n一朵花"]


async def test_a_stream_ends_with_another_text_below() -> None:
    async def show(surface: Any) -> None:
        await surface.open("一朵")
        await surface.update("一朵花开")
        await surface.close(delivery("两朵花"))

    shown = await texts(answers((200, {"id": "s1"})), show)
    assert shown == ["一朵", "一朵花开", "一朵花开\n\n两朵花"]


async def test_a_stream_without_an_answer_is_ended() -> None:
    async def show(surface: Any) -> None:
        await surface.open("正在看图…")
        await surface.abandon()

    assert await texts(answers((200, {"id": "s1"})), show) == ["正在看图…", "正在看图…"]


# ------------------------------------------------------------------- the whole path


async def test_a_picture_is_answered_in_private(tmp_path: Path) -> None:
    async with bot_on(Simulated(), tmp_path, answer="一朵**红**花") as simulated:
        await simulated.say("图里是什么", [PNG])
        (got,) = await simulated.answers(1)
        assert (got.chat, got.text, got.kind) == ("u1", "一朵红花", "text")
        assert simulated.refused == []


async def test_a_picture_is_answered_in_a_group(tmp_path: Path) -> None:
    async with bot_on(Simulated(), tmp_path, answer="一朵**红**花", section={"markdown": True}) as simulated:
        await simulated.push(simulated.event(GROUP_ALL, "大家早", user="u2", group="g1"))
        await simulated.say("图里是什么", [PNG], group="g1")
        (got,) = await simulated.answers(1)
        assert (got.chat, got.text, got.kind) == ("g1", "一朵**红**花", "markdown")
        assert simulated.refused == [] and len(simulated.sent) == 1


async def test_an_answer_streams(tmp_path: Path) -> None:
    section = {"markdown": True, "stream": True, "typing": True}
    async with bot_on(Simulated(), tmp_path, answer="一朵红色的花", pieces=3, section=section) as simulated:
        await simulated.say("图里是什么", [PNG])
        (got,) = await simulated.answers(1)
        assert got.text == "一朵红色的花"
        assert all(got.text.startswith(text) for text in got.shown)
        assert simulated.refused == []


async def test_a_long_answer_uses_its_window_and_goes_on_unasked(tmp_path: Path) -> None:
    paragraphs = "\n\n".join(f"第{number}段" + "花" * 1900 for number in range(6))
    async with bot_on(Simulated(), tmp_path, answer=paragraphs) as simulated:
        await simulated.say("图里是什么", [PNG])
        got = await simulated.answers(6)
        assert [bool(one.data.get("msg_id")) for one in got] == [True] * 4 + [False] * 2
        assert [one.text[:3] for one in got] == [f"第{number}段" for number in range(6)]
        assert simulated.refused == []


async def test_a_lost_answer_is_repeated_and_seen_once(tmp_path: Path) -> None:
    async with bot_on(Simulated(), tmp_path, answer="一朵花") as simulated:
        simulated.faults.append(Fault("/messages", drop=True))
        await simulated.say("图里是什么", [PNG])
        (got,) = await simulated.answers(1)
        assert got.text == "一朵花" and len(simulated.sent) == 1


async def test_a_token_that_ends_in_between(tmp_path: Path) -> None:
    async with bot_on(Simulated(), tmp_path, answer="一朵花") as simulated:
        await simulated.say("图里是什么", [PNG])
        await simulated.answers(1)
        simulated.access_token = ""
        await simulated.say("还有呢")
        await simulated.answers(2)
        assert simulated.calls["/app/getAppAccessToken"] == 2


async def test_an_address_that_is_not_registered(tmp_path: Path) -> None:
    async with bot_on(Simulated(), tmp_path, answer="网址是 https://example.com") as simulated:
        await simulated.say("图里写了什么", [PNG], group="g1")
        (got,) = await simulated.answers(1)
        assert got.text == "网址是 example．com"
    async with bot_on(Simulated(addresses=True), tmp_path / "2", answer="网址是 https://example.com") as simulated:
        await simulated.say("图里写了什么", [PNG])
        (got,) = await simulated.answers(1)
        assert got.text == "网址是 https://example.com" and simulated.refused == []


async def test_the_callback_address_can_be_saved(tmp_path: Path) -> None:
    async with bot_on(Simulated(), tmp_path) as simulated:
        for signed in (False, True):
            status, body = await simulated.handshake(signed=signed)
            assert status == 200 and json.loads(body)["plain_token"] == "Arq0D5A61EgUu4OxUvOp"
        status, body = await simulated.handshake('{"op":0}')
        assert status == 403


async def test_doctor_speaks_to_the_simulated_platform() -> None:
    simulated = Simulated()
    await simulated.start()
    fetcher = Fetcher(MediaConfig())
    try:
        section = convert(simulated.section(), Config, environ={})
        one = Adapter("qq", section, fetcher, Clock())
        assert await one.check() == f"app {simulated.app_id}, token valid, bot 看图助手"
        wrong = Adapter("qq", msgspec.structs.replace(section, app_id="1"), fetcher, Clock())
        with pytest.raises(ActionFailed, match="check app_id and secret"):
            await wrong.check()
    finally:
        await fetcher.close()
        await simulated.stop()


def test_a_delivery_may_name_nothing_to_quote() -> None:
    assert replace(delivery(), quote=True).platform_data == {}
