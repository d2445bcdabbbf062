"""The aiohttp application and its listening socket."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from bot.config import ServerConfig
from bot.web.body import BIG_AT_ONCE, BIG_BODIES

#: A connection that has not sent a whole request head after this many seconds is closed.
_HEAD_TIMEOUT = 15.0


class Server:
    """Listens, serves, and closes connections that send nothing."""

    def __init__(self, app: web.Application, config: ServerConfig) -> None:
        self._config = config
        self._runner = web.AppRunner(
            app, access_log=None, keepalive_timeout=75, handler_cancellation=True, shutdown_timeout=1
        )
        self._reaper: asyncio.Task[None] | None = None

    async def start(self) -> int:
        """Listen; returns the port (the configured one, or a free one for 0). Raises OSError when it is taken."""
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._config.host, self._config.port, backlog=4096)
        await site.start()
        self._reaper = asyncio.create_task(self._reap())
        return self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Close the socket and every connection."""
        if self._reaper is not None:
            self._reaper.cancel()
        await self._runner.cleanup()

    async def _reap(self) -> None:
        # aiohttp sets no limit on the time between connecting and the end of the request head.
        idle_since: dict[RequestHandler, float] = {}
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(_HEAD_TIMEOUT / 3)
            idle = [one for one in self._connections() if _waits_for_first_head(one)]
            idle_since = {one: idle_since.get(one, loop.time()) for one in idle}
            for one, since in idle_since.items():
                if loop.time() - since > _HEAD_TIMEOUT * 2 / 3:
                    one.force_close()

    def _connections(self) -> Sequence[RequestHandler]:
        server = self._runner.server
        return server.connections if isinstance(server, web.Server) else ()


def _waits_for_first_head(connection: RequestHandler) -> bool:
    """No whole request head has arrived yet. Later ones have aiohttp's keep-alive timer."""
    return getattr(connection, "_request_count", 1) == 0


def make_app(
    routes: Sequence[web.AbstractRouteDef], middlewares: Sequence[Callable[..., Any]], upload_bytes: int
) -> web.Application:
    """An application with these routes; `upload_bytes` bounds what `request.post()` may read."""
    app = web.Application(middlewares=list(middlewares), client_max_size=upload_bytes)
    app[BIG_BODIES] = asyncio.Semaphore(BIG_AT_ONCE)
    app.add_routes(routes)
    return app
