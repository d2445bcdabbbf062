"""nonebot2 (OneBot v11 over FastAPI) with one handler that does nothing: a peer for `durable.py --nonebot PYTHON`.

Run by that interpreter; it needs nonebot2[fastapi] and nonebot-adapter-onebot. A report of an event is a POST to
/onebot/v11/ signed by X-Signature (HMAC-SHA1): https://github.com/botuniverse/onebot-11/blob/master/communication/http-post.md
"""

from __future__ import annotations

import hashlib
import hmac
import itertools
import json
import os
import time

_SECRET = "durable-benchmark"
_SELF = 10001
_numbers = itertools.count(1)


def onebot_request(marker: str, chat: str) -> bytes:
    """A private message, signed; the same text as Kantu is sent."""
    from signed import post

    user = int.from_bytes(hashlib.sha256(chat.encode()).digest()[:4])
    text = f"{marker} 退货运费谁出？"
    data = {
        "time": int(time.time()),
        "self_id": _SELF,
        "post_type": "message",
        "message_type": "private",
        "sub_type": "friend",
        "message_id": next(_numbers),
        "user_id": user,
        "message": [{"type": "text", "data": {"text": text}}],
        "raw_message": text,
        "font": 0,
        "sender": {"user_id": user, "nickname": chat},
    }
    body = json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode()
    digest = hmac.new(_SECRET.encode(), body, "sha1").hexdigest()
    return post("/onebot/v11/", body, {"X-Self-ID": str(_SELF), "X-Signature": f"sha1={digest}"})


def main() -> None:
    """Serve on PORT until killed."""
    import nonebot
    from nonebot.adapters.onebot.v11 import Adapter, PrivateMessageEvent

    nonebot.init(
        driver="~fastapi",
        host="127.0.0.1",
        port=int(os.environ["PORT"]),
        log_level="WARNING",
        onebot_secret=_SECRET,
        fastapi_docs_url=None,
        fastapi_openapi_url=None,
        _env_file=None,
    )
    nonebot.get_driver().register_adapter(Adapter)

    async def nothing(event: PrivateMessageEvent) -> None:
        """Accepts every private message and answers none."""

    nonebot.on_message(handlers=[nothing], block=True)
    nonebot.run()


if __name__ == "__main__":
    main()
