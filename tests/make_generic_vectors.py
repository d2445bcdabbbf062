"""Writes tests/data/generic.json: signed requests for the generic adapter and what each must lead to.

Run it by hand after a change: `python tests/make_generic_vectors.py`. Nothing of the bot is imported: HMAC is
written out from RFC 2104 and expectations are worked out from the document that was signed, so that a mistake in
the bot cannot hide in its own test data.
"""

from __future__ import annotations

import base64
import copy
import hashlib
import json
from pathlib import Path
from typing import Any

NOW = 1_795_000_000
OUT = Path(__file__).parent / "data" / "generic.json"
KEYS = [hashlib.sha256(name.encode()).digest() for name in ("first key", "second key", "a stranger's key")]
GITHUB_KEYS = ["开门密码 open sesame", "the older one"]
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
REJECTED_401 = ("missing_signature", "malformed_timestamp", "bad_signature", "stale")

cases: list[dict[str, Any]] = []


def hmac_sha256(key: bytes, message: bytes) -> bytes:
    """RFC 2104 with the block size of SHA-256."""
    block = (hashlib.sha256(key).digest() if len(key) > 64 else key).ljust(64, b"\0")
    inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in block) + message).digest()
    return hashlib.sha256(bytes(byte ^ 0x5C for byte in block) + inner).digest()


def whsec(key: bytes) -> str:
    return "whsec_" + base64.b64encode(key).decode()


def sign(id: str, time: str, body: bytes, key: bytes = KEYS[0]) -> str:
    message = id.encode() + b"." + time.encode() + b"." + body
    return "v1," + base64.b64encode(hmac_sha256(key, message)).decode()


def document(id: str = "m1", text: str = "你好", **message: Any) -> dict[str, Any]:
    return {
        "conversation": {"id": "room/7%", "type": "private"},
        "sender": {"id": "u-9", "name": "小李"},
        "message": {"id": id, "text": text, "images": [], **message},
        "sent_at": NOW,
    }


def compact(data: Any) -> bytes:
    return json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode()


def expected(data: dict[str, Any], key: str, **changes: Any) -> dict[str, Any]:
    """The message that a document means, in the files' words; `changes` where it is not plain copying."""
    message = data["message"]
    mentions = message.get("mentions") or []
    return {
        "platform": "generic",
        "conversation": data["conversation"],
        "sender": data["sender"],
        "message_id": message["id"],
        "dedup_key": key,
        "text": message["text"],
        "images": [picture(image) for image in message["images"]],
        "mentions": mentions,
        "mentioned_bot": any(mention["is_bot"] for mention in mentions),
        "reply_to": message.get("reply_to"),
        "quoted": None,
        "sent_at": data["sent_at"],
    } | changes


def picture(image: dict[str, str]) -> dict[str, str]:
    if "url" in image:
        return {"kind": "url", "url": image["url"], "fetch": "GET, SSRF-guarded"}
    sha256 = hashlib.sha256(base64.b64decode(image["base64"])).hexdigest()
    return {"kind": "inline", "mime": image["mime"], "sha256": sha256}


def add(id: str, config: str, now: float, headers: dict[str, str], body: bytes, expect: dict[str, Any]) -> None:
    request = {
        "method": "POST",
        "path": "/webhook/generic",
        "query": {},
        "headers": {"Content-Type": "application/json"} | headers,
        "body_b64": base64.b64encode(body).decode(),
    }
    cases.append({"id": id, "config": config, "now": now, "request": request, "expect": expect})


def rejected(reason: str) -> dict[str, Any]:
    return {"outcome": "rejected", "http_status": 401 if reason in REJECTED_401 else 400, "reason": reason}


def accepted(message: dict[str, Any]) -> dict[str, Any]:
    return {"outcome": "accepted", "http_status": 200, "message": message}


DUPLICATE: dict[str, Any] = {"outcome": "duplicate", "http_status": 200}


