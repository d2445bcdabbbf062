"""Webhooks: verify and decode, commit, and only then acknowledge."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping

from aiohttp import web

from bot.adapter import Adapter, Received, Request
from bot.clock import Clock
from bot.errors import Rejected, StoreError
from bot.media import MediaStore
from bot.store import Store
from bot.web.body import read_body
from bot.web.problems import Problem
from bot.web.websocket import converse

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
        """GET serves platforms' handshakes. The adapters' own paths are found at once, without a pattern."""
        known = [f"/webhook/{name}" for name in self._adapters]
        return [
            *(web.route(method, path, self.receive) for path in known for method in ("GET", "POST")),
            web.route("*", "/webhook/{name}", self.receive),
        ]

    async def receive(self, http: web.Request) -> web.StreamResponse:
        """Answer one delivery of a platform."""
        adapter = self._adapters.get(http.path.removeprefix("/webhook/"))
        if adapter is None:
            return Problem(404, "unknown_adapter", "no such adapter is configured").response()
        if not self.open:
            return Problem(503, "stopping", "the service is stopping; deliver again later", 10).response()
        try:
            body = await read_body(http, adapter.limits.body_bytes, self._body_timeout)
            request = _request(http, body, self._clock.now())
            received = await self._accept(adapter, request)
        except Rejected as error:
            log.info("%s rejected a request: %s", adapter.name, error.reason)
            return Problem(error.status, error.reason, error.message).response()
        except (StoreError, OSError) as error:
            log.warning("%s cannot accept: %s", adapter.name, error)
            return Problem(503, "cannot_accept", "deliver again later", 10).response()
        if received.socket:
            return await converse(http, adapter, request, self._store)
        return await self._acknowledge(http, adapter, received)

    async def _accept(self, adapter: Adapter, request: Request) -> Received:
        received = adapter.receive(request)
        if received.inline:
            await asyncio.gather(*(self._media.stash(data) for data in received.inline.values()))
        if received.events:
            await self._store.accept(received.events)
        return received

    async def _acknowledge(self, http: web.Request, adapter: Adapter, received: Received) -> web.Response:
        """Answer, and let the adapter know whether the platform was still there to hear it."""
        ack, written = received.ack, False
        try:
            ack = await adapter.acknowledge(received)
            response = web.Response(status=ack.status, body=ack.body, content_type=ack.content_type)
            if type(adapter).acknowledged is not Adapter.acknowledged:
                # A platform that has hung up cancels this task, here or above.
                await response.prepare(http)
                await response.write_eof()
                written = http.transport is not None and not http.transport.is_closing()
            return response
        finally:
            adapter.acknowledged(received, ack, written=written)


def _request(http: web.Request, body: bytes, now: float) -> Request:
    headers = {name.lower(): value for name, value in http.headers.items()}
    if len(headers) != len(http.headers):
        # As HTTP joins them; a doubled signature is then no signature at all.
        headers = {name: ", ".join(http.headers.getall(name)) for name in headers}
    query: Mapping[str, str] = http.query if "?" in http.raw_path else {}
    return Request(http.method, http.path, query, headers, body, now)
