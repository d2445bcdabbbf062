"""The DingTalk adapter: configuration, what it needs of a message, answers, cards, and the whole path."""

from __future__ import annotations

import io
import json
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from fakes import FakeClock, FakeHttp
from pictures import drawing, encoded
from simulation import bot_on
from vectors_dingtalk import BOT, NOW, OTHER, ROBOT, SECRET, SESSION, body, sign, vectors

from adapters.dingtalk import Adapter
from adapters.simulated.dingtalk import Simulated
from bot.adapter import Request
from bot.config import MediaConfig, convert
from bot.errors import (
    ActionFailed,
    ConfigError,
    DeliveryError,
    FetchFailed,
    NetworkError,
    Rejected,
    WindowClosed,
)
from bot.event import Conversation, Delivery, File, MessageEvent, event_from_dict
from bot.fetch import Fetcher
from bot.http import HttpAnswer
from bot.message import Image, Quote, Text

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
import platform_vectors

Answers = Callable[[str, str, bytes], Any]
PNG = encoded(drawing())
OK = {"errcode": 0, "errmsg": "ok"}


class Dingtalk:
    """Canned answers by path; the token is `t1`, `t2`, … `calls` holds method, path and body of every other call."""

    def __init__(self, **answers: Any) -> None:
        self.http = FakeHttp()
        self.http.answer = self._answer
        self.answers = answers
        self.tokens = 0
        self.calls: list[tuple[str, str, bytes]] = []

    def _answer(self, method: str, url: str, content: bytes) -> HttpAnswer:
        if url == "https://api.dingtalk.com/v1.0/oauth2/accessToken":
            self.tokens += 1
            assert json.loads(content) == {"appKey": "dingapp", "appSecret": SECRET}
            return HttpAnswer(200, json.dumps({"accessToken": f"t{self.tokens}", "expireIn": 7200}).encode())
        self.calls.append((method, url, content))
        name = url.partition("?")[0].rpartition("/")[2]
        answer = self.answers.get(name, OK if "oapi" in url else {"processQueryKey": "sent-1"})
        answer = answer.pop(0) if isinstance(answer, list) else answer
        status, data = answer if isinstance(answer, tuple) else (200, answer)
        return HttpAnswer(status, data if isinstance(data, bytes) else json.dumps(data).encode())

    def sent(self) -> tuple[str, str, Any]:
        """The only call: method, path, body."""
        ((method, url, content),) = self.calls
        return method, url, json.loads(content)


def adapter(http: Any = None, **section: Any) -> Adapter:
    data = {"app_key": "dingapp", "app_secret": SECRET, "robot_code": ROBOT} | section
    return Adapter("dingtalk", convert(data, Adapter.Config, environ={}), http or FakeHttp(), FakeClock(NOW))


def request(data: Any, *, stamp: str = str(NOW * 1000), signature: str = "", **query: str) -> Request:
    headers = {"timestamp": stamp, "sign": signature or sign(SECRET, stamp)}
    return Request("POST", "/webhook/dingtalk", query, headers, json.dumps(data).encode(), NOW)


def received(data: Any, **section: Any) -> MessageEvent:
    (event,) = adapter(**section).receive(request(data)).events
    assert isinstance(event, MessageEvent)
    return event


def delivery(text: str = "好的", *, group: bool = False, **fields: Any) -> Delivery:
    where = Conversation("dingtalk", "default", "cidG==" if group else "cidP==", "group" if group else "private")
    data = {"staff_id": "0420", "robot_code": ROBOT, "reply_url": SESSION, "reply_url_expires": str(NOW + 5400)}
    whole: dict[str, Any] = {"reply_to": "m1", "platform_data": data, "asked_at": NOW, **fields}
    return Delivery("msg_1", where, (Text(text),), **whole)


# Recorded requests


def test_recorded_requests() -> None:
    results = list(platform_vectors.run_file(vectors()))
    assert len(results) > 250
    assert [line for case, record in results for line in platform_vectors.mismatches(case, record)] == []


@pytest.mark.parametrize("stamp", [" 1795000000000", "1795000000000\n", "1795000000000\0"])
def test_a_timestamp_is_digits(stamp: str) -> None:
    with pytest.raises(Rejected, match="malformed_timestamp"):
        adapter().receive(request(body("x"), stamp=stamp))


