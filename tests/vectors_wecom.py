"""Callbacks to a self-built app of WeCom and what each must lead to, made by code that shares nothing with the bot."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from adapters.simulated.envelope import Signer, document

NOW = 1_795_000_000
TOKEN, CORP_ID, AGENT_ID = "token2026", "ww1111222233334444", 1000007
AES_KEY = base64.b64encode(bytes(range(96, 128))).decode().rstrip("=")
SIGNER = Signer(TOKEN, CORP_ID, AES_KEY)
STRANGER = Signer("another token", CORP_ID, AES_KEY)
OTHER_KEY = Signer(TOKEN, CORP_ID, base64.b64encode(bytes(range(32))).decode().rstrip("="))
FETCH = "GET https://qyapi.weixin.qq.com/cgi-bin/media/get?access_token=..&media_id=.. (3 days)"
HEAD: dict[str, str | int] = {"ToUserName": CORP_ID, "FromUserName": "LiSi", "CreateTime": NOW}
TEXT: dict[str, str | int] = {**HEAD, "MsgType": "text", "Content": "图里是什么", "MsgId": 1, "AgentID": AGENT_ID}
IMAGE: dict[str, str | int] = {
    **HEAD,
    "MsgType": "image",
    "PicUrl": "http://wework.qpic.cn/wwpic/1_a&b/0?x=1",
    "MediaId": "1G6nrLmr5EC3MMb_-zK1dDdzmd0p7cNliYu",
    "MsgId": 2,
    "AgentID": AGENT_ID,
}
EVENT: dict[str, str | int] = {**HEAD, "MsgType": "event", "Event": "enter_agent", "EventKey": "", "AgentID": AGENT_ID}
Expect = dict[str, Any]


def vectors() -> dict[str, Any]:
    """The file: every decision and attack."""
    return _File().data()


class _File:
    def __init__(self) -> None:
        self.cases: list[dict[str, Any]] = []
        self.number = 4_561_255_354_251_345_929

    def data(self) -> dict[str, Any]:
        self.handshakes()
        self.messages()
        self.ignored()
        self.unfit()
        self.xml()
        self.signatures()
        self.sealed()
        secrets = {"token": TOKEN, "encoding_aes_key": AES_KEY, "corp_id": CORP_ID, "agent_id": AGENT_ID}
        return {
            "platform": "wecom_app",
            "secrets": {"default": secrets},
            "policy": {"max_age_s": 300},
            "cases": self.cases,
        }

    # ------------------------------------------------------------------ cases

    def handshakes(self) -> None:
        echo = SIGNER.seal(b"7286041120419190000")
        good = SIGNER.query(str(NOW), "n1", echo) | {"echostr": echo}
        answered = {"outcome": "handshake", "response": {"text": "7286041120419190000"}}
        for age in (0, 300, -300):
            self.add("handshake", b"", good, answered, method="GET", now=NOW + age)
        for age in (301, -301):
            self.add("handshake_stale", b"", good, rejected("stale"), method="GET", now=NOW + age)
        forged = good | {"msg_signature": "0" * 40}
        self.add("handshake_forged", b"", forged, rejected("bad_signature"), method="GET")
        spaced = good | {"echostr": echo.replace("+", " ") + " "}
        self.add("handshake_spaced", b"", spaced, rejected("bad_signature"), method="GET")
        bare = {name: value for name, value in good.items() if name != "msg_signature"}
        self.add("handshake_bare", b"", bare, rejected("missing_signature"), method="GET")
        mute = {name: value for name, value in good.items() if name != "echostr"}
        self.add("handshake_mute", b"", mute, rejected("malformed"), method="GET")
        other = SIGNER.seal(b"1", "ww_other")
        self.add(
            "handshake_other_company",
            b"",
            SIGNER.query(str(NOW), "n", other) | {"echostr": other},
            rejected("wrong_receive_id"),
            method="GET",
        )
        binary = SIGNER.seal(b"\xff\xfe")
        query = SIGNER.query(str(NOW), "n", binary) | {"echostr": binary}
        self.add("handshake_binary", b"", query, rejected("malformed"), method="GET")

    def messages(self) -> None:
        for text, seen in (
            ("图里是什么", "图里是什么"),
            ("  　两头\n", "两头"),
            ("中间  两格\n\n\t缩进\u00a0", "中间  两格\n\n\t缩进"),
            ("<b>&amp; &lt;", "<b>&amp; &lt;"),
            ("<!DOCTYPE html><!ENTITY x>", "<!DOCTYPE html><!ENTITY x>"),
            ("<ImageHere> </s> <|im_end|> [UNUSED_TOKEN_145]", "<ImageHere> </s> <|im_end|> [UNUSED_TOKEN_145]"),
            ("]]>", "]]>"),
            ("@看图 @所有人 👩‍👩‍👧\u202e", "@看图 @所有人 👩‍👩‍👧\u202e"),
            ("   ", ""),
            ("", ""),
            ("长" * 50_000, "长" * 50_000),
        ):
            values, message = self.text(text, seen)
            self.deliver("text", values, accepted(message))
        values, message = self.text("再来一次", "再来一次")
        self.deliver("first", values, accepted(message))
        self.deliver("again", values, {"outcome": "duplicate"}, now=NOW + 5, sent=NOW + 5)
        for source in (IMAGE["PicUrl"], ""):
            id = self.next()
            picture = {"kind": "wecom_media", "media_id": IMAGE["MediaId"], "pic_url": source or None, "fetch": FETCH}
            self.deliver("image", IMAGE | {"MsgId": id, "PicUrl": source}, accepted(expected(id, "", [picture])))
        voice = {**HEAD, "MsgType": "voice", "MediaId": "m", "Format": "amr", "AgentID": AGENT_ID}
        id = self.next()
        spoken = {**voice, "MsgId": id, "Recognition": " 这是什么花 "}
        self.deliver("voice", spoken, accepted(expected(id, "这是什么花")))
        for blank in ({}, {"Recognition": ""}, {"Recognition": " \n"}):
            self.deliver("voice_mute", voice | {"MsgId": self.next()} | blank, ignored("unsupported_type"))
        values, message = self.text("没有应用编号", "没有应用编号")
        self.deliver("no_agent", without(values, "AgentID"), accepted(message))

    def ignored(self) -> None:
        for kind in ("video", "shortvideo", "location", "link", "file", "miniprogram", "TEXT", "未知"):
            values = {**HEAD, "MsgType": kind, "MsgId": 9, "AgentID": AGENT_ID}
            self.deliver("unsupported", values, ignored("unsupported_type"))
            self.deliver("unsupported_again", values, ignored("unsupported_type"))
        self.deliver("event", EVENT, ignored("event"))
        self.deliver("event_again", EVENT, {"outcome": "duplicate"})
        self.deliver("event_other_user", EVENT | {"FromUserName": "ZhangSan"}, ignored("event"))
        self.deliver("event_later", EVENT | {"CreateTime": NOW + 1}, ignored("event"))
        self.deliver("event_unnamed", {**without(EVENT, "Event"), "CreateTime": NOW + 2}, ignored("event"))

    def unfit(self) -> None:
        for name in ("FromUserName", "CreateTime", "MsgType", "Content", "MsgId"):
            self.deliver(f"without_{name}", without(TEXT, name), rejected("malformed"))
        self.deliver("without_MediaId", without(IMAGE, "MediaId"), rejected("malformed"))
        for name in ("FromUserName", "CreateTime"):
            self.deliver(f"event_without_{name}", without(EVENT, name), rejected("malformed"))
        for name, value in (
            ("FromUserName", ""),
            ("FromUserName", "x" * 513),
            ("MsgId", ""),
            ("MsgType", ""),
            ("CreateTime", "-1"),
            ("CreateTime", "1e9"),
            ("CreateTime", "1795000000.5"),
            ("CreateTime", "１７９５０００００１"),
            ("CreateTime", "99999999999999999999999"),
        ):
            self.deliver(f"wrong_{name}", TEXT | {name: value}, rejected("malformed"))
        for agent in ("1000008", "0", "x", "１０００００７"):
            self.deliver("wrong_agent", TEXT | {"AgentID": agent}, rejected("wrong_bot"))

    def xml(self) -> None:
        id = self.next()
        inside = (
            f"<xml><!-- c --><AgentID>{AGENT_ID}</AgentID><New><Deep>1</Deep></New><MsgId>{id}</MsgId>"
            "<Content><![CDATA[甲]]>乙&amp;<![CDATA[]]]]><![CDATA[>丙]]></Content><MsgType>text</MsgType>"
            f"<CreateTime>\n{NOW} </CreateTime><FromUserName>LiSi</FromUserName></xml>"
        )
        self.plain("mixed_cdata", inside.encode(), accepted(expected(id, "甲乙&]]>丙")))
        for content, seen in (
            ("甲<!-- 注 -->乙<?x y?>丙", "甲乙丙"),
            ("a\r\nb\rc", "a\nb\nc"),
            ("a&#13;b", "a\rb"),
            ("&#x1F338;&#127800;", "🌸🌸"),
            ("&lt;!DOCTYPE html&gt;&amp;amp;", "<!DOCTYPE html>&amp;"),
            ("\u00a0a\u200b\u2028", "a\u200b"),
        ):
            id = self.next()
            plain = document(TEXT | {"MsgId": id, "Content": "@@"}).decode()
            self.plain("written", plain.replace("@@", content).encode(), accepted(expected(id, seen)))
        for content in ("&#0;", "\x01", "a\0", "&#xD800;", "&nbsp;", "&unknown;"):
            plain = document(TEXT | {"MsgId": self.next(), "Content": "@@"}).decode()
            self.plain("unwritten", plain.replace("@@", content).encode(), rejected("malformed"))
        id = self.next()
        document16 = document(TEXT | {"MsgId": id}).decode()
        utf16 = f'<?xml version="1.0" encoding="UTF-16"?>{document16}'.encode("utf-16")
        self.plain("utf16", utf16, accepted(expected(id, "图里是什么")))
        bomb = '<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]>'
        sealed_bomb = f"{bomb}<xml><Content>&b;</Content></xml>".encode()
        self.plain("doctype_inside", sealed_bomb, rejected("malformed"))
        utf16_bomb = f'<?xml version="1.0" encoding="UTF-16"?>{bomb}<xml/>'.encode("utf-16")
        self.plain("doctype_inside_utf16", utf16_bomb, rejected("malformed"))
        for body in (
            b"",
            b"hello",
            b"<xml>",
            b"<xml><MsgType>text</xml>",
            b'{"MsgType":"text"}',
            b"\xff\xfe",
            b"<xml/>",
        ):
            self.plain("no_xml_inside", body, rejected("malformed"))
        self.plain("deep", b"<xml>" + b"<a>" * 20_000 + b"</a>" * 20_000 + b"</xml>", rejected("malformed"))
        nothing = SIGNER.query(str(NOW), "n", "")
        outside = (
            b"",
            b"hello",
            b"<xml><Encrypt>",
            b"<xml/>",
            b"<xml><encrypt>a</encrypt></xml>",
            f"{bomb}<xml/>".encode(),
        )
        for body in outside:
            self.add("no_xml", body, nothing, rejected("malformed"))
        values, message = self.text("先后不论", "先后不论")
        ciphertext = SIGNER.seal(document(values))
        query = SIGNER.query(str(NOW), "n", ciphertext)
        body = document({"Encrypt": ciphertext, "AgentID": 1, "ToUserName": "ww_forged", "Content": "forged"})
        self.add("beside_the_envelope", body, query, accepted(message))

    def signatures(self) -> None:
        values, message = self.text("时间", "时间")
        ciphertext = SIGNER.seal(document(values))
        body = document({"Encrypt": ciphertext})
        good = SIGNER.query(str(NOW), "n", ciphertext)
        for age in (301, -301):
            self.add("stale", body, good, rejected("stale"), now=NOW + age)
        self.add("after_stale", body, good, accepted(message), now=NOW + 300.9)
        for name in good:
            self.add(f"without_{name}", body, without(good, name), rejected("missing_signature"))
        self.add("empty_signature", body, good | {"msg_signature": ""}, rejected("missing_signature"))
        right = good["msg_signature"]
        for wrong in (right.upper(), right[:-1], right + "0", "看" * 40, "0" * 40, f" {right}"):
            self.add("forged", body, good | {"msg_signature": wrong}, rejected("bad_signature"))
        for stamp in ("", "-1", "+1", " 1", "1.0", "1e9", "1_0", "nan", "Infinity", "１７９５００００００", "1" * 16):
            signed = SIGNER.query(stamp, "n", ciphertext)
            self.add("malformed_timestamp", body, signed, rejected("malformed_timestamp"))
        milliseconds = SIGNER.query(str(NOW * 1000), "n", ciphertext)
        self.add("milliseconds", body, milliseconds, rejected("stale"))
        for changed in ({"timestamp": str(NOW + 1)}, {"nonce": "m"}):
            self.add("changed", body, good | changed, rejected("bad_signature"))
        strange = STRANGER.query(str(NOW), "n", ciphertext)
        self.add("another_token", body, strange, rejected("bad_signature"))
        later = STRANGER.query(str(NOW - 400), "n", ciphertext)
        self.add("forged_before_stale", body, later, rejected("bad_signature"))
        self.add("malformed_before_forged", b"<xml>", later, rejected("malformed"))
        self.add("too_large", b"<xml>" + b" " * (1 << 20), {}, rejected("too_large"))

    def sealed(self) -> None:
        values, _ = self.text("密文", "密文")
        message = document(values)
        for other in ("", "ww1111222233334445", CORP_ID + " ", CORP_ID.upper(), CORP_ID + "x"):
            self.cipher("wrong_receive_id", SIGNER.seal(message, other), rejected("wrong_receive_id"))
        self.cipher("another_key", OTHER_KEY.seal(message), rejected("decrypt_failed"))
        packed = bytes(16) + len(message).to_bytes(4, "big") + message + CORP_ID.encode()
        size = 32 - len(packed) % 32
        for wrong in (bytes(size), bytes([size]) * (size - 1) + bytes([size - 1 or 2]), bytes([33]) * size):
            if len(packed + wrong) % 16 == 0:
                self.cipher("padding", SIGNER.encrypted(packed + wrong), rejected("decrypt_failed"))
        long = bytes(16) + (1 << 31).to_bytes(4, "big") + message + CORP_ID.encode()
        self.cipher("length", SIGNER.encrypted(long + bytes([size]) * size), rejected("decrypt_failed"))
        self.cipher("short", SIGNER.encrypted(bytes([16]) * 16), rejected("decrypt_failed"))
        for text in ("", "!", "AAAA", "AA==", "看图", SIGNER.seal(message)[:-4], SIGNER.seal(message) + "\n"):
            self.cipher("no_ciphertext", text, rejected("decrypt_failed"))
        flipped = bytearray(base64.b64decode(SIGNER.seal(message)))
        flipped[-17] ^= 1
        self.cipher("flipped", base64.b64encode(flipped).decode(), rejected("decrypt_failed"))

    # ---------------------------------------------------------------- helpers

    def next(self) -> str:
        self.number += 1
        return str(self.number)

    def text(self, text: str, seen: str) -> tuple[dict[str, str | int], dict[str, Any]]:
        id = self.next()
        return TEXT | {"MsgId": id, "Content": text}, expected(id, seen)

    def deliver(
        self, kind: str, values: Mapping[str, str | int], expect: Expect, *, now: float = NOW, sent: int = NOW
    ) -> None:
        """A message, sealed and signed as it must be."""
        self.plain(kind, document(values), expect, now=now, sent=sent)

    def plain(self, kind: str, message: bytes, expect: Expect, *, now: float = NOW, sent: int = NOW) -> None:
        self.cipher(kind, SIGNER.seal(message), expect, now=now, sent=sent)

    def cipher(self, kind: str, ciphertext: str, expect: Expect, *, now: float = NOW, sent: int = NOW) -> None:
        query = SIGNER.query(str(sent), f"n{len(self.cases)}", ciphertext)
        body = document({"ToUserName": CORP_ID, "AgentID": AGENT_ID, "Encrypt": ciphertext})
        self.add(kind, body, query, expect, now=now)

    def add(
        self,
        kind: str,
        body: bytes,
        query: Mapping[str, str],
        expect: Expect,
        *,
        method: str = "POST",
        now: float = NOW,
    ) -> None:
        request = {
            "method": method,
            "path": "/webhook/wecom",
            "query": dict(query),
            "headers": {"Content-Type": "text/xml"},
            "body_b64": base64.b64encode(body).decode(),
        }
        id = f"wecom_app.{kind}.{len(self.cases)}"
        case = {"id": id, "kind": kind, "config": "default", "now": now, "request": request, "expect": expect}
        self.cases.append(case)


def without(values: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The same without one value."""
    return {key: value for key, value in values.items() if key != name}


def rejected(reason: str) -> Expect:
    return {"outcome": "rejected", "reason": reason}


def ignored(reason: str) -> Expect:
    return {"outcome": "ignored", "reason": reason}


def accepted(message: dict[str, Any]) -> Expect:
    return {"outcome": "accepted", "message": message}


def expected(id: str, text: str, images: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    """The message that a callback is."""
    return {
        "platform": "wecom_app",
        "conversation": {"id": "LiSi", "type": "private"},
        "sender": {"id": "LiSi"},
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
