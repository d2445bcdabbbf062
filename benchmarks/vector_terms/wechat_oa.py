"""WeChat Official Account in the vectors' words."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl

from platform_vectors import Json, Terms

from bot.adapter import Received
from bot.message import Image

_FETCH = "GET PicUrl, or GET https://api.weixin.qq.com/cgi-bin/media/get?access_token=..&media_id=.. (3 days)"


def _section(secrets: Json, policy: Json) -> Json:
    return {
        "token": secrets["token"],
        "app_id": secrets.get("app_id") or "",
        "encoding_aes_key": secrets.get("encoding_aes_key") or "",
        "original_id": secrets.get("original_id") or "",
        "max_age": policy["max_age_s"],
    }


def _image(image: Image, received: Received) -> dict[str, Any]:
    source = dict(parse_qsl(image.source))
    return {
        "kind": "wechat_media",
        "media_id": source["media_id"],
        "pic_url": source["pic_url"],
        "fetch": _FETCH,
    }


def _ignored_key(received: Received) -> str:
    """Events have no message id: who and when is what tells copies apart."""
    return f"{received.raw.user}+{received.raw.sent_at}" if received.ignored == "event" else ""


TERMS = Terms("wechat", _section, _image, ignored_key=_ignored_key)
