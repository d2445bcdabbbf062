"""Models that do not fit on a device together: who is loaded, and who waits.

One is at home. Another that is asked for waits until the one at home has nothing under way, which then is unloaded.
Whoever comes later than a waiting model's question waits as well, be it for the model at home: nobody is kept out for
ever. The model that was given as the first goes home when nobody else has been needed for a while.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager

from bot.errors import EngineUnavailable

log = logging.getLogger(__name__)

#: unloads a model; nothing of it is under way
Leave = Callable[[], Awaitable[None]]


class Residence:
    """idle: seconds after which the first model replaces another that nobody asks for. All on one event loop."""

    def __init__(self, idle: float) -> None:
        self.idle = idle
        self.at_home = ""
        self._leave: dict[str, Leave] = {}
        self._return: Callable[[], Awaitable[None]] | None = None
        self._users = 0
        self._queue: deque[tuple[str, asyncio.Future[None]]] = deque()
        self._moving: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None

    def join(self, name: str, leave: Leave, come_back: Callable[[], Awaitable[None]]) -> None:
        """A model that takes its turn; the first is at home when there is nothing to do. come_back: load it."""
        if not self._leave:
            self._return = come_back
        self._leave[name] = leave

    @asynccontextmanager
    async def use(self, name: str) -> AsyncGenerator[None]:
        """Be at home for as long as this lasts."""
        self._stop_timer()
        if self.at_home not in ("", name) or self._queue:
            await self._wait(name)
        else:
            self.at_home = name
            self._users += 1
        try:
            yield
        finally:
            self._users -= 1
            self._next()

    async def close(self) -> None:
        """Move nobody any more; who waits is told so by EngineUnavailable."""
        self._stop_timer()
        for _, gate in self._queue:
            if not gate.done():
                gate.set_exception(EngineUnavailable("the engine is closed"))
        self._queue.clear()
        if self._moving is not None:
            self._moving.cancel()
            await asyncio.gather(self._moving, return_exceptions=True)

    async def _wait(self, name: str) -> None:
        gate: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.append((name, gate))
        self._next()
        try:
            await gate
        except asyncio.CancelledError:
            if (name, gate) in self._queue:
                self._queue.remove((name, gate))
            elif not gate.cancelled() and gate.exception() is None:
                self._users -= 1
            self._next()
            raise

    def _next(self) -> None:
        """Whoever is first in the queue, as soon as the one at home is free."""
        if self._users or self._moving is not None:
            self._admit()
            return
        if not self._queue:
            self._start_timer()
        elif self._queue[0][0] in (self.at_home, ""):
            self._admit()
        else:
            self._moving = asyncio.ensure_future(self._move(self._queue[0][0]))

    def _admit(self) -> None:
        """Those at the front of the queue who want the one at home."""
        while self._moving is None and self._queue and self._queue[0][0] == self.at_home:
            _, gate = self._queue.popleft()
            if not gate.done():
                self._users += 1
                gate.set_result(None)

    async def _move(self, name: str) -> None:
        leaving = self.at_home
        try:
            if leaving:
                log.info("%s is unloaded: the device is too small for it and %s", leaving, name)
                await self._leave[leaving]()
        except Exception:
            log.exception("%s could not be unloaded", leaving)
        self.at_home, self._moving = name, None
        self._next()

    def _start_timer(self) -> None:
        first = next(iter(self._leave), "")
        if self.at_home not in ("", first) and self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self.idle, self._go_home, first)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _go_home(self, first: str) -> None:
        self._timer = None
        if not self._users and not self._queue and self._moving is None:
            self._moving = asyncio.ensure_future(self._come_back(first))

    async def _come_back(self, first: str) -> None:
        await self._move(first)
        if self._return is not None and self.at_home == first:
            await self._return()
