"""DingTalk in the vectors' words."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote

from platform_vectors import Json, Terms

from bot.adapter import Received
from bot.event import MessageEvent
from bot.message import Image

_FETCH = (
    "POST https://api.dingtalk.com/v1.0/robot/messageFiles/download {downloadCode,robotCode} -> downloadUrl, then GET"
)


def _section(secrets: Json, policy: Json) -> Json:
    return {
        "app_key": secrets.get("app_key") or secrets.get("robot_code") or "unknown",
        "app_secret": secrets["app_secret"],
        "robot_code": secrets.get("robot_code", ""),
        "chatbot_user_id": secrets.get("chatbot_user_id", ""),
        "path_secret": secrets.get("path_secret", ""),
        "max_age": policy["max_age_s"],
        "reply_hosts": policy["reply_hosts"],
    }


def _image(image: Image, received: Received) -> dict[str, Any]:
    robot_code, _, download_code = image.source.partition("/")
    return {
        "kind": "dingtalk_download_code",
        "download_code": download_code,
        "robot_code": unquote(robot_code),
        "fetch": _FETCH,
    }


def _extra(event: MessageEvent, received: Received) -> Json:
    """Nobody's name is told with an @; staff ids are known for colleagues only."""
    expires = event.platform_data.get("reply_url_expires")
    users = received.raw.get("atUsers") or []
    return {
        "mentions": [
            {"id": mention.user_id, "name": None, "is_bot": mention.is_bot}
            | ({"staff_id": item["staffId"]} if item.get("staffId") else {})
            for mention, item in zip(event.mentions, users, strict=True)
        ],
        "mentioned_bot": received.raw.get("isInAtList") is True or any(one.is_bot for one in event.mentions),
        "reply_url": event.platform_data.get("reply_url"),
        "reply_url_expires": int(expires) if expires else None,
    }


def _accepted(event: MessageEvent, received: Received) -> Json:
    return {} if "reply_url" in event.platform_data else {"reply_url_refused": True}


TERMS = Terms("dingtalk", _section, _image, extra=_extra, accepted=_accepted)
