"""Unfinished answers, to whoever watches: best effort, never stored, never awaited by anything that must not fail."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator


class Draft:
    """An answer being written. This one has no watcher; `watched` lets a handler skip streaming."""

    watched = False

    async def update(self, text: str) -> None:
        """Show the whole text so far. A later text need not continue an earlier one (an engine was replaced)."""
        return


class StreamDraft(Draft):
    """A draft read by one consumer as it grows; a slow reader gets the newest text, not every step."""

    watched = True

    def __init__(self) -> None:
        self._text = ""
        self._changed = asyncio.Event()
        self._closed = False

    async def update(self, text: str) -> None:
        self._text = text
        self._changed.set()

    def close(self) -> None:
        """No more updates; readers end after the last text."""
        self._closed = True
        self._changed.set()

    async def texts(self) -> AsyncIterator[str]:
        """The whole text so far, each time it has changed."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            yield self._text
            if self._closed:
                return