def standard(
    id: str,
    expect: dict[str, Any],
    body: bytes,
    *,
    webhook_id: str | None = None,
    time: str = str(NOW),
    now: float = NOW,
    key: bytes = KEYS[0],
    headers: dict[str, str | None] | None = None,
) -> None:
    """A signed request, then `headers` laid over it (None removes one)."""
    name = webhook_id or f"id_{id}"
    signed: dict[str, str | None] = {
        "Webhook-Id": name,
        "Webhook-Timestamp": time,
        "Webhook-Signature": sign(name, time, body, key),
    }
    merged = {header: value for header, value in (signed | (headers or {})).items() if value is not None}
    add(id, "standard", now, merged, body, expect)


def good(id: str, data: dict[str, Any], body: bytes | None = None, *, key: str = "", **changes: Any) -> None:
    """An accepted Standard Webhooks request; `body` when it is not the compact form of `data`."""
    name = key or f"id_{id}"
    standard(id, accepted(expected(data, name, **changes)), body or compact(data), webhook_id=name)


def shapes() -> None:
    """What the schema allows."""
    good("text", document())
    good("spaced", document(), json.dumps(document(), ensure_ascii=False, indent=2).encode())
    good("escaped", document(text="看图😀"), json.dumps(document(text="看图😀")).encode())
    good("bom", document(), b"\xef\xbb\xbf" + compact(document()))
    good("unknown_names", document() | {"extra": {"a": [1, 2.5, None, True]}})
    deep = json.loads("[" * 63 + "]" * 63)
    good("64_levels", document() | {"extra": deep})
    good("brackets_in_text", document(text='[{"' * 100 + "\\"))
    good("white_space_at_ends", document(text="\u3000 \n\t你 好\n\n \u00a0"), text="你 好")
    good("white_space_inside", document(text="a\t\tb\r\n\r\n\u200f\u200b  c&amp;<ImageHere></s>"))
    good("null_options", document(mentions=None, reply_to=None, quoted=None))
    good("empty_reply_to", document(reply_to=""), reply_to=None)
    anonymous = document()
    anonymous["sender"] = {"id": "u-9", "name": None}
    good("null_name", anonymous, sender={"id": "u-9"})
    good("nothing_said", document(text=""))
    good("large_number_elsewhere", document() | {"extra": 10**40})
    good("webhook_id_with_dots", document(), key="a.1795000000.b")


def pictures() -> None:
    """Pictures, quotes, mentions."""
    url = {"url": "https://pictures.example/一.png?x=1", "width": 3}
    inline = {"base64": PIXEL, "mime": "image/png"}
    good("pictures", document(text="", images=[url, inline, {"url": "ftp://elsewhere"}]))
    good("same_picture_twice", document(images=[inline, inline]))
    quoted = {"text": " 昨天的图 ", "images": [inline], "sender": "Bob"}
    quote = {"text": "昨天的图", "images": [picture(inline)]}
    good("quote", document(images=[url], quoted=quoted), quoted=quote)
    good("quote_sender_object", document(quoted=quoted | {"sender": {"id": "b", "name": "Bob"}}), quoted=quote)
    mentions = [{"id": "u2", "name": "小王", "is_bot": False}, {"id": "k", "name": "看图", "is_bot": True}]
    group = document(mentions=mentions, reply_to="m0")
    group["conversation"]["type"] = "group"
    good("group_mention", group)
    others = copy.deepcopy(group)
    others["message"]["mentions"] = mentions[:1]
    good("group_no_mention", others)


def dirty_text() -> None:
    """U+0000 and lone surrogates; `@` stands for the text of a document."""

    def dirty(id: str, escaped: bytes, clean: str) -> None:
        data = document(text=clean)
        good(id, data, compact(document(text="@")).replace(b'"@"', b'"' + escaped + b'"'))

    dirty("nul", b"a\\u0000b", "ab")
    dirty("nul_at_the_end", b"a \\u0000", "a")
    dirty("no_nul", b"a\\\\u0000b", "a\\u0000b")
    dirty("lone_high", b"a\\ud83db", "a\ufffdb")
    dirty("lone_low", b"a\\uDE00b", "a\ufffdb")
    dirty("swapped_pair", b"\\ude00\\ud83d", "\ufffd\ufffd")
    dirty("pair", b"\\ud83d\\uDE00\\u0000", "😀")
    dirty("pair_split_by_nul", b"\\ud83d\\u0000\\ude00", "\ufffd\ufffd")
    dirty("no_surrogate", b"\\\\ud83d", "\\ud83d")


