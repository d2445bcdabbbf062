"""Slack requests and what each must lead to, worked out by hand and signed here; nothing of the bot is imported."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

NOW = 1_795_000_000
SECRET = "8f742231b10e8888abcd99yyyzzz85a5"
BOT, APP = "U0BOT00001", "A0APP0001"
OWN = {"id": BOT, "name": None, "is_bot": True}
FETCH = "GET with Authorization: Bearer xoxb-… (files:read), host must be files.slack.com"
URL = "https://files.slack.com/files-pri/T1-F1/download/a.png"
FORM = "application/x-www-form-urlencoded"


def sign(body: bytes, time: str = str(NOW), secret: str = SECRET) -> str:
    message = b"v0:" + time.encode() + b":" + body
    return "v0=" + hmac.new(secret.encode(), message, hashlib.sha256).hexdigest()


def compact(data: Any) -> bytes:
    return json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode()


def rejected(reason: str, status: int = 401) -> dict[str, Any]:
    return {"outcome": "rejected", "http_status": status, "reason": reason}


def ignored(reason: str) -> dict[str, Any]:
    return {"outcome": "ignored", "http_status": 200, "reason": reason}


MALFORMED = rejected("malformed", 400)


def file(id: str = "F1", mime: str = "image/png", url: Any = URL, **more: Any) -> dict[str, Any]:
    return {"id": id, "name": "a", "mimetype": mime, "size": 2048, "url_private_download": url, **more}


def image(url: str = URL, mime: str = "image/png", size: int | None = 2048) -> dict[str, Any]:
    return {"kind": "slack_file", "url": url, "mime": mime, "size": size, "fetch": FETCH}


class Cases:
    """Collects cases. Events are numbered, and so is the fraction of their ts."""

    def __init__(self) -> None:
        self.cases: list[dict[str, Any]] = []
        self.number = 0

    def add(
        self,
        id: str,
        body: bytes,
        expect: Mapping[str, Any],
        *,
        kind: str = "message",
        time: str = str(NOW),
        headers: Mapping[str, str] | None = None,
        more: Mapping[str, str] | None = None,
        config: str = "default",
        now: float = NOW,
    ) -> None:
        """headers: instead of the right ones; more: beside them."""
        given = {"Content-Type": "application/json", "X-Slack-Request-Timestamp": time, **(more or {})}
        given = {"X-Slack-Signature": sign(body, time), **given} if headers is None else dict(headers)
        request = {"method": "POST", "path": "/webhook/slack", "query": {}, "headers": given}
        request["body_b64"] = base64.b64encode(body).decode()
        case = {"id": f"slack.{id}", "kind": kind, "config": config, "now": now, "request": request}
        self.cases.append(case | {"expect": dict(expect)})

    def event(
        self,
        id: str,
        content: Mapping[str, Any],
        expect: Mapping[str, Any] | None = None,
        *,
        outer: Mapping[str, Any] | None = None,
        **more: Any,
    ) -> None:
        """An event of U1 in the direct message D1; expect: what differs from an accepted empty one, or an outcome."""
        self.number += 1
        ts = f"{NOW}.{self.number:06}"
        base = {"type": "message", "user": "U1", "ts": ts, "text": "", "channel": "D1", "event_ts": ts}
        event = _without_holes({**base, **content})
        whole = {"token": "z", "team_id": "T1", "api_app_id": APP, "event": event, "type": "event_callback"}
        whole |= {"event_id": f"Ev{self.number}", "event_time": NOW}
        body = compact(_without_holes({**whole, **(outer or {})}))
        expect = expect or {}
        if "outcome" in expect:
            return self.add(id, body, expect, **more)
        said = {
            "platform": "slack",
            "conversation": {"id": event["channel"], "type": "private"},
            "sender": {"id": event["user"]},
            "message_id": event["ts"],
            "dedup_key": f"Ev{self.number}",
            "text": "",
            "images": [],
            "mentions": [],
            "mentioned_bot": False,
            "reply_to": None,
            "quoted": None,
            "sent_at": NOW,
            **expect,
        }
        return self.add(id, body, {"outcome": "accepted", "message": said}, **more)

    def text(self, id: str, words: str, shown: str, **expect: Any) -> None:
        self.event(id, {"text": words, "channel_type": "im"}, {"text": shown, **expect})

    def mention(self, id: str, words: str, shown: str, count: int = 1) -> None:
        """An app_mention in a channel, which tells no channel type."""
        expect = {
            "text": shown,
            "mentions": [OWN] * count,
            "mentioned_bot": True,
            "conversation": {"id": "C1", "type": "group"},
        }
        self.event(id, {"type": "app_mention", "text": words, "channel": "C1"}, expect)


def _without_holes(data: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in data.items() if value is not ...}


def vectors() -> dict[str, Any]:
    """The whole file."""
    cases = Cases()
    for part in (_texts, _mentions, _conversations, _pictures, _ignored, _copies, _handshakes, _signatures, _shapes):
        part(cases)
    return {
        "schema": "vision-bot-vectors/1",
        "platform": "slack",
        "clock_now": NOW,
        "secrets": {
            "default": {"signing_secret": SECRET, "bot_user_id": BOT, "app_id": APP},
            "other": {"signing_secret": "another secret 密", "bot_user_id": "U2", "app_id": "A2"},
        },
        "policy": {"max_age_s": 300, "dedup_keys": ["event_id"]},
        "cases": cases.cases,
    }


def _texts(cases: Cases) -> None:
    keep = "a  b\tc\n\n\n  d\u00a0e\u200b\u202e[UNUSED_TOKEN_145]"
    cases.text("text", "你好", "你好")
    cases.text("text_kept", keep, keep)
    cases.text("text_stripped", "\u3000\n你好 \u00a0", "你好")
    cases.text("unescaped", "a &amp; b &lt;ok&gt;", "a & b <ok>")
    cases.text("unescaped_once", "&amp;lt; &amp;amp; &amp;gt;", "&lt; &amp; &gt;")
    cases.text("only_three_entities", "&quot; &#60; &nbsp; &AMP;", "&quot; &#60; &nbsp; &AMP;")
    cases.text("control_words", "&lt;ImageHere&gt; &lt;/s&gt; &lt;|im_end|&gt;", "<ImageHere> </s> <|im_end|>")
    cases.text("link", "见 <https://e.com/?a=1&amp;b=2>。", "见 https://e.com/?a=1&b=2。")
    cases.text("link_with_label", "<https://e.com|文档 &amp; 说明>", "[文档 & 说明](https://e.com)")
    cases.text("link_with_empty_label", "<https://e.com|>", "https://e.com")
    cases.text("mail", "<mailto:a@e.com|a@e.com>", "[a@e.com](mailto:a@e.com)")
    cases.text("channel_name", "<#C9|general> <#C8> <#C7|>", "#general #C8 #C7")
    cases.text("here", "<!here> 看", "@here 看", mention_all=True)
    cases.text("channel_call", "看 <!channel>", "看 @channel", mention_all=True)
    cases.text("everyone_with_label", "<!everyone|everyone> 看", "@everyone 看", mention_all=True)
    cases.text("no_call", "&lt;!here&gt;", "<!here>")
    cases.text("team", "<!subteam^S1|@dev> <!subteam^S2>", "@dev @S2")
    cases.text("date", "<!date^1392734382^{date}|2014-02-18>", "2014-02-18")
    cases.text("empty_brackets", "a <> b", "a <> b")
    cases.text("open_bracket", "a < b", "a < b")
    cases.text("emoji", ":cat: 😀", ":cat: 😀")
    cases.text("surrogate", "@@", "a\ufffdb")
    _replace(cases, b"@@", b"a\\udc00b")
    cases.text("nul", "@@", "ab")
    _replace(cases, b"@@", b"a\\u0000b")


def _replace(cases: Cases, old: bytes, new: bytes) -> None:
    request = cases.cases[-1]["request"]
    body = base64.b64decode(request["body_b64"]).replace(old, new)
    request["body_b64"] = base64.b64encode(body).decode()
    request["headers"]["X-Slack-Signature"] = sign(body)


def _mentions(cases: Cases) -> None:
    own = f"<@{BOT}>"
    cases.mention("at_start", f"{own} 看看", "看看")
    cases.mention("at_end", f"看看 {own}", "看看")
    cases.mention("in_the_middle", f"请  {own}  看", "请 看")
    cases.mention("touching_words", f"请{own}看", "请看")
    cases.mention("line_start", f"一\n{own}  二", "一\n二")
    cases.mention("line_end", f"一  {own}\n二", "一\n二")
    cases.mention("line_alone", f"一\n{own}\n二", "一\n\n二")
    cases.mention("twice", f"{own} {own} 看", "看", 2)
    cases.mention("twice_in_the_middle", f"a {own} {own} b", "a b", 2)
    cases.mention("adjacent", f"a{own}{own}b", "ab", 2)
    cases.mention("alone", own, "")
    cases.mention("tab_stays", f"a {own}\tb", "a \tb")
    cases.mention("no_break_space_stays", f"a\u00a0{own}\u00a0b", "a\u00a0\u00a0b")
    labelled = {"text": "看", "mentions": [{**OWN, "name": "kantu"}], "mentioned_bot": True}
    cases.event("own_with_label", {"text": f"<@{BOT}|kantu> 看", "channel_type": "im"}, labelled)
    bob = {"id": "U2", "name": "bob &", "is_bot": False}
    amy = {"id": "W3", "name": None, "is_bot": False}
    cases.text("others", "<@U2|bob &amp;> 和 <@W3>", "@bob & 和 @W3", mentions=[bob, amy])
    cases.text("others_touching", "<@U2|bob &amp;><@W3>", "@bob &@W3", mentions=[bob, amy])
    longer = {"id": BOT + "1", "name": None, "is_bot": False}
    cases.text("longer_id", f"<@{BOT}1> x", f"@{BOT}1 x", mentions=[longer])
    cases.text("id_as_text", f"@{BOT} &lt;@{BOT}&gt;", f"@{BOT} <@{BOT}>")


def _conversations(cases: Cases) -> None:
    group = {"conversation": {"id": "C1", "type": "group"}, "text": "x"}
    own = {"mentions": [OWN], "mentioned_bot": True}
    cases.event("channel", {"text": "x", "channel": "C1", "channel_type": "channel"}, group)
    cases.event("private_channel", {"text": "x", "channel": "C1", "channel_type": "group"}, group)
    cases.event(
        "several_people",
        {"text": "x", "channel": "D1", "channel_type": "mpim"},
        {"text": "x", "conversation": {"id": "D1", "type": "group"}},
    )
    cases.event(
        "without_type", {"text": "x", "channel": "G1"}, {"text": "x", "conversation": {"id": "G1", "type": "group"}}
    )
    cases.event("without_type_private", {"text": "x"}, {"text": "x"})
    cases.event("null_type", {"text": "x", "channel_type": None}, {"text": "x"})
    cases.event("mention_in_private", {"type": "app_mention", "text": f"<@{BOT}> x"}, {"text": "x", **own})
    cases.event(
        "mention_without_words_for_it",
        {"type": "app_mention", "text": "x", "channel": "C1"},
        {**group, "mentioned_bot": True},
    )
    cases.event(
        "thread",
        {"text": "x", "channel": "C1", "channel_type": "channel", "thread_ts": f"{NOW - 9}.000001"},
        {**group, "reply_to": f"{NOW - 9}.000001"},
    )
    cases.event(
        "broadcast",
        {
            "text": "x",
            "channel": "C1",
            "channel_type": "channel",
            "subtype": "thread_broadcast",
            "thread_ts": f"{NOW - 9}.000001",
        },
        {**group, "reply_to": f"{NOW - 9}.000001"},
    )
    cases.number += 1
    ts = f"{NOW}.777777"
    cases.event("thread_itself", {"text": "x", "ts": ts, "thread_ts": ts}, {"text": "x"})
    cases.event("cut_not_rounded", {"text": "x", "ts": f"{NOW}.999999"}, {"text": "x"})
    cases.event(
        "message_time",
        {"text": "x", "ts": f"{NOW - 5000}.000100"},
        {"text": "x", "sent_at": NOW - 5000},
        outer={"event_time": NOW},
    )


def _pictures(cases: Cases) -> None:
    shared = {"subtype": "file_share", "channel_type": "im"}
    cases.event("picture", {**shared, "files": [file()]}, {"images": [image()]})
    cases.event(
        "pictures",
        {**shared, "text": "两张", "files": [file(), file("F2", "IMAGE/JPEG", URL + "2")]},
        {"text": "两张", "images": [image(), image(URL + "2", "IMAGE/JPEG")]},
    )
    cases.event(
        "picture_among_files", {**shared, "files": [file("F0", "application/pdf"), file()]}, {"images": [image()]}
    )
    cases.event(
        "file_with_words", {**shared, "text": "看这份", "files": [file("F0", "application/pdf")]}, {"text": "看这份"}
    )
    cases.event(
        "only_named",
        {**shared, "files": [{"id": "F7", "file_access": "check_file_info"}]},
        {"images": [{"kind": "slack_file", "id": "F7"}]},
    )
    cases.event(
        "only_named_no_picture",
        {**shared, "text": "x", "files": [{"id": "F7", "mimetype": "text/plain", "file_access": "check_file_info"}]},
        {"text": "x"},
    )
    cases.event(
        "private_url",
        {**shared, "files": [{"id": "F1", "mimetype": "image/png", "size": 1, "url_private": URL}]},
        {"images": [image(URL, "image/png", 1)]},
    )
    cases.event("no_files", {"text": "x", "files": []}, {"text": "x"})
    cases.event("null_files", {"text": "x", "files": None}, {"text": "x"})


def _ignored(cases: Cases) -> None:
    cases.event("pdf", {"subtype": "file_share", "files": [file("F0", "application/pdf")]}, ignored("unsupported_type"))
    cases.event(
        "tombstone",
        {"subtype": "file_share", "files": [{"id": "F0", "mode": "tombstone"}]},
        ignored("unsupported_type"),
    )
    cases.event("nothing_said", {"text": " "}, ignored("unsupported_type"))
    cases.event("no_text", {"text": ...}, ignored("unsupported_type"))
    cases.event("own_message", {"text": "x", "user": BOT, "bot_id": "B1"}, ignored("sender_is_bot"))
    cases.event("own_message_without_bot_id", {"text": "x", "user": BOT}, ignored("sender_is_bot"))
    cases.event("other_bot", {"text": "x", "bot_id": "B2"}, ignored("sender_is_bot"))
    cases.event("other_bot_profile", {"text": "x", "bot_profile": {"id": "B2"}}, ignored("sender_is_bot"))
    cases.event("bot_message", {"text": "x", "user": ..., "subtype": "bot_message"}, ignored("sender_is_bot"))
    cases.event("bot_mention", {"type": "app_mention", "text": f"<@{BOT}> x", "bot_id": "B2"}, ignored("sender_is_bot"))
    for subtype in (
        "message_changed",
        "message_deleted",
        "message_replied",
        "channel_join",
        "channel_topic",
        "me_of_next_year",
    ):
        cases.event(f"subtype_{subtype}", {"subtype": subtype, "user": ..., "text": ...}, ignored("event"))
    for kind in (
        "reaction_added",
        "app_home_opened",
        "member_joined_channel",
        "assistant_thread_started",
        "a_kind_of_next_year",
    ):
        cases.event(f"event_{kind}", {"type": kind}, ignored("event"))
    for kind in ("app_rate_limited", "block_actions", "a_kind_of_next_year"):
        cases.add(f"outer_{kind}", compact({"type": kind, "api_app_id": APP}), ignored("not_an_event"))
    command = b"token=x&command=%2Fkantu&text=&response_url=https%3A%2F%2Fhooks.slack.com"
    button = b"payload=" + quote('{"type":"block_actions"}').encode()
    cases.add("command", command, ignored("not_an_event"), more={"Content-Type": FORM})
    cases.add("button", button, ignored("not_an_event"), more={"Content-Type": f"{FORM.upper()}; charset=utf-8"})
    cases.add("command_without_type", command, MALFORMED)
    cases.add(
        "command_forged",
        command,
        rejected("bad_signature"),
        more={"Content-Type": FORM, "X-Slack-Signature": "v0=" + "0" * 64},
    )


def _copies(cases: Cases) -> None:
    duplicate = {"outcome": "duplicate", "http_status": 200}
    cases.event("first", {"text": "x", "ts": f"{NOW}.500001"}, {"text": "x"})
    cases.number -= 1
    cases.event(
        "same_event",
        {"text": "x", "ts": f"{NOW}.500001"},
        duplicate,
        more={"X-Slack-Retry-Num": "1", "X-Slack-Retry-Reason": "http_timeout"},
    )
    cases.event("same_message", {"text": "x", "ts": f"{NOW}.500001"}, duplicate)
    cases.event("same_ts_other_channel", {"text": "x", "ts": f"{NOW}.500001", "channel": "D2"}, {"text": "x"})
    group = {"conversation": {"id": "C1", "type": "group"}, "text": "x", "mentions": [OWN], "mentioned_bot": True}
    words = {"text": f"<@{BOT}> x", "channel": "C1"}
    cases.event("message_first", {**words, "channel_type": "channel", "ts": f"{NOW}.500002"}, group)
    cases.event("mention_second", {**words, "type": "app_mention", "ts": f"{NOW}.500002"}, duplicate)
    cases.event(
        "mention_first",
        {**words, "type": "app_mention", "ts": f"{NOW}.500003", "thread_ts": f"{NOW}.400000"},
        {**group, "reply_to": f"{NOW}.400000"},
    )
    cases.event(
        "message_second",
        {**words, "channel_type": "group", "ts": f"{NOW}.500003", "thread_ts": f"{NOW}.400000"},
        duplicate,
    )
    cases.number += 1
    cases.event(
        "refused_leaves_no_trace",
        {"text": "x", "ts": f"{NOW}.500004"},
        rejected("stale"),
        time=str(NOW - 301),
        kind="stale",
    )
    cases.number -= 1
    cases.event("taken_after_a_refusal", {"text": "x", "ts": f"{NOW}.500004"}, {"text": "x"})


def _handshakes(cases: Cases) -> None:
    challenge = "3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P"
    answer = {"outcome": "handshake", "http_status": 200, "response": {"json": {"challenge": challenge}}}
    body = compact({"token": "z", "challenge": challenge, "type": "url_verification"})
    cases.add("handshake", body, answer, kind="handshake")
    odd = {"challenge": 'a"\\\n😀', "type": "url_verification"}
    cases.add(
        "handshake_odd",
        compact(odd),
        {**answer, "response": {"json": {"challenge": odd["challenge"]}}},
        kind="handshake",
    )
    cases.add("handshake_forged", body, rejected("bad_signature"), more={"X-Slack-Signature": "v0=" + "a" * 64})
    cases.add("handshake_unsigned", body, rejected("missing_signature"), headers={"Content-Type": "application/json"})
    cases.add("handshake_stale", body, rejected("stale"), time=str(NOW - 301))
    cases.add("handshake_without_challenge", compact({"type": "url_verification"}), MALFORMED)
    cases.add("handshake_number", compact({"type": "url_verification", "challenge": 7}), MALFORMED)


def _signatures(cases: Cases) -> None:
    time, signature = "X-Slack-Request-Timestamp", "X-Slack-Signature"
    event = {"type": "message", "user": "U1", "ts": f"{NOW}.900001", "text": "x", "channel": "D1"}
    body = compact({"api_app_id": APP, "event": event, "type": "event_callback", "event_id": "EvS"})
    right = sign(body)
    for name, given in (
        ("zeros", "v0=" + "0" * 64),
        ("upper_case", "v0=" + right[3:].upper()),
        ("no_version", right[3:]),
        ("other_version", "v1" + right[2:]),
        ("short", right[:-1]),
        ("long", right + "0"),
        ("doubled", f"{right}, {right}"),
        ("not_ascii", "v0=签名"),
        ("of_another_app", sign(body, secret="another secret 密")),
        ("of_another_time", sign(body, str(NOW - 1))),
        ("of_another_body", sign(body + b" ")),
        ("of_the_body_alone", "v0=" + hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()),
    ):
        cases.add(
            f"signature_{name}",
            body,
            rejected("bad_signature"),
            headers={time: str(NOW), signature: given},
            kind="bad_signature",
        )
    cases.add("signature_missing", body, rejected("missing_signature"), headers={time: str(NOW)})
    cases.add("signature_empty", body, rejected("missing_signature"), headers={time: str(NOW), signature: ""})
    cases.add("time_missing", body, rejected("missing_signature"), headers={signature: right})
    for name, given in (
        ("word", "abc"),
        ("empty", ""),
        ("sign", f"+{NOW}"),
        ("minus", f"-{NOW}"),
        ("dot", f"{NOW}.0"),
        ("exponent", "1e9"),
        ("underscore", "1_795_000_000"),
        ("nan", "NaN"),
        ("long", "1" * 16),
        ("full_width", "１７９５００００００"),
        ("arabic", "١٧٩٥٠٠٠٠٠٠"),
        ("hex", "0x6b"),
        ("doubled", f"{NOW}, {NOW}"),
    ):
        cases.add(f"time_{name}", body, rejected("malformed_timestamp"), time=given, kind="malformed")
    cases.add("time_15_digits", body, rejected("stale"), time="9" * 15)
    cases.add("time_too_old", body, rejected("stale"), time=str(NOW - 301), kind="stale")
    cases.add("time_too_new", body, rejected("stale"), time=str(NOW + 301), kind="stale")
    cases.add("forged_and_stale", body, rejected("bad_signature"), headers={time: str(NOW - 301), signature: right})
    cases.event("oldest", {"text": "x"}, {"text": "x"}, time=str(NOW - 300))
    cases.event("newest", {"text": "x"}, {"text": "x"}, time=str(NOW + 300))
    cases.event("part_of_a_second", {"text": "x"}, {"text": "x"}, time=str(NOW - 300), now=NOW + 0.9)
    cases.event("leading_zeros", {"text": "x"}, {"text": "x"}, time=f"0000{NOW}")
    cases.event("wrong_app", {"text": "x"}, rejected("wrong_bot", 403), outer={"api_app_id": "A9"})
    cases.event("wrong_app_before_the_rest", {"text": 7}, rejected("wrong_bot", 403), outer={"api_app_id": APP.lower()})
    cases.event("app_missing", {"text": "x"}, MALFORMED, outer={"api_app_id": ...})
    cases.event("other_config", {"text": "x"}, rejected("bad_signature"), config="other")


def _shapes(cases: Cases) -> None:
    for name, content in (
        ("type_missing", {"type": ...}),
        ("type_number", {"type": 7}),
        ("user_missing", {"user": ...}),
        ("user_number", {"user": 7}),
        ("user_empty", {"user": ""}),
        ("ts_missing", {"ts": ...}),
        ("ts_number", {"ts": NOW + 0.5}),
        ("ts_word", {"ts": "now"}),
        ("ts_arabic", {"ts": "١٧٩٥"}),
        ("ts_minus", {"ts": "-1.0"}),
        ("channel_missing", {"channel": ...}),
        ("channel_list", {"channel": ["D1"]}),
        ("channel_type_number", {"channel_type": 7}),
        ("text_number", {"text": 7}),
        ("text_list", {"text": ["x"]}),
        ("subtype_list", {"subtype": []}),
        ("thread_number", {"thread_ts": 7}),
        ("files_object", {"files": {}}),
        ("file_text", {"files": ["F1"]}),
        ("file_mime_number", {"files": [{"id": "F1", "mimetype": 7}]}),
        ("file_url_number", {"files": [file(url=7)]}),
        ("file_named_without_id", {"files": [{"file_access": "check_file_info"}]}),
        ("long_user", {"user": "U" * 513}),
    ):
        cases.event(f"shape_{name}", {"text": "x", **content}, MALFORMED, kind="malformed")
    for name, outer in (
        ("event_missing", {"event": ...}),
        ("event_null", {"event": None}),
        ("event_list", {"event": []}),
        ("event_id_missing", {"event_id": ...}),
        ("event_id_number", {"event_id": 7}),
        ("event_id_empty", {"event_id": ""}),
        ("outer_type_missing", {"type": ...}),
        ("outer_type_list", {"type": []}),
        ("app_number", {"api_app_id": 7}),
    ):
        cases.event(f"shape_{name}", {"text": "x"}, MALFORMED, outer=outer, kind="malformed")
    for name, body in (
        ("empty", b""),
        ("cut", b'{"type":'),
        ("nan", b'{"type":"event_callback","x":NaN}'),
        ("twice_named", b'{"type":"a","type":"b"}'),
        ("deep", b'{"type":"a","x":' + b"[" * 64 + b"]" * 64 + b"}"),
        ("not_utf8", b'{"type":"\xff"}'),
        ("list", b"[]"),
        ("null", b"null"),
    ):
        cases.add(f"body_{name}", body, MALFORMED, kind="malformed")
    cases.add("byte_order_mark", b"\xef\xbb\xbf" + b'{"type":"a"}', ignored("not_an_event"))
