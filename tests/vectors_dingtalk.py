"""DingTalk requests with what they must become, built and signed without the adapter's code."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import Any

Json = dict[str, Any]

NOW = 1_795_000_000
SECRET = "kantuSecret_2026-自己的"
BOT = "$:LWCP_v1:$OurBot=="
USER = "$:LWCP_v1:$Someone=="
OTHER = "$:LWCP_v1:$Else=="
ROBOT = "dingkantu0robot"
SESSION = "https://oapi.dingtalk.com/robot/sendBySession?session=5e5510"
CONFIGS: Json = {
    "default": {"app_secret": SECRET, "robot_code": ROBOT, "chatbot_user_id": BOT},
    "bare": {"app_secret": "only the secret", "app_key": "dingappkey"},
    "keyed": {"app_secret": SECRET, "robot_code": ROBOT, "chatbot_user_id": BOT, "path_secret": "öffne dich"},
}
POLICY: Json = {"max_age_s": 3600, "reply_hosts": ["oapi.dingtalk.com", "API.dingtalk.com"]}
FETCH = (
    "POST https://api.dingtalk.com/v1.0/robot/messageFiles/download {downloadCode,robotCode} -> downloadUrl, then GET"
)
ABSENT = object()


def vectors() -> Json:
    """The whole file."""
    cases = [*_kinds(), *_groups(), *_quotes(), *_addresses(), *_signatures(), *_bodies(), *_copies()]
    return {"platform": "dingtalk", "secrets": CONFIGS, "policy": POLICY, "cases": cases}


def sign(secret: str, stamp: str) -> str:
    """base64(HMAC-SHA256(secret, stamp + newline + secret))."""
    mac = hmac.new(secret.encode(), digestmod=hashlib.sha256)
    mac.update(stamp.encode("utf-8", "surrogatepass") + b"\n" + secret.encode())
    return base64.standard_b64encode(mac.digest()).decode()


def body(name: str, **changes: Any) -> Json:
    """A text message in a private chat; ABSENT takes a field away."""
    whole: Json = {
        "conversationId": "cidPrivate==",
        "chatbotCorpId": "dingcorp",
        "chatbotUserId": BOT,
        "msgId": f"msg-{name}",
        "senderNick": "张三",
        "isAdmin": True,
        "senderStaffId": "0420",
        "sessionWebhookExpiredTime": (NOW + 5400) * 1000 + 999,
        "createAt": NOW * 1000 + 999,
        "senderCorpId": "dingcorp",
        "conversationType": "1",
        "senderId": USER,
        "sessionWebhook": SESSION,
        "robotCode": ROBOT,
        "msgtype": "text",
        "text": {"content": "你好"},
    }
    return {key: value for key, value in {**whole, **changes}.items() if value is not ABSENT}


def image(code: str, robot: str = ROBOT) -> Json:
    return {"kind": "dingtalk_download_code", "download_code": code, "robot_code": robot, "fetch": FETCH}


def case(
    name: str,
    content: Any,
    expect: Json,
    *,
    kind: str = "text",
    config: str = "default",
    now: float = NOW,
    stamp: str | None = None,
    signature: Any = None,
    query: Json | None = None,
    drop: tuple[str, ...] = (),
    names: Json | None = None,
) -> Json:
    """One case; content: bytes as they are, anything else as JSON."""
    stamp = str(NOW * 1000) if stamp is None else stamp
    secret = CONFIGS[config]["app_secret"]
    signature = sign(secret, stamp) if signature is None else signature
    headers = {"Content-Type": "application/json; charset=utf-8", "timestamp": stamp, "sign": signature}
    headers = {(names or {}).get(key, key): value for key, value in headers.items() if key not in drop}
    raw = content if isinstance(content, bytes) else json.dumps(content, ensure_ascii=False).encode()
    return {
        "id": f"dingtalk.{name}",
        "kind": kind,
        "config": config,
        "now": now,
        "request": {
            "method": "POST",
            "path": "/webhook/dingtalk",
            "query": query or {},
            "headers": headers,
            "body_b64": base64.b64encode(raw).decode(),
        },
        "expect": expect,
    }


def message(content: Json, **changes: Any) -> Json:
    """What an accepted request becomes."""
    group = content["conversationType"] == "2"
    nick = content.get("senderNick")
    whole = {
        "platform": "dingtalk",
        "conversation": {"id": content["conversationId"], "type": "group" if group else "private"},
        "sender": {"id": content["senderId"], **({"name": nick} if nick else {})},
        "message_id": content["msgId"],
        "dedup_key": content["msgId"],
        "text": "你好",
        "images": [],
        "mentions": [],
        "mentioned_bot": False,
        "reply_to": None,
        "quoted": None,
        "sent_at": NOW,
        "reply_url": SESSION,
        "reply_url_expires": NOW + 5400,
    }
    return whole | changes


def accepted(
    name: str, content: Json, /, *, refused: bool = False, request: Json | None = None, **changes: Any
) -> Json:
    """changes: of the message. refused: its session address is not used."""
    if refused:
        changes = {"reply_url": None, "reply_url_expires": None, **changes}
    expect: Json = {"outcome": "accepted", "message": message(content, **changes)}
    if refused:
        expect["reply_url_refused"] = True
    return case(name, content, expect, **(request or {}))


def rejected(name: str, content: Any, reason: str, **request: Any) -> Json:
    return case(name, content, {"outcome": "rejected", "reason": reason}, kind="rejected", **request)


def ignored(name: str, content: Json, reason: str) -> Json:
    return case(name, content, {"outcome": "ignored", "reason": reason}, kind="ignored")


def said(name: str, text: Any, **changes: Any) -> Json:
    return body(name, text={"content": text}, **changes)


def rich(name: str, *items: Any, **changes: Any) -> Json:
    return body(name, msgtype="richText", text=ABSENT, content={"richText": list(items)}, **changes)


def other(name: str, msgtype: Any, content: Any) -> Json:
    return body(name, msgtype=msgtype, text=ABSENT, content=content)


def picture(code: str) -> Json:
    return {"type": "picture", "downloadCode": code, "pictureDownloadCode": f"p{code}"}


def _kinds() -> list[Json]:
    space = "  a  b\t\n\n\n&amp; <b> \u00a0\u202e\u200b  "
    control = "<ImageHere> [UNUSED_TOKEN_145] </s> <|im_end|> [CQ:at,qq=all]"
    return [
        accepted("text", said("text", "你好")),
        accepted("text_kept", said("text_kept", space), text=space.strip()),
        accepted("text_control", said("text_control", control), text=control),
        accepted("text_empty", said("text_empty", " \u3000\n"), text=""),
        accepted("text_at_is_text", said("text_at", "@李四 在吗"), text="@李四 在吗"),
        accepted("text_zero", said("text_zero", "a\0b"), text="ab"),
        accepted("text_emoji", said("text_emoji", "👨‍👩‍👧[微笑]"), text="👨‍👩‍👧[微笑]"),
        accepted("long", said("long", "长" * 200_000), text="长" * 200_000),
        accepted("picture", other("picture", "picture", picture("A/b+c=")), text="", images=[image("A/b+c=")]),
        accepted(
            "picture_other_code",
            other("picture_other", "picture", {"pictureDownloadCode": "only"}),
            text="",
            images=[image("only")],
        ),
        accepted("audio", other("audio", "audio", {"downloadCode": "x", "recognition": " 这是什么 "}), text="这是什么"),
        accepted(
            "rich_runs",
            rich("rich_runs", {"text": " 粗"}, {"text": "细 "}, {"text": "\n下一行"}),
            text="粗细 \n下一行",
        ),
        accepted(
            "rich_pictures",
            rich(
                "rich_pictures",
                picture("1"),
                {"text": "前"},
                picture("2"),
                picture("3"),
                {"text": ""},
                {"text": "后"},
                picture("4"),
            ),
            text="前\n后",
            images=[image(code) for code in "1234"],
        ),
        accepted("rich_picture_only", rich("rich_one", picture("x")), text="", images=[image("x")]),
        accepted("rich_same_twice", rich("rich_same", picture("x"), picture("x")), text="", images=[image("x")] * 2),
        accepted("rich_empty", rich("rich_empty"), text=""),
        accepted(
            "rich_unknown_item",
            rich("rich_unknown", {"type": "sticker", "id": 3}, {"text": "好", "attrs": {"bold": True}}),
            text="好",
        ),
        accepted(
            "rich_at",
            rich(
                "rich_at",
                {"type": "at", "atName": "李四", "atUserId": OTHER},
                {"text": " 看"},
                {"type": "at", "atName": "机器人", "atUserId": BOT},
            ),
            text="@李四 看",
        ),
        accepted("no_nick", said("no_nick", "你好", senderNick=ABSENT)),
        accepted("null_nick", said("null_nick", "你好", senderNick=None)),
        accepted(
            "no_robot_code",
            other("no_robot", "picture", picture("y")) | {"robotCode": None},
            text="",
            images=[image("y")],
        ),
        accepted(
            "bare_configuration",
            other("bare", "picture", picture("y")) | {"robotCode": "any/robot%", "chatbotUserId": OTHER},
            text="",
            images=[image("y", "any/robot%")],
            request={"config": "bare"},
        ),
        accepted(
            "bare_no_robot_code",
            body("bare2", msgtype="picture", content=picture("y"), robotCode=ABSENT),
            text="",
            images=[image("y", "dingappkey")],
            request={"config": "bare"},
        ),
        ignored("audio_unheard", other("unheard", "audio", {"downloadCode": "x"}), "unsupported_type"),
        ignored("audio_blank", other("blank", "audio", {"recognition": "  "}), "unsupported_type"),
        ignored("audio_nothing", other("nothing", "audio", None), "unsupported_type"),
        *(
            ignored(f"kind_{kind}", other(f"kind_{kind}", kind, {"downloadCode": "x"}), "unsupported_type")
            for kind in ("file", "video", "interactiveCard", "unknownMsgType", "location", "", "Text", "未知")
        ),
        ignored("own_message", said("own", "你好", senderId=BOT), "self_message"),
    ]


def _groups() -> list[Json]:
    here: Json = {"conversationType": "2", "conversationId": "cidGroup+/=="}
    bot, one = {"dingtalkId": BOT}, {"dingtalkId": OTHER, "staffId": "manager7"}
    known = {"id": BOT, "name": None, "is_bot": True}
    else_ = {"id": OTHER, "name": None, "is_bot": False, "staff_id": "manager7"}
    return [
        accepted(
            "group",
            said("group", " 你好", isInAtList=True, atUsers=[bot], **here),
            mentions=[known],
            mentioned_bot=True,
        ),
        accepted(
            "group_several",
            said("group_several", "  你好 ", isInAtList=True, atUsers=[one, bot, one], **here),
            mentions=[else_, known, else_],
            mentioned_bot=True,
        ),
        accepted(
            "group_staff_id_null",
            said("group_null", "你好", isInAtList=True, atUsers=[{"dingtalkId": BOT, "staffId": None}], **here),
            mentions=[known],
            mentioned_bot=True,
        ),
        accepted("group_silent", said("group_silent", "你好", isInAtList=False, **here)),
        accepted(
            "group_listed", said("group_listed", "你好", isInAtList=True, atUsers=None, **here), mentioned_bot=True
        ),
        accepted("group_only_at", said("group_only", " ", isInAtList=True, **here), text="", mentioned_bot=True),
        accepted(
            "group_picture",
            rich("group_picture", {"text": " 看"}, picture("g"), isInAtList=True, atUsers=[bot], **here),
            text="看",
            images=[image("g")],
            mentions=[known],
            mentioned_bot=True,
        ),
        accepted(
            "group_bot_id_from_body",
            said("group_body", "你好", atUsers=[bot], robotCode="x", **here),
            mentions=[known],
            mentioned_bot=True,
            request={"config": "bare"},
        ),
        accepted(
            "group_bot_id_configured",
            said("group_configured", "你好", atUsers=[bot], chatbotUserId=ABSENT, **here),
            mentions=[known],
            mentioned_bot=True,
        ),
    ]


def _quotes() -> list[Json]:
    def quoting(name: str, replied: Any, **changes: Any) -> Json:
        return body(name, text={"content": "你好", "isReplyMsg": True, "repliedMsg": replied}, **changes)

    def quote(name: str, kind: Any, content: Any, text: str, *codes: str) -> Json:
        replied = {"msgId": "old==", "msgType": kind, "content": content, "senderId": USER, "createdAt": 1}
        quoted = {"text": text, "images": [image(code) for code in codes]}
        return accepted(name, quoting(name, replied), reply_to="old==", quoted=quoted)

    tree = {"elementType": "ROOT", "children": [{"elementType": "TEXT", "value": "标题"}, {"children": 3}, 7]}
    link = {"elementType": "LINK", "value": "https://a.example/"}
    block = [{"elementType": "UNKNOWN", "value": "{}"}, {"elementType": "TEXT", "value": "一只"}]
    block += [{"elementType": "TEXT", "value": "猫"}, link, {"elementType": "IMAGE", "downloadCode": "x"}]
    blocks = [{"elementType": "RICHTEXT", "children": block}, 7, {"elementType": "RICHTEXT", "children": block[1:3]}]
    runs = [
        {"msgType": "picture", "downloadCode": "q1"},
        {"msgType": "text", "content": "输出"},
        {"msgType": "picture"},
    ]
    return [
        quote("quote_text", "text", {"text": " 原话 "}, "原话"),
        quote("quote_content", "text", {"content": "原话"}, "原话"),
        quote("quote_bare", "text", "原话", "原话"),
        quote("quote_picture", "picture", {"downloadCode": "q"}, "", "q"),
        quote("quote_picture_lost", "picture", {"downloadCode": 5}, ""),
        quote("quote_rich", "richText", {"richText": runs}, "输出", "q1"),
        quote("quote_rich_direct", "richText", {"richText": [{"text": "a"}, picture("b"), {"text": "c"}]}, "a\nc", "b"),
        quote("quote_audio", "audio", {"recognition": "听到的", "downloadCode": "x"}, "听到的"),
        quote("quote_card", "interactiveCard", {"cardContent": tree}, "标题"),
        quote("quote_card_blocks", "interactiveCard", {"cardContent": blocks}, "一只猫 https://a.example/ \n一只猫"),
        quote("quote_card_empty", "interactiveCard", None, ""),
        quote("quote_file", "file", {"downloadCode": "x", "fileName": "a.pdf"}, ""),
        quote("quote_odd", 7, {"richText": [3, None, {"msgType": []}], "text": {}}, ""),
        accepted("quote_id_only", quoting("quote_id", None, originalMsgId="old=="), reply_to="old=="),
        accepted("quote_not_object", quoting("quote_list", [1])),
        accepted("quote_flag_false", body("flag", text={"content": "你好", "isReplyMsg": False, "repliedMsg": {}})),
        accepted(
            "quote_original_id",
            quoting("quote_original", {"content": {"text": "x"}}, originalMsgId="o"),
            reply_to="o",
            quoted={"text": "x", "images": []},
        ),
        accepted("quote_id_too_long", quoting("quote_long", None, originalMsgId="o" * 513)),
    ]


def _addresses() -> list[Json]:
    path = "/robot/sendBySession?session=1"
    good = (
        "https://oapi.dingtalk.com:443" + path,
        "HTTPS://OAPI.DingTalk.com" + path,
        "https://api.dingtalk.com/x",
        "https://api.dingtalk.com",
    )
    bad: tuple[Any, ...] = (
        "http://oapi.dingtalk.com" + path,
        "https://oapi.dingtalk.com:8443" + path,
        "https://oapi.dingtalk.com:80" + path,
        "https://oapi.dingtalk.com:99999" + path,
        "https://oapi.dingtalk.com.evil.example" + path,
        "https://evil.example/oapi.dingtalk.com",
        "https://evil.example#oapi.dingtalk.com",
        "https://oapi.dingtalk.com@evil.example" + path,
        "https://evil.example@oapi.dingtalk.com" + path,
        "https://@oapi.dingtalk.com" + path,
        "https://evil.example\\@oapi.dingtalk.com" + path,
        "https://oapi.dingtalk.com\\" + path,
        "https://oapi.dingtalk.com /x",
        " https://oapi.dingtalk.com/x",
        "https://oapi.dingtalk.com/x\n",
        "https://oapi.ding\ttalk.com/x",
        "https://oapi.dingtalk.com/\x85",
        "https://oapi.dingtalk.com/\0x",
        "https://oapi.ding\0talk.com/x",
        "\0https://oapi.dingtalk.com/x",
        "https://oapi.dingtalk.com/\x7f",
        "https://oapi.dingtalk.com\u3000/",
        "https://oapi.dingtal\u212a.com/x",
        "https://ｏapi.dingtalk.com/x",
        "https://[oapi.dingtalk.com]/x",
        "https://oapi.dingtalk.com.",
        "https://x.oapi.dingtalk.com/x",
        "https://127.0.0.1/x",
        "https://[::1]/x",
        "//oapi.dingtalk.com/x",
        "https:/oapi.dingtalk.com/x",
        "file:///etc/passwd",
        "oapi.dingtalk.com/x",
        "",
        None,
        7,
        [SESSION],
        {"url": SESSION},
        True,
    )
    odd_expiry: tuple[Any, ...] = (ABSENT, None, "1795005400000", 1.5, True, -1, 10**20, [], {})
    return [
        *(
            accepted(f"address_good_{i}", said(f"good{i}", "你好", sessionWebhook=url), reply_url=url)
            for i, url in enumerate(good)
        ),
        *(
            accepted(f"address_bad_{i}", said(f"bad{i}", "你好", sessionWebhook=url), refused=True)
            for i, url in enumerate(bad)
        ),
        accepted("address_absent", said("absent", "你好", sessionWebhook=ABSENT), refused=True),
        *(
            accepted(f"expiry_{i}", said(f"expiry{i}", "你好", sessionWebhookExpiredTime=at), reply_url_expires=None)
            for i, at in enumerate(odd_expiry)
        ),
        accepted(
            "expired_already",
            said("expired", "你好", sessionWebhookExpiredTime=999),
            reply_url_expires=0,
        ),
    ]


def _signatures() -> list[Json]:
    fine = said("signature", "你好")
    right = sign(SECRET, str(NOW * 1000))
    odd = (
        "abc", "", "+1795000000000", "-1795000000000", "1795000000000.0", "1.795e12", "NaN",
        "Infinity", "1_795_000_000_000", "１７９５０００００００００", "1795000000000000", "0x1A1",
        "²",
    )  # fmt: skip
    wrong = (
        "A" * 43 + "=", "x", right + "=", right.rstrip("="), right.lower(), right.swapcase(),
        right.replace("=", "%3D"), "签名", right * 2, "=" * 44,
    )  # fmt: skip

    def at(name: str, seconds: float, reason: str = "") -> Json:
        stamp = str(int((NOW + seconds) * 1000))
        return (
            rejected(name, fine, reason, stamp=stamp)
            if reason
            else accepted(name, said(name, "你好"), request={"stamp": stamp})
        )

    return [
        *(rejected(f"timestamp_{i}", fine, "malformed_timestamp", stamp=stamp) for i, stamp in enumerate(odd)),
        *(rejected(f"sign_{i}", fine, "bad_signature", signature=signature) for i, signature in enumerate(wrong)),
        rejected("sign_absent", fine, "missing_signature", drop=("sign",)),
        rejected("timestamp_absent", fine, "missing_signature", drop=("timestamp",)),
        rejected("both_absent", fine, "missing_signature", drop=("timestamp", "sign")),
        rejected("sign_empty", fine, "missing_signature", signature=""),
        rejected("sign_other_secret", fine, "bad_signature", signature=sign("other", str(NOW * 1000))),
        rejected("sign_other_time", fine, "bad_signature", signature=sign(SECRET, str(NOW * 1000 + 1))),
        rejected("sign_bad_and_stale", fine, "bad_signature", stamp="1", signature="x"),
        rejected("timestamp_bad_and_sign_bad", fine, "malformed_timestamp", stamp="x", signature="x"),
        rejected("stale_and_malformed", b"{", "stale", stamp="1795003601000"),
        rejected("sign_bad_and_malformed", b"{", "bad_signature", signature="x"),
        at("edge_old", -3600),
        at("edge_new", 3600),
        at("edge_new_and_some", 3600.9),
        at("stale_old", -3601, "stale"),
        at("stale_old_and_some", -3600.1, "stale"),
        at("stale_new", 3601, "stale"),
        rejected("timestamp_seconds", fine, "stale", stamp=str(NOW)),
        rejected("timestamp_zero", fine, "stale", stamp="0"),
        rejected("timestamp_longest", fine, "stale", stamp="9" * 15),
        accepted("leading_zero", said("zero", "你好"), request={"stamp": "01795000000000"}),
        accepted("now_has_fraction", said("fraction", "你好"), request={"stamp": "1794996400000", "now": NOW + 0.9}),
        accepted("header_case", said("case", "你好"), request={"names": {"timestamp": "TIMESTAMP", "sign": "Sign"}}),
        accepted("key", said("key", "你好"), request={"config": "keyed", "query": {"key": "öffne dich"}}),
        rejected("key_absent", fine, "bad_signature", config="keyed"),
        rejected("key_empty", fine, "bad_signature", config="keyed", query={"key": ""}),
        rejected("key_wrong", fine, "bad_signature", config="keyed", query={"key": "offne dich"}),
        rejected(
            "key_and_no_sign", fine, "missing_signature", config="keyed", query={"key": "öffne dich"}, drop=("sign",)
        ),
        accepted("key_not_needed", said("key_extra", "你好"), request={"query": {"key": "x", "a": "b"}}),
    ]


def _bodies() -> list[Json]:
    required = ("conversationId", "conversationType", "msgId", "senderId", "createAt", "msgtype", "text")
    odd: tuple[Any, ...] = (None, 7, True, [], {})
    wrong = [
        (field, value)
        for field in ("conversationId", "conversationType", "msgId", "senderId", "msgtype")
        for value in (*odd, *([] if field == "msgtype" else [""]))
    ]
    raws = (
        b"", b"null", b"[]", b"7", b'"x"', b"{", b"{}", b"\xff", b"\xef\xbb\xbf", b"[" * 100 + b"]" * 100,
        b'{"a":' * 30_000, b'{"msgId":"a","msgId":"b"}', b'{"a":NaN}', b'{"a":-Infinity}', b'{"a":1e999}',
        "你".encode("gbk"), b"--form\r\n", b"<xml/>",
    )  # fmt: skip
    whole = json.dumps(said("raw", "你好"), ensure_ascii=False).encode()
    content: tuple[Any, ...] = (None, 7, "x", [], {}, {"content": None}, {"content": 7}, {"content": ["x"]})
    pictures: tuple[Any, ...] = (
        None,
        7,
        "x",
        [],
        {},
        {"downloadCode": None},
        {"downloadCode": ""},
        {"downloadCode": 7},
    )
    riches: tuple[Any, ...] = (None, [], {}, *({"richText": value} for value in (None, 7, "x", {}, [7], [None], ["x"])))
    items: tuple[Any, ...] = ({"text": 7}, {"text": ["x"]}, {"type": "picture"}, {"type": "picture", "downloadCode": 7})
    users: tuple[Any, ...] = (7, "x", {}, [7], [None], [{}], [{"dingtalkId": 7}], [{"dingtalkId": ""}])
    times: tuple[Any, ...] = ("1795000000000", 1795000000000.0, -1, 10**17, True, None, [])
    return [
        *(rejected(f"without_{field}", body("w", **{field: ABSENT}), "malformed") for field in required),
        *(rejected(f"wrong_{i}", body("w", **{field: value}), "malformed") for i, (field, value) in enumerate(wrong)),
        *(rejected(f"raw_{i}", raw, "malformed") for i, raw in enumerate(raws)),
        *(rejected(f"text_{i}", body("w", text=value), "malformed") for i, value in enumerate(content)),
        *(rejected(f"picture_{i}", other("w", "picture", value), "malformed") for i, value in enumerate(pictures)),
        *(rejected(f"rich_{i}", other("w", "richText", value), "malformed") for i, value in enumerate(riches)),
        *(rejected(f"rich_item_{i}", rich("w", value), "malformed") for i, value in enumerate(items)),
        *(rejected(f"users_{i}", body("w", atUsers=value), "malformed") for i, value in enumerate(users)),
        *(rejected(f"time_{i}", body("w", createAt=value), "malformed") for i, value in enumerate(times)),
        *(rejected(f"type_{i}", body("w", conversationType=v), "malformed") for i, v in enumerate(("0", "3", "１"))),
        rejected("id_too_long", body("w", msgId="m" * 513), "malformed"),
        rejected("nick_wrong", body("w", senderNick=7), "malformed"),
        rejected("robot_code_wrong", body("w", robotCode=7), "malformed"),
        rejected("double_name", whole.replace(b'"isAdmin"', b'"msgtype"'), "malformed"),
        rejected("cut", whole[:-1], "malformed"),
        rejected("trailing", whole + b"x", "malformed"),
        rejected("other_robot", body("w", robotCode="dingother"), "wrong_bot"),
        rejected("other_bot", body("w", chatbotUserId=OTHER), "wrong_bot"),
        rejected("other_robot_and_malformed", body("w", robotCode="dingother", msgId=ABSENT), "wrong_bot"),
        rejected("too_large", whole + b" " * (1 << 20), "too_large"),
        rejected("too_large_unsigned", b" " * ((1 << 20) + 1), "too_large", drop=("sign",)),
        accepted("largest", whole_body("largest", 1 << 20)),
        case("byte_order_mark", b"\xef\xbb\xbf" + encoded("bom"), _plain("bom")),
        case("escapes", json.dumps(body("escapes"), indent=1).encode(), _plain("escapes")),
        case(
            "lone_surrogate",
            encoded("lone").replace("你好".encode(), b"a\\ud83d\\u0000b"),
            {"outcome": "accepted", "message": message(body("lone"), text="a\ufffdb")},
        ),
        accepted(
            "unused_fields", body("unused", isAdmin="yes", conversationTitle=7, senderCorpId=[], extra={"a": [1]})
        ),
        accepted("staff_id_wrong", body("staff", senderStaffId=7)),
        accepted("epoch", body("epoch", createAt=0), sent_at=0),
        accepted("cut_not_rounded", body("cut", createAt=1_999), sent_at=1),
    ]


def whole_body(name: str, size: int) -> Json:
    """Padded to exactly so many bytes."""
    short = len(json.dumps(body(name, pad=""), ensure_ascii=False).encode())
    return body(name, pad="x" * (size - short))


def encoded(name: str) -> bytes:
    return json.dumps(body(name), ensure_ascii=False).encode()


def _plain(name: str) -> Json:
    return {"outcome": "accepted", "message": message(body(name))}


def _copies() -> list[Json]:
    first = said("copy", "你好")
    again: Json = {"outcome": "duplicate"}
    return [
        rejected("copy_forged_first", first, "bad_signature", signature="x"),
        rejected("copy_stale_first", first, "stale", stamp="1"),
        accepted("copy_first", first),
        case("copy_again", first, again, kind="duplicate"),
        case("copy_later", first, again, kind="duplicate", stamp="1795000003000", now=NOW + 3),
        case("copy_other_text", said("copy", "别的"), again, kind="duplicate"),
        accepted("same_sign_other_body", said("copy2", "你好")),
        ignored("ignored_first", other("later", "file", {}), "unsupported_type"),
        accepted("ignored_is_not_remembered", said("later", "你好")),
    ]
