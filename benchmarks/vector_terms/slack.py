"""Slack in the vectors' words."""

from __future__ import annotations

from typing import Any

from platform_vectors import Json, Terms

from adapters.slack.events import FILE, calls_everybody
from bot.adapter import Received
from bot.event import MessageEvent
from bot.message import Image

FETCH = "GET with Authorization: Bearer xoxb-… (files:read), host must be files.slack.com"


def _section(secrets: Json, policy: Json) -> Json:
    return {
        "signing_secret": secrets["signing_secret"],
        "bot_user_id": secrets["bot_user_id"],
        "app_id": secrets.get("app_id", ""),
        "bot_token": secrets.get("bot_token") or "xoxb-token",
        "max_age": policy["max_age_s"],
    }


def _image(image: Image, received: Received) -> dict[str, Any]:
    if image.source.startswith(FILE):
        return {"kind": "slack_file", "id": image.source.removeprefix(FILE)}
    files = received.raw["event"]["files"]
    file = next(one for one in files if _is(one, image))
    return {
        "kind": "slack_file",
        "url": image.source,
        "mime": file.get("mimetype"),
        "size": file.get("size"),
        "fetch": FETCH,
    }


def _is(file: Json, image: Image) -> bool:
    urls = (file.get("url_private_download"), file.get("url_private"))
    return image.source in urls and str(file.get("mimetype")).lower() == image.mime_type


def _extra(event: MessageEvent, received: Received) -> Json:
    extra: Json = {"mentions": [{"id": m.user_id, "name": m.name or None, "is_bot": m.is_bot} for m in event.mentions]}
    if received.raw["event"]["type"] == "app_mention":
        extra["mentioned_bot"] = True
    if calls_everybody(received.raw["event"].get("text") or ""):
        extra["mention_all"] = True
    return extra


TERMS = Terms("slack", _section, _image, _extra)
