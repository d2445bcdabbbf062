"""A self-built app of WeCom: configuration, messages out, pictures, and the whole path."""

from __future__ import annotations

import importlib
import json
import warnings
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from fakes import FakeClock, FakeHttp
from pictures import drawing, encoded
from simulation import bot_on
from vectors_wecom import AES_KEY, AGENT_ID, CORP_ID, IMAGE, NOW, SIGNER, TEXT, TOKEN

from adapters.simulated.envelope import document
from adapters.simulated.platform import Fault
from adapters.simulated.wecom import Simulated
from adapters.wecom import Adapter, Config
from bot.adapter import Ack, Request
from bot.config import MediaConfig, convert
from bot.envelope import Envelope
from bot.errors import ActionFailed, ConfigError, FetchFailed, NetworkError
from bot.event import Conversation, Delivery, File, MessageEvent
from bot.fetch import Fetcher
from bot.http import HttpAnswer
from bot.message import Image, Text

SECTION: dict[str, Any] = {
    "corp_id": CORP_ID,
    "agent_id": AGENT_ID,
    "secret": "s3cret",
    "token": TOKEN,
    "encoding_aes_key": AES_KEY,
}
PNG = encoded(drawing())
REPORT = File("报告.md", "text/markdown", "# 报告".encode())


def adapter(http: Any = None, **section: Any) -> Adapter:
    return Adapter("wecom", convert(SECTION | section, Config, environ={}), http or FakeHttp(), FakeClock(NOW))


def received(values: dict[str, str | int]) -> Any:
    ciphertext = SIGNER.seal(document(values))
    query = SIGNER.query(str(NOW), "n", ciphertext)
    return adapter().receive(Request("POST", "/", query, {}, document({"Encrypt": ciphertext}), NOW))


def delivery(text: str = "答案", **fields: Any) -> Delivery:
    parts = () if "file" in fields else (Text(text),)
    return Delivery("k1", Conversation("wecom", "default", "LiSi"), parts, "m1", asked_at=NOW, **fields)


class Platform(FakeHttp):
    """Answers gettoken with t1, t2, …, and other calls with what is next in `answers`; `paths` are those asked."""

    def __init__(self, *answers: dict[str, Any] | int, media: Any = None) -> None:
        super().__init__()
        self.answers = list(answers)
        self.media_answers: list[HttpAnswer] = list(media or [])
        self.tokens = 0
        self.paths: list[str] = []
        self.used: list[str] = []
        self.answer = self._answer

    def _answer(self, method: str, url: str, body: bytes) -> HttpAnswer:
        path = urlsplit(url).path.removeprefix("/cgi-bin/")
        self.paths.append(path)
        if path == "gettoken":
            self.tokens += 1
            return reply({"errcode": 0, "errmsg": "ok", "access_token": f"t{self.tokens}", "expires_in": 7200})
        self.used += parse_qs(urlsplit(url).query)["access_token"]
        found = self.answers.pop(0) if self.answers else {"errcode": 0, "errmsg": "ok", "msgid": "x1"}
        return HttpAnswer(found, b"") if isinstance(found, int) else reply(found)

    async def media(self, url: str, **_: Any) -> HttpAnswer:
        self.used += parse_qs(urlsplit(url).query)["access_token"]
        return self.media_answers.pop(0)


def reply(data: dict[str, Any]) -> HttpAnswer:
    return HttpAnswer(200, json.dumps(data).encode(), headers={"content-type": "application/json"})


def refusal(code: int, text: str = "no") -> dict[str, Any]:
    return {"errcode": code, "errmsg": text}


# Configuration


@pytest.mark.parametrize(
    ("section", "named"),
    [
        ({"corp_id": ""}, "corp_id"),
        ({"agent_id": 0}, "agent_id"),
        ({"secret": ""}, "secret"),
        ({"token": ""}, "token"),
        ({"encoding_aes_key": ""}, "encoding_aes_key"),
        ({"encoding_aes_key": AES_KEY[:-1]}, "encoding_aes_key"),
        ({"api_base": "ftp://x"}, "api_base"),
        ({"api_base": "https://"}, "api_base"),
        ({"api_base": "https://x:99999"}, "api_base"),
        ({"api_base": ""}, "api_base"),
    ],
)
def test_what_cannot_be_used_is_refused(section: dict[str, Any], named: str):
    with pytest.raises(ConfigError, match=f"adapters.wecom.{named}"):
        adapter(**section)