@pytest.mark.parametrize("change", [" {}", "{} ", "{}\n", "\udcff{}", "\0", "{}\udc80"])
def test_a_signature_is_compared_as_it_came(change: str) -> None:
    right = sign(SECRET, str(NOW * 1000))
    with pytest.raises(Rejected, match="bad_signature"):
        adapter().receive(request(body("x"), signature=change.format(right)))


# Configuration


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ({"app_secret": ""}, "app_secret"),
        ({"app_secret": "  "}, "app_secret"),
        ({"app_key": ""}, "app_key"),
        ({"api_url": "ftp://api.dingtalk.com"}, "api_url"),
        ({"oapi_url": "https://oapi.dingtalk.com:x"}, "oapi_url"),
        ({"oapi_url": "oapi.dingtalk.com"}, "oapi_url"),
        ({"card_template_id": "x.schema", "card_content_key": ""}, "card_content_key"),
        ({"picture_hosts": []}, "picture_hosts"),
        ({"app_secrets": "x"}, "app_secret"),
    ],
)
def test_configuration_that_cannot_be_used(section: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        adapter(**section)


def test_a_configuration_needs_its_keys() -> None:
    with pytest.raises(ConfigError, match="app_key"):
        Adapter("dingtalk", convert({}, Adapter.Config, environ={}), FakeHttp(), FakeClock())


def test_warnings() -> None:
    (one,) = adapter().warnings()
    assert "path_secret" in one
    assert adapter(path_secret="x").warnings() == ()
    assert len(adapter(max_age=7200).warnings()) == 2


async def test_check() -> None:
    dingtalk = Dingtalk()
    assert await adapter(dingtalk.http).check() == f"app key and secret are good, robot {ROBOT}, plain answers"
    assert dingtalk.tokens == 1
    assert (await adapter(dingtalk.http, card_template_id="x.schema").check()).endswith("AI cards")


async def test_check_with_a_wrong_secret() -> None:
    http = FakeHttp(400, json.dumps({"code": "invalidClientIdOrSecret", "message": "无效"}).encode())
    with pytest.raises(ActionFailed, match="check app_key and app_secret") as error:
        await adapter(http).check()
    assert error.value.code == "invalidClientIdOrSecret"
    assert SECRET not in str(error.value)


@pytest.mark.parametrize("answer", [b"{}", b'{"accessToken":"","expireIn":1}', b"<html>", b'{"accessToken":"x"}'])
async def test_check_with_a_strange_answer(answer: bytes) -> None:
    with pytest.raises(NetworkError):
        await adapter(FakeHttp(200, answer)).check()


# What is received


def test_event() -> None:
    items = [{"text": "看"}, {"type": "picture", "downloadCode": "a/b"}]
    event = received(body("e", msgtype="richText", content={"richText": items}), account_id="eu")
    assert event.conversation == Conversation("dingtalk", "eu", "cidPrivate==", "private")
    assert event.message.parts == (Text("看"), Image(source=f"{ROBOT}/a/b"))
    assert (event.id, event.message_id, event.timestamp, event.to_me) == ("msg-e", "msg-e", NOW, True)
    assert event.platform_data == {
        "staff_id": "0420",
        "robot_code": ROBOT,
        "reply_url": SESSION,
        "reply_url_expires": str(NOW + 5400),
    }
    assert event_from_dict(msgspec.json.decode(msgspec.json.encode(event))) == event


def test_a_quote_stands_first() -> None:
    replied = {"msgId": "m0", "msgType": "text", "content": {"text": "原话"}, "senderNick": "李四"}
    event = received(body("q", text={"content": "你好", "isReplyMsg": True, "repliedMsg": replied}))
    quote, text = event.message.parts
    assert isinstance(quote, Quote)
    assert (quote.message.text, quote.sender, text) == ("原话", "李四", Text("你好"))


@pytest.mark.parametrize(
    ("changes", "to_me"),
    [
        ({}, True),
        ({"isInAtList": True}, True),
        ({"isInAtList": False}, False),
        ({"isInAtList": False, "atUsers": [{"dingtalkId": OTHER}]}, False),
        ({"isInAtList": False, "atUsers": [{"dingtalkId": BOT}]}, True),
        ({"isInAtList": False, "text": {"content": "x", "isReplyMsg": True, "repliedMsg": {"senderId": BOT}}}, True),
        ({"isInAtList": False, "text": {"content": "x", "isReplyMsg": True, "repliedMsg": {"senderId": OTHER}}}, False),
    ],
)
def test_who_is_meant_in_a_group(changes: dict[str, Any], to_me: bool) -> None:
    assert received(body("g", conversationType="2", **changes)).to_me is to_me


async def test_a_quote_without_content_says_so() -> None:
    replied = {"msgId": "m0", "msgType": "interactiveCard"}
    event = received(body("q", text={"content": "你好", "isReplyMsg": True, "repliedMsg": replied}))
    done = await adapter().complete(event)
    assert isinstance(done.message.parts[0], Quote)
    assert "没有提供" in done.message.parts[0].message.text
    assert await adapter().complete(done) == done


def test_a_deep_quoted_card_is_read() -> None:
    card: dict[str, Any] = {"elementType": "TEXT", "value": "底"}
    for _ in range(26):
        card = {"children": [card]}
    replied = {"msgType": "interactiveCard", "content": {"cardContent": card}}
    event = received(body("q", text={"content": "你好", "isReplyMsg": True, "repliedMsg": replied}))
    assert isinstance(event.message.parts[0], Quote)
    assert event.message.parts[0].message.text == "底"


# Pictures


async def test_download() -> None:
    dingtalk = Dingtalk(download={"downloadUrl": "https://down.dingtalk.com/p"})
    dingtalk.http.pictures["https://down.dingtalk.com/p"] = PNG
    assert await adapter(dingtalk.http).download(Image(source=f"{ROBOT}/a/b+=")) == PNG
    method, url, data = dingtalk.sent()
    assert (method, url) == ("POST", "https://api.dingtalk.com/v1.0/robot/messageFiles/download")
    assert data == {"downloadCode": "a/b+=", "robotCode": ROBOT}
    assert dingtalk.http.posted[-1][2]["x-acs-dingtalk-access-token"] == "t1"


@pytest.mark.parametrize(
    ("answer", "code", "retry"),
    [
        ((400, {"code": "invalidParameter.downloadCode", "message": "过期"}), "picture_gone", False),
        ((403, {"code": "Forbidden.AccessDenied.AccessTokenPermissionDenied"}), "forbidden", False),
        ((403, {"code": "Forbidden.AccessDenied.QpsLimitForApi"}), "unreachable", True),
        ((503, b""), "unreachable", True),
        ((429, b""), "unreachable", True),
        ((200, {}), "picture_gone", False),
        ((200, {"downloadUrl": 7}), "picture_gone", False),
        ((200, b"[]"), "unreachable", True),
        ((200, {"downloadUrl": "https://gone.dingtalk.com/"}), "gone", False),
    ],
)
async def test_a_picture_that_cannot_be_had(answer: Any, code: str, retry: bool) -> None:
    with pytest.raises(FetchFailed) as error:
        await adapter(Dingtalk(download=answer).http).download(Image(source=f"{ROBOT}/x"))
    assert (error.value.code, error.value.retry) == (code, retry)
    assert not str(error.value).isascii()


# Answers


async def test_a_plain_answer_goes_to_the_session() -> None:
    dingtalk = Dingtalk()
    assert await adapter(dingtalk.http).send(delivery("1 * 2 = 2_a\n好")) == ""
    assert dingtalk.sent() == ("POST", SESSION, {"msgtype": "text", "text": {"content": "1 * 2 = 2_a\n好"}})
    assert dingtalk.tokens == 0


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("# 标题 *一*\n正文", "标题 *一*"),
        ("**重点**：看\n这里", "重点：看"),
        ("- 一\n- 二", "一"),
        ("1. 一\n2. 二", "1. 一"),
        ("> 引用\n正文", "引用"),
        ("见 [文档](https://example.org)", "见 文档(https://example.org)"[:20]),
        ("---\n**x**", "x"),
    ],
)
async def test_markdown_goes_as_markdown(text: str, title: str) -> None:
    dingtalk = Dingtalk()
    await adapter(dingtalk.http).send(delivery(text))
    _, _, data = dingtalk.sent()
    assert data == {"msgtype": "markdown", "markdown": {"title": title, "text": text.replace("\n", "  \n")}}


