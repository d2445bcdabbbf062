"""The generic webhook in the vectors' words."""

from __future__ import annotations

from typing import Any

from platform_vectors import Json, Terms

from bot.adapter import Received
from bot.message import Image


def _section(secrets: Json, policy: Json) -> Json:
    github = secrets.get("scheme", "standard-webhooks") != "standard-webhooks"
    return {
        "secrets": secrets.get("webhook_secrets") or [secrets["secret"]],
        "scheme": "github" if github else "standard-webhooks",
        "max_age": policy["max_age_s"],
    }


def _image(image: Image, received: Received) -> dict[str, Any]:
    if image.source.startswith("inline:"):
        return {"kind": "inline", "mime": image.mime_type, "sha256": image.source.removeprefix("inline:")}
    return {"kind": "url", "url": image.source, "fetch": "GET, SSRF-guarded"}


TERMS = Terms("generic", _section, _image)
