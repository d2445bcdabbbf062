"""Feishu: configuration, the official library's opinion, pictures and quotes, sending, cards, and the whole path."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fakes import FakeClock, FakeHttp
from pictures import drawing, encoded
from simulation import bot_on
from vectors_feishu import APP, BOT, KEY, NOW, TOKEN, vectors

from adapters.feishu import Adapter
from adapters.feishu.card import escaped, fits_card, has_markdown, plain
from adapters.simulated.feishu import BOT as SIMULATED_BOT
from adapters.simulated.feishu import Simulated, encrypt, signed
from adapters.simulated.platform import Fault
from bot.adapter import Request
from bot.config import MediaConfig, convert
from bot.errors import ActionFailed, ConfigError, DeliveryError, FetchFailed, KantuError, NetworkError, Rejected
from bot.event import Conversation, Delivery, File, MessageEvent, Sender
from bot.fetch import Fetcher
from bot.http import HttpAnswer
from bot.message import Image, Quote, Text, user

SECTION: dict[str, Any] = {
    "app_id": APP,
    "app_secret": "s3cret",
    "encrypt_key": KEY,
    "verification_token": TOKEN,
    "bot_open_id": BOT,
}
PNG = encoded(drawing())
PRIVATE = Conversation("feishu", "default", "oc_p2p_u1")
GROUP = Conversation("feishu", "default", "oc_group_g", "group")
TABLE = "| 甲 | 乙 |\n| --- | --- |\n| 1 | 2 |\n"


def load_vectors() -> Any:
    path = Path(__file__).parent.parent / "benchmarks" / "platform_vectors.py"
    spec = importlib.util.spec_from_file_location("platform_vectors", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["platform_vectors"] = module
    spec.loader.exec_module(module)
    return module


def adapter(http: Any = None, **section: Any) -> Adapter:
    config = convert(SECTION | section, Adapter.Config, environ={})
    return Adapter("feishu", config, http or FakeHttp(), FakeClock(NOW))


def event_body(content: dict[str, Any], *, token: str = TOKEN, key: str = KEY, **message: Any) -> bytes:
    inner = {
        "schema": "2.0",
        "header": {"event_id": "e1", "event_type": "im.message.receive_v1", "token": token, "app_id": APP},
        "event": {
            "sender": {"sender_id": {"open_id": "ou_ann"}, "sender_type": "user"},
            "message": {
                "message_id": "om_1",
                "create_time": f"{NOW}000",
                "chat_id": "oc_1",
                "chat_type": "p2p",
                "message_type": "text",
                "content": json.dumps(content),
                **message,
            },
        },
    }
    return json.dumps({"encrypt": encrypt(key, json.dumps(inner).encode())}).encode()


def request(body: bytes, headers: dict[str, str] | None = None, now: float = NOW) -> Request:
    given = signed(KEY, body, NOW) if headers is None else headers
    return Request("POST", "/webhook/feishu", {}, {name.lower(): value for name, value in given.items()}, body, now)


def received(content: dict[str, Any], feishu: Adapter | None = None, **message: Any) -> MessageEvent:
    (event,) = (feishu or adapter()).receive(request(event_body(content, **message))).events
    assert isinstance(event, MessageEvent)
    return event


def delivery(text: str, where: Conversation = PRIVATE, **fields: Any) -> Delivery:
    return Delivery("msg_1", where, (Text(text),), **fields)


@pytest.fixture
async def platform() -> AsyncIterator[Simulated]:
    simulated = Simulated()
    await simulated.start()
    yield simulated
    await simulated.stop()


@pytest.fixture
async def feishu(platform: Simulated) -> AsyncIterator[Adapter]:
    fetcher = Fetcher(MediaConfig(allow_hosts=(platform.base.removeprefix("http://"),)))
    section = {name: value for name, value in platform.section().items() if name != "platform"}
    yield Adapter("feishu", convert(section, Adapter.Config, environ={}), fetcher, FakeClock(NOW))
    await fetcher.close()


# ------------------------------------------------------------------ receiving


def test_own_vectors() -> None:
    runner = load_vectors()
    wrong = [line for case, record in runner.run_file(vectors()) for line in runner.mismatches(case, record)]
    assert wrong == []


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ({"x-lark-signature": "\udcff" * 64}, "bad_signature"),
        ({"x-lark-signature": "\x00"}, "bad_signature"),
        ({"x-lark-request-nonce": "\udcff"}, "bad_signature"),
        ({"x-lark-request-timestamp": f" {NOW}"}, "malformed_timestamp"),
        ({"x-lark-request-timestamp": f"{NOW}\udcff"}, "malformed_timestamp"),
    ],
)
def test_odd_headers_are_refused_and_never_an_exception(headers: dict[str, str], reason: str) -> None:
    body = event_body({"text": "x"})
    with pytest.raises(Rejected) as refused:
        adapter().receive(request(body, signed(KEY, body, NOW) | headers))
    assert refused.value.reason in (reason, "missing_signature")


def test_a_body_that_cannot_be_signed_tells_nothing_about_its_ciphertext() -> None:
    body = event_body({"text": "x"})
    answers: set[tuple[str, int]] = set()
    for tried in (body, body.replace(b'"encrypt": "', b'"encrypt": "AAAA'), b'{"encrypt": "x"}', b"{"):
        with pytest.raises(Rejected) as refused:
            adapter().receive(request(tried, {}))
        answers.add((refused.value.reason, refused.value.status))
    assert answers == {("missing_signature", 401)}


def test_a_reply_to_the_bot_is_for_the_bot() -> None:
    feishu = adapter()
    group: dict[str, Any] = {"chat_type": "group", "parent_id": "om_own"}
    assert not received({"text": "为什么"}, feishu, **group).to_me
    feishu._own.add("om_own")
    assert received({"text": "为什么"}, feishu, **group).to_me


def test_a_topic_is_a_conversation_of_its_own() -> None:
    assert received({"text": "x"}, thread_id="omt_1").conversation.thread_id == "omt_1"
    assert received({"text": "x"}, root_id="om_0").conversation.thread_id == ""


def test_long_runs_of_spaces_take_no_time() -> None:
    mentions = [{"key": "@_user_1", "id": {"open_id": BOT}, "name": "看图"}]
    event = received({"text": "x" + " " * 400_000 + "y @_user_1 " * 20_000}, mentions=mentions)
    assert event.message.text.startswith("x ")


@pytest.fixture
def lark() -> Iterator[Any]:
    """The official library. It makes an event loop when it is imported, which is closed here."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        import lark_oapi

        yield lark_oapi
    finally:
        asyncio.set_event_loop(None)
        loop.close()


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
def test_the_official_library_agrees(lark: Any) -> None:
    from lark_oapi.core.model import RawRequest

    seen: list[str] = []
    builder = lark.EventDispatcherHandler.builder(KEY, TOKEN)
    handler = builder.register_p2_im_message_receive_v1(lambda data: seen.append(data.event.message.message_id)).build()

    def official(body: bytes, headers: dict[str, str]) -> bool:
        raw = RawRequest()
        raw.uri, raw.body, raw.headers = "/webhook/feishu", body, headers
        return handler.do(raw).status_code == 200

    def ours(body: bytes, headers: dict[str, str]) -> bool:
        try:
            adapter().receive(request(body, headers))
        except Rejected:
            return False
        return True

    good = event_body({"text": "你好"})
    headers = signed(KEY, good, NOW)
    forged = event_body({"text": "假的"}, token="other")
    other = event_body({"text": "假的"}, key="another key")
    check = json.dumps({"challenge": "c", "token": TOKEN, "type": "url_verification"}).encode()
    address = json.dumps({"encrypt": encrypt(KEY, check)}).encode()
    cases = [
        (good, headers, True),
        (address, {}, True),
        (good, headers | {"X-Lark-Signature": "0" * 64}, False),
        (good, headers | {"X-Lark-Request-Nonce": "x"}, False),
        (good + b" ", headers, False),
        (forged, signed(KEY, forged, NOW), False),
        (other, signed(KEY, other, NOW), False),
        (good, signed("another key", good, NOW), False),
    ]
    for body, given, expected in cases:
        assert (official(body, given), ours(body, given)) == (expected, expected)
    assert seen == ["om_1"]