async def test_paragraphs_and_breaks_stay_what_they_are() -> None:
    dingtalk = Dingtalk()
    await adapter(dingtalk.http).send(delivery("**a**\nb \n\nc  \nd\n"))
    assert dingtalk.sent()[2]["markdown"]["text"] == "**a**  \nb \n\nc  \nd  \n"


@pytest.mark.parametrize("group", [False, True])
@pytest.mark.parametrize("change", ["expired", "nearly", "unasked", "host", "none"])
async def test_without_a_session_the_robot_api_is_used(group: bool, change: str) -> None:
    dingtalk = Dingtalk()
    one = delivery("**好**", group=group)
    data = dict(one.platform_data)
    data |= {"expired": {"reply_url_expires": str(NOW)}, "nearly": {"reply_url_expires": str(NOW + 9)}}.get(change, {})
    data |= {"host": {"reply_url": "https://evil.example/"}, "none": {"reply_url": ""}}.get(change, {})
    one = delivery("**好**", group=group, platform_data=data, reply_to="" if change == "unasked" else "m1")
    assert await adapter(dingtalk.http).send(one) == "sent-1"
    param = {"msgKey": "sampleMarkdown", "msgParam": '{"title":"好","text":"**好**"}', "robotCode": ROBOT}
    method, url, sent = dingtalk.sent()
    if group:
        assert (method, url) == ("POST", "https://api.dingtalk.com/v1.0/robot/groupMessages/send")
        assert sent == {**param, "openConversationId": "cidG=="}
    else:
        assert (method, url) == ("POST", "https://api.dingtalk.com/v1.0/robot/oToMessages/batchSend")
        assert sent == {**param, "userIds": ["0420"]}


