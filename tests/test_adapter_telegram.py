"""The Telegram adapter: configuration, what it sends, refusals, and the whole path on the simulated platform."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
import vectors_telegram
from fakes import FakeClock, FakeHttp
from hypothesis import given, settings
from hypothesis import strategies as st
from pictures import drawing, encoded
from simulation import bot_on

from adapters.simulated.platform import Fault
from adapters.simulated.telegram import LONGEST, Markup, Refusal, Simulated, units
from adapters.telegram import Adapter
from adapters.telegram.markup import to_html
from bot.config import MediaConfig, convert
from bot.errors import ActionFailed, BadPicture, ConfigError, FetchFailed, NetworkError, Rejected
from bot.event import Conversation, Delivery, File
from bot.fetch import Fetcher
from bot.markdown import degrade
from bot.message import Image, Text

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
import platform_vectors

patient = settings(deadline=None)
SECTION: dict[str, Any] = {
    "secret_token": "s" * 32,
    "bot_token": "42:abc",
    "bot_username": "kantu_bot",
}
PRIVATE = Conversation("telegram", "default", "5001")
GROUP = Conversation("telegram", "default", "-100500", "group", "7")
PNG = encoded(drawing())


def adapter(http: Any = None, **section: Any) -> Adapter:
    config = convert(SECTION | section, Adapter.Config, environ={}, where="adapters.telegram")
    return Adapter("telegram", config, http or FakeHttp(), FakeClock())


def answering(data: Any, status: int = 200, retry_after: float | None = None) -> FakeHttp:
    http = FakeHttp(status, msgspec.json.encode(data))
    http.retry_after = retry_after
    return http


def refusing(code: int, description: str, **parameters: Any) -> FakeHttp:
    data = {"ok": False, "error_code": code, "description": description, "parameters": parameters}
    return answering(data, code)


def delivery(text: str = "好的", where: Conversation = PRIVATE, **fields: Any) -> Delivery:
    return Delivery("msg_1_0", where, (Text(text),), **fields)


def sent_to(http: FakeHttp) -> list[tuple[str, dict[str, Any]]]:
    return [(url.rpartition("/")[2], msgspec.json.decode(body)) for url, body, _ in http.posted]


# ------------------------------------------------------------ configuration


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("secret_token", ""),
        ("bot_token", ""),
        ("bot_username", ""),
        ("bot_username", "@"),
        ("bot_token", "without a number"),
        ("bot_id", "٤٢"),
        ("api_base", "ftp://x"),
        ("api_base", "https://[x"),
        ("max_age", 0),
    ],
)
def test_what_is_missing_or_wrong_is_named(key: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=rf"adapters\.telegram\.({key}|bot_id)"):
        adapter(**{key: value})


def test_weak_configurations_are_told() -> None:
    assert adapter().warnings() == ()
    assert "太短" in adapter(secret_token="short").warnings()[0]
    assert "setWebhook" in adapter(secret_token="密钥" * 20).warnings()[0]
    assert "明文" in adapter(api_base="http://127.0.0.1:8081").warnings()[0]


# ------------------------------------------------------------ receiving


def test_vectors() -> None:
    results = list(platform_vectors.run_file(vectors_telegram.vectors()))
    assert len(results) > 80
    assert [line for case, record in results for line in platform_vectors.mismatches(case, record)] == []


@pytest.mark.parametrize("secret", [f" {'s' * 32}", f"{'s' * 32}\0", "\udce5\udcaf", "s" * 32 + "\n"])
def test_secrets_that_no_honest_client_sends(secret: str) -> None:
    headers = {"x-telegram-bot-api-secret-token": secret}
    with pytest.raises(Rejected) as caught:
        adapter().receive(platform_vectors.Request("POST", "/", {}, headers, b"{}", 0.0))
    assert caught.value.reason == "bad_signature"


def test_the_size_is_judged_first() -> None:
    headers = {"x-telegram-bot-api-secret-token": "s" * 32}
    body = b'{"update_id":1}'.ljust(1 << 20)
    request = platform_vectors.Request("POST", "/", {}, headers, body, 0.0)
    assert adapter().receive(request).ignored == "event"
    with pytest.raises(Rejected) as caught:
        adapter().receive(platform_vectors.Request("POST", "/", {}, {}, body + b" ", 0.0))
    assert (caught.value.reason, caught.value.status) == ("too_large", 413)


# ------------------------------------------------------------ sending


@pytest.mark.parametrize(
    ("markdown", "html"),
    [
        ("**粗** a < b & c", "<b>粗</b> a &lt; b &amp; c"),
        ("`x < 1` 和 **`y`**", "<code>x &lt; 1</code> 和 <b><code>y</code></b>"),
        ('[文档](https://e.com/?a=1&b="2)', '<a href="https://e.com/?a=1&amp;b=&quot;2">文档</a>'),
        ("[坏](javascript:alert)", "[坏](javascript:alert)"),
        ("```python\na < b\n```\n后", '<pre><code class="language-python">a &lt; b</code></pre>\n后'),
        ("```\n没有关上", "```\n没有关上"),
        ("~~~\nx\n~~~", "<pre>x</pre>"),
        ("> 一\n> **二**\n三", "<blockquote>一\n<b>二</b></blockquote>\n三"),
        ("2 ** 3 ** 4", "2 ** 3 ** 4"),
        ("<b>不是标签</b>", "&lt;b&gt;不是标签&lt;/b&gt;"),
    ],
)
def test_markdown_becomes_html(markdown: str, html: str) -> None:
    assert to_html(markdown) == html


@patient
@given(st.text(alphabet='ab`*[]()<>&"~>\n #:/|-.htps', max_size=80))
def test_html_is_well_formed_and_never_longer_than_the_text(text: str) -> None:
    shown = Markup(to_html(degrade(text, adapter().limits.markdown))).text
    assert units(shown) <= units(degrade(text, adapter().limits.markdown))


async def test_a_text_goes_to_its_chat_and_topic() -> None:
    http = answering({"ok": True, "result": {"message_id": 9}})
    assert await adapter(http).send(delivery("**好**", GROUP, reply_to="5", quote=True)) == "9"
    assert sent_to(http) == [
        (
            "sendMessage",
            {
                "chat_id": -100500,
                "message_thread_id": 7,
                "reply_parameters": {"message_id": 5, "allow_sending_without_reply": True},
                "text": "<b>好</b>",
                "parse_mode": "HTML",
                "link_preview_options": {"is_disabled": True},
            },
        )
    ]
    assert http.posted[0][0] == "https://api.telegram.org/bot42:abc/sendMessage"


async def test_without_a_question_nothing_is_replied_to() -> None:
    http = answering({"ok": True, "result": {"message_id": 9}})
    await adapter(http).send(delivery())
    await adapter(http).send(delivery(reply_to="5"))
    assert [("reply_parameters" in body) for _, body in sent_to(http)] == [False, False]


async def test_a_file_is_a_document() -> None:
    http = answering({"ok": True, "result": {"message_id": 9}})
    file = File("报告.md", "text/markdown", b"# 1")
    assert await adapter(http).send(Delivery("k", GROUP, (), "5", quote=True, file=file)) == "9"
    url, body, headers = http.posted[0]
    assert url.endswith("/sendDocument") and headers["content-type"].startswith("multipart/form-data; boundary=")
    for part in (
        b'name="chat_id"\r\n\r\n-100500\r\n',
        b'name="message_thread_id"\r\n\r\n7\r\n',
        b"# 1",
        "报告.md".encode(),
    ):
        assert part in body
    assert b'name="reply_parameters"\r\n\r\n{"message_id":5' in body


@pytest.mark.parametrize(
    ("code", "description", "mend"),
    [
        (401, "Unauthorized", "@BotFather"),
        (404, "Not Found", "@BotFather"),
        (403, "Forbidden: bot was blocked by the user", "blocked"),
        (403, "Forbidden: bot was kicked from the supergroup chat", "removed"),
        (400, "Bad Request: message is too long", "4096"),
        (400, "Bad Request: chat not found", "started the bot"),
        (400, "Bad Request: not enough rights to send text messages to the chat", "right to send"),
        (400, "Bad Request: something new", "something new"),
    ],
)
async def test_refusals_are_for_good_and_say_what_to_do(code: int, description: str, mend: str) -> None:
    with pytest.raises(ActionFailed, match=mend) as caught:
        await adapter(refusing(code, description)).send(delivery())
    assert caught.value.code == str(code)
    assert "42:abc" not in str(caught.value)


async def test_too_fast_waits_as_long_as_told() -> None:
    with pytest.raises(NetworkError) as caught:
        await adapter(refusing(429, "Too Many Requests: retry after 17", retry_after=17)).send(delivery())
    assert (caught.value.retry_after, caught.value.sent_maybe) == (17.0, False)
    with pytest.raises(NetworkError) as caught:
        await adapter(answering({"ok": False, "error_code": 429}, 429, 4.0)).send(delivery())
    assert caught.value.retry_after == 4.0


@pytest.mark.parametrize("http", [FakeHttp(502, b"<html>"), FakeHttp(200, b"half"), refusing(500, "Internal")])
async def test_no_right_answer_may_mean_that_it_was_sent(http: FakeHttp) -> None:
    with pytest.raises(NetworkError) as caught:
        await adapter(http).send(delivery())
    assert caught.value.sent_maybe


# ------------------------------------------------------------ with a server


@asynccontextmanager
async def server(**section: Any) -> AsyncIterator[tuple[Simulated, Adapter]]:
    """The simulated server and an adapter on it; the user u1 and the group g1 are known."""
    simulated = Simulated(quiet=0.01)
    await simulated.start()
    fetcher = Fetcher(MediaConfig())
    try:
        config = convert(simulated.section() | section, Adapter.Config, environ={})
        simulated.webhook = "https://bot.example.com/webhook/telegram"
        yield simulated, Adapter("telegram", config, fetcher, FakeClock())
    finally:
        await fetcher.close()
        await simulated.stop()


def private(simulated: Simulated) -> Conversation:
    return Conversation("telegram", "default", str(simulated.number_of("u1")))


def group(simulated: Simulated) -> Conversation:
    return Conversation("telegram", "default", str(simulated.number_of("g1", group=True)), "group")


async def test_the_doctor_asks_telegram() -> None:
    async with server() as (simulated, telegram):
        assert await telegram.check() == "@kantu_bot, webhook at bot.example.com, 0 waiting"
        simulated.last_error = "Wrong response from the webhook: 502 Bad Gateway"
        assert (await telegram.check()).endswith(
            "last delivery error: Wrong response from the webhook: 502 Bad Gateway"
        )
        simulated.webhook = ""
        with pytest.raises(ConfigError, match="setWebhook"):
            await telegram.check()
        simulated.faults.append(Fault("getWebhookInfo", data=_info(["channel_post"])))
        with pytest.raises(ConfigError, match="allowed_updates"):
            await telegram.check()


def _info(allowed: list[str]) -> dict[str, Any]:
    return {"ok": True, "result": {"url": "https://bot.example.com/", "allowed_updates": allowed}}


@pytest.mark.parametrize(("key", "value"), [("bot_id", "1"), ("bot_username", "other_bot")])
async def test_the_doctor_sees_another_bots_token(key: str, value: str) -> None:
    async with server(**{key: value}) as (_, telegram):
        with pytest.raises(ConfigError, match=key):
            await telegram.check()


async def test_the_doctor_sees_a_wrong_token() -> None:
    async with server(bot_token="700100200:wrong") as (_, telegram):
        with pytest.raises(ActionFailed, match="@BotFather"):
            await telegram.check()


async def test_a_reply_to_a_deleted_message_goes_out_all_the_same() -> None:
    async with server() as (simulated, telegram):
        await telegram.send(delivery(where=private(simulated), reply_to="1", quote=True))
        assert [sent.text for sent in simulated.sent] == ["好的"] and not simulated.refused


async def test_an_older_server_is_asked_again_without_the_reply() -> None:
    async with server() as (simulated, telegram):
        fault = {"ok": False, "error_code": 400, "description": "Bad Request: message to be replied not found"}
        simulated.faults.append(Fault("sendMessage", 400, fault))
        await telegram.send(delivery(where=private(simulated), reply_to="1", quote=True))
        assert "reply_parameters" not in simulated.sent[0].data


async def test_what_cannot_be_parsed_goes_out_plain() -> None:
    async with server() as (simulated, telegram):
        fault = {"ok": False, "error_code": 400, "description": "Bad Request: can't parse entities: unsupported"}
        simulated.faults.append(Fault("sendMessage", 400, fault))
        await telegram.send(delivery("**a** < b", private(simulated)))
        assert simulated.sent[0].text == "**a** < b"


async def test_a_group_that_moved_is_followed() -> None:
    async with server() as (simulated, telegram):
        moved = {
            "ok": False,
            "error_code": 400,
            "description": "Bad Request: group chat was upgraded to a supergroup chat",
            "parameters": {"migrate_to_chat_id": simulated.number_of("g1", group=True)},
        }
        simulated.faults.append(Fault("sendMessage", 400, moved))
        await telegram.send(delivery(where=Conversation("telegram", "default", "-5", "group")))
        assert simulated.sent[0].chat == "g1"


async def test_who_blocked_the_bot_gets_nothing() -> None:
    async with server() as (simulated, telegram):
        simulated.blocked = {"u1", "g1"}
        for where in (private(simulated), group(simulated)):
            with pytest.raises(ActionFailed) as caught:
                await telegram.send(delivery(where=where))
            assert caught.value.code == "403"


async def test_the_longest_text_fits() -> None:
    async with server() as (simulated, telegram):
        await telegram.send(delivery("😀" * (LONGEST // 2), private(simulated)))
        with pytest.raises(ActionFailed, match="too long"):
            await telegram.send(delivery("x" * (LONGEST + 1), private(simulated)))


async def test_pictures_are_fetched_by_id() -> None:
    async with server() as (simulated, telegram):
        file_id = simulated.photo(PNG)[0]["file_id"]
        assert await telegram.download(Image(file_id)) == PNG
        simulated.faults.append(Fault("/file/", 503))
        with pytest.raises(FetchFailed) as caught:
            await telegram.download(Image(file_id))
        assert caught.value.retry
        simulated.faults.append(Fault("getFile", 500))
        with pytest.raises(FetchFailed) as caught:
            await telegram.download(Image(file_id))
        assert caught.value.retry
        simulated.faults.append(Fault("/file/", 404))
        with pytest.raises(FetchFailed) as caught:
            await telegram.download(Image(file_id))
        assert not caught.value.retry and simulated.token not in str(caught.value)
        simulated.gone.add(file_id)
        with pytest.raises(FetchFailed, match="过期"):
            await telegram.download(Image(file_id))
        big = simulated.photo(bytes((20 << 20) + 1))[0]["file_id"]
        with pytest.raises(BadPicture, match="20 MB"):
            await telegram.download(Image(big))


async def test_a_file_without_a_path_is_gone() -> None:
    with pytest.raises(FetchFailed):
        await adapter(answering({"ok": True, "result": {"file_id": "x"}})).download(Image("x"))
    with pytest.raises(FetchFailed):
        await adapter(answering({"ok": True, "result": True})).download(Image("x"))


# ------------------------------------------------------------ the growing answer


def event_in(telegram: Adapter, simulated: Simulated, name: str = "") -> Any:
    message = simulated.message({"text": f"@{simulated.username}"}, group=name)
    request = platform_vectors.Request(
        "POST",
        "/",
        {},
        {name.lower(): value for name, value in simulated.headers().items()},
        simulated.update({"message": message}),
        float(message["date"]),
    )
    return telegram.receive(request).events[0]


async def test_in_private_a_draft_grows_and_a_message_ends_it() -> None:
    async with server() as (simulated, telegram):
        event = event_in(telegram, simulated)
        surface = telegram.surface(event)
        await surface.open("正在看图…")
        await surface.update("一只")
        assert not simulated.sent[0].final
        assert await surface.close(delivery("一只**猫**", event.conversation)) == simulated.sent[0].message_id
        assert simulated.sent[0].shown == ["正在看图…", "一只", "一只猫"] and simulated.sent[0].final
        assert len(simulated.sent) == 1 and not simulated.refused
        await surface.abandon()


async def test_where_drafts_are_unknown_a_message_is_edited() -> None:
    async with server() as (simulated, telegram):
        simulated.drafts = False
        event = event_in(telegram, simulated)
        surface = telegram.surface(event)
        await surface.open("一")
        await surface.update("一只")
        assert await surface.close(delivery("一只猫", event.conversation)) == simulated.sent[0].message_id
        assert simulated.sent[0].shown == ["一", "一只", "一只猫"]
        surface = telegram.surface(event)
        await surface.open("二")
        await surface.abandon()
        assert len(simulated.sent) == 1


async def test_a_draft_may_be_refused_for_other_reasons() -> None:
    async with server() as (simulated, telegram):
        event = event_in(telegram, simulated)
        simulated.blocked.add("u1")
        with pytest.raises(ActionFailed, match="blocked"):
            await telegram.surface(event).open("一")


async def test_in_a_group_a_message_is_edited() -> None:
    async with server() as (simulated, telegram):
        event = event_in(telegram, simulated, "g1")
        surface = telegram.surface(event)
        await surface.open("一只")
        await surface.update("一只猫")
        await surface.update("一只猫")
        shown = await surface.close(delivery("一只猫", event.conversation))
        assert shown == await surface.close(delivery("一只猫", event.conversation)) == simulated.sent[0].message_id
        assert simulated.sent[0].shown == ["一只", "一只猫"] and not simulated.refused
        assert simulated.sent[0].data["reply_parameters"]["message_id"] == int(event.message_id)


async def test_a_message_that_was_deleted_cannot_be_finished() -> None:
    async with server() as (simulated, telegram):
        event = event_in(telegram, simulated, "g1")
        surface = telegram.surface(event)
        await surface.open("一只")
        await surface.abandon()
        with pytest.raises(ActionFailed, match="not found"):
            await surface.close(delivery("一只猫", event.conversation))


async def test_a_message_that_never_opened_is_sent_at_the_end() -> None:
    async with server() as (simulated, telegram):
        event = event_in(telegram, simulated, "g1")
        surface = telegram.surface(event)
        await surface.abandon()
        assert await surface.close(delivery("一只猫", event.conversation)) == simulated.sent[0].message_id


async def test_a_call_that_nobody_waits_for_any_more_is_not_lost() -> None:
    async with server() as (simulated, telegram):
        event = event_in(telegram, simulated, "g1")
        surface = telegram.surface(event)
        opening = asyncio.create_task(surface.open("一只"))
        await simulated.until(lambda: simulated.calls["/sendMessage"] > 0 or bool(simulated.sent))
        opening.cancel()
        await asyncio.gather(opening, return_exceptions=True)
        await surface.close(delivery("一只猫", event.conversation))
        assert [sent.text for sent in simulated.sent] == ["一只猫"]


async def test_groups_have_their_own_pace() -> None:
    telegram = adapter()
    assert telegram.limits_for(PRIVATE).live_interval < telegram.limits_for(GROUP).live_interval
    assert [(rate.count, rate.seconds) for rate in telegram.limits_for(GROUP).chat_rates] == [(1, 1.0), (20, 60.0)]


# ------------------------------------------------------------ the whole path


async def test_a_picture_is_answered(tmp_path: Path) -> None:
    async with bot_on(Simulated(), tmp_path, answer="一只**猫**。") as simulated:
        await simulated.say("图里是什么", [PNG])
        (got,) = await simulated.answers(1)
        assert (got.chat, got.text) == ("u1", "一只猫。")
        assert ("u1", "typing") in simulated.actions
        assert not simulated.refused


async def test_an_album_is_one_question(tmp_path: Path) -> None:
    async with bot_on(Simulated(), tmp_path, answer="两张图。") as simulated:
        await simulated.say("有什么不同", [PNG, encoded(drawing(32, 32))])
        (got,) = await simulated.answers(1)
        assert got.text.startswith("两张图。") and simulated.calls["/getFile"] == 2


async def test_in_a_group_the_question_is_replied_to(tmp_path: Path) -> None:
    async with bot_on(Simulated(), tmp_path, answer="一只猫。") as simulated:
        question = await simulated.say("图里是什么", [PNG], group="g1")
        await simulated.until(lambda: [sent.text for sent in simulated.sent] == ["一只猫。"])
        (got,) = simulated.sent
        assert got.chat == "g1" and not simulated.refused
        reply = got.data.get("reply_parameters")
        assert reply is None or reply["message_id"] == int(question)


def test_the_markup_of_the_simulation_is_strict() -> None:
    for broken in ("<b>x", "x</b>", "<b><code>x</b></code>", "<script>x</script>"):
        with pytest.raises(ValueError, match="tag"):
            Markup(broken)
    assert Refusal(429, "x", retry_after=3).parameters == {"retry_after": 3}
