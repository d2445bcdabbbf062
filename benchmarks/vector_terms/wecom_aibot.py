"""The WeCom AI bot in the vectors' words."""

from __future__ import annotations

from typing import Any

from platform_vectors import Json, Terms

from bot.adapter import Received
from bot.event import MessageEvent
from bot.message import Image

_FETCH = "GET url (no auth, 5 min), then AES-256-CBC decrypt with EncodingAESKey"


def _section(secrets: Json, policy: Json) -> Json:
    names = ("token", "encoding_aes_key", "receive_id", "aibotid", "bot_name")
    return {name: secrets[name] for name in names if name in secrets} | {"max_age": policy["max_age_s"]}


def _image(image: Image, received: Received) -> dict[str, Any]:
    return {"kind": "wecom_aibot_encrypted_url", "url": image.source, "fetch": _FETCH}


def _extra(event: MessageEvent, received: Received) -> Json:
    """Messages carry no time of their own."""
    data = event.platform_data
    if "reply_url" not in data:
        return {"sent_at": None}
    return {
        "sent_at": None,
        "reply_url": data["reply_url"],
        "reply_url_expires": int(data["reply_url_expires"]),
    }


def _judge(received: Received) -> Json | None:
    if received.raw.kind != "refresh":
        return None
    return {"outcome": "stream_refresh", "stream_id": received.raw.stream_id}


def _ignored_key(received: Received) -> str:
    """An event that is delivered again has the id it had."""
    id = received.raw.fields.get("msgid")
    return id if received.ignored == "event" and isinstance(id, str) else ""


TERMS = Terms("wecom_bot", _section, _image, extra=_extra, judge=_judge, ignored_key=_ignored_key)