async def test_an_unknown_expiry_is_tried() -> None:
    dingtalk = Dingtalk()
    await adapter(dingtalk.http).send(delivery(platform_data={"reply_url": SESSION}))
    assert dingtalk.sent()[1] == SESSION


async def test_a_session_that_ended_early() -> None:
    dingtalk = Dingtalk(sendBySession={"errcode": 300001, "errmsg": "session 不存在"})
    assert await adapter(dingtalk.http).send(delivery()) == "sent-1"
    assert [url.rpartition("/")[2] for _, url, _ in dingtalk.calls] == ["sendBySession?session=5e5510", "batchSend"]


async def test_a_guest_must_write_again() -> None:
    dingtalk = Dingtalk(sendBySession={"errcode": 300001, "errmsg": "session 不存在"})
    with pytest.raises(WindowClosed) as error:
        await adapter(dingtalk.http).send(delivery(platform_data={"reply_url": SESSION}))
    assert error.value.code == "300001"


@pytest.mark.parametrize(
    ("code", "kind", "retry_after", "words"),
    [
        (-1, NetworkError, 1.0, "-1"),
        (130101, NetworkError, 600.0, "130101"),
        (410100, NetworkError, 600.0, "410100"),
        (310000, ActionFailed, None, "security settings"),
        (400013, ActionFailed, None, "dissolved"),
        (400106, ActionFailed, None, "not in the group"),
        (430104, ActionFailed, None, "content check"),
        (460101, ActionFailed, None, "too long"),
        (-12, ActionFailed, None, "why"),
        (99999, ActionFailed, None, "why"),
    ],
)
async def test_what_a_session_refuses(
    code: int, kind: type[DeliveryError], retry_after: float | None, words: str
) -> None:
    with pytest.raises(kind, match=words) as error:
        await adapter(Dingtalk(sendBySession={"errcode": code, "errmsg": "why"}).http).send(delivery())
    assert "5e5510" not in str(error.value)
    if isinstance(error.value, NetworkError):
        assert (error.value.retry_after, error.value.sent_maybe) == (retry_after, False)
    else:
        assert getattr(error.value, "code", "") == str(code)


@pytest.mark.parametrize(
    ("status", "code", "kind", "words"),
    [
        (403, "Forbidden.AccessDenied.QpsLimitForApi", NetworkError, "QpsLimit"),
        (403, "Forbidden.AccessDenied.QpsLimitForAppkeyAndApi", NetworkError, "QpsLimit"),
        (400, "Throttling.Api", NetworkError, "Throttling"),
        (429, "", NetworkError, "429"),
        (500, "unknownError", NetworkError, "500"),
        (503, "ServiceUnavailable", NetworkError, "503"),
        (403, "Forbidden.AccessDenied.AccessTokenPermissionDenied", ActionFailed, "权限管理"),
        (403, "Forbidden.AccessDenied.IpNotInWhiteList", ActionFailed, "IP 白名单"),
        (400, "invalidParameter.robotCode.notExsit", ActionFailed, "robot_code"),
        (400, "chatbot.notFound", ActionFailed, "robot_code"),
        (400, "invalid.openConversationId", ActionFailed, "group is gone"),
        (400, "staff.not.found", ActionFailed, "visible range"),
        (400, "somethingNew", ActionFailed, "why"),
        (404, "", ActionFailed, "no reason|why"),
    ],
)
async def test_what_the_robot_api_refuses(status: int, code: str, kind: type[DeliveryError], words: str) -> None:
    http = Dingtalk(batchSend=(status, {"code": code, "message": "why"})).http
    with pytest.raises(kind, match=words) as error:
        await adapter(http).send(delivery(reply_to=""))
    if isinstance(error.value, ActionFailed):
        assert error.value.code == (code or str(status))


