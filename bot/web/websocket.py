"""WebSockets that platforms open to us: an adapter speaks, frames are counted and bounded here."""

from __future__ import annotations

from collections.abc import AsyncIterator

from aiohttp import WSMsgType, web

from bot.adapter import Adapter, Inbox, Request
from bot.errors import NetworkError

#: Seconds between two pings; a peer that does not answer is gone.
_HEARTBEAT = 30.0


class WebSocket:
    """`bot.adapter.Socket` over aiohttp."""

    def __init__(self, socket: web.WebSocketResponse) -> None:
        self._socket = socket

    async def send(self, text: str) -> None:
        """Raises NetworkError when it is closed."""
        try:
            await self._socket.send_str(text)
        except (ConnectionError, RuntimeError) as error:
            raise NetworkError("the WebSocket is closed") from error

    async def close(self) -> None:
        """Close it; iterating ends."""
        await self._socket.close()

    async def __aiter__(self) -> AsyncIterator[str]:
        async for message in self._socket:
            if message.type is WSMsgType.TEXT:
                yield message.data


async def converse(http: web.Request, adapter: Adapter, request: Request, inbox: Inbox) -> web.StreamResponse:
    """Open the WebSocket that was asked for and hand it to the adapter until it is closed."""
    # aiohttp answers 400 by itself to what is no WebSocket request.
    response = web.WebSocketResponse(heartbeat=_HEARTBEAT, max_msg_size=adapter.limits.frame_bytes, compress=False)
    await response.prepare(http)
    try:
        await adapter.converse(request, WebSocket(response), inbox)
    finally:
        await response.close()
    return response
