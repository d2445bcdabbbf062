"""A platform's access token: fetched once, shared, renewed before it ends."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from bot.clock import Clock

#: Renewed so many seconds before its end, or in the last tenth of a shorter life.
_MARGIN = 300.0


class AccessToken:
    """fetch: asks the platform; returns the token and its life in seconds, raises NetworkError or ActionFailed.

    However many wait for it, one request is under way; a failure is told to all who waited and is not remembered.
    """

    def __init__(self, fetch: Callable[[], Awaitable[tuple[str, float]]], clock: Clock) -> None:
        self._fetch = fetch
        self._clock = clock
        self._value = ""
        self._renew_at = 0.0
        self._fetching: asyncio.Task[str] | None = None

    async def get(self) -> str:
        """The token, fresh enough to be used."""
        if self._value and self._clock.monotonic() < self._renew_at:
            return self._value
        if self._fetching is None:
            self._fetching = asyncio.create_task(self._renew())
            self._fetching.add_done_callback(self._fetched)
        # One who gives up waiting must not take the request away from the others.
        return await asyncio.shield(self._fetching)

    def expire(self, value: str) -> None:
        """The platform says that this token has ended: the next `get` fetches, unless somebody did already."""
        if value == self._value:
            self._value = ""

    async def _renew(self) -> str:
        value, life = await self._fetch()
        self._value = value
        self._renew_at = self._clock.monotonic() + life - min(_MARGIN, life / 10)
        return value

    def _fetched(self, task: asyncio.Task[str]) -> None:
        self._fetching = None
        if not task.cancelled():
            task.exception()  # seen, even where everybody has given up waiting