def times() -> None:
    """Decisions about the timestamp header: format and window."""
    for id, time, now in (
        ("oldest", NOW - 300, NOW),
        ("newest", NOW + 300, NOW),
        ("oldest_in_whole_seconds", NOW, NOW + 300.999),
    ):
        name = f"id_{id}"
        expect = accepted(expected(document(), name))
        standard(id, expect, compact(document()), time=str(time), now=now)
    zeros = accepted(expected(document(), "id_leading_zeros"))
    standard("leading_zeros", zeros, compact(document()), time=f"00000{NOW}")
    for id, time in (("too_old", NOW - 301), ("too_new", NOW + 301), ("milliseconds", NOW * 1000)):
        standard(id, rejected("stale"), compact(document()), time=str(time))
    for number, time in enumerate(
        [
            "",
            "1e9",
            "+1795000000",
            "-1",
            "1795000000.0",
            " 1795000000",
            "1795000000 ",
            "1_795_000_000",
            "NaN",
            "Infinity",
            "0x6afd5cc0",
            "１７９５００００００",
            "١٧٩٥",
            "²",
            "1" * 16,
            "0" * 6 + str(NOW),
            "1795000000\n",
            "1795000000, 1795000000",
        ]
    ):
        standard(f"time_{number}", rejected("malformed_timestamp"), compact(document()), time=time)


def flipped(body: bytes, bit: int) -> bytes:
    changed = bytearray(body)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def forgeries() -> None:
    """Requests that nobody who knows a key has signed in this form."""
    body = compact(document())
    signature = sign("forged", str(NOW), body)
    plain = signature.removeprefix("v1,")

    def forged(id: str, value: str | None, reason: str = "bad_signature", name: str = "Webhook-Signature") -> None:
        standard(id, rejected(reason), body, webhook_id="forged", headers={name: value})

    for header in ("Webhook-Id", "Webhook-Timestamp", "Webhook-Signature"):
        forged(f"no_{header.lower()}", None, "missing_signature", header)
    forged("empty_id", "", "missing_signature", "Webhook-Id")
    forged("empty_signature", "", "missing_signature")
    for number, value in enumerate(
        [
            " ",
            "v1",
            "v1,",
            "v1, " + plain,
            plain,
            "V1," + plain,
            "v1a," + plain,
            "v2," + plain,
            "v1=" + plain,
            "v1,," + plain,
            signature.rstrip("="),
            signature + "=",
            signature + "\n",
            "\t" + signature,
            signature[:-2] + "==",
            signature.swapcase(),
            "v1," + "A" * 43 + "=",
            "v1,签名",
            "v1,\udce4\udcbd",
            signature + ", x",
            "v1," + "é" * 44,
            "v1," + hmac_sha256(KEYS[0], body).hex(),
            sign("other", str(NOW), body),
            sign("forged", str(NOW + 1), body),
            sign("forged", str(NOW), body + b" "),
            sign("forged", str(NOW), body, KEYS[2]),
            "sha256=" + hmac_sha256(KEYS[0], body).hex(),
        ]
    ):
        forged(f"signature_{number}", value)
    forged("other_id", "forged2", name="Webhook-Id")
    forged("non_ascii_id", "forgéd", name="Webhook-Id")
    forged("undecodable_id", "forged\udcff", name="Webhook-Id")
    forged("other_time", str(NOW + 1), name="Webhook-Timestamp")
    for bit in range(0, len(body) * 8, 97):
        time = str(NOW)
        headers = {"Webhook-Id": "forged", "Webhook-Timestamp": time, "Webhook-Signature": signature}
        add(f"flip_{bit}", "standard", NOW, headers, flipped(body, bit), rejected("bad_signature"))
    standard("genuine_after_forgeries", accepted(expected(document(), "forged")), body, webhook_id="forged")