# -------------------------------------------------------------- configuration


@pytest.mark.parametrize(
    "change",
    [
        {"app_id": ""},
        {"app_id": "  "},
        {"app_secret": ""},
        {"verification_token": ""},
        {"api_base": ""},
        {"api_base": "open.feishu.cn"},
        {"api_base": "ftp://open.feishu.cn"},
        {"api_base": "https://open.feishu.cn?x=1"},
        {"api_base": "https://[x"},
        {"max_age": 0},
        {"app_token": "x"},
    ],
)
def test_a_wrong_configuration_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        adapter(**change)


def test_weak_configurations_are_told() -> None:
    assert adapter().warnings() == ()
    weak = adapter(encrypt_key="", bot_open_id="", api_base="http://127.0.0.1:1/")
    assert len(weak.warnings()) == 3


def test_without_streaming_there_is_no_card_to_grow() -> None:
    assert adapter().limits.live == "stream"
    assert adapter(streaming=False).limits.live == ""


async def test_check_names_the_bot(platform: Simulated, feishu: Adapter) -> None:
    assert await feishu.check() == f"看图 ({SIMULATED_BOT}), events signed and encrypted"
    assert platform.refused == []


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (Fault("/bot/v3/info", data={"code": 0, "bot": {"open_id": "ou_other"}}), "ou_other"),
        (Fault("/bot/v3/info", data={"code": 0, "bot": {"open_id": "ou_x", "activate_status": 1}}), "enable"),
        (Fault("/bot/v3/info", data={"code": 0}), "机器人"),
        (Fault("/tenant_access_token", data={"code": 10015, "msg": "wrong"}), "app_secret"),
        (Fault("/tenant_access_token", data={"code": 10014, "msg": "wrong"}), "app_secret"),
        (Fault("/bot/v3/info", status=502), "502"),
    ],
)
async def test_check_says_what_is_wrong(platform: Simulated, feishu: Adapter, fault: Fault, words: str) -> None:
    platform.faults.append(fault)
    with pytest.raises(KantuError, match=words) as error:
        await feishu.check()
    assert platform.app_secret not in str(error.value)


