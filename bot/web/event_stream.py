"""Server-sent events: an answer while it is being written.

https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from typing import Any, Final

from aiohttp import web

from bot.drafts import StreamDraft
from bot.web.problems import json_bytes

_HEADERS: Final = {
    "Content-Type": "text/event-stream; charset=utf-8",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "X-Accel-Buffering": "no",  # nginx would hold the answer back until it is whole
}


class EventStream:
    """One open stream of events; every event's data is one JSON object."""

    def __init__(self) -> None:
        self.response = web.StreamResponse(headers=_HEADERS)

    async def open(self, http: web.Request) -> None:
        """Send the head; the comment makes aiohttp send it now and not with the first event."""
        await self.response.prepare(http)
        await self.comment()

    async def send(self, event: str, data: dict[str, Any]) -> None:
        """One event. JSON holds no line break, so the data is one line."""
        await self.response.write(f"event: {event}\ndata: ".encode() + json_bytes(data) + b"\n\n")

    async def comment(self) -> None:
        """A line that readers skip."""
        await self.response.write(b":\n\n")

    async def relay(self, draft: StreamDraft) -> None:
        """Pass a draft on until it is closed: what is new, or the whole text when it was begun anew."""
        shown = ""
        async for text in draft.texts():
            if not text.startswith(shown):
                await self.send("reset", {"text": text})
            elif text != shown:
                await self.send("delta", {"text": text[len(shown) :]})
            shown = text

    async def beat(self, seconds: float) -> None:
        """Keep proxies from closing a connection on which nothing is said, for ever."""
        while True:
            await asyncio.sleep(seconds)
            await self.comment()


@contextlib.asynccontextmanager
async def relayed(stream: EventStream, heartbeat: float) -> AsyncGenerator[StreamDraft]:
    """A draft whose growth is sent; on leaving without an error, all of it has been."""
    draft = StreamDraft()
    relay = asyncio.create_task(stream.relay(draft))
    beat = asyncio.create_task(stream.beat(heartbeat))
    try:
        yield draft
        draft.close()
        await relay
    finally:
        for task in (relay, beat):
            task.cancel()
        await asyncio.gather(relay, beat, return_exceptions=True)
