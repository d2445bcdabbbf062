"""What a delivery is in actions: text as an array of segments, where it is literal, or a file.

https://github.com/botuniverse/onebot-11/blob/master/api/public.md (send_private_msg, send_group_msg); the file actions
are those that NapCat and Lagrange share.
"""

from __future__ import annotations

import base64
from typing import Any

from adapters.onebot.bundle import number
from bot import payload
from bot.event import Delivery
from bot.message import Mention, Text

_TEXTS = {"private": "send_private_msg", "group": "send_group_msg"}
_FILES = {"private": "upload_private_file", "group": "upload_group_file"}
_NAMES = {"private": "user_id", "group": "group_id"}


def action(delivery: Delivery) -> tuple[str, dict[str, Any]]:
    """The action and its parameters."""
    where = delivery.conversation
    params: dict[str, Any] = {_NAMES[where.chat_type]: number(where.chat_id)}
    if delivery.file is not None:
        content = "base64://" + base64.b64encode(delivery.file.content).decode("ascii")
        return _FILES[where.chat_type], {**params, "file": content, "name": delivery.file.name}
    through = delivery.platform_data.get("group")
    if through and where.chat_type == "private":
        # A stranger can only be answered through the group that both are in.
        params["group_id"] = number(through)
    return _TEXTS[where.chat_type], {**params, "message": _segments(delivery)}


def _segments(delivery: Delivery) -> list[dict[str, Any]]:
    """The message referred to, then text and mentions in order."""
    found: list[dict[str, Any]] = []
    if delivery.quote and delivery.reply_to:
        found.append({"type": "reply", "data": {"id": delivery.reply_to}})
    for part in delivery.parts:
        if isinstance(part, Mention):
            found.append({"type": "at", "data": {"qq": part.user_id}})
        elif isinstance(part, Text):
            found.append({"type": "text", "data": {"text": payload.clean(part.text)}})
    return found
