"""Calls to a platform that must keep their order."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any


class InOrder:
    """One call after another, although callers may give up waiting (the answer is finished).

    The call goes on and is waited for before the next one, so that a message's id is not lost and an old text never
    comes after a newer one.
    """

    def __init__(self) -> None:
        self._running: asyncio.Task[None] | None = None

    async def do(self, call: Coroutine[Any, Any, None]) -> None:
        """Raises what the call raises."""
        await self.settle()
        self._running = asyncio.create_task(call)
        await asyncio.shield(self._running)

    async def settle(self) -> None:
        """Wait for what somebody gave up waiting for; how it went was theirs to know."""
        running, self._running = self._running, None
        if running is not None:
            await asyncio.gather(running, return_exceptions=True)
