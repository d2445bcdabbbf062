"""Satori in the vectors' words."""

from __future__ import annotations

from platform_vectors import Json, Terms

from bot.adapter import Received
from bot.event import MessageEvent
from bot.message import Image


def _section(secrets: Json, policy: Json) -> Json:
    names = ("webhook_token", "api_token", "login_platform", "login_user_id")
    return {name: secrets[name] for name in names} | {"max_age": policy["max_age_s"]}


def _image(image: Image, received: Received) -> Json:
    proxied = image.source.startswith("internal:")
    return {"kind": "satori_internal" if proxied else "url", "url": image.source}


def _extra(event: MessageEvent, received: Received) -> Json:
    return {"to_me": event.to_me, "platform_data": dict(event.platform_data)}


TERMS = Terms("satori", _section, _image, extra=_extra)
