"""An answer while it is written: typing, a notice, or the growing text, as the platform can show it.

Best effort, beside the durable path: whatever fails here is logged, and the answer goes out as a message of its own.
"""

from __future__ import annotations

import asyncio
import logging

from bot.adapter import Adapter, Limits, Surface
from bot.clock import Clock
from bot.drafts import Draft
from bot.errors import DeliveryError, NetworkError
from bot.event import Delivery, MessageEvent
from bot.pace import Pace
from bot.plan import shown

log = logging.getLogger(__name__)

WAITING = "正在看图…"
#: An answer that comes within so many seconds needs no notice before it.
_NOTICE_AFTER = 3.0
#: Beyond this a platform that asks for a pause gets its next update with the end of the answer.
_LONGEST_PAUSE = 10.0
_CLOSING_TRIES = 3


class LiveDraft(Draft):
    """The draft of one turn. `start`, any number of `update`, then `finish` or `abandon`; `close` in any case."""

    def __init__(self, adapter: Adapter, event: MessageEvent, pace: Pace, clock: Clock) -> None:
        self._adapter = adapter
        self._event = event
        self._pace = pace
        self._clock = clock
        self._limits: Limits = adapter.limits_for(event.conversation)
        self._surface: Surface | None = None
        self._opened = False
        self._text = ""
        self._shown = ""
        self._more = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self.watched = self._limits.live == "stream"

    def start(self) -> None:
        """Begin to show that an answer is coming."""
        if self._limits.typing_every:
            self._tasks.append(asyncio.create_task(self._type()))
        if self._limits.live:
            self._surface = self._adapter.surface(self._event)
        if self._surface is not None:
            self._tasks.append(asyncio.create_task(self._show(self._surface)))

    async def update(self, text: str) -> None:
        self._text = text
        self._more.set()

    async def finish(self, delivery: Delivery) -> str | None:
        """Turn what is shown into the answer; its platform message id, or None when nothing is shown.

        Raises ActionFailed or WindowClosed where the platform refuses: the answer is then to be sent as a message. And
        NetworkError when it cannot be reached; as `sent_maybe` only where closing means sending, since showing a text
        twice is one text.
        """
        await self._stop()
        if self._surface is None or not self._opened:
            return None
        surface, self._surface = self._surface, None
        for left in reversed(range(_CLOSING_TRIES)):
            try:
                return await surface.close(delivery)
            except NetworkError as error:
                if error.sent_maybe and surface.closes_by_sending:
                    raise
                if not left:
                    raise NetworkError(str(error), retry_after=error.retry_after) from error
                await asyncio.sleep(min(error.retry_after or 0.5, _LONGEST_PAUSE))
        raise AssertionError("unreachable")

    async def close(self) -> None:
        """Stop showing; what is still open and has not become the answer is taken away."""
        await self._stop()
        surface, self._surface = self._surface, None
        if surface is None or not self._opened:
            return
        try:
            await surface.abandon()
        except DeliveryError as error:
            log.info("%s: an unfinished answer stays: %s", self._adapter.name, error)

    async def _stop(self) -> None:
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _type(self) -> None:
        while True:
            try:
                await self._adapter.typing(self._event)
            except DeliveryError as error:
                log.info("%s: cannot show typing: %s", self._adapter.name, error)
                return
            await asyncio.sleep(self._limits.typing_every)

    async def _show(self, surface: Surface) -> None:
        try:
            await self._first_text()
            await self._open(surface)
            while self._limits.live == "stream":
                await self._more.wait()
                self._more.clear()
                await self._update(surface)
        except DeliveryError as error:
            log.info("%s: the answer cannot be shown while it grows: %s", self._adapter.name, error)
        except Exception:
            log.exception("%s: the answer cannot be shown while it grows", self._adapter.name)

    async def _first_text(self) -> None:
        """Until there is something to show: the first text where it can grow, else some time."""
        try:
            async with asyncio.timeout(_NOTICE_AFTER):
                while self._limits.live != "stream" or not self._text.strip():
                    await self._more.wait()
                    self._more.clear()
        except TimeoutError:
            return

    async def _open(self, surface: Surface) -> None:
        await self._free()
        self._shown = self._text if self.watched and self._text.strip() else WAITING
        # A cancelled call may have reached the platform: from here on the surface counts as shown.
        self._opened = True
        try:
            await surface.open(shown(self._shown, self._limits))
        except Exception as error:
            self._opened = isinstance(error, NetworkError) and error.sent_maybe
            raise
        await asyncio.sleep(self._limits.live_interval)

    async def _update(self, surface: Surface) -> None:
        await self._free()
        text = self._text
        if not text.strip() or text == self._shown:
            return
        try:
            await surface.update(shown(text, self._limits))
            self._shown = text
        except NetworkError as error:
            # The next update holds this one's text.
            log.debug("%s: an update was lost: %s", self._adapter.name, error)
            await asyncio.sleep(min(error.retry_after or 0.0, _LONGEST_PAUSE))
        await asyncio.sleep(self._limits.live_interval)

    async def _free(self) -> None:
        """Wait for the account's turn: updates count like messages, and all answers share it."""
        shared = Limits(app_rates=self._limits.app_rates)
        await asyncio.sleep(self._pace.book(self._adapter.name, "", shared, float("inf")))
