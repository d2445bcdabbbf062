"""The Slack adapter: configuration, what it sends, refusals, and the whole path on the simulated platform."""

from __future__ import annotations

import asyncio
import importlib
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
import vectors_slack
from fakes import FakeClock, FakeHttp
from hypothesis import given, settings
from hypothesis import strategies as st
from pictures import drawing, encoded
from simulation import bot_on

from adapters.simulated.platform import Fault
from adapters.simulated.slack import Simulated, sign
from adapters.slack import Adapter
from adapters.slack.events import said
from adapters.slack.markup import to_mrkdwn, without_calls
from adapters.slack.surfaces import GrowingMessage, Stream
from bot.adapter import Request, Surface
from bot.config import MediaConfig, convert
from bot.errors import ActionFailed, ConfigError, FetchFailed, NetworkError, Rejected
from bot.event import Conversation, Delivery, File, MessageEvent
from bot.fetch import Fetcher
from bot.message import Image, Quote, Text

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
import platform_vectors

patient = settings(deadline=None)
SECTION: dict[str, Any] = {
    "signing_secret": "8f742231b10e8888abcd99yyyzzz85a5",
    "bot_token": "xoxb-1",
    "bot_user_id": "U0BOT",
    "app_id": "A0APP",
}
CHANNEL = Conversation("slack", "default", "C1", "group", "1795000000.000100")
DIRECT = Conversation("slack", "default", "D1")
PNG = encoded(drawing())


def adapter(http: Any = None, **section: Any) -> Adapter:
    config = convert(SECTION | section, Adapter.Config, environ={}, where="adapters.slack")
    return Adapter("slack", config, http or FakeHttp(), FakeClock())


def answering(data: Any, status: int = 200, retry_after: float | None = None) -> FakeHttp:
    http = FakeHttp(status, msgspec.json.encode(data))
    http.retry_after = retry_after
    return http


def delivery(text: str = "好的", where: Conversation = CHANNEL, **fields: Any) -> Delivery:
    return Delivery("msg_1_0", where, (Text(text),), **fields)


# ------------------------------------------------------------ configuration


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("signing_secret", ""),
        ("bot_token", ""),
        ("bot_user_id", ""),
        ("file_hosts", []),
        ("file_hosts", [""]),
        ("api_base", "slack.com/api"),
        ("api_base", "https://[x"),
        ("max_age", 0),
    ],
)
def test_what_is_missing_or_wrong_is_named(key: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=rf"adapters\.slack\.{key}"):
        adapter(**{key: value})


def test_weak_configurations_are_told() -> None:
    assert adapter().warnings() == ()
    assert "app_id" in adapter(app_id="").warnings()[0]
    assert "明文" in adapter(api_base="http://127.0.0.1:1").warnings()[0]


def test_without_app_id_any_app_that_signs_is_taken() -> None:
    body = json.dumps({"type": "event_callback", "event": {"type": "reaction_added"}}).encode()
    assert adapter(app_id="").receive(signed(body)).ignored == "event"
    with pytest.raises(Rejected, match="api_app_id"):
        adapter().receive(signed(body))


# ------------------------------------------------------------ receiving


def signed(body: bytes) -> Request:
    now = "1795000000"
    headers = {"x-slack-request-timestamp": now, "x-slack-signature": sign(SECTION["signing_secret"], now, body)}
    return Request("POST", "/webhook/slack", {}, headers, body, float(now))


def test_vectors() -> None:
    results = list(platform_vectors.run_file(vectors_slack.vectors()))
    assert len(results) > 150
    assert [line for case, record in results for line in platform_vectors.mismatches(case, record)] == []


@patient
@given(st.text(max_size=60).map(str.encode), st.integers(1_795_000_000, 1_795_000_010))
def test_slacks_own_library_signs_the_same(body: bytes, now: int) -> None:
    signature = importlib.import_module("slack_sdk.signature")
    verifier = signature.SignatureVerifier(SECTION["signing_secret"])
    assert verifier.generate_signature(timestamp=str(now), body=body) == sign(SECTION["signing_secret"], str(now), body)