@pytest.mark.parametrize("answer", [(404, b"<html>"), (400, b"[1]"), (301, b"")])
async def test_a_refusal_without_words(answer: Any) -> None:
    with pytest.raises(ActionFailed) as error:
        await adapter(Dingtalk(batchSend=answer).http).send(delivery(reply_to=""))
    assert error.value.code == str(answer[0])


async def test_a_user_who_is_not_reached() -> None:
    with pytest.raises(ActionFailed, match="visible range"):
        await adapter(Dingtalk(batchSend={"invalidStaffIdList": ["0420"]}).http).send(delivery(reply_to=""))
    with pytest.raises(NetworkError) as error:
        await adapter(Dingtalk(batchSend={"flowControlledStaffIdList": ["0420"]}).http).send(delivery(reply_to=""))
    assert error.value.retry_after == 60.0


async def test_a_token_that_ended_is_fetched_anew_once() -> None:
    ended = (401, {"code": "InvalidAuthentication", "message": "不合法的access_token"})
    dingtalk = Dingtalk(batchSend=[ended, {"processQueryKey": "late"}])
    assert await adapter(dingtalk.http).send(delivery(reply_to="")) == "late"
    assert dingtalk.tokens == 2
    dingtalk = Dingtalk(batchSend=[ended, ended, ended])
    with pytest.raises(ActionFailed, match="app_secret"):
        await adapter(dingtalk.http).send(delivery(reply_to=""))
    assert (dingtalk.tokens, len(dingtalk.calls)) == (2, 2)


async def test_other_addresses_of_the_api() -> None:
    http = FakeHttp(200, b'{"errcode":0}')
    await adapter(http, oapi_url="http://127.0.0.1:9/gate/").send(delivery())
    assert http.posted[0][0] == "http://127.0.0.1:9/gate/robot/sendBySession?session=5e5510"


# Files


async def send_file(name: str, content: bytes = b"# A") -> tuple[Dingtalk, str, Any]:
    dingtalk = Dingtalk(upload={"errcode": 0, "media_id": "@m1"})
    sent = await adapter(dingtalk.http).send(_with(delivery(), File(name, "text/markdown", content)))
    (method, url, _), (_, _, message) = dingtalk.calls
    assert (method, url) == ("POST", "https://oapi.dingtalk.com/media/upload?access_token=t1&type=file")
    return dingtalk, sent, json.loads(message)


def _with(one: Delivery, file: File) -> Delivery:
    return Delivery(one.key, one.conversation, (), one.reply_to, platform_data=one.platform_data, file=file)


async def test_a_file_of_a_kind_that_dingtalk_knows() -> None:
    dingtalk, sent, message = await send_file("报 告.PDF", b"%PDF")
    assert sent == "sent-1"
    assert message["msgKey"] == "sampleFile"
    assert json.loads(message["msgParam"]) == {"mediaId": "@m1", "fileName": "报 告.PDF", "fileType": "pdf"}
    assert b"%PDF" in dingtalk.calls[0][2]


async def test_any_other_file_is_packed() -> None:
    dingtalk, _, message = await send_file("报告.md")
    assert json.loads(message["msgParam"])["fileName"] == "报告.zip"
    form = dingtalk.calls[0][2]
    with zipfile.ZipFile(io.BytesIO(form[form.index(b"PK") :])) as archive:
        assert archive.namelist() == ["报告.md"]
        assert archive.read("报告.md") == b"# A"


