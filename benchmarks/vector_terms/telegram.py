"""Telegram in the vectors' words."""

from __future__ import annotations

from typing import Any

from platform_vectors import Json, Terms

from bot.adapter import Received
from bot.event import MessageEvent
from bot.message import Image

FETCH = "getFile then https://api.telegram.org/file/bot<token>/<file_path> (20 MB, link valid 1 h)"


def _section(secrets: Json, policy: Json) -> Json:
    return {
        "secret_token": secrets["secret_token"],
        "bot_id": str(secrets["bot_id"]),
        "bot_username": secrets["bot_username"],
        "bot_token": secrets.get("bot_token") or f"{secrets['bot_id']}:token",
        "max_age": policy["max_age_s"],
    }


def _files(message: Json) -> dict[str, Json]:
    found = [*(message.get("photo") or []), *([message["document"]] if message.get("document") else [])]
    return {file["file_id"]: file for file in found}


def _image(image: Image, received: Received) -> dict[str, Any]:
    message = received.raw["message"]
    file = {**_files(message.get("reply_to_message") or {}), **_files(message)}[image.source]
    sizes = {"size": file.get("file_size"), "width": file.get("width"), "height": file.get("height")}
    return {"kind": "telegram_file", "file_id": image.source, **sizes, "fetch": FETCH}


def _extra(event: MessageEvent, received: Received) -> Json:
    message = received.raw["message"]
    author = (message.get("reply_to_message") or {}).get("from") or {}
    # A private chat has one bot; in a group nothing but @ and a reply to the bot addresses it.
    group = event.conversation.chat_type == "group"
    extra: Json = {
        "mentions": [{"id": m.user_id or None, "name": m.name, "is_bot": m.is_bot} for m in event.mentions],
        "mentioned_bot": any(m.is_bot for m in event.mentions)
        or (event.to_me if group else author.get("is_bot") is True),
    }
    if event.album:
        extra["media_group_id"] = event.album
    if message.get("forward_origin") or message.get("forward_date"):
        extra["forwarded"] = True
    return extra


TERMS = Terms("telegram", _section, _image, _extra)
