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
    return {name: secrets.get(name) or "" for name in names} | {"max_age": policy["max_age_s"]}


def _image(image: Image, received: Received) -> dict[str, Any]:
    return {"kind": "wecom_aibot_encrypted_url", "url": image.source, "fetch": _FETCH}


def _extra(event: MessageEvent, received: Received) -> Json:
    """Messages carry no time of their own; in a group only those for the bot are delivered."""
    expires = event.platform_data.get("reply_url_expires")
    return {
        "mentioned_bot": bool(event.mentions) or event.conversation.chat_type == "group",
        "sent_at": None,
        "reply_url": event.platform_data.get("reply_url"),
        "reply_url_expires": int(expires) if expires else None,
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
