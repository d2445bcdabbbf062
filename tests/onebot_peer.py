"""nonebot2 with its OneBot v11 adapter, as a program of its own: prints what it takes a message to be, one JSON a line.

Takes events by POST and over a reverse WebSocket; over the latter it answers with 「收到」 and the text.
"""

from __future__ import annotations

import json
import os
from typing import Any


def main() -> None:
    """Serve on PORT until killed."""
    import nonebot
    from nonebot.adapters.onebot.v11 import Adapter, Bot, MessageEvent

    nonebot.init(
        driver="~fastapi",
        host="127.0.0.1",
        port=int(os.environ["PORT"]),
        log_level="ERROR",
        onebot_secret=os.environ["SECRET"],
        onebot_access_token=os.environ["TOKEN"],
        fastapi_docs_url=None,
        fastapi_openapi_url=None,
        _env_file=None,
    )
    nonebot.get_driver().register_adapter(Adapter)

    async def told(bot: Bot, event: MessageEvent) -> None:
        print(json.dumps(_taken(event)), flush=True)
        if os.environ["ANSWER"]:
            # All messages are read; answers are sent as the library does it.
            await bot.send(event, "收到" + event.get_plaintext())

    nonebot.on_message(handlers=[told], block=True)
    nonebot.run()


def _taken(event: Any) -> dict[str, Any]:
    """The text without a mention of the bot, as the library has it; pictures by their addresses."""
    group = getattr(event, "group_id", None)
    words = [
        segment.data["text"] if segment.type == "text" else f"@{segment.data['qq']}"
        for segment in event.message
        if segment.type in ("text", "at")
    ]
    return {
        "message_id": str(event.message_id),
        "user": str(event.user_id),
        "chat": str(group or event.user_id),
        "to_me": event.to_me,
        "text": "".join(words).strip(),
        "images": [segment.data.get("url") for segment in event.message if segment.type == "image"],
        "reply": str(event.reply.message_id) if event.reply else "",
    }


if __name__ == "__main__":
    main()