async def test_check_wants_the_bots_own_id(platform: Simulated, feishu: Adapter) -> None:
    feishu._bot = ""
    with pytest.raises(ConfigError, match=f"bot_open_id: set it to {SIMULATED_BOT}"):
        await feishu.check()


# ----------------------------------------------------------- pictures, quotes


async def test_a_picture_is_fetched_with_the_messages_id(platform: Simulated, feishu: Adapter) -> None:
    platform.pictures["om_1", "img/1"] = PNG
    assert await feishu.download(Image("om_1/img%2F1")) == PNG
    platform.tokens.clear()
    assert await feishu.download(Image("om_1/img%2F1")) == PNG
    assert platform.calls["POST /auth/v3/tenant_access_token/internal"] == 2


@pytest.mark.parametrize(
    ("data", "status", "words", "retry"),
    [
        ({"code": 234003}, 400, "重新发送", False),
        ({"code": 234043}, 400, "合并转发", False),
        ({"code": 234004}, 400, "不在", False),
        ({"code": 234009}, 400, "外部群", False),
        ({"code": 234038}, 400, "保密", False),
        ({"code": 230110}, 400, "删除", False),
        ({"code": 234019}, 400, "稍后", True),
        ({"code": 99991400}, 429, "稍后", True),
        ({}, 500, "稍后", True),
        ({"code": 424242}, 400, "424242", False),
    ],
)
async def test_a_picture_that_cannot_be_had(
    platform: Simulated, feishu: Adapter, data: dict[str, Any], status: int, words: str, retry: bool
) -> None:
    platform.faults.append(Fault("/resources/", status=status, data=data))
    with pytest.raises(FetchFailed, match=words) as error:
        await feishu.download(Image("om_1/img_1"))
    assert error.value.retry is retry


