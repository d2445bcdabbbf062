"""WeCom's self-built app in the vectors' words."""

from __future__ import annotations

from typing import Any

from platform_vectors import Json, Terms

from bot.adapter import Received
from bot.message import Image

_FETCH = "GET https://qyapi.weixin.qq.com/cgi-bin/media/get?access_token=..&media_id=.. (3 days)"


def _section(secrets: Json, policy: Json) -> Json:
    return {
        "corp_id": secrets["corp_id"],
        "agent_id": int(secrets["agent_id"]),
        "secret": secrets.get("secret") or "not used for receiving",
        "token": secrets["token"],
        "encoding_aes_key": secrets["encoding_aes_key"],
        "max_age": policy["max_age_s"],
    }


def _image(image: Image, received: Received) -> dict[str, Any]:
    return {
        "kind": "wecom_media",
        "media_id": image.source,
        "pic_url": received.raw.get("PicUrl") or None,
        "fetch": _FETCH,
    }


def _ignored_key(received: Received) -> str:
    """Events have no message id: who and when is what tells copies apart."""
    if received.ignored != "event":
        return ""
    return f"{received.raw['FromUserName']}+{received.raw['CreateTime'].strip()}"


TERMS = Terms("wecom", _section, _image, ignored_key=_ignored_key)
