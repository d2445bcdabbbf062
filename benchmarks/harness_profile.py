"""Profiles for the load and fault harness: how it signs a delivery to Kantu's generic adapter.

python harness.py load --cmd "python benchmarks/serve.py" --profile benchmarks/harness_profile.py:Generic
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import time
from typing import ClassVar

# The scheme wants keys of 24 to 64 bytes, whatever the harness chose.
KEY = hashlib.sha256(os.environ.get("HARNESS_SECRET", "s3cret-for-the-bench").encode()).digest()


class Generic:
    """Standard Webhooks; one private conversation per user; the webhook-id is the event id."""

    name = "generic"
    path = "/webhook/generic"
    ok: ClassVar[set[int]] = {200}
    sig_header = "webhook-signature"
    retry_headers: ClassVar[dict[str, str]] = {}

    def event(self, eid: str, text: str, user: str, image: str | None = None) -> bytes:
        body = {
            "conversation": {"id": user, "type": "private"},
            "sender": {"id": user},
            "message": {"id": eid, "text": text, "images": [{"url": image}] if image else []},
            "sent_at": int(time.time()),
        }
        return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()

    def sign(self, body: bytes, at: int | None = None) -> dict[str, str]:
        stamp = str(at or int(time.time()))
        try:
            name = str(json.loads(body)["message"]["id"])
        except (ValueError, KeyError, TypeError, RecursionError):
            name = hashlib.sha256(body).hexdigest()[:16]
        signature = hmac.new(KEY, f"{name}.{stamp}.".encode() + body, "sha256").digest()
        return {
            "webhook-id": name,
            "webhook-timestamp": stamp,
            self.sig_header: "v1," + base64.b64encode(signature).decode(),
        }

    def stale(self, body: bytes) -> dict[str, str]:
        return self.sign(body, int(time.time()) - 3600)
