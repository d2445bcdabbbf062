"""Requests to a WeCom AI bot and what each must lead to, made by code that shares nothing with the bot."""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Mapping
from typing import Any

from adapters.simulated.envelope import Signer, padded

NOW = 1_795_000_000
TOKEN, BOT, NAME = "token2026", "aibTESTtestTEST0001", "看图助手"
AES_KEY = base64.b64encode(bytes(range(32, 64))).decode().rstrip("=")
OWN = Signer(TOKEN, "", AES_KEY)
#: A bot of another company, and one whose name is full of characters with a meaning elsewhere.
AGENCY = Signer(TOKEN, "ww1111222233334444", AES_KEY)
ODD_NAME = "A.I (β) *bot*"
SIGNERS = {"default": OWN, "agency": AGENCY, "odd": OWN}
FETCH = "GET url (no auth, 5 min), then AES-256-CBC decrypt with EncodingAESKey"
URL = "https://ww-aibot-img-1258476243.cos.ap-guangzhou.myqcloud.com/a/1?sign=x&t=2"
REPLY = "https://qyapi.weixin.qq.com/cgi-bin/aibot/response?response_code=RC"
Json = dict[str, Any]


def vectors() -> Json:
    """The file: every kind, decision and attack."""
    return _File().data()


def text(content: Any) -> Json:
    return {"msgtype": "text", "text": {"content": content}}


def image(url: Any = URL) -> Json:
    return {"msgtype": "image", "image": {"url": url}}


def mixed(*items: Any) -> Json:
    return {"msgtype": "mixed", "mixed": {"msg_item": list(items)}}


def rejected(reason: str) -> Json:
    return {"outcome": "rejected", "reason": reason}


def ignored(reason: str) -> Json:
    return {"outcome": "ignored", "reason": reason}


def encoded(data: Any) -> bytes:
    return json.dumps(data, ensure_ascii=False).encode()