@patient
@given(st.text(alphabet="<>@#!|&;ltgampU0BOT \n\0x", max_size=60))
def test_any_markup_is_read(words: str) -> None:
    text, mentions = said(words.replace("\0", ""), "U0BOT")
    assert "\0" not in text and all(mention.user_id for mention in mentions)


def test_an_answer_in_a_channel_begins_a_thread() -> None:
    event = {"type": "app_mention", "user": "U1", "ts": "1795000000.000100", "text": "<@U0BOT> x", "channel": "C1"}
    asked = event_of(event)
    assert asked.conversation.thread_id == "1795000000.000100" and asked.to_me and asked.reply_to == ""
    again = event_of({**event, "ts": "1795000000.000200", "thread_ts": "1795000000.000100", "type": "message"})
    assert again.conversation == asked.conversation and again.reply_to == "1795000000.000100"
    private = event_of({**event, "channel": "D1"})
    assert private.conversation.thread_id == ""


def test_a_reply_in_a_thread_of_the_bots_is_for_it() -> None:
    event = {"type": "message", "user": "U1", "ts": "1795000000.000200", "text": "x", "channel": "C1"}
    assert not event_of({**event, "channel_type": "channel"}).to_me
    assert event_of({**event, "thread_ts": "1795000000.000100", "parent_user_id": "U0BOT"}).to_me


def event_of(event: dict[str, Any], slack: Adapter | None = None) -> MessageEvent:
    data = {"type": "event_callback", "api_app_id": "A0APP", "team_id": "T1", "event_id": "Ev1", "event": event}
    (found,) = (slack or adapter()).receive(signed(json.dumps(data).encode())).events
    assert isinstance(found, MessageEvent)
    return found


@pytest.mark.parametrize(
    ("header", "value", "reason"),
    [
        ("x-slack-signature", " ", "bad_signature"),
        ("x-slack-signature", "v0=\udcff", "bad_signature"),
        ("x-slack-request-timestamp", " 1795000000", "malformed_timestamp"),
        ("x-slack-request-timestamp", "1795000000\n", "malformed_timestamp"),
        ("x-slack-request-timestamp", "\udcff", "malformed_timestamp"),
    ],
)
def test_headers_that_no_honest_client_sends(header: str, value: str, reason: str) -> None:
    request = signed(b"{}")
    odd = Request("POST", "/", {}, {**request.headers, header: value}, request.body, request.now)
    with pytest.raises(Rejected) as caught:
        adapter().receive(odd)
    assert caught.value.reason == reason


def test_the_size_is_judged_first() -> None:
    body = b'{"type":"a"}'.ljust(1 << 20)
    assert adapter().receive(signed(body)).ignored == "not_an_event"
    with pytest.raises(Rejected) as caught:
        adapter().receive(Request("POST", "/", {}, {}, body + b" ", 0.0))
    assert (caught.value.reason, caught.value.status) == ("too_large", 413)


# ------------------------------------------------------------ sending


@pytest.mark.parametrize(
    ("markdown", "shown"),
    [
        ("**粗** a < b & c", "*粗* a &lt; b &amp; c"),
        ("一只**猫**、`x`和**狗**", "一只\u200b*猫*、`x`\u200b和\u200b*狗*"),
        ("`x < 1` 和 **`y`**", "`x &lt; 1` 和 *`y`*"),
        ("[文档](https://e.com/?a=1&b=2)", "<https://e.com/?a=1&amp;b=2|文档>"),
        ("[坏](javascript:alert)", "[坏](javascript:alert)"),
        ("```python\na < b\n```\n后", "```\na &lt; b\n```\n后"),
        ("```\n没有关上", "```\n没有关上"),
        ("> 一\n二", "> 一\n二"),
        ("<!channel> <@U1>", "&lt;!channel&gt; &lt;@U1&gt;"),
    ],
)
def test_markdown_becomes_mrkdwn(markdown: str, shown: str) -> None:
    assert to_mrkdwn(markdown) == shown


