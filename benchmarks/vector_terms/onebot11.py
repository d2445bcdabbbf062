"""OneBot v11 in the vectors' words."""

from __future__ import annotations

from typing import Any

from platform_vectors import Json, Terms

from adapters.onebot.segments import file_and_url
from bot.adapter import Received
from bot.event import MessageEvent
from bot.message import Image


def _section(secrets: Json, policy: Json) -> Json:
    token = secrets.get("access_token", "")
    return {
        "secret": secrets.get("secret", ""),
        "access_token": token,
        "self_id": secrets["self_id"],
        "max_age": policy["max_age_s"],
        # Without a token there is no WebSocket to answer over; nothing is sent here.
        "api_base": "" if token else "http://127.0.0.1:3000",
    }


def _image(image: Image, received: Received) -> dict[str, Any]:
    file, url = file_and_url(image)
    return {
        "kind": "onebot_image",
        "file": file or None,
        "url": url or None,
        "fetch": "GET url, or action get_image {file}",
    }


def _extra(event: MessageEvent, received: Received) -> Json:
    """Nobody's name comes with a mention; what is only named is fetched later."""
    found: Json = {"mentions": [{"id": m.user_id, "name": m.name or None, "is_bot": m.is_bot} for m in event.mentions]}
    if received.raw.everybody:
        found["mention_all"] = True
    forward = event.platform_data.get("forward")
    if forward:
        found["forward"] = {"kind": "onebot_forward", "id": forward, "fetch": "action get_forward_msg"}
    return found


TERMS = Terms("onebot", _section, _image, extra=_extra)