@pytest.mark.parametrize("ended", [{"errcode": 40014, "errmsg": "x"}, {"errcode": 88, "sub_code": "40014"}])
async def test_uploading_with_a_token_that_ended(ended: Any) -> None:
    dingtalk = Dingtalk(upload=[ended, {"errcode": 0, "media_id": "@m1"}])
    one = _with(delivery(), File("a.pdf", "application/pdf", b"x"))
    assert await adapter(dingtalk.http).send(one) == "sent-1"
    assert "access_token=t2" in dingtalk.calls[1][1]


@pytest.mark.parametrize("answer", [(503, b""), (200, {"errcode": -1}), (200, b"?")])
async def test_uploading_may_be_tried_again(answer: Any) -> None:
    one = _with(delivery(), File("a.pdf", "application/pdf", b"x"))
    with pytest.raises(NetworkError):
        await adapter(Dingtalk(upload=answer).http).send(one)


# Cards


def test_cards_need_a_template_and_a_place() -> None:
    event = received(body("c"))
    assert adapter().surface(event) is None
    assert adapter().limits.live == ""
    with_cards = adapter(card_template_id="x.schema")
    assert with_cards.limits.live == "stream"
    assert with_cards.surface(event) is not None
    assert with_cards.surface(received(body("c", senderStaffId=None))) is None
    assert with_cards.surface(received(body("c", senderStaffId=None, conversationType="2"))) is not None


CREATED = {"success": True, "result": {"deliverResults": [{"success": True}]}}


async def test_a_card() -> None:
    dingtalk = Dingtalk(createAndDeliver=CREATED, streaming={"success": True})
    surface = adapter(dingtalk.http, card_template_id="x.schema", card_content_key="msg").surface(received(body("c")))
    assert surface is not None
    await surface.open("正在看图…")
    await surface.update("一")
    card = await surface.close(delivery("一二"))
    assert await surface.close(delivery("一二")) == card
    (method, url, content), *updates = dingtalk.calls
    assert (method, url) == ("POST", "https://api.dingtalk.com/v1.0/card/instances/createAndDeliver")
    created = json.loads(content)
    assert created["cardTemplateId"] == "x.schema"
    assert created["openSpaceId"] == "dtv1.card//IM_ROBOT.0420"
    assert created["imRobotOpenDeliverModel"] == {"spaceType": "IM_ROBOT", "robotCode": ROBOT}
    assert created["outTrackId"] == card
    shown = [json.loads(content) for _, _, content in updates]
    assert {(method, url) for method, url, _ in updates} == {("PUT", "https://api.dingtalk.com/v1.0/card/streaming")}
    assert [(one["content"], one["isFinalize"], one["isError"]) for one in shown] == [
        ("正在看图…", False, False),
        ("一", False, False),
        ("一二", True, False),
        ("一二", True, False),
    ]
    assert len({one["guid"] for one in shown}) == 4
    assert {(one["outTrackId"], one["key"], one["isFull"]) for one in shown} == {(card, "msg", True)}


async def test_a_card_in_a_group_that_comes_to_nothing() -> None:
    dingtalk = Dingtalk(createAndDeliver=CREATED, streaming={"success": True})
    event = received(body("c", conversationType="2", conversationId="cidG=="))
    surface = adapter(dingtalk.http, card_template_id="x.schema").surface(event)
    assert surface is not None
    await surface.open("正在看图…")
    await surface.abandon()
    created, _, last = (json.loads(content) for _, _, content in dingtalk.calls)
    assert created["openSpaceId"] == "dtv1.card//IM_GROUP.cidG=="
    assert created["imGroupOpenDeliverModel"] == {"robotCode": ROBOT}
    assert (last["isFinalize"], last["isError"]) == (True, True)


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        ((200, {"success": False}), ActionFailed),
        ((200, {"result": None}), ActionFailed),
        (
            (200, {"result": {"deliverResults": [{"success": False, "errorMsg": "spaces of card is empty"}]}}),
            ActionFailed,
        ),
        ((400, {"code": "param.cardTemplateNotExist"}), ActionFailed),
        ((403, {"code": "Forbidden.AccessDenied.QpsLimitForApi"}), NetworkError),
        ((500, {"code": "unknownError"}), NetworkError),
    ],
)
async def test_a_card_that_is_not_made(answer: Any, kind: type[DeliveryError]) -> None:
    dingtalk = Dingtalk(createAndDeliver=answer)
    surface = adapter(dingtalk.http, card_template_id="x.schema").surface(received(body("c")))
    assert surface is not None
    with pytest.raises(kind):
        await surface.open("正在看图…")
    assert len(dingtalk.calls) == 1


