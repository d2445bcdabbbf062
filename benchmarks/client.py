"""A light HTTP client: every connection writes its next ready-made request as soon as the last was answered."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import cast

#: What is sent: a name and the bytes of a whole request.
Sent = tuple[str, bytes]
_LOST = 0


@dataclass(frozen=True, slots=True)
class Answer:
    """status 0: the connection was lost before the answer came."""

    name: str
    status: int
    seconds: float


class _Connection(asyncio.Protocol):
    def __init__(self, source: Iterator[Sent], answers: list[Answer], until: float) -> None:
        self._source = source
        self._answers = answers
        self._until = until
        self._name = ""
        self._started = 0.0
        self._received = b""
        self._transport: asyncio.Transport
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._transport = cast("asyncio.Transport", transport)
        self._next()

    def data_received(self, data: bytes) -> None:
        self._received += data
        head = self._received.find(b"\r\n\r\n")
        if head < 0:
            return
        status = int(self._received[9:12])
        if len(self._received) < head + 4 + _body_length(self._received[:head], status):
            return
        self._received = b""
        self._record(status)
        self._next()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._name:
            self._record(_LOST)
        if not self.ended.done():
            self.ended.set_result(None)

    def _next(self) -> None:
        self._started = time.perf_counter()
        item = next(self._source, None) if self._started < self._until else None
        if item is None:
            self._transport.close()
            return
        self._name, request = item
        self._transport.write(request)

    def _record(self, status: int) -> None:
        self._answers.append(Answer(self._name, status, time.perf_counter() - self._started))
        self._name = ""


def _body_length(head: bytes, status: int) -> int:
    """Every server measured here sends a Content-Length, except with 204."""
    if status == 204:
        return 0
    lower = head.lower()
    return int(lower[lower.index(b"content-length:") + 15 :].split(b"\r\n", 1)[0])


async def drive(
    port: int, sources: Sequence[Iterator[Sent]], seconds: float = 30.0, answers: list[Answer] | None = None
) -> list[Answer]:
    """One connection per source, all at once, until the sources are empty, the connections lost or time is up.

    The same iterator may be given several times: its requests are then shared out. `answers` is filled as they come.
    """
    answers = [] if answers is None else answers
    until = time.perf_counter() + seconds
    await asyncio.gather(*(_converse(port, source, answers, until) for source in sources))
    return answers


async def _converse(port: int, source: Iterator[Sent], answers: list[Answer], until: float) -> None:
    connection = _Connection(source, answers, until)
    try:
        transport, _ = await asyncio.get_running_loop().create_connection(lambda: connection, "127.0.0.1", port)
    except OSError:
        return
    try:
        # Whoever was asked last still gets some time to answer.
        await asyncio.wait_for(connection.ended, until - time.perf_counter() + 20.0)
    except TimeoutError:
        transport.abort()


def percentile(values: Sequence[float], share: float) -> float:
    """By rank, no interpolation; NaN of nothing."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else float("nan")
