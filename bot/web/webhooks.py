"""Webhooks: verify and decode, commit, and only then acknowledge."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping

from aiohttp import web

from bot.adapter import Ack, Adapter, Request
from bot.clock import Clock
from bot.errors import Rejected, StoreError
from bot.media import MediaStore
from bot.store import Store
from bot.web.body import read_body

log = logging.getLogger(__name__)


class Webhooks:
    """`/webhook/<adapter name>` for every configured adapter."""

    def __init__(
        self, adapters: Mapping[str, Adapter], store: Store, media: MediaStore, clock: Clock, body_timeout: float
    ) -> None:
        self._adapters = adapters
        self._store = store
        self._media = media
        self._clock = clock
        self._body_timeout = body_timeout
        self.open = True

    def routes(self) -> list[web.RouteDef]:
        """GET serves platforms' handshakes."""
        return [web.route(method, "/webhook/{name}", self.receive) for method in ("GET", "POST")]

    async def receive(self, http: web.Request) -> web.Response:
        """Answer one delivery of a platform."""
        adapter = self._adapters.get(http.match_info["name"])
        if adapter is None:
            return _error(404, "unknown_adapter", "no such adapter is configured")
        if not self.open:
            return _error(503, "stopping", "the service is stopping; deliver again later")
        try:
            body = await read_body(http, adapter.limits.body_bytes, self._body_timeout)
            ack = await self._accept(adapter, _request(http, body, self._clock.now()))
        except Rejected as error:
            log.info("%s rejected a request: %s", adapter.name, error.reason)
            return _error(error.status, error.reason, error.message)
        except (StoreError, OSError) as error:
            log.warning("%s cannot accept: %s", adapter.name, error)
            return _error(503, "cannot_accept", "try again later", retry_after=10)
        return web.Response(status=ack.status, body=ack.body, content_type=ack.content_type)

    async def _accept(self, adapter: Adapter, request: Request) -> Ack:
        received = adapter.receive(request)
        if received.inline:
            await asyncio.gather(*(self._media.stash(data) for data in received.inline.values()))
        if received.events:
            await self._store.accept(received.events)
        return received.ack


def _request(http: web.Request, body: bytes, now: float) -> Request:
    headers = {name.lower(): value for name, value in http.headers.items()}
    if len(headers) != len(http.headers):
        # As HTTP joins them; a doubled signature is then no signature at all.
        headers = {name: ", ".join(http.headers.getall(name)) for name in headers}
    query: Mapping[str, str] = http.query if "?" in http.raw_path else {}
    return Request(http.method, http.path, query, headers, body, now)


def _error(status: int, reason: str, message: str, retry_after: int = 0) -> web.Response:
    headers = {"Retry-After": str(retry_after)} if retry_after else None
    return web.json_response({"error": {"reason": reason, "message": message}}, status=status, headers=headers)
