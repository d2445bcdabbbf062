"""Callbacks of WeChat's customer service and what each must lead to, made by code that shares nothing with the bot."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from adapters.simulated.envelope import Signer, document

NOW = 1_795_000_000
TOKEN, CORP_ID, OPEN_KFID = "token2026", "ww1111222233334444", "wkAJ2GCAAASSm4_FhToWMFea0xAFfd3Q"
AES_KEY = base64.b64encode(bytes(range(32, 64))).decode().rstrip("=")
SYNC_TOKEN = "ENCApHxnGDNAVNY4AaSJKj4Tb5mwsEMzxhFmHVGcra996NR"
SIGNER = Signer(TOKEN, CORP_ID, AES_KEY)
STRANGER = Signer("another token", CORP_ID, AES_KEY)
OTHER_KEY = Signer(TOKEN, CORP_ID, base64.b64encode(bytes(32)).decode().rstrip("="))
CALLBACK: dict[str, str | int] = {
    "ToUserName": CORP_ID,
    "CreateTime": NOW,
    "MsgType": "event",
    "Event": "kf_msg_or_event",
    "Token": SYNC_TOKEN,
    "OpenKfId": OPEN_KFID,
}
Expect = dict[str, Any]


def vectors() -> dict[str, Any]:
    """The file: every decision and attack."""
    return _File().data()


class _File:
    def __init__(self) -> None:
        self.cases: list[dict[str, Any]] = []

    def data(self) -> dict[str, Any]:
        self.handshakes()
        self.callbacks()
        self.xml()
        self.signatures()
        self.sealed()
        return {
            "platform": "wechat_kf",
            "secrets": {"default": {"token": TOKEN, "encoding_aes_key": AES_KEY, "corp_id": CORP_ID}},
            "policy": {"max_age_s": 300},
            "cases": self.cases,
        }

    # ------------------------------------------------------------------ cases

    def handshakes(self) -> None:
        echo = SIGNER.seal(b"9988776655443322")
        good = SIGNER.query(str(NOW), "n1", echo) | {"echostr": echo}
        answered = {"outcome": "handshake", "response": {"text": "9988776655443322"}}
        for age in (0, 300, -300):
            self.add("handshake", b"", good, answered, method="GET", now=NOW + age)
        for age in (301, -301):
            self.add("handshake_stale", b"", good, rejected("stale"), method="GET", now=NOW + age)
        forged = good | {"msg_signature": "0" * 40}
        self.add("handshake_forged", b"", forged, rejected("bad_signature"), method="GET")
        self.add("handshake_bare", b"", {"echostr": echo}, rejected("missing_signature"), method="GET")
        mute = {name: value for name, value in good.items() if name != "echostr"}
        self.add("handshake_mute", b"", mute, rejected("malformed"), method="GET")
        other = SIGNER.seal(b"1", "ww_other")
        query = SIGNER.query(str(NOW), "n", other) | {"echostr": other}
        self.add("handshake_other_company", b"", query, rejected("wrong_receive_id"), method="GET")

    def callbacks(self) -> None:
        self.deliver("notify", CALLBACK, notify())
        self.deliver("notify_again", CALLBACK, notify(), now=NOW + 5)
        self.deliver("another_account", CALLBACK | {"OpenKfId": "wkOther"}, notify("wkOther"))
        self.deliver("another_token", CALLBACK | {"Token": "T"}, notify(token="T"))
        for event in ("subscribe", "kf_account_auth_change", "KF_MSG_OR_EVENT", "kf_msg_or_event ", ""):
            self.deliver("another_event", CALLBACK | {"Event": event}, ignored("event"))
            self.deliver("another_event_again", CALLBACK | {"Event": event}, ignored("event"))
        self.deliver("no_event", without(CALLBACK, "Event"), ignored("event"))
        for name in ("Token", "OpenKfId", "MsgType"):
            self.deliver(f"without_{name}", without(CALLBACK, name), rejected("malformed"))
            self.deliver(f"empty_{name}", CALLBACK | {name: ""}, rejected("malformed"))
        self.deliver("long_account", CALLBACK | {"OpenKfId": "x" * 513}, rejected("malformed"))

    def xml(self) -> None:
        inside = (
            f"<xml><!-- c --><OpenKfId>{OPEN_KFID}</OpenKfId><New><Deep>1</Deep></New>"
            f"<Token><![CDATA[{SYNC_TOKEN[:5]}]]><![CDATA[{SYNC_TOKEN[5:]}]]></Token><Event>kf_msg_or_event</Event>"
            "<MsgType><![CDATA[event]]></MsgType></xml>"
        )
        self.plain("other_order", inside.encode(), notify())
        utf16 = f'<?xml version="1.0" encoding="UTF-16"?>{document(CALLBACK).decode()}'.encode("utf-16")
        self.plain("utf16", utf16, notify())
        bomb = '<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]>'
        self.plain("doctype_inside", f"{bomb}<xml><Token>&b;</Token></xml>".encode(), rejected("malformed"))
        utf16_bomb = f'<?xml version="1.0" encoding="UTF-16"?>{bomb}<xml/>'.encode("utf-16")
        self.plain("doctype_inside_utf16", utf16_bomb, rejected("malformed"))
        for body in (b"", b"hello", b"<xml>", b"<xml><MsgType>event</xml>", b"\xff\xfe", b"<xml/>"):
            self.plain("no_xml_inside", body, rejected("malformed"))
        nothing = SIGNER.query(str(NOW), "n", "")
        for body in (b"", b"hello", b"<xml><Encrypt>", b"<xml/>", f"{bomb}<xml/>".encode(), document(CALLBACK)):
            self.add("no_xml", body, nothing, rejected("malformed"))

    def signatures(self) -> None:
        ciphertext = SIGNER.seal(document(CALLBACK))
        body = document({"Encrypt": ciphertext, "Token": "forged", "OpenKfId": "forged"})
        good = SIGNER.query(str(NOW), "n", ciphertext)
        self.add("beside_the_envelope", body, good, notify())
        for age in (301, -301):
            self.add("stale", body, good, rejected("stale"), now=NOW + age)
        for name in good:
            self.add(f"without_{name}", body, without(good, name), rejected("missing_signature"))
        right = good["msg_signature"]
        for wrong in (right.upper(), right[:-1], right + "0", "看" * 40, "0" * 40):
            self.add("forged", body, good | {"msg_signature": wrong}, rejected("bad_signature"))
        for stamp in ("", "-1", "+1", "1.0", "1e9", "1_0", "nan", "１７９５００００００", "1" * 16):
            signed = SIGNER.query(stamp, "n", ciphertext)
            self.add("malformed_timestamp", body, signed, rejected("malformed_timestamp"))
        self.add("changed", body, good | {"nonce": "m"}, rejected("bad_signature"))
        later = STRANGER.query(str(NOW - 400), "n", ciphertext)
        self.add("forged_before_stale", body, later, rejected("bad_signature"))
        self.add("malformed_before_forged", b"<xml>", later, rejected("malformed"))
        self.add("too_large", b"<xml>" + b" " * (1 << 20), {}, rejected("too_large"))

    def sealed(self) -> None:
        message = document(CALLBACK)
        for other in ("", "ww1111222233334445", CORP_ID + " ", CORP_ID.upper()):
            self.cipher("wrong_receive_id", SIGNER.seal(message, other), rejected("wrong_receive_id"))
        self.cipher("another_key", OTHER_KEY.seal(message), rejected("decrypt_failed"))
        for text in ("", "!", "AAAA", "看图", SIGNER.seal(message)[:-4], SIGNER.seal(message) + "\n"):
            self.cipher("no_ciphertext", text, rejected("decrypt_failed"))

    # ---------------------------------------------------------------- helpers

    def deliver(self, kind: str, values: Mapping[str, str | int], expect: Expect, *, now: float = NOW) -> None:
        """A callback, sealed and signed as it must be."""
        self.plain(kind, document(values), expect, now=now)

    def plain(self, kind: str, message: bytes, expect: Expect, *, now: float = NOW) -> None:
        self.cipher(kind, SIGNER.seal(message), expect, now=now)

    def cipher(self, kind: str, ciphertext: str, expect: Expect, *, now: float = NOW) -> None:
        query = SIGNER.query(str(NOW), f"n{len(self.cases)}", ciphertext)
        body = document({"ToUserName": CORP_ID, "Encrypt": ciphertext, "AgentID": ""})
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
            "path": "/webhook/kf",
            "query": dict(query),
            "headers": {"Content-Type": "text/xml"},
            "body_b64": base64.b64encode(body).decode(),
        }
        id = f"wechat_kf.{kind}.{len(self.cases)}"
        case = {"id": id, "kind": kind, "config": "default", "now": now, "request": request, "expect": expect}
        self.cases.append(case)


def without(values: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The same without one value."""
    return {key: value for key, value in values.items() if key != name}


def rejected(reason: str) -> Expect:
    return {"outcome": "rejected", "reason": reason}


def ignored(reason: str) -> Expect:
    return {"outcome": "ignored", "reason": reason, "response": {"text": "success"}}


def notify(open_kfid: str = OPEN_KFID, token: str = SYNC_TOKEN) -> Expect:
    """Go and pull."""
    return {"outcome": "notify", "open_kfid": open_kfid, "sync_token": token, "response": {"text": "success"}}