class _File:
    def __init__(self) -> None:
        self.cases: list[Json] = []
        self.number = 0

    def data(self) -> Json:
        self.handshakes()
        self.texts()
        self.mentions()
        self.pictures()
        self.quotes()
        self.other_kinds()
        self.streams()
        self.repeated()
        self.unfit()
        self.spellings()
        self.signatures()
        self.sealed()
        common = {"token": TOKEN, "encoding_aes_key": AES_KEY, "receive_id": "", "aibotid": BOT, "bot_name": NAME}
        return {
            "platform": "wecom_aibot",
            "secrets": {
                "default": common,
                "agency": common | {"receive_id": AGENCY.receive_id},
                "odd": common | {"bot_name": ODD_NAME},
            },
            "policy": {"max_age_s": 300},
            "cases": self.cases,
        }

    # ------------------------------------------------------------------- honest

    def handshakes(self) -> None:
        for config, signer in SIGNERS.items():
            sealed = signer.seal("59423<&>看".encode())
            query = {**signer.query(NOW, "n", sealed), "echostr": sealed}
            found = {"outcome": "handshake", "response": {"text": "59423<&>看"}}
            self.add("handshake", b"", query, found, method="GET", config=config)
        sealed = OWN.seal(b"1")
        query = {**OWN.query(NOW, "n", sealed), "echostr": sealed}
        found = {"outcome": "handshake", "response": {"text": "1"}}
        self.add("handshake_edge", b"", query, found, method="GET", now=NOW - 300)
        for name, change, reason in (
            ("stale", {}, "stale"),
            ("forged", {"msg_signature": "0" * 40}, "bad_signature"),
            ("bare", {"msg_signature": ""}, "missing_signature"),
            ("time", {"timestamp": "1e9"}, "malformed_timestamp"),
            ("other_echo", {"echostr": OWN.seal(b"2")}, "bad_signature"),
        ):
            now = NOW + 301 if reason == "stale" else NOW
            self.add(f"handshake_{name}", b"", query | change, rejected(reason), method="GET", now=now)
        mute = {name: value for name, value in query.items() if name != "echostr"}
        self.add("handshake_mute", b"", mute, rejected("malformed"), method="GET")
        for name, sealed, reason in (
            ("bytes", OWN.seal(b"\xff\xfe"), "malformed"),
            ("other_company", AGENCY.seal(b"1"), "wrong_receive_id"),
            ("garbage", "AAAA", "decrypt_failed"),
        ):
            query = {**OWN.query(NOW, "n", sealed), "echostr": sealed}
            self.add(f"handshake_{name}", b"", query, rejected(reason), method="GET")

    def texts(self) -> None:
        for said, seen in (
            ("图里是什么", "图里是什么"),
            ("  　两头\n", "两头"),
            ("中间  两格\n\n\t缩进\u00a0", "中间  两格\n\n\t缩进"),
            ("<b>&amp; &lt; <!DOCTYPE html>", "<b>&amp; &lt; <!DOCTYPE html>"),
            ("<ImageHere> </s> <|im_end|> [UNUSED_TOKEN_145]", "<ImageHere> </s> <|im_end|> [UNUSED_TOKEN_145]"),
            ("[微笑]👩‍👩‍👧\u202e\u200b@所有人", "[微笑]👩‍👩‍👧\u202e\u200b@所有人"),
            ("a\r\nb", "a\r\nb"),
            ("", ""),
            (" \u3000\n", ""),
            ("长" * 50_000, "长" * 50_000),
        ):
            self.say("text", text(said), seen)
            self.say("text_group", text(said), seen, group="g1")
        self.say("agency", text("另一家公司"), "另一家公司", config="agency")
        self.say("no_address", text("没有地址"), "没有地址", reply=None)
        self.say("empty_address", text("地址是空的"), "地址是空的", reply="")
        self.say("strange_address", text("地址奇怪"), "地址奇怪", reply="http://169.254.169.254/x")
        self.say("null_quote", {**text("没有引用"), "quote": None}, "没有引用")
        self.say("more_names", {**text("多"), "新": {"a": [1, 2.5, None]}, "create_time": "x"}, "多")
        self.say("voice", {"msgtype": "voice", "voice": {"content": " 这是什么花 "}}, "这是什么花")

    def mentions(self) -> None:
        at = f"@{NAME}"
        for said, seen in (
            (f"{at} 总结一下", "总结一下"),
            (f"{at}\u2005总结一下", "总结一下"),
            (f"{at}\n总结一下", "总结一下"),
            (f"{at}", ""),
            (f"总结一下 {at}", "总结一下"),
            (f"请 {at} 总结", "请 总结"),
            (f"请  {at}  总结", "请 总结"),
            (f"请{at} 总结", "请 总结"),
            (f"请{at}\t总结", "请\t总结"),
            (f"请\u00a0{at} 总结", "请\u00a0 总结"),
            (f"{at} {at} 总结", "总结"),
            (f"请 {at} {at} 总结", "请 总结"),
            (f"{at}{at} 总结", f"{at} 总结"),
            (f"第一行 {at}\n第二行", "第一行\n第二行"),
            (f"第一行\n{at} 第二行", "第一行\n第二行"),
            (f"第一行\r\n  {at} 第二行", "第一行\r\n第二行"),
            (f"第一行\n{at}\n第二行", "第一行\n\n第二行"),
            (f"{at} {at}小号 你好", f"{at}小号 你好"),
            (f"@张三 {at} 你好", "@张三 你好"),
            (f"@张三@{NAME} 你好", "@张三 你好"),
            (f"a@b.c{at} 你好", "a@b.c 你好"),
            (f"{at}\u3000你好", "你好"),
            (f"请 {at}\u2005看", "请 \u2005看"),
            (f"请{at}\u2005看", "请\u2005看"),
            (f"看\n{at}", "看"),
            (f"{at}\r\n看", "看"),
            (f"{at}小号 {at}", f"{at}小号"),
            (f"@所有人 {at} 你好", "@所有人 你好"),
        ):
            self.say("mention_group", text(said), seen, group="g1", named=True)
        for said in (
            f"@ {NAME} 你好",
            f"＠{NAME} 你好",
            f"{at}，你好",
            f"{at}\u200b你好",
            f"{at}二号 你好",
            f"{at}\ufe0f",
            f"@{NAME[:-1]} 你好",
            f"{NAME} 你好",
            "@所有人 你好",
        ):
            self.say("no_mention_group", text(said), said, group="g1")
        self.say("mention_private", text(f"{at} 你好"), "你好", named=True)
        self.say("other_private", text(f"{at}二号 你好"), f"{at}二号 你好")
        self.say("mention_voice", {"msgtype": "voice", "voice": {"content": f"{at} 好"}}, "好", named=True)
        odd = f"@{ODD_NAME}"
        self.say("odd_name", text(f"{odd} 你好"), "你好", group="g1", named=True, config="odd")
        self.say("odd_other", text("@AxI (β) *bot* 你好"), "@AxI (β) *bot* 你好", group="g1", config="odd")
        self.say("many_spaces", text(" a" + " " * 30_000 + "@x"), "a" + " " * 30_000 + "@x", group="g1")
        self.say("many_mentions", text(f"{at} " * 20_000 + "好"), "好", group="g1", named=True)

    def pictures(self) -> None:
        at = f"@{NAME}"
        self.say("image", image(), "", [URL])
        self.say("image_elsewhere", image("http://10.0.0.1/x"), "", ["http://10.0.0.1/x"])
        two = mixed(text(f"{at} 两张图"), image("u1"), image("u2"))
        self.say("mixed", two, "两张图", ["u1", "u2"], group="g1", named=True)
        self.say("image_group", image("u1"), "", ["u1"], group="g1")
        self.say("mixed_nobody", mixed(image("u1"), text("看")), "看", ["u1"], group="g1")
        items = (image("u1"), text("一"), image("u2"), text("二"))
        self.say("mixed_order", mixed(*items), "一\n二", ["u1", "u2"])
        self.say("mixed_text", mixed(text("一"), text("二 "), text(" 三")), "一\n二 \n 三")
        self.say("mixed_blank", mixed(text("一"), text(""), text("二")), "一\n\n二")
        self.say("mixed_image", mixed(image("u1")), "", ["u1"])
        self.say("mixed_lines", mixed(text("一"), text(at), text("二")), "一\n\n二", group="g1", named=True)
        self.say("mixed_split", mixed(text("一 " + at), text("二")), "一\n二", group="g1", named=True)
        self.say("mixed_file", mixed(text("一"), {"msgtype": "file", "file": {"url": "f"}}), "一")
        self.say("mixed_twice", mixed(image("u1"), image("u1")), "", ["u1", "u1"])
        self.refuse("mixed_nothing", mixed(), ignored("unsupported_type"))
        self.refuse("mixed_files", mixed({"msgtype": "file"}), ignored("unsupported_type"))

    def quotes(self) -> None:
        at = f"@{NAME}"
        for name, quote, words, images in (
            ("text", text("原文 "), "原文", []),
            ("image", image("q1"), "", ["q1"]),
            ("mixed", mixed(text("报表见图"), image("q1"), image("q2")), "报表见图", ["q1", "q2"]),
            ("voice", {"msgtype": "voice", "voice": {"content": "说过的"}}, "说过的", []),
            ("file", {"msgtype": "file", "file": {"url": "f"}}, "", []),
            ("unknown", {"msgtype": "未知"}, "", []),
            ("markup", text("<b>&lt;"), "<b>&lt;", []),
            ("mention", text(f"{at} 看"), f"{at} 看", []),
            ("mixed_order", mixed(image("q1"), text("甲"), image("q2"), text("乙")), "甲\n乙", ["q1", "q2"]),
        ):
            quoted = {"text": words, "images": _images(images)}
            said = {**text(f"{at} 总结"), "quote": quote}
            self.say(f"quote_{name}", said, "总结", group="g1", named=True, quoted=quoted)
        both = {**image("u1"), "quote": text("看这张")}
        self.say("quote_under_image", both, "", ["u1"], quoted={"text": "看这张", "images": []})
        deep = {**text("外"), "quote": {**text("内"), "quote": text("更内")}}
        self.say("quote_in_quote", deep, "外", quoted={"text": "内", "images": []})
        for name, quote in (
            ("list", [text("x")]),
            ("text_only", "原文"),
            ("kind", {"text": {"content": "x"}}),
            ("content", {"msgtype": "text", "text": {}}),
            ("url", {"msgtype": "image", "image": {"url": 5}}),
            ("items", {"msgtype": "mixed", "mixed": {"msg_item": {}}}),
        ):
            self.refuse(f"quote_bad_{name}", {**text("x"), "quote": quote}, rejected("malformed"))

    def other_kinds(self) -> None:
        for kind in ("file", "video", "link", "location", "template_card", "TEXT", "未知", "markdown"):
            self.refuse(f"kind_{kind}", {"msgtype": kind, kind: {"url": "u"}}, ignored("unsupported_type"))
        for voice in ({}, {"voice": None}, {"voice": {}}, {"voice": {"content": None}}, {"voice": {"content": " \n"}}):
            self.refuse("voice_mute", {"msgtype": "voice", **voice}, ignored("unsupported_type"))
        for name in ("enter_chat", "template_card_event", "feedback_event", "新的"):
            event = {"msgtype": "event", "event": {"eventtype": name}, "create_time": NOW}
            self.refuse(f"event_{name}", event, ignored("event"))
        for odd in (None, 5, ["x"], {}):
            self.refuse("event_odd_id", {"msgtype": "event", "msgid": odd}, ignored("event"))
        self.deliver("event_bare", {"aibotid": BOT, "msgtype": "event"}, ignored("event"))

    def streams(self) -> None:
        for id in ("STREAMID-1", "流", "x" * 512):
            data = {**self.message(), "msgtype": "stream", "stream": {"id": id}}
            for _ in range(2):
                self.deliver("stream", data, {"outcome": "stream_refresh", "stream_id": id})
        bare = {"aibotid": BOT, "msgtype": "stream", "stream": {"id": "s"}}
        self.deliver("stream_bare", bare, {"outcome": "stream_refresh", "stream_id": "s"})
        for stream in ({}, {"stream": None}, {"stream": {}}, {"stream": {"id": ""}}, {"stream": {"id": 1}}):
            self.refuse("stream_bad", {"msgtype": "stream", **stream}, rejected("malformed"))

    def repeated(self) -> None:
        data, seen = self.message(**text("一次")), self.accepted("一次")
        self.deliver("first", data, seen)
        self.deliver("again", data, {"outcome": "duplicate"}, now=NOW + 5)
        self.deliver("again_changed", {**data, **text("改过")}, {"outcome": "duplicate"})
        self.deliver("again_elsewhere", {**data, "from": {"userid": "u2"}}, {"outcome": "duplicate"})
        data, seen = self.message(**text("被拒绝的不留痕迹")), self.accepted("被拒绝的不留痕迹", now=NOW + 300)
        self.deliver("late", data, rejected("stale"), now=NOW + 301)
        self.deliver("early", data, rejected("stale"), now=NOW - 301)
        self.deliver("other_bot_first", {**data, "aibotid": "aibX"}, rejected("wrong_bot"))
        self.deliver("file_first", {**data, "msgtype": "file"}, ignored("unsupported_type"))
        self.deliver("at_the_edge", data, seen, now=NOW + 300)
        data, seen = self.message(**text("另一边")), self.accepted("另一边", now=NOW - 300)
        self.deliver("other_edge", data, seen, now=NOW - 300)
        data, seen = self.message(**text("半秒")), self.accepted("半秒", now=NOW + 300)
        self.deliver("half_a_second", data, seen, now=NOW + 300.9)
        event = self.message(msgtype="event", event={"eventtype": "enter_chat"})
        self.deliver("event_first", event, ignored("event"))
        self.deliver("event_again", event, {"outcome": "duplicate"})
        self.deliver("event_other", {**event, "msgid": "another"}, ignored("event"))

    # ----------------------------------------------------------------- dishonest

    def unfit(self) -> None:
        good = self.message(**text("x"))
        for name in ("msgid", "aibotid", "chattype", "from", "msgtype", "text"):
            less = {key: value for key, value in good.items() if key != name}
            self.deliver(f"without_{name}", less, rejected("malformed"))
            for value in (None, 5, True, ["x"]):
                self.deliver(f"odd_{name}", {**good, name: value}, rejected("malformed"))
        for name in ("msgid", "chattype", "msgtype"):
            self.deliver(f"empty_{name}", {**good, name: ""}, rejected("malformed"))
        for change in (
            {"msgid": "长" * 171},
            {"from": {}},
            {"from": {"userid": ""}},
            {"from": {"userid": 7}},
            {"chattype": "Single"},
            {"chattype": "group"},
            {"chattype": "group", "chatid": ""},
            {"chattype": "group", "chatid": 9},
            {"response_url": 5},
            {"response_url": {}},
            {"text": {"content": None}},
            {"text": {"content": ["x"]}},
            {"msgtype": "image"},
            {"msgtype": "image", "image": {"url": ""}},
            {"msgtype": "image", "image": {"url": "inline:" + "0" * 64}},
            {"msgtype": "image", "image": {"url": " InLine:" + "0" * 64}},
            {"msgtype": "mixed", "mixed": []},
            {"msgtype": "mixed", "mixed": {"msg_item": ["x"]}},
            {"msgtype": "mixed", "mixed": {"msg_item": [{"text": {"content": "x"}}]}},
            {"msgtype": "mixed", "mixed": {"msg_item": [{"msgtype": "text"}]}},
            {"msgtype": "voice", "voice": "x"},
            {"msgtype": "voice", "voice": {"content": 5}},
        ):
            self.deliver("unfit", {**good, **change}, rejected("malformed"))
        for other in ("", "someone-elses-bot", BOT.lower(), BOT + " ", BOT + "\u200b"):
            self.deliver("other_bot", {**good, "aibotid": other}, rejected("wrong_bot"))
            self.deliver("other_bot_broken", {"aibotid": other}, rejected("wrong_bot"))
        self.deliver("other_bot_event", {"aibotid": "x", "msgtype": "event"}, rejected("wrong_bot"))

    def spellings(self) -> None:
        """The same message in other spellings, and what is no message at all."""
        for name, spelled in (
            ("escaped", lambda data: json.dumps(data).encode()),
            ("indented", lambda data: json.dumps(data, ensure_ascii=False, indent=1).encode()),
            ("bom", lambda data: b"\xef\xbb\xbf" + encoded(data)),
        ):
            data, seen = self.message(**text("图🌸")), self.accepted("图🌸")
            self.raw(f"spelled_{name}", spelled(data), seen)
        for said, seen_text in (("a\\ud800b", "a\ufffdb"), ("a\\u0000b", "ab"), ("\\ud83c\\udf38", "🌸")):
            data, seen = self.message(**text("@@")), self.accepted(seen_text)
            self.raw("spelled_dirt", encoded(data).replace(b"@@", said.encode()), seen)
        good = encoded(self.message(**text("图")))
        for broken in (
            b"",
            b"null",
            b"[]",
            b'"x"',
            b"{}",
            good[:-1],
            good + b"x",
            good + b"\0",
            good.replace("图".encode(), b"\xed\xa0\x80"),
            good.replace("图".encode(), b"\xff"),
            good.replace(b'"chattype"', b'"msgid": "m", "chattype"'),
            good.replace(b'"chattype"', b'"n": NaN, "chattype"'),
            good.replace(b'"chattype"', b'"n": 1e999, "chattype"'),
            good.replace(b'"chattype"', b'"n": ' + b"[" * 64 + b"]" * 64 + b', "chattype"'),
            good.decode().encode("utf-16"),
            b"[" * 100_000,
            b"<xml><msgtype>text</msgtype></xml>",
        ):
            self.raw("broken", broken, rejected("malformed"))

    def signatures(self) -> None:
        sealed = OWN.seal(encoded(self.message(**text("签名"))))
        seen = self.accepted("签名")
        body, good = encoded({"encrypt": sealed}), OWN.query(NOW, "n4", sealed)
        for name, value, reason in (
            ("msg_signature", "0" * 40, "bad_signature"),
            ("msg_signature", good["msg_signature"].upper(), "bad_signature"),
            ("msg_signature", good["msg_signature"] + " ", "bad_signature"),
            ("msg_signature", good["msg_signature"][:39], "bad_signature"),
            ("msg_signature", "签" * 40, "bad_signature"),
            ("msg_signature", "\ud800", "bad_signature"),
            ("msg_signature", "", "missing_signature"),
            ("nonce", "n5", "bad_signature"),
            ("nonce", "", "bad_signature"),
            ("nonce", "\udfff", "bad_signature"),
            ("timestamp", str(NOW + 1), "bad_signature"),
            *((("timestamp", odd, "malformed_timestamp")) for odd in (f"+{NOW}", f" {NOW}", f"{NOW}.0", "1e9", "NaN")),
            *((("timestamp", odd, "malformed_timestamp")) for odd in ("1_795", "１７９５", "1" * 16, "", "-1", "∞")),
        ):
            self.add(f"odd_{name}", body, good | {name: value}, rejected(reason))
        for name in ("msg_signature", "timestamp", "nonce"):
            less = {key: value for key, value in good.items() if key != name}
            self.add(f"without_{name}", body, less, rejected("missing_signature"))
        stranger = Signer("another token", "", AES_KEY)
        self.add("stranger", body, stranger.query(NOW, "n4", sealed), rejected("bad_signature"))
        header = {"signature": good["msg_signature"], "timestamp": good["timestamp"], "nonce": "n4"}
        self.add("wrong_name", body, header, rejected("missing_signature"))
        late = OWN.query(NOW - 301, "n4", "x")
        self.add("stale_garbage", encoded({"encrypt": "x"}), late, rejected("stale"))
        self.add("forged_stale", encoded({"encrypt": "y"}), late, rejected("bad_signature"))
        self.add("too_large", b"x" * ((1 << 20) + 1), {}, rejected("too_large"))
        self.add("large_enough", b" " * (1 << 20), good, rejected("malformed"))
        for outer in (
            b"",
            b'{"encrypt":12',
            b"{}",
            b"[]",
            b'{"encrypt":12}',
            b'{"encrypt":null}',
            b'{"Encrypt":"x"}',
            b'{"encrypt":"x","encrypt":"x"}',
            b"<xml><Encrypt>x</Encrypt></xml>",
            b"[" * 1000,
            encoded(self.message(**text("没有加密"))),
        ):
            self.add("outer", outer, good, rejected("malformed"))
        self.add("beside", encoded({"msgid": "伪造", "encrypt": sealed, "agentid": ""}), good, seen)

    def sealed(self) -> None:
        inner = encoded(self.message(**text("信封")))
        sealed = OWN.seal(inner)
        for name, ciphertext in (
            ("no_base64", "!" + sealed),
            ("spaces", sealed[:8] + "\n" + sealed[8:]),
            ("url_safe", sealed[:-8] + "-_-_" + sealed[-4:]),
            ("unpadded", sealed.rstrip("=")[:-1]),
            ("half_block", base64.b64encode(b"x" * 24).decode()),
            ("nothing", ""),
            ("not_ascii", "密文"),
        ):
            self.envelope(name, ciphertext, "decrypt_failed")
        for receive_id in ("ww1", " ", "\0", BOT):
            self.envelope("other_company", OWN.seal(inner, receive_id), "wrong_receive_id")
        for receive_id in ("", AGENCY.receive_id.upper(), AGENCY.receive_id[:-1], AGENCY.receive_id + "\n"):
            self.envelope("other_agency", AGENCY.seal(inner, receive_id), "wrong_receive_id", config="agency")
        head = secrets.token_bytes(16)
        inner += b" " * (32 - (20 + len(inner)) % 32 + 16)
        packed = head + len(inner).to_bytes(4, "big") + inner
        for name, content in (
            ("zero", packed + b"\0" * 16),
            ("uneven", packed + b"\1" * 15 + b"\x10"),
            ("more_than_32", packed + bytes([48]) * 48),
            ("inner_length", padded(head + (len(inner) + 1).to_bytes(4, "big") + inner)),
            ("inner_huge", padded(head + b"\xff\xff\xff\xff" + inner)),
            ("only_padding", bytes([32]) * 32),
            ("no_head", padded(b"x" * 19)),
        ):
            self.envelope(name, OWN.encrypted(content), "decrypt_failed")
        short = padded(head + (len(inner) - 1).to_bytes(4, "big") + inner)
        self.envelope("inner_short", OWN.encrypted(short), "wrong_receive_id")
        other = Signer(TOKEN, "", base64.b64encode(b"k" * 32).decode().rstrip("="))
        query = OWN.query(NOW, "n", sealed)
        self.add("other_ciphertext", encoded({"encrypt": other.seal(inner)}), query, rejected("bad_signature"))
        data, seen = self.message(**text("短填充")), self.accepted("短填充")
        spaced = encoded(data)
        spaced += b" " * (16 - (20 + len(spaced)) % 16)
        sixteen = head + len(spaced).to_bytes(4, "big") + spaced + bytes([16]) * 16
        ciphertext = OWN.encrypted(sixteen)
        self.add("short_padding", encoded({"encrypt": ciphertext}), OWN.query(NOW, "n", ciphertext), seen)

    # ---------------------------------------------------------------- helpers

    def message(self, **content: Any) -> Json:
        """A new private message with what it says."""
        self.number += 1
        return {
            "msgid": f"m{self.number}",
            "aibotid": BOT,
            "chattype": "single",
            "from": {"userid": "zhangsan"},
            "response_url": REPLY,
            **content,
        }

    def accepted(
        self,
        seen: str,
        images: list[str] | None = None,
        *,
        group: str = "",
        named: bool = False,
        quoted: Json | None = None,
        reply: str | None = REPLY,
        name: str = NAME,
        now: int = NOW,
    ) -> Json:
        """What comes of the newest message."""
        message = {
            "platform": "wecom_aibot",
            "conversation": {"id": group or "zhangsan", "type": "group" if group else "private"},
            "sender": {"id": "zhangsan"},
            "message_id": f"m{self.number}",
            "dedup_key": f"m{self.number}",
            "text": seen,
            "images": _images(images or []),
            "mentions": [{"id": BOT, "name": name, "is_bot": True}] if named else [],
            "mentioned_bot": named or bool(group),
            "reply_to": None,
            "quoted": quoted,
            "sent_at": None,
            "reply_url": reply or None,
            "reply_url_expires": now + 3600 if reply else None,
        }
        return {"outcome": "accepted", "message": message}

    def say(
        self,
        id: str,
        content: Json,
        seen: str,
        images: list[str] | None = None,
        *,
        group: str = "",
        named: bool = False,
        quoted: Json | None = None,
        reply: str | None = REPLY,
        config: str = "default",
    ) -> None:
        data = self.message(**content)
        if group:
            data |= {"chattype": "group", "chatid": group}
        if reply is None:
            del data["response_url"]
        else:
            data["response_url"] = reply
        name = ODD_NAME if config == "odd" else NAME
        expect = self.accepted(seen, images, group=group, named=named, quoted=quoted, reply=reply, name=name)
        self.deliver(id, data, expect, config=config)

    def refuse(self, id: str, content: Json, expect: Json) -> None:
        self.deliver(id, self.message(**content), expect)

    def deliver(self, id: str, data: Any, expect: Json, *, now: float = NOW, config: str = "default") -> None:
        self.raw(id, encoded(data), expect, now=now, config=config)

    def raw(self, id: str, inner: bytes, expect: Json, *, now: float = NOW, config: str = "default") -> None:
        signer = SIGNERS[config]
        sealed = signer.seal(inner)
        query = signer.query(NOW, f"n{len(self.cases)}", sealed)
        self.add(id, encoded({"encrypt": sealed}), query, expect, now=now, config=config)

    def envelope(self, id: str, ciphertext: str, reason: str, *, config: str = "default") -> None:
        query = SIGNERS[config].query(NOW, "n", ciphertext)
        self.add(f"sealed_{id}", encoded({"encrypt": ciphertext}), query, rejected(reason), config=config)

    def add(
        self,
        id: str,
        body: bytes,
        query: Mapping[str, str],
        expect: Json,
        *,
        method: str = "POST",
        now: float = NOW,
        config: str = "default",
    ) -> None:
        request = {
            "method": method,
            "path": "/webhook/wecom_bot",
            "query": dict(query),
            "headers": {"Content-Type": "application/json"} if body else {},
            "body_b64": base64.b64encode(body).decode(),
        }
        name = f"wecom_aibot.{len(self.cases)}.{id}"
        kind = str(expect["outcome"])
        case = {"id": name, "kind": kind, "config": config, "now": now, "request": request, "expect": expect}
        self.cases.append(case)


def _images(urls: list[str]) -> list[Json]:
    return [{"kind": "wecom_aibot_encrypted_url", "url": url, "fetch": FETCH} for url in urls]
