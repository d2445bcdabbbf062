"""Passive replies: an answer that travels as the HTTP answer to one of the message's deliveries.

WeChat hangs up after five seconds and delivers the same message again, three times in all. Whoever has an answer
(`Room.give`) and whoever holds a delivery open (`Room.ready`) meet in the message's room, in either order.
https://developers.weixin.qq.com/doc/offiaccount/Message_Management/Passive_user_reply_message.html
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from bot.adapter import Ack
from bot.clock import Clock
from bot.errors import NetworkError

DELIVERIES: Final = 3
#: Rooms are forgotten after so many seconds, or when there are too many.
_KEPT: Final = 60.0
_ROOMS: Final = 10_000
#: Writing an answer that fits one packet takes no longer, or the connection is broken.
_WRITING: Final = 5.0


class Room:
    """One message's only chance of a passive reply; over once it was used or has passed.

    ends: by the monotonic clock, when WeChat has given up. deliveries: how many were seen. carrier: the HTTP answer
    that is being written with the text; nobody knows yet whether it arrives.
    """

    def __init__(self, ends: float) -> None:
        self.ends = ends
        self.deliveries = 0
        self.text = ""
        self.carrier: Ack | None = None
        self.over = False
        self._sent = False
        self._changed = asyncio.Event()

    async def ready(self, seconds: float) -> bool:
        """Wait until a text can be carried, or there is nothing to wait for."""
        return await self._until(lambda: self.over or bool(self.text and self.carrier is None), seconds)

    async def ended(self, seconds: float) -> bool:
        """Wait until it is over."""
        return await self._until(lambda: self.over, seconds)

    def carry(self, ack: Ack) -> Ack:
        """This answer takes the text along; `settle` tells what became of it."""
        self.carrier = ack
        return ack

    def settle(self, *, written: bool) -> None:
        """The carrier went out, or could not be written: then the next delivery may take the text."""
        self.carrier = None
        if written:
            self._sent = True
        if written or self.deliveries >= DELIVERIES:
            self.over = True
        self._wake()

    def close(self) -> None:
        """No text goes out here any more, unless one is on its way."""
        self.over = True
        self._wake()

    async def give(self, text: str, seconds: float) -> bool:
        """Hand a text over to a delivery that is there or comes within so many seconds; whether it went out.

        Raises NetworkError when that cannot be known.
        """
        if self.over or self.text:
            return False
        self.text = text
        self._wake()
        try:
            await self._until(lambda: self.over, seconds)
            if not await self._until(lambda: self.carrier is None, _WRITING):
                raise NetworkError("the passive reply is still being written", sent_maybe=True)
        finally:
            self.text = ""
            self.close()
        return self._sent

    async def _until(self, condition: Callable[[], bool], seconds: float) -> bool:
        try:
            async with asyncio.timeout(max(seconds, 0)):
                while not condition():
                    await self._changed.wait()
        except TimeoutError:
            pass
        return condition()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


class Rooms:
    """The rooms of the last minute, by user and message id. lasts: seconds that WeChat goes on delivering."""

    def __init__(self, clock: Clock, lasts: float) -> None:
        self._clock = clock
        self._lasts = lasts
        self._rooms: OrderedDict[tuple[str, str], Room] = OrderedDict()

    def find(self, user: str, message_id: str) -> Room | None:
        """The room, if this message has one."""
        return self._rooms.get((user, message_id))

    def enter(self, user: str, message_id: str) -> Room:
        """The room, made at the first call."""
        self._forget()
        return self._rooms.setdefault((user, message_id), Room(self._clock.monotonic() + self._lasts))

    def _forget(self) -> None:
        """Rooms stand in the order in which they were made."""
        oldest = self._clock.monotonic() + self._lasts - _KEPT
        while self._rooms:
            key, room = next(iter(self._rooms.items()))
            if room.ends >= oldest and len(self._rooms) < _ROOMS:
                return
            del self._rooms[key]
            room.close()
