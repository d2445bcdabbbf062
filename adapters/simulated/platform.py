"""What every fake platform has: a server on loopback, users who write, a record of what arrives, faults on demand."""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import aiohttp
from aiohttp import web


@dataclass
class Sent:
    """One message of the bot as its reader sees it. shown: all texts it had, in order; kind: text, card, file, …"""

    chat: str
    text: str
    kind: str = "text"
    message_id: str = ""
    shown: list[str] = field(default_factory=list[str])
    final: bool = True
    data: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def show(self, text: str) -> None:
        """Its text is replaced by a newer one."""
        self.text = text
        self.shown.append(text)


@dataclass(frozen=True)
class Fault:
    """The answer to the next call whose path contains `path`, instead of the right one. drop: no answer at all."""

    path: str
    status: int = 200
    data: Mapping[str, Any] = field(default_factory=dict[str, Any])
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    drop: bool = False


@dataclass
class RateLimit:
    """At most `count` calls in any `seconds`, as a documented limit is enforced: what is more is refused."""

    count: int
    seconds: float
    _times: deque[float] = field(default_factory=deque[float])

    def allows(self) -> bool:
        now = time.monotonic()
        while self._times and now - self._times[0] >= self.seconds:
            self._times.popleft()
        if len(self._times) >= self.count:
            return False
        self._times.append(now)
        return True


class SimulatedPlatform(ABC):
    """One account of one platform. `webhook` is set by whoever runs the bot, before the first `say`.

    calls: how often each API path was called (tokens in paths are left out by the subclass). refused: calls that broke
    a documented rule (no or wrong token, too long, too fast), as `path: why`; an honest bot leaves it empty.
    """

    platform: ClassVar[str]

    def __init__(self) -> None:
        self.base = ""
        self.webhook = ""
        self.sent: list[Sent] = []
        self.faults: list[Fault] = []
        self.calls: Counter[str] = Counter()
        self.refused: list[str] = []
        self._runner: web.AppRunner | None = None
        self._changed = asyncio.Event()

    @abstractmethod
    def routes(self) -> list[web.RouteDef]:
        """The platform's API."""

    @abstractmethod
    def section(self) -> dict[str, Any]:
        """The adapter's section: made-up secrets, and addresses on this server. After `start`."""

    @abstractmethod
    async def say(self, text: str = "", pictures: Sequence[bytes] = (), *, user: str = "u1", group: str = "") -> str:
        """A user writes to the bot, in a group with an @ of the bot; returns the message id.

        Delivered as the platform does it, signed; raises AssertionError when the bot does not take it.
        """

    async def start(self, port: int = 0) -> None:
        """Listen on loopback."""
        app = web.Application(client_max_size=32 << 20, middlewares=[self._middleware])
        app.add_routes(self.routes())
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", port)
        await site.start()
        host, bound = self._runner.addresses[0][:2]
        self.base = f"http://{host}:{bound}"

    async def stop(self) -> None:
        """Stop listening."""
        if self._runner is not None:
            await self._runner.cleanup()

    def record(self, sent: Sent) -> Sent:
        """Something arrived."""
        sent.shown.append(sent.text)
        self.sent.append(sent)
        self.changed()
        return sent

    def changed(self) -> None:
        """Wake whoever waits in `until`."""
        self._changed.set()

    def refuse(self, path: str, why: str) -> None:
        """A rule was broken; the subclass answers as the platform would."""
        self.refused.append(f"{path}: {why}")

    async def until(self, condition: Callable[[], bool], timeout: float = 30.0) -> None:  # noqa: ASYNC109
        """Wait until something that arrives makes the condition true. Raises TimeoutError."""
        async with asyncio.timeout(timeout):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    async def answers(self, count: int = 1, timeout: float = 30.0) -> list[Sent]:  # noqa: ASYNC109
        """Wait for so many finished messages in all."""
        await self.until(lambda: sum(one.final for one in self.sent) >= count, timeout)
        return [one for one in self.sent if one.final]

    async def deliver(
        self,
        body: bytes,
        headers: Mapping[str, str],
        *,
        query: Mapping[str, str] | None = None,
        method: str = "POST",
    ) -> tuple[int, bytes]:
        """Send one request to the bot's webhook; its status and body."""
        async with aiohttp.ClientSession() as session:
            async with session.request(
                method, self.webhook, data=body, headers=headers, params=query or {}
            ) as response:
                return response.status, await response.read()

    @web.middleware
    async def _middleware(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        self.calls[self.call_name(request)] += 1
        for fault in self.faults:
            if fault.path in request.path:
                self.faults.remove(fault)
                if fault.drop and request.transport is not None:
                    request.transport.close()
                return web.json_response(fault.data, status=fault.status, headers=fault.headers)
        return await handler(request)

    def call_name(self, request: web.Request) -> str:
        """How a call is counted in `calls`."""
        return request.path