def test_warnings():
    assert adapter().warnings() == ()
    assert adapter(api_base="http://127.0.0.1:1").warnings() == ()
    assert len(adapter(api_base="http://wecom.example.com").warnings()) == 1


# What is received


def test_a_message_is_acknowledged_with_nothing():
    found = received(TEXT)
    (event,) = found.events
    assert isinstance(event, MessageEvent)
    assert event.to_me and event.conversation == Conversation("wecom", "default", "LiSi", "private")
    assert found.ack == Ack(200, b"")


def test_a_picture_is_named_by_its_media_id():
    (event,) = received(IMAGE).events
    assert event.message.images == (Image(str(IMAGE["MediaId"])),)


def wechatpy() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return importlib.import_module("wechatpy.enterprise.crypto")


def test_another_implementation_reads_what_we_seal():
    crypto = wechatpy().WeChatCrypto(TOKEN, AES_KEY, CORP_ID)
    sealed = Envelope(TOKEN, AES_KEY, CORP_ID, 300, where="").seal("已收到 <&>".encode(), NOW, "n1")
    values = {
        "ToUserName": CORP_ID,
        "Encrypt": sealed.ciphertext,
        "MsgSignature": sealed.signature,
        "TimeStamp": NOW,
        "Nonce": "n1",
    }
    opened = crypto.decrypt_message(document(values), sealed.signature, str(NOW), "n1")
    assert opened in ("已收到 <&>", "已收到 <&>".encode())


def test_we_read_what_another_implementation_seals():
    crypto = wechatpy().WeChatCrypto(TOKEN, AES_KEY, CORP_ID)
    answer = crypto.encrypt_message(document(TEXT).decode(), "n1", str(NOW))
    ciphertext = answer.split("<Encrypt><![CDATA[")[1].split("]]>")[0]
    signature = answer.split("<MsgSignature><![CDATA[")[1].split("]]>")[0]
    query = {"msg_signature": signature, "timestamp": str(NOW), "nonce": "n1"}
    request = Request("POST", "/", query, {}, document({"Encrypt": ciphertext}), NOW)
    (event,) = adapter().receive(request).events
    assert isinstance(event, MessageEvent) and event.message.text == TEXT["Content"]


# What is sent


async def test_a_text():
    http = Platform()
    assert await adapter(http).send(delivery()) == "x1"
    assert http.paths == ["gettoken", "message/send"]
    sent = json.loads(http.posted[-1][1])
    assert sent == {"touser": "LiSi", "msgtype": "text", "agentid": AGENT_ID, "text": {"content": "答案"}}
    query = parse_qs(urlsplit(http.posted[0][0]).query)
    assert query == {"corpid": [CORP_ID], "corpsecret": ["s3cret"]}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ('<a href="https://x">点我</a>', '＜a href="https://x">点我＜/a>'),
        ("a<b，<abbr>", "a<b，<abbr>"),
        ("<A>" * 700, "<A>" * 700),
    ],
)
async def test_links_are_shown_as_they_are_written(text: str, shown: str):
    http = Platform()
    await adapter(http).send(delivery(text))
    assert json.loads(http.posted[-1][1])["text"]["content"] == shown


async def test_a_file_is_uploaded_and_sent():
    http = Platform({"errcode": 0, "media_id": "f1"})
    assert await adapter(http).send(delivery(file=REPORT)) == "x1"
    assert http.paths == ["gettoken", "media/upload", "message/send"]
    _, body, headers = http.posted[1]
    assert headers["content-type"].startswith("multipart/form-data")
    assert "报告.md".encode() in body and REPORT.content in body
    assert json.loads(http.posted[-1][1])["file"] == {"media_id": "f1"}


async def test_the_token_is_fetched_once():
    http = Platform()
    sender = adapter(http)
    await sender.send(delivery())
    await sender.send(delivery())
    assert http.tokens == 1 and http.used == ["t1", "t1"]


@pytest.mark.parametrize("code", [40014, 41001, 42001])
async def test_a_token_that_has_ended_is_fetched_anew(code: int):
    http = Platform(refusal(code))
    assert await adapter(http).send(delivery()) == "x1"
    assert http.used == ["t1", "t2"]


