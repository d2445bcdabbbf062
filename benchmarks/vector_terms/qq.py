"""QQ official bot in the vectors' words."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from platform_vectors import Json, Terms

from adapters.qq.messages import GROUP_AT, picture_url
from bot.adapter import Received
from bot.event import MessageEvent
from bot.message import Image


def _section(secrets: Json, policy: Json) -> Json:
    return {
        "app_id": secrets["app_id"],
        "secret": secrets["secret"],
        "max_age": policy["max_age_s"],
        "handshake_token": policy["handshake_plain_token_regex"],
    }


def _attachments(data: Any) -> Iterator[Json]:
    yield from data.get("attachments") or []
    for element in data.get("msg_elements") or []:
        yield from _attachments(element)


def _image(image: Image, received: Received) -> Json:
    sizes: Json = {}
    for one in _attachments(received.raw["d"]):
        if one.get("content_type") == image.mime_type and picture_url(one.get("url") or "") == image.source:
            sizes = one
            break
    return {
        "kind": "url",
        "url": image.source,
        "mime": image.mime_type,
        **{name: sizes.get(name) for name in ("size", "width", "height")},
        "fetch": "GET (no auth header); expiry not documented",
    }


def _extra(event: MessageEvent, received: Received) -> Json:
    mentions = [{"id": one.user_id, "name": one.name or None, "is_bot": one.is_bot} for one in event.mentions]
    # QQ takes the bot's own @ out of GROUP_AT_MESSAGE_CREATE and does not name it among the mentions.
    at_me = received.raw["t"] == GROUP_AT or any(one.is_bot for one in event.mentions)
    return {"mentions": mentions, "mentioned_bot": at_me}


TERMS = Terms("qq", _section, _image, _extra)