@patient
@given(st.text(alphabet="ab`*[]()<>&!@#|> \n/:htps.", max_size=80))
def test_no_answer_calls_anybody(text: str) -> None:
    for found in (to_mrkdwn(text), without_calls(text)):
        assert not any(call in found for call in ("<!", "<@", "<#"))


async def test_a_text_goes_into_its_thread() -> None:
    http = answering({"ok": True, "ts": "9.1"})
    assert await adapter(http).send(delivery("**好**", reply_to="x", quote=True)) == "9.1"
    url, body, headers = http.posted[0]
    assert (url, headers["authorization"]) == ("https://slack.com/api/chat.postMessage", "Bearer xoxb-1")
    assert msgspec.json.decode(body) == {
        "channel": "C1",
        "thread_ts": "1795000000.000100",
        "text": "*好*",
        "unfurl_links": False,
        "unfurl_media": False,
    }
    await adapter(http).send(delivery(where=DIRECT))
    assert "thread_ts" not in msgspec.json.decode(http.posted[1][1])


@pytest.mark.parametrize(
    ("error", "mend"),
    [
        ("invalid_auth", "bot_token"),
        ("token_expired", "rotation"),
        ("token_revoked", "install"),
        ("account_inactive", "removed"),
        ("not_in_channel", "/invite"),
        ("channel_not_found", "/invite"),
        ("is_archived", "unarchive"),
        ("msg_too_long", "longer"),
        ("something_new", "something_new"),
    ],
)
async def test_refusals_are_for_good_and_say_what_to_do(error: str, mend: str) -> None:
    with pytest.raises(ActionFailed, match=mend) as caught:
        await adapter(answering({"ok": False, "error": error})).send(delivery())
    assert caught.value.code == error and "xoxb-1" not in str(caught.value)


async def test_a_missing_scope_is_named() -> None:
    with pytest.raises(ActionFailed, match="add the scope files:write"):
        await adapter(answering({"ok": False, "error": "missing_scope", "needed": "files:write"})).send(delivery())


async def test_too_fast_waits_as_long_as_told() -> None:
    for http in (
        answering({"ok": False, "error": "ratelimited"}, 429, 30.0),
        answering({"ok": False, "error": "ratelimited"}, 200, 30.0),
    ):
        with pytest.raises(NetworkError) as caught:
            await adapter(http).send(delivery())
        assert (caught.value.retry_after, caught.value.sent_maybe) == (30.0, False)


@pytest.mark.parametrize(
    "http", [FakeHttp(503), FakeHttp(200, b"<html>"), answering({"ok": False, "error": "internal_error"})]
)
async def test_no_right_answer_may_mean_that_it_was_sent(http: FakeHttp) -> None:
    with pytest.raises(NetworkError) as caught:
        await adapter(http).send(delivery())
    assert caught.value.sent_maybe


# ------------------------------------------------------------ with a server


@asynccontextmanager
async def server(**section: Any) -> AsyncIterator[tuple[Simulated, Adapter]]:
    """The simulated server and an adapter on it."""
    simulated = Simulated(quiet=0.01)
    await simulated.start()
    fetcher = Fetcher(MediaConfig(allow_hosts=(simulated.base.removeprefix("http://"),)))
    try:
        config = convert(simulated.section() | section, Adapter.Config, environ={})
        yield simulated, Adapter("slack", config, fetcher, FakeClock())
    finally:
        await fetcher.close()
        await simulated.stop()


def asked(simulated: Simulated, slack: Adapter, words: str = "x", channel: str = "Cg1", **more: Any) -> MessageEvent:
    """What the adapter makes of a message of u1's."""
    event = {**simulated.message(words, more.pop("files", []), "u1", channel), **more}
    body = json.dumps(simulated.callback(event)).encode()
    headers = {name.lower(): value for name, value in simulated.headers(body).items()}
    request = Request("POST", "/", {}, headers, body, float(headers["x-slack-request-timestamp"]))
    (found,) = slack.receive(request).events
    assert isinstance(found, MessageEvent)
    return found


