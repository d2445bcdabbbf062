"""Vectors through a real server: what arrives at the adapter, and with which status it is answered."""

from __future__ import annotations

import base64
import io
from dataclasses import replace
from typing import Any

import aiohttp
from platform_vectors import Json, Receiver, make_receivers, record_of, unusable
from yarl import URL

from bot.adapter import Adapter, Received, Request
from bot.clock import Clock
from bot.config import ServerConfig
from bot.errors import KantuError, Rejected
from bot.event import Delivery
from bot.message import Image
from bot.web.server import Server, make_app
from bot.web.webhooks import Webhooks


class Recording(Adapter):
    """Another adapter behind a real server: what its `receive` gave or raised is kept."""

    def __init__(self, behind: Adapter) -> None:
        super().__init__(behind.name, behind.config, behind.http, Clock())
        self.limits = behind.limits
        self._behind = behind
        self.expect(0.0)

    def expect(self, now: float) -> None:
        """Another request is coming. What never gets here was too large for the server."""
        self.now = now
        self._given: Received | None = None
        self._raised: Exception | None = Rejected("too_large", 413)

    def receive(self, request: Request) -> Received:
        self._raised = None
        try:
            self._given = self._behind.receive(replace(request, now=self.now))
        except Exception as error:
            self._raised = error
            raise
        # Events and sockets end here: only the decoding and the answer are looked at.
        return Received(ack=self._given.ack)

    def again(self) -> Received:
        """What the last request gave, or raise what it raised."""
        if self._given is None:
            raise self._raised or RuntimeError("the request did not arrive")
        return self._given

    def status(self) -> int:
        """The HTTP status that the last request should have."""
        if isinstance(self._raised, Rejected):
            return self._raised.status
        return 500 if self._given is None else self._given.ack.status

    async def send(self, delivery: Delivery) -> str:
        raise NotImplementedError

    async def download(self, image: Image) -> bytes:
        raise NotImplementedError


async def serve_file(data: Json) -> list[tuple[Json, Json]]:
    """Every case with the record of what happened, as `platform_vectors.run_file` gives them."""
    receivers = make_receivers(data)
    recorders = {name: Recording(one.adapter) for name, one in receivers.items() if isinstance(one, Receiver)}
    store: Any = None
    webhooks = Webhooks(recorders, store, store, Clock(), 15.0)
    server = Server(make_app(webhooks.routes(), [], 1 << 20), ServerConfig(port=0))
    port = await server.start()
    try:
        async with aiohttp.ClientSession() as session:
            return [await _over_http(session, port, data, case, receivers, recorders) for case in data["cases"]]
    finally:
        await server.stop()


async def _over_http(
    session: aiohttp.ClientSession,
    port: int,
    data: Json,
    case: Json,
    receivers: dict[str, Receiver | KantuError],
    recorders: dict[str, Recording],
) -> tuple[Json, Json]:
    receiver = receivers[case["config"]]
    if not isinstance(receiver, Receiver):
        return case, record_of(data, case, unusable(receiver))
    if not _can_travel(case["request"]):
        return case, record_of(data, case, receiver.run(case))
    recorder = recorders[case["config"]]
    recorder.expect(case["now"])
    status = await _deliver(session, URL(f"http://127.0.0.1:{port}/webhook/{case['config']}"), case)
    outcome = receiver.judge(recorder.again)
    if status != recorder.status():
        outcome = {"outcome": "crash", "reason": f"HTTP {status} instead of {recorder.status()}"}
    return case, record_of(data, case, outcome)


def _can_travel(request: Json) -> bool:
    """No lone surrogate: URLs and headers are UTF-8 on the wire."""
    values = (*request["query"].values(), *request["headers"].values())
    return all(value.encode("utf-8", "ignore").decode() == value for value in values)


async def _deliver(session: aiohttp.ClientSession, url: URL, case: Json) -> int:
    request = case["request"]
    # Ours to set. An upgrade is asked for and not followed: whether one would be allowed is all that counts.
    hop_by_hop = ("content-length", "host", "transfer-encoding")
    headers = {name: value for name, value in request["headers"].items() if name.lower() not in hop_by_hop}
    body = base64.b64decode(request["body_b64"])
    async with session.request(
        request["method"], url.with_query(request["query"]), data=io.BytesIO(body), headers=headers
    ) as answer:
        await answer.read()
        return answer.status