def several_secrets() -> None:
    """Rotation on either side."""
    body = compact(document())
    for id, key in (("newest_key", KEYS[0]), ("older_key", KEYS[1])):
        standard(id, accepted(expected(document(), f"id_{id}")), body, key=key)
    standard("unknown_key", rejected("bad_signature"), body, key=KEYS[2])
    name = "id_several"
    entries = [sign(name, str(NOW), body, key) for key in (KEYS[2], KEYS[1])]
    value = " ".join(["v1a,xyz", entries[0], "", "v1,no", entries[1]])
    standard("several", accepted(expected(document(), name)), body, headers={"Webhook-Signature": value})
    wrong = " ".join([entries[0], "v1,AAAA"])
    standard("several_wrong", rejected("bad_signature"), body, headers={"Webhook-Signature": wrong})


def copies() -> None:
    """The webhook-id alone tells copies apart; what was rejected leaves no trace."""
    body = compact(document("again"))
    good("first", document("again"), key="copy")
    standard("second", DUPLICATE, body, webhook_id="copy", time=str(NOW + 60), now=NOW + 60)
    standard("other_message", DUPLICATE, compact(document("new")), webhook_id="copy")
    good("same_message_new_id", document("again"), key="copy2")
    standard("stale_copy", rejected("stale"), body, webhook_id="late", now=NOW + 301)
    standard("broken_copy", rejected("malformed"), b"{", webhook_id="late")
    good("genuine_after_rejected", document(), key="late")
    standard("id_of_512", accepted(expected(document(), "x" * 512)), body=compact(document()), webhook_id="x" * 512)
    standard("id_of_513", rejected("malformed"), compact(document()), webhook_id="x" * 513)


def broken_json() -> None:
    """Signed, and still not what we agreed on."""
    body = compact(document())
    bodies = {
        "empty": b"",
        "word": b"nope",
        "number": b"1",
        "text": b'"text"',
        "null": b"null",
        "array": b"[" + body + b"]",
        "two": body + body,
        "cut": body[:-1],
        "two_marks": b"\xef\xbb\xbf" * 2 + body,
        "utf16": body.decode().encode("utf-16"),
        "gb18030": body.decode().encode("gb18030"),
        "bad_utf8": body.replace("你".encode(), b"\xff"),
        "overlong_utf8": body.replace("你".encode(), b"\xc0\x80"),
        "surrogate_utf8": body.replace("你".encode(), b"\xed\xa0\xbd"),
        "beyond_unicode": body.replace("你".encode(), b"\xf4\x90\x80\x80"),
        "raw_nul": body.replace("你".encode(), b"\0"),
        "raw_newline": body.replace("你".encode(), b"\n"),
        "comment": body[:-1] + b"/**/}",
        "trailing_comma": body[:-1] + b",}",
        "single_quotes": body.replace(b'"', b"'"),
        "bad_escape": body.replace("你".encode(), b"\\x41"),
        "no_colon": b'{"conversation"}',
    }
    values = {
        "nan": b"NaN",
        "infinity": b"Infinity",
        "minus_infinity": b"-Infinity",
        "huge_float": b"1e999",
        "5000_digits": b"1" * 5000,
        "65_levels": b"[" * 64 + b"]" * 64,
        "65_mixed_levels": b'{"a":[' * 32 + b"]}" * 32,
        "endless_levels": b"[" * 5000,
        "leading_zero": b"01",
        "plus": b"+1",
        "twice": b'{"a":1,"a":1}',
        "twice_escaped": b'{"a":1,"\\u0061":1}',
        "twice_when_cleaned": b'{"a":1,"a\\u0000":1}',
    }
    twice = {
        "sent_at_twice": body[:-1] + b',"sent_at":1795000000}',
        "message_twice": body[:-1] + b',"message":{}}',
        "text_twice": body.replace(b'"images"', b'"text":"other","images"'),
    }
    inside = {name: body[:-1] + b',"extra":' + value + b"}" for name, value in values.items()}
    for name, broken in (bodies | inside | twice).items():
        standard(f"json_{name}", rejected("malformed"), broken)


