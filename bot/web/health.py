"""Is the process alive, can it work, what became of an event, and what needs a person."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec
from aiohttp import web
from sqlalchemy.exc import SQLAlchemyError

from bot.adapter import Adapter
from bot.store import Store
from bot.web.problems import Problem


class Health:
    """`/healthz` and `/readyz` are open to all; `/api/…` is behind the API's token."""

    def __init__(
        self, store: Store, adapters: Mapping[str, Adapter], is_open: Callable[[], bool], running: Callable[[], int]
    ) -> None:
        self._store = store
        self._adapters = adapters
        self._is_open = is_open
        self._running = running

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/healthz", self.alive),
            web.get("/readyz", self.ready),
            web.get("/api/events/{adapter}/{event_id}", self.event),
            web.get("/api/dead", self.dead),
            web.post("/api/dead/{kind:event|delivery}/{id:\\d{1,18}}/retry", self.retry),
        ]

    async def alive(self, _request: web.Request) -> web.Response:
        """The event loop turns."""
        return web.json_response({"status": "ok"})

    async def ready(self, _request: web.Request) -> web.Response:
        """The database answers and messages are being accepted."""
        try:
            counts = await self._store.counts()
        except SQLAlchemyError:
            return web.json_response({"status": "no database"}, status=503)
        ready = self._is_open()
        body = {"status": "ready" if ready else "stopping", "running": self._running(), **counts}
        return web.json_response(body, status=200 if ready else 503)

    async def event(self, request: web.Request) -> web.Response:
        """State and replies of an accepted event, for senders that have no address to be posted to."""
        adapter = self._adapters.get(request.match_info["adapter"])
        found = None
        if adapter is not None:
            account = adapter.config.account_id
            found = await self._store.event_status(adapter.name, account, request.match_info["event_id"])
        if found is None:
            return Problem(404, "unknown_event", "没有收到过这个事件，或已过保留期。").response()
        return web.json_response(found)

    async def dead(self, _request: web.Request) -> web.Response:
        """Dead letters and doubtful deliveries, newest first."""
        letters = await self._store.dead_letters()
        return web.json_response({"dead": [msgspec.to_builtins(letter) for letter in letters]})

    async def retry(self, request: web.Request) -> web.Response:
        """Try a dead letter once more."""
        if not await self._store.retry_dead(request.match_info["kind"], int(request.match_info["id"])):
            return Problem(404, "unknown_letter", "没有这封死信。").response()
        return web.json_response({"status": "queued"}, status=202)
