"""WeCom's and WeChat's server API: tokens, refusals, media."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import pytest
from fakes import FakeClock, FakeHttp

from bot.errors import ActionFailed, DeliveryError, FetchFailed, NetworkError, WindowClosed
from bot.event import File
from bot.http import NO_HEADERS, HttpAnswer
from bot.weixin_api import Codes, WeixinApi

CODES = Codes(
    "WeCom",
    momentary={-1: 2.0},
    mends={42001: "look at the clock", 60020: "trust this address"},
    closed=frozenset({45047}),
    ended=frozenset({42001}),
    untrusted=60020,
)
OK = {"errcode": 0}


class Server(FakeHttp):
    """Gives tokens t1, t2, …; answers calls, and calls for media, with what is put there, one after another."""

    def __init__(self, *answers: Any) -> None:
        super().__init__()
        self.answers = list(answers)
        self.asked: list[tuple[str, str, bytes]] = []
        self.tokens = 0

    async def request(
        self, method: str, url: str, *, body: bytes = b"", headers: Mapping[str, str] = NO_HEADERS
    ) -> HttpAnswer:
        path = url.removeprefix("https://api.example/cgi-bin/")
        self.asked.append((method, path, body))
        if path.startswith("token"):
            self.tokens += 1
            return reply({"access_token": f"t{self.tokens}", "expires_in": 7200})
        return self._next()

    async def media(self, url: str, *, headers: Mapping[str, str] = NO_HEADERS) -> HttpAnswer:
        self.asked.append(("GET", url.removeprefix("https://api.example/cgi-bin/"), b""))
        return self._next()

    def _next(self) -> HttpAnswer:
        answer = self.answers.pop(0)
        return answer if isinstance(answer, HttpAnswer) else reply(answer)


def reply(data: Any) -> HttpAnswer:
    return HttpAnswer(200, msgspec.json.encode(data))


def api(http: FakeHttp, **options: Any) -> WeixinApi:
    options = options or {"query": {"id": "i", "secret": "s"}}
    return WeixinApi(http, FakeClock(), "https://api.example", CODES, "微信", "token", **options)


async def test_a_token_serves_many_calls() -> None:
    http = Server(OK, OK | {"name": "看图"})
    one = api(http)
    await one.post("message/send", {"text": "好"})
    assert (await one.get("agent/get", agentid="1"))["name"] == "看图"
    assert http.asked == [
        ("GET", "token?id=i&secret=s", b""),
        ("POST", "message/send?access_token=t1", '{"text":"好"}'.encode()),
        ("GET", "agent/get?access_token=t1&agentid=1", b""),
    ]
    assert await one.token() == "t1"


async def test_a_token_can_be_asked_for_with_data() -> None:
    http = Server()
    assert await api(http, data={"appid": "a"}).token() == "t1"
    assert http.asked == [("POST", "token", b'{"appid":"a"}')]


async def test_a_token_that_has_ended_is_fetched_anew_once() -> None:
    http = Server({"errcode": 42001}, OK)
    assert await api(http).get("x") == OK
    assert http.tokens == 2
    http = Server({"errcode": 42001}, {"errcode": 42001})
    with pytest.raises(ActionFailed, match="look at the clock"):
        await api(http).get("x")
    assert http.tokens == 2


@pytest.mark.parametrize(
    "answer",
    [
        reply({}),
        reply({"access_token": "", "expires_in": 1}),
        reply({"access_token": "t", "expires_in": True}),
        HttpAnswer(502, b""),
        HttpAnswer(200, b"<html>"),
    ],
)
async def test_without_a_token_nothing_was_sent(answer: HttpAnswer) -> None:
    with pytest.raises(NetworkError, match="no access token") as error:
        await api(FakeHttp(answer.status, answer.body)).post("x", {})
    assert not error.value.sent_maybe


@pytest.mark.parametrize(
    ("code", "kind", "words"),
    [
        (-1, NetworkError, "WeCom answered -1 no$"),
        (45047, WindowClosed, "45047"),
        (60020, ActionFailed, r"60020 no: trust this address: 192\.0\.2\.1$"),
        (99, ActionFailed, "WeCom answered 99 no$"),
    ],
)
async def test_refusals(code: int, kind: type[DeliveryError], words: str) -> None:
    with pytest.raises(kind, match=words) as error:
        await api(Server({"errcode": code, "errmsg": "no, hint: [1], from ip: 192.0.2.1, more info"})).get("x")
    assert getattr(error.value, "code", str(code)) == str(code)
    assert getattr(error.value, "retry_after", 2.0) == 2.0


@pytest.mark.parametrize("answer", [HttpAnswer(500, b""), HttpAnswer(200, b'{"a":1,"a":2}'), HttpAnswer(200, b"[]")])
async def test_a_broken_answer_leaves_it_open(answer: HttpAnswer) -> None:
    with pytest.raises(NetworkError) as error:
        await api(Server(answer)).post("x", {})
    assert error.value.sent_maybe


async def test_a_file() -> None:
    file = File("表.csv", "text/csv", b"a,b")
    http = Server(OK | {"media_id": "m1"})
    assert await api(http).upload(file) == "m1"
    _, path, body = http.asked[-1]
    assert path == "media/upload?access_token=t1&type=file" and b"a,b" in body
    for answer in (HttpAnswer(503, b""), OK, OK | {"media_id": 1}):
        with pytest.raises(NetworkError) as error:
            await api(Server(answer)).upload(file)
        assert not error.value.sent_maybe


async def test_a_picture() -> None:
    http = Server({"errcode": 42001}, HttpAnswer(200, b"png"))
    assert await api(http).picture("m1") == b"png"
    assert http.asked[-1] == ("GET", "media/get?access_token=t2&media_id=m1", b"")


@pytest.mark.parametrize(
    ("answer", "code", "retry"),
    [
        ({"errcode": 40007}, "gone", False),
        ({"errcode": 0}, "gone", False),
        (HttpAnswer(404, b""), "gone", False),
        ({"errcode": 45047}, "refused", False),
        ({"errcode": 48001}, "refused", False),
        ({"errcode": -1}, "unreachable", True),
        (HttpAnswer(502, b""), "unreachable", True),
        (HttpAnswer(200, b"{no JSON"), "unreachable", True),
    ],
)
async def test_pictures_that_cannot_be_had(answer: Any, code: str, retry: bool) -> None:
    with pytest.raises(FetchFailed) as error:
        await api(Server(answer)).picture("m1")
    assert (error.value.code, error.value.retry) == (code, retry)
    assert "微信" in str(error.value) and str(error.value).endswith("。")
