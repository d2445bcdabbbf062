"""Feishu in the vectors' words."""

from __future__ import annotations

from urllib.parse import unquote

from platform_vectors import Json, Terms

from adapters.feishu.content import People, read
from bot.adapter import Received
from bot.event import MessageEvent
from bot.message import Image


def _section(secrets: Json, policy: Json) -> Json:
    return {
        "app_id": secrets["app_id"],
        "app_secret": "not needed to receive",
        "encrypt_key": secrets.get("encrypt_key") or "",
        "verification_token": secrets["verification_token"],
        "bot_open_id": secrets.get("bot_open_id") or "",
        "max_age": policy["max_age_s"],
    }


def _image(image: Image, received: Received) -> Json:
    message_id, _, key = image.source.partition("/")
    return {
        "kind": "feishu_message_resource",
        "message_id": unquote(message_id),
        "file_key": unquote(key),
        "type": "image",
        "fetch": f"GET /open-apis/im/v1/messages/{unquote(message_id)}/resources/{unquote(key)}?type=image",
    }


def _extra(event: MessageEvent, received: Received) -> Json:
    """Somebody without a name has none, not an empty one."""
    found: Json = {"mentions": [{"id": m.user_id, "name": m.name or None, "is_bot": m.is_bot} for m in event.mentions]}
    message = received.raw["event"]["message"]
    said = read(message["message_type"], message["content"], People(message.get("mentions") or [], ""))
    if said is not None and said.everybody:
        found["mention_all"] = True
    if event.platform_data.get("forward"):
        fetch = f"GET /open-apis/im/v1/messages/{event.message_id}"
        found["forward"] = {"kind": "feishu_merge_forward", "fetch": fetch}
    return found


TERMS = Terms("feishu", _section, _image, _extra)