WRONG_TYPES: dict[str, list[Any]] = {
    "conversation": [None, "c1", [], 1],
    "conversation.id": [None, 1, True, [], {}, "", "x" * 513, "字" * 171],
    "conversation.type": [None, 1, "channel", "", "Private", []],
    "sender": [None, "u1", [], 1],
    "sender.id": [None, 1, False, [], "", "字" * 171],
    "sender.name": [1, [], {}, False],
    "message": [None, "hi", [], 1],
    "message.id": [None, 1, [], "", "x" * 513],
    "message.text": [None, 1, [], {}],
    "message.images": [None, {}, "https://a.example/b.png", [None], ["https://a.example/b.png"], [[]], [{}]],
    "message.mentions": [{}, "bot", [None], ["bot"], [{"id": "bot"}], [{"id": "b", "name": "b", "is_bot": 1}]],
    "message.reply_to": [1, [], {}, "x" * 513],
    "message.quoted": ["text", [], 1, {}, {"text": "t"}, {"images": []}, {"text": "t", "images": [], "sender": 1}],
    "sent_at": [None, "1795000000", 1795000000.0, 1.795e9, True, [], -1, 253402300800, NOW * 1000, 10**30],
}
WRONG_IMAGES: list[Any] = [
    {"url": None},
    {"url": 1},
    {"url": ""},
    {"url": "inline:" + "0" * 64},
    {"url": " INLINE:" + "0" * 64},
    {"url": "https://a.example/b.png", "base64": PIXEL, "mime": "image/png"},
    {"mime": "image/png"},
    {"base64": PIXEL},
    {"base64": PIXEL, "mime": None},
    {"base64": "", "mime": "image/png"},
    {"base64": 1, "mime": "image/png"},
    {"base64": PIXEL[:-1], "mime": "image/png"},
    {"base64": PIXEL + "=", "mime": "image/png"},
    {"base64": PIXEL + "\n", "mime": "image/png"},
    {"base64": PIXEL[:8] + " " + PIXEL[8:], "mime": "image/png"},
    {"base64": PIXEL.replace("+", "-"), "mime": "image/png"},
    {"base64": "图片图片", "mime": "image/png"},
    {"base64": "====", "mime": "image/png"},
    {"base64": "data:image/png;base64," + PIXEL, "mime": "image/png"},
]


def wrong_types() -> None:
    """Every field: missing where it is required, and of every wrong type."""
    for path, values in WRONG_TYPES.items():
        *parents, name = path.split(".")
        optional = path in ("sender.name", "message.mentions", "message.reply_to", "message.quoted")
        for number, value in enumerate(values if optional else [*values, ...]):
            data = document()
            place = data
            for parent in parents:
                place = place[parent]
            place[name] = value
            if value is ...:
                del place[name]
            standard(f"type_{path}_{number}", rejected("malformed"), compact(data))
    for number, image in enumerate(WRONG_IMAGES):
        standard(f"image_{number}", rejected("malformed"), compact(document(images=[image])))


def github_signature(body: bytes, key: str = GITHUB_KEYS[0]) -> str:
    return "sha256=" + hmac_sha256(key.encode(), body).hex()


def github(
    id: str,
    expect: dict[str, Any],
    data: dict[str, Any] | bytes,
    delivery: str | None = "",
    *,
    signature: str | None = "",
    now: float = NOW,
) -> None:
    """delivery, signature: "" for the right one, None for no header."""
    body = data if isinstance(data, bytes) else compact(data)
    headers = {
        "X-Hub-Signature-256": github_signature(body) if signature == "" else signature,
        "X-GitHub-Delivery": f"delivery-{id}" if delivery == "" else delivery,
    }
    add(id, "github", now, {name: value for name, value in headers.items() if value is not None}, body, expect)


