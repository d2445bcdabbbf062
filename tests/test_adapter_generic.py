"""The generic adapter: recorded requests, forgeries, replies.

The recorded requests of data/generic.json are made and signed by make_generic_vectors.py, which shares no code
with the bot.
"""

import base64
import hashlib
import hmac
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

from adapters.generic import Adapter
from bot.adapter import Received, Request
from bot.config import convert
from bot.errors import ActionFailed, BadPicture, ConfigError, FetchFailed, NetworkError, Rejected
from bot.event import Conversation, Delivery, MessageEvent, event_from_dict
from bot.message import Image, Text

patient = settings(deadline=None)  # a busy machine is no failure
NOW = 1_795_000_000
KEY, OLDER_KEY = b"k" * 32, b"o" * 24
DOCUMENT: dict[str, Any] = {
    "conversation": {"id": "c1", "type": "private"},
    "sender": {"id": "u1", "name": "Ann"},
    "message": {"id": "m1", "text": "看图", "images": [], "mentions": [], "reply_to": "m0"},
    "sent_at": NOW,
}


def whsec(key: bytes) -> str:
    return "whsec_" + base64.b64encode(key).decode()


def adapter(http: FakeHttp | None = None, **section: Any) -> Adapter:
    data = {"secrets": [whsec(KEY), whsec(OLDER_KEY)]} | section
    return Adapter("generic", convert(data, Adapter.Config, environ={}), http or FakeHttp(), FakeClock(NOW))


def github() -> Adapter:
    return adapter(secrets=["open sesame"], scheme="github")


def sign(key: bytes, id: str, time: str, body: bytes) -> str:
    digest = hmac.new(key, f"{id}.{time}.".encode() + body, hashlib.sha256).digest()
    return "v1," + base64.b64encode(digest).decode()


def signed(body: bytes, id: str = "msg_1", time: str = str(NOW), key: bytes = KEY) -> Request:
    headers = {"webhook-id": id, "webhook-timestamp": time, "webhook-signature": sign(key, id, time, body)}
    return Request("POST", "/webhook/generic", {}, headers, body, NOW + 0.5)


def github_signed(body: bytes, delivery: str = "d1") -> Request:
    signature = "sha256=" + hmac.new(b"open sesame", body, hashlib.sha256).hexdigest()
    headers = {"x-hub-signature-256": signature, "x-github-delivery": delivery}
    return Request("POST", "/webhook/generic", {}, headers, body, NOW)


def encoded(data: Any) -> bytes:
    return json.dumps(data, ensure_ascii=False).encode()


def only_event(received: Received) -> MessageEvent:
    (event,) = received.events
    assert isinstance(event, MessageEvent)
    return event


def reason(receiver: Adapter, request: Request) -> str:
    with pytest.raises(Rejected) as error:
        receiver.receive(request)
    return error.value.reason


# Recorded requests


