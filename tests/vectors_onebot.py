"""Requests of OneBot clients and what each must lead to, made by code that shares nothing with the bot."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

from adapters.simulated.onebot import signature

NOW = 1_795_000_000
BOT, ANN, BOB, GROUP = 20002000, 30003000, 40004000, 50005000
SECRET, TOKEN = "a post token", "aSocketToken-1"
URL = "https://multimedia.nt.qq.com.cn/download?appid=1406&fileid=x&rkey=y"
FETCH = "GET url, or action get_image {file}"
NAME = "安"
Json = dict[str, Any]
#: A message between bot and user in which nothing is special.
EMPTY: Json = {"text": "", "images": [], "mentions": [], "mentioned_bot": False, "reply_to": None, "quoted": None}


def text(words: str) -> Json:
    return {"type": "text", "data": {"text": words}}


def at(who: int | str, **more: Any) -> Json:
    return {"type": "at", "data": {"qq": who, **more}}


def image(**data: Any) -> Json:
    return {"type": "image", "data": data}


def mention(who: int, is_bot: bool = False) -> Json:
    return {"id": str(who), "name": None, "is_bot": is_bot}


def seen(file: str | None, url: str | None) -> Json:
    return {"kind": "onebot_image", "file": file, "url": url, "fetch": FETCH}


def vectors() -> Json:
    """The file: both ways in, every decision and attack."""
    return _File().data()


class _File:
    def __init__(self) -> None:
        self.cases: list[Json] = []
        self.number = 100

    def data(self) -> Json:
        self.arrays()
        self.mentions()
        self.codes()
        self.ids()
        self.ignored()
        self.times()
        self.signatures()
        self.malformed()
        self.sockets()
        return {
            "platform": "onebot11",
            "secrets": {
                "default": {"secret": SECRET, "access_token": TOKEN, "self_id": str(BOT)},
                "post_only": {"secret": SECRET, "self_id": str(BOT)},
                "socket_only": {"access_token": TOKEN, "self_id": str(BOT)},
            },
            "policy": {"max_age_s": 300},
            "cases": self.cases,
        }

    # ------------------------------------------------------------- the makers

    def event(self, message: Any = "你好", *, group: bool = False, **changes: Any) -> Json:
        """A private message, or one in the group."""
        self.number += 1
        return {
            "time": NOW,
            "self_id": BOT,
            "post_type": "message",
            "message_type": "group" if group else "private",
            "sub_type": "normal" if group else "friend",
            "message_id": self.number,
            "user_id": ANN,
            "message": message,
            "raw_message": "",
            "font": 14,
            "sender": {"user_id": ANN, "nickname": NAME, "card": ""},
            **({"group_id": GROUP} if group else {}),
            **changes,
        }

    def post(
        self,
        name: str,
        expect: Json,
        body: bytes,
        *,
        sign: str | None = None,
        now: float = NOW,
        config: str = "default",
        headers: Mapping[str, str | None] | None = None,
    ) -> None:
        """sign: the X-Signature instead of the right one. headers: more of them; None takes one away."""
        given = {
            "Content-Type": "application/json",
            "X-Self-ID": str(BOT),
            "X-Signature": signature(SECRET, body) if sign is None else sign,
            **(headers or {}),
        }
        self.add(name, config, now, "POST", {key: one for key, one in given.items() if one is not None}, body, expect)

    def add(
        self, name: str, config: str, now: float, method: str, headers: Mapping[str, str], body: bytes, expect: Json
    ) -> None:
        request = {
            "method": method,
            "path": "/webhook/onebot",
            "query": {},
            "headers": headers,
            "body_b64": base64.b64encode(body).decode(),
        }
        case = {"id": f"onebot11.{name}", "kind": name, "config": config, "now": now, "after": None}
        self.cases.append({**case, "request": request, "expect": expect})

    def said(
        self, name: str, message: Any, content: Json | None = None, *, group: bool = False, **changes: Any
    ) -> None:
        """It is accepted, and this is what it says."""
        self.accepted(name, self.event(message, group=group, **changes), content or {})

    def accepted(self, name: str, event: Json, content: Json, **how: Any) -> None:
        chat = event.get("group_id") if event["message_type"] == "group" else event["user_id"]
        message = {
            "platform": "onebot11",
            "conversation": {"id": str(chat), "type": event["message_type"]},
            "sender": {"id": str(event["user_id"]), "name": NAME},
            "message_id": str(event["message_id"]),
            "dedup_key": f"{BOT}:{event['message_id']}",
            **EMPTY,
            "sent_at": event["time"],
            **content,
        }
        self.post(name, {"outcome": "accepted", "message": message}, encoded(event), **how)

    def refused(self, name: str, reason: str, body: bytes | Json, **how: Any) -> None:
        content = body if isinstance(body, bytes) else encoded(body)
        self.post(name, {"outcome": "rejected", "reason": reason}, content, **how)

    def dropped(self, name: str, reason: str, event: Json, **how: Any) -> None:
        self.post(name, {"outcome": "ignored", "reason": reason}, encoded(event), **how)

    # -------------------------------------------------------------- the cases

    def arrays(self) -> None:
        self.said("text", [text("你好～")], {"text": "你好～"})
        self.said("text_runs", [text(" 一\n\n二\t"), text("  三\u00a0 \u3000")], {"text": "一\n\n二\t  三"})
        literal = "[CQ:at,qq=all] &amp; &#91; &#44; <ImageHere> [UNUSED_TOKEN_145] </s> <|im_end|> \u202e\u200b!"
        self.said("literal", [text(literal)], {"text": literal})
        self.said("emoji", [text("👨‍👩‍👧 \U00020000")], {"text": "👨‍👩‍👧 \U00020000"})
        self.said("blank", [text(" \n ")], {"text": ""})
        self.said("image", [image(file="A.png", url=URL, file_size="9")], {"images": [seen("A.png", URL)]})
        self.said("image_no_url", [image(file="A.png")], {"images": [seen("A.png", None)]})
        self.said("image_null_url", [image(file="A.png", url=None)], {"images": [seen("A.png", None)]})
        self.said("image_empty_url", [image(file="A.png", url="")], {"images": [seen("A.png", None)]})
        self.said("image_no_file", [image(url=URL)], {"images": [seen(None, URL)]})
        odd = 'a b&c=d/"图"+%20'
        self.said("image_odd_name", [image(file=odd, url=URL)], {"images": [seen(odd, URL)]})
        mixed = [image(file="A", url=URL), text("两张"), image(file="B", url=URL)]
        self.said("images", mixed, {"text": "两张", "images": [seen("A", URL), seen("B", URL)]})
        self.said("reply", [{"type": "reply", "data": {"id": "-7"}}, text("对")], {"text": "对", "reply_to": "-7"})
        self.said("reply_number", [{"type": "reply", "data": {"id": -7}}, text("对")], {"text": "对", "reply_to": "-7"})
        forward = {"kind": "onebot_forward", "id": "76", "fetch": "action get_forward_msg"}
        inside = [{"message": [text("里面"), image(file="C", url=URL)], "sender": {"nickname": "x"}}]
        for name, data in (
            ("plain", {"id": "76"}),
            ("number", {"id": 76}),
            ("inside", {"id": "76", "content": inside}),
        ):
            self.said(f"forward_{name}", [{"type": "forward", "data": data}], {"forward": forward})
        nothing = [
            {"type": kind, "data": {}} for kind in ("face", "record", "video", "json", "markdown", "poke", "dice")
        ]
        self.said("adds_nothing", [nothing[0], text("看"), *nothing[1:]], {"text": "看"})
        self.said("null_data", [{"type": "shake", "data": None}, {"type": "rps"}, text("看")], {"text": "看"})
        self.said("surrogate", [text("a\ud800b\0c")], {"text": "a\ufffdbc"})
        event = self.event([text("看")])
        self.accepted("bom", event, {"text": "看"})
        request = self.cases[-1]["request"]
        body = b"\xef\xbb\xbf" + base64.b64decode(request["body_b64"])
        request["body_b64"] = base64.b64encode(body).decode()
        request["headers"]["X-Signature"] = signature(SECRET, body)

    def mentions(self) -> None:
        own = {"mentions": [mention(BOT, True)], "mentioned_bot": True}
        for name, segments, words in (
            ("first", [at(BOT), text(" 看")], "看"),
            ("last", [text("看 "), at(BOT)], "看"),
            ("between", [text("看"), text(" "), at(BOT), text("  这")], "看 这"),
            ("touching", [text("看"), at(BOT), text("这")], "看这"),
            ("one_side", [text("看"), at(BOT), text(" 这")], "看 这"),
            ("line_start", [text("一\n"), at(BOT), text(" 二")], "一\n二"),
            ("line_end", [text("一 "), at(BOT), text("\n二")], "一\n二"),
            ("own_line", [text("一\n "), at(BOT), text(" \n二")], "一\n\n二"),
            ("keeps_other_space", [text("一\u00a0"), at(BOT), text("\t二")], "一\u00a0\t二"),
            ("alone", [at(BOT)], ""),
            ("number", [at(str(BOT)), text(" 看")], "看"),
            ("named", [at(BOT, name="@看图"), text(" 看")], "看"),
        ):
            self.said(f"own_{name}", segments, {"text": words, **own}, group=True)
        twice = {"mentions": [mention(BOT, True)] * 2, "mentioned_bot": True}
        self.said(
            "own_twice", [text("看 "), at(BOT), text(" "), at(BOT), text(" 这")], {"text": "看 这", **twice}, group=True
        )
        self.said("own_adjacent", [at(BOT), at(BOT), text("看")], {"text": "看", **twice}, group=True)
        other = {"mentions": [mention(BOB)]}
        self.said("other", [at(BOB), text(" 看")], {"text": f"@{BOB} 看", **other}, group=True)
        self.said("other_named", [at(BOB, name="@鲍勃"), text(" 看")], {"text": f"@{BOB} 看", **other}, group=True)
        longer = int(f"{BOT}1")
        self.said("other_longer", [at(longer)], {"text": f"@{longer}", "mentions": [mention(longer)]}, group=True)
        both = {"mentions": [mention(BOT, True), mention(BOB)], "mentioned_bot": True}
        self.said("both", [at(BOT), at(BOB), text("看")], {"text": f"@{BOB}看", **both}, group=True)
        self.said("all", [at("all"), text(" 开会")], {"text": "@all 开会", "mention_all": True}, group=True)
        every = [at("all"), at(BOT), text(" 开会")]
        self.said("all_and_own", every, {"text": "@all 开会", "mention_all": True, **own}, group=True)
        self.said("spelled_out", [text(f"@{BOT} 看")], {"text": f"@{BOT} 看"}, group=True)

    def codes(self) -> None:
        own = {"mentions": [mention(BOT, True)], "mentioned_bot": True}
        code = f"[CQ:reply,id=9][CQ:at,qq={BOT}] 看&#91;这&#93;[CQ:image,file=D.jpg,url=https://gchat.qpic.cn/a?x=1&amp;y=2&#44;3]"
        found = {"text": "看[这]", "images": [seen("D.jpg", "https://gchat.qpic.cn/a?x=1&y=2,3")], "reply_to": "9"}
        self.said("cq", code, {**found, **own}, group=True)
        self.said("cq_once", "&amp;amp;&amp;#91;&#44;&lt;&amp;#44;", {"text": "&amp;&#91;&#44;&lt;&#44;"})
        once = [seen("&#44;&amp;", None)]
        self.said("cq_once_inside", "[CQ:image,file=&amp;#44;&amp;amp;]", {"images": once})
        self.said("cq_escaped", "&#91;CQ:at,qq=all&#93;", {"text": "[CQ:at,qq=all]"})
        self.said("cq_all", "[CQ:at,qq=all] 开会", {"text": "@all 开会", "mention_all": True}, group=True)
        self.said("cq_face", "笑[CQ:face,id=14]了[CQ:record,file=x.amr]", {"text": "笑了"})
        self.said("cq_open", "[CQ:at,qq=1", {"text": "[CQ:at,qq=1"})
        self.said("cq_no_code", "[x] [CQ:] [CQ]", {"text": "[x] [CQ:] [CQ]"})
        forward = {"kind": "onebot_forward", "id": "76", "fetch": "action get_forward_msg"}
        self.said("cq_forward", "[CQ:forward,id=76]", {"forward": forward})
        self.said("cq_many", "[CQ:a,b=" * 20_000 + "x", {"text": ("[CQ:a,b=" * 20_000 + "x")})

    def ids(self) -> None:
        texts = {"self_id": str(BOT), "user_id": str(ANN), "message_id": "77"}
        self.said("ids_as_texts", [text("看")], {"text": "看"}, **texts)
        self.said("negative", [text("看")], {"text": "看"}, message_id=-2_147_483_648)
        again = self.event([text("一")], message_id=-5)
        self.accepted("first", again, {"text": "一"})
        self.post("replayed", {"outcome": "duplicate"}, encoded(again), now=NOW + 2)
        self.post("same_id_as_text", {"outcome": "duplicate"}, encoded({**again, "message_id": "-5"}))
        card = {"id": str(ANN), "name": "群名片"}
        self.said(
            "card",
            [text("看")],
            {"text": "看", "sender": card},
            group=True,
            sender={"nickname": NAME, "card": "群名片"},
        )
        self.said("blank_card", [text("看")], {"text": "看"}, group=True, sender={"nickname": NAME, "card": " \u3000"})
        nobody = {"text": "看", "sender": {"id": str(ANN)}}
        for name, sender in (("null_sender", None), ("empty_sender", {})):
            self.said(name, [text("看")], nobody, sender=sender)
        self.accepted("no_sender", without(self.event([text("看")]), "sender"), nobody)
        self.said("group", [text("大家好")], {"text": "大家好"}, group=True)
        self.said("temporary", [text("看")], {"text": "看"}, sub_type="group", group_id=GROUP)
        self.said("body_decides", [text("看")], {"text": "看"})
        self.cases[-1]["request"]["headers"].pop("X-Self-ID")

    def ignored(self) -> None:
        for kind in ("meta_event", "notice", "request", "something_new"):
            self.dropped(kind, "event", {"time": NOW, "self_id": BOT, "post_type": kind})
        self.dropped("message_sent", "self_message", self.event([text("x")], post_type="message_sent"))
        self.dropped("own_user", "self_message", self.event([text("x")], user_id=BOT))
        self.dropped("own_user_text", "self_message", self.event([text("x")], user_id=str(BOT)))
        for kind in (
            "face",
            "record",
            "video",
            "json",
            "markdown",
            "poke",
            "dice",
            "file",
            "mface",
            "location",
            "share",
        ):
            self.dropped(f"only_{kind}", "unsupported_type", self.event([{"type": kind, "data": {"file": "x"}}]))
        self.dropped("cq_only_face", "unsupported_type", self.event("[CQ:face,id=1]"))
        self.dropped("guild", "unsupported_type", self.event([text("x")], message_type="guild"))

    def times(self) -> None:
        for name, sent, now in (
            ("oldest", NOW - 300, NOW),
            ("newest", NOW + 300, NOW),
            ("fraction", NOW - 300, NOW + 0.9),
        ):
            self.accepted(name, self.event([text("看")], time=sent), {"text": "看"}, now=now)
        for name, sent in (("old", NOW - 301), ("early", NOW + 301), ("zero", 0), ("negative", -1), ("ms", NOW * 1000)):
            self.dropped(f"stale_{name}", "stale", self.event([text("看")], time=sent))
        late = self.event([text("看")], time=NOW - 400)
        self.dropped("stale_first", "stale", late)
        self.accepted("then_fresh", {**late, "time": NOW}, {"text": "看"})
        self.dropped("stale_heartbeat", "stale", {"time": 1, "self_id": BOT, "post_type": "meta_event"})

    def signatures(self) -> None:
        body = encoded(self.event([text("看")]))
        right = signature(SECRET, body)
        for name, given in (
            ("zeros", "sha1=" + "0" * 40),
            ("other_key", signature("another", body)),
            ("empty_key", signature("", body)),
            ("other_body", signature(SECRET, body + b" ")),
            ("upper", "sha1=" + right[5:].upper()),
            ("no_prefix", right[5:]),
            ("upper_prefix", "SHA1=" + right[5:]),
            ("sha256", "sha256=" + "0" * 64),
            ("short", right[:-1]),
            ("long", right + "0"),
            ("space", right.replace("=", "= ")),
            ("twice", f"{right}, {right}"),
            ("chinese", "sha1=签名"),
            ("surrogate", "sha1=\udcff"),
            ("only_prefix", "sha1="),
        ):
            self.refused(f"signature_{name}", "bad_signature", body, sign=given)
        self.refused("signature_empty", "missing_signature", body, sign="")
        self.refused("signature_none", "missing_signature", body, headers={"X-Signature": None})
        bearer = {"X-Signature": None, "Authorization": f"Bearer {TOKEN}"}
        self.refused("bearer_instead", "missing_signature", body, headers=bearer)
        self.refused("shut", "bad_signature", body, config="socket_only", sign=signature("", body))
        self.refused("shut_unsigned", "missing_signature", body, config="socket_only", headers={"X-Signature": None})
        self.accepted("post_only", self.event([text("看")]), {"text": "看"}, config="post_only")
        self.refused("wrong_bot", "wrong_bot", self.event([text("看")], self_id=BOT + 1))
        self.refused("wrong_bot_event", "wrong_bot", {"time": NOW, "self_id": 1, "post_type": "notice"})
        large = self.event([text("x" * (1 << 20))])
        self.refused("too_large", "too_large", large)
        self.refused("too_large_unsigned", "too_large", b"x" * ((1 << 20) + 1), headers={"X-Signature": None})
        self.refused("unsigned_rubbish", "bad_signature", b"[1,2", sign="sha1=1")

    def malformed(self) -> None:
        good = encoded(self.event([text("看")]))
        for name, body in (
            ("cut", b"[1,2"),
            ("empty", b""),
            ("array", b"[]"),
            ("null", b"null"),
            ("text", b'"x"'),
            ("latin", good.replace("看".encode(), b"\xff")),
            ("twice", good.replace(b'"font"', b'"time"')),
            ("nan", good.replace(b'"font": 14', b'"font": NaN')),
            ("infinity", good.replace(b'"font": 14', b'"font": -Infinity')),
            ("deep", good.replace(b'"font": 14', b'"font": ' + b"[" * 65 + b"]" * 65)),
            ("deeper", b"[" * 100_000),
            ("form", b"time=1&self_id=2"),
        ):
            self.refused(f"body_{name}", "malformed", body)
        for name in ("time", "self_id", "post_type", "message_type", "message_id", "user_id", "message"):
            self.refused(f"no_{name}", "malformed", without(self.event([text("看")]), name))
        self.refused("no_group_id", "malformed", without(self.event([text("看")], group=True), "group_id"))
        for name, value in (("time", str(NOW)), ("time", NOW + 0.0), ("time", True), ("time", None)):
            self.refused(f"{name}_{type(value).__name__}", "malformed", self.event([text("看")], **{name: value}))
        for name in ("self_id", "message_id", "user_id"):
            for value in (1.5, True, None, [], {}, "", "x" * 513):
                kind = f"{name}_{type(value).__name__}_{len(str(value))}"
                self.refused(kind, "malformed", self.event([text("看")], **{name: value}))
        for number, segment in enumerate(
            (
                7,
                "看",
                None,
                {},
                {"type": 1, "data": {}},
                {"type": "text"},
                {"type": "text", "data": {}},
                {"type": "text", "data": {"text": 1}},
                {"type": "text", "data": "看"},
                {"type": "at", "data": {}},
                {"type": "at", "data": {"qq": 1.0}},
                {"type": "at", "data": {"qq": ""}},
                {"type": "image", "data": {}},
                {"type": "image", "data": {"file": 1}},
                {"type": "image", "data": {"file": "a", "url": []}},
                {"type": "reply", "data": None},
                {"type": "forward", "data": {"id": None}},
            )
        ):
            self.refused(f"segment_{number}", "malformed", self.event([text("看"), segment]))
        for number, message in enumerate((None, 1, True, {"type": "text", "data": {"text": "看"}})):
            self.refused(f"message_{number}", "malformed", self.event(message))
        self.refused("cq_at_nobody", "malformed", self.event("[CQ:at]看"))
        self.refused("sender_text", "malformed", self.event([text("看")], sender="安"))

    def sockets(self) -> None:
        self.socket("ws", "")
        for role in ("Event", "API", "universal", None):
            self.socket(f"ws_{role}", "", **{"X-Client-Role": role})
        self.socket("ws_upgrade", "", Upgrade="WebSocket")
        for name, given in (
            ("other", "Bearer nope"),
            ("empty", "Bearer "),
            ("bare", TOKEN),
            ("scheme", f"Token {TOKEN}"),
            ("case", f"bearer {TOKEN}"),
            ("token_case", f"Bearer {TOKEN.upper()}"),
            ("spaces", f"Bearer  {TOKEN}"),
            ("more", f"Bearer {TOKEN}, Bearer {TOKEN}"),
            ("chinese", "Bearer 口令"),
            ("surrogate", f"Bearer {TOKEN}\udcff"),
        ):
            self.socket(f"ws_token_{name}", "bad_signature", Authorization=given)
        self.socket("ws_no_token", "missing_signature", Authorization=None)
        self.socket("ws_empty_header", "missing_signature", Authorization="")
        self.socket("ws_shut", "bad_signature", config="post_only")
        self.socket("ws_shut_empty", "bad_signature", config="post_only", Authorization="Bearer ")
        self.socket("ws_only", "", config="socket_only")
        for name, given in (
            ("other", str(BOT + 1)),
            ("none", None),
            ("empty", ""),
            ("twice", f"{BOT}, {BOT}"),
            ("wide", "２"),
        ):
            self.socket(f"ws_self_{name}", "wrong_bot", **{"X-Self-ID": given})
        self.socket("ws_no_upgrade", "handshake_refused", Upgrade=None)
        self.socket("ws_odd_role", "handshake_refused", **{"X-Client-Role": "Admin"})

    def socket(self, name: str, reason: str, config: str = "default", **changes: str | None) -> None:
        """A handshake; with a reason it is refused."""
        headers = {
            "Upgrade": "websocket",
            "Connection": "Upgrade",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": "AAECAwQFBgcICQoLDA0ODw==",
            "X-Self-ID": str(BOT),
            "X-Client-Role": "Universal",
            "User-Agent": "OneBot/11",
            "Authorization": f"Bearer {TOKEN}",
            **changes,
        }
        given = {key: value for key, value in headers.items() if value is not None}
        expect = {"outcome": "rejected", "reason": reason} if reason else {"outcome": "handshake"}
        self.add(name, config, NOW, "GET", given, b"", expect)


def without(event: Json, name: str) -> Json:
    return {key: value for key, value in event.items() if key != name}


def encoded(event: Json) -> bytes:
    """JSON as clients write it; what UTF-8 cannot hold is escaped."""
    try:
        return json.dumps(event, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return json.dumps(event).encode()