async def test_the_doctor_asks_slack() -> None:
    async with server() as (simulated, slack):
        assert await slack.check() == "@kantu in 测试, token valid, scopes complete"
        simulated.scopes = "chat:write,im:history"
        with pytest.raises(ConfigError, match="app_mentions:read, files:read"):
            await slack.check()
        simulated.denied = "account_inactive"
        with pytest.raises(ActionFailed, match="removed from the workspace"):
            await slack.check()
    async with server(bot_user_id="U0OTHER") as (simulated, slack):
        with pytest.raises(ConfigError, match="U0KANTU001"):
            await slack.check()


async def test_a_file_is_uploaded_into_the_thread() -> None:
    async with server() as (simulated, slack):
        file = File("报告.md", "text/markdown", "# 一".encode())
        sent = await slack.send(Delivery("k", CHANNEL, (), "x", file=file))
        (got,) = simulated.sent
        assert (got.kind, got.text, got.message_id) == ("file", "# 一", sent)
        assert (got.data["name"], got.data["thread_ts"]) == ("报告.md", CHANNEL.thread_id)
        simulated.faults.append(Fault("/upload/", 413))
        with pytest.raises(ActionFailed, match="413"):
            await slack.send(Delivery("k", CHANNEL, (), "x", file=file))


async def test_pictures_are_fetched_with_the_token_from_slack_alone() -> None:
    async with server() as (simulated, slack):
        url = simulated.file(PNG)["url_private_download"]
        assert await slack.download(Image(url)) == PNG
        for elsewhere in ("https://evil.example.com/a.png", "https://files.slack.com.evil.example.com/a.png"):
            with pytest.raises(FetchFailed):
                await slack.download(Image(elsewhere))
        assert not simulated.refused


async def test_a_file_that_was_only_named_is_completed() -> None:
    async with server() as (simulated, slack):
        simulated.hidden.add("*")
        files = [simulated.file(PNG), simulated.file(b"%PDF", "application/pdf")]
        event = await slack.complete(asked(simulated, slack, "看", files=files))
        (image,) = event.message.images
        assert image.mime_type == "image/png" and await slack.download(image) == PNG
        assert await slack.download(Image(f"file:{files[0]['id']}")) == PNG
        with pytest.raises(FetchFailed, match="不是图片"):
            await slack.download(Image(f"file:{files[1]['id']}"))
        with pytest.raises(FetchFailed, match="删除"):
            await slack.download(Image("file:F0GONE"))
        simulated.faults.append(Fault("files.info", 500))
        with pytest.raises(FetchFailed) as caught:
            await slack.download(Image("file:F1"))
        assert caught.value.retry


async def test_a_question_in_a_thread_knows_what_it_is_about() -> None:
    async with server() as (simulated, slack):
        parent = simulated.message("看这个", [simulated.file(PNG)], "u2", "Cg1")
        event = asked(simulated, slack, "是什么", thread_ts=parent["ts"])
        quote = (await slack.complete(event)).message.parts[0]
        assert isinstance(quote, Quote) and quote.message.text == "看这个" and len(quote.message.images) == 1
        for known in (
            simulated.message(f"<@{simulated.bot_user}> x", [], "u2", "Cg1"),
            simulated.message("我的", [], simulated.bot_user, "Cg1"),
        ):
            event = asked(simulated, slack, "是什么", thread_ts=known["ts"])
            assert (await slack.complete(event)).message.text == "是什么"
            assert not any(isinstance(part, Quote) for part in (await slack.complete(event)).message.parts)
        event = asked(simulated, slack, "是什么", thread_ts="1.000001")
        assert await slack.complete(event) == event  # it cannot be had: the question can be answered without
        simulated.faults.append(Fault("conversations.replies", 500))
        with pytest.raises(FetchFailed):
            await slack.complete(event)
        simulated.faults.append(Fault("conversations.replies", data={"ok": True, "messages": [{"text": 7}]}))
        assert await slack.complete(event) == event