@pytest.fixture(scope="module")
def runner() -> Any:
    path = Path(__file__).parents[1] / "benchmarks" / "platform_vectors.py"
    spec = importlib.util.spec_from_file_location("platform_vectors", path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def test_recorded_requests(runner: Any):
    data = json.loads((Path(__file__).parent / "data" / "generic.json").read_text(encoding="utf-8"))
    results = list(runner.run_file(data))
    assert len(results) > 250
    assert [line for case, record in results for line in runner.mismatches(case, record)] == []


# What is received


def test_event():
    received = adapter(account_id="eu").receive(signed(encoded(DOCUMENT)))
    event = only_event(received)
    assert event.conversation == Conversation("generic", "eu", "c1", "private")
    assert (event.id, event.message_id, event.reply_to, event.timestamp) == ("msg_1", "m1", "m0", NOW)
    assert event.message.parts == (Text("看图"),)
    assert event.to_me and not event.dedup_message
    assert received.raw == DOCUMENT
    assert event_from_dict(msgspec.json.decode(msgspec.json.encode(event))) == event


def test_acknowledgement():
    ack = adapter().receive(signed(encoded(DOCUMENT))).ack
    assert (ack.status, json.loads(ack.body), ack.content_type) == (200, {"status": "accepted"}, "application/json")


def test_github_events_are_known_by_their_message():
    event = only_event(github().receive(github_signed(encoded(DOCUMENT))))
    assert event.id == "d1"
    assert event.dedup_message and event.message_id == "m1"


@pytest.mark.parametrize(
    ("chat_type", "mentions", "to_me"),
    [("private", [], True), ("group", [], False), ("group", [False], False), ("group", [False, True], True)],
)
def test_in_a_group_the_bot_is_spoken_to_when_it_is_mentioned(chat_type: str, mentions: list[bool], to_me: bool):
    named = [{"id": "x", "name": "", "is_bot": is_bot} for is_bot in mentions]
    data = DOCUMENT | {"conversation": {"id": "c1", "type": chat_type}}
    data = data | {"message": DOCUMENT["message"] | {"mentions": named}}
    event = only_event(adapter().receive(signed(encoded(data))))
    assert event.to_me == to_me
    assert [mention.is_bot for mention in event.mentions] == mentions


def test_inline_pictures_travel_beside_the_event():
    picture = {"base64": base64.b64encode(b"bytes").decode(), "mime": "image/png"}
    quoted = {"text": "", "images": [picture | {"base64": base64.b64encode(b"more").decode()}]}
    message = DOCUMENT["message"] | {"images": [picture, picture], "quoted": quoted}
    received = adapter().receive(signed(encoded(DOCUMENT | {"message": message})))
    sha256, more = hashlib.sha256(b"bytes").hexdigest(), hashlib.sha256(b"more").hexdigest()
    assert received.inline == {sha256: b"bytes", more: b"more"}
    image = Image(source=f"inline:{sha256}", mime_type="image/png")
    assert only_event(received).message.images == (Image(f"inline:{more}", mime_type="image/png"), image, image)


def padded(size: int) -> bytes:
    body = encoded(DOCUMENT)
    return body + b" " * (size - len(body))


def test_the_largest_body():
    assert adapter().limits.body_bytes == 16 << 20
    assert adapter().receive(signed(padded(16 << 20))).events


def test_a_body_that_is_too_large_is_not_looked_at():
    unsigned = Request("POST", "/", {}, {}, bytes((16 << 20) + 1), NOW)
    with pytest.raises(Rejected) as error:
        adapter().receive(unsigned)
    assert (error.value.reason, error.value.status) == ("too_large", 413)


def test_checks_come_in_order():
    """Each request fails its own check and all later ones."""
    receiver, nope = adapter(), b"nope"
    stale = str(NOW - 301)
    assert reason(receiver, Request("POST", "/", {}, {"webhook-timestamp": "1e9"}, nope, NOW)) == "missing_signature"
    headers = {"webhook-id": "a", "webhook-signature": "v1,x"}
    assert reason(receiver, Request("POST", "/", {}, headers | {"webhook-timestamp": "1e9"}, nope, NOW)) == (
        "malformed_timestamp"
    )
    assert reason(receiver, Request("POST", "/", {}, headers | {"webhook-timestamp": stale}, nope, NOW)) == (
        "bad_signature"
    )
    assert reason(receiver, signed(nope, time=stale)) == "stale"
    assert reason(receiver, signed(nope)) == "malformed"


# Forgeries


def flips(text: str) -> list[str]:
    return [text[:i] + chr(ord(text[i]) ^ 1 << bit) + text[i + 1 :] for i in range(len(text)) for bit in range(8)]


@pytest.mark.parametrize("key", [KEY, OLDER_KEY])
def test_every_flipped_bit_is_noticed(key: bytes):
    receiver, request = adapter(), signed(encoded(DOCUMENT), key=key)
    assert receiver.receive(request).events
    for bit in range(len(request.body) * 8):
        body = bytearray(request.body)
        body[bit // 8] ^= 1 << bit % 8
        assert reason(receiver, Request("POST", "/", {}, request.headers, bytes(body), NOW)) == "bad_signature"
    for name, value in request.headers.items():
        for changed in flips(value):
            headers = {**request.headers, name: changed}
            found = reason(receiver, Request("POST", "/", {}, headers, request.body, NOW))
            assert found in ("bad_signature", "malformed_timestamp")


def test_every_flipped_bit_is_noticed_in_the_github_scheme():
    receiver, request = github(), github_signed(encoded(DOCUMENT))
    for bit in range(len(request.body) * 8):
        body = bytearray(request.body)
        body[bit // 8] ^= 1 << bit % 8
        assert reason(receiver, Request("POST", "/", {}, request.headers, bytes(body), NOW)) == "bad_signature"
    for changed in flips(request.headers["x-hub-signature-256"]):
        headers = {"x-hub-signature-256": changed}
        assert reason(receiver, Request("POST", "/", {}, headers, request.body, NOW)) == "bad_signature"


anything = st.text(st.characters(exclude_categories=[]), max_size=30)
names = st.sampled_from(
    ["webhook-id", "webhook-timestamp", "webhook-signature", "x-hub-signature-256", "x-github-delivery"]
)


@patient
@given(st.dictionaries(names, anything), st.binary(max_size=50))
def test_unsigned_noise_is_rejected(headers: dict[str, str], body: bytes):
    request = Request("POST", "/", {}, headers, body, NOW)
    for receiver in (adapter(), github()):
        assert reason(receiver, request) in ("missing_signature", "malformed_timestamp", "bad_signature")


def is_stored(event: MessageEvent) -> None:
    text = msgspec.json.encode(event).decode()
    assert "\\u0000" not in text.replace("\\\\", "")
    text.encode()


def outcome(receiver: Adapter, request: Request) -> str:
    try:
        received = receiver.receive(request)
    except Rejected as error:
        return error.reason
    is_stored(only_event(received))
    return "accepted"


@patient
@given(st.binary(max_size=200), st.text(st.characters(codec="ascii", min_codepoint=32), min_size=1, max_size=9))
def test_signed_noise_is_malformed(body: bytes, id: str):
    id = id.replace("\x7f", "x")
    assert outcome(adapter(), signed(body, id)) == "malformed"
    assert outcome(github(), github_signed(body)) == "malformed"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | anything | st.sampled_from(["private", "group", NOW]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["id", "url", "text"]), inner),
    max_leaves=5,
)
paths = [(name,) for name in DOCUMENT] + [
    ("conversation", "id"),
    ("conversation", "type"),
    ("sender", "id"),
    ("sender", "name"),
    *(("message", name) for name in ("id", "text", "images", "mentions", "reply_to", "quoted")),
]


@patient
@given(st.sampled_from(paths), json_values)
def test_any_value_in_any_field(path: tuple[str, ...], value: Any):
    data = json.loads(json.dumps(DOCUMENT))
    place = data
    for name in path[:-1]:
        place = place[name]
    place[path[-1]] = value
    body = json.dumps(data).encode()
    found = outcome(adapter(), signed(body))
    assert found in ("accepted", "malformed")
    assert outcome(github(), github_signed(body)) in (found, "stale")


@patient
@given(anything, anything, st.text(), st.integers(NOW - 300, NOW + 300))
def test_what_is_signed_is_received(text: str, name: str, chat: str, time: int):
    data = DOCUMENT | {"conversation": {"id": f"c{chat}", "type": "group"}, "sender": {"id": "u", "name": name}}
    data = data | {"message": DOCUMENT["message"] | {"text": text}}
    event = only_event(adapter().receive(signed(json.dumps(data).encode(), time=str(time))))
    is_stored(event)
    if "\0" not in text and text.isprintable():
        assert event.message.text == text.strip()


# Configuration


@pytest.mark.parametrize(
    ("section", "problem"),
    [
        ({"secrets": []}, r"adapters\.generic\.secrets: needs at least one"),
        ({"secrets": [""]}, r"adapters\.generic\.secrets: needs at least one"),
        ({"secrets": [whsec(KEY), ""]}, "none may be empty"),
        ({"secrets": [""], "scheme": "github"}, "none may be empty"),
        ({"secrets": [whsec(KEY), "open sesame"]}, r"secrets\[1\]: .* start with 'whsec_'"),
        ({"secrets": ["open sesame"], "scheme": "github", "reply_secret": "x"}, r"generic\.reply_secret: "),
        ({"reply_url": "ftp://a.example"}, r"generic\.reply_url: must be an http"),
        ({"reply_url": "https://"}, "reply_url"),
        ({"reply_url": "https://a.example:99999"}, "reply_url"),
        ({"reply_url": "a.example/hook"}, "reply_url"),
        ({"max_age": 0}, "max_age"),
        ({"scheme": "none"}, "scheme"),
        ({"secret": "x"}, "did you mean 'secrets'"),
    ],
)
def test_configurations_that_cannot_be_used(section: dict[str, Any], problem: str):
    with pytest.raises(ConfigError, match=problem):
        adapter(**section)


def test_no_secrets_by_default():
    with pytest.raises(ConfigError, match="at least one"):
        Adapter("generic", convert({}, Adapter.Config), FakeHttp(), FakeClock())


async def test_check():
    assert await adapter().check() == "standard-webhooks, 2 secrets, answers over REST only"
    url = "https://user:pass@bot.example:8443/hook?token=secret"
    assert await adapter(secrets=[whsec(KEY)], reply_url=url).check() == (
        "standard-webhooks, 1 secret, answers go to bot.example:8443"
    )


# Replies


def delivery(text: str = "答案", key: str = "e1:0") -> Delivery:
    return Delivery(key, Conversation("generic", "default", "c1", "group"), (Text(text),), reply_to="m1")


async def test_without_an_address_nothing_is_posted():
    http = FakeHttp()
    assert await adapter(http).send(delivery()) == ""
    assert http.posted == []


async def test_reply():
    http = FakeHttp(body=b'{"id": "r1"}')
    assert await adapter(http, reply_url="https://a.example/hook").send(delivery("图1：<ok> 😀\n第二行")) == "r1"
    ((url, body, headers),) = http.posted
    assert url == "https://a.example/hook"
    assert json.loads(body) == {
        "type": "reply",
        "conversation": {"id": "c1", "type": "group"},
        "reply_to": "m1",
        "text": "图1：<ok> 😀\n第二行",
        "key": "e1:0",
        "sent_at": NOW,
    }
    assert "图1：<ok> 😀".encode() in body
    assert headers["webhook-id"] == "e1:0"
    assert headers["webhook-signature"] == sign(KEY, "e1:0", headers["webhook-timestamp"], body)


async def test_a_retry_carries_the_same_id():
    http = FakeHttp()
    sender = adapter(http, reply_url="https://a.example/hook")
    first, second = await sender.send(delivery()), await sender.send(delivery())
    assert first == second == "e1:0"
    assert http.posted[0][2]["webhook-id"] == http.posted[1][2]["webhook-id"]


async def test_own_reply_secret():
    http = FakeHttp()
    sender = adapter(http, secrets=["raw"], scheme="github", reply_url="http://a/h", reply_secret=whsec(OLDER_KEY))
    await sender.send(delivery())
    ((_, body, headers),) = http.posted
    assert headers["webhook-signature"] == sign(OLDER_KEY, "e1:0", str(NOW), body)


@pytest.mark.parametrize("key", ["会话/1", "a\nb", "", "x" * 600])
async def test_keys_that_no_header_can_carry_are_hashed(key: str):
    http = FakeHttp()
    await adapter(http, reply_url="http://a/h").send(delivery(key=key))
    ((_, body, headers),) = http.posted
    assert headers["webhook-id"] == hashlib.sha256(key.encode()).hexdigest()
    assert json.loads(body)["key"] == key


@pytest.mark.parametrize("answer", [b"", b"ok", b"[]", b'{"id":1}', b'{"id":""}', b'{"id":null}', b"\xff", b"[" * 99])
async def test_answers_that_name_no_id(answer: bytes):
    assert await adapter(FakeHttp(204, answer), reply_url="http://a/h").send(delivery()) == "e1:0"


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
async def test_worth_another_try(status: int):
    with pytest.raises(NetworkError) as error:
        await adapter(FakeHttp(status), reply_url="http://a/h").send(delivery())
    assert error.value.sent_maybe == (status >= 500)


@pytest.mark.parametrize("status", [301, 307, 400, 401, 404, 410, 413])
async def test_refused_for_good(status: int):
    with pytest.raises(ActionFailed) as error:
        await adapter(FakeHttp(status), reply_url="http://a/h").send(delivery())
    assert error.value.code == str(status)


# Pictures


class HostsHttp(FakeHttp):
    """Remembers which hosts a picture may come from."""

    async def picture(self, url: str, *, hosts: frozenset[str] | None = None) -> bytes:
        self.hosts = hosts
        return await super().picture(url, hosts=hosts)


@pytest.mark.parametrize(
    ("configured", "hosts"), [([], None), (["Img.Example", "b.example"], {"img.example", "b.example"})]
)
async def test_download(configured: list[str], hosts: set[str] | None):
    http = HostsHttp()
    http.pictures["https://img.example/a.png"] = b"png"
    receiver = adapter(http, picture_hosts=configured)
    assert await receiver.download(Image("https://img.example/a.png")) == b"png"
    assert http.hosts == hosts
    with pytest.raises((FetchFailed, BadPicture)):
        await receiver.download(Image("https://img.example/gone.png"))


async def test_inline_pictures_are_not_downloaded():
    with pytest.raises(FetchFailed):
        await adapter().download(Image("inline:" + "0" * 64))
