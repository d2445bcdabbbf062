"""Requests to a Feishu bot and what each must lead to, made by code that shares nothing with the bot."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

from adapters.simulated.feishu import encrypt, signed

Json = dict[str, Any]

NOW = 1_795_000_000
KEY, TOKEN, APP, BOT = "encrypt key 钥匙", "verification-token", "cli_kantu", "ou_kantu"
ALICE, BOB = "ou_alice", "ou_bob"
MAX_AGE = 27_000
IV = bytes(range(16))
PLAIN_JSON = {"Content-Type": "application/json"}


def vectors() -> Json:
    """The file: both configurations, every decision and attack."""
    return _File().data()


def rejected(reason: str) -> Json:
    return {"outcome": "rejected", "reason": reason}


def ignored(reason: str) -> Json:
    return {"outcome": "ignored", "reason": reason}


def mention(number: int, open_id: str, name: str = "看图") -> Json:
    return {"key": f"@_user_{number}", "id": {"open_id": open_id, "union_id": "on", "user_id": ""}, "name": name}


def picture(message_id: str, key: str) -> Json:
    return {
        "kind": "feishu_message_resource",
        "message_id": message_id,
        "file_key": key,
        "type": "image",
        "fetch": f"GET /open-apis/im/v1/messages/{message_id}/resources/{key}?type=image",
    }


def post(*rows: list[Json], title: str = "") -> Json:
    return {"title": title, "content": list(rows)}


def words(text: str) -> Json:
    return {"tag": "text", "text": text, "style": []}


def at(key: str) -> Json:
    return {"tag": "at", "user_id": key, "user_name": "谁", "style": []}


class _File:
    def __init__(self) -> None:
        self.cases: list[Json] = []
        self.number = 0

    def data(self) -> Json:
        self.handshakes()
        self.signatures()
        self.ciphertexts()
        self.texts()
        self.mentions()
        self.posts()
        self.kinds()
        self.senders()
        self.fields()
        self.json()
        self.duplicates()
        self.plain()
        common = {"verification_token": TOKEN, "app_id": APP, "bot_open_id": BOT}
        return {
            "platform": "feishu",
            "secrets": {"default": {**common, "encrypt_key": KEY}, "plain": {**common, "encrypt_key": ""}},
            "policy": {"max_age_s": MAX_AGE},
            "cases": self.cases,
        }

    # ------------------------------------------------------------------ cases

    def handshakes(self) -> None:
        check = {"challenge": "ajls384kdjx98XX", "token": TOKEN, "type": "url_verification"}
        done = {"outcome": "handshake", "response": {"json": {"challenge": "ajls384kdjx98XX"}}}
        self.unsigned("handshake", check, done)
        headers = signed("another key", b"{}", NOW - 10 * MAX_AGE)
        self.add("handshake_badly_signed", self.sealed(check), headers, done)
        self.add("handshake_odd_time", self.sealed(check), headers | {"X-Lark-Request-Timestamp": "soon"}, done)
        self.deliver("handshake_signed", check, done)
        self.unsigned(
            "handshake_odd_text",
            check | {"challenge": '"\\<看>'},
            {"outcome": "handshake", "response": {"json": {"challenge": '"\\<看>'}}},
        )
        for token in ("", "verification-token ", "Verification-token", "口令", None, 5, [TOKEN]):
            self.unsigned("handshake_wrong_token", check | {"token": token}, rejected("wrong_token"))
        self.unsigned("handshake_no_token", {"challenge": "x", "type": "url_verification"}, rejected("wrong_token"))
        self.unsigned("handshake_no_challenge", {"token": TOKEN, "type": "url_verification"}, rejected("malformed"))
        self.unsigned("handshake_number", check | {"challenge": 5}, rejected("malformed"))
        self.unsigned("handshake_other_type", check | {"type": "URL_VERIFICATION"}, rejected("missing_signature"))
        body = json.dumps(check).encode()
        self.add("handshake_downgraded", body, PLAIN_JSON, rejected("missing_signature"))
        self.add("handshake_plain", body, PLAIN_JSON, done, config="plain")
        wrong = json.dumps(check | {"token": "x"}).encode()
        self.add("handshake_plain_wrong", wrong, PLAIN_JSON, rejected("wrong_token"), config="plain")
        self.add("handshake_plain_sealed", self.sealed(check), PLAIN_JSON, rejected("decrypt_failed"), config="plain")
        other = json.dumps({"encrypt": encrypt("another key", json.dumps(check).encode(), IV)}).encode()
        self.add("handshake_other_key", other, PLAIN_JSON, rejected("missing_signature"))

    def signatures(self) -> None:
        event, message = self.event("签名")
        body = self.sealed(event)
        good = signed(KEY, body, NOW)
        signature = good["X-Lark-Signature"]
        for value in (
            "0" * 64, signature.upper(), signature[:-1], signature + "0", "签名",
            base64.b64encode(bytes.fromhex(signature)).decode(), "=",
        ):  # fmt: skip
            self.add("signature_forged", body, good | {"X-Lark-Signature": value}, rejected("bad_signature"))
        self.add("signature_empty", body, good | {"X-Lark-Signature": ""}, rejected("missing_signature"))
        for name in ("X-Lark-Signature", "X-Lark-Request-Timestamp", "X-Lark-Request-Nonce"):
            less = {key: value for key, value in good.items() if key != name}
            self.add(f"without_{name}", body, less, rejected("missing_signature"))
        for value in ("", "-1", "+1795000000", "1795000000.0", "1e9", "1_795_000_000", "NaN",
                      "Infinity", "١٧٩٥٠٠٠٠٠٠", "１７９５００００００", "1" * 16, "0x6afd"):  # fmt: skip
            headers = good | {"X-Lark-Request-Timestamp": value}
            self.add("timestamp", body, headers, rejected("malformed_timestamp"))
        self.add("other_nonce", body, good | {"X-Lark-Request-Nonce": "1234568"}, rejected("bad_signature"))
        self.add("other_time", body, good | {"X-Lark-Request-Timestamp": str(NOW - 1)}, rejected("bad_signature"))
        self.add("other_key", body, signed("another key", body, NOW), rejected("bad_signature"))
        self.add("longer_body", body + b" ", good, rejected("bad_signature"))
        self.add("stale", body, good, rejected("stale"), now=NOW + MAX_AGE + 1)
        self.add("early", body, good, rejected("stale"), now=NOW - MAX_AGE - 1)
        # What was refused leaves no trace.
        self.add("at_the_edge", body, good, self.accepted(message), now=NOW + MAX_AGE)
        event, message = self.event("另一边")
        body = self.sealed(event)
        self.add("other_edge", body, signed(KEY, body, NOW), self.accepted(message), now=NOW - MAX_AGE)
        event, message = self.event("随机串是空的")
        body = self.sealed(event)
        self.add("empty_nonce", body, signed(KEY, body, NOW, ""), self.accepted(message))
        event, message = self.event("小写头")
        body = self.sealed(event)
        lower = {name.lower(): value for name, value in signed(KEY, body, NOW).items()}
        self.add("lower_case_headers", body, lower, self.accepted(message))
        whole = json.dumps(self.event("明文")[0]).encode()
        for headers in (PLAIN_JSON, signed(KEY, whole, NOW), signed("guess", whole, NOW)):
            self.add("downgraded", whole, headers, rejected("missing_signature"))
        large = b" " * ((1 << 20) + 1)
        self.add("too_large", large, signed(KEY, large, NOW), rejected("too_large"))
        self.add("too_large_unsigned", large, {}, rejected("too_large"))
        self.add("empty_body", b"", {}, rejected("missing_signature"))

    def ciphertexts(self) -> None:
        content = json.dumps(self.event("密文")[0]).encode()
        packed = base64.b64decode(encrypt(KEY, content, IV))
        sound = base64.b64encode(packed).decode()
        for text in ("", "!", sound[:-1], sound + "=", f"{sound}\n", f" {sound}", sound.replace("A", "-", 1) + "_",
                     base64.b64encode(packed[:-1]).decode(), base64.b64encode(packed[:16]).decode(),
                     base64.b64encode(packed[:-16]).decode(), base64.b64encode(IV).decode(), "密" * 44):  # fmt: skip
            self.signed_body("ciphertext", json.dumps({"encrypt": text}).encode(), rejected("decrypt_failed"))
        for value in (None, 5, [sound], {"a": sound}, True):
            self.signed_body("encrypt_type", json.dumps({"encrypt": value}).encode(), rejected("malformed"))
        for body in (b"{not json", b"[]", b'"x"', b"null", b"\xff\xfe{}", b'{"encrypt":"a","encrypt":"b"}', b"{}x"):
            expect = rejected("malformed")
            self.signed_body("no_json", body, expect)
            self.add("no_json_unsigned", body, PLAIN_JSON, rejected("missing_signature"))
        self.signed_body("no_encrypt", b'{"data": 1}', rejected("missing_signature"))
        for inner in (b"", b"{not json", b"[]", b"null", b"\xff", b'{"a":NaN}', b'{"a":1,"a":2}', b"{}"):
            body = json.dumps({"encrypt": encrypt(KEY, inner, IV)}).encode()
            self.signed_body("inner_json", body, rejected("malformed"))
        body = json.dumps({"encrypt": encrypt(KEY, b"[" * 65 + b"]" * 65, IV)}).encode()
        self.signed_body("inner_depth", body, rejected("malformed"))
        event, message = self.event("两种都有")
        body = json.dumps({"encrypt": json.loads(self.sealed(event))["encrypt"], "header": {"token": "x"}}).encode()
        self.signed_body("both", body, self.accepted(message))
        event, message = self.event("带 BOM")
        self.signed_body("byte_order_mark", b"\xef\xbb\xbf" + self.sealed(event), self.accepted(message))

    def texts(self) -> None:
        for text, seen in (
            ("  　两头\n", "两头"),
            ("中间  两格\n\n\t缩进\u00a0", "中间  两格\n\n\t缩进"),
            ("<b>&amp; &lt;at user_id=\"all\"></at>", "<b>&amp; &lt;at user_id=\"all\"></at>"),
            ("<ImageHere> </s> <|im_end|> [UNUSED_TOKEN_145]", "<ImageHere> </s> <|im_end|> [UNUSED_TOKEN_145]"),
            ("👩‍👩‍👧\u202e\u200b[微笑]", "👩‍👩‍👧\u202e\u200b[微笑]"),
            ("   ", ""), ("", ""),
            ("坏\ud83d字\x00符", "坏\ufffd字符"),
            ("@_user_1 没有名单", "@_user_1 没有名单"),
            ("[链接](https://a.example)", "[链接](https://a.example)"),
            ("长" * 50_000, "长" * 50_000),
        ):  # fmt: skip
            event, message = self.event(text, seen)
            self.deliver("text", event, self.accepted(message))
        event, message = self.event("秒是截断的", sent_at=NOW - 1)
        event["event"]["message"]["create_time"] = f"{NOW - 1}999"
        self.deliver("milliseconds", event, self.accepted(message))

    def mentions(self) -> None:
        own, bob, tenth = mention(1, BOT), mention(2, BOB, "小博"), mention(10, "ou_ten", "第十")
        for text, seen, named in (
            ("@_user_1 你好", "你好", [own]),
            ("你好 @_user_1", "你好", [own]),
            ("你好 @_user_1 再见", "你好 再见", [own]),
            ("你好@_user_1再见", "你好再见", [own]),
            ("你好@_user_1 再见", "你好 再见", [own]),
            ("a  @_user_1   b", "a b", [own]),
            ("a\n@_user_1 b", "a\nb", [own]),
            ("a @_user_1\n  b", "a\n  b", [own]),
            ("a\u00a0@_user_1 b", "a\u00a0 b", [own]),
            ("a\t@_user_1b", "a\tb", [own]),
            ("@_user_1", "", [own]),
            ("a @_user_1 @_user_1 b", "a b", [own]),
            ("@_user_1@_user_1 b", "b", [own]),
            ("@_user_1 帮 @_user_2 看", "帮 @小博 看", [own, bob]),
            ("a @_user_1 @_user_2", "a @小博", [own, bob]),
            ("@_user_10 @_user_1 x", "@第十 x", [own, tenth]),
            ("@_user_10 x", "@_user_10 x", [own]),
            ("@_user_100 x", "@_user_100 x", [own, tenth]),
            ("@_user_2你好", "@小博你好", [bob]),
            ("@_user_2 和 @_user_2", "@小博 和 @小博", [bob]),
            ("没有占位符", "没有占位符", [bob]),
            ("@_USER_1 @user_1", "@_USER_1 @user_1", [own]),
        ):
            event, message = self.event(text, seen, mentions=named, group=True)
            self.deliver("mention", event, self.accepted(message))
        odd = mention(2, BOB, "@_user_1 @_all 名字")
        event, message = self.event("@_user_1 问 @_user_2", "问 @@_user_1 @_all 名字", mentions=[own, odd], group=True)
        self.deliver("mention_in_name", event, self.accepted(message))
        everybody = {"key": "@_all", "id": {"open_id": "", "user_id": "all"}, "name": "所有人"}
        for text, seen, named in (
            ("@_all 开会", "@all 开会", []), ("@_all 开会", "@all 开会", [everybody]),
            ("@_user_1 @_all", "@all", [own]), ("喂@_all", "喂@all", []),
        ):  # fmt: skip
            event, message = self.event(text, seen, mentions=named, group=True)
            listed = [one for one in message["mentions"] if one["id"]]
            event_message = message | {"mentions": listed, "mention_all": True}
            self.deliver("everybody", event, self.accepted(event_message))
        event, message = self.event("@_all_hands 邮件", group=True)
        self.deliver("not_everybody", event, self.accepted(message))
        event, message = self.event("@_user_1 私聊", "私聊", mentions=[own])
        self.deliver("mention_private", event, self.accepted(message))
        bare = {"key": "@_user_3", "id": {"union_id": "on_x"}, "name": "外部"}
        event, message = self.event("@_user_3 你好", "@外部 你好", mentions=[bare], group=True)
        message["mentions"] = [{"id": "on_x", "name": "外部", "is_bot": False}]
        self.deliver("mention_without_open_id", event, self.accepted(message))
        for name in (None, ""):
            event, message = self.event("@_user_2 你好", f"@{BOB} 你好", mentions=[mention(2, BOB) | {"name": name}])
            message["mentions"] = [{"id": BOB, "name": None, "is_bot": False}]
            self.deliver("mention_without_name", event, self.accepted(message))
        for value in ("x", {}, [5], [{"id": {}}], [{"key": 5}], [{"key": "@_user_1", "id": 5}]):
            event, _ = self.event("@_user_1")
            event["event"]["message"]["mentions"] = value
            self.deliver("odd_mentions", event, rejected("malformed"))

    def posts(self) -> None:
        own, bob = mention(1, BOT), mention(2, BOB, "小博")
        code = {"tag": "code_block", "language": "GO", "text": "func main() {\n\treturn\n}"}
        for content, seen, keys in (
            (post([words("第一行"), words("接着")], [words("第二行")], title="标题"), "标题\n第一行接着\n第二行", []),
            (post([at("@_user_1"), words(" 看图")], [{"tag": "img", "image_key": "img_1"}]), "看图", ["img_1"]),
            (post([words("先"), at("@_user_1"), words(" 后 "), at("@_user_2")]), "先 后 @小博", []),
            (post([at("@_user_1")], [words("上一段只有 @")], title="标"), "标\n上一段只有 @", []),
            (post([words("a")], [], [words("")], [words(" ")], [words("b")]), "a\n \nb", []),
            (post([{"tag": "a", "text": "飞书", "href": "https://a.example"}]), "[飞书](https://a.example)", []),
            (post([words("好"), {"tag": "emotion", "emoji_type": "SMILE"}]), "好:SMILE:", []),
            (post([words("代码")], [code]), "代码\n```go\nfunc main() {\n\treturn\n}\n```", []),
            (post([{"tag": "code_block", "text": "x"}]), "```\nx\n```", []),
            (post([words("上")], [{"tag": "hr"}], [words("下")]), "上\n---\n下", []),
            (post([{"tag": "media", "file_key": "f", "image_key": "cover"}], [words("视频")]), "视频", []),
            (post([words("?"), {"tag": "someday", "value": 1}]), "?", []),
            (
                post([{"tag": "img", "image_key": "b"}, words("中"), {"tag": "img", "image_key": "a"}]),
                "中", ["b", "a"],
            ),
            (post([words("写的 @_user_2")]), "写的 @_user_2", []),
            (post([at("@_user_7")]), "@_user_7", []),
            (post([at(BOT), words(" 问 "), at(BOB), at("ou_x")]), "问 @小博@谁", []),
            (post(), "", []),
            ({"zh_cn": post([words("中文")], title="题")}, "题\n中文", []),
            ({"content": [[words("没有标题")]]}, "没有标题", []),
        ):  # fmt: skip
            event, message = self.event("", seen, mentions=[own, bob], group=True, kind="post", content=content)
            message["images"] = [picture(message["message_id"], key) for key in keys]
            self.deliver("post", event, self.accepted(message))
        content = post([at("@_all"), words(" 开会")])
        event, message = self.event("", "@all 开会", group=True, kind="post", content=content)
        self.deliver("post_everybody", event, self.accepted(message | {"mention_all": True}))
        for content in (
            {}, [], "x", {"title": 5, "content": []}, {"title": ""}, {"content": "x"}, {"content": [{}]},
            {"content": [["x"]]}, {"content": [[{}]]}, {"content": [[{"tag": 5}]]}, {"content": [[{"tag": "text"}]]},
            {"content": [[{"tag": "img"}]]}, {"content": [[{"tag": "img", "image_key": ""}]]}, {"zh_cn": 5},
            {"content": [[{"tag": "at"}]]}, {"content": [[{"tag": "a", "text": "x"}]]},
            {"content": [[{"tag": "text", "text": None}]]},
        ):  # fmt: skip
            event, _ = self.event("", kind="post", content=content)
            self.deliver("odd_post", event, rejected("malformed"))

    def kinds(self) -> None:
        event, message = self.event("", kind="image", content={"image_key": "img_v3_x"})
        message["images"] = [picture(message["message_id"], "img_v3_x")]
        self.deliver("image", event, self.accepted(message))
        for content in ({}, {"image_key": ""}, {"image_key": 5}, {"image_key": "x" * 513}, [], "x"):
            event, _ = self.event("", kind="image", content=content)
            self.deliver("odd_image", event, rejected("malformed"))
        for raw in ('"Merged and Forwarded Message"', "Merged and Forwarded Message", "{}"):
            event, message = self.event("", kind="merge_forward")
            event["event"]["message"]["content"] = raw
            fetch = f"GET /open-apis/im/v1/messages/{message['message_id']}"
            message["forward"] = {"kind": "feishu_merge_forward", "fetch": fetch}
            self.deliver("forward", event, self.accepted(message))
        for kind in ("file", "folder", "audio", "media", "interactive", "share_chat", "share_user", "location",
                     "system", "hongbao", "vote", "todo", "video_chat", "calendar", "TEXT", "", "未知"):  # fmt: skip
            event, _ = self.event("", kind=kind)
            event["event"]["message"]["content"] = "not even JSON"
            self.deliver("kind", event, ignored("unsupported_type"))
        for kind in ("im.message.message_read_v1", "im.chat.member.bot.added_v1", "card.action.trigger", "", "未知"):
            event, _ = self.event("")
            event["header"]["event_type"] = kind
            event["event"] = None
            self.deliver("event", event, ignored("event"))

    def senders(self) -> None:
        for kind in ("app", "bot", "anonymous", "unknown", "USER", ""):
            event, _ = self.event("我是机器人")
            event["event"]["sender"] |= {"sender_type": kind, "sender_id": {"open_id": "ou_other"}}
            self.deliver("sender", event, ignored("sender_is_bot"))
        event, _ = self.event("我自己")
        event["event"]["sender"]["sender_id"]["open_id"] = BOT
        self.deliver("self", event, ignored("self_message"))
        event["event"]["sender"]["sender_type"] = "app"
        self.deliver("self_as_app", event, ignored("sender_is_bot"))

        def change(name: str, value: Any) -> Callable[[Json], None]:
            return lambda event: event["header"].__setitem__(name, value)

        for value in ("other-token", "", TOKEN + " ", None, 5, TOKEN.upper()):
            self.changed("token", change("token", value), rejected("wrong_token"))
        self.changed("no_token", lambda event: event["header"].pop("token"), rejected("wrong_token"))
        self.changed("other_app", change("app_id", "cli_other"), rejected("wrong_bot"))
        self.changed("app_case", change("app_id", APP.upper()), rejected("wrong_bot"))
        self.changed("app_type", change("app_id", 5), rejected("malformed"))
        both: Json = {"app_id": "cli_other", "token": "other"}
        self.changed("other_app_and_token", lambda event: event["header"].update(both), rejected("wrong_token"))

    def fields(self) -> None:
        for where, names in (
            ((), ("header", "event")), (("header",), ("event_id", "event_type")), (("event",), ("sender", "message")),
            (("event", "sender"), ("sender_id", "sender_type")), (("event", "sender", "sender_id"), ("open_id",)),
            (("event", "message"), ("message_id", "create_time", "chat_id", "chat_type", "message_type", "content")),
        ):  # fmt: skip
            for name in names:
                for value in ("absent", None, 5, [], True, 1.5):
                    self.changed(f"odd_{name}", _odd(where, name, value), rejected("malformed"))
        for name in ("message_id", "chat_id"):
            for value in ("", "长" * 171):
                self.changed(f"odd_{name}", _odd(("event", "message"), name, value), rejected("malformed"))
        for value in ("", "-1", "1795000000.5", "1e12", "١٧٩٥", "9" * 16, "9" * 15 + " ", "999999999999999"):
            self.changed("create_time", _odd(("event", "message"), "create_time", value), rejected("malformed"))
        for value in ("P2P", "", "private", "channel"):
            self.changed("chat_type", _odd(("event", "message"), "chat_type", value), rejected("malformed"))
        for value in (
            "",
            "{not json",
            "[]",
            '"x"',
            "null",
            '{"text":5}',
            '{"text":"a","text":"b"}',
            '{"text":NaN}',
            "{}",
        ):
            self.changed("content", _odd(("event", "message"), "content", value), rejected("malformed"))
        first = {"uuid": "x", "token": TOKEN, "ts": "1", "type": "event_callback", "event": {"type": "message"}}
        self.deliver("first_schema", first, rejected("malformed"))
        for name, value in (("parent_id", 5), ("thread_id", []), ("parent_id", "长" * 171)):
            self.changed(f"odd_{name}", _odd(("event", "message"), name, value), rejected("malformed"))
        event, message = self.event("回复")
        event["event"]["message"] |= {"root_id": "om_root", "parent_id": "om_parent", "thread_id": "omt_1"}
        self.deliver("reply", event, self.accepted(message | {"reply_to": "om_parent"}))
        event, message = self.event("只有根")
        event["event"]["message"] |= {"root_id": "om_root", "parent_id": "", "thread_id": None}
        self.deliver("root_only", event, self.accepted(message))
        event, message = self.event("话题群", group=True)
        event["event"]["message"]["chat_type"] = "topic_group"
        self.deliver("topic_group", event, self.accepted(message))

    def json(self) -> None:
        event, message = self.event("空白多")
        body = json.dumps(event, indent=3).encode()
        self.signed_body(
            "spacious", json.dumps({"encrypt": encrypt(KEY, body, IV)}, indent=9).encode(), self.accepted(message)
        )
        event, message = self.event("未知字段")
        event["event"]["message"]["new"] = {"deep": [[[1.5, None, True]]]}
        event["event"]["new"] = event["new"] = "x"
        self.deliver("unknown_names", event, self.accepted(message))
        for length in range(16):
            event, message = self.event("x" * length)
            self.deliver("padding", event, self.accepted(message))

    def duplicates(self) -> None:
        event, message = self.event("一次")
        self.deliver("first", event, self.accepted(message))
        self.deliver("again", event, {"outcome": "duplicate"}, now=NOW + 15)
        event["header"]["event_id"] = "evt_other"
        self.deliver("again_renamed", event, {"outcome": "duplicate"}, now=NOW + 300)
        event, message = self.event("先拒绝")
        self.add("refused_first", self.sealed(event), PLAIN_JSON, rejected("missing_signature"))
        self.deliver("then_accepted", event, self.accepted(message))

    def plain(self) -> None:
        event, message = self.event("明文")
        self.add("plain", json.dumps(event).encode(), PLAIN_JSON, self.accepted(message), config="plain")
        self.add("plain_again", json.dumps(event).encode(), {}, {"outcome": "duplicate"}, config="plain")
        event, _ = self.event("没有口令")
        del event["header"]["token"]
        self.add("plain_no_token", json.dumps(event).encode(), {}, rejected("wrong_token"), config="plain")
        event, _ = self.event("加密的")
        body = self.sealed(event)
        self.add("plain_sealed", body, signed(KEY, body, NOW), rejected("decrypt_failed"), config="plain")
        for body in (b"", b"{", b"[]", b"\xff", b'{"header":{}, "header":{}}', b"{}", b"[" * 100_000):
            self.add("plain_odd", body, {}, rejected("malformed"), config="plain")
        large = b" " * ((1 << 20) + 1)
        self.add("plain_too_large", large, {}, rejected("too_large"), config="plain")

    # ---------------------------------------------------------------- helpers

    def event(
        self,
        text: str,
        seen: str | None = None,
        *,
        mentions: list[Json] | None = None,
        group: bool = False,
        kind: str = "text",
        content: Any = None,
        sent_at: int = NOW,
    ) -> tuple[Json, Json]:
        """An event with fresh ids, and what must be received; text is left out where `content` stands."""
        self.number += 1
        message_id, event_id = f"om_{self.number}", f"evt_{self.number}"
        chat = "oc_group" if group else "oc_p2p"
        message: Json = {
            "message_id": message_id,
            "create_time": f"{NOW}000",
            "chat_id": chat,
            "chat_type": "group" if group else "p2p",
            "message_type": kind,
            "content": json.dumps({"text": text} if content is None else content),
        }
        message |= {"mentions": mentions} if mentions is not None else {}
        sender = {"sender_id": {"open_id": ALICE, "union_id": "on_alice", "user_id": "u1"}, "sender_type": "user"}
        header = {"event_id": event_id, "event_type": "im.message.receive_v1", "token": TOKEN, "app_id": APP}
        listed = [{"id": m["id"].get("open_id", ""), "name": m["name"]} for m in mentions or []]
        expected = {
            "platform": "feishu",
            "conversation": {"id": chat, "type": "group" if group else "private"},
            "sender": {"id": ALICE},
            "message_id": message_id,
            "dedup_key": event_id,
            "text": text if seen is None else seen,
            "images": [],
            "mentions": [one | {"is_bot": one["id"] == BOT} for one in listed],
            "mentioned_bot": any(one["id"] == BOT for one in listed),
            "reply_to": None,
            "quoted": None,
            "sent_at": sent_at,
        }
        return {"schema": "2.0", "header": header, "event": {"sender": sender, "message": message}}, expected

    def accepted(self, message: Json) -> Json:
        return {"outcome": "accepted", "message": message}

    def sealed(self, data: Json) -> bytes:
        return json.dumps({"encrypt": encrypt(KEY, json.dumps(data).encode(), IV)}).encode()

    def deliver(self, name: str, data: Json, expect: Json, now: int = NOW) -> None:
        """Encrypted and signed."""
        self.signed_body(name, self.sealed(data), expect, now)

    def unsigned(self, name: str, data: Json, expect: Json) -> None:
        self.add(name, self.sealed(data), PLAIN_JSON, expect)

    def changed(self, name: str, change: Callable[[Json], Any], expect: Json) -> None:
        event, _ = self.event("变了")
        change(event)
        self.deliver(name, event, expect)

    def signed_body(self, name: str, body: bytes, expect: Json, now: int = NOW) -> None:
        self.add(name, body, signed(KEY, body, now), expect, now=now)

    def add(
        self, name: str, body: bytes, headers: dict[str, str], expect: Json, *, config: str = "default", now: int = NOW
    ) -> None:
        request = {
            "method": "POST",
            "path": "/webhook/feishu",
            "query": {},
            "headers": headers,
            "body_b64": base64.b64encode(body).decode(),
        }
        case = {"id": f"feishu.{len(self.cases)}.{name}", "kind": name, "config": config, "now": now}
        self.cases.append({**case, "request": request, "expect": expect})


def _odd(where: tuple[str, ...], name: str, value: Any) -> Callable[[Json], None]:
    def change(event: Json) -> None:
        inner = event
        for step in where:
            inner = inner[step]
        if value == "absent":
            del inner[name]
        else:
            inner[name] = value

    return change