async def test_a_status_is_shown_in_threads_only() -> None:
    async with server() as (simulated, slack):
        await slack.typing(asked(simulated, slack))
        await slack.typing(asked(simulated, slack, channel="Du1"))
        assert simulated.statuses == ["正在看图…"]


# ------------------------------------------------------------ the growing answer


async def surface_of(simulated: Simulated, slack: Adapter, channel: str = "Cg1") -> tuple[Surface, Conversation]:
    event = asked(simulated, slack, channel=channel)
    surface = slack.surface(event)
    assert isinstance(surface, GrowingMessage if channel.startswith("D") else Stream)
    return surface, event.conversation


async def test_a_stream_grows_by_what_is_new() -> None:
    async with server() as (simulated, slack):
        surface, where = await surface_of(simulated, slack)
        await surface.open("正在看图…")
        for text in ("一只", "一只猫，\n\n它", "一只猫，\n\n它在 睡觉"):
            await surface.update(text)
        await surface.update("一只猫，\n\n它在 睡觉")
        (sent,) = simulated.sent
        assert not sent.final
        assert await surface.close(delivery("一只猫，\n\n它在 睡觉。", where)) == sent.message_id
        assert sent.shown == ["", "一", "一只猫", "一只猫，\n\n它在 睡", "一只猫，\n\n它在 睡觉。"]
        assert sent.data["recipient_user_id"] == "u1" and sent.data["recipient_team_id"] == simulated.team
        assert not simulated.refused and simulated.calls["/chat.update"] == 0


async def test_a_text_that_does_not_go_on_waits_for_the_end() -> None:
    async with server() as (simulated, slack):
        surface, where = await surface_of(simulated, slack)
        await surface.open("正在看图…")
        await surface.update("一只猫在")
        await surface.update("完全不同的说法")
        assert await surface.close(delivery("**完全**不同", where)) == simulated.sent[0].message_id
        assert simulated.sent[0].shown == ["", "一只猫", "完全不同"]


async def test_a_short_answer_comes_with_the_end_of_the_stream() -> None:
    async with server() as (simulated, slack):
        surface, where = await surface_of(simulated, slack)
        await surface.open("好")
        await surface.close(delivery("好", where))
        assert simulated.sent[0].text == "好"
        await surface.close(delivery("好", where))
        assert len(simulated.sent) == 1 and simulated.sent[0].text == "好"


async def test_a_stream_that_slack_has_ended_is_rewritten() -> None:
    async with server() as (simulated, slack):
        surface, where = await surface_of(simulated, slack)
        await surface.open("一只")
        await surface.update("一只猫")
        simulated.end_streams()
        with pytest.raises(ActionFailed):
            await surface.update("一只猫在")
        await surface.close(delivery("一只猫在睡觉", where))
        assert simulated.sent[0].text == "一只猫在睡觉"


async def test_what_may_have_been_added_is_not_added_again() -> None:
    async with server() as (simulated, slack):
        surface, where = await surface_of(simulated, slack)
        await surface.open("一只")
        simulated.faults.append(Fault("appendStream", 429, headers={"Retry-After": "1"}))
        with pytest.raises(NetworkError):
            await surface.update("一只猫")
        await surface.update("一只猫")
        simulated.faults.append(Fault("appendStream", 502))
        with pytest.raises(NetworkError):
            await surface.update("一只猫在睡")
        await surface.update("一只猫在睡觉")
        await surface.close(delivery("一只猫在睡觉", where))
        assert simulated.sent[0].shown == ["", "一只", "一只猫在睡觉"]


async def test_without_streams_a_message_is_edited() -> None:
    async with server() as (simulated, slack):
        simulated.streams = False
        surface, where = await surface_of(simulated, slack)
        await surface.open("正在看图…")
        await surface.update("一只")
        assert await surface.close(delivery("一只**猫**", where)) == simulated.sent[0].message_id
        assert simulated.sent[0].shown == ["正在看图…", "一只", "一只猫"]