async def test_a_token_that_is_never_good_is_given_up():
    http = Platform(refusal(42001), refusal(42001))
    with pytest.raises(ActionFailed) as error:
        await adapter(http).send(delivery())
    assert error.value.code == "42001" and http.used == ["t1", "t2"]


@pytest.mark.parametrize(("code", "pause"), [(-1, 1.0), (6000, 1.0), (45009, 60.0), (45033, 1.0)])
async def test_refusals_of_a_moment(code: int, pause: float):
    with pytest.raises(NetworkError) as error:
        await adapter(Platform(refusal(code))).send(delivery())
    assert error.value.retry_after == pause and not error.value.sent_maybe


@pytest.mark.parametrize(
    ("code", "mend"),
    [
        (40003, "not known"),
        (40056, "agent_id"),
        (45002, "2048"),
        (48002, "permissions"),
        (60011, "可见范围"),
        (60020, "可信IP"),
        (60111, "not known"),
        (81013, "可见范围"),
        (301002, "different apps"),
        (99999, "99999"),
    ],
)
async def test_refusals_for_good_name_their_mend(code: int, mend: str):
    with pytest.raises(ActionFailed, match=mend) as error:
        await adapter(Platform(refusal(code))).send(delivery())
    assert error.value.code == str(code)


async def test_an_address_that_is_not_trusted_is_named():
    text = "not allow to access from your ip, hint: [1], from ip: 203.0.113.9, more info at https://open.work"
    with pytest.raises(ActionFailed, match=r"203\.0\.113\.9"):
        await adapter(Platform(refusal(60020, text))).send(delivery())


@pytest.mark.parametrize("left_out", [{"invaliduser": "x|LiSi"}, {"invaliduser": "lisi"}, {"unlicenseduser": "lisi|y"}])
async def test_a_member_who_was_left_out_did_not_get_it(left_out: dict[str, str]):
    http = Platform({"errcode": 0, "errmsg": "ok", "msgid": "x1", **left_out})
    with pytest.raises(ActionFailed) as error:
        await adapter(http).send(delivery())
    assert error.value.code == "81013"


@pytest.mark.parametrize("status", [500, 502, 408])
async def test_a_broken_answer_leaves_it_open(status: int):
    with pytest.raises(NetworkError) as error:
        await adapter(Platform(status)).send(delivery())
    assert error.value.sent_maybe


async def test_too_many_requests():
    with pytest.raises(NetworkError) as error:
        await adapter(Platform(429)).send(delivery())
    assert not error.value.sent_maybe


@pytest.mark.parametrize("answers", [(503,), ({"errcode": 0},)])
async def test_without_the_upload_nothing_was_sent(answers: tuple[Any, ...]):
    with pytest.raises(NetworkError) as error:
        await adapter(Platform(*answers)).send(delivery(file=REPORT))
    assert not error.value.sent_maybe


@pytest.mark.parametrize(
    "answer",
    [
        HttpAnswer(500, b""),
        HttpAnswer(200, b"<html>"),
        reply({"errcode": 0}),
        reply({"errcode": 0, "access_token": "t", "expires_in": "7200"}),
    ],
)
async def test_without_a_token_nothing_was_sent(answer: HttpAnswer):
    http = FakeHttp()
    http.answer = lambda method, url, body: answer
    with pytest.raises(NetworkError) as error:
        await adapter(http).send(delivery())
    assert not error.value.sent_maybe


async def test_errors_hold_no_secret():
    http = FakeHttp()
    http.answer = lambda method, url, body: reply(refusal(40001, f"invalid credential {'x' * 500}"))
    with pytest.raises(ActionFailed) as error:
        await adapter(http).send(delivery())
    assert "s3cret" not in str(error.value) and error.value.code == "40001" and len(str(error.value)) < 300


# Pictures


async def test_a_picture():
    http = Platform(media=[HttpAnswer(200, PNG)])
    assert await adapter(http).download(Image("m1")) == PNG


async def test_a_picture_with_a_token_that_has_ended():
    http = Platform(media=[reply(refusal(42001)), HttpAnswer(200, PNG)])
    assert await adapter(http).download(Image("m1")) == PNG
    assert http.used == ["t1", "t2"]


