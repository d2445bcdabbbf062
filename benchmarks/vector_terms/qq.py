"""QQ official bot in the vectors' words."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from platform_vectors import Json, Terms

from adapters.qq.messages import GROUP_AT, PRIVATE
from bot.adapter import Received
from bot.event import MessageEvent
from bot.message import Image, Message, Quote


def _section(secrets: Json, policy: Json) -> Json:
    return {
        "app_id": secrets["app_id"],
        "secret": secrets["secret"],
        "max_age": policy["max_age_s"],
        "handshake_token": policy["handshake_plain_token_regex"],
    }


def _described(message: Message, data: Any) -> Iterator[tuple[Image, Json]]:
    """Pictures with their attachments: both stand in one order."""
    images = [part for part in message.parts if isinstance(part, Image)]
    attachments: list[Json] = data.get("attachments") or []
    pictures = [one for one in attachments if (one.get("content_type") or "").startswith("image/")]
    yield from zip(images, pictures, strict=False)
    quotes = [part.message for part in message.parts if isinstance(part, Quote)]
    for quote, element in zip(quotes, data.get("msg_elements") or (), strict=False):
        yield from _described(quote, element)


def _image(image: Image, received: Received) -> Json:
    (event,) = received.events
    assert isinstance(event, MessageEvent)
    # A bundle is flat: where its first message was empty, nothing is known of the next one's pictures.
    known = [sizes for one, sizes in _described(event.message, received.raw["d"]) if one is image]
    sizes = known[0] if known else {}
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
    found: Json = {"mentions": mentions, "mentioned_bot": at_me}
    named: Any = () if received.raw["t"] == PRIVATE else received.raw["d"].get("mentions") or ()
    if any(one.get("scope") == "all" for one in named):
        found["mention_all"] = True
    return found


TERMS = Terms("qq", _section, _image, _extra)