async def test_in_private_a_message_is_edited() -> None:
    async with server() as (simulated, slack):
        surface, where = await surface_of(simulated, slack, "Du1")
        await surface.open("一只")
        await surface.update("一只猫")
        await surface.close(delivery("一只猫。", where))
        assert simulated.sent[0].shown == ["一只", "一只猫", "一只猫。"] and not simulated.refused


@pytest.mark.parametrize("text", ["猫" * 1334, "<" * 1001])
async def test_what_no_edit_can_hold_is_sent_anew(text: str) -> None:
    async with server() as (simulated, slack):
        surface, where = await surface_of(simulated, slack, "Du1")
        await surface.open("一只")
        await surface.update("猫" * 1333)
        await surface.update(text)
        assert [sent.text for sent in simulated.sent] == ["猫" * 1333]
        with pytest.raises(ActionFailed):
            await surface.close(delivery(text, where))
        assert not simulated.sent and not simulated.refused


async def test_a_stream_that_no_edit_can_mend_is_sent_anew() -> None:
    async with server() as (simulated, slack):
        surface, where = await surface_of(simulated, slack)
        await surface.open("正在看图…")
        await surface.update("一只猫在")
        with pytest.raises(ActionFailed):
            await surface.close(delivery("狗" * 1334, where))
        assert not simulated.sent and not simulated.refused


@pytest.mark.parametrize("channel", ["Cg1", "Du1"])
async def test_what_is_abandoned_is_taken_away(channel: str) -> None:
    async with server() as (simulated, slack):
        surface, _ = await surface_of(simulated, slack, channel)
        await surface.abandon()
        await surface.open("一只")
        await surface.update("一只猫")
        await surface.abandon()
        assert not simulated.sent and not simulated.refused


async def test_a_call_that_nobody_waits_for_any_more_is_not_lost() -> None:
    async with server() as (simulated, slack):
        surface, where = await surface_of(simulated, slack)
        opening = asyncio.create_task(surface.open("一只"))
        await simulated.until(lambda: simulated.calls["/chat.startStream"] > 0)
        opening.cancel()
        await asyncio.gather(opening, return_exceptions=True)
        await surface.close(delivery("一只猫", where))
        assert [sent.text for sent in simulated.sent] == ["一只猫"]


async def test_a_start_without_an_answer_ends_as_a_message() -> None:
    async with server() as (simulated, slack):
        surface, where = await surface_of(simulated, slack)
        simulated.faults.append(Fault("startStream", 503))
        with pytest.raises(NetworkError):
            await surface.open("一只")
        await surface.close(delivery("一只猫", where))
        assert [sent.text for sent in simulated.sent] == ["一只猫"]


# ------------------------------------------------------------ the whole path


async def test_a_picture_is_answered(tmp_path: Path) -> None:
    async with bot_on(Simulated(), tmp_path, answer="一只**猫**。") as simulated:
        await simulated.say("图里是什么", [PNG])
        await simulated.until(lambda: [sent.text for sent in simulated.sent] == ["一只猫。"])
        assert simulated.sent[0].chat == "u1" and not simulated.refused


async def test_in_a_channel_the_answer_is_in_the_thread(tmp_path: Path) -> None:
    async with bot_on(Simulated(), tmp_path, answer="一只猫。") as simulated:
        asked_at = await simulated.say("图里是什么", [PNG], group="g1")
        await simulated.until(lambda: [sent.text for sent in simulated.sent] == ["一只猫。"])
        (got,) = simulated.sent
        assert (got.chat, got.data["thread_ts"]) == ("g1", asked_at) and not simulated.refused


async def test_the_address_is_verified(tmp_path: Path) -> None:
    async with bot_on(Simulated(), tmp_path) as simulated:
        assert await simulated.verify_url() == (200, b'{"challenge":"3eZbrw1a"}')
