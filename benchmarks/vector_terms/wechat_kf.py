"""WeChat's customer service in the vectors' words."""

from __future__ import annotations

from typing import Any

from platform_vectors import Json, Terms

from bot.adapter import Received
from bot.message import Image

_FETCH = "GET https://qyapi.weixin.qq.com/cgi-bin/media/get?access_token=..&media_id=.. (3 days)"


def _section(secrets: Json, policy: Json) -> Json:
    return {
        "corp_id": secrets["corp_id"],
        "secret": secrets.get("secret") or "not used for receiving",
        "token": secrets["token"],
        "encoding_aes_key": secrets["encoding_aes_key"],
        "max_age": policy["max_age_s"],
    }


def _image(image: Image, received: Received) -> dict[str, Any]:
    return {"kind": "wecom_media", "media_id": image.source, "pic_url": None, "fetch": _FETCH}


def _judge(received: Received) -> Json | None:
    """A callback says what to pull; without that it was a handshake."""
    return {"outcome": "notify", **received.raw} if received.raw else None


TERMS = Terms("wechat_kf", _section, _image, judge=_judge)