@pytest.mark.parametrize(
    ("answer", "code", "retry"),
    [
        (reply(refusal(40007)), "gone", False),
        (HttpAnswer(404, b""), "gone", False),
        (reply({"errcode": 0}), "gone", False),
        (reply(refusal(60020)), "refused", False),
        (reply(refusal(-1)), "unreachable", True),
        (HttpAnswer(502, b""), "unreachable", True),
        (HttpAnswer(200, b"{no JSON"), "unreachable", True),
    ],
)
async def test_pictures_that_cannot_be_had(answer: HttpAnswer, code: str, retry: bool):
    with pytest.raises(FetchFailed) as error:
        await adapter(Platform(media=[answer])).download(Image("m1"))
    assert (error.value.code, error.value.retry) == (code, retry)
    assert str(error.value).endswith("。")


# The fake server and the whole path


async def test_doctor():
    simulated = Simulated()
    await simulated.start()
    fetcher = Fetcher(MediaConfig())
    try:
        good = Adapter("wecom", convert(simulated.section(), Config, environ={}), fetcher, FakeClock())
        assert await good.check() == "access token works, app 「看图」 (AgentId 1000002)"
        for wrong, code in (({"secret": "x"}, "40001"), ({"corp_id": "x"}, "40013"), ({"agent_id": 1}, "301002")):
            config = convert(simulated.section() | wrong, Config, environ={})
            with pytest.raises(ActionFailed) as error:
                await Adapter("wecom", config, fetcher, FakeClock()).check()
            assert error.value.code == code
    finally:
        await fetcher.close()
        await simulated.stop()


async def test_a_question_about_a_picture(tmp_path: Path):
    async with bot_on(Simulated(), tmp_path, answer="图里有四种颜色。") as simulated:
        assert await simulated.handshake() == (200, b"1234567890")
        await simulated.say("图里是什么", [PNG])
        (got,) = await simulated.answers(1)
        assert (got.chat, got.text) == ("u1", "图里有四种颜色。")
        assert simulated.refused == []


async def test_a_long_answer_comes_in_pieces_that_fit(tmp_path: Path):
    answer = "。".join(f"第{number}句话说的是图里的内容" for number in range(200)) + "。"
    async with bot_on(Simulated(), tmp_path, answer=answer) as simulated:
        await simulated.say("图里是什么", [PNG])
        await simulated.until(lambda: "第199句" in "".join(one.text for one in simulated.sent))
        assert len(simulated.sent) > 1 and simulated.refused == []


async def test_a_long_report_comes_as_a_file(tmp_path: Path):
    answer = "# 报告\n\n" + "。\n\n".join(f"第{number}段说的是图里的内容" for number in range(200))
    async with bot_on(Simulated(), tmp_path, answer=answer) as simulated:
        await simulated.say("请写一份详细的图片分析报告", [PNG])
        await simulated.until(lambda: any(one.kind == "file" for one in simulated.sent))
        file = simulated.sent[-1]
        assert file.text.endswith(".md") and "第199段" in file.data["content"].decode()
        assert simulated.refused == []


async def test_tokens_and_busy_servers_on_the_way(tmp_path: Path):
    async with bot_on(Simulated(), tmp_path, answer="好的") as simulated:
        await simulated.say("一", [PNG])
        await simulated.answers(1)
        simulated.expire_token()
        simulated.faults.append(Fault("message/send", data=refusal(-1, "system busy")))
        await simulated.say("二")
        await simulated.answers(2)
        assert simulated.calls["/cgi-bin/gettoken"] == 2 and simulated.refused == []


async def test_a_picture_that_has_ended_is_told(tmp_path: Path):
    async with bot_on(Simulated(), tmp_path) as simulated:
        await simulated.callback({"PicUrl": "", "MediaId": "long gone"}, kind="image")
        (got,) = await simulated.answers(1)
        assert "过期" in got.text


async def test_events_and_repeated_messages_are_answered_once(tmp_path: Path):
    async with bot_on(Simulated(), tmp_path, answer="好的") as simulated:
        await simulated.callback({"Event": "enter_agent", "EventKey": ""}, kind="event")
        values = {"ToUserName": simulated.corp_id, "FromUserName": "u2", "CreateTime": 1, "MsgType": "text"}
        message = document({**values, "Content": "你好", "MsgId": 77, "AgentID": simulated.agent_id})
        for _ in range(3):
            assert await simulated.push(message) == (200, b"")
        await simulated.say("你好", user="u3")
        await simulated.answers(2)
        assert sorted(one.chat for one in simulated.sent) == ["u2", "u3"]
