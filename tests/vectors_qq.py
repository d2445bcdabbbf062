"""Requests to a QQ bot and what each must lead to, made by code that shares nothing with the bot."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

from adapters.simulated.qq import GROUP_ALL, GROUP_AT, PRIVATE, Signer

NOW = 1_795_000_000
TIME = "2026-11-18T19:06:40+08:00"
APP_ID, SECRET = "102012345", "ZxK9vTq2"
SIGNER, STRANGER = Signer(SECRET), Signer("another secret")
DOCUMENTED = Signer("DG5g3B4j9X2KOErG")
ANN, GROUP, BOT = "A" * 32, "B" * 32, "C" * 32
URL = "https://multimedia.nt.qq.com.cn/download?appid=1406&fileid=E&rkey=R"
TAKEN = {"json": {"op": 12, "d": 0}}
TOKEN = "Arq0D5A61EgUu4OxUvOp"
Json = dict[str, Any]


def vectors() -> Json:
    """The file: every kind, decision and attack."""
    return _File().data()


def attachment(url: Any = URL, kind: str = "image/png", **fields: Any) -> Json:
    sizes = {"width": 600, "height": 800, "size": 12345}
    return {"content_type": kind, "filename": "a", "url": url, **sizes, **fields}


def image(url: str = URL, mime: str = "image/png", size: Any = 12345, width: Any = 600, height: Any = 800) -> Json:
    return {
        "kind": "url",
        "url": url,
        "mime": mime,
        "size": size,
        "width": width,
        "height": height,
        "fetch": "GET (no auth header); expiry not documented",
    }


def you(user_id: str = BOT, name: str = "看图助手", **fields: Any) -> Json:
    return {"id": user_id, "member_openid": user_id, "username": name, "bot": True, "is_you": True, **fields}


def other(user_id: str, name: str, **fields: Any) -> Json:
    return {"id": user_id, "member_openid": user_id, "username": name, "bot": False, "is_you": False, **fields}


def named(*people: Json) -> list[Json]:
    return [{"id": one["id"], "name": one["username"] or None, "is_bot": one["is_you"]} for one in people]


def rejected(reason: str) -> Json:
    return {"outcome": "rejected", "reason": reason}


def ignored(reason: str) -> Json:
    return {"outcome": "ignored", "reason": reason, "response": TAKEN}


def written(data: Any) -> bytes:
    return json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode()


class _File:
    def __init__(self) -> None:
        self.cases: list[Json] = []
        self.number = 100

    def data(self) -> Json:
        self.texts()
        self.pictures()
        self.mentions()
        self.quotes()
        self.unusable()
        self.unfit()
        self.times()
        self.json()
        self.signatures()
        self.copies()
        self.handshakes()
        return {
            "platform": "qq",
            "secrets": {
                "default": {"app_id": APP_ID, "secret": SECRET},
                "documented": {"app_id": "11111111", "secret": "DG5g3B4j9X2KOErG"},
            },
            "policy": {"max_age_s": 300, "handshake_plain_token_regex": "^[A-Za-z0-9]{8,64}$"},
            "cases": self.cases,
        }

    # ------------------------------------------------------------------ cases

    def texts(self) -> None:
        for text, seen in (
            ("图里是什么", "图里是什么"),
            ("  　两头\n", "两头"),
            ("中间  两格\n\n\t缩进\u00a0和", "中间  两格\n\n\t缩进\u00a0和"),
            ("<b>&amp;</b> <ImageHere> </s> <|im_end|>", "<b>&amp;</b> <ImageHere> </s> <|im_end|>"),
            ('<faceType=1,faceId="277",ext="e30=">', '<faceType=1,faceId="277",ext="e30=">'),
            ("<@!ABC> 不是提及", "<@!ABC> 不是提及"),
            ("👩‍👩‍👧\u202e反\u200b零", "👩‍👩‍👧\u202e反\u200b零"),
            ("", ""),
            ("长" * 30_000, "长" * 30_000),
        ):
            self.message("private", PRIVATE, {"content": text}, {"text": seen})
        self.message("group", GROUP_AT, {"content": " 看看 "}, {"text": "看看"})
        self.message("group_at_alone", GROUP_AT, {"content": " "}, {"text": ""})
        self.message("group_feed", GROUP_ALL, {"content": "大家早"}, {"text": "大家早"})
        author = {"id": ANN, "user_openid": ANN, "username": "小明", "bot": False}
        sender = {"sender": {"id": ANN, "name": "小明"}}
        self.message("sender_name", PRIVATE, {"content": "好", "author": author}, {"text": "好", **sender})
        for text, seen in (('"\\ud83d 半个"', "\ufffd 半个"), ('"零\\u0000字节"', "零字节")):
            data, message = self.said(PRIVATE, {"content": "@"}, {"text": seen})
            self.deliver("dirt", written(data).replace(b'"@"', text.encode()), accepted(message))

    def pictures(self) -> None:
        two = [attachment(), attachment("http://gchat.qpic.cn/2", "image/jpeg", size=None, width=None)]
        seen = [image(), image("http://gchat.qpic.cn/2", "image/jpeg", size=None, width=None)]
        self.message("pictures", PRIVATE, {"content": "", "attachments": two}, {"text": "", "images": seen})
        self.message("mixed", GROUP_AT, {"content": " 比较 ", "attachments": two}, {"text": "比较", "images": seen})
        for url, whole in (
            ("gchat.qpic.cn/a?u=http://x", "https://gchat.qpic.cn/a?u=http://x"),
            ("//gchat.qpic.cn/a", "https://gchat.qpic.cn/a"),
            ("HTTPS://gchat.qpic.cn/a", "HTTPS://gchat.qpic.cn/a"),
        ):
            fields = {"content": "", "attachments": [attachment(url)]}
            self.message("scheme", PRIVATE, fields, {"text": "", "images": [image(whole)]})
        bare = {"content_type": "image/gif", "url": "https://gchat.qpic.cn/bare"}
        seen = [image(bare["url"], "image/gif", None, None, None)]
        self.message("no_sizes", PRIVATE, {"content": "", "attachments": [bare]}, {"text": "", "images": seen})
        twice = [attachment(), attachment(size=1, width=None)]
        element = {"content": "", "attachments": [attachment(height=2)]}
        fields = {"content": "", "attachments": twice, "message_type": 103, "msg_elements": [element]}
        seen = {"images": [image(), image(size=1, width=None)], "quoted": {"text": "", "images": [image(height=2)]}}
        self.message("one_picture_described_twice", PRIVATE, fields, seen)
        rest = [attachment(kind="voice"), attachment(kind="video/mp4"), attachment(kind="file"), attachment(kind="")]
        fields = {"content": "看", "attachments": [*rest, {"url": URL}, attachment()]}
        self.message("other_attachments", PRIVATE, fields, {"text": "看", "images": [image()]})
        self.message("text_and_file", PRIVATE, {"content": "看", "attachments": rest}, {"text": "看"})
        self.message("nothing_said", PRIVATE, {"content": None, "attachments": [attachment()]}, {"images": [image()]})
        self.message("no_attachments", PRIVATE, {"content": "看", "attachments": None}, {"text": "看"})
        heard = [attachment(kind="voice", asr_refer_text=" 这是什么花 ")]
        self.message("voice", PRIVATE, {"content": "", "attachments": heard}, {"text": "这是什么花"})

    def mentions(self) -> None:
        tom, eve = other("D" * 32, "小李"), other("E" * 32, "")
        for text, seen, *people in (
            (f"<@!{BOT}> 看看", "看看", you()),
            (f"<@{BOT}>看看", "看看", you()),
            (f"看看 <@!{BOT}>", "看看", you()),
            (f"先 <@!{BOT}> 后", "先 后", you()),
            (f"先  <@!{BOT}>后", "先 后", you()),
            (f"先<@!{BOT}>后", "先后", you()),
            (f"一行 <@!{BOT}> \n 二行", "一行\n 二行", you()),
            (f"一行\n <@!{BOT}> 二行", "一行\n二行", you()),
            (f"先\t<@!{BOT}>\t后", "先\t\t后", you()),
            (f"a <@!{BOT}> <@!{BOT}> b", "a b", you()),
            (f"a<@!{BOT}><@!{BOT}>b", "ab", you()),
            (f"<@!{BOT}> <@!{tom['id']}> 看", "@小李 看", you(), tom),
            (f"a <@!{BOT}><@!{tom['id']}>", "a @小李", you(), tom),
            (f"<@!{tom['id']}> <@!{BOT}>", "@小李", tom, you()),
            (f"<@!{eve['id']}>好", f"@{eve['id']}好", eve, you()),
            (f"<@!{'F' * 32}> <@{BOT.lower()}> <@!{BOT} 看", f"<@!{'F' * 32}> <@{BOT.lower()}> <@!{BOT} 看", you()),
            (f"<@<@!{BOT}>{tom['id']}>", f"<@{tom['id']}>", you(), tom),
        ):
            fields = {"content": text, "mentions": list(people)}
            more = {"text": seen, "mentions": named(*people), "mentioned_bot": True}
            self.message("mention", GROUP_ALL, fields, more)
        sly = other("D" * 32, f"<@!{BOT}>")
        fields = {"content": f"<@!{sly['id']}> 看", "mentions": [sly, you()]}
        seen = {"text": f"@<@!{BOT}> 看", "mentions": named(sly, you()), "mentioned_bot": True}
        self.message("mention_in_a_name", GROUP_ALL, fields, seen)
        alike = other("D" * 32, "看图助手", bot=True)
        fields = {"content": f"<@!{alike['id']}> 看", "mentions": [alike]}
        self.message("only_is_you_decides", GROUP_ALL, fields, {"text": "@看图助手 看", "mentions": named(alike)})
        fields = {"content": f" <@!{tom['id']}> 看", "mentions": [{"id": tom["id"], "username": "小李"}]}
        self.message("group_at_others", GROUP_AT, fields, {"text": "@小李 看", "mentions": named(tom)})
        many = {"content": "  <@!b> " * 20_000, "mentions": [you("b")]}
        seen = {"text": "", "mentions": named(you("b")), "mentioned_bot": True}
        self.message("many_mentions", GROUP_ALL, many, seen)
        all_of_them = {"scope": "all", "is_you": True, "username": "全体成员"}
        for mention in ({"scope": "all", "bot": False}, all_of_them, {**all_of_them, "member_openid": BOT}):
            everybody = {"content": "大家看", "mentions": [mention]}
            self.message("mention_all", GROUP_ALL, everybody, {"text": "大家看", "mention_all": True})
        self.message("private_mentions", PRIVATE, {"content": "<@!x> 看", "mentions": ["x"]}, {})

    def quotes(self) -> None:
        element = {"msg_idx": "REFIDX_1", "content": " 刚才的照片 ", "attachments": [attachment()]}
        quoted = {"text": "刚才的照片", "images": [image()]}
        for kind in (PRIVATE, GROUP_AT, GROUP_ALL):
            fields = {"content": "几个人", "message_type": 103, "msg_elements": [element]}
            self.message("quote", kind, fields, {"text": "几个人", "quoted": quoted, "reply_to": "REFIDX_1"})
        scene = {"source": "default", "ext": ["ref_msg_idx=REFIDX_2==", "msg_idx=REFIDX_3==", 7, "plain"]}
        fields = {"content": " ", "message_type": 103, "msg_elements": [{"content": "早"}], "message_scene": scene}
        seen = {"text": "", "quoted": {"text": "早", "images": []}, "reply_to": "REFIDX_2=="}
        self.message("quote_by_scene", GROUP_AT, fields, seen)
        fields = {"content": "看", "message_type": 103, "msg_elements": [{"msg_idx": "R", "content": None}]}
        self.message("quote_empty", PRIVATE, fields, {"quoted": {"text": "", "images": []}, "reply_to": "R"})
        self.message("quote_gone", PRIVATE, {"content": "看", "message_type": 103, "msg_elements": []}, {"text": "看"})
        self.message("no_quote", PRIVATE, {"content": "看", "message_type": 0, "msg_elements": [element]}, {})
        nested = {"content": "深", "message_type": 102, "msg_elements": [{"content": "更深"}]}
        fields = {"content": "", "message_type": 102, "msg_elements": [element, nested]}
        self.message("forwarded", PRIVATE, fields, {"text": "", "quoted": quoted})

    def unusable(self) -> None:
        for kind in ("voice", "video/mp4", "file", "application/pdf", "IMAGES", ""):
            self.event("unusable", PRIVATE, {"content": "", "attachments": [attachment(kind=kind)]})
        self.event("unusable_in_group", GROUP_AT, {"content": " ", "attachments": [attachment(kind="file")]})
        quoting = {"content": "", "message_type": 103, "msg_elements": [{"content": "早", "msg_idx": "R"}]}
        self.event("unusable_quoting", PRIVATE, {**quoting, "attachments": [attachment(kind="file")]})
        card = {"content": "[卡片消息] 小程序", "message_type": 3, "ark_data": {"ark_type": "miniapp"}}
        self.event("card", PRIVATE, card)
        robot = {"id": ANN, "member_openid": ANN, "bot": True}
        self.event("robot", GROUP_ALL, {"content": "大家好", "author": robot}, ignored("sender_is_bot"))
        for name in (
            "AT_MESSAGE_CREATE",
            "DIRECT_MESSAGE_CREATE",
            "GROUP_ADD_ROBOT",
            "FRIEND_ADD",
            "",
            "c2c_message_create",
        ):
            self.deliver("event", written({"op": 0, "id": "e", "t": name, "s": 1, "d": {}}), ignored("event"))
        for op in (1, 7, 9, 10, 11, 12):
            self.deliver("op", written({"op": op, "d": None}), ignored("event"))

    def unfit(self) -> None:
        for name in ("id", "author", "content", "timestamp"):
            for value in (None, 7, [], {}):
                self.event(f"wrong_{name}", PRIVATE, {name: value}, rejected("malformed"))
            self.event(f"without_{name}", PRIVATE, {}, rejected("malformed"), without=name)
        for kind, openid in ((PRIVATE, "user_openid"), (GROUP_AT, "member_openid"), (GROUP_ALL, "member_openid")):
            for author in ({}, {openid: ""}, {openid: 5}, {openid: "长" * 171}):
                self.event("author", kind, {"author": {"id": ANN, **author}}, rejected("malformed"))
        for value in (None, "", 5, ["x"]):
            self.event("group_openid", GROUP_AT, {"group_openid": value}, rejected("malformed"))
        for value in ("x", {}, [1], [None], ["x"], 0):
            self.event("attachments", PRIVATE, {"attachments": value}, rejected("malformed"))
            self.event("mentions", GROUP_ALL, {"mentions": value}, rejected("malformed"))
            fields = {"message_type": 103, "msg_elements": value}
            self.event("elements", PRIVATE, fields, rejected("malformed"))
        for url in (None, "", 5, {}):
            self.event("picture_url", PRIVATE, {"attachments": [attachment(url)]}, rejected("malformed"))
        for mention in ({}, {"id": ""}, {"id": 5}, {"id": "x", "username": 5}, {"id": "x", "is_you": "yes"}):
            self.event("mention_fields", GROUP_ALL, {"mentions": [mention]}, rejected("malformed"))
        for data in ({}, {"d": {}}, {"op": None}, {"op": "0"}, {"op": 0.0}, {"op": False}, {"op": -1}, {"op": 0}):
            self.deliver("envelope", written(data), rejected("malformed"))
        for data in ([], "x", None, 5, {"op": 0, "t": 5, "d": {}}, {"op": 0, "t": PRIVATE, "d": []}):
            self.deliver("envelope", written(data), rejected("malformed"))

    def times(self) -> None:
        for text, seconds in (
            ("2026-11-18T11:06:40Z", NOW),
            ("2026-11-18t11:06:40.999999999z", NOW),
            ("2026-11-18T19:06:40.5+08:00", NOW),
            ("2026-11-18T06:06:40-05:00", NOW),
            ("1970-01-01T08:00:00+08:00", 0),
        ):
            self.message("time", PRIVATE, {"content": "好", "timestamp": text}, {"text": "好", "sent_at": seconds})
        for text in (
            "",
            "1795000000",
            "2026-11-18",
            "2026-11-18 19:06:40+08:00",
            "2026-11-18T19:06:40",
            "2026-11-18T19:06+08:00",
            "2026-11-18T19:06:40+0800",
            "2026-13-18T19:06:40+08:00",
            "2026-02-30T19:06:40+08:00",
            "2026-11-18T19:06:61+08:00",
            "2026-11-18T19:06:40+25:00",
            "2026-W47-3T19:06:40+08:00",
            "２０２６-11-18T19:06:40+08:00",
            " 2026-11-18T19:06:40+08:00",
        ):
            self.event("no_time", PRIVATE, {"timestamp": text}, rejected("malformed"))

    def json(self) -> None:
        data, message = self.said(PRIVATE, {"content": "好"}, {"text": "好"})
        self.deliver("bom", b"\xef\xbb\xbf" + written(data), accepted(message))
        data, message = self.said(PRIVATE, {"content": "好"}, {"text": "好"})
        self.deliver("spaces", json.dumps(data, indent=2).encode(), accepted(message))
        good = written(data)
        twice = good.replace(b'"op":0', b'"op":0,"op":0')
        deep = good.replace(b'"s":1', b'"s":' + b"[" * 70 + b"]" * 70)
        for body in (b"", b"{", good[:-1], good + b"x", good.decode().encode("gbk"), twice, deep, b"\xff\xfe", b"null"):
            self.deliver("json", body, rejected("malformed"))
        for value in (b"NaN", b"Infinity", b"-Infinity", b"1e999", b"01"):
            self.deliver("number", good.replace(b'"s":1', b'"s":' + value), rejected("malformed"))
        large = good.replace(b'"s":1', b'"s":"' + b"x" * (1 << 20) + b'"')
        self.deliver("large", large, rejected("too_large"))
        self.deliver("large_unsigned", large, rejected("too_large"), headers={})
        data, message = self.said(PRIVATE, {"content": ""}, {})
        room = (1 << 20) - len(written(data))
        data["d"]["content"] = message["text"] = "x" * room
        self.deliver("largest", written(data), accepted(message))

    def signatures(self) -> None:
        body = written(self.said(PRIVATE, {"content": "好"}, {})[0])
        good = SIGNER.headers(body, NOW)
        signature = good["X-Signature-Ed25519"]
        raw = bytes.fromhex(signature)
        order = 2**252 + 27742317777372353535851937790883648493
        larger = raw[:32] + (int.from_bytes(raw[32:], "little") + order).to_bytes(32, "little")
        for wrong in (
            "0" * 128,
            signature[:-1],
            signature + "0",
            signature[:-2] + "zz",
            f" {signature[1:]}",
            f"0x{signature[2:]}",
            "签" * 128,
            "\udcff" * 128,
            "４" * 128,
            base64.b64encode(raw).decode(),
            larger.hex(),
            (raw[:63] + bytes([raw[63] | 0x20])).hex(),
            (raw[:63] + bytes([raw[63] | 0x80])).hex(),
            STRANGER.headers(body, NOW)["X-Signature-Ed25519"],
            SIGNER.headers(body, NOW + 1)["X-Signature-Ed25519"],
            SIGNER.headers(body + b" ", NOW)["X-Signature-Ed25519"],
            SIGNER.sign(body),
            SIGNER.sign(f"{NOW}.".encode() + body),
        ):
            headers = {**good, "X-Signature-Ed25519": wrong}
            if wrong.isascii():  # a test over HTTP sends them
                self.deliver("forged", body, rejected("bad_signature"), headers=headers)
        for name in ("X-Signature-Ed25519", "X-Signature-Timestamp"):
            bare = {key: value for key, value in good.items() if key != name}
            self.deliver("unsigned", body, rejected("missing_signature"), headers=bare)
        self.deliver("empty", body, rejected("missing_signature"), headers={**good, "X-Signature-Ed25519": ""})
        self.deliver("bare", body, rejected("missing_signature"), headers={})
        for wrong in (
            "-1795000000",
            "+1795000000",
            "1795000000.0",
            "1.795e9",
            "1_795_000_000",
            "NaN",
            "9" * 16,
            "0x6B",
            "",
        ):
            self.deliver("timestamp", body, rejected("malformed_timestamp"), headers=SIGNER.headers(body, wrong))
        for seconds, expect in ((301, rejected("stale")), (-301, rejected("stale"))):
            self.deliver("window", body, expect, now=NOW + seconds)
        for seconds in (300, -300):
            data, message = self.said(PRIVATE, {"content": "好"}, {"text": "好"})
            self.deliver(
                "edge", written(data), accepted(message), now=NOW + seconds, headers=SIGNER.headers(written(data), NOW)
            )
        data, message = self.said(PRIVATE, {"content": "大写"}, {"text": "大写"})
        headers = SIGNER.headers(written(data), NOW)
        headers["X-Signature-Ed25519"] = headers["X-Signature-Ed25519"].upper()
        self.deliver("upper_case", written(data), accepted(message), headers=headers)
        data, message = self.said(PRIVATE, {"content": "小写"}, {"text": "小写"})
        headers = {name.lower(): value for name, value in SIGNER.headers(written(data), NOW).items()}
        self.deliver("header_case", written(data), accepted(message), headers=headers)
        self.deliver("other_bot", body, rejected("bad_signature"), config="documented")

    def copies(self) -> None:
        data, message = self.said(PRIVATE, {"content": "再来一次"}, {"text": "再来一次"})
        self.deliver("forged_first", written(data), rejected("stale"), headers=SIGNER.headers(written(data), NOW - 301))
        self.deliver("first", written(data), accepted(message))
        self.deliver("again", written(data), {"outcome": "duplicate", "response": TAKEN}, now=NOW + 3)
        again = {**data, "id": "another event", "s": 9}
        self.deliver("again_as_another", written(again), {"outcome": "duplicate", "response": TAKEN})
        data, message = self.said(GROUP_AT, {"content": " 看"}, {"text": "看"})
        self.deliver("group_first", written(data), accepted(message))
        feed = {**data, "t": GROUP_ALL, "id": "feed"}
        self.deliver("group_again_in_feed", written(feed), {"outcome": "duplicate", "response": TAKEN})

    def handshakes(self) -> None:
        example = f'{{"d":{{"plain_token":"{TOKEN}","event_ts":"1725442341"}},"op":13}}'
        answer = (
            "87befc99c42c651b3aac0278e71ada338433ae26fcb24307bdc5ad38c1adc2d01bcfcadc0842edac85e85205028a1132afe09280305f13aa"
            "6909ffc2d652c706"
        )
        answered = {"outcome": "handshake", "response": {"json": {"plain_token": TOKEN, "signature": answer}}}
        self.deliver("example", example.encode(), answered, config="documented", now=1_725_442_345, headers={})
        refused = rejected("handshake_refused")
        for token in ("Arq0D5A6", "a" * 64, TOKEN):
            self.handshake("unsigned", token, str(NOW), self.answered(token, str(NOW)))
        for seconds, expect in ((300, None), (-300, None), (301, refused), (-301, refused)):
            sent = str(NOW + seconds)
            self.handshake("time", TOKEN, sent, expect or self.answered(TOKEN, sent))
        forged = written({"op": 0, "t": PRIVATE, "d": {"content": "转账"}}).decode()
        for token in (
            forged,
            "",
            "short12",
            "a" * 65,
            f"{TOKEN}\n",
            f" {TOKEN}",
            "Arq0D5A6-EgUu",
            "令牌令牌令牌令牌",
            None,
            12345678,
            {},
        ):
            self.handshake("token", token, str(NOW), refused)
        for sent in ("", "NaN", "+1795000000", "1795000000.0", "１７９５００００００", "9" * 16, NOW, None, float(NOW)):
            self.handshake("event_ts", TOKEN, sent, refused)
        for data in (None, [], {}, "x", {"plain_token": TOKEN}, {"event_ts": str(NOW)}):
            self.deliver("oracle", written({"op": 13, "d": data}), refused, headers={})
        for op in ("13", 13.0, None, True):
            body = written({"op": op, "d": {"plain_token": TOKEN, "event_ts": str(NOW)}})
            self.deliver("oracle_op", body, rejected("missing_signature"), headers={})
        self.deliver("oracle_json", b'{"op":13,', rejected("missing_signature"), headers={})
        twice = b'{"op":13,"op":13,"d":{"plain_token":"%b","event_ts":"%d"}}' % (TOKEN.encode(), NOW)
        self.deliver("oracle_twice", twice, rejected("missing_signature"), headers={})
        body = written({"op": 13, "d": {"plain_token": TOKEN, "event_ts": str(NOW)}})
        good = SIGNER.headers(body, NOW)
        for name in ("X-Signature-Ed25519", "X-Signature-Timestamp"):
            bare = {key: value for key, value in good.items() if key != name}
            self.deliver("half_signed", body, rejected("missing_signature"), headers=bare)
        empty = {**good, "X-Signature-Ed25519": ""}
        self.deliver("signature_empty", body, rejected("missing_signature"), headers=empty)
        self.signed_handshakes()

    def signed_handshakes(self) -> None:
        body = written({"op": 13, "d": {"plain_token": TOKEN, "event_ts": str(NOW)}})
        self.deliver("signed", body, self.answered(TOKEN, str(NOW)))
        odd = written({"op": 13, "d": {"plain_token": "a-b_c.d/e+f=", "event_ts": "1"}})
        self.deliver("signed_odd", odd, self.answered("a-b_c.d/e+f=", "1"))
        wrong = {**SIGNER.headers(body, NOW), "X-Signature-Ed25519": "0" * 128}
        self.deliver("signed_wrongly", body, rejected("bad_signature"), headers=wrong)
        self.deliver("signed_by_another", body, rejected("bad_signature"), headers=STRANGER.headers(body, NOW))
        self.deliver("signed_stale", body, rejected("stale"), now=NOW + 301)
        self.deliver("signed_timestamp", body, rejected("malformed_timestamp"), headers=SIGNER.headers(body, "x"))
        late = written({"op": 13, "d": {"plain_token": TOKEN, "event_ts": "soon"}})
        self.deliver("signed_event_ts", late, rejected("handshake_refused"))
        for data in (None, {}, {"plain_token": TOKEN}, {"plain_token": 5, "event_ts": "1"}):
            self.deliver("signed_malformed", written({"op": 13, "d": data}), rejected("malformed"))

    # ---------------------------------------------------------------- helpers

    def answered(self, token: str, sent: str) -> Json:
        response = {"plain_token": token, "signature": SIGNER.sign((sent + token).encode())}
        return {"outcome": "handshake", "response": {"json": response}}

    def handshake(self, name: str, token: Any, sent: Any, expect: Json) -> None:
        body = written({"op": 13, "d": {"plain_token": token, "event_ts": sent}})
        self.deliver(f"handshake_{name}", body, expect, headers={"User-Agent": "QQBot-Callback"})

    def said(self, kind: str, fields: Json, seen: Json) -> tuple[Json, Json]:
        """An event and the message that is expected of it."""
        self.number += 1
        message_id = f"ROBOT1.0_{self.number}"
        private = kind == PRIVATE
        data: Json = {
            "author": {"id": ANN, "user_openid" if private else "member_openid": ANN, "union_openid": ANN},
            "content": "好",
            "id": message_id,
            "timestamp": TIME,
            **({} if private else {"group_id": GROUP, "group_openid": GROUP}),
            **fields,
        }
        message: Json = {
            "platform": "qq",
            "conversation": {"id": ANN, "type": "private"} if private else {"id": GROUP, "type": "group"},
            "sender": {"id": ANN},
            "message_id": message_id,
            "dedup_key": message_id,
            "text": fields.get("content") or "",
            "images": [],
            "mentions": [],
            "mentioned_bot": kind == GROUP_AT,
            "reply_to": None,
            "quoted": None,
            "sent_at": NOW,
            **seen,
        }
        return {"op": 0, "id": f"{kind}:{self.number}", "d": data, "s": 1, "t": kind}, message

    def message(self, name: str, kind: str, fields: Json, seen: Json) -> None:
        data, message = self.said(kind, fields, seen)
        self.deliver(name, written(data), accepted(message))

    def event(self, name: str, kind: str, fields: Json, expect: Json | None = None, without: str = "") -> None:
        data, _ = self.said(kind, fields, {})
        data["d"].pop(without, None)
        self.deliver(name, written(data), expect or ignored("unsupported_type"))

    def deliver(
        self,
        name: str,
        body: bytes,
        expect: Json,
        *,
        config: str = "default",
        now: int = NOW,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """One case; signed with the bot's secret at NOW, unless `headers` say otherwise."""
        request = {
            "method": "POST",
            "path": "/webhook/qq",
            "query": {},
            "headers": dict(SIGNER.headers(body, NOW) if headers is None else headers),
            "body_b64": base64.b64encode(body).decode(),
        }
        case = {"id": f"qq.{name}.{len(self.cases)}", "kind": name, "config": config, "now": now}
        self.cases.append({**case, "request": request, "expect": expect})


def accepted(message: Json) -> Json:
    return {"outcome": "accepted", "message": message, "response": TAKEN}