async def test_no_token_no_picture(platform: Simulated, feishu: Adapter) -> None:
    for fault in (Fault("tenant_access_token", status=503), Fault("tenant_access_token", data={"code": 10015})):
        platform.faults.append(fault)
        with pytest.raises(FetchFailed):
            await feishu.download(Image("om_1/img_1"))


@pytest.mark.parametrize("message_id", ["..", ".", "a/b", "a?b#c", "a%2Fb", ""])
async def test_ids_cannot_leave_their_place_in_an_address(message_id: str) -> None:
    http = FakeHttp()
    http.answer = lambda method, url, body: HttpAnswer(200, b'{"code":0,"tenant_access_token":"t","expire":7200}')
    asked = replace(received({"text": "x"}), reply_to=message_id or "x")
    with pytest.raises(FetchFailed):
        await adapter(http).complete(asked)
    url = http.posted[-1][0]
    assert url.startswith("https://open.feishu.cn/open-apis/im/v1/messages/")
    assert "/" not in url.rpartition("/messages/")[2] and "/.." not in url and "?" not in url


def item(message_id: str, kind: str, content: Any, **more: Any) -> dict[str, Any]:
    return {"message_id": message_id, "msg_type": kind, "body": {"content": json.dumps(content)}, **more}


def asked(**fields: Any) -> MessageEvent:
    plain = MessageEvent("e1", PRIVATE, Sender("ou_u1"), user("这是什么"), NOW, message_id="om_9")
    return replace(plain, **fields)


async def test_the_answered_message_becomes_a_quote_with_its_pictures(platform: Simulated, feishu: Adapter) -> None:
    mentions = [{"key": "@_user_1", "id": "ou_bob", "id_type": "open_id", "name": "小博"}]
    rows = [[{"tag": "at", "user_id": "@_user_1"}, {"tag": "text", "text": " 看"}], [{"tag": "img", "image_key": "k"}]]
    platform.messages["om_1"] = [item("om_1", "post", {"title": "", "content": rows}, mentions=mentions)]
    completed = await feishu.complete(asked(reply_to="om_1"))
    assert completed.message == user(Quote(user("@小博 看", Image("om_1/k"))), "这是什么")
    assert await feishu.complete(completed) == completed


@pytest.mark.parametrize(
    "message",
    [
        item("om_1", "interactive", {"title": "x"}),
        item("om_1", "file", {"file_key": "x"}),
        item("om_1", "text", {"text": 5}),
        {"message_id": "om_1"},
        {"message_id": 5},
        "x",
    ],
)
async def test_a_quote_that_says_nothing_to_us_is_left_out(platform: Simulated, feishu: Adapter, message: Any) -> None:
    platform.messages["om_1"] = [message]
    assert await feishu.complete(asked(reply_to="om_1")) == asked(reply_to="om_1")


@pytest.mark.parametrize(
    ("fault", "words", "retry"),
    [
        (Fault("/messages/", status=400, data={"code": 230110}), "删除", False),
        (Fault("/messages/", status=400, data={"code": 230002}), "不在", False),
        (Fault("/messages/", status=400, data={"code": 230027}), "权限", False),
        (Fault("/messages/", status=400, data={"code": 99991672}), "权限", False),
        (Fault("/messages/", status=400, data={"code": 424242}), "424242", False),
        (Fault("/messages/", data={"code": 0, "data": {"items": 5}}), "读不懂", False),
        (Fault("/messages/", status=429, data={"code": 99991400}), "稍后", True),
        (Fault("/messages/", status=500), "稍后", True),
    ],
)
async def test_a_quote_that_cannot_be_had(
    platform: Simulated, feishu: Adapter, fault: Fault, words: str, retry: bool
) -> None:
    platform.faults.append(fault)
    with pytest.raises(FetchFailed, match=words) as error:
        await feishu.complete(asked(reply_to="om_1"))
    assert error.value.retry is retry