def github_scheme() -> None:
    """Only the body is signed: freshness and copies are judged by what it holds."""

    def fresh(id: str, data: dict[str, Any], **more: Any) -> None:
        github(id, accepted(expected(data, f"delivery-{id}")), data, **more)

    fresh("gh_text", document("g1"))
    github("gh_replay", DUPLICATE, document("g1"), "another-delivery")
    github("gh_replay_without_delivery", DUPLICATE, document("g1"), None)
    github("gh_same_delivery", DUPLICATE, document("g2"), "delivery-gh_text")
    fresh("gh_next", document("g2"))
    elsewhere = document("g1")
    elsewhere["conversation"]["id"] = "room/8"
    fresh("gh_other_conversation", elsewhere)
    fresh("gh_older_key", document("g3"), signature=github_signature(compact(document("g3")), GITHUB_KEYS[1]))
    own = "generic/default/private/room%2F7%25//"
    for id, delivery in (("gh_no_delivery", None), ("gh_long", "x" * 513), ("gh_odd", "é"), ("gh_odder", "\udcff")):
        github(id, accepted(expected(document(id), own + id)), document(id), delivery)
    github("gh_stale_first", rejected("stale"), document("g4"), now=NOW + 301)
    fresh("gh_genuine_after_stale", document("g4"))
    fresh("gh_oldest", document("g5"), now=NOW + 300.5)
    fresh("gh_newest", document("g6"), now=NOW - 300)
    github("gh_too_new", rejected("stale"), document("g7"), now=NOW - 301)
    stale = document("") | {"sent_at": NOW - 301}
    github("gh_stale_before_malformed", rejected("stale"), stale)
    github("gh_empty_message_id", rejected("malformed"), document(""))
    without = document("g8")
    del without["sent_at"]
    github("gh_no_time", rejected("malformed"), without)
    github("gh_not_json", rejected("malformed"), b"nope")
    body = compact(document("g9"))
    right = github_signature(body)
    github("gh_no_signature", rejected("missing_signature"), body, signature=None)
    for number, value in enumerate(
        [
            right.removeprefix("sha256="),
            right.upper(),
            "sha256=" + right[7:].upper(),
            "sha1=" + right[7:],
            "sha256=",
            right[:-1],
            right + "0",
            right + " ",
            "sha256=" + "0" * 64,
            "sha256=" + "签" * 64,
            "\udce4",
            right + ", x",
            "v1," + base64.b64encode(hmac_sha256(GITHUB_KEYS[0].encode(), body)).decode(),
            github_signature(body + b" "),
            github_signature(body, "guess"),
            github_signature(body, ""),
        ]
    ):
        github(f"gh_signature_{number}", rejected("bad_signature"), body, signature=value)
    fresh("gh_genuine_after_forgeries", document("g9"))


def documentation_example() -> None:
    """The example of the Standard Webhooks documentation: its signature holds, its body is not our schema."""
    headers = {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }
    body = b'{"test": 2432232314}'
    add("example", "example", 1614265330, headers, body, rejected("malformed"))
    add("example_changed", "example", 1614265330, headers, body[:-2] + b"5}", rejected("bad_signature"))
    add("example_late", "example", 1614265631, headers, body, rejected("stale"))


def main() -> None:
    """Write the file."""
    for part in (shapes, pictures, dirty_text, times, forgeries, several_secrets, copies, broken_json, wrong_types):
        part()
    github_scheme()
    documentation_example()
    head = {
        "platform": "generic",
        "secrets": {
            "standard": {"webhook_secrets": [whsec(KEYS[0]), whsec(KEYS[1])], "scheme": "standard-webhooks"},
            "github": {"webhook_secrets": GITHUB_KEYS, "scheme": "x-hub-signature-256"},
            "example": {"webhook_secrets": ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"], "scheme": "standard-webhooks"},
        },
        "policy": {"max_age_s": 300},
    }
    lines = ",\n".join(json.dumps(case) for case in cases)
    OUT.write_text(f'{json.dumps(head)[:-1]},\n"cases": [\n{lines}\n]}}\n', encoding="utf-8")


if __name__ == "__main__":
    main()