async def test_a_card_whose_first_text_is_lost_is_there_all_the_same() -> None:
    limited = (403, {"code": "Forbidden.AccessDenied.QpsLimitForApi"})
    dingtalk = Dingtalk(createAndDeliver=CREATED, streaming=[limited, limited, {"success": True}])
    surface = adapter(dingtalk.http, card_template_id="x.schema").surface(received(body("c")))
    assert surface is not None
    await surface.open("正在看图…")
    with pytest.raises(NetworkError) as error:
        await surface.update("一")
    assert error.value.retry_after == 2.0
    await surface.close(delivery("一二"))


# The whole path


async def test_a_question_about_a_picture(tmp_path: Path) -> None:
    async with bot_on(Simulated(), tmp_path, answer="图里有**四个**色块。\n红的在左上。") as simulated:
        await simulated.say("图里是什么", [PNG])
        (got,) = await simulated.answers(1)
    assert (got.chat, got.kind, got.text) == ("cidu1==", "markdown", "图里有**四个**色块。\n红的在左上。")
    assert simulated.calls["/v1.0/robot/messageFiles/download"] == 1
    assert simulated.refused == []


async def test_a_question_in_a_group(tmp_path: Path) -> None:
    async with bot_on(Simulated(), tmp_path, answer="你好！") as simulated:
        await simulated.say("你好", group="g1")
        (got,) = await simulated.answers(1)
    assert (got.chat, got.kind, got.text) == ("cidg1==", "text", "你好！")
    assert simulated.refused == []


@pytest.mark.parametrize("group", ["", "g1"])
async def test_an_answer_after_the_session(tmp_path: Path, group: str) -> None:
    async with bot_on(Simulated(session_life=0), tmp_path, answer="来晚了") as simulated:
        await simulated.say("你好", group=group)
        (got,) = await simulated.answers(1)
    assert (got.chat, got.text) == (f"cid{group or 'u1'}==", "来晚了")
    assert simulated.calls["/robot/sendBySession"] == 0
    assert simulated.refused == []


async def test_an_answer_in_a_card(tmp_path: Path) -> None:
    async with bot_on(Simulated(cards=True), tmp_path, answer="一二三四五六七八", chunk_delay=0.05) as simulated:
        await simulated.say("数数", group="g1")
        (got,) = await simulated.answers(1)
    assert (got.chat, got.kind, got.text) == ("cidg1==", "card", "一二三四五六七八")
    assert len(simulated.sent) == 1
    assert simulated.refused == []


async def test_a_token_that_ends_between_two_pictures(tmp_path: Path) -> None:
    async with bot_on(Simulated(), tmp_path, answer="好的") as simulated:
        await simulated.say("图里是什么", [PNG])
        await simulated.answers(1)
        simulated.tokens.clear()
        await simulated.say("这张呢", [PNG])
        await simulated.answers(2)
    assert simulated.calls["/v1.0/oauth2/accessToken"] == 2
    assert simulated.refused == ["/v1.0/robot/messageFiles/download: InvalidAuthentication"]


async def test_a_wrong_address_is_turned_away(tmp_path: Path) -> None:
    async with bot_on(Simulated(), tmp_path) as simulated:
        content = json.dumps(simulated.message("你好")).encode()
        assert (await simulated.deliver(content, simulated.signed()))[0] == 401
        assert (await simulated.deliver(content, simulated.signed(0), query={"key": simulated.path_secret}))[0] == 401
        assert simulated.sent == []


async def test_a_file_arrives() -> None:
    simulated = Simulated()
    await simulated.start()
    fetcher = Fetcher(MediaConfig())
    try:
        section = convert(simulated.section(), Adapter.Config, environ={})
        bot = Adapter("dingtalk", section, fetcher, FakeClock(NOW))
        one = Delivery("k", Conversation("dingtalk", "default", "cidu1=="), (), platform_data={"staff_id": "staff-u1"})
        await bot.send(_with(one, File("报告.md", "text/markdown", b"# A")))
    finally:
        await fetcher.close()
        await simulated.stop()
    (got,) = simulated.sent
    assert (got.kind, got.text) == ("file", "报告.zip")
    assert zipfile.ZipFile(io.BytesIO(got.data["content"])).read("报告.md") == b"# A"