async def test_a_recalled_quote(platform: Simulated, feishu: Adapter) -> None:
    platform.messages["om_1"] = [{"message_id": "om_1", "msg_type": "text", "deleted": True}]
    with pytest.raises(FetchFailed, match="撤回"):
        await feishu.complete(asked(reply_to="om_1"))


async def test_a_bundle_with_another_inside(platform: Simulated, feishu: Adapter) -> None:
    platform.messages["om_1"] = [
        item("om_1", "merge_forward", "x"),
        item("c1", "text", {"text": "早"}, upper_message_id="om_1"),
        item("c2", "merge_forward", "x", upper_message_id="om_1"),
        item("c3", "image", {"image_key": "k"}, upper_message_id="c2"),
        item("c4", "file", {"file_key": "k"}, upper_message_id="om_1"),
        item("c5", "merge_forward", "x", upper_message_id="c5"),
    ]
    bundle = asked(message=user(), message_id="om_1", platform_data={"forward": "merge_forward"})
    inner = Quote(user(Quote(user(Image("c3/k")))))
    assert (await feishu.complete(bundle)).message == user(Quote(user("早")), inner)


async def test_a_bundle_is_bounded(platform: Simulated, feishu: Adapter) -> None:
    below = [item("d0", "merge_forward", "x", upper_message_id="om_1")]
    below += [item(f"d{n}", "merge_forward", "x", upper_message_id=f"d{n - 1}") for n in range(1, 6)]
    below.append(item("deep", "text", {"text": "太深"}, upper_message_id="d5"))
    many = [item(f"c{n}", "image", {"image_key": "k"}, upper_message_id="om_1") for n in range(100)]
    platform.messages["om_1"] = [item("om_1", "merge_forward", "x"), *below, *many]
    bundle = asked(message=user(), message_id="om_1", platform_data={"forward": "merge_forward"})
    message = (await feishu.complete(bundle)).message
    assert len(message.images) == 20
    assert "太深" not in str(message)
    platform.messages["om_1"] = [item("om_1", "merge_forward", "x"), item("c", "file", {})]
    with pytest.raises(FetchFailed, match="没有我能读"):
        await feishu.complete(bundle)


# -------------------------------------------------------------------- sending


async def test_plain_words_are_a_text_and_markdown_is_a_card(platform: Simulated, feishu: Adapter) -> None:
    assert await feishu.send(delivery("这是一朵花。"))
    assert await feishu.send(replace(delivery(f"**花**\n\n{TABLE}"), key="msg_2"))
    first, second = platform.sent
    assert (first.kind, first.text, first.chat) == ("text", "这是一朵花。", "oc_p2p_u1")
    assert (second.kind, second.text) == ("interactive", f"**花**\n\n{TABLE}")
    assert platform.refused == []


async def test_groups_and_topics_are_answered_below_the_question(platform: Simulated, feishu: Adapter) -> None:
    platform._chats["om_q"] = "oc_group_g"
    await feishu.send(delivery("好", GROUP, reply_to="om_q"))
    await feishu.send(replace(delivery("好", replace(GROUP, thread_id="omt_1"), reply_to="om_q"), key="msg_2"))
    await feishu.send(replace(delivery("好", reply_to="om_q", quote=True), key="msg_3"))
    await feishu.send(replace(delivery("好", reply_to="om_q"), key="msg_4"))
    first, second, third, fourth = (sent.data for sent in platform.sent)
    assert first["answered"] == second["answered"] == third["answered"] == "om_q"
    assert fourth["answered"] == ""
    assert "reply_in_thread" not in first and second["reply_in_thread"] is True


async def test_the_same_key_is_sent_once(platform: Simulated, feishu: Adapter) -> None:
    first = await feishu.send(replace(delivery("好"), key="k" * 500))
    assert await feishu.send(replace(delivery("好"), key="k" * 500)) == first
    assert len(platform.sent) == 1


