"""How many requests an engine works on at once, and who waits: quick questions go before reports."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from bot.clock import Clock
from bot.engine.base import Priority

_ORDER = {"quick": 0, "report": 1}
#: How much the newest duration counts in the average.
_NEWEST = 0.3


@dataclass(frozen=True, slots=True)
class Queue:
    """What a request that comes now has before it: requests ahead, and about how many seconds that takes."""

    ahead: int
    seconds: float


class Slots:
    """`limit` places, 0 for as many as come. Fair within a priority."""

    def __init__(self, limit: int, clock: Clock) -> None:
        self._limit = limit
        self._clock = clock
        self._busy = 0
        self._count = 0
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        self._takes = 0.0

    def queue(self, priority: Priority) -> Queue:
        """For a request of this priority."""
        order = _ORDER[priority]
        waiting = sum(1 for other, _, _ in self._waiting if other <= order)
        if not self._limit or self._busy < self._limit:
            return Queue(0, 0.0)
        return Queue(waiting, (waiting + 1) * self._takes / self._limit)

    @asynccontextmanager
    async def hold(self, priority: Priority) -> AsyncGenerator[None]:
        """A place, waited for if need be."""
        await self._enter(priority)
        started = self._clock.monotonic()
        try:
            yield
        finally:
            took = self._clock.monotonic() - started
            self._takes = took if not self._takes else (1 - _NEWEST) * self._takes + _NEWEST * took
            self._leave()

    async def _enter(self, priority: Priority) -> None:
        if not self._limit or self._busy < self._limit:
            self._busy += 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._count += 1
        heapq.heappush(self._waiting, (_ORDER[priority], self._count, turn))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                # The place was given just as we were cancelled: pass it on.
                self._leave()
            else:
                self._waiting = [entry for entry in self._waiting if entry[2] is not turn]
                heapq.heapify(self._waiting)
            raise

    def _leave(self) -> None:
        while self._waiting:
            _, _, turn = heapq.heappop(self._waiting)
            if not turn.done():
                turn.set_result(None)
                return
        self._busy -= 1
