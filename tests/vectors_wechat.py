"""Requests to a WeChat Official Account and what each must lead to, made by code that shares nothing with the bot."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Mapping
from typing import Any

from adapters.simulated.envelope import document
from adapters.simulated.wechat import Signer

NOW = 1_795_000_000
TOKEN, APP_ID, BOT = "token2026", "wx1111222233334444", "gh_aaaabbbbcccc"
AES_KEY = base64.b64encode(bytes(range(64, 96))).decode().rstrip("=")
PLAIN, SAFE = Signer(TOKEN, APP_ID, ""), Signer(TOKEN, APP_ID, AES_KEY)
STRANGER = Signer("another token", APP_ID, AES_KEY)
TEXT: dict[str, str | int] = {
    "ToUserName": BOT,
    "FromUserName": "oAnn",
    "CreateTime": NOW,
    "MsgType": "text",
    "Content": "图里是什么",
    "MsgId": 1,
}
IMAGE: dict[str, str | int] = {
    **{name: TEXT[name] for name in ("ToUserName", "FromUserName", "CreateTime")},
    "MsgType": "image",
    "PicUrl": "http://mmbiz.qpic.cn/mmbiz_jpg/a&b/0?x=1",
    "MediaId": "media-1_x",
    "MsgId": 2,
}
EVENT: dict[str, str | int] = {"ToUserName": BOT, "FromUserName": "oEve", "CreateTime": NOW, "MsgType": "event"}
FETCH = "GET PicUrl, or GET https://api.weixin.qq.com/cgi-bin/media/get?access_token=..&media_id=.. (3 days)"
Expect = dict[str, Any]


def vectors() -> dict[str, Any]:
    """The file: both modes, every decision and attack."""
    return _File().data()


class _File:
    def __init__(self) -> None:
        self.cases: list[dict[str, Any]] = []
        self.number = 100

    def data(self) -> dict[str, Any]:
        self.handshakes()
        for config in ("default", "aes"):
            self.messages(config)
            self.unfit(config)
            self.xml(config)
        self.signatures()
        self.sealed()
        common = {"token": TOKEN, "app_id": APP_ID, "original_id": BOT}
        return {
            "platform": "wechat_oa",
            "secrets": {
                "default": {**common, "encoding_aes_key": ""},
                "aes": {**common, "encoding_aes_key": AES_KEY},
            },
            "policy": {"max_age_s": 300},
            "cases": self.cases,
        }

    # ------------------------------------------------------------------ cases

    def handshakes(self) -> None:
        for config in ("default", "aes"):
            query = {**PLAIN.query(NOW, "n1"), "echostr": "59423<&>看"}
            expect = {"outcome": "handshake", "response": {"text": "59423<&>看"}}
            self.add("handshake", config, b"", query, expect, method="GET")
            self.add("handshake_edge", config, b"", query, expect, method="GET", now=NOW + 300)
            self.add("handshake_stale", config, b"", query, rejected("stale"), method="GET", now=NOW + 301)
            wrong = query | {"signature": query["signature"][:-1] + "g"}
            self.add("handshake_forged", config, b"", wrong, rejected("bad_signature"), method="GET")
            bare = {name: value for name, value in query.items() if name != "signature"}
            self.add("handshake_bare", config, b"", bare, rejected("missing_signature"), method="GET")
            mute = PLAIN.query(NOW, "n1")
            self.add("handshake_mute", config, b"", mute, rejected("malformed"), method="GET")

    def messages(self, config: str) -> None:
        for text, seen in (
            ("图里是什么", "图里是什么"),
            ("  　两头\n", "两头"),
            ("中间  两格\n\n\t缩进\u00a0", "中间  两格\n\n\t缩进"),
            ("<b>&amp; &lt;", "<b>&amp; &lt;"),
            ("<!DOCTYPE html><!ENTITY x>", "<!DOCTYPE html><!ENTITY x>"),
            ("<ImageHere> </s> <|im_end|>", "<ImageHere> </s> <|im_end|>"),
            ("]]>", "]]>"),
            ("[微笑]👩‍👩‍👧\u202e@所有人", "[微笑]👩‍👩‍👧\u202e@所有人"),
            ("   ", ""),
            ("长" * 50_000, "长" * 50_000),
        ):
            values, message = self.text(text, seen)
            self.deliver("text", config, values, accepted(message))
        values, message = self.text("再来一次", "再来一次")
        self.deliver("first", config, values, accepted(message))
        self.deliver("again", config, values, {"outcome": "duplicate"}, now=NOW + 5)
        self.number += 1
        id = str(self.number)
        source = {"kind": "wechat_media", "media_id": "media-1_x", "pic_url": str(IMAGE["PicUrl"]), "fetch": FETCH}
        self.deliver("image", config, IMAGE | {"MsgId": id}, accepted(expected(id, "", [source])))
        voice = {**TEXT, "MsgType": "voice", "MediaId": "m", "Format": "amr"}
        self.number += 1
        spoken = {**voice, "MsgId": self.number, "Recognition": " 这是什么花 "}
        self.deliver("voice", config, spoken, accepted(expected(str(self.number), "这是什么花")))
        for blank in ({}, {"Recognition": ""}, {"Recognition": " \n"}):
            self.deliver("voice_mute", config, voice | blank, ignored("unsupported_type"))
        for kind in ("video", "shortvideo", "location", "link", "file", "miniprogrampage", "TEXT", "未知"):
            self.deliver(f"kind_{kind}", config, TEXT | {"MsgType": kind}, ignored("unsupported_type"))
        self.deliver("event", config, EVENT | {"Event": "subscribe"}, ignored("event"))
        self.deliver("event_again", config, EVENT | {"Event": "subscribe"}, {"outcome": "duplicate"})
        self.deliver("event_later", config, EVENT | {"Event": "CLICK", "CreateTime": NOW + 1}, ignored("event"))
        self.deliver("event_other", config, EVENT | {"Event": "VIEW", "FromUserName": "oBob"}, ignored("event"))

    def unfit(self, config: str) -> None:
        for name in ("ToUserName", "FromUserName", "CreateTime", "MsgType", "MsgId", "Content"):
            less = {key: value for key, value in TEXT.items() if key != name}
            self.deliver(f"without_{name}", config, less, rejected("malformed"))
        for name in ("PicUrl", "MediaId", "MsgId"):
            less = {key: value for key, value in IMAGE.items() if key != name}
            self.deliver(f"image_without_{name}", config, less, rejected("malformed"))
        for value in ("", "-1", "1e9", "1795000000.0", "١٧٩٥٠٠٠٠٠٠", "9" * 30, "253402300800", "NaN"):
            self.deliver("created", config, TEXT | {"CreateTime": value}, rejected("malformed"))
        for name in ("FromUserName", "MsgId"):
            self.deliver(f"empty_{name}", config, TEXT | {name: ""}, rejected("malformed"))
            self.deliver(f"long_{name}", config, TEXT | {name: "长" * 171}, rejected("malformed"))
        self.deliver("other_account", config, TEXT | {"ToUserName": "gh_other"}, rejected("wrong_bot"))
        self.deliver("other_account_event", config, EVENT | {"ToUserName": BOT.upper()}, rejected("wrong_bot"))
        values, message = self.text("被拒绝的不留痕迹", "被拒绝的不留痕迹")
        self.deliver("late", config, values, rejected("stale"), now=NOW + 301)
        self.deliver("early", config, values, rejected("stale"), now=NOW - 301)
        self.deliver("at_the_edge", config, values, accepted(message), now=NOW + 300)
        values, message = self.text("另一边", "另一边")
        self.deliver("other_edge", config, values, accepted(message), now=NOW - 300)

    def xml(self, config: str) -> None:
        """The same message in other spellings, and what is no message at all."""
        for spelling in (
            "<xml><MsgId>{id}</MsgId><Content><![CDATA[甲&乙]]></Content>{rest}</xml>",
            "<xml>{rest}<Content>甲&amp;乙</Content><MsgId>{id}</MsgId></xml>",
            "<xml>{rest}<Content>甲&#38;&#x4e59;</Content><!-- x --><MsgId><![CDATA[{id}]]></MsgId></xml>",
            "<xml>{rest}<Content><![CDATA[甲&]]><![CDATA[乙]]></Content><MsgId>{id}</MsgId><MsgDataId/></xml>",
            "<?xml version='1.0'?>\n<xml>\n{rest}\n<Content a='b'>甲&amp;乙</Content><MsgId>{id}</MsgId></xml>",
        ):
            self.number += 1
            spelled = spelling.format(id=self.number, rest=_rest()).encode()
            self.raw("spelling", config, spelled, accepted(expected(str(self.number), "甲&乙")))
        self.number += 1
        wide = f"<xml>{_rest()}<Content>宽</Content><MsgId>{self.number}</MsgId></xml>"
        wide = "<?xml version='1.0' encoding='utf-16'?>" + wide
        self.raw("utf16", config, wide.encode("utf-16"), accepted(expected(str(self.number), "宽")))
        good = document(TEXT).decode()
        bomb = "<!DOCTYPE x [<!ENTITY a 'aaaa'><!ENTITY b '&a;&a;&a;'>]>" + good.replace("图里是什么", "&b;")
        for broken in (
            b"",
            b"\xff\xfe\x00",
            b"{}",
            b"<xml><MsgType>",
            b"<xml/>",
            b"plain words",
            good.encode() + b"<xml/>",
            good.replace("图", "&undefined;").encode(),
            good.replace("图", "&#0;").encode(),
            good.replace("图", "&#xd800;").encode(),
            good.replace("图", "\x01").encode(),
            good.encode().replace("图".encode(), b"\xed\xa0\x80"),
            ("<!DOCTYPE xml>" + good).encode(),
            ("<!DOCTYPE xml SYSTEM 'http://127.0.0.1/x'>" + good).encode(),
            bomb.encode(),
            ("<?xml version='1.0' encoding='utf-16'?>" + bomb).encode("utf-16"),
            ("<?xml version='1.0' encoding='klingon'?>" + good).encode(),
            b"<xml>" + b"<a>" * 5_000,
        ):
            self.raw("broken", config, broken, rejected("malformed"))

    def signatures(self) -> None:
        body = document(TEXT | {"MsgId": 50})
        good = PLAIN.query(NOW, "n2")
        for name, value, reason in (
            ("signature", good["signature"].upper(), "bad_signature"),
            ("signature", good["signature"] + " ", "bad_signature"),
            ("signature", good["signature"][:39], "bad_signature"),
            ("signature", "签" * 40, "bad_signature"),
            ("signature", "\ud800", "bad_signature"),
            ("signature", "", "missing_signature"),
            ("nonce", "n3", "bad_signature"),
            ("nonce", "\udfff", "bad_signature"),
            ("timestamp", str(NOW + 1), "bad_signature"),
            ("timestamp", f"+{NOW}", "malformed_timestamp"),
            ("timestamp", f" {NOW}", "malformed_timestamp"),
            ("timestamp", f"{NOW}.0", "malformed_timestamp"),
            ("timestamp", "1_795_000_000", "malformed_timestamp"),
            ("timestamp", "１７９５００００００", "malformed_timestamp"),
            ("timestamp", "1" * 16, "malformed_timestamp"),
            ("timestamp", "NaN", "malformed_timestamp"),
            ("timestamp", "", "malformed_timestamp"),
        ):
            self.add(f"plain_{name}", "default", body, good | {name: value}, rejected(reason))
        for name in ("signature", "timestamp", "nonce"):
            less = {key: value for key, value in good.items() if key != name}
            self.add(f"plain_without_{name}", "default", body, less, rejected("missing_signature"))
        self.add("plain_stranger", "default", body, STRANGER.query(NOW, "n2"), rejected("bad_signature"))
        self.add("plain_forged_broken", "default", b"<xml>", good | {"signature": "x"}, rejected("bad_signature"))
        late = PLAIN.query(NOW - 301, "n")
        self.add("plain_stale_broken", "default", b"<xml>", late, rejected("stale"))
        self.add("plain_too_large", "default", b"x" * ((1 << 20) + 1), {}, rejected("too_large"))
        # The scheme cannot tell a changed body, nor a nonce that comes twice.
        for id in (51, 52):
            expect = accepted(expected(str(id), "图里是什么"))
            self.add("plain_same_nonce", "default", document(TEXT | {"MsgId": id}), good, expect)
        self.add("plain_after_rejections", "default", body, good, accepted(expected("50", "图里是什么")))
        body = document({"ToUserName": BOT, "Encrypt": SAFE.seal(document(TEXT))})
        self.add("plain_gets_sealed", "default", body, good, rejected("malformed"))

    def sealed(self) -> None:
        inner = document(TEXT | {"MsgId": 60})
        encrypted = SAFE.seal(inner)
        body, good = document({"Encrypt": encrypted}), SAFE.query(NOW, "n4", encrypted)
        for name, value, reason in (
            ("msg_signature", "0" * 40, "bad_signature"),
            ("msg_signature", good["msg_signature"].upper(), "bad_signature"),
            ("msg_signature", good["signature"], "bad_signature"),
            ("msg_signature", "é", "bad_signature"),
            ("msg_signature", "", "missing_signature"),
            ("nonce", "n5", "bad_signature"),
            ("timestamp", "-1", "malformed_timestamp"),
        ):
            self.add(f"aes_{name}", "aes", body, good | {name: value}, rejected(reason))
        outer = {key: value for key, value in good.items() if key != "msg_signature"}
        self.add("aes_downgrade", "aes", inner, PLAIN.query(NOW, "n"), rejected("missing_signature"))
        self.add("aes_outer_only", "aes", body, outer, rejected("missing_signature"))
        raw = good | {"encrypt_type": "raw"}
        self.add("aes_plain_body", "aes", inner, raw, rejected("malformed"))
        self.add("aes_too_large", "aes", b"x" * ((1 << 20) + 1), good, rejected("too_large"))
        doctype = b"<!DOCTYPE xml>" + body
        self.add("aes_outer_doctype", "aes", doctype, good, rejected("malformed"))
        # Compatibility mode: what stands beside Encrypt may say anything.
        beside = document({**TEXT, "Content": "伪造的", "MsgId": 999, "FromUserName": "oMallory", "Encrypt": encrypted})
        self.add("aes_compatible", "aes", beside, good, accepted(expected("60", "图里是什么")))
        twice = b"<xml><Encrypt>x</Encrypt>" + body.removeprefix(b"<xml>")
        self.add("aes_two_encrypts", "aes", twice, good, rejected("bad_signature"))
        self.envelope("aes_no_base64", "!" + encrypted, "decrypt_failed")
        self.envelope("aes_spaces", encrypted[:8] + "\n" + encrypted[8:], "decrypt_failed")
        self.envelope("aes_half_block", encrypted[:-8] + "====", "decrypt_failed")
        self.envelope("aes_short", base64.b64encode(b"x" * 8).decode(), "decrypt_failed")
        self.envelope("aes_nothing", "", "decrypt_failed")
        for app_id in ("", "wx0000000000000000", APP_ID.upper(), APP_ID + "\0", APP_ID[:-1]):
            self.envelope("aes_other_account", SAFE.seal(inner, app_id), "wrong_receive_id")
        head = secrets.token_bytes(16)
        packed = head + len(inner).to_bytes(4, "big") + inner + APP_ID.encode()
        pad = 32 - len(packed) % 32
        assert pad > 1
        for name, padded in (
            ("zero", _to_block(packed, b"\0")),
            ("uneven", packed + b"\1" * (pad - 1) + bytes([pad])),
            ("more_than_32", packed + bytes([pad + 32]) * (pad + 32)),
            ("inner_length", _padded(head + (1 << 30).to_bytes(4, "big") + inner + APP_ID.encode())),
            ("only_padding", bytes([32]) * 32),
            ("no_head", _padded(b"x" * 10)),
        ):
            self.envelope(f"aes_{name}", SAFE.encrypted(padded), "decrypt_failed")
        other = Signer(TOKEN, APP_ID, base64.b64encode(b"k" * 32).decode().rstrip("="))
        wrong = document({"Encrypt": other.seal(inner)})
        query = SAFE.query(NOW, "n", other.seal(inner))
        self.add("aes_other_ciphertext", "aes", wrong, query, rejected("bad_signature"))
        self.envelope("aes_inner_broken", SAFE.seal(b"<xml><MsgType>"), "malformed")
        self.envelope("aes_inner_empty", SAFE.seal(b""), "malformed")
        self.envelope("aes_inner_doctype", SAFE.seal(b"<!DOCTYPE xml>" + inner), "malformed")
        values, message = self.text("不看外层签名", "不看外层签名")
        ciphertext = SAFE.seal(document(values))
        query = SAFE.query(NOW, "n", ciphertext) | {"signature": "0"}
        self.add("aes_outer_wrong", "aes", document({"Encrypt": ciphertext}), query, accepted(message))

    # ---------------------------------------------------------------- helpers

    def text(self, content: str, seen: str) -> tuple[dict[str, str | int], Expect]:
        self.number += 1
        return TEXT | {"Content": content, "MsgId": self.number}, expected(str(self.number), seen)

    def deliver(self, id: str, config: str, values: Mapping[str, str | int], expect: Expect, *, now: int = NOW) -> None:
        self.raw(id, config, document(values), expect, now=now)

    def raw(self, id: str, config: str, message: bytes, expect: Expect, *, now: int = NOW) -> None:
        if config == "aes":
            ciphertext = SAFE.seal(message)
            body = document({"ToUserName": BOT, "Encrypt": ciphertext})
            self.add(id, config, body, SAFE.query(NOW, "n", ciphertext), expect, now=now)
        else:
            self.add(id, config, message, PLAIN.query(NOW, "n"), expect, now=now)

    def envelope(self, id: str, ciphertext: str, reason: str) -> None:
        query = SAFE.query(NOW, "n", ciphertext)
        query["msg_signature"] = SAFE.signature(str(NOW), "n", ciphertext)
        self.add(id, "aes", document({"Encrypt": ciphertext}), query, rejected(reason))

    def add(
        self,
        id: str,
        config: str,
        body: bytes,
        query: Mapping[str, str],
        expect: Expect,
        *,
        method: str = "POST",
        now: int = NOW,
    ) -> None:
        request = {
            "method": method,
            "path": "/webhook/wechat",
            "query": dict(query),
            "headers": {"Content-Type": "text/xml"} if body else {},
            "body_b64": base64.b64encode(body).decode(),
        }
        name = f"wechat_oa.{len(self.cases)}.{config}.{id}"
        kind = str(expect["outcome"])
        case = {"id": name, "kind": kind, "config": config, "now": now, "request": request, "expect": expect}
        self.cases.append(case)


def rejected(reason: str) -> Expect:
    return {"outcome": "rejected", "reason": reason}


def ignored(reason: str) -> Expect:
    return {"outcome": "ignored", "reason": reason, "response": {"text": "success"}}


def accepted(message: Expect) -> Expect:
    return {"outcome": "accepted", "message": message, "response": {"text": "success"}}


def expected(id: str, text: str, images: list[Any] | None = None) -> Expect:
    return {
        "platform": "wechat_oa",
        "conversation": {"id": "oAnn", "type": "private"},
        "sender": {"id": "oAnn"},
        "message_id": id,
        "dedup_key": id,
        "text": text,
        "images": images or [],
        "mentions": [],
        "mentioned_bot": False,
        "reply_to": None,
        "quoted": None,
        "sent_at": NOW,
    }


def _rest() -> str:
    return "".join(f"<{name}>{TEXT[name]}</{name}>" for name in ("FromUserName", "ToUserName", "CreateTime", "MsgType"))


def _padded(packed: bytes) -> bytes:
    pad = 32 - len(packed) % 32
    return packed + bytes([pad]) * pad


def _to_block(packed: bytes, filler: bytes) -> bytes:
    return packed + filler * (32 - len(packed) % 32)