@pytest.mark.parametrize(
    "text", ['<at user_id="all">所有人</at> **x**', "`<at id=all></at>`", "```\n<at id=all></at>", '<AT user_id="all">']
)
async def test_a_model_can_call_nobody(platform: Simulated, feishu: Adapter, text: str) -> None:
    await feishu.send(delivery(text))
    surface = feishu.surface(asked())
    assert surface is not None
    await surface.open(text)
    await surface.update(text + "。")
    await surface.close(delivery(text))
    assert platform.refused == []
    platform.faults.append(Fault("/im/v1/messages", status=400, data={"code": 230099}))
    await feishu.send(replace(delivery(text), key="msg_2"))
    assert platform.refused == [] and platform.sent[-1].kind == "text"


def test_what_is_escaped() -> None:
    assert escaped("1 < 2<br>x <b>y</b>") == "1 &#60; 2<br>x &#60;b>y&#60;/b>"
    assert escaped("`a<b` 和 ``<at>``") == "`a<b` 和 ``<\u200bat>``"
    assert escaped("```c\n#include <x>\n```\n<at>") == "```c\n#include <x>\n```\n&#60;at>"
    assert plain("<at user_id='all'> <attic> <Person>") == "<\u200bat user_id='all'> <attic> <\u200bPerson>"
    assert not has_markdown("价格是 3.5 元，见 a_b。")
    assert all(
        map(has_markdown, ("**粗**", "`码`", "# 标题", "- 项", "1. 项", "> 引", "[链](https://a)", "a < b", TABLE))
    )
    assert fits_card(TABLE * 1) and not fits_card((TABLE + "\n") * 5) and not fits_card("<" * 9000)


async def test_what_a_card_cannot_hold_is_a_text(platform: Simulated, feishu: Adapter) -> None:
    await feishu.send(delivery((TABLE + "\n") * 6))
    await feishu.send(replace(delivery("<" * 9_000), key="msg_2"))
    platform.faults.append(Fault("/im/v1/messages", status=400, data={"code": 230054}))
    await feishu.send(replace(delivery("**x**"), key="msg_3"))
    assert [sent.kind for sent in platform.sent] == ["text", "text", "text"]
    assert platform.refused == []


async def test_a_file_is_uploaded_and_sent(platform: Simulated, feishu: Adapter) -> None:
    await feishu.send(replace(delivery(""), parts=(), file=File("报告.md", "text/markdown", "# 一".encode())))
    (sent,) = platform.sent
    assert (sent.kind, sent.text) == ("file", "报告.md")
    assert list(platform.files.values()) == [("报告.md", "# 一".encode())]


async def test_an_expired_token_is_fetched_anew_once(platform: Simulated, feishu: Adapter) -> None:
    await feishu.send(delivery("一"))
    platform.tokens.clear()
    await feishu.send(replace(delivery("二"), key="msg_2"))
    assert [sent.text for sent in platform.sent] == ["一", "二"]
    for code in (99991661, 99991663, 99991668):
        platform.faults += [Fault("/im/v1/messages", status=400, data={"code": code})] * 2
        with pytest.raises(ActionFailed) as error:
            await feishu.send(replace(delivery("三"), key="msg_3"))
        assert error.value.code == str(code)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (230001, "parameter"),
        (230002, "add it again"),
        (230011, "recalled"),
        (230013, "可用范围"),
        (230018, "settings"),
        (230022, "sensitive"),
        (230027, "权限"),
        (230035, "may not write"),
        (230110, "deleted"),
        (231003, "recalled"),
        (232009, "dissolved"),
        (99991401, "IP"),
        (99991403, "used up"),
        (99991672, "权限"),
        (424242, "because"),
    ],
)
async def test_refusals_say_what_to_do(platform: Simulated, feishu: Adapter, code: int, words: str) -> None:
    platform.faults.append(Fault("/im/v1/messages", status=400, data={"code": code, "msg": "because"}))
    with pytest.raises(ActionFailed, match=words) as error:
        await feishu.send(delivery("好"))
    assert error.value.code == str(code)
    assert platform.app_secret not in str(error.value) and platform.base not in str(error.value)


