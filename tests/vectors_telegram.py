"""Telegram updates and what each must lead to, worked out by hand; nothing of the bot is imported."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

NOW = 1_795_000_000
SECRET = "Ab_9-" * 8
BOT_ID = 700_100_200
FETCH = "getFile then https://api.telegram.org/file/bot<token>/<file_path> (20 MB, link valid 1 h)"
ANN = {"id": 5001, "is_bot": False, "first_name": "Ann", "last_name": "Li"}
KANTU = {"id": BOT_ID, "is_bot": True, "first_name": "看图", "username": "Kantu_Bot"}
PRIVATE = {"id": 5001, "type": "private"}
GROUP = {"id": -1001234567890, "type": "supergroup", "title": "群"}
OWN = {"id": None, "name": "Kantu_Bot", "is_bot": True}


def units(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2


def entity(text: str, word: str, kind: str = "mention", nth: int = 0, **more: Any) -> dict[str, Any]:
    """An entity over the nth `word` of a text."""
    at = -1
    for _ in range(nth + 1):
        at = text.index(word, at + 1)
    return {"type": kind, "offset": units(text[:at]), "length": units(word), **more}


def photo(file_id: str = "big", width: int = 1280, height: int = 960) -> dict[str, Any]:
    return {"file_id": file_id, "file_unique_id": "u", "file_size": 88, "width": width, "height": height}


def image(file_id: str = "big", size: int | None = 88, width: int | None = 1280, height: int | None = 960) -> Any:
    sizes = {"size": size, "width": width, "height": height}
    return {"kind": "telegram_file", "file_id": file_id, **sizes, "fetch": FETCH}


class Cases:
    """Collects cases. Updates are numbered; ids of messages are those of their updates."""

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
        headers: Mapping[str, str] | None = None,
        config: str = "default",
        now: float = NOW,
        method: str = "POST",
    ) -> None:
        given = {"X-Telegram-Bot-Api-Secret-Token": SECRET} if headers is None else headers
        request = {"method": method, "path": "/webhook/telegram", "query": {}, "headers": dict(given)}
        case = {"id": f"telegram.{id}", "kind": kind, "config": config, "now": now}
        encoded = base64.b64encode(body).decode()
        self.cases.append(case | {"request": request | {"body_b64": encoded}, "expect": dict(expect)})

    def message(
        self, id: str, content: Mapping[str, Any], expect: Mapping[str, Any] | None = None, **more: Any
    ) -> None:
        """A message of Ann's; expect: what differs from an accepted empty one, or another outcome."""
        self.number += 1
        base = {"message_id": self.number, "from": ANN, "chat": PRIVATE, "date": NOW}
        message = {name: value for name, value in {**base, **content}.items() if value is not ...}
        body = compact({"update_id": 900_000 + self.number, "message": message})
        expect = expect or {}
        if "outcome" in expect:
            return self.add(id, body, expect, **more)
        group = message["chat"]["type"] != "private"
        said = {
            "platform": "telegram",
            "conversation": {"id": str(message["chat"]["id"]), "type": "group" if group else "private"},
            "sender": {"id": "5001", "name": "Ann Li"},
            "message_id": str(self.number),
            "dedup_key": str(900_000 + self.number),
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

    def mention(self, id: str, text: str, shown: str, *words: str, name: str = "", **expect: Any) -> None:
        """A text in a group; every word in it is an entity, and those of the bot's go."""
        seen: dict[str, int] = {}
        entities: list[dict[str, Any]] = []
        for word in words:
            entities.append(entity(text, word, nth=seen.get(word, 0)))
            seen[word] = seen.get(word, 0) + 1
        own = [word[1:].lower() == "kantu_bot" for word in words]
        mentions = [{"id": None, "name": w[1:], "is_bot": bot} for w, bot in zip(words, own, strict=True)]
        expected = {"text": shown, "mentions": mentions, "mentioned_bot": any(own), **expect}
        self.message(id, {"chat": GROUP, "text": text, "entities": entities}, expected)


def compact(data: Any) -> bytes:
    return json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode()


def rejected(reason: str, status: int = 401) -> dict[str, Any]:
    return {"outcome": "rejected", "http_status": status, "reason": reason}


def ignored(reason: str) -> dict[str, Any]:
    return {"outcome": "ignored", "http_status": 200, "reason": reason}


MALFORMED = rejected("malformed", 400)


def vectors() -> dict[str, Any]:
    """The whole file."""
    cases = Cases()
    for part in (_texts, _pictures, _mentions, _senders, _replies, _others, _secrets, _times, _shapes, _bytes):
        part(cases)
    return {
        "schema": "vision-bot-vectors/1",
        "platform": "telegram",
        "clock_now": NOW,
        "secrets": {
            "default": {"secret_token": SECRET, "bot_id": str(BOT_ID), "bot_username": "Kantu_Bot"},
            "other": {"secret_token": "x", "bot_id": "1", "bot_username": "other_bot"},
        },
        "policy": {"max_age_s": 86400, "dedup_keys": ["update_id"]},
        "cases": cases.cases,
    }


def _texts(cases: Cases) -> None:
    keep = "a  b\tc\n\n\n  d\u00a0e\u200b\u202e<ImageHere>[UNUSED_TOKEN_145]</s><|im_end|>&lt;&amp;"
    cases.message("text", {"text": "你好"}, {"text": "你好"})
    cases.message("text_kept", {"text": keep}, {"text": keep})
    cases.message("text_stripped", {"text": "\u3000\n 你好 \u00a0\t"}, {"text": "你好"})
    cases.message("text_blank", {"text": " "}, {"text": ""})
    cases.message(
        "text_link_stays",
        {"text": "看这里", "entities": [{"type": "text_link", "offset": 0, "length": 3, "url": "https://e.com"}]},
        {"text": "看这里"},
    )
    cases.message("text_long", {"text": "长" * 4096}, {"text": "长" * 4096})
    cases.message("text_surrogate", {"text": "@@"}, {"text": "a\ufffdb"})
    cases.cases[-1]["request"]["body_b64"] = _replaced(cases.cases[-1], b"@@", b"a\\ud800b")
    cases.message("text_nul", {"text": "@@"}, {"text": "ab"})
    cases.cases[-1]["request"]["body_b64"] = _replaced(cases.cases[-1], b"@@", b"a\\u0000b")
    cases.message("group_text", {"chat": {**GROUP, "type": "group"}, "text": "闲聊"}, {"text": "闲聊"})
    cases.message(
        "topic", {"chat": GROUP, "text": "x", "message_thread_id": 7, "is_topic_message": True}, {"text": "x"}
    )
    cases.message("reply_thread_is_no_topic", {"chat": GROUP, "text": "x", "message_thread_id": 7}, {"text": "x"})


def _replaced(case: dict[str, Any], old: bytes, new: bytes) -> str:
    body = base64.b64decode(case["request"]["body_b64"])
    assert body.count(old) == 1
    return base64.b64encode(body.replace(old, new)).decode()


def _pictures(cases: Cases) -> None:
    small = photo("small", 90, 67)
    cases.message("photo", {"photo": [small, photo(), photo("middle", 320, 240)]}, {"images": [image()]})
    cases.message(
        "photo_by_area",
        {"photo": [photo("tall", 10, 2000), photo("wide", 300, 100)]},
        {"images": [image("wide", 88, 300, 100)]},
    )
    cases.message("photo_caption", {"photo": [photo()], "caption": " 什么 "}, {"text": "什么", "images": [image()]})
    cases.message(
        "photo_without_size",
        {"photo": [{"file_id": "f", "width": 1, "height": 2}]},
        {"images": [image("f", None, 1, 2)]},
    )
    cases.message("album", {"photo": [photo()], "media_group_id": "77"}, {"images": [image()], "media_group_id": "77"})
    cases.message(
        "album_document",
        {"document": {"file_id": "d", "mime_type": "IMAGE/PNG"}, "media_group_id": "77"},
        {"images": [image("d", None, None, None)], "media_group_id": "77"},
    )
    cases.message(
        "document_picture",
        {"document": {"file_id": "d", "file_size": 9, "mime_type": "image/webp"}, "caption": "c"},
        {"text": "c", "images": [image("d", 9, None, None)]},
    )
    cases.message(
        "forwarded",
        {"photo": [photo()], "forward_origin": {"type": "hidden_user", "sender_user_name": "X", "date": NOW}},
        {"images": [image()], "forwarded": True},
    )
    cases.message(
        "caption_mention",
        {
            "chat": GROUP,
            "photo": [photo()],
            "caption": "@kantu_bot 看",
            "caption_entities": [{"type": "mention", "offset": 0, "length": 10}],
        },
        {
            "text": "看",
            "images": [image()],
            "mentions": [{"id": None, "name": "kantu_bot", "is_bot": True}],
            "mentioned_bot": True,
        },
    )
    cases.message(
        "entities_of_the_other_field",
        {"chat": GROUP, "text": "@Kantu_Bot x", "caption_entities": [{"type": "mention", "offset": 0, "length": 10}]},
        {"text": "@Kantu_Bot x"},
    )


def _mentions(cases: Cases) -> None:
    own = "@Kantu_Bot"
    cases.mention("at_start", f"{own} 看看", "看看", own)
    cases.mention("at_end", f"看看 {own}", "看看", own)
    cases.mention("in_the_middle", f"请  {own}  看看", "请 看看", own)
    cases.mention("touching_words", f"请{own}看看", "请看看", own)
    cases.mention("one_side", f"请{own} 看看", "请 看看", own)
    cases.mention("line_start", f"一\n{own}  二", "一\n二", own)
    cases.mention("line_end", f"一  {own}\n二", "一\n二", own)
    cases.mention("line_alone", f"一\n{own}\n二", "一\n\n二", own)
    cases.mention("twice", f"{own} {own} 看", "看", own, own)
    cases.mention("twice_in_the_middle", f"a {own} {own} b", "a b", own, own)
    cases.mention("adjacent", f"a{own}{own}b", "ab", own, own)
    cases.mention("alone", own, "", own)
    cases.mention("tab_stays", f"a {own}\tb", "a \tb", own)
    cases.mention("no_break_space_stays", f"a\u00a0{own}\u00a0b", "a\u00a0\u00a0b", own)
    cases.mention("any_case", "@kAnTu_BoT hi", "hi", "@kAnTu_BoT")
    cases.mention("astral", f"😀👨‍👩‍👧 {own} 𠮷", "😀👨‍👩‍👧 𠮷", own)
    cases.mention("others_stay", f"@bob {own} @amy", "@bob @amy", "@bob", own, "@amy")
    cases.mention("longer_name", "@Kantu_Bot2 hi", "@Kantu_Bot2 hi", "@Kantu_Bot2")
    cases.message("no_entity_no_mention", {"chat": GROUP, "text": f"{own} hi"}, {"text": f"{own} hi"})
    cases.message(
        "text_mention",
        {
            "chat": GROUP,
            "text": "问 Bob 吧",
            "entities": [
                entity(
                    "问 Bob 吧",
                    "Bob",
                    "text_mention",
                    user={"id": 9, "is_bot": False, "first_name": "Bob", "last_name": "Ray"},
                )
            ],
        },
        {"text": "问 Bob 吧", "mentions": [{"id": "9", "name": "Bob Ray", "is_bot": False}]},
    )
    cases.message(
        "text_mention_of_the_bot",
        {"chat": GROUP, "text": "看图 在吗", "entities": [entity("看图 在吗", "看图", "text_mention", user=KANTU)]},
        {"text": "看图 在吗", "mentions": [{"id": str(BOT_ID), "name": "看图", "is_bot": True}], "mentioned_bot": True},
    )
    for name, text, shown, is_own in (
        ("command", "/help@kantu_bot 怎么用", "/help 怎么用", True),
        ("command_alone", "/help@KANTU_BOT", "/help", True),
        ("command_of_another", "/help@other_bot", "/help@other_bot", False),
        ("command_plain", "/help 怎么用", "/help 怎么用", False),
    ):
        command = text.partition(" ")[0]
        mentions = [{"id": None, "name": command.partition("@")[2], "is_bot": True}] if is_own else []
        content = {"chat": GROUP, "text": text, "entities": [entity(text, command, "bot_command")]}
        cases.message(name, content, {"text": shown, "mentions": mentions, "mentioned_bot": is_own})
    for name, at in (("beyond", (4, 99)), ("negative", (-1, 10)), ("empty", (0, 0)), ("half_a_character", (1, 10))):
        content = {
            "chat": GROUP,
            "text": "😀@Kantu_Bot",
            "entities": [{"type": "mention", "offset": at[0], "length": at[1]}],
        }
        cases.message(f"entity_{name}", content, {"text": "😀@Kantu_Bot"})
    twice = [{"type": "mention", "offset": 0, "length": 10}] * 2
    cases.message(
        "entity_twice",
        {"chat": GROUP, "text": "@Kantu_Bot x", "entities": twice},
        {"text": "x", "mentions": [OWN, OWN], "mentioned_bot": True},
    )
    cases.message(
        "entity_unknown", {"text": "x", "entities": [{"type": "date_time", "offset": 0, "length": 1}]}, {"text": "x"}
    )
    cases.message(
        "private_mention",
        {"text": "@Kantu_Bot x", "entities": [{"type": "mention", "offset": 0, "length": 10}]},
        {"text": "x", "mentions": [OWN], "mentioned_bot": True},
    )


def _senders(cases: Cases) -> None:
    anonymous = {"id": 1087968824, "is_bot": True, "first_name": "Group", "username": "GroupAnonymousBot"}
    cases.message(
        "anonymous_admin",
        {"chat": GROUP, "from": anonymous, "sender_chat": GROUP, "text": "x"},
        {"text": "x", "sender": {"id": "-1001234567890", "name": "群"}},
    )
    cases.message(
        "channel_sender_without_from",
        {"chat": GROUP, "from": ..., "sender_chat": {"id": -1009, "type": "channel", "title": "频道"}, "text": "x"},
        {"text": "x", "sender": {"id": "-1009", "name": "频道"}},
    )
    cases.message("other_bot", {"chat": GROUP, "from": anonymous, "text": "x"}, ignored("sender_is_bot"))
    cases.message("own_message", {"from": KANTU, "text": "x"}, ignored("sender_is_bot"))
    cases.message("own_message_unmarked", {"from": {**KANTU, "is_bot": False}, "text": "x"}, ignored("self_message"))
    cases.message(
        "one_name",
        {"from": {"id": 5001, "is_bot": False, "first_name": "安"}, "text": "x"},
        {"text": "x", "sender": {"id": "5001", "name": "安"}},
    )
    cases.message(
        "large_id",
        {"from": {**ANN, "id": 2**52}, "text": "x"},
        {"text": "x", "sender": {"id": str(2**52), "name": "Ann Li"}},
    )
    cases.message("from_channel", {"chat": {"id": -1009, "type": "channel"}, "text": "x"}, ignored("event"))


def _replies(cases: Cases) -> None:
    def reply(**content: Any) -> dict[str, Any]:
        return {"message_id": 4, "date": NOW - 9, "chat": GROUP, "from": ANN, **content}

    to_bot = {"chat": GROUP, "text": "再说", "reply_to_message": reply(text="一只猫 ", **{"from": KANTU})}
    quoted = {"text": "一只猫", "images": []}
    cases.message("reply_to_bot", to_bot, {"text": "再说", "mentioned_bot": True, "reply_to": "4", "quoted": quoted})
    cases.message(
        "reply_to_bot_in_private",
        {**to_bot, "chat": PRIVATE},
        {"text": "再说", "mentioned_bot": True, "reply_to": "4", "quoted": quoted},
    )
    cases.message(
        "reply_to_other",
        {"chat": GROUP, "text": "x", "reply_to_message": reply(text="y")},
        {"text": "x", "reply_to": "4", "quoted": {"text": "y", "images": []}},
    )
    cases.message(
        "reply_to_photo",
        {"chat": GROUP, "text": "x", "reply_to_message": reply(photo=[photo("s", 1, 1), photo()], caption="y")},
        {"text": "x", "reply_to": "4", "quoted": {"text": "y", "images": [image()]}},
    )
    cases.message(
        "reply_to_document",
        {"chat": GROUP, "text": "x", "reply_to_message": reply(document={"file_id": "d", "mime_type": "image/png"})},
        {"text": "x", "reply_to": "4", "quoted": {"text": "", "images": [image("d", None, None, None)]}},
    )
    cases.message(
        "reply_to_sticker",
        {"chat": GROUP, "text": "x", "reply_to_message": reply(sticker={})},
        {"text": "x", "reply_to": "4", "quoted": {"text": "", "images": []}},
    )
    cases.message(
        "topic_is_no_reply",
        {
            "chat": GROUP,
            "text": "x",
            "message_thread_id": 4,
            "is_topic_message": True,
            "reply_to_message": reply(forum_topic_created={"name": "t"}, **{"from": KANTU}),
        },
        {"text": "x"},
    )


def _others(cases: Cases) -> None:
    for kind, content in (
        ("sticker", {"sticker": {"file_id": "s", "emoji": "😀"}}),
        ("voice", {"voice": {"file_id": "v", "duration": 1}}),
        ("video", {"video": {"file_id": "v"}}),
        ("location", {"location": {"latitude": 1.5, "longitude": 2.5}}),
        ("contact", {"contact": {"phone_number": "1", "first_name": "x"}}),
        ("poll", {"poll": {"id": "1", "question": "?"}}),
        ("pdf", {"document": {"file_id": "d", "mime_type": "application/pdf"}}),
        ("document_of_no_type", {"document": {"file_id": "d"}}),
        ("photo_of_no_size", {"photo": []}),
        ("text_null", {"text": None}),
        ("blank_caption", {"video": {"file_id": "v"}, "caption": " "}),
        ("joined", {"chat": GROUP, "new_chat_members": [KANTU]}),
        ("pinned", {"chat": GROUP, "pinned_message": {"message_id": 1}}),
        ("unheard_of", {"hologram": {"file_id": "h"}}),
    ):
        cases.message(f"unsupported_{kind}", content, ignored("unsupported_type"))
    for number, kind in enumerate(
        (
            "edited_message",
            "channel_post",
            "edited_channel_post",
            "business_message",
            "callback_query",
            "my_chat_member",
            "chat_join_request",
            "message_reaction",
            "inline_query",
            "poll_answer",
            "a_kind_of_next_year",
        ),
    ):
        content = {"update_id": 800_000 + number, kind: {"message_id": 1, "date": NOW, "chat": PRIVATE, "text": "x"}}
        cases.add(f"event_{kind}", compact(content), ignored("event"))
    cases.add("event_nothing", compact({"update_id": 800_099}), ignored("event"))


def _secrets(cases: Cases) -> None:
    header = "X-Telegram-Bot-Api-Secret-Token"
    cases.number += 1
    body = compact(
        {
            "update_id": 900_000 + cases.number,
            "message": {"message_id": 1, "from": ANN, "chat": PRIVATE, "date": NOW, "text": "x"},
        }
    )
    for name, given in (
        ("wrong", "wrong"),
        ("shorter", SECRET[:-1]),
        ("longer", SECRET + "x"),
        ("other_case", SECRET.swapcase()),
        ("twice", f"{SECRET}, {SECRET}"),
        ("not_ascii", "密钥"),
        ("full_width", SECRET.replace("A", "Ａ")),
        ("of_another_bot", "x"),
    ):
        cases.add(f"secret_{name}", body, rejected("bad_signature"), headers={header: given}, kind="bad_signature")
    cases.add("secret_missing", body, rejected("missing_signature"), headers={}, kind="bad_signature")
    cases.add("secret_empty", body, rejected("missing_signature"), headers={header: ""}, kind="bad_signature")
    cases.add("secret_in_another_header", body, rejected("missing_signature"), headers={"Authorization": SECRET})
    cases.add("secret_before_parsing", b"{", rejected("bad_signature"), headers={header: "wrong"})
    cases.add("rejected_leaves_no_trace", body, _accepted(cases.number, "1"), headers={header.lower(): SECRET})
    cases.add("duplicate", body, {"outcome": "duplicate"}, headers={header.upper(): SECRET}, kind="duplicate")
    cases.add("other_bot_same_update", body, _accepted(cases.number, "1"), headers={header: "x"}, config="other")
    cases.message("same_message_other_update", {"message_id": 1, "text": "x"}, {"text": "x", "message_id": "1"})


def _accepted(number: int, message_id: str) -> dict[str, Any]:
    return {
        "outcome": "accepted",
        "message": {
            "platform": "telegram",
            "conversation": {"id": "5001", "type": "private"},
            "sender": {"id": "5001", "name": "Ann Li"},
            "message_id": message_id,
            "dedup_key": str(900_000 + number),
            "text": "x",
            "images": [],
            "mentions": [],
            "mentioned_bot": False,
            "reply_to": None,
            "quoted": None,
            "sent_at": NOW,
        },
    }


def _times(cases: Cases) -> None:
    edge = 86_400
    cases.message("oldest", {"date": NOW - edge, "text": "x"}, {"text": "x", "sent_at": NOW - edge})
    cases.message("newest", {"date": NOW + edge, "text": "x"}, {"text": "x", "sent_at": NOW + edge})
    cases.message(
        "part_of_a_second", {"date": NOW - edge, "text": "x"}, {"text": "x", "sent_at": NOW - edge}, now=NOW + 0.9
    )
    cases.message("too_old", {"date": NOW - edge - 1, "text": "x"}, ignored("stale"), kind="stale")
    cases.message("too_new", {"date": NOW + edge + 1, "text": "x"}, ignored("stale"), kind="stale")
    cases.message("milliseconds", {"date": NOW * 1000, "text": "x"}, ignored("stale"), kind="stale")
    cases.message("zero", {"date": 0, "text": "x"}, ignored("stale"), kind="stale")
    cases.message("stale_before_the_rest", {"date": 1, "text": 7, "chat": None}, ignored("stale"), kind="stale")
    cases.number -= 1
    cases.message("stale_leaves_no_trace", {"text": "x"}, {"text": "x"})


def _shapes(cases: Cases) -> None:
    for name, content in (
        ("date_text", {"date": str(NOW)}),
        ("date_float", {"date": float(NOW)}),
        ("date_missing", {"date": ...}),
        ("date_null", {"date": None}),
        ("date_flag", {"date": True}),
        ("message_id_text", {"message_id": "1"}),
        ("message_id_missing", {"message_id": ...}),
        ("from_missing", {"from": ...}),
        ("from_list", {"from": [ANN]}),
        ("from_without_id", {"from": {"first_name": "x"}}),
        ("from_id_text", {"from": {"id": "5001"}}),
        ("name_number", {"from": {**ANN, "last_name": 7}}),
        ("chat_missing", {"chat": ...}),
        ("chat_without_id", {"chat": {"type": "private"}}),
        ("chat_without_type", {"chat": {"id": 1}}),
        ("chat_of_a_new_type", {"chat": {"id": 1, "type": "planet"}}),
        ("text_number", {"text": 7}),
        ("text_list", {"text": ["x"]}),
        ("caption_object", {"text": ..., "photo": [photo()], "caption": {}}),
        ("photo_object", {"photo": photo()}),
        ("photo_texts", {"photo": ["big"]}),
        ("photo_without_id", {"photo": [{"width": 1, "height": 1}]}),
        ("photo_width_text", {"photo": [{**photo(), "width": "1280"}]}),
        ("document_text", {"document": "d"}),
        ("document_mime_number", {"document": {"file_id": "d", "mime_type": 7}}),
        ("entities_object", {"text": "x", "entities": {}}),
        ("entity_text", {"text": "x", "entities": ["mention"]}),
        ("entity_offset_text", {"text": "x", "entities": [{"type": "mention", "offset": "0", "length": 1}]}),
        ("entity_without_user", {"text": "x", "entities": [{"type": "text_mention", "offset": 0, "length": 1}]}),
        ("reply_list", {"text": "x", "reply_to_message": []}),
        ("reply_without_id", {"text": "x", "reply_to_message": {"text": "y"}}),
        ("album_number", {"photo": [photo()], "media_group_id": 7}),
        ("sender_chat_text", {"text": "x", "sender_chat": "x"}),
    ):
        cases.message(f"shape_{name}", {"text": "x", **content}, MALFORMED, kind="malformed")
    for name, data in (
        ("update_id_missing", {"message": {}}),
        ("update_id_text", {"update_id": "1", "message": {}}),
        ("update_id_float", {"update_id": 1.0, "message": {}}),
        ("message_text", {"update_id": 1, "message": "x"}),
        ("message_null", {"update_id": 1, "message": None}),
        ("message_list", {"update_id": 1, "message": []}),
        ("list", [{"update_id": 1}]),
        ("text", "x"),
        ("null", None),
    ):
        cases.add(f"shape_{name}", compact(data), MALFORMED, kind="malformed")


def _bytes(cases: Cases) -> None:
    deep = b'{"update_id":1,"x":' + b"[" * 64 + b"]" * 64 + b"}"
    for name, body in (
        ("empty", b""),
        ("cut", b'{"update_id":'),
        ("nan", b'{"update_id":1,"x":NaN}'),
        ("infinity", b'{"update_id":1,"x":-Infinity}'),
        ("overflow", b'{"update_id":1,"x":1e999}'),
        ("twice_named", b'{"update_id":1,"update_id":2}'),
        ("deep", deep),
        ("not_utf8", b'{"update_id":1,"x":"\xff"}'),
        ("utf16", '{"update_id":1}'.encode("utf-16")),
        ("two_byte_order_marks", b"\xef\xbb\xbf" * 2 + b'{"update_id":1}'),
        ("form", b"update_id=1"),
        ("more_behind", b'{"update_id":1}{"update_id":2}'),
        ("huge_number", b'{"update_id":' + b"9" * 40 + b"}"),
    ):
        cases.add(f"body_{name}", body, MALFORMED, kind="malformed")
    cases.add("byte_order_mark", b"\xef\xbb\xbf" + b'{"update_id":1}', ignored("event"))
    cases.add("depth_64", b'{"update_id":1,"x":' + b"[" * 63 + b"]" * 63 + b"}", ignored("event"))
