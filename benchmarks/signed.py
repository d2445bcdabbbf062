"""Raw HTTP requests of events, signed after Standard Webhooks, ready to be written to a socket."""

from __future__ import annotations

import base64
import hmac
import json
import time
from typing import Any

from harness_profile import KEY


def signature(key: bytes, name: str, stamp: str, body: bytes) -> str:
    """The `webhook-signature` of a body."""
    digest = hmac.digest(key, f"{name}.{stamp}.".encode() + body, "sha256")
    return "v1," + base64.b64encode(digest).decode()


def event_request(marker: str, chat: str, *, group: bool = False, key: bytes = KEY) -> bytes:
    """An event whose webhook-id, message id and question all hold `marker`; signed now.

    group: sent to a group without naming the bot, so that nobody answers it.
    """
    data: dict[str, Any] = {
        "conversation": {"id": chat, "type": "group" if group else "private"},
        "sender": {"id": chat},
        "message": {"id": marker, "text": f"{marker} 退货运费谁出？", "images": []},
        "sent_at": int(time.time()),
    }
    body = json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode()
    stamp = str(data["sent_at"])
    return post(
        "/webhook/generic",
        body,
        {"webhook-id": marker, "webhook-timestamp": stamp, "webhook-signature": signature(key, marker, stamp, body)},
    )


def post(path: str, body: bytes, headers: dict[str, str]) -> bytes:
    """A whole keep-alive request with a JSON body."""
    lines = [f"{name}: {value}\r\n" for name, value in headers.items()]
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n{''.join(lines)}\r\n"
    )
    return head.encode() + body