@pytest.mark.parametrize(
    ("fault", "sent_maybe", "pause"),
    [
        (Fault("/messages", status=429, data={"code": 99991400}, headers={"x-ogw-ratelimit-reset": "7"}), False, 7.0),
        (Fault("/messages", status=400, data={"code": 230020}), False, 1.0),
        (Fault("/messages", status=400, data={"code": 11232}, headers={"retry-after": "3"}), False, 3.0),
        (Fault("/messages", status=429), False, 1.0),
        (Fault("/messages", status=502), True, None),
        (Fault("/messages", status=500, data={"code": 5000}), True, None),
        (Fault("/messages", status=400, data={"code": 230049}), True, None),
        (Fault("/messages", data={"code": 0, "data": {}}), True, None),
        (Fault("/messages", drop=True), True, None),
    ],
)
async def test_what_is_worth_another_try(
    platform: Simulated, feishu: Adapter, fault: Fault, sent_maybe: bool, pause: float | None
) -> None:
    platform.faults.append(fault)
    with pytest.raises(NetworkError) as error:
        await feishu.send(delivery("好"))
    assert (error.value.sent_maybe, error.value.retry_after) == (sent_maybe, pause)
    await feishu.send(delivery("好"))
    assert len(platform.sent) == 1


async def test_the_chats_that_are_lost(platform: Simulated, feishu: Adapter) -> None:
    platform.outside.add("oc_p2p_u1")
    platform.recalled.add("om_q")
    with pytest.raises(ActionFailed, match="not in this group"):
        await feishu.send(delivery("好"))
    with pytest.raises(ActionFailed, match="recalled"):
        await feishu.send(delivery("好", GROUP, reply_to="om_q"))


async def test_a_token_answer_without_a_token() -> None:
    http = FakeHttp(body=b'{"code": 0, "expire": "soon"}')
    with pytest.raises(NetworkError, match="tenant_access_token"):
        await adapter(http).send(delivery("好"))
    http.body = b"<html>"
    with pytest.raises(NetworkError):
        await adapter(http).send(delivery("好"))
    assert all("s3cret" not in url for url, _, _ in http.posted)


async def test_only_our_own_latest_messages_are_remembered(feishu: Adapter) -> None:
    for number in range(2000):
        feishu._own.add(f"om_old_{number}")
    sent = await feishu.send(delivery("好"))
    assert sent in feishu._own and "om_old_1" in feishu._own and "om_old_0" not in feishu._own


# ---------------------------------------------------------------------- cards


async def test_a_card_grows_and_is_finished(platform: Simulated, feishu: Adapter) -> None:
    surface = feishu.surface(asked())
    assert surface is not None
    await surface.open("图里")
    (sent,) = platform.sent
    assert not sent.final
    await surface.update("图里是一只")
    await surface.update("图里是一只**猫**")
    message_id = await surface.close(delivery("图里是一只**猫**。"))
    assert message_id == sent.message_id
    assert sent.shown == ["图里", "图里是一只", "图里是一只**猫**", "图里是一只**猫**。"] and sent.final
    assert await surface.close(delivery("图里是一只**猫**。")) == message_id
    assert len(platform.sent) == 1 and platform.refused == []


async def test_a_card_in_a_group_answers_the_question(platform: Simulated, feishu: Adapter) -> None:
    platform._chats["om_9"] = "oc_group_g"
    surface = feishu.surface(asked(conversation=replace(GROUP, thread_id="omt_1")))
    assert surface is not None
    await surface.open("好")
    assert platform.sent[0].data["answered"] == "om_9" and platform.sent[0].data["reply_in_thread"] is True


async def test_a_doubtful_card_is_sent_once(platform: Simulated, feishu: Adapter) -> None:
    surface = feishu.surface(asked())
    assert surface is not None
    platform.faults.append(Fault("/im/v1/messages", drop=True))
    with pytest.raises(NetworkError) as error:
        await surface.open("图")
    assert error.value.sent_maybe
    assert await surface.close(delivery("图里是猫")) == platform.sent[0].message_id
    assert [sent.text for sent in platform.sent] == ["图里是猫"] and platform.sent[0].final


async def test_a_card_whose_typing_feishu_has_ended(platform: Simulated, feishu: Adapter) -> None:
    surface = feishu.surface(asked())
    assert surface is not None
    await surface.open("图")
    platform.faults.append(Fault("/content", status=400, data={"code": 200850}))
    with pytest.raises(ActionFailed) as error:
        await surface.update("图里")
    assert error.value.code == "200850"
    platform.faults.append(Fault("/settings", status=400, data={"code": 300122}))
    await surface.close(delivery("图里是猫"))
    assert platform.sent[0].text == "图里是猫" and platform.sent[0].final


async def test_a_card_that_cannot_be_finished_is_taken_away(platform: Simulated, feishu: Adapter) -> None:
    surface = feishu.surface(asked())
    assert surface is not None
    await surface.open("图")
    with pytest.raises(ActionFailed) as error:
        await surface.close(delivery("<" * 9_000))
    assert error.value.code == "200860"
    assert platform.sent == []


async def test_an_abandoned_card_is_taken_away(platform: Simulated, feishu: Adapter) -> None:
    surface = feishu.surface(asked())
    assert surface is not None
    await surface.abandon()
    await surface.open("图")
    await surface.abandon()
    assert platform.sent == [] and platform.refused == []


async def test_no_permission_for_cards(platform: Simulated, feishu: Adapter) -> None:
    platform.faults.append(Fault("/cardkit/", status=400, data={"code": 99991672}))
    surface = feishu.surface(asked())
    assert surface is not None
    with pytest.raises(DeliveryError):
        await surface.open("图")
    assert platform.sent == []


# ------------------------------------------------------------- the whole path


async def test_a_picture_and_a_question_are_answered_in_a_growing_card(tmp_path: Path) -> None:
    async with bot_on(Simulated(), tmp_path, answer="图里是**一只猫**，\n\n- 黑色\n- 白色") as simulated:
        assert json.loads(await simulated.verify_address()) == {"challenge": "c-1"}
        await simulated.say("图里是什么", [PNG])
        (got,) = await simulated.answers(1)
        assert got.kind == "interactive" and "一只猫" in got.text
        assert simulated.refused == []


async def test_an_answer_is_seen_growing(tmp_path: Path) -> None:
    answer = "图里是一只黑白相间的猫，它正趴在窗台上晒太阳。"
    async with bot_on(Simulated(), tmp_path, answer=answer, chunk_delay=0.3) as simulated:
        await simulated.say("图里是什么", [PNG])
        (got,) = await simulated.answers(1)
        assert len(got.shown) > 1 and got.shown[-1].startswith(answer)
        assert answer.startswith(got.shown[0])
        assert simulated.refused == []


async def test_a_group_is_answered_when_the_bot_is_named(tmp_path: Path) -> None:
    async with bot_on(Simulated(), tmp_path, section={"streaming": False}) as simulated:
        await simulated.say("大家好", group="g", at=False)
        question = await simulated.say("图里是什么", [PNG], group="g")
        (got,) = await simulated.answers(1)
        assert (got.chat, got.data["answered"]) == ("oc_group_g", question)
        assert simulated.refused == []


async def test_a_question_about_an_earlier_picture(tmp_path: Path) -> None:
    async with bot_on(Simulated(), tmp_path) as simulated:
        await simulated.say("先看这张", [PNG], user="u2", group="g", at=False)
        (earlier,) = simulated.messages
        await simulated.say("这张图里是什么", group="g", reply_to=earlier)
        await simulated.answers(1)
        assert simulated.calls["GET /im/v1/messages/{id}/resources/{key}"] == 1
        assert simulated.refused == []


async def test_a_forwarded_picture_is_explained(tmp_path: Path) -> None:
    async with bot_on(Simulated(), tmp_path) as simulated:
        await simulated.forward([item("c1", "text", {"text": "看这个"}), item("c2", "image", {"image_key": "k"})])
        (got,) = await simulated.answers(1)
        assert "单独发给我" in got.text
        assert {one.split(":")[0] for one in simulated.refused} == {"GET /im/v1/messages/{id}/resources/{key}"}
